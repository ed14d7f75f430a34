"""The ports: all that simian may ask of the world outside its process, and the values that go through them.

Each port is a small protocol; its drivers live in a folder of their own (``platforms/``, ``networks/``, ...).
The contract stands here as prose and in ``tests/drivers/`` as one suite that every driver passes.

Common to all drivers:

* Calls are blocking and are made from many threads at once; each has a time limit of its own inside the driver
  and raises ``TimedOut`` when it passes (the call may still land) or ``Unreachable`` when nothing answers.
* Every writing call means *ensure*: doing it twice is doing it once. Undoing what is gone is content.
* Unknown names raise ``NoSuchTarget``; what a driver cannot do raises ``Unsupported``, before touching anything.
* ``mark`` is the name of a fault in place, ``simian.<run>.<n>``; whatever a driver leaves in the world carries it,
  so that undo removes that and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from simian_filters.distribution import Distribution
from simian_filters.rules import Rule as Rule  # one shape of a request fault, here and inside the services
from simian_filters.rules import Side as Side

from simian.topology import Link, Node
from simian.traffic import Entrance, Load, Misroute, Modes, Shares, Visit

CutHow = Literal["refuse", "blackhole"]
Direction = Literal["both", "forward", "backward"]  # forward: from the link's source to its target


class Platform(Protocol):
    """Nodes: list, start, stop, kill, crash, pause, resume, ready?"""

    def nodes(self) -> Sequence[Node]:
        """Every node as it is now, instruments and stopped ones included."""
        ...

    def start(self, node: str) -> None:
        """Ensure that it runs (start is content with a running or paused one); need not wait until it is ready."""
        ...

    def stop(self, node: str) -> None:
        """Ask it to end in good order (then make it); it stays down."""
        ...

    def kill(self, node: str) -> None:
        """End it at once; it stays down: nothing restarts it until ``start``."""
        ...

    def crash(self, node: str) -> None:
        """End it at once as if by itself, so that whatever restarts it does so."""
        ...

    def pause(self, node: str) -> None:
        """Freeze it: it keeps its connections and answers nothing."""
        ...

    def resume(self, node: str) -> None:
        """Thaw it; content with one that is not paused or not there."""
        ...

    def ready(self, node: str) -> bool:
        """Whether it runs and says itself that it can serve."""
        ...

    def incarnation(self, node: str) -> str | None:
        """A text that changes when and only when it has started anew; ``None`` while it is down."""
        ...


@dataclass(frozen=True, slots=True)
class LinkReading:
    """One link as its proxy tells it, without what is ours or with it.

    ``marks`` are our own, ``foreign`` the names of somebody else's faults. ``proxy`` is what the driver needs to
    make the link anew (JSON), should its server wedge.
    """

    link: str
    enabled: bool
    marks: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    proxy: Mapping[str, Any] = field(default_factory=dict)


class Network(Protocol):
    """Links: cut, delay, throttle, mend, read back."""

    def links(self) -> Sequence[Link]:
        """Every link as it is now."""
        ...

    def read(self, link: str) -> LinkReading:
        """One link, read back from the world."""
        ...

    def unsupported(self, kind: str, *, how: str = "", direction: str = "both", by: Distribution | None = None) -> str:
        """Why a fault of this kind (``cut``, ``delay``, ``throttle``) cannot be done here; empty when it can."""
        ...

    def caveat(self, kind: str, *, by: Distribution | None = None) -> str:
        """What a report must say of how this driver does it (dice of its own, an approximation); empty: nothing."""
        ...

    def cut(self, link: str, mark: str, *, how: CutHow, direction: Direction) -> None:
        """No byte across. ``refuse`` closes and refuses connections; ``blackhole`` swallows bytes in silence."""
        ...

    def delay(self, link: str, mark: str, *, by: Distribution, direction: Direction) -> None:
        """Hold each byte back by ``by`` (ms), connections kept."""
        ...

    def throttle(self, link: str, mark: str, *, rate_kb_s: float, direction: Direction) -> None:
        """Let at most so many kilobytes a second through."""
        ...

    def mend(self, link: str, mark: str, was: LinkReading) -> None:
        """Take out what carries ``mark`` and enable the link again if it was; ``was`` is the reading before."""
        ...

    def marks(self) -> Sequence[tuple[str, str]]:
        """Every (link, mark) of ours that is in place, whoever put it there: for orphans."""
        ...


@dataclass(frozen=True, slots=True)
class RuleReading:
    """A rule in place: requests it ``saw`` and ``hit`` since it was set, and the seconds until it expires."""

    rule: Rule
    saw: int
    hit: int


class Requests(Protocol):
    """Faults inside services, per request. Rules live in memory there and expire by themselves."""

    def put(self, node: str, rule: Rule) -> None:
        """Ensure the rule in this node; putting the same mark again renews it and keeps its counts and its die."""
        ...

    def remove(self, node: str, mark: str) -> None:
        """Ensure it is gone."""
        ...

    def rules(self, node: str) -> Sequence[RuleReading]:
        """The rules in place in this node, anybody's."""
        ...

    def nodes(self) -> Sequence[str]:
        """Names of the nodes that mount a filter we can reach."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one attempt to talk to something showed.

    ``connected``: a connection was accepted. ``answered``: an application answer came back (any status).
    ``elapsed_ms`` until the answer or the giving up. ``hit_by``: marks of request faults the answer carried.
    ``incarnation``: what the answer said of the process that gave it. ``transferred_b``: bytes of the body.
    """

    connected: bool
    answered: bool
    elapsed_ms: float
    status: int | None = None
    hit_by: tuple[str, ...] = ()
    incarnation: str | None = None
    transferred_b: int = 0
    detail: str = ""

    @property
    def ok(self) -> bool:
        """An answer that is no server error."""
        return self.answered and (self.status is None or self.status < 500)


