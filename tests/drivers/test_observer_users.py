"""The socket observer in the place of a user: what it is answered by DNS, and what it meets at a gateway."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dnslib import CNAME, QTYPE, RR, A, DNSRecord

from simian.errors import Unsupported
from simian.observers.socket import SocketObserver
from simian.topology import Node
from simian.traffic import Entrance

from .small_servers import new_listener_fixture, nobody_fixture, stack_fixture  # noqa: F401

SUBNET = "198.18.3.0/24"
Answering = Callable[[DNSRecord], list[bytes]]


def good(question: DNSRecord) -> list[bytes]:
    reply = question.reply()
    reply.add_answer(RR("api.lab", QTYPE.CNAME, rdata=CNAME("East.GW.lab"), ttl=1))
    for last in (80, 81):
        reply.add_answer(RR("east.gw.lab", QTYPE.A, rdata=A(f"127.1.1.{last}"), ttl=5))
    reply.add_answer(RR("else.where", QTYPE.A, rdata=A("192.0.2.1"), ttl=5))
    return [bytes(reply.pack())]


class Names:
    """A name server that answers each question as its turn has it; the last turn lasts."""

    def __init__(self, *turns: Answering) -> None:
        self.asked: list[DNSRecord] = []
        self._turns = list(turns)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:{1}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            packet, asker = self._socket.recvfrom(4096)
            if not packet:
                return
            self.asked.append(DNSRecord.parse(packet))
            turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
            for answer in turn(self.asked[-1]):
                self._socket.sendto(answer, asker)

    def close(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def names() -> Iterator[Callable[..., Names]]:
    started: list[Names] = []

    def start(*turns: Answering) -> Names:
        started.append(Names(*turns))
        return started[-1]

    yield start
    for each in started:
        each.close()


def resolve(server: str, *, name: str = "api.lab", timeout_s: float = 10.0) -> tuple[str, ...]:
    return SocketObserver().resolve(Entrance("east", name, server, (SUBNET,), {}), SUBNET, timeout_s=timeout_s)


def silent(question: DNSRecord) -> list[bytes]:
    return []


def test_names_are_followed_within_the_answer_and_the_subnet_is_told(names: Callable[..., Names]) -> None:
    server = names(good)
    assert resolve(server.address) == ("127.1.1.80", "127.1.1.81")
    (option,) = server.asked[0].ar[0].rdata
    assert (option.code, option.data) == (8, bytes([0, 1, 24, 0, 198, 18, 3]))


def test_a_lost_packet_is_sent_once_more(names: Callable[..., Names]) -> None:
    server = names(silent, good)
    assert len(resolve(server.address, timeout_s=2.0)) == 2
    assert len(server.asked) == 2


def test_one_that_is_silent_is_asked_twice_and_has_no_answer(names: Callable[..., Names]) -> None:
    server = names(silent)
    assert resolve(server.address, timeout_s=0.4) == ()
    assert len(server.asked) == 2


def _of_another_question(question: DNSRecord) -> list[bytes]:
    (answer,) = good(question)
    return [bytes([answer[0] ^ 1]) + answer[1:], bytes(question.pack()), b"?", answer]


def test_packets_that_answer_another_question_are_passed_over(names: Callable[..., Names]) -> None:
    assert len(resolve(names(_of_another_question).address)) == 2


def _changed(at: int, value: int) -> Answering:
    def answer(question: DNSRecord) -> list[bytes]:
        packet = bytearray(good(question)[0])
        packet[at] = value
        return [bytes(packet)]

    return answer


@pytest.mark.parametrize(
    "bad",
    [_changed(3, 2), _changed(3, 3), _changed(2, 0x82), _changed(7, 9), _changed(13, ord("x"))],
    ids=["servfail", "nxdomain", "truncated", "garbled", "another name"],
)
def test_a_bad_answer_is_no_answer(names: Callable[..., Names], bad: Answering) -> None:
    assert resolve(names(bad).address) == ()


def test_where_nobody_answers_questions_there_is_no_answer_at_once(nobody: int) -> None:
    begun = time.monotonic()
    assert resolve(f"127.0.0.1:{nobody}", timeout_s=60.0) == ()
    assert time.monotonic() - begun < 60.0


@pytest.mark.parametrize(("server", "name"), [("", "api.lab"), ("127.0.0.1:x", "api.lab"), ("127.0.0.1:53", "a" * 64)])
def test_an_entrance_that_cannot_be_asked_is_named(server: str, name: str) -> None:
    with pytest.raises(Unsupported, match="entrance of east"):
        resolve(server, name=name)


def gateway(port: int) -> Node:
    return Node("gateway-east-a", "gateway", "east", visit=f"http://127.0.0.1:{port}/profile?member=simian")


def test_a_visit_is_a_users_request_and_a_redirect_is_not_followed(new_listener: Callable[..., Any]) -> None:
    heads = []

    def talk(connection: socket.socket) -> None:
        heads.append(connection.recv(65_536).decode())
        connection.sendall(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nX-Lab-Way: redirect\r\n\r\n")

    seen = SocketObserver().visit(gateway(new_listener(talk).port), "west", subnet=SUBNET)
    assert (seen.answered, seen.status, seen.way, seen.region) == (True, 307, "redirect", "")
    assert heads[0].startswith("GET /profile?member=simian HTTP/1.1\r\n")
    assert "\r\nx-lab-home: west\r\nx-lab-subnet: 198.18.3.0/24\r\n" in heads[0]


def test_a_visit_tells_who_served_it(new_listener: Callable[..., Any]) -> None:
    def talk(connection: socket.socket) -> None:
        assert b"x-lab-subnet" not in connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-lab-region: west\r\nx-lab-way: isthmus\r\ncontent-length: 0\r\n\r\n")

    seen = SocketObserver().visit(gateway(new_listener(talk).port), "west")
    assert (seen.status, seen.region, seen.way) == (200, "west", "isthmus")


def test_a_gateway_that_is_down_or_silent_has_not_answered(nobody: int) -> None:
    down = SocketObserver().visit(gateway(nobody), "east")
    assert (down.answered, down.status, down.detail) == (False, None, "refused")
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        seen = SocketObserver().visit(gateway(frozen.getsockname()[1]), "east", timeout_s=0.2)
    assert (seen.answered, seen.detail) == (False, "no answer in 200 ms")


def test_a_node_that_no_user_visits_is_named() -> None:
    with pytest.raises(Unsupported, match="members-east-a"):
        SocketObserver().visit(Node("members-east-a", "members", "east"), "east")
