"""The gateways: routing around what is broken, mis-routed users, shedding, and settings changed while they run."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from simian_filters.rules import Rules
from simian_lab.calls import Callee, Caller, Health
from simian_lab.dns_server import DnsServer
from simian_lab.dns_zones import Zones
from simian_lab.gateway import Gateway, Upstreams
from simian_lab.gateway_settings import BadSettings, Settings
from simian_lab.geo_rules import GeoRules
from simian_lab.http import Pool, Request, Response, Server, start_server
from simian_lab.layout import Layout
from simian_lab.trace import Trace

EAST = "gateway-east-a"


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def _names(kit: Any, region: str) -> list[str]:
    return [f"proxy-{region}", *kit.of_region(kit.layout, region, "gateway", "members", "store")]


async def _settings(services: Any, node: str, **patch: Any) -> Any:
    answer = await services.admin(node, "PATCH", "/admin/settings", json.dumps(patch).encode())
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.mark.lab
def test_a_lost_members_node_costs_no_request(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_names(kit, "east")) as services:
            answer = await services.ask(EAST, "GET", "/play?member=m", headers={"x-lab-home": "east"})
            assert answer.headers["x-lab-served-by"] == "members-east-a"
            assert (answer.headers["x-lab-way"], answer.headers["x-lab-region"]) == ("direct", "east")
            await services.stop("members-east-a")
            answer = await services.ask(EAST, "GET", "/play?member=m", headers={"x-lab-home": "east"})
            assert answer.headers["x-lab-served-by"] == "members-east-b"
            assert answer.headers["x-lab-trace"].startswith(f"{EAST}>members-east-a!,{EAST}>members-east-b")
            await services.stop("members-east-b", "members-east-c")
            assert (await services.ask(EAST, "GET", "/play?member=m")).status == 502
            assert (await services.ask(EAST, "GET", "/health")).status == 200
            assert (await services.ask(EAST, "GET", "/deep")).status == 503

    _run(test())


@pytest.mark.lab
def test_a_mis_routed_user_is_served_by_each_mode_in_force(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_names(kit, "east"), *_names(kit, "west")) as services:

            async def way() -> tuple[int, str, str | None]:
                answer = await services.ask(EAST, "GET", "/profile?member=m", headers={"x-lab-home": "west"})
                return answer.status, answer.headers["x-lab-way"], answer.headers.get("x-lab-region")

            assert await way() == (200, "isthmus", "west")
            shown = await _settings(services, EAST, misrouted={"mode": "redirect", "owner": "k7"})
            assert shown["misrouted"] == {"mode": "redirect", "own": False, "owner": "k7"}
            answer = await services.ask(EAST, "GET", "/profile?member=m", headers={"x-lab-home": "west"})
            wanted = {f"http://{node.address}/profile?member=m" for node in kit.layout.nodes_of("gateway", "west")}
            assert (answer.status, answer.headers["x-lab-way"]) == (307, "redirect")
            assert answer.headers["location"] in wanted
            await _settings(services, EAST, failover={"regions": ["west"], "owner": "k7"})
            assert await way() == (200, "direct", "east")
            arrivals = (await services.admin(EAST, "GET", "/admin/arrivals")).json()["arrivals"]
            assert arrivals == {"west": 3}

    _run(test())


@pytest.mark.lab
def test_a_request_crosses_the_isthmus_once_only(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_names(kit, "east"), *_names(kit, "west")) as services:
            for zone in "abc":  # both regions send the other's users, and their own, away
                for region in ("east", "west"):
                    await _settings(services, f"gateway-{region}-{zone}", misrouted={"own": True})
            for home in ("east", "west"):
                answer = await services.ask(EAST, "GET", "/profile?member=m", headers={"x-lab-home": home})
                assert (answer.status, answer.headers["x-lab-region"]) == (200, "west")
                hops = answer.headers["x-lab-trace"].split(",")
                assert sum(">gateway-" in hop for hop in hops) == 1

    _run(test())


@pytest.mark.lab
@pytest.mark.parametrize("own_addresses", [True, False])
def test_a_region_that_is_left_keeps_the_users_whom_the_dns_still_sends_there(kit: Any, own_addresses: bool) -> None:
    async def test() -> None:
        layout = Layout.compute(kit.layout.number, own_addresses=own_addresses)
        names = [name for region in ("east", "west") for name in _names(kit, region)]
        async with kit.running(layout, kit.folder, "dns", *names) as services:

            async def goes(home: str, subnet: str | None, *wanted: str | None) -> None:
                """Wait until this user is sent so: a busy machine may answer 502, or the DNS late, which is a doubt."""
                headers = {"x-lab-home": home} | ({"x-lab-subnet": subnet} if subnet else {})

                async def so() -> bool:
                    answer = await services.ask(EAST, "GET", "/profile?member=m", headers=headers)
                    seen.append((answer.status, answer.headers.get("x-lab-way"), answer.headers.get("x-lab-region")))
                    return seen[-1][0] in (200, 307) and seen[-1][1:] == wanted

                seen: list[tuple[int, str | None, str | None]] = []
                try:
                    await kit.eventually(so)
                except AssertionError as error:
                    raise AssertionError(f"{home} {subnet}: wanted {wanted}, saw {seen[-3:]}") from error

            await goes("east", "198.18.3.0/24", "direct", "east")
            await _settings(services, EAST, misrouted={"own": True})
            await goes("east", "198.18.3.0/24", "direct", "east")
            for unknown in (None, "nonsense"):  # in doubt users are taken to safety
                await goes("east", unknown, "isthmus", "west")
            await goes("west", "198.19.3.0/24", "isthmus", "west")  # foreign users as ever
            await services.lead("east", east=0, west=100)
            await goes("east", "198.18.3.0/24", "isthmus", "west")
            await _settings(services, EAST, misrouted={"mode": "redirect", "own": True})
            await goes("east", "198.18.3.0/24", "redirect", None)
            await services.lead("east", east=100, west=0)
            await goes("east", "198.18.3.0/24", "direct", "east")
            await services.stop("dns")
            await goes("east", "198.18.9.0/24", "redirect", None)

    _run(test())


async def _is(value: bool) -> bool:
    return value


class _Names(asyncio.DatagramProtocol):
    """A name server that counts what it is asked, and answers as the zones say, or is silent."""

    def __init__(self, zones: Zones) -> None:
        self._server, self.asked, self.silent = DnsServer(zones), 0, False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        answer = self._server.answer(data, "127.0.0.1")
        if not self.silent and answer is not None:
            self._transport.sendto(answer, addr)


@pytest.mark.lab
def test_the_dns_is_asked_once_for_all_users_of_a_subnet_and_again_when_its_answer_has_aged(kit: Any) -> None:
    async def test() -> None:
        dns, now = kit.layout.node("dns"), [100.0]
        names = _Names(Zones.read(kit.folder / "zones.json", kit.layout))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: names, local_addr=(dns.host, dns.port)
        )
        patient, hasty = (GeoRules(kit.layout, lambda: now[0], limit_s) for limit_s in (30.0, 0.05))

        async def asked(subnet: str, times: int = 1, geo: GeoRules = patient) -> set[str | None]:
            return set(await asyncio.gather(*(geo.region_of(subnet) for _ in range(times))))

        assert (await asked("198.18.0.0/24", 50), names.asked) == ({"east"}, 1)
        assert (await asked("198.19.0.0/24"), names.asked) == ({"west"}, 2)
        assert (await asked("198.18.0.0/24"), names.asked) == ({"east"}, 2)
        now[0] += 1.1
        assert (await asked("198.18.0.0/24"), names.asked) == ({"east"}, 3)
        names.silent = True
        for _ in range(2):
            assert await asked("198.18.0.0/24", 50, hasty) == {None}
        await kit.eventually(lambda: _is(names.asked == 4))
        for geo in (patient, hasty):
            geo.close()
        transport.close()

    _run(test())


@pytest.mark.lab
def test_settings_are_for_those_with_the_token(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, EAST) as services:
            for path in ("/admin/settings", "/admin/arrivals"):
                assert (await services.ask(EAST, "GET", path)).status == 401
                wrong = {"authorization": "Bearer wrong"}
                assert (await services.ask(EAST, "GET", path, headers=wrong)).status == 401
                assert (await services.admin(EAST, "GET", path)).status == 200
            answer = await services.admin(EAST, "PATCH", "/admin/settings", b'{"limit": {"concurrency": 0}}')
            assert answer.status == 400
            assert (await services.admin(EAST, "PATCH", "/admin/settings", b"{")).status == 400

    _run(test())


def test_every_problem_of_a_change_is_told_at_once_and_nothing_is_changed() -> None:
    settings = Settings()
    patch = {
        "failover": {"regions": ["mars"]},
        "misrouted": {"mode": "ignore", "colour": 1},
        "limit": {"concurrency": True},
        "more": {},
    }
    with pytest.raises(BadSettings) as caught:
        settings.changed(patch)
    assert len(caught.value.problems) == 5
    assert settings == Settings()


def test_a_change_leaves_what_it_does_not_name() -> None:
    settings = Settings().changed({"misrouted": {"mode": "redirect", "owner": "a"}})
    settings = settings.changed({"limit": {"concurrency": 5}})
    assert settings.misrouted.mode == "redirect"
    assert (settings.misrouted.owner, settings.limit.owner) == ("a", "")
    assert settings.changed({"misrouted": {"mode": "isthmus"}}).misrouted.owner == ""


class _Upstream:
    """A server that answers when told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen = 0
        self.status = 200

    async def handle(self, request: Request) -> Response:
        self.seen += 1
        await self.go.wait()
        return Response(self.status)


