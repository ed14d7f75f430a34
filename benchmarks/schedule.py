"""Schedules beside APScheduler's own SQL store: added and listed, how late what is due starts, what waiting costs.

    python benchmarks/schedule.py [--rounds 5] [--json FILE] [--quick]

Added one at a time is what people do, all at once what a file does; the peer adds one at a time only. Both keep their
rows in SQLite on the same disk. Late is how long after its moment a run is started, with the claim of it in the
database, while 10,000 more schedules wait; the peers are the event loop's own `call_at`, which keeps nothing, and a
job in APScheduler's SQL store, which forgets what a dead scheduler had begun. Starts are 20 ms apart. What waiting
costs is processor time of the daemon's loop with so many schedules, none due; the peer has them in its own store.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import apscheduler
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from peers import Goal, Report, Row, compared, interleaved, run

from simian.clock import SystemClock
from simian.daemon.clockwork import Clockwork
from simian.daemon.keeper import Keeper
from simian.daemon.owner import Daemon
from simian.history import Schedules, open_schedules
from simian.schedule.row import Schedule
from simian.schedule.when import text_of

MANY, QUICK_MANY = 10_000, 100
STARTS, QUICK_STARTS = 500, 20
APART_S = 0.02
BEFORE_S = 1.0  # what is due first is due so long after all is ready
IDLE_S, QUICK_IDLE_S = 30.0, 0.5
TICK_S = 5.0  # as simian serve looks
IDLE = Goal(0.05, of="ours")
PUNCTUAL = Goal(1.2)


def nothing() -> None:
    """What the peer's jobs do while none is due."""


def row(name: str) -> Schedule:
    """One that is not due before tomorrow."""
    tomorrow = text_of(time.time() + 86_400.0)
    return Schedule(name=name, monkey="chaos", when={"every_s": 86_400.0, "from": tomorrow}, made=now(), seed=7)


def now() -> str:
    """As schedules have it."""
    return text_of(time.time())


@contextmanager
def ours(folder: Path) -> Iterator[Schedules]:
    """A new store."""
    with open_schedules(folder / f"ours-{time.time_ns()}.db") as store:
        yield store


@contextmanager
def peers_timers(folder: Path, *, paused: bool) -> Iterator[BackgroundScheduler]:
    """The peer with a new store, begun."""
    store = SQLAlchemyJobStore(f"sqlite:///{folder}/peer-{time.time_ns()}.db")
    timers = BackgroundScheduler(jobstores={"default": store}, timezone="UTC")
    timers.start(paused=paused)
    try:
        yield timers
    finally:
        timers.shutdown(wait=False)


# --- added and listed


def ours_s(folder: Path, many: int, *, at_once: bool) -> float:
    """Seconds to add and to list that many."""
    with ours(folder) as store:
        rows = [row(f"s{number}").to_json() for number in range(many)]
        begin = time.perf_counter()
        if at_once:
            store.add_all(rows)
        else:
            for each in rows:
                store.add(each)
        assert len(store.all()) == many
        return time.perf_counter() - begin


def peers_s(folder: Path, many: int) -> float:
    """The same by the peer."""
    with peers_timers(folder, paused=True) as timers:
        begin = time.perf_counter()
        add_daily(timers, many)
        assert len(timers.get_jobs()) == many
        return time.perf_counter() - begin


def add_daily(timers: BackgroundScheduler, many: int) -> None:
    """So many jobs that are not due before tomorrow."""
    for number in range(many):
        timers.add_job(nothing, "interval", days=1, id=f"s{number}")


# --- late


class Quick:
    """A starter whose runs are moments."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self._names = itertools.count()

    def name(self) -> str:
        """Of a run."""
        return f"r{next(self._names)}"

    def start(self, run_: str, schedule: Schedule, seed: int) -> None:
        """Note when."""
        self.began.append(time.time())

    def fence(self, run_: str) -> bool:
        """Nothing is left behind."""
        return True

    def ending(self, run_: str) -> tuple[str, str]:
        """At once."""
        return "ended", "held"


def serve(store: Schedules, starter: Quick, folder: Path, done: Callable[[], bool], tick_s: float = TICK_S) -> None:
    """The daemon's loop until then; it is asked before each look."""
    clock = SystemClock()
    keeper = Keeper(store, starter, clock, Daemon.me(folder))
    clockwork = Clockwork(keeper, clock)
    clockwork.start()
    while not done():
        keeper.look()
        clockwork.wait(tick_s)
    clockwork.stop()


def ours_late_ms(folder: Path, starts: int, many: int) -> list[float]:
    """How late each start was."""
    with ours(folder) as store:
        store.add_all(row(f"w{number}").to_json() for number in range(many))
        begin = time.time() + BEFORE_S + many / 1000  # the daemon reads its rows first
        dues = [round(begin + number * APART_S, 6) for number in range(starts)]
        made = now()
        rows = (Schedule(f"s{n}", {"at": text_of(due)}, made, 7, monkey="chaos") for n, due in enumerate(dues))
        store.add_all(one.to_json() for one in rows)
        starter = Quick()
        serve(store, starter, folder, lambda: len(starter.began) == starts)
        return [1000 * (began - due) for began, due in zip(starter.began, dues, strict=True)]


