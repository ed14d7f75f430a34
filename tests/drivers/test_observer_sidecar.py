"""What only side containers have: they look past a cut, end by themselves, and are none of the system's nodes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from simian.errors import NoSuchTarget, Unreachable, Unsupported, UsageError
from simian.networks.docker import from_settings as network_from_settings
from simian.observers.sidecar import SidecarObserver, from_settings
from simian.platforms.docker import from_settings as platform_from_settings
from simian.platforms.docker_containers import Containers
from simian.platforms.docker_engine import Engine
from simian.topology import Node

from .docker_engine import IMAGE, SmallContainers, real_engine_fixture, small_containers_fixture  # noqa: F401

Until = Callable[..., Any]
PATIENCE_S = 20.0  # for answers that will come
MARK = "simian.side.1"


@pytest.fixture
def observer(small_containers: SmallContainers) -> Iterator[SidecarObserver]:
    made = from_settings(small_containers.settings | {"driver": "sidecar", "image": IMAGE}, {})
    yield made
    made.close()


def node_of(containers: SmallContainers, name: str) -> Node:
    return next(node for node in platform_from_settings(containers.settings, {}).nodes() if node.name == name)


def sides(containers: SmallContainers, name: str) -> list[str]:
    found = containers.api.containers(all=True, filters={"label": f"simian.side={name}"})
    return [str(one["Id"]) for one in found]


def programs(containers: SmallContainers, side: str) -> list[str]:
    """What runs in a side container, as the engine tells."""
    return [str(row[-1]) for row in containers.api.top(side)["Processes"]]


def test_a_node_out_of_its_network_answers_from_inside_and_nothing_comes_across_the_link(
    small_containers: SmallContainers, observer: SidecarObserver
) -> None:
    name = small_containers.add("web-1")
    network = network_from_settings(small_containers.settings, {})
    (link,) = network.links()
    node, was = node_of(small_containers, name), network.read(link.name)
    assert observer.exchange(link, timeout_s=PATIENCE_S).ok
    network.cut(link.name, MARK, how="blackhole", direction="both")
    assert not observer.exchange(link, timeout_s=1.0).answered
    assert observer.ask(node, timeout_s=PATIENCE_S).ok
    network.mend(link.name, MARK, was)
    assert observer.exchange(link, timeout_s=PATIENCE_S).ok


def test_side_containers_end_by_themselves_and_are_made_anew_when_they_are_needed(
    small_containers: SmallContainers, until: Until
) -> None:
    name = small_containers.add("web-1")
    containers = Containers(Engine(small_containers.engine.url, PATIENCE_S), small_containers.project)
    observer, node = SidecarObserver(containers, IMAGE, idle_s=1), node_of(small_containers, name)
    assert observer.ask(node, timeout_s=PATIENCE_S).ok
    until(lambda: not sides(small_containers, name), "nobody has to remove it", 120)
    assert observer.ask(node, timeout_s=PATIENCE_S).ok
    observer.close()
    until(lambda: not sides(small_containers, name), "it is removed at once")


def test_side_containers_are_no_nodes_and_one_does_for_many_questions(
    small_containers: SmallContainers, observer: SidecarObserver
) -> None:
    name = small_containers.add("web-1")
    node = node_of(small_containers, name)
    for _ in range(3):
        assert observer.ask(node, timeout_s=PATIENCE_S).ok
    assert len(sides(small_containers, name)) == 1
    listed = platform_from_settings({"driver": "docker", "url": small_containers.engine.url, "limit_s": 30}, {}).nodes()
    assert not [each.name for each in listed if each.name.startswith("simian-side")]


def test_questions_that_nobody_answers_leave_no_program_behind_and_hold_up_no_other(
    small_containers: SmallContainers, observer: SidecarObserver, until: Until
) -> None:
    name = small_containers.add("web-1")
    node = node_of(small_containers, name)
    small_containers.api.pause(name)
    for _ in range(4):
        assert not observer.ask(node, timeout_s=0.2).answered
    small_containers.api.unpause(name)
    assert observer.ask(node, timeout_s=PATIENCE_S).ok
    (side,) = sides(small_containers, name)
    until(
        lambda: [row for row in programs(small_containers, side) if "nc -w" in row or "cat" in row] == [], "all ended"
    )


def test_a_port_that_nobody_has_refuses(small_containers: SmallContainers, observer: SidecarObserver) -> None:
    node = node_of(small_containers, small_containers.add("web-1"))
    seen = observer.ask(replace(node, ask="http://web:8001/"), timeout_s=PATIENCE_S)
    assert (seen.connected, seen.answered, seen.detail) == (False, False, "refused")


def test_without_its_image_the_missing_thing_is_named(small_containers: SmallContainers) -> None:
    name = small_containers.add("web-1")
    observer = from_settings(small_containers.settings | {"driver": "sidecar", "image": "nowhere:1"}, {})
    with pytest.raises(NoSuchTarget, match="nowhere:1"):
        observer.ask(node_of(small_containers, name))
    assert not sides(small_containers, name)


def test_what_cannot_be_asked_is_told(small_containers: SmallContainers, observer: SidecarObserver) -> None:
    node = node_of(small_containers, small_containers.add("web-1"))
    for ask, said in (("", "no address"), ("dns://:53/x", "dns"), ("https://:443/", "https")):
        with pytest.raises(Unsupported, match=said):
            observer.ask(replace(node, ask=ask.replace("://:", "://host:")))


def test_without_an_engine_nothing_is_said_of_the_node() -> None:
    observer = from_settings({"driver": "sidecar", "image": IMAGE, "url": "unix:///nowhere.sock"}, {})
    with pytest.raises(Unreachable):
        observer.ask(Node("web-1", "web", "east", ask="http://web:8000/"))


@pytest.mark.parametrize("settings", [{}, {"image": ""}, {"image": 3}, {"image": "i", "imgae": "j"}])
def test_settings_without_an_image_or_with_more_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="image"):
        from_settings({"driver": "sidecar"} | settings, {})
