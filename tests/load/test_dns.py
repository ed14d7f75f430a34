"""Packets against an independent DNS library, and resolvers that keep answers as long as they may."""

import asyncio
from collections.abc import Callable
from typing import Any

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simian.load import dnswire
from simian.load.resolver import RECHECK_S, STALE_FOR_S, Resolution, Resolver, Silent, Wire

NAME, SUBNET = "api.geo.lab", "198.18.3.0/24"
Run = Callable[[Callable[[], Any]], Any]
ZONE = f"""
{NAME}. 5 IN CNAME east.switch.lab.
east.switch.lab. 1 IN CNAME east.gw.lab.
east.gw.lab. 300 IN A 127.1.1.80
east.gw.lab. 300 IN A 127.1.2.80
east.gw.lab. 300 IN TXT "not for users"
"""


def answer_to(packet: bytes, zone: str = ZONE, rcode: int = 0) -> bytes:
    reply = dnslib.DNSRecord.parse(packet).reply()
    reply.add_answer(*dnslib.RR.fromZone(zone))
    reply.header.rcode = rcode
    return bytes(reply.pack())


def test_a_question_carries_name_type_and_subnet() -> None:
    packet = dnswire.question(4711, NAME, SUBNET)
    parsed = dnslib.DNSRecord.parse(packet)
    assert (parsed.header.id, parsed.header.qr, parsed.header.rd) == (4711, 0, 1)
    assert (str(parsed.q.qname), parsed.q.qtype) == (f"{NAME}.", dnslib.QTYPE.A)
    (extra,) = parsed.ar
    (option,) = extra.rdata
    assert (option.code, option.data) == (8, bytes([0, 1, 24, 0, 198, 18, 3]))
    assert extra.rclass == 1232


def test_an_answer_is_followed_to_its_addresses_with_the_smallest_ttl() -> None:
    answer = dnswire.parse(answer_to(dnswire.question(1, NAME, SUBNET)))
    assert (answer.number, answer.name, answer.rcode) == (1, NAME, 0)
    chain = dnswire.follow(answer, "API.geo.lab.")
    assert chain == dnswire.Chain(("127.1.1.80", "127.1.2.80"), 1, "east.gw.lab")


def test_a_chain_that_ends_in_a_name_says_where() -> None:
    zone = f"{NAME}. 5 IN CNAME east.switch.lab."
    chain = dnswire.follow(dnswire.parse(answer_to(dnswire.question(1, NAME, SUBNET), zone)), NAME)
    assert chain == dnswire.Chain((), 5, "east.switch.lab")


def test_a_circle_of_names_ends() -> None:
    zone = f"{NAME}. 5 IN CNAME b.lab.\nb.lab. 5 IN CNAME {NAME}."
    assert dnswire.follow(dnswire.parse(answer_to(dnswire.question(1, NAME, SUBNET), zone)), NAME).addresses == ()


def test_truncated_and_foreign_packets_are_told_apart() -> None:
    packet = dnswire.question(1, NAME, SUBNET)
    with pytest.raises(dnswire.BadPacket, match="question came"):
        dnswire.parse(packet)
    cut = dnslib.DNSRecord.parse(answer_to(packet))
    cut.header.tc = 1
    with pytest.raises(dnswire.BadPacket, match="cut off"):
        dnswire.parse(bytes(cut.pack()))


def test_a_name_that_points_to_itself_is_a_bad_packet() -> None:
    with pytest.raises(dnswire.BadPacket, match="circle"):
        dnswire.parse(b"\0\1\x80\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1")


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_garbage_is_a_bad_packet_and_nothing_worse(noise: bytes, at: int) -> None:
    good = answer_to(dnswire.question(1, NAME, SUBNET))
    for packet in (noise, good[:at], good[:at] + noise):
        try:
            dnswire.follow(dnswire.parse(packet), NAME)
        except dnswire.BadPacket:
            continue


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".lab"])
def test_what_is_no_name_is_not_asked(name: str) -> None:
    with pytest.raises(ValueError, match="no DNS name"):
        dnswire.question(1, name, SUBNET)


class Server:
    """Answers with one address; counts; can be silent; ``number`` makes answers tell each other apart."""

    def __init__(self, ttl_s: int = 10) -> None:
        self.ttl_s, self.number, self.silent, self.asked = ttl_s, 0, False, 0
        self.names: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, name: str, subnet: str) -> dnswire.Answer:
        self.asked += 1
        await self.gate.wait()
        if self.silent:
            raise Silent("told to be")
        if name in self.names:
            return dnswire.Answer(0, name, 0, (dnswire.Record(name, 5, 3, self.names[name]),))
        return dnswire.Answer(0, name, 0, (dnswire.Record(name, 1, self.ttl_s, f"127.1.1.{self.number}"),))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_kept_until_its_ttl_has_passed_and_no_longer(run: Run) -> None:
    async def body() -> None:
        server, clock = Server(ttl_s=10), Clock()
        resolver = Resolver(server, clock)
        assert (await resolver.lookup(NAME, SUBNET)).addresses == ("127.1.1.0",)
        server.number = 1
        clock.now += 9.99
        assert (await resolver.lookup(NAME, SUBNET)).addresses == ("127.1.1.0",)
        assert server.asked == 1
        clock.now += 0.01
        assert (await resolver.lookup(NAME, SUBNET)).addresses == ("127.1.1.1",)
        assert server.asked == 2

    run(body)


