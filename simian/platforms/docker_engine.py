"""A Docker engine behind one URL: every call with a deadline, every failure told as one of simian's errors.

The only file that knows the Docker SDK. A client is never used by two threads at once (whether that is safe is in
dispute): each call takes one that is idle, or makes one.
"""

import http.client
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeVar

import requests

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, Unsupported, UsageError

try:
    from docker import APIClient
    from docker.errors import APIError, DockerException
except ImportError as missing:
    raise ImportError("the Docker SDK is not installed; install simian-army[docker]") from missing

T = TypeVar("T")
LIMIT_S = 4.0  # of one request; looking, asking and what a stop grants a container stay below a run's quarantine
LONGEST_S = 60.0
URL = "unix:///var/run/docker.sock"
_SCHEMES = ("unix", "tcp", "http", "https", "npipe", "ssh")
_NOTHING_THERE = (ConnectionRefusedError, FileNotFoundError, PermissionError, socket.gaierror, requests.ConnectTimeout)
_SILENT = (TimeoutError, requests.ReadTimeout)


class EngineRefused(DriverError):
    """The engine answered with a status that is no success; the text is its own."""


class Engine:
    """One engine. The URL is always a given one: the SDK's own way would follow the command line's current context."""

    def __init__(self, url: str = URL, limit_s: float = LIMIT_S) -> None:
        self.url, self.limit_s = url, limit_s
        self._idle: deque[Any] = deque()

    def __str__(self) -> str:
        return f"the Docker engine at {self.url}"

    def do(self, what: str, call: Callable[[Any], T]) -> T:
        """What ``call`` gives, made with a client of the SDK (``docker.APIClient``).

        Raises Unreachable; TimedOut (it may still be done); NoSuchTarget (404); EngineRefused with the engine's words.
        """
        api = None
        try:
            api = self._client()
            done = call(api)
        except APIError as error:
            self._idle.append(api)
            told = str(error.explanation or error)
            if error.status_code == 404:
                raise NoSuchTarget(f"{what}: {told}") from error
            raise EngineRefused(f"{self} refused to {what} ({error.status_code}): {told}") from error
        except (requests.RequestException, DockerException, OSError, ValueError) as error:
            if api is not None:
                api.close()
            raise self._failed(what, error) from error
        self._idle.append(api)
        return done

    def talk(self, container: str, command: list[str]) -> tuple[socket.socket, bytes]:
        """Run a program in the container on a terminal: the socket of its output, and what came already.

        Without a terminal the engine (20.10) may hand on nothing before the program ends.
        """

        def begin(api: Any) -> tuple[socket.socket, bytes]:
            stream = api.exec_start(api.exec_create(container, command, tty=True)["Id"], tty=True, socket=True)
            sdks, reader = stream._sock, stream._response.raw._fp.fp
            try:
                ours = socket.socket(fileno=os.dup(stream.fileno()))  # ours alone, whatever becomes of the SDK's
                sdks.settimeout(0)
                return ours, bytes(reader.peek())  # the SDK may have read more than the head of the answer
            finally:
                reader.close()
                sdks.close()

        if self.url.startswith(("https://", "ssh://", "npipe://")):
            raise Unsupported(f"{self} can only be talked through at unix:// and plain tcp://")
        return self.do(f"run a program in {container[:12]}", begin)

    def close(self) -> None:
        """End the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _client(self) -> Any:
        self._knock()
        with suppress(IndexError):
            return self._idle.pop()
        return APIClient(base_url=self.url, version="auto", timeout=self.limit_s)  # asks for the version: a call

    def _knock(self) -> None:
        """Raises OSError when nobody listens on the local socket: the SDK would leave one of its own open over that.

        Before each call: the engine may have gone since the last one, whose connection is then made anew.
        """
        scheme, _, path = self.url.partition("://")
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(self.limit_s)
                door.connect(path)

    def _failed(self, what: str, error: BaseException) -> DriverError:
        for cause in _causes(error):
            if isinstance(cause, _NOTHING_THERE):
                return Unreachable(f"{self} cannot be reached ({cause}); start it, or correct `url`")
            if isinstance(cause, _SILENT):
                return TimedOut(f"{self} did not {what} in {self.limit_s:g} s; it may still do so")
            if isinstance(cause, ConnectionError | http.client.HTTPException):
                return TimedOut(f"{self} hung up when asked to {what} ({cause}); it may have done so")
        return DriverError(f"{self} could not be asked to {what}: {error}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """From the error that was raised down to the first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def engine_from(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> Engine:
    """The engine at ``url`` (the local socket when there is none), one for all the drivers of a world.

    ``limit_s``: seconds for each request; an engine on a busy machine may need more. Raises UsageError.
    """
    url = settings.get("url", shared.get("docker url", URL))
    if not isinstance(url, str) or url.partition("://")[0] not in _SCHEMES or not url.partition("://")[2]:
        raise UsageError(f"url is {url!r}; right would be like {URL} or tcp://host:2376")
    limit_s = settings.get("limit_s", LIMIT_S)
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float) or not 0 < limit_s <= LONGEST_S:
        raise UsageError(f"limit_s is {limit_s!r}; right would be seconds, above 0 and at most {LONGEST_S:g}")
    shared.setdefault("docker url", url)
    engine: Engine = shared.setdefault(f"docker engine {url}", Engine(url, limit_s))
    return engine


def check_keys(port: str, driver: str, settings: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises UsageError for keys that the driver does not have."""
    unknown = [key for key in settings if key not in ("driver", *known)]
    if unknown:
        names = ", ".join(known)
        raise UsageError(f"{port}.{key} is no setting of driver {driver!r}; it has: {names}" for key in unknown)
