"""Names, settings and distributions as Toxiproxy takes them: tables of inputs and outputs, and no server."""

from types import SimpleNamespace
from typing import Any

import pytest
from simian_filters.distribution import Distribution

from simian.errors import Unsupported, UsageError
from simian.networks import toxiproxy_toxics as toxics
from simian.networks.toxiproxy import approximation, from_settings
from simian.networks.toxiproxy_client import Proxy, Server, Toxic
from simian.networks.toxiproxy_links import link_by_name
from simian.topology import Node
from simian.world import LinkReading

MARK, SERVERS = "simian.k7f3.1", {"servers": {"east": "http://127.0.0.1:1"}}
SERVER = Server("west", "http://10.0.0.9:8474")


def proxy(name: str, *lying: Toxic, enabled: bool = True, listen: str = "127.0.0.1:9") -> Proxy:
    return Proxy(name, listen, "127.0.0.1:8", enabled, lying)


@pytest.mark.parametrize(
    ("text", "latency", "jitter", "sentence"),
    [
        ("constant:100ms", 100, 0, ""),
        ("constant:99.6ms", 100, 0, "rounded"),
        ("uniform:50ms..150ms", 100, 50, ""),
        ("uniform:0ms..9ms", 4, 4, "rounded"),
        ("normal:100ms,20ms", 100, 35, "65ms to 135ms"),
        ("normal:10ms,20ms", 10, 35, "0ms to 45ms"),
    ],
)
def test_a_delay_becomes_a_latency_and_a_jitter(text: str, latency: int, jitter: int, sentence: str) -> None:
    by = Distribution.parse(text)
    (toxic,) = toxics.latency(MARK, "forward", by)
    assert toxic.attributes == {"latency": latency, "jitter": jitter}
    assert toxics.unsupported("delay", by=by) == ""
    assert sentence in approximation(by)
    assert bool(approximation(by)) == bool(sentence)


@pytest.mark.parametrize(
    "text", ["exponential:100ms", "lognormal:p50=80ms,p99=400ms", "pareto:min=50ms,alpha=1.5", "empirical:[1,2,80]"]
)
def test_other_distributions_are_left_to_request_delay(text: str) -> None:
    by = Distribution.parse(text)
    assert "request_delay" in toxics.unsupported("delay", by=by)
    with pytest.raises(Unsupported, match="request_delay"):
        from_settings(SERVERS, {}).delay("a--b", MARK, by=by, direction="both")


@pytest.mark.parametrize("text", ["0ms", "0.4ms", "uniform:0ms..0.5ms", "normal:0.3ms,5ms"])
def test_a_delay_of_less_than_a_millisecond_is_unsupported(text: str) -> None:
    assert "whole milliseconds" in toxics.unsupported("delay", by=Distribution.parse(text))


def test_a_throttle_to_nothing_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="at least 1"):
        from_settings(SERVERS, {}).throttle("a--b", MARK, rate_kb_s=0.4, direction="both")


@pytest.mark.parametrize(
    ("direction", "names"),
    [
        ("forward", {MARK: "upstream"}),
        ("backward", {MARK: "downstream"}),
        ("both", {f"{MARK}.up": "upstream", f"{MARK}.down": "downstream"}),
    ],
)
def test_toxics_are_named_by_their_mark(direction: str, names: dict[str, str]) -> None:
    put = toxics.blackhole(MARK, direction)
    assert {toxic.name: toxic.stream for toxic in put} == names
    assert toxics.own_marks(proxy("a--b", *put)) == (MARK,)
    assert toxics.carrying(proxy("a--b", *put), "simian.k7f3.11") == []


@pytest.mark.parametrize("link", ["a/b", "a--b?x", "a#b", "a%2f", "a b", "", "..", "a\nb", "a\\b"])
def test_names_that_cannot_stand_in_an_address_are_refused_before_anything_is_touched(link: str) -> None:
    network = from_settings(SERVERS, {})  # nobody listens there: touching it would be Unreachable
    with pytest.raises(Unsupported, match="rename"):
        network.cut(link, MARK, how="refuse", direction="both")
    with pytest.raises(Unsupported, match="rename"):
        network.mend(link, MARK, LinkReading(link, enabled=True))
    with pytest.raises(Unsupported, match="rename"):
        network.read(link)


