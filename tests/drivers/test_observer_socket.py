"""The socket driver of ``Observer``: what each protocol shows, and what it says of what it did not get."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dnslib import RR, DNSRecord

from simian.errors import Unsupported
from simian.observers.socket import from_settings
from simian.topology import Link, Node
from simian.world import Exchange

from .small_servers import (  # noqa: F401
    needs_openssl,
    new_listener_fixture,
    new_service_fixture,
    nobody_fixture,
    over_tls,
    stack_fixture,
)

ENDED_WITHOUT = ("closed without an answer", "reset without an answer")  # as its kernel has it


def exchange(ask: str, *, timeout_s: float = 1.0, size_b: int = 0) -> Exchange:
    link = Link("east--gateway", "east", "gateway", "east", "west", ask=ask)
    return from_settings({}, {}).exchange(link, timeout_s=timeout_s, size_b=size_b)


def says(*answers: bytes, then: Callable[[], object] = lambda: None) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        for answer in answers:
            connection.sendall(answer)
        then()

    return talk


@pytest.mark.parametrize("scheme", ["http", "memcached", "redis", "postgres", "mysql", "dns", "tcp"])
def test_where_nobody_listens_it_is_refused(scheme: str, nobody: int) -> None:
    seen = exchange(f"{scheme}://127.0.0.1:{nobody}/x")
    assert (seen.connected, seen.answered, seen.detail) == (False, False, "refused")


@pytest.mark.parametrize("scheme", ["http", "memcached", "redis", "postgres", "mysql", "tcp"])
def test_one_that_closes_at_once_has_not_answered(scheme: str, new_listener: Callable[..., Any]) -> None:
    seen = exchange(f"{scheme}://127.0.0.1:{new_listener(lambda _: None).port}/x")
    assert (seen.connected, seen.answered) == (True, False)
    assert seen.detail in ENDED_WITHOUT


@pytest.mark.parametrize("scheme", ["http", "https", "memcached", "redis", "postgres", "mysql", "tcp"])
def test_one_that_accepts_and_is_silent_has_not_answered(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, as for a paused process
        seen = exchange(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/x", timeout_s=0.2)
    assert (seen.connected, seen.answered, seen.detail) == (True, False, "no answer in 200 ms")


@pytest.mark.parametrize("status", [200, 204, 301, 404, 503])
def test_any_status_is_an_answer(status: int, new_listener: Callable[..., Any]) -> None:
    listener = new_listener(says(b"HTTP/1.1 %d X\r\nX-Simian-Faults: a, b,\r\n\r\n" % status))
    seen = exchange(f"http://127.0.0.1:{listener.port}")
    assert (seen.answered, seen.status, seen.hit_by) == (True, status, ("a", "b"))
    assert seen.ok is (status < 500)


@pytest.mark.parametrize(
    ("scheme", "answer"),
    [("http", b"SSH-2.0-x\r\n"), ("memcached", b"HTTP/1.1 400 Bad\r\n"), ("memcached", b"ERROR\r\n")],
)
def test_bytes_of_another_protocol_are_no_answer(scheme: str, answer: bytes, new_listener: Callable[..., Any]) -> None:
    seen = exchange(f"{scheme}://127.0.0.1:{new_listener(says(answer)).port}")
    assert (seen.connected, seen.answered) == (True, False)
    assert seen.detail.startswith(f"no {scheme} answer")


@pytest.fixture
def gone() -> Iterator[threading.Event]:
    """Set when the test is over, so that what hangs for it ends."""
    event = threading.Event()
    yield event
    event.set()


def test_an_answer_that_comes_in_part_counts_what_came(new_listener: Callable[..., Any], gone: threading.Event) -> None:
    part = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 1_234
    listener = new_listener(says(part, then=lambda: gone.wait(30)))
    seen = exchange(f"http://127.0.0.1:{listener.port}/", timeout_s=0.3, size_b=5_000)
    gone.set()
    assert (seen.answered, seen.status, seen.transferred_b) == (True, 200, 1_234)
    assert seen.elapsed_ms >= 300
    assert seen.detail == "not all of the answer in 300 ms: 1234 bytes"


def test_an_answer_that_ends_early_says_so(new_listener: Callable[..., Any]) -> None:
    listener = new_listener(says(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 1_234))
    seen = exchange(f"http://127.0.0.1:{listener.port}/", size_b=5_000)
    assert (seen.answered, seen.transferred_b) == (True, 1_234)
    assert seen.detail == "closed amid its answer, after 1234 bytes"


def test_headers_that_drip_end_at_the_deadline(new_listener: Callable[..., Any]) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        pause = threading.Event()
        while not pause.wait(0.02):
            connection.sendall(b"y")

    seen = exchange(f"http://127.0.0.1:{new_listener(drip).port}/", timeout_s=0.3)
    assert (seen.answered, seen.detail) == (False, "no answer in 300 ms")


def test_a_body_without_end_is_not_followed_to_it(new_listener: Callable[..., Any]) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    seen = exchange(f"http://127.0.0.1:{new_listener(flood).port}/", size_b=1_000_000)
    assert 1_000_000 <= seen.transferred_b <= 1_200_000


def test_the_size_asked_for_joins_a_query_that_is_there(new_listener: Callable[..., Any]) -> None:
    asked: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        asked.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    listener = new_listener(talk)
    exchange(f"http://127.0.0.1:{listener.port}/health?full=1", size_b=7)
    exchange(f"http://127.0.0.1:{listener.port}")
    assert [request.split(b"\r\n")[0] for request in asked] == [
        b"GET /health?full=1&size_b=7 HTTP/1.1",
        b"GET / HTTP/1.1",
    ]


class Memcached:
    """As much of one as the observer asks for."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.commands: list[bytes] = []
        self.store = True

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            while line := stream.readline():
                words = line.split()
                self.commands.append(words[0])
                stream.write(getattr(self, words[0].decode())(words, stream))
                stream.flush()

    def version(self, words: list[bytes], stream: Any) -> bytes:
        return b"VERSION 1.6.21\r\n"

    def stats(self, words: list[bytes], stream: Any) -> bytes:
        return b"STAT uptime 5\r\nSTAT pid 4242\r\nSTAT threads 4\r\nEND\r\n"

    def set(self, words: list[bytes], stream: Any) -> bytes:
        value = stream.read(int(words[4]) + 2)[:-2]
        if not self.store:
            return b"SERVER_ERROR out of memory storing object\r\n"
        self.values[words[1]] = value
        return b"STORED\r\n"

    def get(self, words: list[bytes], stream: Any) -> bytes:
        value = self.values.get(words[1])
        return b"END\r\n" if value is None else b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (words[1], len(value), value)


