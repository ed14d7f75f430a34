"""One HTTP request: its status, and a word or a number in its body."""

import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import SplitResult, urljoin, urlsplit

from simian_filters.units import parse_duration_s

from simian import dial
from simian.probe import Reading, probe
from simian.secrets import Secret

MOST_BYTES = 1 << 20
MOST_REDIRECTS = 3
TIMEOUT_S = 10.0  # the check's deadline is shorter; this ends what nobody waits for any more
PORTS = {"http": 80, "https": 443}
NO_HEADERS: Mapping[str, str] = {}


def _wrong(url: str, within: str | None = None, **_: object) -> Iterator[str]:
    try:
        allowed(url)
    except ValueError as error:
        yield str(error)
    try:
        if within is not None and not 0 < parse_duration_s(within) <= TIMEOUT_S:
            yield f"within: {within} is wrong; right would be more than nothing and at most {TIMEOUT_S:g}s"
    except ValueError as error:
        yield f"within: {error}"


@probe("http", wrong=_wrong)
def ask(
    url: str,
    expect: int = 200,
    contains: str | None = None,
    measure: Literal["ok", "latency_ms", "number"] = "ok",
    within: str | None = None,
) -> Reading:
    """1.0 when the answer has the status ``expect`` and ``contains`` these words, else 0.0.

    Or what ``measure`` names: how long a good answer took in ms; the number that its body ends with.
    ``within``: an answer that takes longer is as good as none; without it the check's deadline makes that *unknown*.
    """
    began = time.perf_counter()
    limit_s = TIMEOUT_S if within is None else parse_duration_s(within)
    try:
        status, body = fetch(url, expect, limit_s=limit_s)
    except (OSError, http.client.HTTPException) as error:
        if measure != "ok":
            raise
        late = within is not None and isinstance(error, TimeoutError)
        return Reading(0.0, f"no answer within {within}" if late else f"{type(error).__name__}: {error}")
    took_ms = (time.perf_counter() - began) * 1000
    late = within is not None and took_ms > limit_s * 1000
    good = status == expect and (contains is None or contains in body) and not late
    seen = f"{status}" if status != expect or good else f"{status} without {contains!r:.60}"
    seen = f"{status} after {took_ms:.0f} ms" if late else seen
    if measure == "ok":
        return Reading(float(good), seen)
    if not good:
        raise ValueError(f"no {measure} to tell, the answer was {seen}")
    return Reading(took_ms, seen) if measure == "latency_ms" else _number(body)


def _number(body: str) -> Reading:
    words = body.split()
    try:
        return Reading(float(words[-1] if words else "nothing"), body.strip()[:100])
    except ValueError:
        raise ValueError(f"the answer's last word is no number: {body.strip()[-60:]!r}") from None


def fetch(
    url: str, expect: int = 200, headers: Mapping[str, str] = NO_HEADERS, limit_s: float = TIMEOUT_S
) -> tuple[int, str]:
    """Status and body (its first ``MOST_BYTES``). Follows redirects on the same host only, ``headers`` and all.

    ``limit_s``: how long each step may take, connecting, waiting, reading on.

    Raises ValueError for an address not allowed, OSError and HTTPException for an answer that did not come.
    """
    target = allowed(url)
    for _ in range(MOST_REDIRECTS):
        status, body, location = _get(target, headers, limit_s)
        if status == expect or status not in (301, 302, 303, 307, 308) or not location:
            return status, body
        following = allowed(urljoin(target.geturl(), location))
        if (following.hostname, _port(following)) != (target.hostname, _port(target)):
            return status, body
        target = following
    raise http.client.HTTPException(f"more than {MOST_REDIRECTS} redirects")


def allowed(url: str) -> SplitResult:
    """The address in its parts. Raises ValueError for one that is not asked."""
    target = urlsplit(url)
    if target.scheme not in PORTS or not target.hostname:
        raise ValueError(f"{url!r:.80} is no address to ask; right would be http://host:port/path or https://…")
    if target.username or target.password:
        raise ValueError("an address with a password in it would be shown in reports; leave it out")
    return target


def bearer(token: Secret | None) -> dict[str, str]:
    """The header that a token is sent in; none without one. Raises ValueError, which does not show it."""
    if token is None:
        return {}
    if not (token and token.isascii() and token.isprintable()):
        raise ValueError("token: what the secret holds cannot go into a header; right would be plain letters, no line")
    return {"Authorization": f"Bearer {token}"}


def _port(target: SplitResult) -> int:
    return target.port or PORTS[target.scheme]


def connect(host: str, port: int, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """A TCP connection, its address checked after resolution: link-local ones (cloud metadata) are not asked."""
    return dial.connect(host, port, timeout_s, "probes")


def _get(target: SplitResult, headers: Mapping[str, str], limit_s: float) -> tuple[int, str, str | None]:
    host = target.hostname or ""
    connection = http.client.HTTPConnection(host, _port(target), timeout=limit_s)
    raw = connect(host, _port(target), limit_s)
    try:
        connection.sock = raw
        if target.scheme == "https":
            connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        always = {"Host": target.netloc, "User-Agent": "simian", "Connection": "close"}
        connection.request("GET", path, headers={**headers, **always})
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES)
        answer.close()
        return answer.status, body.decode("utf-8", "replace"), answer.getheader("Location")
    finally:
        connection.close()
        raw.close()
