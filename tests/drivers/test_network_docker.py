"""What only containers' places in networks have: exact restoration, marks that are volumes, addresses taken."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from simian_filters.distribution import Distribution

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unsupported, UsageError
from simian.networks.docker import DockerNetwork, from_settings
from simian.platforms.docker import from_settings as platform_from_settings
from simian.world import LinkReading

from .docker_engine import SmallContainers, real_engine_fixture, small_containers_fixture  # noqa: F401

MARK, OTHER = "simian.k7f3.1", "simian.k7f3.2"
MAC = "02:42:0a:0b:0c:0d"


@pytest.fixture
def network(small_containers: SmallContainers) -> DockerNetwork:
    return from_settings(small_containers.settings, {})


def cut(network: DockerNetwork, link: str, mark: str = MARK) -> LinkReading:
    """The reading before."""
    was = network.read(link)
    network.cut(link, mark, how="blackhole", direction="both")
    return was


def places(containers: SmallContainers, name: str) -> dict[str, Any]:
    """How the engine says that it is connected, without what is new at each connection."""
    ends = containers.engine.inspect(name)["NetworkSettings"]["Networks"]
    volatile = ("EndpointID", "NetworkID")
    plain = {net: {key: end[key] for key in end if key not in volatile} for net, end in ends.items()}
    return {net: end | {"Aliases": sorted(set(end["Aliases"] or []))} for net, end in plain.items()}


def link_of(containers: SmallContainers, node: str, region: str = "east") -> str:
    return f"{containers.networks[region]}--{containers.name(node)}"


def test_everything_comes_back_aliases_address_mac_links_and_options(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    friend = small_containers.add("friend")
    ends = {"aliases": ["www", "shop.local"], "links": [(friend, "buddy")], "mac_address": MAC}
    name = small_containers.add("web-1", endpoint=ends, mac_address=MAC)
    west = small_containers.networks["west"]
    address = small_containers.free_address(west)
    small_containers.api.connect_container_to_network(name, west, ipv4_address=address, aliases=["far"])
    before = places(small_containers, name)
    link = link_of(small_containers, "web-1")
    assert before[small_containers.networks["east"]]["MacAddress"] == MAC
    was = cut(network, link)
    assert list(places(small_containers, name)) == [west]
    assert json.loads(json.dumps(dict(was.proxy))) == was.proxy, "the journal keeps it as JSON"
    network.mend(link, MARK, was)
    assert places(small_containers, name) == before
    assert small_containers.engine.run_in(friend, "nc -w 3 www 8000 -e true && echo here") == b"here\n"
    assert MARK not in small_containers.volumes()


def test_a_plain_connect_would_have_lost_them(small_containers: SmallContainers) -> None:
    name, east = small_containers.add("web-1"), small_containers.networks["east"]
    before = places(small_containers, name)
    small_containers.api.disconnect_container_from_network(name, east)
    small_containers.api.connect_container_to_network(name, east)
    assert places(small_containers, name) != before


def test_without_the_journal_the_mark_knows_how_it_was(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    before = places(small_containers, name)
    cut(network, link)
    anew = from_settings(small_containers.settings, {})
    assert list(anew.marks()) == [(link, MARK)]
    anew.mend(link, MARK, LinkReading(link, enabled=True))
    assert places(small_containers, name) == before
    assert not anew.marks()


def test_without_the_mark_the_journal_knows_how_it_was(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    before, was = places(small_containers, name), cut(network, link)
    small_containers.api.remove_volume(MARK)
    network.mend(link, MARK, was)
    assert places(small_containers, name) == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_marks_keep_it_out_until_both_are_gone(
    small_containers: SmallContainers, network: DockerNetwork, order: tuple[int, int]
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    before, was = places(small_containers, name), cut(network, link)
    cut(network, link, OTHER)
    assert set(network.read(link).marks) == {MARK, OTHER}
    first, last = ((MARK, OTHER)[number] for number in order)
    network.mend(link, first, was)
    assert (network.read(link).enabled, network.read(link).marks) == (False, (last,))
    network.mend(link, last, was)
    assert places(small_containers, name) == before


def test_many_threads_that_cut_and_mend_one_link_leave_it_as_it_was(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    before, was = places(small_containers, name), network.read(link)
    marks = [f"simian.{small_containers.project}.{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda mark: network.cut(link, mark, how="blackhole", direction="both"), marks))
        assert sorted(network.marks()) == sorted((link, mark) for mark in marks)
        list(pool.map(lambda mark: network.mend(link, mark, was), marks))
    assert places(small_containers, name) == before
    assert not network.marks()


def test_an_address_that_was_taken_meanwhile_is_told_with_its_taker(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    before, was = places(small_containers, name), cut(network, link)
    address = small_containers.addresses["web-1"]
    thief = small_containers.add("thief", endpoint={"ipv4_address": address})
    with pytest.raises(DriverError, match=rf"{address} was taken by {thief}") as caught:
        network.mend(link, MARK, was)
    assert not isinstance(caught.value, TimedOut)
    assert list(network.marks()) == [(link, MARK)], "it is still ours to put back"
    small_containers.remove("thief")
    network.mend(link, MARK, was)
    assert places(small_containers, name) == before


def test_what_somebody_else_connected_in_another_way_is_told_and_left_alone(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    was = cut(network, link)
    small_containers.api.connect_container_to_network(name, small_containers.networks["east"], aliases=["theirs"])
    theirs = places(small_containers, name)
    with pytest.raises(DriverError, match="aliases was"):
        network.mend(link, MARK, was)
    assert places(small_containers, name) == theirs


def test_a_container_without_an_address_of_its_own_is_not_cut(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    small_containers.add("web-1")
    west, name = small_containers.networks["west"], small_containers.name("web-1")
    small_containers.api.connect_container_to_network(name, west)
    before = places(small_containers, name)
    with pytest.raises(Unsupported, match="ipv4_address"):
        cut(network, f"{west}--{name}")
    assert places(small_containers, name) == before
    assert not network.marks()


def test_what_has_not_opted_in_is_not_cut(small_containers: SmallContainers, network: DockerNetwork) -> None:
    name = small_containers.add("web-1", labels={"simian.enabled": "false"})
    with pytest.raises(NoSuchTarget, match="opted in"):
        cut(network, link_of(small_containers, "web-1"))
    assert list(places(small_containers, name)) == [small_containers.networks["east"]]
    assert not network.marks()


def test_a_recreated_container_is_gone_and_the_new_one_is_unharmed(
    small_containers: SmallContainers, network: DockerNetwork
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    was = cut(network, link)
    small_containers.remove("web-1")
    small_containers.add("web-1", endpoint={"aliases": ["new"]})
    new = places(small_containers, name)
    network.mend(link, MARK, was)
    assert places(small_containers, name) == new
    assert not network.marks()


@pytest.mark.parametrize("first", ["network", "node"])
@pytest.mark.parametrize("verb", ["kill", "pause"])
def test_a_cut_and_a_fault_of_the_node_are_undone_in_any_order(
    small_containers: SmallContainers, network: DockerNetwork, verb: str, first: str, until: Callable[..., Any]
) -> None:
    name, link = small_containers.add("web-1"), link_of(small_containers, "web-1")
    platform = platform_from_settings(small_containers.settings, {})
    before, was = places(small_containers, name), cut(network, link)
    getattr(platform, verb)(name)
    undo: list[Callable[[], None]] = [
        lambda: network.mend(link, MARK, was),
        lambda: (platform.resume(name), platform.start(name))[0],
    ]
    for each in undo if first == "network" else reversed(undo):
        each()
    assert places(small_containers, name) == before
    until(lambda: small_containers.ask("web-1") == "answered", "answers again")


@pytest.mark.parametrize(
    ("kind", "how", "said"),
    [
        ("cut", {"how": "refuse", "direction": "both"}, "blackhole"),
        ("cut", {"how": "blackhole", "direction": "forward"}, "direction both"),
        ("delay", {"by": Distribution.parse("10ms"), "direction": "both"}, "proxy"),
        ("throttle", {"rate_kb_s": 10, "direction": "both"}, "proxy"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_asked(kind: str, how: dict[str, Any], said: str) -> None:
    network = from_settings({"driver": "docker", "url": "unix:///nowhere"}, {})  # asking would be Unreachable
    with pytest.raises(Unsupported, match=said):
        getattr(network, kind)("link", MARK, **how)
    assert network.unsupported("cut", how="blackhole", direction="both") == ""


def test_url_and_project_are_the_platforms_unless_given(small_containers: SmallContainers) -> None:
    small_containers.add("web-1")
    shared: dict[str, Any] = {}
    platform_from_settings(small_containers.settings, shared)
    network = from_settings({"driver": "docker"}, shared)
    assert [link.name for link in network.links()] == [link_of(small_containers, "web-1")]
    with pytest.raises(UsageError, match=r"network\.proxy"):
        from_settings({"driver": "docker", "proxy": 1}, {})
