"""What is the lab driver's own: which gateway is asked, what errors tell, and how settings are read."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from simian.data.lab import VALUE_LIMIT, LabData, from_settings
from simian.errors import DriverError, TimedOut, Unreachable, UsageError
from simian.world import Cell

from .small_servers import Listener

Heard = list[bytes]


def _request(connection: socket.socket) -> bytes:
    """One HTTP request, its body with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


class Street:
    """Nodes on loopback, each of which answers everything alike and notes what it heard."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.heard: Heard = []

    def http(self, status: int = 200, body: Any = None) -> str:
        """The address of one that answers so."""
        content = json.dumps(body or {}).encode()

        def talk(connection: socket.socket) -> None:
            self.heard.append(_request(connection))
            connection.sendall(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%b" % (status, len(content), content))

        return f"http://{self.says(talk)}"

    def silent(self) -> str:
        """The address of one that accepts and says nothing."""

        def talk(connection: socket.socket) -> None:
            self.heard.append(connection.recv(100))
            while connection.recv(100):
                pass

        return self.says(talk)

    def gone(self) -> str:
        """An address where nobody listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"127.0.0.1:{probe.getsockname()[1]}"

    def says(self, talk: Callable[[socket.socket], None]) -> str:
        """The address of one that talks so."""
        listener = Listener(talk)
        self._stack.callback(listener.stop)
        return f"127.0.0.1:{listener.port}"


@pytest.fixture
def street() -> Iterator[Street]:
    with ExitStack() as stack:
        yield Street(stack)


def _data(**sections: Any) -> LabData:
    return from_settings(
        {"driver": "lab", "write": {"east": ["http://h:1"]}, "stores": {"s": "http://h:1"}} | sections, {}
    )


def test_a_write_is_a_users_progress_at_a_gateway_of_the_region(street: Street) -> None:
    _data(write={"east": [street.http()]}).write("east", "run.7", "a value & more", 1_700_000_000_000_000)
    (heard,) = street.heard
    line, _, rest = heard.decode().partition("\r\n")
    assert line.startswith(
        "POST /progress?member=run.7&title=a%20value%20%26%20more&position_s=0&at_us=1700000000000000 "
    )
    assert "x-lab-home: east\r\n" in rest


@pytest.mark.parametrize("first", ["gone", "silent", "status 503"])
def test_the_next_gateway_is_asked_when_one_does_not_serve(street: Street, first: str) -> None:
    good = street.http()
    bad = street.http(503) if first == "status 503" else f"http://{getattr(street, first)()}"
    data = _data(write={"east": [bad, good]})
    for _ in range(2):  # whichever is first in turn
        data.write("east", "k", "v", 1)
    assert sum(heard.startswith(b"POST /progress") for heard in street.heard) >= 2


def test_a_refused_write_is_an_error_and_no_other_gateway_is_asked(street: Street) -> None:
    data = _data(write={"east": [street.http(400, {"error": "no"}), street.http(400)]})
    with pytest.raises(DriverError, match="answered 400"):
        data.write("east", "k", "v", 1)
    assert len(street.heard) == 1


def test_an_error_tells_whether_the_write_may_have_landed(street: Street) -> None:
    for gateways, kind in (
        ([street.gone(), street.gone()], Unreachable),
        ([street.gone(), street.silent()], TimedOut),
        ([street.silent(), street.silent(), street.silent()], TimedOut),
    ):
        with pytest.raises(kind):
            _data(write={"east": [f"http://{gateway}" for gateway in gateways]}).write("east", "k", "v", 1)
    with pytest.raises(DriverError) as caught:
        _data(write={"east": [street.http(503), f"http://{street.gone()}"]}).write("east", "k", "v", 1)
    assert not isinstance(caught.value, Unreachable | TimedOut), "somebody answered"


