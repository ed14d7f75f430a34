"""Looks from inside a container's own network: a side container is put there and asks.

Settings: ``{driver: sidecar, image: busybox:1.36}``, with ``url`` and ``project`` where the platform is another driver.
The image needs ``sh``, ``cat``, ``stty`` and busybox's ``nc``; the target needs nothing. A node is asked at 127.0.0.1,
so no cut and no proxy lies in between; a link is asked from its network. Users' questions (``resolve``, ``visit``) are
asked from this machine, as the driver ``socket`` does.

A side container is started on need, has the label ``simian.side``, and is none of the system's nodes. It ends and is
removed by itself when it was not used for half a minute, so nothing is left of it whatever becomes of us.
"""

import math
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unsupported, UsageError
from simian.observers.attempt import Attempt
from simian.observers.socket import SocketObserver, looked, parsed
from simian.observers.way import LOOK, way_of
from simian.platforms.docker_containers import OURS, SERVICE, Container, Containers, containers_from
from simian.platforms.docker_engine import Engine, EngineRefused, check_keys
from simian.topology import Link, Node
from simian.traffic import Entrance, Visit
from simian.world import Exchange, Side, Way

IDLE_S = 30
_LIVE = "touch /alive; while rm /alive 2>/dev/null; do sleep %d; done"
# A dot when it begins, a plus when it is connected, then what comes. The question is an argument: the engine is slow to
# hand on what is written to a program. And it is ended in any case: nobody tells it that we no longer listen.
_ASK = (
    'stty -opost && echo . || exit; (sleep "$3"; kill -9 $$) >/dev/null 2>&1 & touch /alive; '
    'exec nc -w "$3" "$1" "$2" -e sh -c "echo + >&5; printf %b \'$4\'; exec cat >&5 2>/dev/null" 5>&1'
)
_COMPLAINT_B = 300


@dataclass
class Tunnel(Attempt):
    """An attempt whose connection is made in the side container."""

    engine: Engine = field(kw_only=True)
    side: str = field(kw_only=True)

    def connect(self) -> None:
        """With the first question, or the wish for an answer without one."""

    def send(self, data: bytes) -> None:
        """Raises Unsupported for a second question."""
        if self.sock is not None:
            raise Unsupported("a side container can ask one question on a connection; leave the size out, or use http")
        question = "".join(f"\\0{byte:03o}" for byte in data)
        command = ["sh", "-c", _ASK, "ask", self.host, str(self.port), str(math.ceil(self.timeout_s) + 1), question]
        self.sock, self._early = self.engine.talk(self.side, command)
        # The clock starts when the side container begins: what the engine needs until then is not the target's.
        timeout_s, self.started, self.timeout_s = self.timeout_s, self.clock(), self.engine.limit_s
        self._expect_begin()
        self.started, self.timeout_s = self.clock(), timeout_s
        if (heard := self._exactly(2)) != b"+\n":
            raise _why(heard + self._exactly(_COMPLAINT_B))
        self.connected = True

    def _expect_begin(self) -> None:
        try:
            heard = self._exactly(2)
        except TimeoutError as error:
            raise TimedOut(f"the side container {self.side[:12]} did not begin in {self.timeout_s:g} s") from error
        if heard != b".\n":
            raise DriverError(
                f"the side container {self.side[:12]} cannot ask: {heard + self._exactly(_COMPLAINT_B)!r}"
            )

    def _exactly(self, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        heard = b""
        while len(heard) < count and (more := self._some(count - len(heard))):
            heard += more
        return heard

    def _some(self, most: int) -> bytes:
        buffer = bytearray(most)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: Any) -> int:
        """What the other side said."""
        if self.sock is None:
            self.send(b"")
        if not self._early:
            return super().readinto(buffer)
        count = min(len(buffer), len(self._early))
        memoryview(buffer)[:count], self._early = self._early[:count], self._early[count:]
        return count


def _why(complaint: bytes) -> OSError:
    text = complaint.decode(errors="replace").strip()
    if "refused" in text:
        return ConnectionRefusedError(text)
    return TimeoutError() if "timed out" in text else OSError(text or "nothing was said")