@pytest.mark.parametrize("mark", ["theirs", "simian", "simian.a/b", "simian.a.1.up", "simian.a b", ""])
def test_marks_that_are_no_marks_are_refused(mark: str) -> None:
    with pytest.raises(Unsupported, match="mark is"):
        from_settings(SERVERS, {}).cut("a--b", mark, how="refuse", direction="both")


@pytest.mark.parametrize(
    ("lying", "enabled", "state"),
    [
        ([], True, "open"),
        ([], False, "cut"),
        ([toxics.flag(MARK)], True, "open"),
        (toxics.blackhole(MARK, "forward"), True, "cut"),
        ([Toxic("t", "latency", "upstream", {"latency": 1})], True, "slow"),
        ([Toxic("t", "latency", "upstream", {"latency": 1}, toxicity=0.0)], True, "open"),
        ([Toxic("t", "bandwidth", "upstream", {"rate": 1})], True, "slow"),
    ],
)
def test_the_state_of_a_link_is_what_lies_on_it(lying: list[Toxic], enabled: bool, state: str) -> None:
    assert toxics.state_of(proxy("a--b", *lying, enabled=enabled)) == state


def test_a_delay_that_is_being_mended_is_no_flag() -> None:
    assert toxics.is_flag(toxics.flag(MARK))
    assert not toxics.is_flag(Toxic(MARK, "latency", "upstream", {"latency": 100, "jitter": 0}, toxicity=0.0))
    assert not toxics.is_flag(Toxic("theirs", "latency", "upstream", {"latency": 0, "jitter": 0}, toxicity=0.0))


NODES = [Node("db-1", "db", "south"), Node("web-9", "web", "north")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-east-a--db-west", ("web-east-a", "db-west", "east", "west")),
        ("web-9--db-1", ("web-9", "db-1", "north", "south")),
        ("web-north--db-1", ("web-north", "db-1", "north", "south")),
        ("web--db", ("web", "db", "west", "west")),
        ("web", None),
        ("--web", None),
        ("simian.a.1.anew.web--db", None),
    ],
)
def test_where_a_link_leads_is_told_by_its_name_and_the_nodes(name: str, expected: tuple[str, ...] | None) -> None:
    link = link_by_name(proxy(name), SERVER, NODES, ["east", "west"])
    found = (link.source, link.target, link.source_region, link.target_region) if link else None
    assert found == expected


@pytest.mark.parametrize(
    ("listen", "ask"),
    [("127.1.1.1:5", "tcp://127.1.1.1:5"), ("[::]:5", "tcp://10.0.0.9:5"), ("0.0.0.0:5", "tcp://10.0.0.9:5")],
)
def test_a_proxy_on_all_addresses_is_asked_at_its_server(listen: str, ask: str) -> None:
    link = link_by_name(proxy("a--b", listen=listen), SERVER, [], [])
    assert link is not None
    assert link.ask == ask


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["servers"]),
        ({"servers": []}, ["servers"]),
        ({"servers": {"east": "127.0.0.1:8474", "west": "http://h", "south": 3}}, ["east", "west", "south"]),
        (SERVERS | {"nodes": ["a"]}, ["nodes"]),
        (SERVERS | {"server": {}, "lynks": []}, ["network.server ", "network.lynks", "it has: servers, links, nodes"]),
        (SERVERS | {"links": {"a": 1}}, ["links"]),
        (SERVERS | {"links": [3, {"name": "a"}, {"colour": "red"}]}, ["links[1]", "links[2]", "source", "colour"]),
    ],
)
def test_wrong_settings_are_told_all_at_once(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        from_settings(settings, {})
    assert [word for word in words if word not in str(caught.value)] == []


def test_links_of_the_settings_stand_for_what_the_servers_have(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"source": "a", "target": "b", "source_region": "east", "target_region": "west", "ask": "http://h:1/x"}
    network = from_settings(SERVERS | {"links": [{"name": "a--b", **keys}, {"name": "gone", **keys}]}, {})
    proxies = {"a--b": proxy("a--b", enabled=False), "c--d": proxy("c--d")}
    stand_in = SimpleNamespace(name="east", proxies=lambda: proxies)
    monkeypatch.setattr(network, "_servers", {"east": stand_in})
    assert [(link.name, link.state, link.ask) for link in network.links()] == [
        ("a--b", "cut", "http://h:1/x"),
        ("gone", "unknown", "http://h:1/x"),
    ]
