"""Observer over plain sockets of its own: nothing here is shared with the drivers that write.

An answer is what the application said. A connection that was accepted is none: a proxy accepts for a service that is
dead, a kernel for one that is paused.
"""

import http.client
import io
import secrets
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from simian.errors import Unsupported
from simian.topology import Link, Node
from simian.world import Exchange, Side

KEY = b"simian.observer"
LARGEST_VALUE_B = 512 * 1024
_KEY_LIFE_S = 3600
_LINE_B = 8 * 1024
_CHUNK_B = 64 * 1024
_PORTS = {"http": 80, "https": 443, "memcached": 11211, "dns": 53}


class _Closed(Exception):
    """The other side ended the connection amid or before its answer."""


class _Garbled(Exception):
    """Bytes came that are no answer of the protocol asked for."""


@dataclass
class _Attempt(io.RawIOBase):
    """One attempt: a socket whose reads and writes all end at one deadline, and what was seen so far."""

    url: SplitResult
    timeout_s: float
    size_b: int
    clock: Callable[[], float]
    connected: bool = False
    answered: bool = False
    answered_ms: float | None = None
    transferred_b: int = 0
    seen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.sock: socket.socket | None = None

    def elapsed_ms(self) -> float:
        return (self.clock() - self.started) * 1_000

    def left_s(self) -> float:
        left = self.started + self.timeout_s - self.clock()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def host(self) -> str:
        return self.url.hostname or ""

    @property
    def port(self) -> int:
        return self.url.port or _PORTS[self.url.scheme]

    def connect(self) -> None:
        self.sock = socket.create_connection((self.host, self.port), timeout=self.left_s())
        self.connected = True

    def send(self, data: bytes) -> None:
        assert self.sock is not None
        self.sock.settimeout(self.left_s())  # of sendall as a whole
        self.sock.sendall(data)

    def answer(self) -> None:
        """An application answer is here; what comes after it does not change that."""
        self.answered, self.answered_ms = True, self.elapsed_ms()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self.sock is not None
        self.sock.settimeout(self.left_s())
        return self.sock.recv_into(buffer)

    def hang_up(self) -> None:
        if self.sock is not None:
            self.sock.close()


Reader: TypeAlias = "io.BufferedReader[_Attempt]"


