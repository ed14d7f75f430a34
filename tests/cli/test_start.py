"""How a run is started, and what is told when that fails."""

from pathlib import Path

import pytest

from simian.cli import start
from simian.cli.context import load_system
from simian.cli.globals import Globals
from simian.errors import SimianError
from simian.request import RunRequest

from .conftest import Program


class NoView:
    """Nobody watches."""

    def feed(self, event: object) -> None:
        raise AssertionError(f"a runner that never began has nothing to tell, and told {event}")


class NoHerald:
    """Nobody is told."""

    def hear(self, request: object, event: object) -> None:
        raise AssertionError(f"a runner that never began has nothing to tell, and told {event}")


def test_a_runner_that_dies_before_its_run_begins_is_told_with_where_its_last_words_are(
    shop: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("SIMIAN_STATE", shop.environment["SIMIAN_STATE"])
    monkeypatch.setattr(start.signal, "signal", lambda number, handler: None)  # those of the tests stay what they are
    spawn = start.spawn
    monkeypatch.setattr(start, "spawn", lambda module, **given: spawn("simian.no_such_module", **given))
    system = load_system(Globals())
    request = RunRequest("r1", "shop", 1, {}, str(system.state.path))
    with pytest.raises(SimianError, match="before the run began, so nothing was touched") as told:
        start.live(system, request, NoView(), NoHerald())  # type: ignore[arg-type]
    log = Path(str(told.value).rpartition(" ")[2])
    assert "no_such_module" in log.read_text()
