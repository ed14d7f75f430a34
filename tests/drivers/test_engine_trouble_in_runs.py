"""Whole runs of ``simian chaos`` while the engine hangs or is restarted, or the target is made anew amid them.

What is there afterwards is told by the engine's own API.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simian.owner import Owner

from .commands import Commands
from .docker_engine import FULL, real_engine_fixture  # noqa: F401
from .own_engine import LIMIT_S, OwnEngine, own_engine_fixture  # noqa: F401

Until = Callable[..., Any]
PATIENCE_S = 180.0
TARGET, NETWORK = "shop-1", "shop"
ALWAYS = {"check": "something answers", "probe": {"command": ["true"]}, "every": "1s", "deadline": "20s",
          "tolerance": ">= 50 %"}  # fmt: skip


class System(Commands):
    """Two containers on a network, of an engine of one's own."""

    def __init__(self, engine: OwnEngine, folder: Path) -> None:
        super().__init__(folder)
        self.engine = engine
        engine.api.create_network(NETWORK, driver="bridge")
        for name in (TARGET, "shop-2"):
            engine.add(name, NETWORK)
        self.before = self.ids()
        platform = {"driver": "docker", "url": engine.url, "limit_s": LIMIT_S}
        self.configure({"system": "own", "platform": platform, "steady_state": [ALWAYS]})

    def ids(self) -> dict[str, str]:
        """Name -> id, and all of them as they are."""
        found = self.engine.api.containers(all=True)
        return {one["Names"][0].lstrip("/"): one["Id"] for one in found}

    def states(self) -> dict[str, str]:
        return {name: self.engine.status(name) for name in self.ids()}


@pytest.fixture
def system(own_engine: OwnEngine, tmp_path: Path) -> System:
    return System(own_engine, tmp_path)


def chaos(how: str, seconds: int = 20) -> dict[str, Any]:
    return {"monkey": "chaos", "options": {"node": [TARGET], "how": how}, "for": f"{seconds}s", "baseline": "2s"}


def in_place(command: "subprocess.Popen[str]", system: System, until: Until, status: str) -> None:
    """Wait for the fault. A run that ends before is told with what it said."""

    def seen() -> bool:
        assert command.poll() is None, command.communicate()
        return system.engine.status(TARGET) == status and system.faults() == ["injected"]

    until(seen, f"{TARGET} is {status}, and the journal knows", PATIENCE_S)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("how", "status"), [("kill", "exited"), ("pause", "paused")][: 2 if FULL else 1])
def test_an_engine_that_hangs_amid_a_run_and_goes_on_is_waited_for(
    system: System, until: Until, how: str, status: str
) -> None:
    with system.begin(chaos(how)) as command:
        in_place(command, system, until, status)
        system.engine.send(signal.SIGSTOP)
        time.sleep(2 * LIMIT_S)  # not waited for: that it hangs for longer than any one call may take is what is tried
        system.engine.send(signal.SIGCONT)
        record = system.record(command)
    assert record["recovery"] == "clean", record["reasons"]
    assert system.ids() == system.before
    assert set(system.states().values()) == {"running"}


@pytest.mark.timeout(900)
def test_an_engine_that_hangs_until_the_run_has_given_up_leaves_a_fault_that_is_named_and_put_back_by_hand(
    system: System, until: Until
) -> None:
    with system.begin(chaos("pause", 3)) as command:
        in_place(command, system, until, "paused")
        system.engine.send(signal.SIGSTOP)
        try:
            record = system.record(command)
        finally:
            system.engine.send(signal.SIGCONT)
    assert (record["recovery"], record["exit"]) == ("stuck", 5)
    assert any(TARGET in reason for reason in record["reasons"]), record["reasons"]
    assert system.recover() == 0
    assert system.ids() == system.before
    assert set(system.states().values()) == {"running"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_is_restarted_amid_a_run_is_reached_again_and_all_is_put_back(
    system: System, until: Until, sent: signal.Signals
) -> None:
    with system.begin(chaos("kill", 60)) as command:
        in_place(command, system, until, "exited")
        process = Owner.of(system.engine.pid)
        system.engine.send(sent)
        until(lambda: not process.alive, "the engine is gone", PATIENCE_S)
        system.engine.start()
        os.kill(system.journalled()["pid"], signal.SIGINT)  # enough was seen: what is left is to put things back
        record = system.record(command)
    assert record["outcome"] == "aborted"
    if record["recovery"] != "clean":
        assert (record["exit"], system.recover()) == (5, 0), record["reasons"]
    assert system.ids() == system.before
    until(lambda: set(system.states().values()) == {"running"}, "all run, as before", PATIENCE_S)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["kill", "pause"] if FULL else ["kill"])
def test_a_target_that_is_made_anew_amid_a_run_is_settled_and_the_new_one_unharmed(
    system: System, until: Until, how: str
) -> None:
    with system.begin(chaos(how, 15)) as command:
        in_place(command, system, until, {"kill": "exited", "pause": "paused"}[how])
        system.engine.api.remove_container(TARGET, force=True)
        made = system.engine.add(TARGET, NETWORK)
        started = system.engine.api.inspect_container(made)["State"]["StartedAt"]
        record = system.record(command)
    assert record["faults"][0]["state"] == "undone", record["reasons"]
    assert system.ids() == {**system.before, TARGET: made}
    assert set(system.states().values()) == {"running"}
    assert system.engine.api.inspect_container(made)["State"]["StartedAt"] == started, "it was not touched"
    assert system.recover() == 0
