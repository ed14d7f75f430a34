"""The lab where the system binds 127.0.0.1 only (macOS): every node on that address, with a port of its own."""

import json
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from simian_lab import control
from simian_lab.control import LabError
from simian_lab.layout import MAX_NUMBER, Layout, NodeSpec
from simian_lab.manifest import Manifest
from simian_lab.readiness import ready

PATIENCE_S = 90.0
UP_WITHIN_S = 90.0
Row = dict[str, Any]


def listeners(layout: Layout) -> list[tuple[str, int]]:
    """Everything that the lab listens on."""
    ports = [(node.host, port) for node in layout.nodes for port in (node.port, *node.ports.values())]
    links = [(link.listen_host, link.listen_port) for link in layout.links]
    return [(layout.control_host, layout.control_port), *ports, *links]


def test_no_two_listeners_of_any_two_labs_are_the_same() -> None:
    layouts = [Layout.compute(number, own_addresses=False) for number in range(MAX_NUMBER + 1)]
    found = [address for layout in layouts for address in listeners(layout)]
    assert {host for host, _ in found} == {"127.0.0.1"}
    assert len(set(found)) == len(found)
    assert all(1024 < port < 32768 for _, port in found), "neither privileged nor taken for outgoing connections"


@pytest.mark.parametrize("number", [0, 3])
def test_the_dns_knows_a_gateway_by_the_address_it_would_have(number: int) -> None:
    def known(own: bool) -> dict[str, str | None]:
        return {node.name: node.dns_address for node in Layout.compute(number, own_addresses=own).nodes}

    assert known(False) == known(True)
    own = Layout.compute(number).nodes
    assert {node.name: node.dns_address for node in own if node.dns_address} == {
        node.name: node.host for node in own if node.service == "gateway"
    }


