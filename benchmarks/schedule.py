"""Schedules beside APScheduler's own SQL store: added and listed, how late what is due starts, what waiting costs.

    python benchmarks/schedule.py [--rounds 5] [--json FILE] [--quick]

Added one at a time is what people do, all at once what a file does; the peer adds one at a time only. Both keep their
rows in SQLite on the same disk. Lateness is that of the alarm clock with a look at the rows behind it, beside the event
loop's own ``call_at``. What waiting costs is processor time of a daemon's loop with that many schedules, none due.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import apscheduler
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from peers import Goal, Report, alone, compared, interleaved, run

from simian.clock import SystemClock
from simian.daemon.keeper import Keeper
from simian.daemon.owner import Daemon
from simian.history import open_schedules
from simian.schedule.alarm import Alarm
from simian.schedule.row import Schedule
from simian.schedule.when import text_of

MANY, QUICK_MANY = 10_000, 500
STARTS, QUICK_STARTS = 200, 40
IDLE_S, QUICK_IDLE_S = 30.0, 3.0
TICK_S = 5.0


def nothing() -> None:
    """What the peer's jobs do."""


def row(name: str) -> dict[str, object]:
    """A daily schedule."""
    when = {"cron": "0 10 * * *"}
    return Schedule(name=name, monkey="chaos", when=when, made="2026-11-26T00:00:00.000000Z", seed=7).to_json()


def ours_s(folder: Path, many: int, *, at_once: bool) -> float:
    """Seconds to add and to list that many."""
    with open_schedules(folder / f"ours-{time.time_ns()}.db") as store:
        begin = time.perf_counter()
        if at_once:
            store.add_all(row(f"s{n}") for n in range(many))
        else:
            for n in range(many):
                store.add(row(f"s{n}"))
        assert len(store.all()) == many
        return time.perf_counter() - begin


def peers_s(folder: Path, many: int) -> float:
    """The same by the peer."""
    store = SQLAlchemyJobStore(f"sqlite:///{folder}/peer-{time.time_ns()}.db")
    timers = BackgroundScheduler(jobstores={"default": store})
    timers.start(paused=True)
    try:
        begin = time.perf_counter()
        for n in range(many):
            timers.add_job(nothing, "cron", hour=10, id=f"s{n}")
        assert len(timers.get_jobs()) == many
        return time.perf_counter() - begin
    finally:
        timers.shutdown(wait=False)


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


def lateness_ms(folder: Path, starts: int) -> float:
    """p99 of how late runs of one schedule a moment start, ms."""
    late: list[float] = []
    with open_schedules(folder / f"late-{time.time_ns()}.db") as store:
        begin = time.time() + 1.0
        dues = [round(begin + n * 0.05, 6) for n in range(starts)]
        made = text_of(time.time())
        rows = (Schedule(f"s{n}", {"at": text_of(due)}, made, 7, monkey="chaos") for n, due in enumerate(dues))
        store.add_all(one.to_json() for one in rows)
        starter, bell = Quick(), SimpleQueue[str]()
        alarm = Alarm(bell.put)
        alarm.start()
        keeper = Keeper(store, starter, SystemClock(), Daemon.me(folder))
        _keep(keeper, alarm, bell, lambda: len(starter.began) == starts)
        alarm.stop()
        late = [1000 * (began - due) for began, due in zip(starter.began, dues, strict=True)]
    return statistics.quantiles(late, n=100)[98]


def _keep(keeper: Keeper, alarm: Alarm, bell: "SimpleQueue[str]", done: Callable[[], bool]) -> None:
    """The daemon's loop."""
    while not done():
        keeper.look()
        starts = keeper.next_starts()
        for name in dict.fromkeys(keeper.reset):
            if name in starts:
                alarm.set(name, starts[name])
        keeper.reset = []
        try:
            bell.get(timeout=TICK_S)
        except Empty:
            continue


def loops_lateness_ms(starts: int) -> float:
    """p99 of how late the event loop itself is, ms."""

    async def measured() -> list[float]:
        loop, late = asyncio.get_running_loop(), []
        begin, ended = loop.time() + 1.0, asyncio.Event()

        def ring(due: float) -> None:
            late.append(1000 * (loop.time() - due))
            if len(late) == starts:
                ended.set()

        for n in range(starts):
            loop.call_at(begin + n * 0.05, ring, begin + n * 0.05)
        await ended.wait()
        return late

    return statistics.quantiles(asyncio.run(measured()), n=100)[98]


def idle_percent(folder: Path, many: int, for_s: float) -> float:
    """Percent of one processor that waiting takes."""
    with open_schedules(folder / f"idle-{time.time_ns()}.db") as store:
        store.add_all(row(f"s{n}") for n in range(many))
        bell = SimpleQueue[str]()
        alarm = Alarm(bell.put)
        alarm.start()
        keeper = Keeper(store, Quick(), SystemClock(), Daemon.me(folder))
        keeper.look()
        for name, at in keeper.next_starts().items():
            alarm.set(name, at)
        keeper.reset = []
        until, begin = time.monotonic() + for_s, time.process_time()
        _keep(keeper, alarm, bell, lambda: time.monotonic() > until)
        used = time.process_time() - begin
        alarm.stop()
        return 100 * used / for_s


def measure(report: Report) -> None:
    """Rows, then starts, then nothing at all."""
    many = QUICK_MANY if report.quick else MANY
    starts, for_s = (QUICK_STARTS, QUICK_IDLE_S) if report.quick else (STARTS, IDLE_S)
    report.peers["APScheduler"] = apscheduler.version
    with tempfile.TemporaryDirectory() as name:
        folder, few = Path(name), max(many // 10, 100)
        ours, peer = interleaved(
            report.rounds, lambda: ours_s(folder, many, at_once=True), lambda: peers_s(folder, many)
        )
        what = f"{many:,} schedules added at once and listed"
        report.rows.append(compared(what, "s", ours, peer, "one at a time", Goal(0.05)))
        ours, peer = interleaved(
            report.rounds, lambda: ours_s(folder, few, at_once=False), lambda: peers_s(folder, few)
        )
        report.rows.append(compared(f"{few:,} added one at a time and listed", "s", ours, peer, "SQL store", None))
        ours, peer = interleaved(report.rounds, lambda: lateness_ms(folder, starts), lambda: loops_lateness_ms(starts))
        report.rows.append(compared("lateness of a start, p99", "ms", ours, peer, "call_at", Goal(1.2)))
        idle = [idle_percent(folder, many, for_s) for _ in range(max(1, report.rounds // 2))]
        report.rows.append(alone(f"processor with {many:,} schedules, none due", "%", idle, 0.05))


if __name__ == "__main__":
    run("schedule", __doc__, measure)
