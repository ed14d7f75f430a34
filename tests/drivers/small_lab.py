"""A small two-region lab in this process for the suites of Steering and Observer: DNS, gateways, members.

Its parts are the lab's own, run on a loop in a thread; the DNS may be the real PowerDNS.
"""

import asyncio
import http.client
import itertools
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simian_filters.rules import Rules
from simian_lab import powerdns_real
from simian_lab.calls import Callee, Caller
from simian_lab.dns_api import Api
from simian_lab.dns_server import DnsServer
from simian_lab.dns_zones import Zones
from simian_lab.gateway import Gateway, Upstreams
from simian_lab.geo_rules import GeoRules
from simian_lab.http import Pool, Request, Response, Server, json_response, start_server
from simian_lab.layout import Layout
from simian_lab.node import NodeContext
from simian_lab.readiness import ready
from simian_lab.trace import REGION, Trace

from simian.observers.socket import SocketObserver
from simian.steering.dns import from_settings
from simian.steering.powerdns import write_weights
from simian.topology import Node

from ..real_parts import real_part
from .conftest import free_port, process, until

TOKEN, KEY = "s3cret", "k3y"
ZONE_PATH = "/api/v1/servers/localhost/zones"
CAPACITY_RPS, LOAD_RPS = 250.0, 40.0


class Background:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        self.do(self._end_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.02)  # transports that were aborted are told so


class StandIn:
    """The lab's own."""

    def __init__(self, background: Background, folder: Path, layout: Layout) -> None:
        self._background = background
        self._zones = Zones.read(folder / "zones.json", layout)
        self.api, self.udp = background.do(self._listen())

    async def _listen(self) -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        self._server = await start_server("127.0.0.1", 0, Api(self._zones, KEY, {}).answer)
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: DnsServer(self._zones), local_addr=("127.0.0.1", 0)
        )
        return self._server.address[1], self._transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        self._background.loop.call_soon_threadsafe(self._server.close)
        self._background.loop.call_soon_threadsafe(self._transport.close)


class RealPowerDns:
    """PowerDNS, run as the lab runs it."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        spec = replace(layout.node("dns"), host="127.0.0.1", port=free_port(), ports={"api": free_port()})
        self.api, self.udp = spec.ports["api"], spec.port
        context = NodeContext(spec, layout, folder, KEY, 1, "7-7", logging.getLogger("dns"))
        self._stack = ExitStack()
        self._stack.enter_context(process(*powerdns_real.command(real_part("dns"), context), folder=folder))
        until(lambda: ready(f"dns://127.0.0.1:{self.udp}/api.geo.lab"), "PowerDNS answers")

    def close(self) -> None:
        self._stack.close()


def ask_dns_api(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of one call of the zones' API, by other means than the driver's."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)) as connection:
        data = None if body is None else json.dumps(body)
        connection.request(method, ZONE_PATH + path, data, {"X-API-Key": KEY, "Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    return response.status, json.loads(text) if text else None


class SmallNode:
    """One HTTP server of the lab, which can be stopped, started anew on its port, and frozen."""

    def __init__(self, background: Background, lab: "SmallLab", name: str) -> None:
        self._background, self._lab, self.name = background, lab, name
        self.region = lab.layout.node(name).region
        self.port = free_port()
        self._server: Server | None = None
        self._thawed = asyncio.Event()

    def start(self) -> None:
        """Listen, and know nothing of what was before."""
        self._background.do(self._listen())

    def stop(self) -> None:
        """Refuse from now on."""
        self._background.do(self.end())

    def freeze(self) -> None:
        """Accept, and answer nothing."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Answer again."""
        self._background.loop.call_soon_threadsafe(self._thawed.set)

    @property
    def callee(self) -> Callee:
        return Callee(self.name, self.name.partition("-")[0], "127.0.0.1", self.port)

    async def _listen(self) -> None:
        self._thawed.set()
        answer = self._answers()

        async def handle(request: Request) -> Response:
            await self._thawed.wait()
            return await answer(request)

        self._server = await start_server("127.0.0.1", self.port, handle)

    async def end(self) -> None:
        self._thawed.set()
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    def _answers(self) -> Callable[[Request], Awaitable[Response]]:
        raise NotImplementedError


class SmallMembers(SmallNode):
    """Members that serve everything, and declare how much they could."""

    def _answers(self) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if request.path == "/headroom":
                return json_response({"capacity_rps": CAPACITY_RPS, "load_rps": LOAD_RPS})
            return json_response({}, 200, {REGION: self.region})

        return answer


class SmallGateway(SmallNode):
    """A gateway of the lab."""

    def _answers(self) -> Callable[[Request], Awaitable[Response]]:
        layout, caller = self._lab.layout, Caller(self._lab.pool, Rules())
        away = layout.other_region(self.region)
        members, abroad = (
            Upstreams(caller, [each.callee for each in nodes])
            for nodes in (self._lab.of("members", self.region), self._lab.of("gateway", away))
        )
        gateway = Gateway(layout.node(self.name), TOKEN, members, abroad, layout, self._lab.geo)
        return lambda request: gateway.route(request, Trace(self.name))


