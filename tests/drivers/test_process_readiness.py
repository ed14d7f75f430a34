"""Whether a node is ready: a question in its own protocol."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from simian.platforms.process_readiness import says_ready


@pytest.fixture
def saying() -> Iterator[Callable[[bytes | None], int]]:
    """The port of a server that answers the first bytes of each connection so; ``None``: never."""
    servers: list[socket.socket] = []
    kept: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(server: socket.socket, answer: bytes | None) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            kept.append(connection)
            with suppress(OSError):  # the client need not stay for it
                if answer is not None:
                    connection.recv(1000)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_RDWR)

    def start(answer: bytes | None) -> int:
        servers.append(socket.create_server(("127.0.0.1", 0)))
        threads.append(threading.Thread(target=serve, args=(servers[-1], answer)))
        threads[-1].start()
        return int(servers[-1].getsockname()[1])

    yield start
    for sock in servers:
        sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for sock in servers + kept:
        sock.close()


@pytest.mark.parametrize(
    ("form", "answer", "ready"),
    [
        ("http://{}/health", b"HTTP/1.1 200 OK\r\n\r\n", True),
        ("http://{}", b"HTTP/1.0 200 OK\r\n\r\n", True),
        ("http://{}/health", b"HTTP/1.1 503 not yet\r\n\r\n", False),
        ("http://{}/health", b"HTTP/1.1 2000\r\n\r\n", False),
        ("http://{}/health", b"220 mail\r\n", False),
        ("http://{}/health", b"", False),
        ("http://{}/health", None, False),
        ("memcached://{}", b"VERSION 1.6\r\n", True),
        ("memcached://{}", b"ERROR\r\n", False),
        ("memcached://{}", None, False),
        ("redis://{}", b"+PONG\r\n", True),
        ("redis://{}", b"-NOAUTH Authentication required.\r\n", True),
        ("redis://{}", b"-LOADING Redis is loading the dataset in memory\r\n", False),
        ("redis://{}", None, False),
        ("postgres://{}", b"R\0\0\0\x08\0\0\0\0", True),
        ("postgres://{}", b"E\0\0\0\x20SFATAL\0C28000\0Mno role\0\0", True),
        ("postgres://{}", b"E\0\0\0\x20SFATAL\0C57P03\0Mstarting up\0\0", False),
        ("postgres://{}", b"", False),
        ("postgres://{}", None, False),
        ("mysql://{}", b"\x03\0\0\0\x0a8\0", True),
        ("mysql://{}", b"\x05\0\0\0\xff\x10\x04no", False),
        ("mysql://{}", None, False),
        ("tcp://{}", None, True),
        ("tcp://{}", b"", True),
    ],
)
def test_ready_is_what_a_node_says_of_itself(
    saying: Callable[[bytes | None], int], form: str, answer: bytes | None, ready: bool
) -> None:
    assert says_ready(form.format(f"127.0.0.1:{saying(answer)}")) is ready


@pytest.mark.parametrize(("answers", "ready"), [(True, True), (False, False)])
def test_a_name_server_is_ready_when_it_answers(answers: bool, ready: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            question, client = server.recvfrom(512)
            assert b"\3api\3geo\3lab\0" in question
            if answers:
                server.sendto(question[:2] + b"\x84\x03" + question[4:], client)

        thread = threading.Thread(target=answer)
        thread.start()
        assert says_ready(f"dns://127.0.0.1:{server.getsockname()[1]}/api.geo.lab") is ready
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "memcached", "dns", "tcp"])
def test_nobody_there_is_not_ready(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not says_ready(f"{scheme}://127.0.0.1:{port}/a")


def test_an_address_that_cannot_be_asked_says_what_could() -> None:
    with pytest.raises(ValueError, match="memcached"):
        says_ready("gopher://127.0.0.1:70")
