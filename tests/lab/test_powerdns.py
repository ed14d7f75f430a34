"""The contract of the DNS, in the forms that the lab uses: our server, and PowerDNS with its zone API."""

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rrset
import pytest

from .one_node import PATIENCE_S, STAND_IN, OneNode, one_node

EAST_USER, WEST_USER = "198.18.3.0/24", "198.19.3.0/24"
ZONES = "/api/v1/servers/localhost/zones"


class Server:
    """A DNS server of the lab, asked by packet and changed by its API."""

    def __init__(self, node: OneNode) -> None:
        self.node, self.layout = node, node.manifest.layout
        self.first = self.rrsets()

    def question(self, name: str, subnet: str | None = None, type_: str = "A") -> dns.message.QueryMessage:
        options: list[dns.edns.Option] = [dns.edns.ECSOption(*_split(subnet))] if subnet else []
        return dns.message.make_query(name, type_, use_edns=0, options=options)

    def put(self, question: dns.message.Message) -> dns.message.Message:
        """The answer to any question."""
        spec = self.node.spec
        return dns.query.udp(question, spec.host, PATIENCE_S, spec.port)

    def resolve(self, name: str, subnet: str | None = None, type_: str = "A") -> dns.message.Message:
        return self.put(self.question(name, subnet, type_))

    def region(self, subnet: str, name: str = "api.geo.lab") -> str:
        """Whose gateways a user in this subnet is sent to."""
        answer = self.resolve(name, subnet)
        addresses = {record.address for record in answer.answer[-1]}
        return next(
            region
            for region in ("east", "west")
            if addresses == {node.host for node in self.layout.nodes_of("gateway", region)}
        )

    def ask(self, method: str, path: str = "", body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """Status and JSON (else text) of one call of the API."""
        spec = self.node.spec
        headers = {"X-API-Key": self.node.manifest.token if key is None else key, "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection(spec.host, spec.ports["api"], timeout=PATIENCE_S)) as connection:
            connection.request(method, ZONES + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        return response.status, json.loads(text) if text[:1] in ("{", "[") else text

    def patch(self, zone: str, *changes: dict[str, Any]) -> int:
        return self.ask("PATCH", f"/{zone}", {"rrsets": changes})[0]

    def replace(self, zone: str, name: str, type_: str, *contents: str, ttl: int = 1) -> int:
        return self.patch(zone, change(name, type_, *contents, ttl=ttl))

    def shift(self, east: int, west: int, of: str = "east") -> None:
        content = f"CNAME \"pickwhashed({{{{{east},'east.gw.lab.'}},{{{west},'west.gw.lab.'}}}})\""
        assert self.replace("switch.lab.", f"{of}.switch.lab.", "LUA", content) == 204

    def rrsets(self) -> dict[str, dict[tuple[str, str], Any]]:
        """All record sets by zone, name and type."""
        return {
            zone["name"]: {
                (each["name"], each["type"]): each for each in self.ask("GET", f"/{zone['name']}")[1]["rrsets"]
            }
            for zone in self.ask("GET")[1]
        }

    def restore(self) -> None:
        """All record sets as they were at first."""
        for zone, now in self.rrsets().items():
            was = self.first[zone]
            gone = [change(name, type_, kind="DELETE") for name, type_ in now.keys() - was.keys()]
            assert self.patch(zone, *gone, *({**each, "changetype": "REPLACE"} for each in was.values())) == 204


def change(name: str, type_: str, *contents: str, ttl: int = 1, kind: str = "REPLACE") -> dict[str, Any]:
    """One record set of a PATCH."""
    records = [{"content": content, "disabled": False} for content in contents]
    return {"name": name, "type": type_, "ttl": ttl, "changetype": kind, "records": records}


@pytest.fixture(scope="module", params=[STAND_IN, "dns"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with one_node(tmp_path_factory.mktemp("dns"), "dns", request.param) as node:
        yield Server(node)


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.restore()


def _split(subnet: str) -> tuple[str, int]:
    address, _, length = subnet.partition("/")
    return address, int(length)


def subnets(count: int) -> list[str]:
    return [
        f"198.18.{number % 256}.0/{24}" if number < 256 else f"198.18.{number % 256}.{number // 256 * 16}/28"
        for number in range(count)
    ]


def test_it_runs_wherever_its_folder_is_also_where_a_socket_s_path_would_be_too_long(tmp_path: Path) -> None:
    with one_node(tmp_path / ("long" * 30), "dns", "dns") as node:
        assert Server(node).region(WEST_USER) == "west"


def test_one_question_is_answered_with_the_whole_chain(server: Server) -> None:
    answer = server.resolve("api.geo.lab", EAST_USER)
    assert [(str(rrset.name), rrset.ttl, len(rrset)) for rrset in answer.answer] == [
        ("api.geo.lab.", 5, 1),
        ("east.switch.lab.", 1, 1),
        ("east.gw.lab.", 5, 3),
    ]
    assert answer.flags & dns.flags.AA
    assert server.region(EAST_USER) == "east"
    assert server.region(WEST_USER) == "west"


def test_the_answer_names_the_subnet_and_how_much_of_it_it_holds_for(server: Server) -> None:
    option = server.resolve("api.geo.lab", EAST_USER).options[0]
    assert isinstance(option, dns.edns.ECSOption)
    assert (option.address, option.srclen) == ("198.18.3.0", 24)
    assert option.scopelen >= 24


def test_without_a_subnet_the_asker_itself_is_the_client(server: Server) -> None:
    lua = "A \";if netmask({'127.0.0.0/8'}) then return '127.0.0.9' else return '127.0.0.8' end\""
    assert server.replace("geo.lab.", "me.geo.lab.", "LUA", lua) == 204
    assert "127.0.0.9" in server.resolve("me.geo.lab").to_text()


def test_shares_follow_the_weights_and_a_client_keeps_its_answer(server: Server) -> None:
    asked = subnets(200)
    server.shift(75, 25)
    first = {subnet: server.region(subnet) for subnet in asked}
    assert 0.65 < Counter(first.values())["east"] / len(asked) < 0.85
    server.shift(50, 50)
    second = {subnet: server.region(subnet) for subnet in asked}
    assert all(second[subnet] == "west" for subnet in asked if first[subnet] == "west"), "some were sent back"
    server.shift(75, 25)
    assert {subnet: server.region(subnet) for subnet in asked} == first


def test_the_next_answer_after_a_change_is_the_new_one(server: Server) -> None:
    for east in (0, 100) * 10:
        server.shift(east, 100 - east)
        assert server.region(EAST_USER) == ("east" if east else "west")


def test_weight_zero_is_off_and_no_weight_at_all_is_an_error(server: Server) -> None:
    server.shift(0, 100)
    assert {server.region(subnet) for subnet in subnets(60)} == {"west"}
    assert server.region(WEST_USER) == "west"
    server.shift(0, 0)
    assert server.resolve("api.geo.lab", EAST_USER).rcode() == dns.rcode.SERVFAIL


def test_addresses_can_be_picked_too(server: Server) -> None:
    picked = "A \"pickwhashed({{1,'127.1.1.80'},{1,'127.2.1.80'}})\""
    assert server.replace("switch.lab.", "one.switch.lab.", "LUA", picked) == 204
    seen = {server.resolve("one.switch.lab", subnet).answer[0][0].to_text() for subnet in subnets(50)}
    assert seen == {"127.1.1.80", "127.2.1.80"}


def test_more_than_two_networks_can_be_told_apart(server: Server) -> None:
    lua = (
        "CNAME \";if netmask({'10.0.0.0/8', '11.0.0.0/8'}) then return 'a.gw.lab.' "
        "elseif netmask({'12.0.0.0/8'}) then return 'b.gw.lab.' else return 'c.gw.lab.' end\""
    )
    assert server.replace("geo.lab.", "many.geo.lab.", "LUA", lua) == 204
    asked = ("10.1.1.0/24", "11.1.1.0/24", "12.1.1.0/24", "9.1.1.0/24")
    chosen = [str(server.resolve("many.geo.lab", subnet, "CNAME").answer[0][0]) for subnet in asked]
    assert chosen == ["a.gw.lab.", "a.gw.lab.", "b.gw.lab.", "c.gw.lab."]


@pytest.mark.parametrize(
    "text", ["run=k7f3 was=100", "", 'two" "strings', 'quotes \\" and \\\\', "x" * 200, "caf\\195\\169"]
)
def test_text_records_can_be_kept_and_taken_away(server: Server, text: str) -> None:
    name = "_simian.switch.lab."
    assert server.replace("switch.lab.", name, "TXT", f'"{text}"') == 204
    assert server.rrsets()["switch.lab."][name, "TXT"]["records"] == [{"content": f'"{text}"', "disabled": False}]
    assert server.resolve(name, type_="TXT").answer[0][0].to_text() == f'"{text}"'
    for _ in range(2):
        assert server.patch("switch.lab.", change(name, "TXT", kind="DELETE")) == 204
    assert server.resolve(name, type_="TXT").rcode() == dns.rcode.NXDOMAIN


def test_a_set_replaced_by_nothing_is_gone(server: Server) -> None:
    assert server.replace("gw.lab.", "a.gw.lab.", "A", "127.0.0.5", "127.0.0.6") == 204
    assert server.replace("gw.lab.", "a.gw.lab.", "A") == 204
    assert server.resolve("a.gw.lab").rcode() == dns.rcode.NXDOMAIN


def test_a_disabled_record_is_kept_and_not_answered(server: Server) -> None:
    told = change("a.gw.lab.", "A", "127.0.0.5", "127.0.0.6")
    told["records"][0]["disabled"] = True
    assert server.patch("gw.lab.", told) == 204
    assert [str(each) for each in server.resolve("a.gw.lab").answer[0]] == ["127.0.0.6"]
    kept = server.rrsets()["gw.lab."]["a.gw.lab.", "A"]["records"]
    assert sorted(kept, key=str) == [
        {"content": "127.0.0.5", "disabled": True},
        {"content": "127.0.0.6", "disabled": False},
    ]


def test_a_patch_is_made_whole_or_not_at_all(server: Server) -> None:
    good, bad = change("a.gw.lab.", "A", "127.0.0.1"), change("b.gw.lab.", "A", "127.0.0.one")
    assert server.patch("gw.lab.", good, bad) == 422
    assert server.resolve("a.gw.lab").rcode() == dns.rcode.NXDOMAIN


def test_a_restart_keeps_every_change(server: Server) -> None:
    server.shift(0, 100)
    server.replace("geo.lab.", "_simian.geo.lab.", "TXT", '"kept"')
    before = server.rrsets()
    server.node.kill()
    server.node.start()
    assert server.region(EAST_USER) == "west"
    assert server.rrsets() == before


def test_zones_are_listed_shown_made_and_removed(server: Server) -> None:
    assert sorted(zone["name"] for zone in server.ask("GET")[1]) == ["geo.lab.", "gw.lab.", "switch.lab."]
    assert [zone["name"] for zone in server.ask("GET", "?zone=geo.lab.")[1]] == ["geo.lab."]
    east = server.first["switch.lab."]["east.switch.lab.", "LUA"]
    assert (east["ttl"], east["records"]) == (
        1,
        [{"content": "CNAME \"pickwhashed({{100,'east.gw.lab.'},{0,'west.gw.lab.'}})\"", "disabled": False}],
    )
    made = {"name": "new.lab.", "kind": "Native", "nameservers": ["ns1.new.lab."], "soa_edit_api": ""}
    assert [server.ask("POST", body=made)[0] for _ in range(2)] == [201, 409]
    assert server.replace("new.lab.", "www.new.lab.", "A", "127.0.0.5") == 204
    assert server.resolve("www.new.lab").answer[0][0].to_text() == "127.0.0.5"
    assert server.ask("DELETE", "/new.lab.")[0] == 204
    assert server.ask("GET", "/new.lab.")[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"rrsets": [change("a.other.", "A")]}, 422),
        ({"rrsets": [change("a.other.", "A", "127.0.0.1")]}, 422),
        ({"rrsets": [change("a.gw.lab", "A", "127.0.0.1")]}, 422),
        ({"rrsets": [change("a.gw.lab.", "NONSENSE", "127.0.0.1")]}, 422),
        ({"rrsets": [change("a.gw.lab.", "CNAME", "b.gw.lab")]}, 422),
        ({"rrsets": [change("a.gw.lab.", "CNAME", "b.gw.lab.", "c.gw.lab.")]}, 422),
        ({"rrsets": [change("east.gw.lab.", "CNAME", "b.gw.lab.")]}, 422),
        ({"rrsets": [change("a.gw.lab.", "TXT", "unquoted")]}, 422),
        ({"rrsets": [change("a.gw.lab.", "A", kind="CHANGE")]}, 422),
        ({"rrsets": [{"type": "A", "changetype": "REPLACE"}]}, 422),
        ({"rrsets": [{"name": "a.gw.lab.", "type": "A", "changetype": "REPLACE", "records": []}]}, 422),
        ({"rrsets": [{"name": "a.gw.lab.", "type": "A", "changetype": "DELETE"}]}, 204),
        ({"rrsets": [{"name": "a.gw.lab", "type": "A", "changetype": "DELETE"}]}, 422),
        ({"rrsets": [{"name": "a.other.", "type": "A", "changetype": "DELETE"}]}, 204),
        ({"rrsets": [7]}, 422),
        ({"rrsets": []}, 204),
        ({}, 422),
        ([], 422),
    ],
)
def test_a_change_that_is_not_right_is_named(server: Server, body: Any, status: int) -> None:
    told = server.ask("PATCH", "/gw.lab.", body)
    assert told[0] == status, told
    if status != 204:
        assert told[1]["error"]


def test_a_zone_that_is_not_there_is_not_found(server: Server) -> None:
    assert server.ask("GET", "/none.lab.")[0] == 404
    assert server.patch("none.lab.", change("a.none.lab.", "A", "127.0.0.1")) == 404


def test_a_wrong_key_is_refused(server: Server) -> None:
    assert server.ask("GET", key="other")[0] == 401
    assert server.ask("PATCH", "/gw.lab.", {"rrsets": []}, key="")[0] == 401


@pytest.mark.parametrize(
    ("name", "type_", "code", "answers", "authority"),
    [
        ("none.geo.lab", "A", dns.rcode.NXDOMAIN, 0, ["SOA"]),
        ("api.geo.lab", "TXT", dns.rcode.NOERROR, 2, ["SOA"]),
        ("east.gw.lab", "TXT", dns.rcode.NOERROR, 0, ["SOA"]),
        ("api.geo.lab", "AAAA", dns.rcode.NOERROR, 2, ["SOA"]),
        ("api.geo.lab", "CNAME", dns.rcode.NOERROR, 1, []),
        ("example.org", "A", dns.rcode.REFUSED, 0, []),
        ("geo.lab", "SOA", dns.rcode.NOERROR, 1, []),
        ("geo.lab", "NS", dns.rcode.NOERROR, 1, []),
    ],
)
def test_what_is_not_there_is_told_apart_from_what_is_not_ours(
    server: Server, name: str, type_: str, code: dns.rcode.Rcode, answers: int, authority: list[str]
) -> None:
    answer = server.resolve(name, EAST_USER, type_)
    assert answer.rcode() == code
    assert len(answer.answer) == answers
    assert [rrset.rdtype.name for rrset in answer.authority] == authority


def test_a_name_that_leads_out_of_our_zones_is_answered_as_far_as_they_go(server: Server) -> None:
    assert server.replace("gw.lab.", "away.gw.lab.", "CNAME", "example.org.") == 204
    answer = server.resolve("away.gw.lab")
    assert (answer.rcode(), [str(rrset) for rrset in answer.answer]) == (
        dns.rcode.NOERROR, ["away.gw.lab. 1 IN CNAME example.org."],
    )  # fmt: skip


def test_names_are_the_same_in_upper_case(server: Server) -> None:
    assert len(server.resolve("API.Geo.LAB", EAST_USER).answer) == 3


def test_a_circle_of_names_ends(server: Server) -> None:
    server.replace("gw.lab.", "a.gw.lab.", "CNAME", "b.gw.lab.")
    server.replace("gw.lab.", "b.gw.lab.", "CNAME", "a.gw.lab.")
    assert server.resolve("a.gw.lab").rcode() == dns.rcode.SERVFAIL


def test_another_class_is_not_answered(server: Server) -> None:
    question = server.question("api.geo.lab")
    question.question[0].rdclass = dns.rdataclass.CH
    assert server.put(question).rcode() == dns.rcode.NOTIMP
