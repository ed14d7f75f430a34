"""Schedules in a database of each kind, and a keeper on a clock that is set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.daemon.keeper import Keeper
from simian.daemon.owner import Daemon
from simian.history import Schedules, open_schedules
from simian.schedule.row import Schedule
from simian.schedule.when import moment_of

from ..postgres import Postgres, place_of, postgres
from .small_starter import Files

NINE = moment_of("2026-11-25T09:00Z")


class SetClock:
    """One that stands where it is set."""

    def __init__(self, at: float = NINE - 60.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def elapsed(self) -> float:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place_of(request, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Schedules]:
    with open_schedules(tmp_path / "history.db") as opened:
        yield opened


class Stage:
    """A keeper, all that it touches, and what it told."""

    def __init__(self, store: Schedules, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.clock, self.starter, self.told = SetClock(), Files(folder / "runs", last=True), []  # type: ignore[var-annotated]
        self.halted, self.calendar = "", None
        self.keeper = self.another(Daemon.me(folder))

    def another(self, me: Daemon, calendar: dict[str, Any] | None = None) -> Keeper:
        return Keeper(
            self.store,
            self.starter,
            self.clock,
            me,
            calendar=calendar,
            halted=lambda: self.halted,
            tell=self.told.append,
        )

    def add(self, name: str = "s", **more: Any) -> Schedule:
        base = {
            "name": name,
            "monkey": "chaos",
            "when": {"cron": "0 * * * *"},
            "seed": 7,
            "made": "2026-11-25T08:30:00Z",
        }
        schedule = Schedule.from_json(base | more)
        self.store.add(schedule.to_json())
        return schedule

    def at(self, moment: float) -> list[tuple[str, str, str]]:
        """What has become of all due times once it is this late, oldest first."""
        self.clock.at = moment
        self.keeper.look()
        return self.rows()

    def rows(self) -> list[tuple[str, str, str]]:
        return [(one.schedule, one.state, one.reason) for one in reversed(self.store.dues())]


@pytest.fixture
def stage(store: Schedules, tmp_path: Path) -> Stage:
    return Stage(store, tmp_path)
