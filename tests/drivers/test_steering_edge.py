"""Steering at the edge: modes of the lab's own gateways, with some of them down, frozen or somebody else's."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, Unsupported, UsageError
from simian.http_call import Service
from simian.observers.socket import SocketObserver
from simian.steering.edge import EdgeSteering, Place, from_settings
from simian.traffic import Load, Modes

from .small_lab import CAPACITY_RPS, LOAD_RPS, TOKEN, SmallLab
from .small_servers import new_listener_fixture, nobody_fixture, stack_fixture  # noqa: F401

MARK, OTHER = "simian.k7f3.1", "simian.k7f3.2"
EAST, WEST = ([f"gateway-{region}-{zone}" for zone in "abc"] for region in ("east", "west"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SmallLab]:
    small = SmallLab(tmp_path)
    yield small
    small.close()


@pytest.fixture
def edge(lab: SmallLab) -> EdgeSteering:
    return from_settings({"driver": "edge"} | lab.edge_settings, {})


def hasty(lab: SmallLab) -> EdgeSteering:
    """The same, which waits no longer than a moment."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    places = {
        name: Place(Service("127.0.0.1", each.port, "/admin", headers), each.region)
        for name, each in lab.nodes.items()
        if name.startswith("gateway")
    }
    return EdgeSteering(places, {}, limit_s=1.0)


def test_every_gateway_of_the_region_is_set_and_no_other(edge: EdgeSteering) -> None:
    edge.set_failover("west", MARK, ["east"])
    edge.set_misrouted("west", OTHER, mode="redirect", own=True)
    modes = edge.modes()
    assert {modes[name] for name in WEST} == {Modes(("east",), MARK, "redirect", True, OTHER)}
    assert {modes[name] for name in EAST} == {Modes()}
    assert edge.marks() == [("west", MARK), ("west", OTHER)]


def test_a_users_request_shows_the_modes(lab: SmallLab, edge: EdgeSteering) -> None:
    observer, west = SocketObserver(), lab.gateway("gateway-west-a")

    def way(home: str, subnet: str) -> tuple[int | None, str, str]:
        seen = observer.visit(west, home, subnet=subnet, timeout_s=10.0)
        assert seen.answered
        return seen.status, seen.way, seen.region

    assert way("west", "198.19.3.0/24") == (200, "direct", "west")
    assert way("east", "198.18.3.0/24") == (200, "isthmus", "east")
    edge.set_misrouted("west", MARK, mode="redirect", own=True)
    assert way("east", "198.18.3.0/24") == (307, "redirect", "")
    assert way("west", "198.19.3.0/24") == (200, "direct", "west"), "the DNS leads this user here"
    assert way("west", "198.18.3.0/24") == (307, "redirect", ""), "and this one to east"
    edge.set_failover("west", MARK, ["east"])
    assert way("east", "198.18.3.0/24") == (200, "direct", "west")


def test_unset_takes_out_this_mark_only_and_leaves_what_was_before(edge: EdgeSteering) -> None:
    edge.set_failover("west", "the-operators", ["east"])
    was = edge.modes()
    edge.set_failover("west", MARK, [])
    edge.set_misrouted("west", OTHER, mode="redirect", own=False)
    edge.unset("west", MARK, was)
    assert {edge.modes()[name] for name in WEST} == {Modes(("east",), "the-operators", "redirect", False, OTHER)}
    assert edge.marks() == [("west", OTHER)], "the operators' is none of ours"
    for _ in range(2):
        edge.unset("west", OTHER, {})
        assert {edge.modes()[name] for name in WEST} == {Modes(("east",), "the-operators")}


def test_with_one_gateway_down_the_others_are_set_and_it_is_named(lab: SmallLab, edge: EdgeSteering) -> None:
    lab.nodes["gateway-west-a"].stop()
    with pytest.raises(Unreachable, match="gateway-west-a") as caught:
        edge.set_failover("west", MARK, ["east"])
    assert "gateway-west-b" not in str(caught.value)
    others = {name: modes for name, modes in edge.modes().items() if name not in EAST}
    assert {name: modes.failover_owner for name, modes in others.items()} == dict.fromkeys(WEST[1:], MARK)
    edge.unset("west", MARK, {})
    assert edge.modes()["gateway-west-b"] == Modes()
    lab.nodes["gateway-west-a"].start()
    assert edge.modes()["gateway-west-a"] == Modes()


