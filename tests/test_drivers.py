"""From settings to a world: drivers by name, secrets by reference, every problem at once."""

from pathlib import Path
from typing import Any

import pytest

from simian.clock import SystemClock
from simian.drivers import PORTS, build_world, maker_of
from simian.errors import PluginError, UsageError
from simian.memory import SimulatedClock
from simian.secrets import with_secrets

MEMORY: dict[str, Any] = {port: {"driver": "memory"} for port in PORTS}


def build(settings: dict[str, Any], **environment: str) -> Any:
    return build_world(settings, clock=SystemClock(), environment=environment)


def test_the_ports_of_one_world_share_it() -> None:
    world = build(MEMORY)
    world.platform.kill("store-east-a")
    node = next(node for node in world.platform.nodes() if node.name == "store-east-a")
    assert not world.observer.ask(node).answered
    assert "store-east-a" in world.requests.nodes()
    assert len(world.network.links()) == 38
    assert isinstance(world.clock, SimulatedClock), "nothing would happen in it on any other"


def test_two_worlds_share_nothing() -> None:
    one, two = build(MEMORY), build(MEMORY)
    one.platform.kill("store-east-a")
    assert two.platform.ready("store-east-a")


def test_a_wrong_name_gets_the_nearest_and_every_problem_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        build({**MEMORY, "platform": {"driver": "memroy"}, "network": {"driver": "carrier-pigeon"}})
    first, second = caught.value.problems
    assert first == "platform: no platform driver is called 'memroy'; did you mean 'memory'?"
    assert second.startswith("network: no network driver is called 'carrier-pigeon'; there are: ")
    assert {"memory", "none", "toxiproxy"} <= set(second.partition("there are: ")[2].split(", "))


def test_wrong_settings_of_a_driver_are_told_by_port() -> None:
    with pytest.raises(UsageError) as caught:
        build({**MEMORY, "platform": {"driver": "memory", "colour": "red"}})
    assert caught.value.problems[0].startswith("platform: memory: no setting 'colour'")


def test_secrets_are_resolved_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  from a file\n")
    settings = {
        "plain": "text", "number": 7, "deep": [{"key": {"env": "KEY"}}, {"key": {"file": str(tmp_path / "token")}}],
        "not a secret": {"env": "KEY", "file": "x"},
    }  # fmt: skip
    assert with_secrets(settings, {"KEY": "from outside"}) == {
        "plain": "text", "number": 7, "deep": [{"key": "from outside"}, {"key": "from a file"}],
        "not a secret": {"env": "KEY", "file": "x"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"env": "NOT_SET"}, "the environment variable NOT_SET is not set"),
        ({"file": "/not/there"}, "the secret's file /not/there cannot be read"),
        ({"file": "/"}, "the secret's file / cannot be read"),
    ],
)
def test_a_secret_that_is_not_there_is_named_by_port(reference: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        build({**MEMORY, "requests": {"driver": "memory", "token": reference}})
    assert [problem for problem in caught.value.problems if said in problem and problem.startswith("requests: ")]


def test_a_driver_that_cannot_be_loaded_is_somebodys_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    broken = importlib.metadata.EntryPoint("mine", "nothing_like_this:make", "simian.platforms")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [broken])
    with pytest.raises(PluginError, match=r"'mine' .*cannot be loaded: No module named 'nothing_like_this'"):
        maker_of("platform", "simian.platforms", {"driver": "mine"})
