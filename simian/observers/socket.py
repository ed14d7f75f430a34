"""Observer over plain sockets of its own: nothing here is shared with the drivers that write.

An answer is what the application said. A connection that was accepted is none: a proxy accepts for a service that is
dead, a kernel for one that is paused.
"""

import contextlib
import io
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from simian.errors import Unsupported
from simian.observers.attempt import CHUNK_B, PORTS, Attempt, Closed, Garbled, Reader, told
from simian.observers.cassandra_question import ask_cassandra, ask_cassandra_peer
from simian.observers.database_question import ask_mysql, ask_postgres, ask_redis
from simian.observers.dns_question import addresses, ask_dns, question
from simian.observers.http_question import ask_as_user, ask_http
from simian.topology import Link, Node
from simian.traffic import Entrance, Visit
from simian.world import Exchange, Side

KEY = b"simian.observer"
LARGEST_VALUE_B = 512 * 1024
_KEY_LIFE_S = 3600
_LINE_B = 8 * 1024


# --- memcached ------------------------------------------------------------------------------------------------------


def _ask_memcached(attempt: Attempt) -> str:
    attempt.connect()
    stream = io.BufferedReader(attempt, CHUNK_B)
    if attempt.size_b:
        return _fetch_values(attempt, stream)
    attempt.send(b"version\r\nstats\r\n")  # at once: a slow link is crossed once
    version = _line(stream)
    if not version.startswith(b"VERSION "):
        raise Garbled(version.decode("latin-1"))
    attempt.answer()
    attempt.seen["incarnation"] = _pid(stream)
    return version.decode("latin-1")


def _line(stream: Reader) -> bytes:
    line = stream.readline(_LINE_B)
    if not line.endswith(b"\n"):
        raise Garbled(f"a line of more than {_LINE_B} bytes") if len(line) == _LINE_B else Closed
    return line.rstrip(b"\r\n")


def _pid(stream: Reader) -> str | None:
    pid = None
    while (line := _line(stream)).startswith(b"STAT "):
        if line.startswith(b"STAT pid "):
            pid = line.split()[2].decode("latin-1")
    return pid


def _fetch_values(attempt: Attempt, stream: Reader) -> str:
    """Get one key of ours again and again; it is set when it is not there yet, which the first look does."""
    length = min(attempt.size_b, LARGEST_VALUE_B)
    if _get_value(attempt, stream) != length:
        attempt.transferred_b = 0
        value = b"s" * length
        attempt.send(b"set %s 0 %d %d\r\n%s\r\n" % (KEY, _KEY_LIFE_S, length, value))
        if (line := _line(stream)) != b"STORED":
            raise Garbled(line.decode("latin-1"))
    while attempt.transferred_b < attempt.size_b and _get_value(attempt, stream):
        pass
    return f"{attempt.transferred_b} bytes fetched"


def _get_value(attempt: Attempt, stream: Reader) -> int:
    """The length of our key's value, 0 when it is not there; its bytes are counted as they come."""
    attempt.send(b"get %s\r\n" % KEY)
    line = _line(stream)
    if not attempt.answered:
        attempt.answer()
    if line == b"END":
        return 0
    words = line.split()
    if len(words) != 4 or words[0] != b"VALUE" or not words[3].isdigit():
        raise Garbled(line.decode("latin-1"))
    left = length = int(words[3])
    while left:
        chunk = stream.read1(min(left, CHUNK_B))
        if not chunk:
            raise Closed
        left -= len(chunk)
        attempt.transferred_b += len(chunk)
    _line(stream), _line(stream)  # the end of the value's line, and END
    return length


# --- tcp ---


def _ask_tcp(attempt: Attempt) -> str:
    """The last resort: whatever speaks first."""
    attempt.connect()
    first = bytearray(CHUNK_B)
    count = attempt.readinto(first)
    if not count:
        raise Closed
    attempt.answer()
    attempt.transferred_b = count
    return f"spoke first: {count} bytes"


# --- the driver -----------------------------------------------------------------------------------------------------

ASK: Mapping[str, Callable[[Attempt], str]] = {
    "http": ask_http,
    "https": ask_http,
    "memcached": _ask_memcached,
    "dns": ask_dns,
    "cassandra": ask_cassandra,
    "cassandra-peer": ask_cassandra_peer,
    "postgres": ask_postgres,
    "mysql": ask_mysql,
    "redis": ask_redis,
    "tcp": _ask_tcp,
}