def test_a_memcached_tells_its_version_and_its_process(new_listener: Callable[..., Any]) -> None:
    listener = new_listener(Memcached())
    seen = exchange(f"memcached://127.0.0.1:{listener.port}")
    assert (seen.answered, seen.ok, seen.incarnation, seen.detail) == (True, True, "4242", "VERSION 1.6.21")


@pytest.mark.parametrize(
    ("scheme", "said", "detail"),
    [
        ("redis", (b"+PO", b"NG\r\n"), "+PONG"),
        ("redis", (b"-NOAUTH Authentication required.\r\n",), "-NOAUTH Authentication required."),
        ("postgres", (b"N",), "would not encrypt"),
        ("postgres", (b"S",), "would encrypt"),
        ("mysql", (b"\x08\0\0\0\x0a8.0.1", b"\0\0\x09\0\0\2\xff\x15\x04denied"), "8.0.1: error 1045"),
        ("mysql", (b"\x03\0\0\0\x0a8\0\x01\0\0\2\0",), "8: lets strangers in"),
        ("mysql", (b"\x05\0\0\0\xff\x10\x04no",), "error 1040"),
    ],
)
def test_a_database_that_waits_for_the_first_word_is_given_it(
    scheme: str, said: tuple[bytes, ...], detail: str, new_listener: Callable[..., Any]
) -> None:
    seen = exchange(f"{scheme}://127.0.0.1:{new_listener(says(*said)).port}")
    assert (seen.answered, seen.ok, seen.detail) == (True, True, detail)


@pytest.mark.parametrize(
    ("scheme", "said"), [("redis", b"HTTP/1.1 400\r\n"), ("postgres", b"-ERR"), ("mysql", b"HTTP/1.1 400\r\n")]
)
def test_what_is_no_database_has_not_answered(scheme: str, said: bytes, new_listener: Callable[..., Any]) -> None:
    seen = exchange(f"{scheme}://127.0.0.1:{new_listener(says(said)).port}")
    assert (seen.connected, seen.answered) == (True, False)
    assert seen.detail.startswith(f"no {scheme} answer: ")


def test_bytes_come_from_a_memcached_by_one_key_of_ours(new_listener: Callable[..., Any]) -> None:
    memcached = Memcached()
    listener = new_listener(memcached)
    for _ in range(2):
        seen = exchange(f"memcached://127.0.0.1:{listener.port}", size_b=2_000_000, timeout_s=10)
        assert 2_000_000 <= seen.transferred_b <= 2_000_000 + 512 * 1024
    assert memcached.commands.count(b"set") == 1, "set once, found there afterwards"
    assert {key: len(value) for key, value in memcached.values.items()} == {b"simian.observer": 512 * 1024}
    small = exchange(f"memcached://127.0.0.1:{listener.port}", size_b=5_000)
    assert small.transferred_b == 5_000