class SidecarObserver:
    """Driver of the port ``Observer``. ``close`` removes its side containers at once."""

    def __init__(self, containers: Containers, image: str, *, idle_s: int = IDLE_S) -> None:
        self._containers, self._engine, self._image = containers, containers.engine, image
        self._live = _LIVE % idle_s
        self._sides: dict[str, str] = {}  # by the network that they are in
        self._starting = threading.Lock()
        self._socket = SocketObserver()

    def ask(self, node: Node, *, timeout_s: float = 1.0, side: Side = "server") -> Exchange:
        """Ask the node from inside itself. Raises Unsupported when it has no such address, NoSuchTarget if gone."""
        url = parsed(node.name, node.ask) if side == "server" else parsed(f"{node.name} (behind it)", node.ask_behind)
        one = self._containers.named(node.name)
        inside = url._replace(netloc=f"127.0.0.1:{url.port or ''}".rstrip(":"))
        return self._look(inside, _network_of(one), one.name, timeout_s, 0)

    def exchange(self, link: Link, *, timeout_s: float = 1.0, size_b: int = 0) -> Exchange:
        """Ask across the link: from inside its source, where that is a node or ``<service>-<region>``, else from the
        network that ``Link.source`` names, as a neighbour would. A node's name as host stands for its address there.
        """
        url, all_of_them = parsed(link.name, link.ask), self._containers.all()
        source = next((one for one in all_of_them if link.source in _called(one) and one.incarnation), None)
        if source is None:
            return self._look(url, link.source, link.name, timeout_s, size_b)
        return self._look(_seen_from(source, url, all_of_them), _network_of(source), link.name, timeout_s, size_b)

    def way(self, link: Link, proxy: str, port: int) -> dict[str, Way]:
        """By container of the link's source: whether its calls of the target go through the node ``proxy``.

        ``port``: where the proxy listens for this link. Touches nothing. Raises NoSuchTarget when one end is not there.
        """
        everybody, names = self._containers.all(), (link.source, link.target, proxy)
        found = [[one for one in everybody if name in _called(one)] for name in names]
        missing = [name for name, some in zip(names, found, strict=True) if not some]
        if missing:
            raise NoSuchTarget(f"no container of {self._containers} is called {' or '.join(missing)}")
        sources, targets, proxies = found
        name = targets[0].labels.get(SERVICE, targets[0].name)
        return {
            one.name: way_of(self._said(one, [LOOK, "look", name]), _addresses(proxies), port, _addresses(targets))
            for one in sources
            if one.incarnation
        }

    def _said(self, one: Container, script: list[str]) -> str:
        """What a script says in the container's network."""

        def run(api: Any) -> bytes:
            made = api.exec_create(self._side(_network_of(one), one.name), ["sh", "-c", *script])
            return bytes(api.exec_start(made["Id"]))

        try:
            return self._engine.do(f"look from inside {one.name}", run).decode("utf-8", "replace")
        except (NoSuchTarget, EngineRefused):  # it ended by itself since it was used last
            self._sides.pop(_network_of(one), None)
            return self._engine.do(f"look from inside {one.name}", run).decode("utf-8", "replace")

    def resolve(self, entrance: Entrance, subnet: str, *, timeout_s: float = 1.0) -> tuple[str, ...]:
        """As ``SocketObserver.resolve``."""
        return self._socket.resolve(entrance, subnet, timeout_s=timeout_s)

    def visit(self, node: Node, home: str, *, subnet: str = "", timeout_s: float = 1.0) -> Visit:
        """As ``SocketObserver.visit``."""
        return self._socket.visit(node, home, subnet=subnet, timeout_s=timeout_s)

    def close(self) -> None:
        """Remove the side containers."""
        while self._sides:
            self._remove(self._sides.popitem()[1])

    def _look(self, url: SplitResult, network: str, what: str, timeout_s: float, size_b: int) -> Exchange:
        if url.scheme in ("dns", "https"):
            raise Unsupported(f"{what} cannot be asked over {url.scheme} from a side container; use http or tcp")
        if not network:
            return Exchange(False, False, 0.0, detail="refused: it is down, and has no network to ask in")
        try:
            return self._through(self._side(network, what), url, timeout_s, size_b)
        except (NoSuchTarget, EngineRefused):  # it ended by itself since it was used last
            self._sides.pop(network, None)
            return self._through(self._side(network, what), url, timeout_s, size_b)

    def _through(self, side: str, url: SplitResult, timeout_s: float, size_b: int) -> Exchange:
        return looked(Tunnel(url, timeout_s, size_b, time.monotonic, engine=self._engine, side=side))

    def _side(self, network: str, what: str) -> str:
        with self._starting:
            if network not in self._sides:
                self._sides[network] = self._start(network, what)
            return self._sides[network]

    def _start(self, network: str, what: str) -> str:
        def create(api: Any) -> str:
            host = api.create_host_config(network_mode=network.partition("@")[0], auto_remove=True)
            name, labels = f"simian-side-{uuid.uuid4().hex[:12]}", {OURS: what}
            made = api.create_container(
                self._image, ["sh", "-c", self._live], name=name, labels=labels, host_config=host
            )
            return str(made["Id"])

        side = self._engine.do(f"make a side container of {self._image} for {what}", create)
        try:
            self._engine.do(f"start a side container for {what}", lambda api: api.start(side))
        except DriverError:
            self._remove(side)
            raise
        return side

    def _remove(self, side: str) -> None:
        with suppress(NoSuchTarget, EngineRefused):  # it is gone, or going
            self._engine.do("remove a side container", lambda api: api.remove_container(side, force=True))


def _network_of(one: Container) -> str:
    """Its own network while it runs: another one after each start."""
    return f"container:{one.id}@{one.incarnation}" if one.incarnation else ""


def _called(one: Container) -> tuple[str, str]:
    node = one.node()
    return node.name, f"{node.service}-{node.region}"


def _addresses(some: list[Container]) -> list[str]:
    return [str(end["IPAddress"]) for one in some for end in one.endpoints.values() if end["IPAddress"]]


def _seen_from(source: Container, url: SplitResult, others: list[Container]) -> SplitResult:
    """The same with the host's address in a network of the source: the image may be unable to look names up."""
    host = next((one for one in others if one.name == url.hostname), None)
    ends = host.endpoints if host else {}
    address = next((str(ends[net]["IPAddress"]) for net in source.endpoints if net in ends), "")
    return url._replace(netloc=f"{address}:{url.port}") if address else url


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> SidecarObserver:
    """The driver of ``{driver: sidecar, image: IMAGE}``. Raises UsageError."""
    check_keys("observer", "sidecar", settings, ("image", "project", "url", "limit_s"))
    image = settings.get("image")
    if not isinstance(image, str) or not image:
        raise UsageError("observer.image is missing: driver 'sidecar' needs an image with busybox, as busybox:1.36")
    return SidecarObserver(containers_from("observer", settings, shared), image)
