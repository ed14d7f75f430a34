"""Data of a system whose stores are Cassandra nodes: every node asked for its own rows, all else as with ``lab``.

Settings: those of the driver ``lab`` (``write``, ``caches``, ``members``, ``queues``), with ``{driver: cassandra,
stores: {NODE: host:port}, keyspace: lab, table: kv}``. The table has ``key text PRIMARY KEY, value text``; a value is
JSON, and its cell's write time the time of the write.

Consistency ONE does not do: whoever is asked prefers a replica that has been quick lately to its own, and asks
another when the first takes its time. ``NODE_LOCAL`` is a node's own rows and nothing else; Cassandra allows it when
it is started with ``-Dcassandra.enable_nodelocal_queries=true``.
"""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from simian.data.lab import BATCH, PREFIX, LabData, cell, data_from, host_and_port, understood
from simian.errors import DriverError, TimedOut, Unreachable, UsageError
from simian.world import Cell

try:
    from cassandra import ConsistencyLevel, OperationTimedOut
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
    from cassandra.connection import ConnectionException
    from cassandra.policies import FallthroughRetryPolicy, WhiteListRoundRobinPolicy
    from cassandra.query import SimpleStatement, ValueSequence, tuple_factory
except ImportError as missing:
    raise ImportError("Cassandra's driver is not installed; install simian-army[cassandra]") from missing

KEYSPACE, TABLE = "lab", "kv"
CONNECT_S = 5.0  # whoever waits for it may give up sooner; it goes on for the next
NODE_LOCAL = 11  # the driver has no name for it
_ALLOW = "-Dcassandra.enable_nodelocal_queries=true"
_NAME = re.compile(r"[A-Za-z]\w{0,47}", re.ASCII)
_LOST = (NoHostAvailable, ConnectionException, OSError)  # no answer, and none to come
# It prints tracebacks of what it cannot reach wherever nobody has said where logs go; what matters is in our errors.
logging.getLogger("cassandra").addHandler(logging.NullHandler())


class Replica:
    """One node, over a connection to it alone: made when it is first asked, and anew when it was lost."""

    def __init__(self, name: str, host: str, port: int, table: str) -> None:
        self._name, self._host, self._port = name, host, port
        # The table is of simian.yaml, and checked to be a name; keys are bound.
        self._rows = f"SELECT key, value, writetime(value) FROM {table} WHERE key IN %s"  # nosec B608
        self._lock = threading.Lock()
        self._session: Future[Any] | None = None

    def rows(self, keys: Sequence[str], ends: float) -> Mapping[str, Cell]:
        """Its own rows of these keys. Raises Unreachable, TimedOut, DriverError."""
        found: dict[str, Cell] = {}
        for start in range(0, len(keys), BATCH):
            batch = ValueSequence([PREFIX + key for key in keys[start : start + BATCH]])
            rows = self._ask(SimpleStatement(self._rows, consistency_level=NODE_LOCAL), (batch,), ends)
            with understood(self._name):
                found |= {key.removeprefix(PREFIX): cell(text, at_us) for key, text, at_us in rows}
        return found

    def hints(self, ends: float) -> int:
        """Files of hints that it keeps for other nodes: one for each, as a rule, ten seconds after the first hint."""
        text = SimpleStatement("SELECT files FROM system_views.pending_hints", consistency_level=ConsistencyLevel.ONE)
        return sum(files for (files,) in self._ask(text, None, ends))

    def _ask(self, statement: Any, values: tuple[Any, ...] | None, ends: float) -> list[Any]:
        """The rows of a statement; one over a connection that has been lost since is made again over a new one."""
        kept = self._session
        try:
            return self._answer(statement, values, ends)
        except Unreachable:
            if kept is None:
                raise
        return self._answer(statement, values, ends)

    def _answer(self, statement: Any, values: tuple[Any, ...] | None, ends: float) -> list[Any]:
        session = self._connected(ends)
        try:
            return list(session.result().execute(statement, values, timeout=_left_s(ends)))
        except OperationTimedOut as error:
            raise TimedOut(f"{self} did not answer in time") from error
        except _LOST as error:
            self._forget(session)
            raise _lost(str(self), error) from error
        except Exception as error:  # what the node answered, in one of many classes
            hint = f"; start it with {_ALLOW}" if "NODE_LOCAL" in str(error) else ""
            raise DriverError(f"{self} answered: {error}{hint}") from error

    def _connected(self, ends: float) -> "Future[Any]":
        """A session that is there. Raises TimedOut while it is still being made, Unreachable when it cannot be."""
        with self._lock:
            if self._session is None:
                self._session = Future()
                threading.Thread(target=_connect, args=(self._session, self._host, self._port), daemon=True).start()
            session = self._session
        try:
            error = session.exception(_left_s(ends))
        except TimeoutError as silent:
            raise TimedOut(f"{self} did not take a connection in time") from silent
        if error is not None:
            self._forget(session)
            raise _lost(str(self), error) from error
        return session

    def _forget(self, session: "Future[Any]") -> None:
        with self._lock:
            if self._session is session:
                self._session = None
        if session.exception() is None:
            threading.Thread(target=session.result().cluster.shutdown, daemon=True).start()

    def __str__(self) -> str:
        return f"{self._name} at {self._host}:{self._port}"


def _left_s(ends: float) -> float:
    return max(ends - time.monotonic(), 0.001)


def _lost(who: str, error: BaseException) -> DriverError:
    """TimedOut where it is silence, Unreachable where nobody is, in the driver's words."""
    reasons = list(error.errors.values()) if isinstance(error, NoHostAvailable) else [error]
    text = "; ".join(str(reason) or type(reason).__name__ for reason in reasons) or str(error)
    if any(isinstance(reason, OperationTimedOut | TimeoutError) for reason in reasons):
        return TimedOut(f"{who} did not answer in time ({text})")
    return Unreachable(f"{who} does not answer ({text})")


def _connect(session: "Future[Any]", host: str, port: int) -> None:
    """A session of that node and no other one of its ring."""
    try:
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy([host]),
            retry_policy=FallthroughRetryPolicy(),
            request_timeout=CONNECT_S,
            row_factory=tuple_factory,
        )
        cluster = Cluster(
            [host],
            port=port,
            protocol_version=4,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connect_timeout=CONNECT_S,
            control_connection_timeout=CONNECT_S,
            idle_heartbeat_interval=0,
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
            monitor_reporting_enabled=False,
        )
        session.set_result(cluster.connect())
    except Exception as error:
        session.set_exception(error)


def _replica(name: str, address: str, table: str) -> Replica:
    return Replica(name, *host_and_port(address, "127.0.0.1:9042"), table)


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> LabData:
    """The driver of the section ``data:``. Raises UsageError with every problem at once."""
    names = {"keyspace": settings.get("keyspace", KEYSPACE), "table": settings.get("table", TABLE)}
    problems = [
        f"data.{key} is {name!r:.80}; it must be a name of letters, digits and _, at most 48, a letter first"
        for key, name in names.items()
        if not isinstance(name, str) or not _NAME.fullmatch(name)
    ]
    try:
        data = data_from(settings, partial(_replica, table=".".join(map(str, names.values()))), tuple(names))
    except UsageError as error:
        raise UsageError([*error.problems, *problems]) from error
    if problems:
        raise UsageError(problems)
    return data