def test_each_subnet_has_an_answer_of_its_own_and_one_question_serves_all_who_wait(run: Run) -> None:
    async def body() -> None:
        server = Server()
        resolver = Resolver(server, Clock())
        await asyncio.gather(*(resolver.lookup(NAME, SUBNET) for _ in range(5)))
        assert server.asked == 1
        await resolver.lookup(NAME, "198.18.4.0/24")
        assert server.asked == 2

    run(body)


def test_without_a_server_the_old_answer_is_kept_for_a_bounded_time_and_told(run: Run) -> None:
    async def body() -> None:
        server, clock = Server(ttl_s=10), Clock()
        resolver = Resolver(server, clock)
        await resolver.lookup(NAME, SUBNET)
        server.silent = True
        clock.now += 11.0
        assert await resolver.lookup(NAME, SUBNET) == Resolution(("127.1.1.0",), "dns_stale")
        assert await resolver.lookup(NAME, SUBNET) == Resolution(("127.1.1.0",), "dns_stale")
        assert server.asked == 2  # not again by each request
        clock.now += RECHECK_S
        await resolver.lookup(NAME, SUBNET)
        assert server.asked == 3
        clock.now += STALE_FOR_S
        assert await resolver.lookup(NAME, SUBNET) == Resolution((), "dns_failed")
        server.silent = False
        assert await resolver.lookup(NAME, SUBNET) == Resolution(("127.1.1.0",))

    run(body)


def test_who_has_an_old_answer_does_not_wait_long_and_the_late_one_is_kept(run: Run) -> None:
    async def body() -> None:
        server, clock = Server(ttl_s=10), Clock()
        resolver = Resolver(server, clock)
        await resolver.lookup(NAME, SUBNET)
        server.number, server.gate = 1, asyncio.Event()
        clock.now += 11.0
        assert await resolver.lookup(NAME, SUBNET) == Resolution(("127.1.1.0",), "dns_stale")
        assert await asyncio.wait_for(resolver.lookup(NAME, SUBNET), 0.1) == Resolution(("127.1.1.0",), "dns_stale")
        server.gate.set()
        while (await resolver.lookup(NAME, SUBNET)).trouble:
            await asyncio.sleep(0)
        assert await resolver.lookup(NAME, SUBNET) == Resolution(("127.1.1.1",))
        assert server.asked == 2

    run(body)


def test_a_server_that_leaves_a_name_to_us_is_asked_on(run: Run) -> None:
    async def body() -> None:
        server, clock = Server(ttl_s=300), Clock()
        server.names[NAME] = "east.switch.lab"
        resolver = Resolver(server, clock)
        assert (await resolver.lookup(NAME, SUBNET)).addresses == ("127.1.1.0",)
        clock.now += 3.0  # the TTL of the first name of the chain
        await resolver.lookup(NAME, SUBNET)
        assert server.asked == 4

    run(body)


class Socket(asyncio.DatagramProtocol):
    """A real name server; ``answers`` makes each packet's answers."""

    def __init__(self, answers: Callable[[bytes], list[bytes]]) -> None:
        self.answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for answer in self.answers(data):
            self.transport.sendto(answer, addr)


async def asked(answers: Callable[[bytes], list[bytes]]) -> dnswire.Answer:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Socket(answers), local_addr=("127.0.0.1", 0))
    wire = await Wire.open(*transport.get_extra_info("sockname"))
    try:
        return await wire.ask(NAME, SUBNET)
    finally:
        wire.close()
        transport.close()
        await asyncio.sleep(0)


def test_over_the_wire_only_the_answer_to_the_question_counts(run: Run) -> None:
    def answers(packet: bytes) -> list[bytes]:
        other_number = bytes([packet[0] ^ 1]) + answer_to(packet)[1:]
        other_name = answer_to(packet[:2] + dnswire.question(0, "other.lab", SUBNET)[2:])
        return [other_number, other_name, answer_to(packet)]

    assert run(lambda: asked(answers)).name == NAME


def test_the_late_answer_to_an_earlier_packet_is_as_good(run: Run) -> None:
    seen: list[bytes] = []

    def answers(packet: bytes) -> list[bytes]:
        seen.append(packet)
        return [answer_to(seen[0])] if len(seen) == 2 else []

    assert run(lambda: asked(answers)).name == NAME


def test_a_lost_packet_is_asked_for_again(run: Run) -> None:
    seen: list[bytes] = []

    def answers(packet: bytes) -> list[bytes]:
        seen.append(packet)
        return [] if len(seen) == 1 else [answer_to(packet)]

    assert run(lambda: asked(answers)).name == NAME
    assert len(seen) == 2


@pytest.mark.parametrize("answers", [lambda packet: [], lambda packet: [packet[:2] + b"garbage"]])
def test_silence_and_garbage_are_silent(run: Run, answers: Callable[[bytes], list[bytes]]) -> None:
    with pytest.raises(Silent):
        run(lambda: asked(answers))


def test_a_server_that_is_not_there_is_silent_at_once(run: Run) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        address = transport.get_extra_info("sockname")
        transport.close()
        await asyncio.sleep(0)
        wire = await Wire.open(*address)
        with pytest.raises(Silent, match="nothing listens"):
            await wire.ask(NAME, SUBNET)
        wire.close()

    run(body)


def test_an_error_code_is_no_answer(run: Run) -> None:
    async def body() -> Resolution:
        class Refusing(Server):
            async def ask(self, name: str, subnet: str) -> dnswire.Answer:
                return dnswire.Answer(0, name, 2, ())

        return await Resolver(Refusing(), Clock()).lookup(NAME, SUBNET)

    assert run(body) == Resolution((), "dns_failed")
