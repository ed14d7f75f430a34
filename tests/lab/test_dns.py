"""The DNS of the lab: users are led by subnet and weight, and PowerDNS's zone API moves them."""

import asyncio
import ipaddress
import json
from collections import Counter
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import dns.rrset
import pytest
from simian_lab import dns_lua
from simian_lab.dns_api import Api
from simian_lab.dns_server import DnsServer
from simian_lab.dns_zones import Zones
from simian_lab.http import Request, Response
from simian_lab.layout import Layout

EAST_USER, WEST_USER = "198.18.3.0/24", "198.19.3.0/24"
ZONES = "/api/v1/servers/localhost/zones"


class Server:
    """A DNS server of a fresh lab, asked by packet and changed by its API."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout.compute()
        self.zones = Zones.read(folder / "zones.json", self.layout)
        self.udp = DnsServer(self.zones)
        self._api = Api(self.zones, "key", {})

    def resolve(self, name: str, subnet: str | None = None, type_: str = "A") -> dns.message.Message:
        options: list[dns.edns.Option] = [dns.edns.ECSOption(*_split(subnet))] if subnet else []
        question = dns.message.make_query(name, type_, use_edns=0, options=options)
        packet = self.udp.answer(question.to_wire(), "127.0.0.1")
        assert packet is not None
        answer = dns.message.from_wire(packet)
        assert question.is_response(answer)
        return answer

    def region(self, subnet: str, name: str = "api.geo.lab") -> str:
        """Whose gateways a user in this subnet is sent to."""
        answer = self.resolve(name, subnet)
        addresses = {record.address for record in answer.answer[-1]}
        return next(
            region
            for region in ("east", "west")
            if addresses == {node.host for node in self.layout.nodes_of("gateway", region)}
        )

    def led(self, subnet: str) -> str:
        """The same for many, without packets."""
        records = self.zones.resolve("api.geo.lab", "A", ipaddress.ip_address(_split(subnet)[0])).records
        return str(records[-1].name).partition(".")[0]

    def ask(self, method: str, path: str = "", body: Any = None, key: str = "key") -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        return asyncio.run(self._api.answer(Request(method, ZONES + path, {}, {"x-api-key": key}, data, ZONES + path)))

    def replace(self, zone: str, name: str, type_: str, *contents: str, ttl: int = 1) -> Response:
        records = [{"content": content, "disabled": False} for content in contents]
        return self.ask(
            "PATCH",
            f"/{zone}",
            {"rrsets": [{"name": name, "type": type_, "ttl": ttl, "changetype": "REPLACE", "records": records}]},
        )

    def shift(self, east: int, west: int, of: str = "east") -> Response:
        content = f"CNAME \"pickwhashed({{{{{east},'east.gw.lab.'}},{{{west},'west.gw.lab.'}}}})\""
        return self.replace("switch.lab.", f"{of}.switch.lab.", "LUA", content)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def _split(subnet: str) -> tuple[str, int]:
    address, _, length = subnet.partition("/")
    return address, int(length)


def subnets(count: int) -> list[str]:
    return [
        f"198.18.{number % 256}.0/{24}" if number < 256 else f"198.18.{number % 256}.{number // 256 * 16}/28"
        for number in range(count)
    ]


def test_one_question_is_answered_with_the_whole_chain(server: Server) -> None:
    answer = server.resolve("api.geo.lab", EAST_USER)
    assert [(str(rrset.name), rrset.ttl, len(rrset)) for rrset in answer.answer] == [
        ("api.geo.lab.", 5, 1),
        ("east.switch.lab.", 1, 1),
        ("east.gw.lab.", 5, 3),
    ]
    assert server.region(EAST_USER) == "east"
    assert server.region(WEST_USER) == "west"


def test_the_answer_says_that_it_holds_for_the_whole_subnet(server: Server) -> None:
    option = server.resolve("api.geo.lab", EAST_USER).options[0]
    assert isinstance(option, dns.edns.ECSOption)
    assert (option.address, option.srclen, option.scopelen) == ("198.18.3.0", 24, 24)


def test_without_a_subnet_the_asker_itself_is_the_client(server: Server) -> None:
    server.replace(
        "geo.lab.",
        "me.geo.lab.",
        "LUA",
        "A \";if netmask({'127.0.0.0/8'}) then return '127.0.0.9' else return '127.0.0.8' end\"",
    )
    assert "127.0.0.9" in server.resolve("me.geo.lab").to_text()


def test_shares_follow_the_weights_and_a_client_keeps_its_answer(server: Server) -> None:
    asked = subnets(2000)
    server.shift(75, 25)
    first = {subnet: server.led(subnet) for subnet in asked}
    assert 0.70 < Counter(first.values())["east"] / len(asked) < 0.80
    assert all(server.led(subnet) == region for subnet, region in first.items())
    server.shift(50, 50)
    second = {subnet: server.led(subnet) for subnet in asked}
    assert all(second[subnet] == "west" for subnet in asked if first[subnet] == "west"), "some were sent back"
    server.shift(75, 25)
    assert {subnet: server.led(subnet) for subnet in asked} == first
    assert [server.region(subnet) for subnet in asked[:50]] == [first[subnet] for subnet in asked[:50]]


def test_weight_zero_is_off_and_no_weight_at_all_is_an_error(server: Server) -> None:
    server.shift(0, 100)
    assert {server.region(subnet) for subnet in subnets(300)} == {"west"}
    assert server.region(WEST_USER) == "west"
    server.shift(0, 0)
    assert server.resolve("api.geo.lab", EAST_USER).rcode() == dns.rcode.SERVFAIL


def test_addresses_can_be_picked_too(server: Server) -> None:
    server.replace("switch.lab.", "one.switch.lab.", "LUA", "A \"pickwhashed({{1,'127.1.1.80'},{1,'127.2.1.80'}})\"")
    seen = {server.resolve("one.switch.lab", subnet).answer[0][0].to_text() for subnet in subnets(50)}
    assert seen == {"127.1.1.80", "127.2.1.80"}


@pytest.mark.parametrize(
    "content",
    [
        "CNAME \"pickrandom({'a.','b.'})\"",
        "CNAME \"if netmask({'198.18.0.0/16'}) then return 'a.' else return 'b.' end\"",
        "CNAME \";if netmask({'198.18.0.0/33'}) then return 'a.' else return 'b.' end\"",
        "CNAME \"pickwhashed({{-1,'a.'}})\"",
        "CNAME \"pickwhashed({{1,'a.'} {1,'b.'}})\"",
        "MX \"pickwhashed({{1,'a.'}})\"",
        "CNAME \"os.execute('true')\"",
        "",
    ],
)
def test_lua_that_is_none_of_the_forms_is_refused_and_nothing_changes(server: Server, content: str) -> None:
    answer = server.replace("switch.lab.", "east.switch.lab.", "LUA", content)
    assert answer.status == 422
    assert "pickwhashed" in answer.json()["error"]
    assert server.region(EAST_USER) == "east"


def test_more_than_two_networks_can_be_told_apart() -> None:
    record = dns_lua.parse(
        "CNAME \";if netmask({'10.0.0.0/8', '11.0.0.0/8'}) then return 'a.' "
        "elseif netmask({'12.0.0.0/8'}) then return 'b.' else return 'c.' end\""
    )
    chosen = [record.choose(ipaddress.ip_address(client)) for client in ("10.1.1.1", "11.1.1.1", "12.1.1.1", "9.1.1.1")]
    assert chosen == ["a.", "a.", "b.", "c."]


def test_text_records_can_be_kept_and_taken_away(server: Server) -> None:
    assert server.replace("switch.lab.", "_simian.switch.lab.", "TXT", '"run=k7f3 was=100"').status == 204
    assert server.resolve("_simian.switch.lab", type_="TXT").answer[0][0].strings == (b"run=k7f3 was=100",)
    gone = {"name": "_simian.switch.lab.", "type": "TXT", "changetype": "DELETE"}
    for _ in range(2):
        assert server.ask("PATCH", "/switch.lab.", {"rrsets": [gone]}).status == 204
    assert server.resolve("_simian.switch.lab", type_="TXT").rcode() == dns.rcode.NXDOMAIN


def test_a_patch_is_made_whole_or_not_at_all(server: Server) -> None:
    good = {"name": "a.gw.lab.", "type": "A", "ttl": 5, "changetype": "REPLACE", "records": [{"content": "127.0.0.1"}]}
    bad = {**good, "name": "b.gw.lab.", "records": [{"content": "127.0.0.one"}]}
    assert server.ask("PATCH", "/gw.lab.", {"rrsets": [good, bad]}).status == 422
    assert server.resolve("a.gw.lab").rcode() == dns.rcode.NXDOMAIN


def test_a_restart_keeps_every_change(server: Server, tmp_path: Path) -> None:
    server.shift(0, 100)
    server.replace("geo.lab.", "_simian.geo.lab.", "TXT", '"kept"')
    again = Server(tmp_path)
    assert again.region(EAST_USER) == "west"
    assert again.ask("GET", "/geo.lab.").json() == server.ask("GET", "/geo.lab.").json()


def test_zones_are_listed_shown_made_and_removed(server: Server) -> None:
    assert [zone["name"] for zone in server.ask("GET").json()] == ["geo.lab.", "gw.lab.", "switch.lab."]
    shape = server.ask("GET", "/switch.lab.").json()
    east = next(rrset for rrset in shape["rrsets"] if rrset["name"] == "east.switch.lab.")
    assert (east["type"], east["ttl"], east["records"]) == (
        "LUA",
        1,
        [{"content": "CNAME \"pickwhashed({{100,'east.gw.lab.'},{0,'west.gw.lab.'}})\"", "disabled": False}],
    )
    made = {"name": "new.lab.", "kind": "Native", "nameservers": ["ns1.new.lab."], "soa_edit_api": ""}
    assert [server.ask("POST", body=made).status for _ in range(2)] == [201, 409]
    assert server.replace("new.lab.", "www.new.lab.", "A", "127.0.0.5").status == 204
    assert server.resolve("www.new.lab").answer[0][0].to_text() == "127.0.0.5"
    assert server.ask("DELETE", "/new.lab.").status == 204
    assert server.ask("GET", "/new.lab.").status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"rrsets": [{"name": "a.other.", "type": "A", "ttl": 1, "changetype": "REPLACE", "records": []}]}, 204),
        (
            {
                "rrsets": [
                    {
                        "name": "a.other.",
                        "type": "A",
                        "ttl": 1,
                        "changetype": "REPLACE",
                        "records": [{"content": "127.0.0.1"}],
                    }
                ]
            },
            422,
        ),
        ({"rrsets": [{"name": "a.gw.lab.", "type": "A", "changetype": "CHANGE"}]}, 422),
        ({"rrsets": [{"type": "A", "changetype": "REPLACE"}]}, 422),
        ({"rrsets": [7]}, 422),
        ({}, 422),
        ([], 400),
    ],
)
def test_a_change_that_is_not_right_is_named(server: Server, body: Any, status: int) -> None:
    answer = server.ask("PATCH", "/gw.lab.", body)
    assert answer.status == status
    if status != 204:
        assert answer.json()["error"]


def test_a_wrong_key_is_refused(server: Server) -> None:
    assert server.ask("GET", key="other").status == 401
    assert server.ask("PATCH", "/gw.lab.", {"rrsets": []}, key="").status == 401


@pytest.mark.parametrize(
    ("name", "type_", "code"),
    [
        ("none.geo.lab", "A", dns.rcode.NXDOMAIN),
        ("api.geo.lab", "TXT", dns.rcode.NOERROR),
        ("east.gw.lab", "AAAA", dns.rcode.NOERROR),
        ("example.org", "A", dns.rcode.REFUSED),
        ("geo.lab", "SOA", dns.rcode.NOERROR),
    ],
)
def test_what_is_not_there_is_told_apart_from_what_is_not_ours(
    server: Server, name: str, type_: str, code: dns.rcode.Rcode
) -> None:
    assert server.resolve(name, EAST_USER, type_).rcode() == code


def test_names_are_the_same_in_upper_case(server: Server) -> None:
    assert len(server.resolve("API.Geo.LAB", EAST_USER).answer) == 3


def test_a_circle_of_names_is_an_error_and_no_hang(server: Server) -> None:
    server.replace("gw.lab.", "a.gw.lab.", "CNAME", "b.gw.lab.")
    server.replace("gw.lab.", "b.gw.lab.", "CNAME", "a.gw.lab.")
    assert server.resolve("a.gw.lab").rcode() == dns.rcode.SERVFAIL


def test_packets_that_are_no_questions_are_survived(server: Server) -> None:
    question = dns.message.make_query("api.geo.lab", "A").to_wire()
    assert server.udp.answer(b"short", "127.0.0.1") is None
    assert server.udp.answer(dns.message.make_response(dns.message.from_wire(question)).to_wire(), "127.0.0.1") is None
    for length in range(12, len(question)):
        packet = server.udp.answer(question[:length], "127.0.0.1")
        assert packet is not None
        assert packet[3] & 15 in (1, 4)
