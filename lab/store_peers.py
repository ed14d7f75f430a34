"""How a store node talks to its peers: at once to those of its region, by hints to the others and to those away.

What is to be said to a peer is gathered into batches while earlier ones are under way, so the busier the cheaper.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from .calls import Callee, Caller
from .http import HttpError, Malformed, Response, TimedOut
from .http_message import compact_json
from .store_data import Replica, Row, row_of
from .trace import Trace

PATH = "/replicas"
NEAR_TIMEOUT_S = 0.4
FAR_TIMEOUT_S = 5.0
BATCH_LIMIT = 500
WAITING_LIMIT = 10_000
_LINGER_S = 0.1
_PAUSE_S = (0.2, 1.0)  # after a delivery that failed: first, longest


@dataclass(frozen=True, slots=True)
class _Told:
    """What a peer said to a batch: its row of each key to get, and its rows newer than those it was to put, by key."""

    got: list[Row | None]
    newer: dict[str, Row]


async def _post(
    caller: Caller, trace: Trace, peer: Callee, gets: list[str], puts: list[Row], timeout_s: float
) -> _Told:
    body = compact_json({"get": gets, "put": puts}).encode()
    answer = await caller.call(trace, peer, "POST", PATH, body=body, timeout_s=timeout_s)
    return _told(answer, len(gets))


def _told(answer: Response, count: int) -> _Told:
    if answer.status != 200:
        raise Malformed(f"the peer answered {answer.status}")
    try:
        shape = answer.json()
        rows = [row_of(row) if row is not None else None for row in shape["got"]]
        newer = [row_of(row) for row in shape["newer"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"the peer answered with something else: {error}") from None
    if len(rows) != count:
        raise Malformed(f"the peer answered with {len(rows)} rows, {count} were asked for")
    return _Told(rows, {row.key: row for row in newer})


@dataclass(slots=True)
class _Asked:
    """Something to say to a peer: a key to get, or a row to put; ``trace``: of the request it is for."""

    what: str | Row
    trace: Trace
    answer: "asyncio.Future[Row | None]"


class Lane:
    """The way to one peer of the same region. ``undelivered`` is told the keys of puts that did not arrive."""

    def __init__(self, caller: Caller, node: str, peer: Callee, undelivered: Callable[[str, list[str]], None]) -> None:
        self.peer = peer
        self._caller, self._node, self._undelivered = caller, node, undelivered
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._failing = False

    def close(self) -> None:
        """Stop; what is under way is not heard of any more."""
        for task in self._under_way:
            task.cancel()
        self._waiting.clear()

    @property
    def failing(self) -> bool:
        """Whether it did not answer the last time."""
        return self._failing

    def get(self, key: str, trace: Trace) -> "asyncio.Future[Row | None]":
        """The peer's row; the future fails with an HttpError when the peer does not answer in time."""
        return self._ask(key, trace)

    def put(self, row: Row, trace: Trace) -> "asyncio.Future[Row | None]":
        """Done when the peer keeps the row, or a newer one, which it tells. When that fails, a hint is left."""
        return self._ask(row, trace)

    def _ask(self, what: str | Row, trace: Trace) -> "asyncio.Future[Row | None]":
        loop = asyncio.get_running_loop()
        asked = _Asked(what, trace, loop.create_future())
        asked.answer.add_done_callback(_noted)
        if len(self._waiting) >= WAITING_LIMIT:
            self._fail([asked], TimedOut(f"too much waits for {self.peer.name} already"))
            return asked.answer
        self._waiting.append(asked)
        if len(self._waiting) == 1:
            loop.call_soon(self._pump)
        return asked.answer

    def _pump(self) -> None:
        """A peer that fails gets one batch at a time, so that one that hangs is not piled up on."""
        while self._waiting and len(self._under_way) < (1 if self._failing else 8):
            batch, self._waiting = self._waiting[:BATCH_LIMIT], self._waiting[BATCH_LIMIT:]
            task = asyncio.get_running_loop().create_task(self._send(batch))
            self._under_way.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._pump()

    async def _send(self, batch: list[_Asked]) -> None:
        trace = Trace(self._node)
        gets = [asked for asked in batch if isinstance(asked.what, str)]
        rows = [asked.what for asked in batch if isinstance(asked.what, Row)]
        try:
            keys = [str(asked.what) for asked in gets]
            told = await _post(self._caller, trace, self.peer, keys, rows, NEAR_TIMEOUT_S)
        except HttpError as error:
            self._failing = True
            self._fail(batch, error, trace)
            return
        self._failing = False
        answers = dict(zip(map(id, gets), told.got, strict=True))
        for asked in batch:
            asked.trace.mark(trace.marks)
            if not asked.answer.done():
                put = asked.what if isinstance(asked.what, Row) else None
                asked.answer.set_result(told.newer.get(put.key) if put else answers[id(asked)])

    def _fail(self, batch: list[_Asked], error: HttpError, trace: Trace | None = None) -> None:
        for asked in batch:
            asked.trace.mark(trace.marks if trace else ())
            if not asked.answer.done():
                asked.answer.set_exception(error)
        if keys := [asked.what.key for asked in batch if isinstance(asked.what, Row)]:
            self._undelivered(self.peer.name, keys)


def _noted(answer: "asyncio.Future[Row | None]") -> None:
    """An answer nobody waits for any longer may fail without a word: the hint for it is left already."""
    if not answer.cancelled():
        answer.exception()


class Courier:
    """Delivers the hints kept for one peer, oldest first, for as long as it runs.

    ``keeps``: what the peer did not take waits until it does; else it is thrown away.
    """

    def __init__(
        self, caller: Caller, node: str, replica: Replica, peer: Callee, *, at_once: int, keeps: bool = True
    ) -> None:
        self.peer, self._keeps = peer, keeps
        self._caller, self._node, self._replica = caller, node, replica
        self._free = asyncio.Semaphore(at_once)
        self._wake = asyncio.Event()
        self._cursor = 0
        self._pause_s = 0.0
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There is a new hint."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._next()
        finally:
            for task in self._under_way:
                task.cancel()

    async def _next(self) -> None:
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        await self._free.acquire()
        batch = self._replica.hinted(self.peer.name, self._cursor, BATCH_LIMIT)
        if not batch:
            self._free.release()
            self._wake.clear()
            await self._wake.wait()
            await asyncio.sleep(_LINGER_S)  # so that what comes together travels together
            return
        self._cursor = batch[-1][0]
        task = asyncio.get_running_loop().create_task(self._deliver(batch))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda _: self._free.release())

    async def _deliver(self, batch: list[tuple[int, str]]) -> None:
        rows = [row for key in dict.fromkeys(key for _, key in batch) if (row := self._replica.get(key))]
        try:
            await _post(self._caller, Trace(self._node), self.peer, [], rows, FAR_TIMEOUT_S)
        except HttpError:
            if not self._keeps:
                self._replica.hints_done(self.peer.name, [number for number, _ in batch])
                return
            # Not lost: the hints stay, and are read again from the oldest on.
            self._pause_s = min(max(self._pause_s * 2, _PAUSE_S[0]), _PAUSE_S[1])
            self._cursor = 0
            self._wake.set()
            return
        self._pause_s = 0.0
        self._replica.hints_done(self.peer.name, [number for number, _ in batch])
