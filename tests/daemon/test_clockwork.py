"""What a daemon does while it waits."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.clock import SystemClock
from simian.daemon.clockwork import Clockwork
from simian.daemon.keeper import Keeper
from simian.daemon.owner import Daemon
from simian.errors import HistoryError
from simian.history import Schedules
from simian.schedule.row import Schedule
from simian.schedule.when import text_of

from .small_starter import Files

LONG_S = 60.0


class Timed(Files):
    """A starter that notes when."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.at: dict[str, float] = {}

    def start(self, run: str, schedule: Schedule, seed: int) -> None:
        super().start(run, schedule, seed)
        self.at[schedule.name] = time.time()


class Stand:
    """A keeper on the machine's clock, and its clockwork."""

    def __init__(self, store: Schedules, folder: Path) -> None:
        self.store, self.starter = store, Timed(folder / "runs")
        self.keeper = Keeper(store, self.starter, SystemClock(), Daemon.me(folder))
        self.clockwork = Clockwork(self.keeper, SystemClock())
        self.clockwork.start()

    def add(self, name: str, in_s: float) -> float:
        due = round(time.time() + in_s, 6)
        self.store.add(Schedule(name, {"at": text_of(due)}, text_of(time.time()), 7, monkey="chaos").to_json())
        return due

    def states(self) -> list[tuple[str, str]]:
        return [(one.schedule, one.state) for one in reversed(self.store.dues())]


@pytest.fixture
def stand(store: Schedules, tmp_path: Path) -> Iterator[Stand]:
    made = Stand(store, tmp_path)
    yield made
    made.clockwork.stop()


def test_what_falls_due_while_it_waits_is_started_then_and_not_before(stand: Stand) -> None:
    dues = {name: stand.add(name, in_s) for name, in_s in (("b", 1.2), ("a", 0.8))}
    stand.keeper.look()
    while len(stand.starter.at) < 2:
        stand.clockwork.wait(LONG_S)
    assert list(stand.starter.at) == ["a", "b"]
    assert all(stand.starter.at[name] >= due for name, due in dues.items())
    assert stand.states() == [("a", "started"), ("b", "started")]


def test_it_can_be_woken_by_another_thread(stand: Stand) -> None:
    threading.Timer(0.1, stand.clockwork.wake).start()
    begin = time.monotonic()
    stand.clockwork.wait(LONG_S)
    assert time.monotonic() - begin < LONG_S


def test_what_was_paused_in_the_last_moment_is_not_started(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.add("a", 0.5)
    stand.keeper.look()
    real = stand.keeper.start_due

    def paused_first(names: Any) -> None:
        stand.store.change("a", {"paused": True})
        real(names)

    monkeypatch.setattr(stand.keeper, "start_due", paused_first)
    stand.clockwork.wait(LONG_S)
    assert stand.states() == [("a", "skipped")]
    assert stand.starter.at == {}


def test_what_a_database_that_was_away_kept_from_starting_the_next_look_starts(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise HistoryError("away")

    stand.add("a", 0.5)
    stand.keeper.look()
    monkeypatch.setattr(stand.store, "settle", away)
    with pytest.raises(HistoryError):
        stand.clockwork.wait(LONG_S)
    stand.clockwork.wait(0.1)  # it does not try again at once, and again
    assert stand.states() == []
    monkeypatch.undo()
    stand.keeper.look()
    assert stand.states() == [("a", "started")]