def parsed(what: str, address: str) -> SplitResult:
    """The address as parts. Raises Unsupported for one that cannot be asked."""
    forms = "http://host:port/path, dns://host:port/name, memcached, cassandra, redis, postgres, mysql or tcp"
    if not address:
        raise Unsupported(f"{what} has no address to ask; give it one, such as {forms}")
    try:
        url = urlsplit(address)
        known = url.scheme in ASK and bool(url.hostname) and bool(url.port or url.scheme in PORTS)
        _ = url.path.encode("ascii"), url.query.encode("ascii")
        _ = url.scheme == "dns" and question(b"??", url.path.strip("/"))
    except ValueError:
        known = False
    if not known or any(ord(letter) <= 32 for letter in address):
        raise Unsupported(f"{what} cannot be asked at {address!r}; an address is like {forms}")
    return url


class SocketObserver:
    """Driver of the port ``Observer``; keeps nothing between calls, safe to use from many threads.

    ``clock`` tells seconds that never jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def ask(self, node: Node, *, timeout_s: float = 1.0, side: Side = "server") -> Exchange:
        """Ask the node at ``ask``, or at ``ask_behind`` for something that needs the services behind it.

        Raises Unsupported when it has no such address.
        """
        if side == "client":
            return self._attempt(parsed(f"{node.name} (for what is behind it)", node.ask_behind), timeout_s, 0)
        return self._attempt(parsed(node.name, node.ask), timeout_s, 0)

    def exchange(self, link: Link, *, timeout_s: float = 1.0, size_b: int = 0) -> Exchange:
        """Ask across the link; with ``size_b`` fetch about so many bytes: ``GET …?size_b=N``, or a memcached key.

        ``transferred_b`` counts the bytes *fetched*, so a throttle of the way towards the source shows in it.
        Raises Unsupported when the link has no address to ask.
        """
        return self._attempt(parsed(link.name, link.ask), timeout_s, size_b)

    def resolve(self, entrance: Entrance, subnet: str, *, timeout_s: float = 1.0) -> tuple[str, ...]:
        """Ask the entrance's server for this subnet over UDP; names are followed within the answer.

        Raises Unsupported when the entrance cannot be asked, ValueError for what is no IPv4 subnet.
        """
        url = parsed(f"the entrance of {entrance.home}", f"dns://{entrance.server}/{entrance.name}")
        attempt = Attempt(url, timeout_s, 0, self._clock)
        with contextlib.closing(attempt):
            return addresses(attempt, subnet)

    def visit(self, node: Node, home: str, *, subnet: str = "", timeout_s: float = 1.0) -> Visit:
        """``GET node.visit`` as a device of this home does. Raises Unsupported when the node has no such address."""
        url = parsed(f"{node.name} (for a user's request)", node.visit)
        headers = {"x-lab-home": home} | ({"x-lab-subnet": subnet} if subnet else {})
        attempt = Attempt(url, timeout_s, 0, self._clock, headers)
        with contextlib.closing(attempt):
            detail = told(attempt, ask_as_user)
        elapsed_ms = attempt.elapsed_ms() if attempt.answered_ms is None else attempt.answered_ms
        return Visit(attempt.answered, elapsed_ms, detail=detail, **attempt.seen)

    def _attempt(self, url: SplitResult, timeout_s: float, size_b: int) -> Exchange:
        return looked(Attempt(url, timeout_s, size_b, self._clock))


def looked(attempt: Attempt) -> Exchange:
    """What the attempt shows, in the protocol of its address."""
    with contextlib.closing(attempt):
        detail = told(attempt, ASK[attempt.url.scheme])
    elapsed_ms = attempt.elapsed_ms() if attempt.size_b or attempt.answered_ms is None else attempt.answered_ms
    return Exchange(
        connected=attempt.connected,
        answered=attempt.answered,
        elapsed_ms=elapsed_ms,
        transferred_b=attempt.transferred_b,
        detail=detail,
        **attempt.seen,
    )


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> SocketObserver:
    """The driver of the section ``observer:``; there is nothing to set."""
    return SocketObserver()