class SmallLab:
    """DNS, gateways and members; ``settings`` are a section ``steering:`` for them."""

    def __init__(self, folder: Path, dns: str = "stand-in") -> None:
        self.layout = Layout.compute(0)
        self._background, self._stack = Background(), ExitStack()
        self._stack.callback(self._background.close)
        try:
            self._start(folder, dns)
        except BaseException:
            self.close()
            raise

    def _start(self, folder: Path, dns: str) -> None:
        self.dns: StandIn | RealPowerDns
        if dns == "stand-in":
            self.dns = StandIn(self._background, folder, self.layout)
        else:
            self.dns = RealPowerDns(folder, self.layout)
        self._stack.callback(self.dns.close)
        where = dict(host="127.0.0.1", port=self.dns.udp)
        nodes = tuple(replace(node, **where) if node.name == "dns" else node for node in self.layout.nodes)
        # By this clock ten seconds go by between any two looks at it: nothing is kept, so no test waits for its end.
        self.geo = GeoRules(replace(self.layout, nodes=nodes), itertools.count(0.0, 10.0).__next__, limit_s=5.0)
        self.pool = Pool()
        self._stack.callback(lambda: self._background.do(self._end()))
        kinds = {"members": SmallMembers, "gateway": SmallGateway}
        self.nodes: dict[str, SmallNode] = {
            node.name: kinds[node.service](self._background, self, node.name)
            for node in self.layout.nodes if node.service in kinds
        }  # fmt: skip
        for each in self.nodes.values():
            each.start()

    async def _end(self) -> None:
        for each in self.nodes.values():
            await each.end()
        self.geo.close()
        await self.pool.aclose()

    def of(self, service: str, region: str) -> list[SmallNode]:
        """The nodes of a service in a region."""
        return [self.nodes[node.name] for node in self.layout.nodes_of(service, region)]

    def gateway(self, name: str) -> Node:
        """A gateway as the platform tells of it."""
        visit = f"http://127.0.0.1:{self.nodes[name].port}/profile?member=m"
        return Node(name, "gateway", self.nodes[name].region, visit=visit)

    @property
    def settings(self) -> dict[str, Any]:
        homes = {"east": "198.18.0.0/16", "west": "198.19.0.0/16"}
        return {
            "driver": "dns", "provider": "powerdns", "url": f"http://127.0.0.1:{self.dns.api}", "key": KEY,
            "ask": f"127.0.0.1:{self.dns.udp}", "name": "api.geo.lab",
            "homes": {home: {"switch": f"{home}.switch.lab.", "subnets": [net]} for home, net in homes.items()},
            "regions": {
                region: {
                    "target": f"{region}.gw.lab.",
                    "addresses": [node.dns_address for node in self.layout.nodes_of("gateway", region)],
                }
                for region in homes
            },
            "edge": self.edge_settings,
        }  # fmt: skip

    @property
    def edge_settings(self) -> dict[str, Any]:
        def places(service: str, path: str) -> dict[str, dict[str, str]]:
            chosen = [each for region in ("east", "west") for each in self.of(service, region)]
            return {each.name: {"url": f"http://127.0.0.1:{each.port}{path}", "region": each.region} for each in chosen}

        return {"token": TOKEN, "gateways": places("gateway", "/admin"), "members": places("members", "/headroom")}

    def ask_dns_api(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of the zones' API; AssertionError unless it is a success."""
        status, told = ask_dns_api(self.dns.api, method, path, body)
        assert status < 300, told
        return told

    def records(self, name: str, kind: str) -> list[str]:
        """The contents of a record set of the zone of switches, as the server has them."""
        rrsets = self.ask_dns_api("GET", "/switch.lab.")["rrsets"]
        found = (each["records"] for each in rrsets if (each["name"], each["type"]) == (name, kind))
        return sorted(record["content"] for record in next(found, []))

    def put_records(self, name: str, kind: str, *contents: str) -> None:
        """Set a record set of the zone of switches, as anybody else might."""
        records = [{"content": content, "disabled": False} for content in contents]
        change = {"name": name, "type": kind, "ttl": 1, "changetype": "REPLACE", "records": records}
        self.ask_dns_api("PATCH", "/switch.lab.", {"rrsets": [change]})

    def close(self) -> None:
        self._stack.close()


class SmallLabBench:
    """The small lab as the contract of ``Steering`` wants it."""

    def __init__(self, lab: SmallLab) -> None:
        self._lab = lab
        self.steering, self.observer = from_settings(lab.settings, {}), SocketObserver()
        self.gateways = {
            region: [lab.gateway(each.name) for each in lab.of("gateway", region)] for region in ("east", "west")
        }

    def move(self, home: str, row: Mapping[str, float]) -> None:
        weights = {f"{region}.gw.lab.": round(share * 100) for region, share in row.items()}
        self._lab.put_records(f"{home}.switch.lab.", "LUA", write_weights(weights))

    def come(self, home: str) -> None:
        by_address = {node.dns_address: node.name for node in self._lab.layout.nodes_of("gateway")}
        entrance = next(each for each in self.steering.entrances() if each.home == home)
        for subnet in entrance.subnets[::8]:
            for address in self.observer.resolve(entrance, subnet):
                self.observer.visit(self._lab.gateway(by_address[address]), home, subnet=subnet)

    def kill(self, node: str) -> None:
        self._lab.nodes[node].stop()

    def start(self, node: str) -> None:
        self._lab.nodes[node].start()

    def freeze(self, node: str) -> None:
        self._lab.nodes[node].freeze()


@pytest.fixture(params=["stand-in", "powerdns"])
def small_lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallLab]:
    """The small lab with our name server, then with the real one."""
    lab = SmallLab(tmp_path, request.param)
    try:
        yield lab
    finally:
        lab.close()
