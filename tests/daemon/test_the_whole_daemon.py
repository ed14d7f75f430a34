"""``simian serve`` when its surroundings turn on it: the database, the clock, its own sleep. Each due time is told once
and each run hit once, as those that were hit tell it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from simian.history import open_schedules

from ..faked_time import FakedTime
from ..hurt_files import full, locked, mounted
from ..postgres import Postgres, postgres
from .whole_daemon import Whole, until

FULL = int(os.environ.get("SIMIAN_SEEDS", "1")) > 1
EAST_A, EAST_B = "web-east-a", "web-east-b"
HOUR_S = 3600
LATER = 5 * HOUR_S + HOUR_S // 2  # far from any due time, whatever a slow machine takes
Start = Callable[..., Whole]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short name: a socket's may have some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="simian-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """A small system with its history at this place."""
    with ExitStack() as stack:

        def started(place: str | Path, environment: Mapping[str, str] | None = None) -> Whole:
            whole = Whole(folder, str(place), environment)
            stack.callback(whole.close)
            return whole

        yield started


# --- a database that is away


def test_a_postgresql_that_is_away_for_a_while_loses_and_doubles_nothing(start: Start) -> None:
    with postgres() as server:
        whole = start(server.create("away"))
        daemon = whole.daemon()
        whole.schedule("often", EAST_A, every_s=3.0, first_in_s=1.0)
        whole.in_state("often", "ended")
        with away(server):
            looked = daemon.said("schedules cannot be looked at")
            until(lambda: daemon.asked("status")["runs"] == [], "the run that went on has ended")
            before = whole.nodes.hits(EAST_A)
            assert daemon.asked("halt", reason="an outage")["halted"] == "an outage"
            assert daemon.asked("resume")["halted"] is None
            until(lambda: daemon.said("schedules cannot be looked at") > looked + 1, "it has looked in vain")
            assert whole.nodes.hits(EAST_A) == before, "something was started without a claim"
        whole.in_state("often", "ended", more_than=len([one for one in whole.states("often") if one == "ended"]))
        whole.at_rest()
        assert daemon.asked("resume")["halted"] is None
        with open_schedules(whole.place) as store:
            assert [note["what"] for note in store.notes()] == ["resume", "resume", "halt"]
        assert daemon.end() == 0
        whole.all_is_told_once()


@contextmanager
def away(server: Postgres) -> Iterator[None]:
    """It was killed, and is started again in the end."""
    server.control("-m", "immediate", "stop")
    try:
        yield
    finally:
        server.control("start")


@contextmanager
def hung(server: Postgres) -> Iterator[None]:
    """The server and all that serves its clients stand still; what is sent to them is taken, and never answered."""
    main = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    children = [pid for file in Path(f"/proc/{main}/task").glob("*/children") for pid in file.read_text().split()]
    processes = [main, *map(int, children)]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_postgresql_that_hangs_keeps_the_daemon_from_no_halt_and_from_no_end(start: Start) -> None:
    with postgres() as server:
        whole = start(server.create("hangs"))
        daemon = whole.daemon()
        whole.schedule("often", EAST_B, every_s=3.0, first_in_s=2.0)
        whole.in_state("often", "started")
        until(lambda: whole.nodes.ask(EAST_B) == "refused", "its node is down")
        with hung(server):
            assert daemon.asked("halt", reason="an outage")["halted"] == "an outage"
            until(lambda: whole.nodes.answers(EAST_B), "all is put back")
            assert daemon.asked("resume")["halted"] is None
            assert daemon.end() == 0
        assert not [row for row in daemon.runs().values() if row["ended"] is None]


def test_what_a_dead_run_left_is_put_back_though_the_database_is_away(start: Start) -> None:
    with postgres() as server:
        whole = start(server.create("gone"))
        daemon = whole.daemon()
        experiment = str(whole.folder / f"{EAST_A}.yaml")
        run = daemon.asked("start", experiment=experiment, for_s=120.0)["run"]
        until(lambda: whole.nodes.ask(EAST_A) == "refused", "its node is down")
        row = daemon.runs()[run]
        for pid in (row["guardian_pid"], row["pid"]):
            os.kill(pid, signal.SIGKILL)
        daemon.kill()
        with away(server):
            assert whole.nodes.ask(EAST_A) == "refused"
            daemon.start()
            assert daemon.process is not None
            assert daemon.process.wait(120) != 0
            assert daemon.said("error: history") == 1
        assert whole.nodes.answers(EAST_A)
        assert daemon.runs()[run]["outcome"] == "crashed"


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    with mounted(folder / "disk") as place:
        yield place


@pytest.mark.parametrize("harm", [locked, full])
def test_an_sqlite_that_takes_nothing_for_a_while_loses_and_doubles_nothing(
    start: Start, small_disk: Path, harm: Callable[[Path], AbstractContextManager[None]]
) -> None:
    place = small_disk / "history.db"
    whole = start(place)
    daemon = whole.daemon()
    schedule = whole.schedule("often", EAST_A, every_s=3.0, first_in_s=1.0)
    whole.in_state("often", "ended")
    with harm(place):
        until(lambda: daemon.asked("status")["runs"] == [], "the run that went on has ended")
        before, due = whole.nodes.hits(EAST_A), schedule.due_after(time.time())
        late_s = 45.0 if FULL else 3.0
        assert due is not None
        until(lambda: time.time() > due + late_s, "a due time passes")
        assert whole.nodes.hits(EAST_A) == before, "something was started without a claim"
    whole.in_state("often", "ended", more_than=len([one for one in whole.states("often") if one == "ended"]))
    whole.at_rest()
    assert daemon.end() == 0
    whole.all_is_told_once()


# --- its own sleep, and clocks


@pytest.fixture
def time_of_day(folder: Path) -> FakedTime:
    return FakedTime(folder)


def test_how_long_things_take_is_left_alone_by_the_time_of_these_tests(time_of_day: FakedTime) -> None:
    say = "import time; time.sleep(0.01); print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    time_of_day.set(HOUR_S)
    environment = {**os.environ, **time_of_day.environment}
    said = subprocess.run([sys.executable, "-c", say], env=environment, capture_output=True, text=True, check=True)
    now, monotonic, since_boot = map(float, said.stdout.split())
    assert now > time.time() + HOUR_S - 60
    assert monotonic <= time.monotonic()
    assert since_boot <= time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("beside", ["alone", "beside another"] if FULL else ["beside another"])
def test_a_daemon_that_slept_misses_or_is_late_by_each_rule_and_doubles_nothing(
    start: Start, folder: Path, time_of_day: FakedTime, beside: str
) -> None:
    whole = start(folder / "history.db", time_of_day.environment)
    sleeper = whole.daemon()
    whole.schedule("skips", EAST_A, every_s=HOUR_S, first_in_s=HOUR_S + 3)
    whole.schedule("is-late", EAST_B, every_s=HOUR_S, first_in_s=5000, misfire="late", grace_s=HOUR_S)
    time_of_day.set(HOUR_S)
    whole.in_state("skips", "started")
    sleeper.send(signal.SIGSTOP)  # amid a run, which goes on without it
    other = whole.daemon("two") if beside != "alone" else None
    until(lambda: whole.nodes.hits(EAST_A) == 1 and whole.nodes.answers(EAST_A), "the run has put its node back")
    time_of_day.set(LATER)
    if other is not None:
        whole.in_state("is-late", "ended")
        assert whole.states("skips")[0] == "started", "a daemon that sleeps was taken for gone"
    sleeper.send(signal.SIGCONT)
    whole.in_state("skips", "ended")
    whole.in_state("is-late", "ended")
    whole.at_rest()
    assert [daemon.end() for daemon in whole.daemons] == [0] * len(whole.daemons)
    skips, late = whole.dues("skips"), whole.dues("is-late")
    assert [due.state for due in skips] == ["ended"] + ["missed"] * 4
    assert [due.state for due in late] == ["missed"] * 4 + ["ended"]
    assert all("no daemon looked until" in due.reason for due in [*skips[1:], *late[:4]])
    whole.all_is_told_once()


def test_a_clock_that_jumps_ahead_and_back_amid_runs_loses_and_doubles_nothing(
    start: Start, folder: Path, time_of_day: FakedTime
) -> None:
    whole = start(folder / "history.db", time_of_day.environment)
    daemon = whole.daemon()
    more = {"misfire": "late", "grace_s": HOUR_S, "overlap": "queue"}
    whole.schedule("jumps", EAST_A, every_s=HOUR_S, first_in_s=HOUR_S + 3, **more)
    time_of_day.set(HOUR_S)
    whole.in_state("jumps", "started")
    time_of_day.set(LATER)
    whole.in_state("jumps", "ended")
    whole.in_state("jumps", "started")  # the last of those that were jumped over
    time_of_day.set(HOUR_S)
    whole.in_state("jumps", "ended", more_than=1)
    whole.schedule("goes on", EAST_B, every_s=24 * HOUR_S, first_in_s=HOUR_S + 3)
    whole.in_state("goes on", "ended")
    whole.at_rest()
    assert daemon.end() == 0
    assert whole.states("jumps") == ["ended", *["missed"] * 3, "ended"]
    assert {row["outcome"] for row in daemon.runs().values()} == {"completed"}
    whole.all_is_told_once()
