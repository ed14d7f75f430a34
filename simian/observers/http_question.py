"""Questions over HTTP: what an observer asks a service, and what a user asks a gateway."""

import http.client
import io

from simian.observers.attempt import CHUNK_B, Attempt, Closed, Reader


class _Stream:
    """What an ``HTTPResponse`` wants of a socket."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def makefile(self, mode: str) -> Reader:
        return io.BufferedReader(self._attempt, CHUNK_B)


def ask_http(attempt: Attempt) -> str:
    """What a service says of itself; any status is an answer."""
    response = _got(attempt)
    attempt.seen["incarnation"] = response.getheader("x-lab-incarnation")
    told = (response.getheader("x-simian-faults") or "").split(",")
    attempt.seen["hit_by"] = tuple(mark.strip() for mark in told if mark.strip())
    if attempt.size_b or response.length is not None:
        _read_body(attempt, response)
    return f"status {response.status}"


def ask_as_user(attempt: Attempt) -> str:
    """What a gateway says of who served a user's request; a redirect is told and not followed."""
    response = _got(attempt)
    attempt.seen["region"] = response.getheader("x-lab-region") or ""
    attempt.seen["way"] = response.getheader("x-lab-way") or ""
    return f"status {response.status}"


def _got(attempt: Attempt) -> http.client.HTTPResponse:
    attempt.connect()
    if attempt.url.scheme == "https":
        _secure(attempt)
    query = "&".join(part for part in (attempt.url.query, f"size_b={attempt.size_b}" * bool(attempt.size_b)) if part)
    path = (attempt.url.path or "/") + (f"?{query}" if query else "")
    host = f"[{attempt.host}]" if ":" in attempt.host else attempt.host
    more = "".join(f"{name}: {value}\r\n" for name, value in attempt.headers.items())
    attempt.send(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{attempt.port}\r\nUser-Agent: simian-observer\r\n"
        f"Accept: */*\r\n{more}Connection: close\r\n\r\n".encode()
    )
    response = http.client.HTTPResponse(_Stream(attempt), method="GET")  # type: ignore[arg-type]
    response.begin()
    attempt.answer()
    attempt.seen["status"] = response.status
    return response


def _secure(attempt: Attempt) -> None:
    import ssl  # few ask over it, and the import is slow

    assert attempt.sock is not None
    attempt.sock.settimeout(attempt.left_s())
    attempt.sock = ssl.create_default_context().wrap_socket(attempt.sock, server_hostname=attempt.host)


def _read_body(attempt: Attempt, response: http.client.HTTPResponse) -> None:
    most_b = attempt.size_b + CHUNK_B  # an answer without end is not followed to it
    while attempt.transferred_b < most_b and (chunk := response.read1(CHUNK_B)):
        attempt.transferred_b += len(chunk)
    if response.length and attempt.transferred_b < most_b:  # ``read1`` does not complain
        raise Closed
