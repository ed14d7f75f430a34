"""One node of the store, a stand-in for Cassandra: keys and values, three replicas in each region, last write wins.

Whichever node is asked coordinates: it and one of its region's two others must answer (LOCAL_QUORUM). The other region
is told asynchronously, by hints kept on disk, so that a node killed in between forgets nothing.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Any

from simian_filters.rules import Rules

from .calls import Callee, Caller
from .http import HttpError, Pool, Request, Response, json_response
from .node import NodeContext
from .service import Service
from .store_data import BUCKETS, Replica, Row, newest, row_of
from .store_peers import BATCH_LIMIT, NEAR_TIMEOUT_S, Courier, Lane
from .store_repair import Repair
from .trace import Trace

KEY_LIMIT = 512
VALUE_LIMIT_B = 64 << 10
AHEAD_LIMIT_US = 86_400_000_000  # a write from further in the future would hide all writes until then
RECENT_LIMIT = 5_000
DEEP_KEY = "deep"
HEDGE_S = 0.03
NO_QUORUM = "no quorum: neither of the other two replicas of the region answered"


class Unavailable(Exception):
    """No quorum answered."""


class BadRequest(Exception):
    """The request makes no sense; the text says what would."""


class Store:
    """The requests of one node."""

    def __init__(self, replica: Replica, node: str, lanes: Sequence[Lane], couriers: Sequence[Courier]) -> None:
        self._replica, self._node, self._lanes = replica, node, lanes
        near = {lane.peer.name for lane in lanes}
        self._far = [courier for courier in couriers if courier.peer.name not in near]
        self._reads = 0
        self._far_names = [courier.peer.name for courier in self._far]

    async def route(self, request: Request, trace: Trace) -> Response:
        """One request; 400 with a reason, 404, or 503 when there is no quorum."""
        try:
            return await self._route(request, trace)
        except BadRequest as error:
            return json_response({"error": str(error)}, 400)
        except Unavailable as error:
            return json_response({"error": str(error)}, 503)

    async def _route(self, request: Request, trace: Trace) -> Response:
        where = request.method, request.path
        if request.path.startswith("/kv/"):
            return await self._key(request, request.path.removeprefix("/kv/"), trace)
        if where == ("POST", "/replicas"):
            return self._replicas(request)
        if where == ("POST", "/kv"):
            return await self._keys(request)
        if where == ("GET", "/recent"):
            return json_response({"keys": self._replica.recent(_limit(request))})
        if where == ("GET", "/replica-digest"):
            return self._digest(request)
        if request.method == "GET" and request.path.startswith("/replica/"):
            return _shown(self._replica.get(request.path.removeprefix("/replica/")))
        if where == ("GET", "/deep"):
            await self.read(DEEP_KEY, trace)
            return Response(200, b"ok\n")
        if where == ("GET", "/admin/hints"):
            return json_response({"hints": self._replica.hints, "dropped": self._replica.hints_dropped})
        return Response(404, b"not found\n")

    async def _key(self, request: Request, key: str, trace: Trace) -> Response:
        if not 0 < len(key) <= KEY_LIMIT:
            raise BadRequest(f"a key has 1 to {KEY_LIMIT} characters, this one {len(key)}")
        if request.method == "GET":
            return _shown(await self.read(key, trace))
        if request.method == "PUT":
            row = row_to_write(key, request.body, time.time())
            best = await self.write(row, trace)
            return json_response({"key": key, "timestamp_us": best.timestamp_us, "kept": best == row})
        return Response(405, b"GET and PUT are possible here\n", {"allow": "GET, PUT"})

    async def _keys(self, request: Request) -> Response:
        """Many keys, each as if it were asked for alone."""
        try:
            keys = [str(key) for key in request.json()["keys"]]
        except (ValueError, KeyError, TypeError):
            raise BadRequest('the body is {"keys": […]}') from None
        if len(keys) > BATCH_LIMIT:
            raise BadRequest(f"at most {BATCH_LIMIT} keys can be asked for at once, not {len(keys)}")
        rows = await self.read_many(keys)
        found = [(row.key, row.value and json.loads(row.value), row.timestamp_us) for row in rows]
        return json_response({"found": found})

    async def read_many(self, keys: list[str]) -> list[Row]:
        """The newest of two replicas for each key that either has: one call to a peer for all."""
        own = [self._replica.get(key) for key in keys]
        for lane in sorted(self._lanes, key=lambda lane: lane.failing):
            try:
                theirs = await asyncio.gather(*(lane.get(key, Trace(self._node)) for key in keys))
            except HttpError:
                continue
            return [row for pair in zip(own, theirs, strict=True) if (row := newest(pair)) is not None]
        raise Unavailable(NO_QUORUM)

    async def read(self, key: str, trace: Trace) -> Row | None:
        """The newest of two replicas of the region; an older one is repaired.

        One peer is asked first, and the other when that takes longer than usual: a quorum of reads costs one call.
        """
        own = self._replica.get(key)
        self._reads += 1
        by_turns = self._lanes if self._reads % 2 else self._lanes[::-1]
        lanes = sorted(by_turns, key=lambda lane: lane.failing)
        asked = {lanes[0]: lanes[0].get(key, trace)}
        await asyncio.wait(asked.values(), timeout=HEDGE_S)
        if not _answered(asked[lanes[0]]):
            asked |= {lane: lane.get(key, trace) for lane in lanes[1:]}
        lane = await self._first(asked, trace)
        theirs = asked[lane].result()
        best = newest([own, theirs])
        if best is not None and best != own:
            self._replica.apply([best])
        if best is not None and best != theirs:
            lane.put(best, trace)
        return best

    async def write(self, row: Row, trace: Trace) -> Row:
        """Kept by two replicas of the region when this returns, unless they have newer ones; the newest of theirs."""
        here = self._replica.apply([row], hints_for=self._far_names)
        for courier in self._far:
            courier.wake()
        asked = {lane: lane.put(row, trace) for lane in self._lanes}
        lane = await self._first(asked, trace)
        for name in self._far_names:
            trace.started(name)
        there = asked[lane].result()
        if there is not None:
            self._replica.apply([there])
        return newest([row, there, *here]) or row

    async def _first(self, asked: "dict[Lane, asyncio.Future[Row | None]]", trace: Trace) -> Lane:
        """The first peer that answers; this node's own replica makes it a quorum."""
        waiting = set(asked.values())
        lanes = {future: lane for lane, future in asked.items()}
        # The lanes keep to their own time limit; the wait is longer so that what they say counts.
        until = asyncio.get_running_loop().time() + 2 * NEAR_TIMEOUT_S
        while waiting:
            left_s = until - asyncio.get_running_loop().time()
            done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                if future.exception() is None:
                    trace.called(lanes[future].peer.name)
                    for late in waiting:
                        trace.started(lanes[late].peer.name)
                    return lanes[future]
                trace.failed(lanes[future].peer.name)
        raise Unavailable(NO_QUORUM)

    def _replicas(self, request: Request) -> Response:
        """What a peer asks of, and tells, this replica."""
        try:
            asked = request.json()
            gets = [str(key) for key in asked["get"]]
            puts = [row_of(shape) for shape in asked["put"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequest(f"no batch: {error}") from None
        newer = self._replica.apply(puts) if puts else []
        return json_response({"got": [self._replica.get(key) for key in gets], "newer": newer})

    def _digest(self, request: Request) -> Response:
        """All buckets and one number over them; with ``bucket=N`` the rows of that one."""
        bucket = request.query.get("bucket")
        if bucket is None:
            buckets = ",".join(f"{number:x}" for number in self._replica.digest)
            whole = blake2b(buckets.encode(), digest_size=8).hexdigest()
            return json_response({"keys": self._replica.keys, "digest": whole, "buckets": buckets})
        if not bucket.isdecimal() or int(bucket) >= BUCKETS:
            raise BadRequest(f"a bucket is a number from 0 to {BUCKETS - 1}, not {bucket!r}")
        return json_response({"rows": self._replica.bucket(int(bucket))})


def _limit(request: Request) -> int:
    text = request.query.get("limit", str(RECENT_LIMIT))
    if not text.isdecimal() or len(text) > 9:
        raise BadRequest(f"limit is a whole number, not {text[:20]!r}")
    return min(int(text), RECENT_LIMIT)


def _answered(future: "asyncio.Future[Row | None]") -> bool:
    return future.done() and future.exception() is None


def row_to_write(key: str, body: bytes, now: float) -> Row:
    """The row that ``{"value": …, "timestamp_us": …, "tombstone": …}`` asks to be written. Raises BadRequest."""
    try:
        shape = json.loads(body)
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    now_us = int(now * 1e6)
    if not isinstance(shape, dict) or ("value" not in shape and not shape.get("tombstone")):
        raise BadRequest('the body is {"value": …, "timestamp_us": …} or {"tombstone": true, "timestamp_us": …}')
    timestamp_us = shape.get("timestamp_us", now_us)
    if not isinstance(timestamp_us, int) or not 0 <= timestamp_us <= now_us + AHEAD_LIMIT_US:
        raise BadRequest(
            f"timestamp_us is {timestamp_us!r}; it must be microseconds since the epoch, not in the future"
        )
    tombstone = bool(shape.get("tombstone"))
    text = None if tombstone else json.dumps(shape["value"], separators=(",", ":"), sort_keys=True)
    if text is not None and len(text) > VALUE_LIMIT_B:
        raise BadRequest(f"the value has {len(text)} characters; {VALUE_LIMIT_B} are allowed")
    return Row(key, text, timestamp_us, tombstone)


def _shown(row: Row | None) -> Response:
    if row is None:
        return json_response({"error": "no such key"}, 404)
    shape: dict[str, Any] = {"key": row.key, "timestamp_us": row.timestamp_us}
    if row.value is None:
        return json_response({**shape, "tombstone": True}, 404)
    return json_response({**shape, "value": json.loads(row.value)})


async def serve(context: NodeContext) -> None:
    """The store node of one zone, until cancelled."""
    replica, pool, rules = Replica(context.folder / "store.db"), Pool(), Rules()
    try:
        await _serve(context, replica, Caller(pool, rules), rules)
    finally:
        replica.close()
        await pool.aclose()


async def _serve(context: NodeContext, replica: Replica, caller: Caller, rules: Rules) -> None:
    spec, layout = context.spec, context.layout
    near = [Callee.directly(node) for node in layout.nodes_of("store", spec.region) if node.name != spec.name]
    far = [Callee.through(link) for link in layout.links_from(spec.name, "store")]
    keeps = context.options.keeps_hints
    couriers = {
        peer.name: Courier(
            caller, spec.name, replica, peer, at_once=1 if peer in near else 4, keeps=keeps or peer in near
        )
        for peer in near + far
    }

    def undelivered(peer: str, keys: list[str]) -> None:
        replica.hint(peer, keys)
        couriers[peer].wake()

    in_zone = [peer for peer in near if peer.name.endswith(f"-{context.options.quorum_zone}")]
    # Peers that are no part of any quorum are told by hints, as those of the other region are.
    lanes = [Lane(caller, spec.name, peer, undelivered) for peer in (in_zone or near)]
    store = Store(replica, spec.name, lanes, list(couriers.values()))
    service = Service(context, rules, store.route)
    service.ready = False
    async with await service.listen(), contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for lane in lanes:
            stack.callback(lane.close)
        await replica.load()
        service.ready = True
        repair = Repair(caller, spec.name, replica, near + far if keeps else near, Random(context.seed))
        for courier in couriers.values():
            courier.wake()
            tasks.create_task(courier.run())
        tasks.create_task(repair.run())
