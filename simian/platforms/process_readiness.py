"""Whether a node says itself that it can serve: one question in its own protocol, within ``LIMIT_S`` in all."""

import socket
import struct
import time
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

from simian.observers.database_question import MYSQL_LOGIN

LIMIT_S = 0.5
_ENOUGH_B = 4096


def says_ready(ask: str) -> bool:
    """``http``: 200; ``memcached``: its version; ``redis``: ``PONG``; ``postgres``: it takes connections;
    ``mysql``: it greets;
    ``cassandra``: what its protocol supports; ``dns``: any answer to the question; ``tcp``: a connection.

    Nothing there, silence and nonsense are a *no*. Raises ValueError on an address of another form.
    """
    url = urlsplit(ask)
    question = _QUESTIONS.get(url.scheme)
    if question is None or not url.hostname or not url.port:
        raise ValueError(f"{ask!r} cannot be asked; it should be one of {', '.join(_QUESTIONS)}://host:port")
    try:
        return question(url, time.monotonic() + LIMIT_S)
    except OSError:  # refused, reset, timed out: all of them mean that it does not serve
        return False


def _http(url: SplitResult, deadline: float) -> bool:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n"
    version, _, rest = _first_line(url, request.encode(), deadline).partition(b" ")
    return version.startswith(b"HTTP/1.") and rest.split()[:1] == [b"200"]


def _memcached(url: SplitResult, deadline: float) -> bool:
    return _first_line(url, b"version\r\n", deadline).startswith(b"VERSION")


def _cassandra(url: SplitResult, deadline: float) -> bool:
    with _connected(url, deadline) as connection:
        connection.sendall(b"\x04\0\0\0\x05\0\0\0\0")  # OPTIONS of CQL's protocol v4
        connection.settimeout(_left(deadline))
        heard = connection.recv(_ENOUGH_B)
    return len(heard) >= 9 and heard[0] == 0x84 and heard[4] == 6  # SUPPORTED


def _redis(url: SplitResult, deadline: float) -> bool:
    return _first_line(url, b"*1\r\n$4\r\nPING\r\n", deadline).startswith((b"+PONG", b"-NOAUTH"))


def _postgres(url: SplitResult, deadline: float) -> bool:
    """As ``pg_isready``: whatever it says to a stranger but that it is starting, ending or recovering."""
    words = struct.pack("!I", 3 << 16) + b"user\0simian\0database\0simian\0\0"
    with _connected(url, deadline) as connection:
        connection.sendall(struct.pack("!I", len(words) + 4) + words)
        connection.settimeout(_left(deadline))
        heard = connection.recv(_ENOUGH_B)
    return heard[:1] in (b"R", b"E") and b"C57P03\0" not in heard


def _mysql(url: SplitResult, deadline: float) -> bool:
    """It greets: while it starts, and when it wants nobody, there is no greeting."""
    with _connected(url, deadline) as connection:
        connection.sendall(MYSQL_LOGIN)
        connection.settimeout(_left(deadline))
        return connection.recv(_ENOUGH_B)[4:5] == b"\x0a"


def _tcp(url: SplitResult, deadline: float) -> bool:
    with _connected(url, deadline):
        return True


def _dns(url: SplitResult, deadline: float) -> bool:
    number = struct.pack("!H", time.monotonic_ns() & 0xFFFF)
    labels = [label.encode("idna") for label in url.path.strip("/").split(".") if label]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    question = number + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)  # A, IN
    family = socket.AF_INET6 if ":" in str(url.hostname) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect((url.hostname, url.port))
        datagrams.settimeout(_left(deadline))
        datagrams.send(question)
        answer = datagrams.recv(_ENOUGH_B)
    return answer[:2] == number and len(answer) >= 12 and bool(answer[2] & 0x80)


_QUESTIONS: Mapping[str, Callable[[SplitResult, float], bool]] = {
    "http": _http,
    "memcached": _memcached,
    "redis": _redis,
    "postgres": _postgres,
    "mysql": _mysql,
    "dns": _dns,
    "cassandra": _cassandra,
    "tcp": _tcp,
}


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())


def _connected(url: SplitResult, deadline: float) -> socket.socket:
    return socket.create_connection((str(url.hostname), int(url.port or 0)), _left(deadline))


def _first_line(url: SplitResult, request: bytes, deadline: float) -> bytes:
    heard = b""
    with _connected(url, deadline) as connection:
        connection.sendall(request)
        while b"\n" not in heard and len(heard) < _ENOUGH_B:
            connection.settimeout(_left(deadline))
            more = connection.recv(_ENOUGH_B)
            if not more:
                break
            heard += more
    return heard.partition(b"\n")[0]
