"""A real Cassandra as a members node sees it: the same calls, order and time limits as with our stand-in.

Cassandra's own driver (``cassandra-driver``) keeps the connections, in threads of its own: it finds the nodes of the
region, sees by heartbeats when one falls silent, and tries for ever to have it back. Whom to ask, for how long and
whom next is decided here, so that what a request did is told as with the stand-in. The event loop never waits for it.

``own_stores`` cannot be taken literally, as the driver goes round every link to wherever the nodes say that they are:
a node that is not content with its own region asks for a majority of all regions' replicas instead.
"""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from . import cassandra_schema
from .calls import Callee, Caller, nearest_first
from .cassandra_schema import KV, LATELY, SLOT_S, SLOTS
from .http import Closed, ConnectRefused, HttpError, TimedOut
from .layout import REGIONS
from .members_store import DEEP_TRY_S, TRY_S, Declined, Found, InTurn, StoreDown
from .node import NodeContext
from .store import DEEP_KEY, RECENT_LIMIT, BadRequest, row_to_write
from .trace import Trace

try:
    from cassandra import ConsistencyLevel, OperationTimedOut
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
    from cassandra.connection import ConnectionException
    from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, FallthroughRetryPolicy
    from cassandra.query import BatchStatement, BatchType, tuple_factory
except ImportError as missing:
    raise ImportError("Cassandra's driver is not installed; install simian-army[cassandra]") from missing

CONNECT_S = 5.0
HEARTBEAT_S = (5.0, 10.0)  # how often, and how long an answer may take on a machine that is busy
SCHEMA_S = 40.0
NOTED_LIMIT = 20_000  # keys of one slot: more than anybody warms
_PAUSE_S = (0.3, 5.0)  # after a connection that failed: first, longest
_log = logging.getLogger(__name__)


class _Terse(logging.Filter):
    """Takes tracebacks out of what the driver logs of nodes that it cannot reach: they tell nothing more."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


logging.getLogger("cassandra.cluster").addFilter(_Terse())
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ring:
    """What a members node uses of a ring.

    ``callees``: the nodes of ``region``, a data centre of that name, nearest first. ``replicas``: of each key, by
    region. ``far``: names of the other regions' nodes, to which every write is handed on. ``everywhere``: a quorum is a
    majority of all regions' replicas, not of this one's.
    """

    region: str
    callees: Sequence[Callee]
    replicas: Mapping[str, int]
    far: Sequence[str] = ()
    everywhere: bool = False

    @property
    def consistency(self) -> int:
        """Of reads and writes, as the driver numbers it."""
        return int(ConsistencyLevel.QUORUM if self.everywhere else ConsistencyLevel.LOCAL_QUORUM)


def ring_of(context: NodeContext) -> Ring:
    """The ring that a members node uses: every store node of a region keeps every key, in a healthy lab."""
    spec, layout = context.spec, context.layout
    callees = [Callee.directly(node) for node in layout.nodes_of("store", spec.region)]
    replicas = {region: len(layout.nodes_of("store", region)) for region in REGIONS}
    if context.options.two_replicas:
        replicas[context.options.two_replicas] = 2
    far = [node.name for node in layout.nodes_of("store") if node.region != spec.region]
    return Ring(spec.region, nearest_first(callees, spec.zone), replicas, far, not context.options.own_stores)


class _Connection:
    """The driver's, to all nodes of the region that answer. Blocks while it is made and while it is closed."""

    def __init__(self, ring: Ring) -> None:
        """Raises what the driver does when none answers, or when the tables cannot be made yet."""
        self.cluster = _cluster(ring)
        try:
            self._session = self.cluster.connect()
            cassandra_schema.ensure(self._execute, ring.replicas)
            # Tables are named by ours; keys and values are bound.
            reading, once = f"SELECT key, value, writetime(value) FROM {KV} WHERE key", ConsistencyLevel.LOCAL_ONE  # nosec B608
            self.get = self._prepare(f"{reading} = ?", ring.consistency)
            self.get_many = self._prepare(f"{reading} IN ?", ring.consistency)
            self.put = self._prepare(f"INSERT INTO {KV} (key, value) VALUES (?, ?) USING TIMESTAMP ?", ring.consistency)  # nosec B608
            self.note = self._prepare(f"INSERT INTO {LATELY} (slot, key, at_us) VALUES (?, ?, ?)", ring.consistency)  # nosec B608
            self.noted = self._prepare(f"SELECT key, at_us FROM {LATELY} WHERE slot = ? LIMIT ?", once)  # nosec B608
        except BaseException:
            self.close()
            raise

    def _execute(self, text: str) -> Sequence[Any]:
        return list(self._session.execute(text, timeout=SCHEMA_S))

    def _prepare(self, text: str, consistency: int) -> Any:
        prepared = self._session.prepare(text)
        prepared.consistency_level = consistency
        return prepared

    def ask(self, host: Any, statement: Any, values: Sequence[Any] | None, limit_s: float) -> Any:
        """The driver's future of one statement at one node, and no other."""
        return self._session.execute_async(statement, values, timeout=limit_s, host=host)

    def close(self) -> None:
        """Let go of everything."""
        self.cluster.shutdown()