def _callee(name: str, server: Server) -> Callee:
    return Callee(name, "members", *server.address)


@pytest.mark.lab
def test_over_the_limit_critical_requests_are_shed_last(kit: Any) -> None:
    async def test() -> None:
        upstream, pool = _Upstream(), Pool()
        async with await start_server("127.0.0.1", 0, upstream.handle) as server:
            members = Upstreams(Caller(pool, Rules()), [_callee("members-east-a", server)])
            gateway = Gateway(kit.layout.node(EAST), "t", members, members, kit.layout, GeoRules(kit.layout))
            gateway.settings = Settings().changed({"limit": {"concurrency": 10}})

            async def ask(path: str) -> Response:
                return await gateway.route(Request("GET", path, target=path), Trace(EAST))

            waiting = [asyncio.ensure_future(ask("/profile")) for _ in range(8)]
            await asyncio.sleep(0)
            shed = await ask("/profile")
            assert (shed.status, shed.headers["retry-after"]) == (503, "1")
            waiting += [asyncio.ensure_future(ask("/play")) for _ in range(2)]
            await asyncio.sleep(0)
            assert (await ask("/play")).status == 503
            upstream.go.set()
            assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}
            assert (await ask("/profile")).status == 200
            await pool.aclose()

    _run(test())


