"""What the daemon knows of its runs, and what it does while the database is away."""

from pathlib import Path
from typing import Any, cast

import pytest

from simian.cli.context import System
from simian.cli.serve_answers import Answers
from simian.cli.serve_runs import ENDED_KEPT, Running, Runs
from simian.daemon.news import News

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "own-monkey"


class Process:
    """One that lives, or has ended."""

    def __init__(self, alive: bool) -> None:
        self.alive = alive

    def poll(self) -> int | None:
        return None if self.alive else 0


def running(alive: bool) -> Running:
    return Running({"monkey": "chaos"}, cast(Any, Process(alive)), "2026-11-22T10:00:00.000000Z")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setenv("SIMIAN_STATE", str(tmp_path))
    made = System(EXAMPLE / "simian.yaml")
    made.state.path.mkdir(parents=True)
    return made


def test_runs_that_are_over_are_forgotten_but_for_the_latest_and_none_that_goes_on(system: System) -> None:
    runs = Runs(system, News())
    runs._ours = {f"old{n}": running(alive=n % 100 == 0) for n in range(ENDED_KEPT * 3)}
    runs._forget()
    alive = [run for run, one in runs._ours.items() if one.process.poll() is None]
    assert alive == [f"old{n}" for n in range(0, ENDED_KEPT * 3, 100)]
    assert len(runs._ours) == ENDED_KEPT + len(alive)
    assert f"old{ENDED_KEPT * 3 - 1}" in runs._ours
    assert runs.last_words("old1") == {}


def test_halt_and_start_need_no_database_and_say_that_the_audit_has_no_row(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(system.history_place).mkdir(parents=True)  # so that no file can be opened there
    news = News()
    runs = Runs(system, news)
    monkeypatch.setattr(runs, "begin", lambda asked: str(asked["run"]))
    answers = Answers(system, runs, cast(Any, None), {}, lambda: None)
    assert answers.start({"do": "start", "by": "web:anna", "monkey": "chaos"})["run"]
    assert answers.halt({"do": "halt", "by": "web:anna", "reason": "incident 7"}) == {
        "halted": "incident 7",
        "runs": [],
    }
    assert answers.resume({"do": "resume", "by": "web:anna"}) == {"halted": None, "resumed": True}
    notes = [event["text"] for event in news._kept if event["event"] == "note"]
    assert [text.split(": ")[2] for text in notes] == ["run start", "halt", "resume"]
    assert all(text.startswith("not in the audit: web:anna from socket: ") for text in notes)
