"""A daemon elsewhere, as ``--server`` names it: what it is asked, and what it answers, in the words of commands.

Errors are those that the same command would raise here, so that they have the same exit codes: what was sent is wrong
(UsageError), or must not be (Refused), or nobody could be reached in time (Unreachable, TimedOut).
"""

import ipaddress
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from simian.cli.globals import Globals
from simian.errors import Refused, SimianError, Unreachable, UsageError
from simian.http_call import Answer, Service, call

API = "/api/v1"
TOKEN = "SIMIAN_TOKEN"  # nosec B105 - the name of a variable of the environment
ANSWER_LIMIT_S = 40.0  # the web process gives up after 30
WAIT_LIMIT_S = 30.0  # for one that wants to be asked less often
LONGEST_TOKEN = 4096
HOW_TO_SHOW = (
    f"give one in {TOKEN}, or name its file with --token-file; an operator's lies in the daemon's state folder "
    "(file token; simian doctor prints the folder there)"
)
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Token:
    """Its text is never shown; ``source``: where it came from."""

    text: str = field(repr=False)
    source: str


def token_of(settings: Globals, environment: Mapping[str, str]) -> Token | None:
    """That of ``--token-file``, else of the environment. Raises UsageError for a file that holds none."""
    if settings.token_file:
        source = f"--token-file {settings.token_file}"
        try:
            with Path(settings.token_file).open(encoding="utf-8") as file:
                text = file.read(LONGEST_TOKEN)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise UsageError(f"{source}: cannot be read: {why}; name a file that holds a token") from error
        if not text.strip():
            raise UsageError(f"{source}: is empty; name a file that holds a token")
        return Token(text.strip(), source)
    text = environment.get(TOKEN, "").strip()
    return Token(text, TOKEN) if text else None


class Server:
    """One daemon, over its API. Raises UsageError for an address or token that will not do."""

    def __init__(self, url: str, token: Token | None = None, *, insecure: bool = False) -> None:
        self.url, self._token = url.rstrip("/"), token
        self._service = _service(url, token)
        if token is not None and not (self._service.secure or insecure or _is_loopback(self._service.host)):
            raise UsageError(
                f"{url}: the token of {token.source} would travel in clear; give an https:// address, "
                "or --insecure where the whole way there is safe"
            )

    @property
    def said(self) -> str:
        """How commands name it."""
        return f"--server {self.url}"

    def get(self, tail: str, **query: Any) -> Any:
        """What is there. ``query``: None is left out. Raises SimianError."""
        given = {key: value for key, value in query.items() if value is not None}
        return self._ask("GET", f"{tail}?{urlencode(given)}" if given else tail)

    def post(self, tail: str, body: Body | None = None, *, key: str = "") -> Any:
        """Have it done. ``key``: done once, however often it is asked for with it. Raises SimianError."""
        return self._ask("POST", tail, body or {}, {"Idempotency-Key": key} if key else {})

    def delete(self, tail: str) -> Any:
        """Have it taken away. Raises SimianError."""
        return self._ask("DELETE", tail)

    def events(self, run: str, after: int) -> Iterator[dict[str, Any] | None]:
        """Events of a run after that number as they come; ``None``: only that the web lives. Raises Unreachable."""
        from simian.cli.server_events import events

        tail = f"{API}/events?{urlencode({'run': run, 'after': after})}"
        return events(self._service, tail, lambda answer: self._read(answer))

    def _ask(self, method: str, tail: str, body: Body | None = None, headers: Mapping[str, str] | None = None) -> Any:
        if method != "GET" and self._token is None:
            raise UsageError(f"{self.url}: this needs an operator's token, and there is none here; {HOW_TO_SHOW}")
        content = None if body is None else json.dumps(body).encode()
        kind = {} if content is None else {"Content-Type": "application/json"}
        service = replace(self._service, headers={**self._service.headers, **kind, **(headers or {})})
        until = time.monotonic() + WAIT_LIMIT_S
        while True:
            answer = call(service, method, API + tail, content, limit_s=ANSWER_LIMIT_S, who="simian's daemon")
            wait_s = _seconds(answer.headers.get("retry-after", "")) if answer.status == 429 else None
            if wait_s is None or time.monotonic() + wait_s > until:
                return self._read(answer)
            time.sleep(wait_s)  # whoever is told so has done nothing yet

    def _read(self, answer: Answer) -> Any:
        """What it holds. Raises what it tells of."""
        try:
            told = json.loads(answer.content)
            reasons = None if answer.status < 300 else [str(reason) for reason in told["error"]["reasons"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Unreachable(self._stranger(answer)) from None
        if reasons is not None:
            raise _failure(answer.status, [*reasons, *self._about_token(answer.status)])
        return told

    def _stranger(self, answer: Answer) -> str:
        if answer.status in (301, 302, 303, 307, 308):
            where = answer.headers.get("location", "elsewhere")
            return f"{self.url} leads on to {where:.200}; name the address itself with --server"
        return f"{self.url} answers {answer.status}, and not as a daemon of simian does; is it that of `simian serve`?"

    def _about_token(self, status: int) -> list[str]:
        if status not in (401, 403):
            return []
        return [
            f"the token shown was that of {self._token.source}" if self._token else f"no token was shown; {HOW_TO_SHOW}"
        ]


def _service(url: str, token: Token | None) -> Service:
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token.text}"} if token else {})}
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise UsageError(f"--server: an address holds no name and password here; {HOW_TO_SHOW}")
        if parts.query or parts.fragment:
            raise UsageError(f"{url}: an address ends with its path; leave out what follows ? or #")
        return Service.at(url, headers)
    except ValueError as error:
        raise UsageError(f"--server, or its token: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _failure(status: int, reasons: list[str]) -> SimianError:
    if status == 409:
        return Refused(reasons)
    if status in (408, 429, 502, 503, 504):
        return Unreachable("\n".join(reasons))
    return UsageError(reasons) if status < 500 else SimianError("\n".join(reasons))