@pytest.mark.parametrize(
    ("key", "value"),
    [("", "v"), ("a b", "v"), ("k" * 101, "v"), ("k", ""), ("k", "x" * (VALUE_LIMIT + 1)), ("k", "\ud800")],
)
def test_a_key_or_value_that_cannot_be_written_is_refused_before_anybody_is_asked(
    street: Street, key: str, value: str
) -> None:
    with pytest.raises(DriverError):
        _data(write={"east": [street.http()]}).write("east", key, value, 1)
    assert street.heard == []


def test_cells_are_the_titles_and_times_that_stores_and_caches_have(street: Street) -> None:
    shown = json.dumps({"title": "one", "position_s": 0})
    rows = [["progress:a", shown, 5, False], None, ["progress:c", None, 7, True], ["progress:d", "[1]", 8, False]]
    item, other = b'{"value":%b,"timestamp_us":5}' % shown.encode(), b"nonsense END\r\n"

    def cache(connection: socket.socket) -> None:
        while connection.recv(65_536):
            for at, part in enumerate((item, other)):
                connection.sendall(b"VALUE progress:%b 0 %d\r\n" % (b"ab"[at : at + 1], len(part)))
                connection.sendall(part + b"\r\n")
            connection.sendall(b"END\r\n")

    data = _data(stores={"s": street.http(200, {"got": rows})}, caches={"c": street.says(cache)})
    assert data.replicas(["a", "b", "c", "d"]) == {"s": {"a": Cell("one", 5), "c": Cell(None, 7), "d": Cell("[1]", 8)}}
    assert data.caches(["a", "b"]) == {"c": {"a": Cell("one", 5), "b": Cell("nonsense END\r\n", 0)}}


def test_a_store_is_asked_for_many_keys_in_batches(street: Street) -> None:
    _data(stores={"s": street.http(200, {"got": []})}).replicas([f"k{number}" for number in range(1_200)])
    assert [heard.count(b"progress:") for heard in street.heard] == [500, 500, 200]


def test_what_answers_nonsense_is_named(street: Street) -> None:
    with pytest.raises(DriverError, match="store-x"):
        _data(stores={"store-x": street.http(200, {"other": 1})}).replicas(["k"])
    greeter = street.says(lambda connection: connection.sendall(b"220 mail\r\n"))
    with pytest.raises(DriverError, match=r"cache-x.*memcached"):
        _data(caches={"cache-x": greeter}).caches(["k"])


def test_the_backlog_is_of_those_that_answer_and_bounded_in_time(street: Street) -> None:
    depth = {"Attributes": {"ApproximateNumberOfMessages": "3", "ApproximateNumberOfMessagesNotVisible": "2"}}
    data = _data(
        stores={"s": street.http(200, {"hints": {"x": 4, "y": 1}}), "t": f"http://{street.silent()}"},
        members={"m": street.http(200, {"announcements_waiting": 7}), "n": f"http://{street.gone()}"},
        queues={
            "q": f"{street.http(200, depth)}/0/invalidations",
            "new": f"{street.http(400, {'__type': 'com.amazonaws.sqs#QueueDoesNotExist'})}/0/invalidations",
        },
    )
    began = time.monotonic()
    assert data.backlog() == {"hints s": 5, "announcements m": 7, "messages q": 5, "messages new": 0}
    assert time.monotonic() - began < 10, "a silent node ends it"
    asked = next(heard for heard in street.heard if b"GetQueueAttributes" in heard)
    assert b'/0/invalidations"' in asked


def test_every_problem_of_the_settings_is_told_at_once() -> None:
    wrong = {"driver": "lab", "write": {"east": "http://h:1", "west": ["ftp://h:1"]}, "caches": {"c": "nowhere"},
             "members": ["m"], "queue": {}}  # fmt: skip
    with pytest.raises(UsageError) as caught:
        from_settings(wrong, {})
    for told in ("write.east", "write.west", "caches.c", "data.members", "data.queue is unknown", "data.stores"):
        assert sum(told in problem for problem in caught.value.problems) == 1, told