def test_a_memcached_that_stores_nothing_answered_but_carried_nothing(new_listener: Callable[..., Any]) -> None:
    memcached = Memcached()
    memcached.store = False
    seen = exchange(f"memcached://127.0.0.1:{new_listener(memcached).port}", size_b=5_000)
    assert (seen.answered, seen.transferred_b) == (True, 0)
    assert "SERVER_ERROR out of memory" in seen.detail


@pytest.fixture
def name_server() -> Iterator[Any]:
    """Answers each question twice: first with a stranger's number, then rightly."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    asked: list[str] = []

    def serve() -> None:
        while (packet := server.recvfrom(4096))[0]:
            question = DNSRecord.parse(packet[0])
            asked.append(str(question.q.qname))
            reply = question.reply()
            reply.add_answer(*RR.fromZone(f"{question.q.qname} 5 A 127.1.1.80"))
            stranger = bytes([packet[0][0] ^ 1]) + reply.pack()[1:]
            for answer in (stranger, reply.pack()):
                server.sendto(answer, packet[1])

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1], asked
    server.sendto(b"", server.getsockname())
    thread.join()
    server.close()


def test_a_name_server_answers_our_question_only(name_server: Any) -> None:
    port, asked = name_server
    seen = exchange(f"dns://127.0.0.1:{port}/east.gw.lab.")
    assert (seen.connected, seen.answered, seen.ok, seen.detail) == (True, True, True, "rcode 0, 1 answers")
    assert asked == ["east.gw.lab."]


def test_a_name_server_that_is_silent_has_not_answered() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        seen = exchange(f"dns://127.0.0.1:{silent.getsockname()[1]}/x", timeout_s=0.2)
    assert (seen.connected, seen.answered, seen.detail) == (False, False, "no answer in 200 ms")


def test_a_service_that_speaks_first_has_answered(new_listener: Callable[..., Any]) -> None:
    listener = new_listener(lambda connection: connection.sendall(b'{"type": "slice"}\n'))
    seen = exchange(f"tcp://127.0.0.1:{listener.port}")
    assert (seen.answered, seen.detail) == (True, "spoke first: 18 bytes")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "memory://x",
        "ftp://127.0.0.1:21",
        "http:///health",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:1/a b",
        "http://127.0.0.1:1/\r\nx: y",
        "http://127.0.0.1:1/ä",
        "tcp://127.0.0.1",
        "dns://127.0.0.1:53/" + "a" * 64,
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_sent(address: str) -> None:
    with pytest.raises(Unsupported, match=r"http://host:port/path"):
        exchange(address)


def test_a_node_without_an_address_behind_it_is_not_asked_for_that(new_service: Callable[..., Any]) -> None:
    node = Node("n", "s", "east", ask=f"{new_service().url}/health")
    with pytest.raises(Unsupported, match="n \\(for what is behind it\\) has no address"):
        from_settings({}, {}).ask(node, side="client")
    assert from_settings({}, {}).ask(node).ok


def test_a_host_that_has_no_address_is_told() -> None:
    seen = exchange("http://no-such-host.invalid:80/")
    assert (seen.connected, seen.answered) == (False, False)
    assert "gaierror" in seen.detail


@needs_openssl
def test_a_service_over_tls_answers_only_with_a_certificate_that_holds(
    new_listener: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, wrapped = over_tls(tmp_path, says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    address = f"https://127.0.0.1:{new_listener(wrapped).port}/"
    stranger = exchange(address)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    known = exchange(address)
    assert (stranger.connected, stranger.answered) == (True, False)
    assert "SSLCertVerificationError" in stranger.detail
    assert (known.answered, known.status, known.transferred_b) == (True, 200, 2)


def test_looks_from_many_threads_do_not_meet(new_service: Callable[..., Any]) -> None:
    service = new_service()
    observer = from_settings({}, {})
    nodes = [Node(f"n{n}", "s", "east", ask=f"{service.url}/health?size_b={n * 1000}") for n in range(1, 9)]
    seen: dict[str, int] = {}

    def look(node: Node) -> None:
        seen[node.name] = observer.ask(replace(node), timeout_s=5).transferred_b

    threads = [threading.Thread(target=look, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {f"n{n}": n * 1000 for n in range(1, 9)}