class _Stream:
    """What an ``HTTPResponse`` wants of a socket."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt

    def makefile(self, mode: str) -> Reader:
        return io.BufferedReader(self._attempt, _CHUNK_B)


# --- http -----------------------------------------------------------------------------------------------------------


def _ask_http(attempt: _Attempt) -> str:
    attempt.connect()
    if attempt.url.scheme == "https":
        _secure(attempt)
    query = "&".join(part for part in (attempt.url.query, f"size_b={attempt.size_b}" * bool(attempt.size_b)) if part)
    path = (attempt.url.path or "/") + (f"?{query}" if query else "")
    host = f"[{attempt.host}]" if ":" in attempt.host else attempt.host
    attempt.send(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{attempt.port}\r\nUser-Agent: simian-observer\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    response = http.client.HTTPResponse(_Stream(attempt), method="GET")  # type: ignore[arg-type]
    response.begin()
    attempt.answer()
    attempt.seen["status"] = response.status
    attempt.seen["incarnation"] = response.getheader("x-lab-incarnation")
    told = (response.getheader("x-simian-faults") or "").split(",")
    attempt.seen["hit_by"] = tuple(mark.strip() for mark in told if mark.strip())
    if attempt.size_b or response.length is not None:
        _read_body(attempt, response)
    return f"status {response.status}"


def _secure(attempt: _Attempt) -> None:
    import ssl  # few ask over it, and the import is slow

    assert attempt.sock is not None
    attempt.sock.settimeout(attempt.left_s())
    attempt.sock = ssl.create_default_context().wrap_socket(attempt.sock, server_hostname=attempt.host)


def _read_body(attempt: _Attempt, response: http.client.HTTPResponse) -> None:
    most_b = attempt.size_b + _CHUNK_B  # an answer without end is not followed to it
    while attempt.transferred_b < most_b and (chunk := response.read1(_CHUNK_B)):
        attempt.transferred_b += len(chunk)
    if response.length and attempt.transferred_b < most_b:  # ``read1`` does not complain
        raise _Closed


# --- memcached ------------------------------------------------------------------------------------------------------


def _ask_memcached(attempt: _Attempt) -> str:
    attempt.connect()
    stream = io.BufferedReader(attempt, _CHUNK_B)
    if attempt.size_b:
        return _fetch_values(attempt, stream)
    attempt.send(b"version\r\nstats\r\n")  # at once: a slow link is crossed once
    version = _line(stream)
    if not version.startswith(b"VERSION "):
        raise _Garbled(version.decode("latin-1"))
    attempt.answer()
    attempt.seen["incarnation"] = _pid(stream)
    return version.decode("latin-1")


def _line(stream: Reader) -> bytes:
    line = stream.readline(_LINE_B)
    if not line.endswith(b"\n"):
        raise _Garbled(f"a line of more than {_LINE_B} bytes") if len(line) == _LINE_B else _Closed
    return line.rstrip(b"\r\n")


def _pid(stream: Reader) -> str | None:
    pid = None
    while (line := _line(stream)).startswith(b"STAT "):
        if line.startswith(b"STAT pid "):
            pid = line.split()[2].decode("latin-1")
    return pid


def _fetch_values(attempt: _Attempt, stream: Reader) -> str:
    """Get one key of ours again and again; it is set when it is not there yet, which the first look does."""
    length = min(attempt.size_b, LARGEST_VALUE_B)
    if _get_value(attempt, stream) != length:
        attempt.transferred_b = 0
        value = b"s" * length
        attempt.send(b"set %s 0 %d %d\r\n%s\r\n" % (KEY, _KEY_LIFE_S, length, value))
        if (line := _line(stream)) != b"STORED":
            raise _Garbled(line.decode("latin-1"))
    while attempt.transferred_b < attempt.size_b and _get_value(attempt, stream):
        pass
    return f"{attempt.transferred_b} bytes fetched"


def _get_value(attempt: _Attempt, stream: Reader) -> int:
    """The length of our key's value, 0 when it is not there; its bytes are counted as they come."""
    attempt.send(b"get %s\r\n" % KEY)
    line = _line(stream)
    if not attempt.answered:
        attempt.answer()
    if line == b"END":
        return 0
    words = line.split()
    if len(words) != 4 or words[0] != b"VALUE" or not words[3].isdigit():
        raise _Garbled(line.decode("latin-1"))
    left = length = int(words[3])
    while left:
        chunk = stream.read1(min(left, _CHUNK_B))
        if not chunk:
            raise _Closed
        left -= len(chunk)
        attempt.transferred_b += len(chunk)
    _line(stream), _line(stream)  # the end of the value's line, and END
    return length


# --- dns, tcp -------------------------------------------------------------------------------------------------------


def _ask_dns(attempt: _Attempt) -> str:
    """One question for an A record over UDP; any answer to it counts, whatever its code."""
    question = _question(secrets.token_bytes(2), attempt.url.path.strip("/"))
    family, kind, _, _, address = socket.getaddrinfo(attempt.host, attempt.port, type=socket.SOCK_DGRAM)[0]
    attempt.sock = socket.socket(family, kind)
    attempt.sock.connect(address)  # so that a refusal comes back, and no stranger's packet is taken
    attempt.send(question)
    while True:
        attempt.sock.settimeout(attempt.left_s())
        packet = attempt.sock.recv(4096)
        if len(packet) >= 12 and packet[:2] == question[:2] and packet[2] & 0x80:
            break
    attempt.connected = True
    attempt.answer()
    attempt.transferred_b = len(packet)
    return f"rcode {packet[3] & 0x0F}, {struct.unpack('>H', packet[6:8])[0]} answers"