def loops_late_ms(starts: int) -> list[float]:
    """The same of the event loop itself."""

    async def measured() -> list[float]:
        loop, late = asyncio.get_running_loop(), []
        begin, ended = loop.time() + BEFORE_S, asyncio.Event()

        def ring(due: float) -> None:
            late.append(1000 * (loop.time() - due))
            if len(late) == starts:
                ended.set()

        for number in range(starts):
            loop.call_at(begin + number * APART_S, ring, begin + number * APART_S)
        await ended.wait()
        return late

    return asyncio.run(measured())


peers_late: list[float] = []


def note(due: float) -> None:
    """What the peer's jobs do: its store keeps the name of a function, and no object."""
    peers_late.append(1000 * (time.time() - due))


def peers_late_ms(folder: Path, starts: int) -> list[float]:
    """The same of the peer with its own store."""
    peers_late.clear()
    with peers_timers(folder, paused=True) as timers:
        begin = time.time() + BEFORE_S + starts / 200
        for number in range(starts):
            due = begin + number * APART_S
            at = datetime.fromtimestamp(due, UTC)
            timers.add_job(note, "date", run_date=at, args=[due], id=f"s{number}", misfire_grace_time=None)
        timers.resume()
        while len(peers_late) < starts:
            time.sleep(0.1)
    return list(peers_late)


def late(folder: Path, rounds: int, starts: int, many: int) -> Iterator[Row]:
    """Rows of it."""
    mine, loops, peers = interleaved(
        rounds,
        lambda: ours_late_ms(folder, starts, many),
        lambda: loops_late_ms(starts),
        lambda: peers_late_ms(folder, starts),
    )
    for name, taken, goal in (("call_at", loops, PUNCTUAL), ("SQL store", peers, None)):
        for word, share in (("p50", 0.5), ("p99", 0.99)):
            of_ours, of_peer = ([sorted(each)[int(share * len(each))] for each in of] for of in (mine, taken))
            yield compared(f"late, {word}", "ms", of_ours, of_peer, name, goal if word == "p99" else None)


# --- idle


def ours_idle_percent(folder: Path, many: int, for_s: float) -> float:
    """Percent of one processor that waiting takes."""
    with ours(folder) as store:
        store.add_all(row(f"s{number}").to_json() for number in range(many))
        looks: list[tuple[float, float]] = []

        def done() -> bool:
            looks.append((time.monotonic(), time.process_time()))
            return len(looks) > 2 and looks[-1][0] - looks[1][0] >= for_s

        serve(store, Quick(), folder, done, min(TICK_S, for_s / 2))
        (began, before_s), (ended, after_s) = looks[1], looks[-1]  # the first look reads all, and sets alarms
        return 100 * (after_s - before_s) / (ended - began)


def peers_idle_percent(folder: Path, many: int, for_s: float) -> float:
    """The same of the peer."""
    with peers_timers(folder, paused=True) as timers:
        add_daily(timers, many)
        timers.resume()
        time.sleep(BEFORE_S)
        begin = time.process_time()
        time.sleep(for_s)
        return 100 * (time.process_time() - begin) / for_s


def measure(report: Report) -> None:
    """Rows, then starts, then nothing at all."""
    many, starts, for_s = (QUICK_MANY, QUICK_STARTS, QUICK_IDLE_S) if report.quick else (MANY, STARTS, IDLE_S)
    report.peers["APScheduler"] = apscheduler.version
    with tempfile.TemporaryDirectory() as name:
        folder, few = Path(name), many // 10
        once, peer = interleaved(
            report.rounds, lambda: ours_s(folder, many, at_once=True), lambda: peers_s(folder, many)
        )
        what = f"{many:,} schedules added at once and listed"
        report.rows.append(compared(what, "s", once, peer, "SQL store, one at a time", Goal(0.05)))
        each, peer = interleaved(
            report.rounds, lambda: ours_s(folder, few, at_once=False), lambda: peers_s(folder, few)
        )
        report.rows.append(compared(f"{few:,} added one at a time and listed", "s", each, peer, "SQL store", None))
        report.rows += late(folder, report.rounds, starts, many)
        idle, peer = interleaved(
            report.rounds,
            lambda: ours_idle_percent(folder, many, for_s),
            lambda: peers_idle_percent(folder, many, for_s),
        )
        report.rows.append(compared(f"processor while {many:,} schedules wait", "%", idle, peer, "SQL store", IDLE))


if __name__ == "__main__":
    run("schedule", __doc__, measure)
