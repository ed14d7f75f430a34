"""Channels: where notifications go. Each sends one parcel, or says what was wrong and whether trying again may help."""

import hashlib
import hmac
import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from simian import dial
from simian.errors import SimianError, UsageError
from simian.http_call import Service, call
from simian.notify.parcel import DEADLINE_S, EVENTS, NotSent, Parcel
from simian.notify.program import run_to_its_end
from simian.notify.services import tell
from simian.secrets import is_reference, with_secrets

OK = range(200, 300)
PERHAPS_LATER = (408, 425, 429, *range(500, 600))
Environment = Mapping[str, str]


class Way(Protocol):
    """How a channel is reached."""

    @property
    def name(self) -> str:
        """What tells it from others, with no secret in it."""
        ...

    def send(self, parcel: Parcel, environment: Environment, limit_s: float) -> None:
        """Send one. Raises NotSent, or UsageError where a secret is missing."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of ``notify:`` in simian.yaml. ``on``: the events it listens to."""

    way: Way
    on: tuple[str, ...] = EVENTS
    deadline_s: float = DEADLINE_S

    @property
    def name(self) -> str:
        """As in the outbox."""
        return self.way.name


@dataclass(frozen=True, slots=True)
class Webhook:
    """A POST with the message as JSON, signed where there is a secret. No redirect is followed."""

    url: Any  # text, or a reference where it is a secret itself
    secret: Any = None

    @property
    def name(self) -> str:
        """Without path and query: they are often all that keeps strangers out."""
        if is_reference(self.url):
            return f"webhook {_reference(self.url)}"
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"webhook {parts.scheme}://{parts.hostname}{port}{_mark(self.url)}"

    def send(self, parcel: Parcel, environment: Environment, limit_s: float) -> None:
        """See ``Way.send``."""
        parts = urlsplit(str(with_secrets(self.url, environment)))
        headers = {"Content-Type": "application/json", "User-Agent": "simian", "idempotency-key": parcel.key}
        try:
            service = Service.at(f"{parts.scheme}://{parts.netloc}", headers | self._signed(parcel, environment))
        except ValueError:
            raise NotSent("the webhook's address is none; right would be https://host/path", for_good=True) from None
        tail = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            answer = call(service, "POST", tail, parcel.body, limit_s=limit_s, who="the webhook", dial=_dial)
        except ValueError as error:  # an address that is not asked, or cannot be
            raise NotSent(str(error), for_good=True) from error
        except SimianError as error:
            raise NotSent(str(error)) from error
        if answer.status not in OK:
            hint = "; a redirect is not followed, write where it leads to" if 300 <= answer.status < 400 else ""
            text = f"the webhook at {service.host}:{service.port} answered {answer.status}{hint}"
            after_s = seconds_after(answer.headers.get("retry-after"), parcel.at_s)
            raise NotSent(text, for_good=answer.status not in PERHAPS_LATER, after_s=after_s)

    def _signed(self, parcel: Parcel, environment: Environment) -> dict[str, str]:
        """``x-simian-signature`` over time and body: who hears an old message again can tell by its time."""
        if self.secret is None:
            return {}
        moment = str(int(parcel.at_s))
        secret = str(with_secrets(self.secret, environment)).encode()
        made = hmac.new(secret, moment.encode() + b"." + parcel.body, hashlib.sha256).hexdigest()
        return {"x-simian-timestamp": moment, "x-simian-signature": f"sha256={made}"}


@dataclass(frozen=True, slots=True)
class Command:
    """A program of the operator's, the message as JSON on its standard input; 0 means that it arrived."""

    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The program and a mark: arguments may be secrets."""
        return f"command {self.arguments[0]}{_mark(json.dumps(self.arguments)) if self.arguments[1:] else ''}"

    def send(self, parcel: Parcel, environment: Environment, limit_s: float) -> None:
        """See ``Way.send``."""
        try:
            code = run_to_its_end(self.arguments, parcel.body, limit_s)
        except subprocess.TimeoutExpired:
            raise NotSent(f"{self.arguments[0]} had not ended after {limit_s:g} s, and was ended") from None
        except (OSError, ValueError) as error:
            raise NotSent(f"{self.arguments[0]} could not be started: {error}") from error
        if code != 0:
            raise NotSent(f"{self.arguments[0]} ended with exit code {code}, not 0")


@dataclass(frozen=True, slots=True)
class Services:
    """Whatever ``apprise`` knows (Slack, Teams, mail …), by its address, which is a secret as a whole."""

    url: Any

    @property
    def name(self) -> str:
        """The kind of service at most."""
        if is_reference(self.url):
            return f"apprise {_reference(self.url)}"
        return f"apprise {str(self.url).partition(':')[0]}{_mark(str(self.url))}"

    def send(self, parcel: Parcel, environment: Environment, limit_s: float) -> None:
        """See ``Way.send``."""
        tell(str(with_secrets(self.url, environment)), parcel)


def _dial(host: str, port: int, timeout_s: float) -> socket.socket:
    return dial.connect(host, port, timeout_s, "webhooks")


def seconds_after(header: str | None, now_s: float) -> float:
    """What ``Retry-After`` asks for (seconds, or a date of HTTP), from ``now_s`` on; nothing for what says nothing."""
    given = (header or "").strip()
    if given.isascii() and given.isdigit():
        return float(given[:12])
    try:
        at = parsedate_to_datetime(given)
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s)
    except (ValueError, OverflowError):
        return 0.0


def _reference(url: Mapping[str, str]) -> str:
    [(kind, named)] = url.items()
    return f"{{{kind}: {named}}}"


def _mark(secret: str) -> str:
    """Tells two channels apart whose other parts must not be shown."""
    return f" ({hashlib.sha256(secret.encode()).hexdigest()[:6]})"


def channels_of(settings: Sequence[Mapping[str, Any]]) -> list[Channel]:
    """The channels of ``notify:`` as data (``Config.notify_settings``). Raises UsageError for what is none."""
    return [_channel(one) for one in settings]


def _channel(one: Mapping[str, Any]) -> Channel:
    pace = tuple(one.get("on") or EVENTS), float(one.get("deadline_s", DEADLINE_S))
    if one.get("webhook"):
        return Channel(Webhook(one["webhook"], one.get("secret")), *pace)
    if one.get("command"):
        return Channel(Command(tuple(one["command"])), *pace)
    if one.get("apprise"):
        return Channel(Services(one["apprise"]), *pace)
    raise UsageError(f"notify: {sorted(one)} is no channel; right would be webhook, command or apprise")