class Steering(Protocol):
    """Where users go: shares by home region, and the modes of the gateways; read back."""

    def unsupported(self, what: str) -> str:
        """Why ``shift``, ``modes``, ``arrivals`` or ``load`` cannot be had here; empty when it can."""
        ...

    def shares(self) -> Shares:
        """What the answers are set to now."""
        ...

    def shift(self, home: str, mark: str, shares: Mapping[str, float]) -> None:
        """Answer users of this home by these shares, the mark in the same change.

        Marks lie upon one another: the one set last is what is answered. The same mark again changes what it
        answers, if it is the last. Raises DriverError when somebody else has set other shares meanwhile.
        """
        ...

    def unshift(self, home: str, mark: str) -> None:
        """Take this mark out: if it was the last, what lay under it is answered again, else nothing changes.

        Shares that somebody else has set meanwhile are left alone, as is a home without this mark.
        """
        ...

    def entrances(self) -> Sequence[Entrance]:
        """How users of each home find the system."""
        ...

    def modes(self) -> Mapping[str, Modes]:
        """The modes of each gateway that answers, by its name."""
        ...

    def set_failover(self, region: str, mark: str, homes: Sequence[str]) -> None:
        """Ensure that every gateway of the region serves users of these homes."""
        ...

    def set_misrouted(self, region: str, mark: str, *, mode: Misroute, own: bool) -> None:
        """Ensure how every gateway of the region treats mis-routed users."""
        ...

    def set_limit(self, region: str, mark: str, concurrency: int) -> None:
        """Ensure that every gateway of the region sheds what exceeds so many requests under way."""
        ...

    def unset(self, region: str, mark: str, was: Mapping[str, Modes]) -> None:
        """Where a setting carries this mark, set it to what it ``was`` (by gateway; a gateway not in it: default).

        Content with a gateway that is down (modes live in its memory); Unreachable for one that does not answer.
        """
        ...

    def marks(self) -> Sequence[tuple[str, str]]:
        """Every (home or region, mark) of ours in place, whoever put it there: for orphans."""
        ...

    def arrivals(self) -> Mapping[str, Mapping[str, int]]:
        """Gateway -> home -> users' requests that came in there since it started; those that answer."""
        ...

    def load(self) -> Mapping[str, Load]:
        """Measured load and declared capacity of each region, of the nodes that answer."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """A key's value in one replica or cache, and the time its writer gave it. ``value`` None: deleted."""

    value: str | None
    at_us: int


