"""Talking to Toxiproxy servers, several at once and from many threads.

toxiproxy-python knows one server a process (host and port are attributes of a class), no time limits, and takes a 500
for an answer. So the class it makes its calls through is replaced here by one that sends them to the server of the
current context, through this module's own sessions; without such a context it is what it was, for whoever else uses
the library in this process. What the library cannot do (reading whole, updating a toxic, making a proxy without
listing all others first) goes through the same sessions.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import requests
import toxiproxy.proxy
import toxiproxy.server
from toxiproxy.api import APIConsumer

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable

CALL_LIMIT_S = 5.0
_PATH_OF_A_PROXY = 2  # "/proxies/NAME" has so many slashes; "/proxies/NAME/toxics" has more


class AlreadyThere(DriverError):
    """A proxy or toxic of that name exists."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """One toxic; ``stream`` is ``upstream`` (from client to server) or ``downstream``; attributes in ms or KB/s."""

    name: str
    type: str
    stream: str
    attributes: Mapping[str, Any]
    toxicity: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """As Toxiproxy has it."""
        return {
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_json(cls, shape: Mapping[str, Any]) -> "Toxic":
        """From what Toxiproxy says. Raises KeyError, ValueError."""
        attributes = dict(shape["attributes"] or {})
        return cls(shape["name"], shape["type"], shape["stream"], attributes, float(shape["toxicity"]))


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy as its server tells it."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...] = ()

    @classmethod
    def from_json(cls, shape: Mapping[str, Any]) -> "Proxy":
        """From what Toxiproxy says. Raises KeyError, ValueError."""
        toxics = tuple(Toxic.from_json(toxic) for toxic in shape["toxics"] or ())
        return cls(shape["name"], shape["listen"], shape["upstream"], bool(shape["enabled"]), toxics)


@dataclass(frozen=True)
class Server:
    """One Toxiproxy; ``limit_s`` is the time limit of a call.

    Every call raises Unreachable, TimedOut, NoSuchTarget, AlreadyThere, or DriverError with the server's own words.
    """

    name: str
    url: str
    limit_s: float = CALL_LIMIT_S

    def within(self, limit_s: float) -> "Server":
        """The same server with another time limit."""
        return replace(self, limit_s=limit_s)

    def version(self) -> str:
        """What it says of itself."""
        return self.send("GET", "/version").text.strip()

    def proxies(self) -> dict[str, Proxy]:
        """Every proxy by name."""
        shapes = self._told(self.send("GET", "/proxies"))
        return {name: self._proxy_of(shape) for name, shape in shapes.items()}

    def proxy(self, name: str) -> Proxy:
        """One proxy."""
        return self._proxy_of(self._told(self.send("GET", f"/proxies/{name}")))

    def create(self, name: str, *, listen: str, upstream: str, enabled: bool) -> None:
        """Make a proxy."""
        self.send("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled})

    def destroy(self, name: str) -> None:
        """Take a proxy away, its connections with it."""
        with self._addressed():
            _handle(name).destroy()

    def enable(self, name: str, enabled: bool) -> None:
        """Let a proxy listen, or close it and all its connections."""
        with self._addressed():
            proxy = _handle(name)
            if enabled:
                proxy.enable()
            else:
                proxy.disable()

    def add(self, proxy: str, toxic: Toxic) -> None:
        """Put a toxic in place."""
        with self._addressed():
            _handle(proxy).add_toxic(**toxic.to_json())

    def remove(self, proxy: str, toxic: str) -> None:
        """Take a toxic out."""
        with self._addressed():
            _handle(proxy).destroy_toxic(toxic)

    def update(self, proxy: str, toxic: str, **changes: Any) -> None:
        """Change ``toxicity`` or ``attributes`` of a toxic."""
        self.send("PATCH", f"/proxies/{proxy}/toxics/{toxic}", changes)

    def send(self, method: str, path: str, body: Any = None) -> requests.Response:
        """One call. Any answer that is not 2xx raises."""
        try:
            response = _session().request(
                method, self.url + path, json=body, timeout=self.limit_s, allow_redirects=False
            )
        except requests.ConnectTimeout as error:
            raise Unreachable(f"{self} does not accept a connection within {self.limit_s:g} s") from error
        except requests.Timeout as error:
            raise TimedOut(f"{self} did not answer {method} {path} in {self.limit_s:g} s") from error
        except requests.RequestException as error:
            raise Unreachable(f"{self} cannot be talked to: {error}") from error
        if not response.ok:
            raise self._error(response, f"{method} {path}")
        return response

    def __str__(self) -> str:
        return f"Toxiproxy {self.name!r} at {self.url}"

    @contextmanager
    def _addressed(self) -> Iterator[None]:
        token = _addressee.set(self)
        try:
            yield
        finally:
            _addressee.reset(token)

    def _error(self, response: requests.Response, call: str) -> DriverError:
        said = response.text.strip()[:300] or "nothing more"
        kind = {404: NoSuchTarget, 409: AlreadyThere}.get(response.status_code, DriverError)
        return kind(f"{self} answered {call} with {response.status_code}: {said}")

    def _told(self, response: requests.Response) -> dict[str, Any]:
        try:
            told = response.json()
        except ValueError as error:
            raise DriverError(f"{self} does not speak JSON: is it a Toxiproxy?") from error
        if not isinstance(told, dict):
            raise DriverError(f"{self} answered {type(told).__name__} instead of an object: is it a Toxiproxy?")
        return told

    def _proxy_of(self, shape: Mapping[str, Any]) -> Proxy:
        try:
            return Proxy.from_json(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise DriverError(f"{self} described a proxy in another form (missing {error}); 2.12 is known") from error


_addressee: ContextVar[Server | None] = ContextVar("toxiproxy server", default=None)
_mine = threading.local()


def _session() -> requests.Session:
    if not hasattr(_mine, "session"):
        _mine.session = requests.Session()
        _mine.session.trust_env = False  # no HTTP_PROXY of the environment between us and what undoes faults
    return _mine.session  # type: ignore[no-any-return]


def _handle(name: str) -> Any:
    """The library's object for a proxy of that name; its other fields are used for nothing."""
    return toxiproxy.proxy.Proxy(name=name, upstream="", enabled=True, listen="")


class _Consumer(APIConsumer):  # type: ignore[misc]
    """The library's calls, sent to the server of the current context; updates by PATCH (POST is deprecated)."""

    @classmethod
    def get(cls, url: str, params: Any = None, **options: Any) -> Any:
        server = _addressee.get()
        return super().get(url, params=params, **options) if server is None else server.send("GET", url)

    @classmethod
    def delete(cls, url: str, **options: Any) -> Any:
        server = _addressee.get()
        return super().delete(url, **options) if server is None else server.send("DELETE", url)

    @classmethod
    def post(cls, url: str, data: Any = None, json: Any = None, **options: Any) -> Any:
        server = _addressee.get()
        if server is None:
            return super().post(url, data=data, json=json, **options)
        updates = url.startswith("/proxies/") and url.count("/") == _PATH_OF_A_PROXY
        return server.send("PATCH" if updates else "POST", url, json)


toxiproxy.proxy.APIConsumer = _Consumer
toxiproxy.server.APIConsumer = _Consumer
