"""``python -m simian.load`` as the lab starts it, against gateways and a name server inside the test."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dnslib
import pytest

from simian.load.system import Gateway, NoManifest, System
from simian.probe import Slice

GOOD = b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: direct\r\ncontent-length: 0\r\n\r\n"
Run = Callable[[Callable[[], Any]], Any]


def manifest_of(dns: str, feed: str, port: int, hosts: list[str]) -> dict[str, Any]:
    regions = ("east", "west")
    gateways = [
        {"name": f"gateway-{regions[n % 2]}-a", "service": "gateway", "region": regions[n % 2],
         "address": f"{host}:{port}"} for n, host in enumerate(hosts)
    ]  # fmt: skip
    instruments = [
        {"name": "dns", "service": "dns", "region": "", "address": dns, "ask": f"dns://{dns}/api.geo.lab"},
        {"name": "users", "service": "users", "region": "", "address": feed, "ask": f"tcp://{feed}"},
    ]
    return {"version": 1, "seed": 7, "nodes": gateways + instruments, "links": []}


class NameServer(asyncio.DatagramProtocol):
    """Each home gets the gateway of its region; tells which subnets asked."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts
        self.subnets: set[bytes] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        packet = dnslib.DNSRecord.parse(data)
        prefix = packet.ar[0].rdata[0].data[4:]
        self.subnets.add(prefix)
        reply = packet.reply()
        reply.add_answer(*dnslib.RR.fromZone(f"{packet.q.qname} 1 IN A {self.hosts[prefix[1] - 18]}"))
        self.transport.sendto(bytes(reply.pack()), addr)


def free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


async def connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)


def test_the_users_live_from_the_manifest_alone_and_end_at_once(run: Run, street: Any, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"

    async def body() -> Any:
        async with street(lambda head: GOOD, lambda head: GOOD) as here:
            names = NameServer(here.hosts)
            loop = asyncio.get_running_loop()
            dns, _ = await loop.create_datagram_endpoint(lambda: names, local_addr=("127.77.0.53", 0))
            port = free_port("127.77.0.10")
            command = [sys.executable, "-m", "simian.load", "--manifest", str(path), "--rate", "100"]
            process = subprocess.Popen(command)
            try:  # the manifest comes after the users, as when a lab starts
                address = f"127.77.0.53:{dns.get_extra_info('sockname')[1]}"
                text = json.dumps(manifest_of(address, f"127.77.0.10:{port}", here.port, here.hosts))
                path.with_suffix(".new").write_text(text)
                path.with_suffix(".new").rename(path)
                reader, writer = await connected("127.77.0.10", port)
                slices: list[Slice] = []
                while sum(row.ended for one in slices for row in one.rows) < 100:
                    slices.append(Slice.from_json(json.loads(await reader.readline())))
                status = Path(f"/proc/{process.pid}/status")
                resident = status.read_text() if status.exists() else ""
                process.send_signal(signal.SIGTERM)
                code = await asyncio.to_thread(process.wait, 10)
                writer.close()
            finally:
                process.kill()
                process.wait()
                dns.close()
            return slices, names.subnets, code, resident

    slices, subnets, code, resident = run(body)
    rows = [row for one in slices for row in one.rows]
    assert sum(row.ok for row in rows) >= 0.9 * sum(row.ended for row in rows)
    assert {row.home for row in rows} == {"east", "west"}
    assert {row.kind for row in rows} == {"play", "profile", "continue", "progress"}
    assert {hop for one in slices for hop in one.hops} >= {"users>gateway-east-a", "users>gateway-west-a"}
    assert {prefix[:2] for prefix in subnets} == {b"\xc6\x12", b"\xc6\x13"}
    assert code == 0
    if resident:
        assert int(resident.split("VmRSS:")[1].split()[0]) < 40 * 1024, "resident kilobytes"


def test_the_system_is_read_from_the_manifest() -> None:
    manifest = manifest_of("127.9.0.53:5300", "127.9.0.10:9900", 8080, ["127.1.1.80", "127.2.1.80"])
    system = System.from_json(manifest)
    assert system == System(
        dns=("127.9.0.53", 5300), name="api.geo.lab", feed=("127.9.0.10", 9900), seed=7,
        gateways={"127.1.1.80": Gateway("gateway-east-a", "127.1.1.80", 8080),
                  "127.2.1.80": Gateway("gateway-west-a", "127.2.1.80", 8080)},
        homes={"east": "198.18", "west": "198.19"},
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": [{}]}', '{"nodes": 3}', "\x00"])
def test_what_is_no_manifest_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(NoManifest, match="take the lab down and up again"):
        System.read(path)


def test_a_missing_manifest_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoManifest, match="bring the lab up first"):
        System.read(tmp_path / "manifest.json")


def one_host(*dns_addresses: str) -> dict[str, Any]:
    """The manifest of gateways that share a host."""
    manifest = manifest_of("127.0.0.1:5300", "127.0.0.1:9900", 0, ["127.0.0.1"] * 2)
    for n, node in enumerate(manifest["nodes"][:2]):
        node["address"] = f"127.0.0.1:{21001 + n}"
        node["dns_address"] = dns_addresses[n] if dns_addresses else None
    return manifest


def test_gateways_on_one_host_are_found_by_the_addresses_that_stand_for_them() -> None:
    system = System.from_json(one_host("127.1.1.80", "127.2.1.80"))
    assert system.endpoint("127.1.1.80") == ("127.0.0.1", 21001)
    assert system.endpoint("127.2.1.80") == ("127.0.0.1", 21002)
    assert system.address_of("127.0.0.1", 21002) == "127.2.1.80"
    assert system.node_at("127.2.1.80") == "gateway-west-a"


def test_an_address_of_no_gateway_is_taken_as_it_is() -> None:
    own = System.from_json(manifest_of("127.9.0.53:53", "127.9.0.10:99", 8080, ["127.1.1.80", "127.2.1.80"]))
    assert own.endpoint("127.5.5.5") == ("127.5.5.5", 8080)
    shared = System.from_json(one_host("127.1.1.80", "127.2.1.80"))
    assert shared.endpoint("127.0.0.1") == ("127.0.0.1", 80), "and not at some gateway's port"
    assert shared.address_of("127.0.0.1", 9) == shared.node_at("127.0.0.1:9") == "127.0.0.1:9"


@pytest.mark.parametrize("dns_addresses", [(), ("127.1.1.80", "127.1.1.80")])
def test_gateways_that_no_dns_answer_can_tell_apart_are_refused(dns_addresses: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="each with a dns_address of its own"):
        System.from_json(one_host(*dns_addresses))


@pytest.mark.parametrize("options", [["--rate", "0"], ["--rate", "nan"], ["--devices", "-1"], ["--seed", "x"], []])
def test_bad_options_are_usage_errors(options: list[str], tmp_path: Path) -> None:
    manifest = ["--manifest", str(tmp_path / "none.json")] if options else []
    done = subprocess.run(
        [sys.executable, "-m", "simian.load", *manifest, *options], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr
