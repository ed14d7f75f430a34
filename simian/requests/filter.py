"""Requests through ``simian_filters``: rules put into services over HTTP, by the standard library's client.

Settings: ``{driver: filter, services: {NODE: {url: http://host:port/simian/faults, token: TEXT}}}``.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast
from urllib.parse import quote, urlsplit

from simian import http_call
from simian.errors import DriverError, NoSuchTarget, UsageError
from simian.world import Rule, RuleReading

TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Service:
    """Where a node's filter listens. The token is a secret: not shown."""

    host: str
    port: int
    path: str
    token: str
    secure: bool = False

    def __repr__(self) -> str:
        return f"Service({self.host}:{self.port}{self.path})"

    @property
    def http(self) -> http_call.Service:
        """The same as whoever calls it needs it."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return http_call.Service(self.host, self.port, self.path, headers, self.secure)


class FilterRequests:
    """Driver of the port ``Requests``; safe to use from many threads (a connection a call)."""

    def __init__(self, services: Mapping[str, Service], *, timeout_s: float = TIMEOUT_S) -> None:
        self._services, self._timeout_s = dict(services), timeout_s

    def nodes(self) -> Sequence[str]:
        """Names of the nodes configured, in order."""
        return sorted(self._services)

    def put(self, node: str, rule: Rule) -> None:
        """Ensure the rule in this node."""
        self._call(node, "PUT", rule.mark, json.dumps(asdict(rule)).encode())

    def remove(self, node: str, mark: str) -> None:
        """Ensure it is gone."""
        self._call(node, "DELETE", mark)

    def rules(self, node: str) -> Sequence[RuleReading]:
        """The rules in place in this node; each rule's ``expires_in_s`` is what is left of it."""
        content = self._call(node, "GET")
        try:
            return [_reading(row) for row in json.loads(content)["rules"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DriverError(
                f"{node}'s filter answered what is no list of rules ({error!r}); look at its url and version"
            ) from error

    def _call(self, node: str, method: str, mark: str = "", body: bytes | None = None) -> bytes:
        service = self._services.get(node)
        if service is None:
            raise NoSuchTarget(f"no filter is configured for {node!r}; there are: {', '.join(self.nodes()) or 'none'}")
        path = "/" + quote(mark, safe="") if mark else ""
        answer = http_call.call(service.http, method, path, body, limit_s=self._timeout_s, who=f"{node}'s filter")
        if answer.status not in (200, 204):
            raise _refusal(node, service, answer.status, answer.content)
        return answer.content


def _refusal(node: str, service: Service, status: int, content: bytes) -> DriverError:
    if status == 404:
        return NoSuchTarget(
            f"{node} has no filter at {service.path}, or no token configured; look at its url and token"
        )
    if status == 401:
        return DriverError(f"{node}'s filter refuses our token; give the same one in simian.yaml and to the service")
    text = content[:2_000].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):  # not a filter's answer: told as it came
        text = "; ".join(json.loads(content)["problems"])
    return DriverError(f"{node}'s filter answered {status}: {text or 'nothing'}")


def _reading(row: Mapping[str, Any]) -> RuleReading:
    told = {key: value for key, value in row.items() if key in Rule.__dataclass_fields__}
    return RuleReading(Rule(**told), int(row["saw"]), int(row["hit"]))


def _service(node: str, settings: object, problems: list[str]) -> Service | None:
    """The service of one entry; what is wrong with it is added to ``problems``."""
    where = f"requests.services.{node}"
    if not isinstance(settings, Mapping):
        problems.append(f"{where} must have url and token")
        return None
    token, url = settings.get("token"), str(settings.get("url", ""))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problems.append(f"{where}.url is {url!r}; it must be like http://127.0.0.1:9001/simian/faults")
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        problems.append(f"{where}.token must be a text, or {{env: NAME}} of one; the service has the same one")
    problems.extend(
        f"{where}.{key} is unknown; there are: url, token" for key in settings if key not in ("url", "token")
    )
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        problems.append(f"{where}.url is {url!r} ({error})")
        return None
    host = cast("str", parts.hostname)
    return Service(host, port, parts.path.rstrip("/"), cast("str", token), parts.scheme == "https")


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> FilterRequests:
    """The driver of the section ``requests:``. Raises UsageError with every problem at once."""
    problems: list[str] = []
    services = settings.get("services") or {}
    if not isinstance(services, Mapping):
        raise UsageError(f"requests.services is {services!r}; it must map names of nodes to url and token")
    found = {str(node): _service(str(node), entry, problems) for node, entry in services.items()}
    if problems:
        raise UsageError(problems)
    return FilterRequests({node: service for node, service in found.items() if service is not None})
