"""The lab's own DNS server, where it differs from PowerDNS or can be looked at more closely; else test_powerdns.py."""

import asyncio
import ipaddress
import json
from pathlib import Path

import dns.message
import pytest
from simian_lab.dns_api import Api
from simian_lab.dns_lua import parse
from simian_lab.dns_server import DnsServer
from simian_lab.dns_zones import Zones
from simian_lab.http import Request, Response
from simian_lab.layout import Layout

SWITCHES = "/api/v1/servers/localhost/zones/switch.lab."


@pytest.fixture
def zones(tmp_path: Path) -> Zones:
    return Zones.read(tmp_path / "zones.json", Layout.compute())


def replace(zones: Zones, content: str) -> Response:
    """Set the switch of the east by the API."""
    change = {"name": "east.switch.lab.", "type": "LUA", "ttl": 1, "changetype": "REPLACE"}
    body = json.dumps({"rrsets": [change | {"records": [{"content": content}]}]}).encode()
    request = Request("PATCH", SWITCHES, {}, {"x-api-key": "key"}, body, SWITCHES)
    return asyncio.run(Api(zones, "key", {}).answer(request))


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
def test_lua_that_is_none_of_the_forms_is_refused_and_nothing_changes(zones: Zones, content: str) -> None:
    """PowerDNS takes whatever it is given, and fails when it is asked."""
    answer = replace(zones, content)
    assert answer.status == 422
    assert "pickwhashed" in answer.json()["error"]
    found = zones.resolve("api.geo.lab", "A", ipaddress.ip_address("198.18.3.0"))
    assert found.records[-1].name == "east.gw.lab."


def test_shares_follow_the_weights_over_many_clients() -> None:
    record = parse("CNAME \"pickwhashed({{75,'a.'},{25,'b.'}})\"")
    chosen = [record.choose(ipaddress.ip_address("198.18.0.0") + 7 * number) for number in range(5000)]
    assert 0.73 < chosen.count("a.") / len(chosen) < 0.77


def test_packets_that_are_no_questions_are_survived(zones: Zones) -> None:
    server = DnsServer(zones)
    question = dns.message.make_query("api.geo.lab", "A").to_wire()
    assert server.answer(b"short", "127.0.0.1") is None
    assert server.answer(dns.message.make_response(dns.message.from_wire(question)).to_wire(), "127.0.0.1") is None
    for length in range(12, len(question)):
        packet = server.answer(question[:length], "127.0.0.1")
        assert packet is not None
        assert packet[3] & 15 in (1, 4)