class Data(Protocol):
    """What users have written: through the front door of a region, and as each replica and cache has it."""

    def regions(self) -> Sequence[str]:
        """Regions that can be written to; empty: nothing can be said about data here."""
        ...

    def write(self, region: str, key: str, value: str, at_us: int) -> None:
        """Write as a user of this region does. Returning means acknowledged; an error: it may have been made."""
        ...

    def replicas(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Node -> key -> cell, of every replica; keys that it lacks are left out. Raises for one that is silent."""
        ...

    def caches(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """The same of every cache: what it lacks is no fault."""
        ...

    def backlog(self) -> Mapping[str, int]:
        """What waits to be handed on, by kind and node: ``{"hints store-east-a": 12}``; nodes that answer."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """A caller's connections: ``through`` the proxy or ``past`` it. ``leads``: addresses its name for the target has.

    Connections that have just ended are counted while the kernel remembers them. ``proxy``: the proxy's addresses.
    """

    through: int
    past: int
    leads: tuple[str, ...]
    proxy: tuple[str, ...]

    @property
    def led_past(self) -> bool:
        """Whether the target's name leads anywhere but to the proxy."""
        return bool(set(self.leads) - set(self.proxy))


class Observer(Protocol):
    """Looks from outside, by other means than the drivers that write."""

    def resolve(self, entrance: Entrance, subnet: str, *, timeout_s: float = 1.0) -> tuple[str, ...]:
        """The addresses that a user of this subnet is answered; empty when no good answer came."""
        ...

    def visit(self, node: Node, home: str, *, subnet: str = "", timeout_s: float = 1.0) -> Visit:
        """Make a user's request (``Node.visit``) of this home at a gateway; a redirect is not followed."""
        ...

    def ask(self, node: Node, *, timeout_s: float = 1.0, side: Side = "server") -> Exchange:
        """Ask the node itself. ``side="client"`` asks for something that makes it call the services behind it."""
        ...

    def exchange(self, link: Link, *, timeout_s: float = 1.0, size_b: int = 0) -> Exchange:
        """Send across the link as its source would; with ``size_b`` fetch about so many bytes (for throttles)."""
        ...


@runtime_checkable
class SeesWays(Protocol):
    """What an observer may be able to see besides: which way a caller's connections go. It touches nothing."""

    def way(self, link: Link, proxy: str, port: int) -> Mapping[str, Way]:
        """By node of the link's source. ``proxy``: the node that should carry it; ``port``: where it listens for it."""
        ...


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Wall clock: seconds since the epoch, UTC."""
        ...

    def elapsed(self) -> float:
        """Seconds that never jump; on Linux CLOCK_BOOTTIME, so that a suspended machine's sleep counts."""
        ...

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """The ports of one system, as the composition root put them together."""

    platform: Platform
    network: Network
    requests: Requests
    steering: Steering
    data: Data
    observer: Observer
    clock: Clock


PORTS = ("platform", "network", "requests", "steering", "data", "observer")


class Guarded:
    """A driver whose every call is announced first: where the lease is checked and crash points are.

    ``before`` and ``after`` get ``"platform.kill"`` and the call's arguments; raising in ``before`` stops the call.
    """

    def __init__(self, port: str, driver: object, before: Callable[..., None], after: Callable[..., None]) -> None:
        self._port, self._driver, self._before, self._after = port, driver, before, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._driver, name)
        if not callable(method):
            return method
        label = f"{self._port}.{name}"

        def call(*args: Any, **options: Any) -> Any:
            self._before(label, *args)
            answer = method(*args, **options)
            self._after(label, *args)
            return answer

        return call


def guarded(world: World, before: Callable[..., None], after: Callable[..., None]) -> World:
    """The same world, each port but the clock behind ``Guarded``."""
    wrapped: dict[str, Any] = {port: Guarded(port, getattr(world, port), before, after) for port in PORTS}
    return World(**wrapped, clock=world.clock)