def _question(number: bytes, name: str) -> bytes:
    """The packet that asks for A records. Raises ValueError for what cannot be a name."""
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError("a part of a name has at most 63 letters, a name 253")
    return (
        number
        + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0)
        + b"".join(bytes([len(label)]) + label for label in labels)
        + b"\0"
        + struct.pack(">HH", 1, 1)
    )


def _ask_tcp(attempt: _Attempt) -> str:
    """The last resort: whatever speaks first."""
    attempt.connect()
    first = bytearray(_CHUNK_B)
    count = attempt.readinto(first)
    if not count:
        raise _Closed
    attempt.answer()
    attempt.transferred_b = count
    return f"spoke first: {count} bytes"


# --- what became of an attempt ----------------------------------------------------------------------------------------

_ASK: Mapping[str, Callable[[_Attempt], str]] = {
    "http": _ask_http,
    "https": _ask_http,
    "memcached": _ask_memcached,
    "dns": _ask_dns,
    "tcp": _ask_tcp,
}


def _told(attempt: _Attempt, ask: Callable[[_Attempt], str]) -> str:
    """Do it, and say in words what happened."""
    within = f"in {attempt.timeout_s * 1000:.0f} ms"
    try:
        return ask(attempt)
    except TimeoutError:
        if attempt.answered:
            return f"not all of the answer {within}: {attempt.transferred_b} bytes"
        nothing = "answer" if attempt.connected or attempt.url.scheme == "dns" else "connection"
        return f"no {nothing} {within}"
    except ConnectionRefusedError:
        return "refused"
    except (_Closed, http.client.IncompleteRead):
        return f"closed amid its answer, after {attempt.transferred_b} bytes" if attempt.answered else _CLOSED
    except http.client.RemoteDisconnected:
        return _CLOSED
    except (ConnectionResetError, BrokenPipeError):
        return "reset amid its answer" if attempt.answered else "reset without an answer"
    except (_Garbled, http.client.HTTPException) as error:
        return f"no {attempt.url.scheme} answer: {str(error)[:200]!r}"
    except OSError as error:
        return f"{type(error).__name__}: {error}"


_CLOSED = "closed without an answer"


def _parse(what: str, address: str) -> SplitResult:
    """The address as parts. Raises Unsupported for one that cannot be asked."""
    forms = "http://host:port/path, memcached://host:port, dns://host:port/name, tcp://host:port"
    if not address:
        raise Unsupported(f"{what} has no address to ask; give it one, such as {forms}")
    try:
        url = urlsplit(address)
        known = url.scheme in _ASK and bool(url.hostname) and bool(url.port or url.scheme in _PORTS)
        _ = url.path.encode("ascii"), url.query.encode("ascii")
        _ = url.scheme == "dns" and _question(b"??", url.path.strip("/"))
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
            return self._attempt(_parse(f"{node.name} (for what is behind it)", node.ask_behind), timeout_s, 0)
        return self._attempt(_parse(node.name, node.ask), timeout_s, 0)

    def exchange(self, link: Link, *, timeout_s: float = 1.0, size_b: int = 0) -> Exchange:
        """Ask across the link; with ``size_b`` fetch about so many bytes: ``GET …?size_b=N``, or a memcached key.

        ``transferred_b`` counts the bytes *fetched*, so a throttle of the way towards the source shows in it.
        Raises Unsupported when the link has no address to ask.
        """
        return self._attempt(_parse(link.name, link.ask), timeout_s, size_b)

    def _attempt(self, url: SplitResult, timeout_s: float, size_b: int) -> Exchange:
        attempt = _Attempt(url, timeout_s, size_b, self._clock)
        try:
            detail = _told(attempt, _ASK[url.scheme])
        finally:
            attempt.hang_up()
        elapsed_ms = attempt.elapsed_ms() if size_b or attempt.answered_ms is None else attempt.answered_ms
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