def _cluster(ring: Ring) -> Any:
    profile = ExecutionProfile(
        load_balancing_policy=DCAwareRoundRobinPolicy(local_dc=ring.region),
        retry_policy=FallthroughRetryPolicy(),
        request_timeout=CONNECT_S,
        row_factory=tuple_factory,
    )
    return Cluster(
        [(callee.host, callee.port) for callee in ring.callees],
        port=ring.callees[0].port,
        protocol_version=4,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ExponentialReconnectionPolicy(1.0, 8.0, max_attempts=None),
        idle_heartbeat_interval=HEARTBEAT_S[0],
        idle_heartbeat_timeout=HEARTBEAT_S[1],
        connect_timeout=CONNECT_S,
        control_connection_timeout=CONNECT_S,
        max_schema_agreement_wait=SCHEMA_S,
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        monitor_reporting_enabled=False,
        # A node that comes back forgets no statement; where it does, it says so and is told again, by who asks it.
        prepare_on_all_hosts=False,
        reprepare_on_up=False,
    )


class CassandraStore:
    """The client of one members node. ``open`` it before anything else."""

    def __init__(self, caller: Caller, asking: InTurn, ring: Ring, *, try_s: float = TRY_S) -> None:
        """``asking``: in which order, and how often; ``try_s``: how long one node is given."""
        self._caller, self._asking, self._ring, self._try_s = caller, asking, ring, try_s
        self._connection: _Connection | None = None
        self._addresses: dict[str, str] = {}
        self._slot, self._noted = 0, set[str]()

    async def open(self) -> None:
        """Return once it is connected and the tables are there; tries for ever."""
        pause_s = _PAUSE_S[0]
        while self._connection is None:
            try:
                self._connection = await _in_thread(partial(_Connection, self._ring), undo=_Connection.close)
            except Exception as error:  # whatever it is: a members node without its store is of no use
                _log.warning("the store cannot be used yet: %s; tried again in %g s", error, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S[1])

    async def aclose(self) -> None:
        """Let go of all connections."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await _in_thread(connection.close)

    async def get(self, key: str, trace: Trace) -> Found:
        """The value of a key. Raises StoreDown."""
        rows = await self._first(trace, lambda way: way.rows(way.to.get, [key]))
        return _found(rows).get(key, Found(None, 0))

    async def get_many(self, keys: Sequence[str], trace: Trace, timeout_s: float) -> dict[str, Found]:
        """The values of many keys; those that were never written are left out. Raises StoreDown."""
        return _found(await self._first(trace, lambda way: way.rows(way.to.get_many, [list(keys)]), timeout_s))

    async def recent(self, limit: int, trace: Trace, timeout_s: float) -> list[str]:
        """Keys written in the last two hours, the one that was first written last in its quarter of an hour first.

        Raises StoreDown.
        """
        return await self._first(trace, partial(_recent, limit=min(limit, RECENT_LIMIT)), timeout_s)

    async def put(self, key: str, value: Any, timestamp_us: int, trace: Trace) -> bool:
        """Write; done when a quorum has it. False: a newer one was there already, and stays. Raises StoreDown.

        Cassandra does not say what was there: that is read afterwards, within the same call. False, too, when that
        cannot be told.
        """
        body = json.dumps({"value": value, "timestamp_us": timestamp_us}).encode()
        try:
            row = row_to_write(key, body, time.time())
        except BadRequest as error:
            raise StoreDown(f"the store refused the write: {error}") from error
        mine = (key, row.value, timestamp_us)
        return await self._asking.first(partial(self._put_at, trace, partial(self._write, mine)), trace)

    async def _put_at(self, trace: Trace, write: "Callable[[_Way], Awaitable[bool]]", callee: Callee) -> bool:
        """One call; whom Cassandra hands the write on to, without waiting, is told here, as it tells no trace."""
        kept = await self._call(trace, write, self._try_s, callee)
        trace.handed_on(callee.name, self._ring.far)
        return kept

    async def probe(self, trace: Trace) -> bool:
        """Whether the nearest store node answers with a quorum, however slowly."""
        try:
            await self._call(trace, lambda way: way.rows(way.to.get, [DEEP_KEY]), DEEP_TRY_S, self._ring.callees[0])
        except (HttpError, Declined, StoreDown):
            return False
        return True

    async def _write(self, mine: tuple[str, str | None, int], way: "_Way") -> bool:
        await way.rows(*self._writing(way.to, mine))
        self._remember(mine[0])
        try:
            return bool(await way.rows(way.to.get, [mine[0]]) == [mine])
        except (HttpError, Declined) as error:
            _log.debug("what became of a write to %s cannot be told: %s", mine[0], error)
            return False

    def _writing(self, to: _Connection, mine: tuple[str, str | None, int]) -> tuple[Any, Sequence[Any] | None]:
        """The statement of a write, and its values. The first of a key in a slot notes it for ``recent`` as well."""
        if not self._to_note(mine[0]):
            return to.put, mine
        both = BatchStatement(BatchType.UNLOGGED, consistency_level=self._ring.consistency)
        both.add(to.put, mine)
        both.add(to.note, (self._slot, mine[0], time.time_ns() // 1000))
        return both, None

    def _to_note(self, key: str) -> bool:
        slot = int(time.time()) // SLOT_S
        if slot != self._slot:
            self._slot = slot
            self._noted.clear()
        return key not in self._noted and len(self._noted) < NOTED_LIMIT

    def _remember(self, key: str) -> None:
        if len(self._noted) < NOTED_LIMIT:
            self._noted.add(key)

    async def _first(self, trace: Trace, act: "Callable[[_Way], Awaitable[T]]", timeout_s: float = 0.0) -> T:
        """What it comes to at the first that serves; ``timeout_s``: for each, 0 for the usual. Raises StoreDown."""
        return await self._asking.first(partial(self._call, trace, act, timeout_s or self._try_s), trace)

    async def _call(self, trace: Trace, act: "Callable[[_Way], Awaitable[T]]", timeout_s: float, callee: Callee) -> T:
        """One call, held back as client-side rules say; its hop goes into ``trace``. Raises HttpError, Declined."""
        ends = time.monotonic() + timeout_s
        try:
            status = await self._caller.hold_back(trace, callee, timeout_s)
            if status is not None and status >= 500:
                raise Declined(f"answered {status}")
            if status is None:
                async with asyncio.timeout(max(ends - time.monotonic(), 0.001)):
                    answer = await act(await self._way(callee, ends))
        except TimeoutError:
            self._tell(trace.failed, callee)
            raise TimedOut(f"no answer in {timeout_s:g} s") from None
        except (HttpError, Declined):
            self._tell(trace.failed, callee)
            raise
        self._tell(trace.called, callee)
        if status is not None:
            raise StoreDown(f"{callee.name} refused the call: it answered {status}")
        return answer

    def _tell(self, told: Callable[[str], None], callee: Callee) -> None:
        """Of one call, into its trace. A majority of all regions' replicas is waited for in another one as well.

        In which of its nodes, Cassandra tells nobody: the first is named.
        """
        told(callee.name)
        for name in self._ring.far[:1] if self._ring.everywhere else ():
            told(name)

    async def _way(self, callee: Callee, ends: float) -> "_Way":
        if self._connection is None:
            raise ConnectRefused("not connected to any node")
        host = self._connection.cluster.metadata.get_host(await self._address(callee), callee.port)
        if host is None:
            self._addresses.pop(callee.host, None)  # its name may lead elsewhere by now
            raise ConnectRefused("the ring has no such node yet")
        return _Way(self._connection, host, ends)

    async def _address(self, callee: Callee) -> str:
        """The nodes know each other by number, never by name."""
        if callee.host not in self._addresses:
            try:
                found = await asyncio.get_running_loop().getaddrinfo(callee.host, callee.port, family=socket.AF_INET)
            except OSError as error:
                raise ConnectRefused(f"{callee.host} is unknown: {error}") from error
            self._addresses[callee.host] = str(found[0][4][0])
        return self._addresses[callee.host]


@dataclass(frozen=True, slots=True)
class _Way:
    """To one node until a monotonic time."""

    to: _Connection
    host: Any
    ends: float

    async def rows(self, statement: Any, values: Sequence[Any] | None) -> list[Any]:
        """Those that a statement comes to. Raises HttpError when no answer came, Declined when it is an error."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Any]] = loop.create_future()

        def tell(settle: Callable[[Any], None], told: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(lambda: None if done.done() else settle(told))

        asked = self.to.ask(self.host, statement, values, max(self.ends - time.monotonic(), 0.001))
        asked.add_callbacks(
            callback=lambda rows: tell(done.set_result, list(rows or [])),
            errback=lambda error: tell(done.set_exception, _meaning(error)),
        )
        return await done


def _meaning(error: Exception) -> HttpError | Declined:
    """What the driver tells, in the words of other calls."""
    if isinstance(error, OperationTimedOut):
        return TimedOut("no answer in time")
    if isinstance(error, NoHostAvailable):
        return ConnectRefused(f"it cannot be reached: {'; '.join(map(str, error.errors.values())) or error}")
    if isinstance(error, ConnectionException):
        return Closed(f"the connection was lost: {error}")
    return Declined(f"answered: {error}")


async def _recent(way: _Way, limit: int) -> list[str]:
    slot, keys = int(time.time()) // SLOT_S, dict[str, None]()
    for back in range(SLOTS):
        rows = await way.rows(way.to.noted, [slot - back, RECENT_LIMIT])
        keys |= dict.fromkeys(key for key, _ in sorted(rows, key=lambda row: row[1], reverse=True) if key not in keys)
        if len(keys) >= limit:
            break
    return list(keys)[:limit]


def _found(rows: Sequence[Any]) -> dict[str, Found]:
    return {key: Found(json.loads(text), at_us) for key, text, at_us in rows}


async def _in_thread(act: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
    """What it comes to in a thread of its own, which keeps no process from ending.

    ``undo`` is done to what comes when nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(told: T | None, error: Exception | None) -> None:
        if error is not None and not done.done():
            done.set_exception(error)
        elif error is None and not done.done():
            done.set_result(told)  # type: ignore[arg-type]
        elif error is None and undo is not None:
            threading.Thread(target=undo, args=(told,), daemon=True).start()

    def work() -> None:
        told, error = None, None
        try:
            told = act()
        except Exception as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed, as the process is about to end
            loop.call_soon_threadsafe(settle, told, error)

    threading.Thread(target=work, name="store", daemon=True).start()
    return await done
