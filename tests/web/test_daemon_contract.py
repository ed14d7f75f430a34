"""What the web relies on of a daemon: the small one of these tests keeps it, and that of ``simian serve`` does."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from simian.cli.context import System
from simian.cli.serve_answers import Answers
from simian.cli.serve_known import experiments_told, monkey_told
from simian.cli.serve_runs import Runs
from simian.daemon.desk import Desk
from simian.daemon.keeper import Keeper
from simian.daemon.news import News
from simian.daemon.owner import Daemon as Owner
from simian.errors import Refused, UsageError
from simian.history import open_schedules
from simian.monkey import find_monkeys
from simian.report.model import read
from simian.web.daemon import Daemon, Event
from simian.web.hub import Going, Hub, moment
from simian.web.map import map_of

from .small_daemon import a_small_daemon

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "own-monkey"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short name: a socket's may have some hundred characters."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(params=["small", "of simian serve"])
def daemon(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with ExitStack() as stack:
        if request.param == "small":
            stack.enter_context(a_small_daemon(folder))
        else:
            monkeypatch.setenv("SIMIAN_STATE", str(folder / "state"))
            stack.enter_context(_Real(folder / "serve.sock"))
        yield Daemon(str(folder / "serve.sock"))


class _Real:
    """Its desk and its answers, for a system in memory; no alarm, no pages."""

    def __init__(self, socket: Path) -> None:
        system, news = System(EXAMPLE / "simian.yaml"), News()
        system.state.path.mkdir(parents=True)
        self.store, runs = open_schedules(system.history_place), Runs(system, news)
        keeper = Keeper(
            self.store,
            runs,
            system.clock,
            Owner.me(system.state.path),
            calendar=None,
            halted=system.lever.why_pulled,
            tell=lambda event: None,
        )
        facts = {"version": "0.1.0", "pid": 1, "since": "2026-11-22T10:00:00.000000Z"}
        self.news, self.runs = news, runs
        self.desk = Desk(socket, Answers(system, runs, keeper, facts, lambda: None).table(), news)

    def __enter__(self) -> "_Real":
        self.desk.open()
        return self

    def __exit__(self, *_: object) -> None:
        for run, running in self.runs._ours.items():
            while not any((event["run"], event["event"]) == (run, "ended") for event in self.news._kept):
                time.sleep(0.05)
            for pipe in (running.process.stdin, running.process.stdout):
                assert pipe
                pipe.close()
        self.news.close()
        self.desk.close()
        self.store.close()


def ask(daemon: Daemon, do: str, **keys: Any) -> Any:
    return asyncio.run(daemon.ask(do, by="web:anna", **keys))


def events(daemon: Daemon, after: int, until: str) -> list[Event]:
    """Those after that number, up to the first of that kind."""

    async def listen() -> list[Event]:
        found: list[Event] = []
        async with asyncio.timeout(120):
            async for event in daemon.events(after):
                if event is not None:
                    found.append(event)
                    if event["event"] == until:
                        return found
        return found

    return asyncio.run(listen())


def test_its_status_says_what_the_page_shows(daemon: Daemon) -> None:
    status = ask(daemon, "status")
    assert {"system", "version", "pid", "since", "halted", "runs", "open", "next"} <= set(status)
    assert (status["halted"], status["runs"], status["open"]) == (None, [], [])


def test_its_topology_can_be_drawn(daemon: Daemon) -> None:
    drawn = map_of(ask(daemon, "topology"), [])
    assert drawn.areas
    assert all(place.spots for area in drawn.areas for place in area.places)
    assert not drawn.elsewhere


def test_its_monkeys_and_experiments_have_what_their_pages_show(daemon: Daemon) -> None:
    monkeys = {monkey["name"]: monkey for monkey in ask(daemon, "monkeys")}
    assert "chaos" in monkeys
    for monkey in monkeys.values():
        assert isinstance(monkey["text"], str)
        assert monkey["radius"] in ("node", "zone", "region", "system")
        assert all({"name", "type", "default", "choices", "text"} <= set(option) for option in monkey["options"])
    for experiment in ask(daemon, "experiments"):
        assert {"name", "title", "hypothesis", "monkey", "radius", "tags", "text"} <= set(experiment)


def test_an_experiment_is_titled_as_its_runs_are_and_those_of_schedules_are_told_of(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("experiment: mine holds\nmonkey: chaos\n")
    found = {one["name"]: one for one in experiments_told([str(file), str(file), str(tmp_path / "gone.yaml")], ())}
    assert found["members-survive-a-lost-store-node"]["title"] == "members survive a lost store node"
    assert (found[str(file)]["title"], found[str(file)]["monkey"]) == ("mine holds", "chaos")
    assert "cannot be read" in found[str(tmp_path / "gone.yaml")]["hypothesis"]


def test_an_option_says_what_it_may_be() -> None:
    told = {
        name: {option["name"]: option["choices"] for option in monkey_told(monkey)["options"]}
        for name, monkey in find_monkeys().monkeys.items()
    }
    assert told["chaos"]["how"] == ["kill", "crash", "stop", "pause"]
    assert told["latency"]["side"] == ["client", "server"]
    assert (told["chaos"]["node"], told["kong"]["hard"]) == ([], [])


def test_a_plan_says_what_would_be_hit_and_a_wrong_one_what_is_wrong(daemon: Daemon) -> None:
    asked = {"monkey": "chaos", "experiment": None, "options": {}, "seed": 7, "for_s": None}
    plan = ask(daemon, "plan", **asked)["plan"]
    assert plan["seed"] == 7
    assert plan["radius"] == "node"
    assert plan["hash"]
    assert [fault["kind"] for stage in plan["stages"] for fault in stage["faults"]]
    with pytest.raises(UsageError):
        ask(daemon, "plan", **{**asked, "monkey": "no such monkey"})


def test_a_run_that_is_started_is_told_of_and_can_be_read_at_once(daemon: Daemon) -> None:
    asked = {
        "monkey": "chaos",
        "experiment": None,
        "options": {},
        "seed": 7,
        "for_s": 1.0,
        "note": "x",
        "leashed": False,
    }
    run = ask(daemon, "start", **asked)["run"]
    told = events(daemon, 0, "started")
    assert [event["n"] for event in told] == sorted({event["n"] for event in told})
    assert told[-1]["run"] == run
    assert moment(told[-1]["at"])
    record = ask(daemon, "run", run=run)
    assert record["run"] == run
    assert read(record).outcome in ("running", "refused")


def test_what_is_not_there_is_an_error_of_use(daemon: Daemon) -> None:
    for do, keys in (("run", {"run": "nothing"}), ("abort", {"run": "nothing", "reason": "x"}), ("no such", {})):
        with pytest.raises(UsageError):
            ask(daemon, do, **keys)


def test_a_halt_refuses_runs_until_somebody_resumes(daemon: Daemon) -> None:
    assert ask(daemon, "halt", reason="release") == {"halted": "release", "runs": []}
    with pytest.raises(Refused, match="release"):
        ask(daemon, "start", monkey="chaos", experiment=None, options={}, seed=None, for_s=None, note="", leashed=False)
    assert ask(daemon, "resume") == {"halted": None, "resumed": True}
    assert [event["event"] for event in events(daemon, 0, "resumed")][-2:] == ["halted", "resumed"]


def test_rows_that_were_changed_are_read_anew(daemon: Daemon) -> None:
    assert ask(daemon, "schedules-changed") == {}
    assert events(daemon, 0, "schedules")


def test_a_hub_hears_of_everything_and_of_a_daemon_that_counts_from_one_again(daemon: Daemon) -> None:
    async def listen() -> None:
        hub = Hub(daemon)
        following = asyncio.create_task(hub.follow())
        heard: list[str] = []
        async with asyncio.timeout(60):
            async for event in hub.watch(None):
                if event is None:
                    continue
                heard.append(event["event"])
                if heard[-1] == "schedules":
                    break
                await daemon.ask("schedules-changed")
        hub._of = ("another", "daemon")
        await hub._meet()
        assert hub._after == 0
        following.cancel()

    async def both() -> None:
        listening = asyncio.create_task(listen())
        while not listening.done():  # the hub may not listen yet when the first one is told
            await daemon.ask("schedules-changed")
            await asyncio.sleep(0.05)
        await listening

    asyncio.run(both())


def test_events_tell_how_a_run_stands() -> None:
    going = Going()
    for event in (
        {"event": "phase", "at": "2026-11-22T10:00:00.000000Z", "phase": "observe", "for_s": 30.0},
        {"event": "fault", "id": 1, "kind": "kill", "target": "members-east-a", "state": "injected"},
        {"event": "evidence", "id": 1, "held": True},
        {"event": "check", "check": "streams start", "value": 0.99, "verdict": "held", "tolerance": ">= 99 %"},
        {"event": "failed", "reasons": ["one", "two"]},
    ):
        going.take(event)
    assert (going.phase, going.until) == ("observe", 1795341630.0)
    assert going.in_place == [
        {"id": 1, "kind": "kill", "target": "members-east-a", "state": "injected", "proven": True}
    ]
    assert going.checks["streams start"]["verdict"] == "held"
    assert list(going.notes) == ["one; two"]
    going.take({"event": "fault", "id": 1, "kind": "kill", "target": "members-east-a", "state": "undone"})
    assert going.in_place == []