def test_a_frozen_gateway_is_no_reason_to_be_content(lab: SmallLab) -> None:
    edge = hasty(lab)
    edge.set_misrouted("west", MARK, mode="redirect", own=False)
    for name in WEST:
        lab.nodes[name].freeze()
    assert edge.modes().keys() == {*EAST}
    with pytest.raises(TimedOut, match=r"gateway-west-a.*-b.*-c"):
        edge.set_failover("west", MARK, ["east"])
    with pytest.raises(Unreachable, match=r"gateway-west-a.*-b.*-c"):
        edge.unset("west", MARK, {})
    for name in WEST:
        lab.nodes[name].thaw()


def test_many_who_are_silent_cost_one_time_limit_and_not_each_their_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Place(Service("127.0.0.1", silent.getsockname()[1]), "east")
        edge = EdgeSteering({f"gateway-{number}": place for number in range(20)}, {}, limit_s=0.5)
        begun = time.monotonic()
        assert edge.modes() == {}
        assert time.monotonic() - begun < 20 * 0.5


def test_arrivals_are_counted_by_gateway_and_home(lab: SmallLab, edge: EdgeSteering) -> None:
    observer = SocketObserver()
    for home, times in (("east", 3), ("west", 2)):
        for _ in range(times):
            observer.visit(lab.gateway("gateway-east-a"), home, timeout_s=10.0)
    arrivals = edge.arrivals()
    assert arrivals["gateway-east-a"] == {"east": 3, "west": 2}
    assert arrivals["gateway-west-b"] == {}
    lab.nodes["gateway-east-a"].stop()
    assert edge.arrivals().keys() == {*EAST[1:], *WEST}


def test_load_is_the_sum_over_the_members_that_answer(lab: SmallLab, nobody: int) -> None:
    settings = lab.edge_settings
    settings["members"]["members-west-b"]["url"] = f"http://127.0.0.1:{nobody}/headroom"
    load = from_settings({"driver": "edge"} | settings, {}).load()
    assert load == {"east": Load(3 * LOAD_RPS, 3 * CAPACITY_RPS), "west": Load(2 * LOAD_RPS, 2 * CAPACITY_RPS)}


def test_a_wrong_token_is_told_and_not_taken_for_silence(lab: SmallLab) -> None:
    edge = from_settings({"driver": "edge"} | lab.edge_settings | {"token": "wrong"}, {})
    for act in (edge.modes, edge.arrivals, edge.marks, lambda: edge.unset("west", MARK, {})):
        with pytest.raises(DriverError, match="token"):
            act()


def test_an_unknown_region_or_home_is_refused(edge: EdgeSteering) -> None:
    with pytest.raises(NoSuchTarget, match="east, west"):
        edge.set_failover("mars", MARK, ["east"])
    with pytest.raises(DriverError, match="mars"):
        edge.set_failover("west", MARK, ["mars"])
    assert edge.marks() == []


def test_what_is_no_gateway_is_told_by_name(new_listener: Any) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    place = Place(Service("127.0.0.1", new_listener(talk).port), "east")
    for act in (EdgeSteering({"g": place}, {}).modes, EdgeSteering({}, {"g": place}).load):
        with pytest.raises(DriverError, match=r"^g answered in another form"):
            act()


def test_gateways_alone_move_no_users(edge: EdgeSteering) -> None:
    assert edge.unsupported("shift")
    assert not any(edge.unsupported(what) for what in ("modes", "arrivals", "load"))
    with pytest.raises(Unsupported, match="driver: dns"):
        edge.shift("east", MARK, {"west": 1.0})
    edge.unshift("east", MARK)
    assert (edge.shares(), edge.entrances()) == ({}, ())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"token": ""}, "token"),
        ({"token": "a\nb"}, "Authorization"),
        ({"gateways": {"g": {"url": "http://x"}}}, r"gateways\.g\.region"),
        ({"gateways": {"g": {"url": "x", "region": "east"}}}, r"gateways\.g\.url"),
        ({"gateways": ["g"]}, "gateways"),
        ({"members": {"m": {"url": "http://x", "region": "east", "zone": "a"}}}, r"members\.m\.zone"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], told: str) -> None:
    right = {"driver": "edge", "token": "t", "gateways": {"g": {"url": "http://x:1/admin", "region": "east"}}}
    from_settings(right, {})
    with pytest.raises(UsageError, match=told):
        from_settings(right | changes, {})
