"""Asking a node whether it can serve, by the form of its ``ask`` address (docs/wire.md)."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

_DNS_QUESTION_HEAD = b"\x51\xab\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"  # recursion desired, one question


def ready(ask: str, *, timeout_s: float = 0.5) -> bool:
    """Whether the node behind ``ask`` says that it can serve; ``False`` when it says nothing in time."""
    parts = urlsplit(ask)
    try:
        return _WAYS[parts.scheme](parts.hostname or "", parts.port or 0, parts.path, timeout_s)
    except OSError:
        return False


def _http(host: str, port: int, path: str, timeout_s: float) -> bool:
    request = f"GET {path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    return _exchange(host, port, request.encode(), timeout_s).split(b" ")[1:2] == [b"200"]


def _memcached(host: str, port: int, _path: str, timeout_s: float) -> bool:
    return _exchange(host, port, b"version\r\n", timeout_s).startswith(b"VERSION")


def _cassandra(host: str, port: int, _path: str, timeout_s: float) -> bool:
    """Whether it says which options CQL's protocol (version 4) has there."""
    answer = _exchange(host, port, b"\x04\0\0\0\x05\0\0\0\0", timeout_s)
    return answer[:1] == b"\x84" and answer[4:5] == b"\x06"


def _tcp(host: str, port: int, _path: str, timeout_s: float) -> bool:
    with socket.create_connection((host, port), timeout_s):
        return True


def _dns(host: str, port: int, path: str, timeout_s: float) -> bool:
    """Whether a question for the A set of the name in the path is answered without error."""
    labels = path.strip("/").rstrip(".").encode().split(b".")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect((host, port))
        sock.send(_DNS_QUESTION_HEAD + question)
        answer = sock.recv(4096)
    return answer[:2] == _DNS_QUESTION_HEAD[:2] and answer[3] & 0x0F == 0 and answer[6:8] != b"\x00\x00"


def _exchange(host: str, port: int, request: bytes, timeout_s: float) -> bytes:
    with socket.create_connection((host, port), timeout_s) as sock:
        sock.sendall(request)
        return sock.recv(4096)


_WAYS: dict[str, Callable[[str, int, str, float], bool]] = {
    "http": _http,
    "memcached": _memcached,
    "tcp": _tcp,
    "dns": _dns,
    "cassandra": _cassandra,
}
