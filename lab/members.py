"""The mid-tier service: a stateless API over caches, store and queue. Any node may answer any request of a session.

All it keeps is what it has not been able to hand on yet. No request waits for another region.
"""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from zlib import crc32

from simian_filters.rules import Rules

from .calls import Callee, Caller, nearest_first
from .http import HttpError, Pool, Request, Response, json_response
from .members_caches import FRESH_S, Caches, packed
from .members_invalidation import QUEUE, Announcement, Announcer, Invalidator, Queue
from .members_store import PATIENT_S, TRY_S, Fused, Hastily, HttpStore, InTurn, StoreClient, StoreDown, value_or_default
from .members_warming import Warming
from .members_work import RETRY_AFTER, Work
from .node import NodeContext
from .options import Options
from .service import Service
from .sqs import Sqs
from .trace import REGION, SERVED_BY, SESSION, Trace

TITLES = 500
_MEMBER = re.compile(r"[A-Za-z0-9._@-]{1,100}")
_LOAD_WINDOW_S = 5.0
_LOAD_LIMIT = 5_000  # requests that are counted: 1,000 a second


class Load:
    """Requests of the last few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=_LOAD_LIMIT)
        self._first: float | None = None
        self.in_flight = 0

    def begun(self) -> None:
        """A request came."""
        now = self._clock()
        self._first = now if self._first is None else self._first
        self._recent.append(now)
        self.in_flight += 1

    def ended(self) -> None:
        """And was answered."""
        self.in_flight -= 1

    def rps(self) -> float:
        """Requests a second; of a node that has only just begun, over the time since then, so that none is hidden."""
        now = self._clock()
        while self._recent and self._recent[0] < now - _LOAD_WINDOW_S:
            self._recent.popleft()
        span_s = now - self._first if self._first is not None else 0.0
        return len(self._recent) / min(_LOAD_WINDOW_S, max(span_s, 1.0))


class Sessions:
    """Those of one node that keeps them in its own memory: opened by a first request, unknown to all other nodes."""

    def __init__(self, life: str) -> None:
        self._life, self._opened = life, 0

    def of(self, session: str | None) -> str:
        """The session of a request that names this one; empty when it was not opened here, in this life."""
        if session is None:
            self._opened += 1
            return f"{self._life}.{self._opened}"
        return session if session.startswith(f"{self._life}.") else ""


class Members:
    """The requests of one node."""

    def __init__(self, context: NodeContext, caches: Caches, store: StoreClient, announcer: Announcer) -> None:
        self._caches, self._store, self._announcer = caches, store, announcer
        self._names = {SERVED_BY: context.spec.name, REGION: context.spec.region}
        self._options = context.options
        self._ahead_us = int(context.options.clock_ahead_s * 1e6)
        in_memory = context.options.sessions_in_memory
        self._sessions = Sessions(f"{context.spec.name}.{context.incarnation}") if in_memory else None
        self._work = Work(context.options)
        self.load = Load()
        self._acts: dict[tuple[str, str], Callable[[Request, str, Trace], Coroutine[Any, Any, Any]]] = {
            ("GET", "/play"): self._play,
            ("GET", "/profile"): self._show_profile,
            ("GET", "/continue"): self._continue,
            ("POST", "/progress"): self._progress,
        }

    async def route(self, request: Request, trace: Trace) -> Response:
        """One request: 400 without a proper ``member``, 503 when the store has no quorum."""
        if request.path == "/deep":
            answers = await asyncio.gather(self._caches.probe(trace), self._store.probe(trace))
            return json_response({"cache": answers[0], "store": answers[1]}, 200 if all(answers) else 503, self._names)
        if request.path == "/headroom":
            return json_response(self.headroom())
        act = self._acts.get((request.method, request.path))
        if act is None:
            return Response(404, b"not found\n", self._names.copy())
        member = request.query.get("member", "")
        if not _MEMBER.fullmatch(member):
            error = "member must be 1 to 100 letters, digits and . _ @ -"
            return json_response({"error": error}, 400, self._names)
        if self._work.is_full:
            return json_response({"error": "too much waits here already"}, 503, {**self._names, **RETRY_AFTER})
        names = self._names
        if self._sessions:
            if not (session := self._sessions.of(request.headers.get(SESSION))):
                return json_response({"error": "there is no such session; sign in again"}, 401, names)
            names = {**names, SESSION: session}
        return await self._answer(act(request, member, trace), names)

    async def _answer(self, act: Coroutine[Any, Any, Any], names: dict[str, str]) -> Response:
        self.load.begun()
        try:
            return json_response(await self._work.through(act), 200, names)
        except (StoreDown, HttpError) as error:
            return json_response({"error": str(error)}, 503, names)
        except ValueError as error:
            return json_response({"error": str(error)}, 400, names)
        finally:
            self.load.ended()

    def headroom(self) -> dict[str, Any]:
        """Declared capacity and measured load, what waits, and how look-aside reads went since the start."""
        rps = self.load.rps()
        return {
            "capacity_rps": self._options.capacity_rps,
            "load_rps": round(rps, 2),
            "in_flight": self.load.in_flight,
            "headroom": round(1 - rps / self._options.capacity_rps, 4),
            "announcements_waiting": self._announcer.waiting,
            "announcements_dropped": self._announcer.dropped,
            "cache_hits": self._caches.hits,
            "cache_misses": self._caches.misses,
        }

    async def _look_aside(self, key: str, trace: Trace) -> dict[str, Any]:
        """From the caches, else from the store, and then into the caches."""
        cached = await self._caches.get(key, trace)
        if cached is not None:
            found: dict[str, Any] = json.loads(cached)
            return found
        await self._work.more()
        started = time.monotonic()
        stored = await self._store.get(key, trace)
        shown = {"value": value_or_default(key, stored), "timestamp_us": stored.timestamp_us}
        if time.monotonic() - started < FRESH_S:
            self._caches.fill(key, packed(**shown), trace)
        return shown

    async def _profile(self, member: str, trace: Trace) -> Any:
        return (await self._look_aside(f"profile:{member}", trace))["value"]

    async def _show_profile(self, request: Request, member: str, trace: Trace) -> Any:
        return {"member": member, "profile": await self._profile(member, trace)}

    async def _play(self, request: Request, member: str, trace: Trace) -> Any:
        """A stream start: the profile, a title, and a line in the viewing history."""
        profile = await self._profile(member, trace)
        now_us = time.time_ns() // 1000
        title = _title(member, now_us)
        await self._store.put(f"played:{member}", {"title": title, "at_us": now_us}, now_us, trace)
        return {"member": member, "title": title, "language": profile["language"], "stream": f"/streams/{title}"}

    async def _continue(self, request: Request, member: str, trace: Trace) -> Any:
        shown = await self._look_aside(f"progress:{member}", trace)
        return {"member": member, "progress": shown["value"], "timestamp_us": shown["timestamp_us"]}

    async def _progress(self, request: Request, member: str, trace: Trace) -> Any:
        """How far a member is. ``at_us``: the device's clock, which makes trying again harmless."""
        now_us = time.time_ns() // 1000
        at_us = now_us + self._ahead_us if self._ahead_us else _whole(request.query.get("at_us"), now_us)
        title = request.query.get("title") or _title(member, at_us)
        value = {"title": title, "position_s": _whole(request.query.get("position_s"), at_us // 1_000_000 % 7200)}
        key = f"progress:{member}"
        item, started, written, kept = packed(value, at_us), time.monotonic(), False, False
        try:
            kept = await self._store.put(key, value, at_us, trace)
            written = True
        finally:
            # A write that failed, or was given up, may have been made all the same: the caches must not hide it.
            if kept and time.monotonic() - started < FRESH_S:
                self._caches.put(key, item, trace)
            else:
                self._caches.drop(key, trace)
            self._announcer.announce(Announcement.of(key, item, at_us, sure=written), trace)
        return {"member": member, "progress": value, "timestamp_us": at_us}


def _whole(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not text.isdecimal() or len(text) > 17:
        raise ValueError(f"{text[:20]!r} is no whole number; at_us is microseconds since the epoch, position_s seconds")
    return int(text)


def _title(member: str, at_us: int) -> str:
    return f"title-{crc32(f'{member}{at_us // 60_000_000}'.encode()) % TITLES}"


def _stores(context: NodeContext) -> list[Callee]:
    spec, layout = context.spec, context.layout
    own = layout.nodes_of("store", spec.region)
    if context.options.own_stores:
        return [Callee.directly(node) for node in own]
    return [Callee.through(link) for link in layout.links_from(own[0].name, "store")]


def _store_client(context: NodeContext, caller: Caller) -> StoreClient:
    """The client of the store that the manifest names: a real Cassandra, else our stand-in."""
    options = context.options
    try_s = TRY_S if options.gives_up else PATIENT_S
    if context.real.get("store") == "cassandra":
        from .members_cassandra import CassandraStore, ring_of

        ring = ring_of(context)
        careful = options.gives_up and not options.asks_again
        asking = Fused(ring.callees) if careful else _asking(ring.callees, options)
        return CassandraStore(caller, asking, ring, try_s=try_s)
    return HttpStore(caller, _asking(nearest_first(_stores(context), context.spec.zone), options), try_s=try_s)


@asynccontextmanager
async def _queues(context: NodeContext, caller: Caller) -> AsyncIterator[tuple[str, Queue, Queue]]:
    """The name of the region's own queue, its client, and that of the other region's: in containers Amazon's own."""
    spec, layout = context.spec, context.layout
    links = {layout.node(link.target).region: link for link in layout.links_from(spec.name, "queue")}
    here, there = (Callee.through(links[region]) for region in (spec.region, layout.other_region(spec.region)))
    if layout.flavour != "docker":
        yield here.name, Sqs(caller, spec.name, here, QUEUE), Sqs(caller, spec.name, there, QUEUE)
        return
    from .sqs_amazon import queue_of

    async with queue_of(caller, spec.name, here, QUEUE) as own, queue_of(caller, spec.name, there, QUEUE) as far:
        yield here.name, own, far


def _asking(callees: Sequence[Callee], options: Options) -> InTurn:
    return Hastily(callees, times=options.asks_again) if options.asks_again else InTurn(callees)


async def serve(context: NodeContext) -> None:
    """The members node of one zone, until cancelled."""
    spec, layout, pool, rules = context.spec, context.layout, Pool(), Rules()
    caller = Caller(pool, rules)
    own = nearest_first([Callee.through(link) for link in layout.links_from(spec.name, "cache")], spec.zone)
    caches = Caches(caller, spec.name, own)
    store = _store_client(context, caller)
    async with AsyncExitStack() as stack:
        for each in (pool, store, caches):
            stack.push_async_callback(each.aclose)
        name, here, there = await stack.enter_async_context(_queues(context, caller))
        announcer = Announcer(here, name)
        invalidator = Invalidator(there, caches, store, spec.name, late_after_s=context.options.late_after_s)
        service = Service(context, rules, Members(context, caches, store, announcer).route)
        service.ready = False
        async with await service.listen(), asyncio.TaskGroup() as tasks:
            for loop in (announcer.run(), invalidator.run(), caches.catch_up(), caches.look_again()):
                tasks.create_task(loop)
            await store.open()
            await Warming(store, own[0], spec.name).run()
            service.ready = True