@dataclass
class Seen:
    """What the users' feed told so far."""

    rows: list[Row] = field(default_factory=list)
    hops: Counter[str] = field(default_factory=Counter)

    def count(self, key: str, home: str | None = None) -> int:
        return sum(row[key] for row in self.rows if home in (None, row["home"]))

    def ways(self, home: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for row in self.rows:
            found.update(row["ways"] if row["home"] == home else {})
        return found

    def reached(self) -> set[str]:
        """The gateways that answered users."""
        return {hop.partition(">")[2] for hop in self.hops if hop.startswith("users>") and not hop.endswith("!")}


class Feed:
    """The users' feed of a lab from now on."""

    def __init__(self, users: NodeSpec) -> None:
        self._address = users.host, users.port

    def until(self, enough: Callable[[Seen], bool]) -> Seen:
        """What was seen when it was enough; fails when it is not."""
        seen, deadline = Seen(), time.monotonic() + PATIENCE_S
        with socket.create_connection(self._address, PATIENCE_S) as sock, sock.makefile() as lines:
            while not enough(seen):
                assert time.monotonic() < deadline, f"not enough after {PATIENCE_S:g} s: {seen.hops}, {seen.rows[-4:]}"
                shape = json.loads(lines.readline())
                seen.rows += shape.get("rows", [])
                seen.hops.update(shape.get("hops", {}))
        return seen


def supervisor_does(manifest: Manifest, verb: str, node: str) -> dict[str, Any]:
    address = manifest.layout.control_host, manifest.layout.control_port
    with socket.create_connection(address, 10) as sock, sock.makefile("rb") as answers:
        sock.sendall(json.dumps({"token": manifest.token, "do": verb, "node": node}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(answers.readline())
    return answer


def wait_for(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not {what} after {PATIENCE_S:g} s"
        time.sleep(0.02)


def set_gateways(manifest: Manifest, region: str, settings: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {manifest.token}"}
    for node in manifest.layout.nodes_of("gateway", region):
        url = f"http://{node.address}/admin/settings"
        request = urllib.request.Request(url, json.dumps(settings).encode(), headers, method="PATCH")
        urllib.request.urlopen(request, timeout=10).close()


def lead_to_east(manifest: Manifest, home: str) -> None:
    """Have the DNS send users of this home to the gateways of east."""
    dns = manifest.layout.node("dns")
    records = [{"content": "CNAME \"pickwhashed({{100,'east.gw.lab.'}})\""}]
    change = {"name": f"{home}.switch.lab.", "type": "LUA", "ttl": 1, "changetype": "REPLACE", "records": records}
    request = urllib.request.Request(
        f"http://{dns.host}:{dns.ports['api']}/api/v1/servers/localhost/zones/switch.lab.",
        json.dumps({"rrsets": [change]}).encode(), {"X-API-Key": manifest.token}, method="PATCH",
    )  # fmt: skip
    urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    control.down(tmp_path)


def up(folder: Path, **wish: Any) -> Manifest:
    return control.up(folder, seed=7, rate=40, own_addresses=False, timeout_s=UP_WITHIN_S, **wish)


def free(number: int) -> bool:
    """Whether nobody uses the ports of this lab just now."""
    try:
        for address in listeners(Layout.compute(number, own_addresses=False)):
            socket.create_server(address).close()
    except OSError:
        return False
    return True


def nothing_is_left(folder: Path, manifest: Manifest) -> None:
    processes = [process.identity for process in manifest.processes.values()]
    assert not [each for each in (*processes, manifest.supervisor) if each is not None and each.alive()]
    assert not list(folder.iterdir())
    for address in listeners(manifest.layout):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)


@pytest.mark.lab
def test_users_use_every_gateway_go_on_without_one_and_follow_redirects(folder: Path) -> None:
    manifest = up(folder)
    layout = manifest.layout
    gateways = {node.name for node in layout.nodes_of("gateway")}
    assert len(gateways) == 6
    assert {node.host for node in layout.nodes} == {"127.0.0.1"}
    assert {row["state"] for row in control.status(folder)} == {"ready"}
    feed = Feed(layout.node("users"))
    seen = feed.until(lambda seen: seen.count("ok") >= 60 and seen.reached() >= gateways)
    assert seen.reached() == gateways
    assert all(any(hop.startswith(f"{name}>members") for hop in seen.hops) for name in gateways)

    assert supervisor_does(manifest, "hold", "gateway-east-a")["held"] is True
    gateway = Manifest.read(control.manifest_path(folder)).processes["gateway-east-a"].identity
    assert gateway is not None
    assert gateway.send(signal.SIGKILL)
    seen = feed.until(
        lambda seen: (
            seen.hops["users>gateway-east-a!"] >= 5
            and seen.count("ok", "east") >= 40
            and seen.count("first_failed", "east") > seen.count("failed", "east")
        )
    )
    assert seen.reached() >= {"gateway-east-b", "gateway-east-c"}

    assert supervisor_does(manifest, "start", "gateway-east-a")["ok"] is True
    wait_for(lambda: ready(layout.node("gateway-east-a").ask), "the gateway back")
    set_gateways(manifest, "east", {"misrouted": {"mode": "redirect"}})
    lead_to_east(manifest, "west")
    seen = feed.until(lambda seen: seen.ways("west")["redirect"] >= 20)
    assert seen.reached() <= gateways, "wherever a redirect led, it is told by the gateway's name"

    last = Manifest.read(control.manifest_path(folder))
    assert control.down(folder) is True
    nothing_is_left(folder, last)


@pytest.mark.lab
def test_a_port_that_is_taken_makes_a_lab_take_the_next_number(folder: Path) -> None:
    number = next(each for each in range(MAX_NUMBER) if free(each) and free(each + 1))
    taken = Layout.compute(number, own_addresses=False).node("cache-west-b")
    users = frozenset({"users"})
    with socket.create_server((taken.host, taken.port)):
        with pytest.raises(LabError, match=f"the addresses of lab {number} are taken"):
            up(folder, number=number, held=users)
        assert not list(folder.iterdir())
        manifest = up(folder, held=users)
        assert manifest.layout.number != number
        assert not manifest.layout.own_addresses
        assert Manifest.read(control.manifest_path(folder)).layout == manifest.layout
        assert {row["state"] for row in control.status(folder)} == {"ready", "held"}