def test_a_bad_answer_is_tried_again_elsewhere_and_a_refusal_is_not() -> None:
    async def test() -> None:
        first, second, pool = _Upstream(), _Upstream(), Pool()
        first.go.set()
        second.go.set()
        async with (
            await start_server("127.0.0.1", 0, first.handle) as one,
            await start_server("127.0.0.1", 0, second.handle) as two,
        ):
            upstreams = Upstreams(Caller(pool, Rules()), [_callee("a", one), _callee("b", two)])
            for status, wanted, asked in ((500, 200, 1), (404, 404, 0)):
                first.status, second.seen = status, 0
                trace = Trace("g")
                answer = await upstreams.send(trace, Request("GET", "/play", target="/play"), {})
                assert answer is not None
                assert (answer.status, second.seen) == (wanted, asked)
            await pool.aclose()

    _run(test())


def test_one_that_hangs_is_asked_by_one_request_a_second_and_not_by_all() -> None:
    now = [0.0]
    health = Health(lambda: now[0], memory_s=1.0)
    callees = [Callee(name, "members", name, 1) for name in "abc"]

    def first() -> str:
        return health.ordered(callees)[0].name

    assert first() == "a"
    health.bad("a")
    assert [first() for _ in range(5)] == ["b"] * 5
    assert [callee.name for callee in health.ordered(callees)] == ["b", "c", "a"]
    now[0] += 1.1
    assert [first() for _ in range(5)] == ["a"] + ["b"] * 4
    now[0] += 1.1
    assert first() == "a"
    health.good("a")
    assert [first() for _ in range(5)] == ["a"] * 5
