"""What a fault is: a frozen value that knows how to be prepared, injected, proven and undone through the ports.

A fault holds only data, so it can be printed, stored, compared, refused and undone with every plug-in gone; kinds
are closed to this package for that reason (``simian/faults/``, one file a layer). Its JSON form is its fields with
``kind`` and ``version``.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

from simian.errors import Refused
from simian.topology import Node, Topology
from simian.world import World

Layer = Literal["node", "link", "request", "steering"]


@dataclass(frozen=True, slots=True)
class Control:
    """The positive control: what the observer saw before the injection, and figures that evidence compares with."""

    seen: str
    figures: Mapping[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof that a fault is in place. ``held``: proven, disproven, or ``None`` for could not be measured."""

    held: bool | None
    before: str
    seen: str


class Exposed(Protocol):
    """Counts of users' requests that passed a target since the injection (``simian.steady_state.Exposure``)."""

    def count_node(self, name: str) -> int:
        """Requests that reached for this node."""
        ...

    def count_link(self, link: Any) -> int:
        """Requests that reached across this link."""
        ...

    def count_failed(self, *, source: str = "", target: str = "") -> int:
        """Calls of this node, or to this node, that came to nothing."""
        ...

    def count_mark(self, mark: str) -> int:
        """Requests that a request fault of this mark hit."""
        ...

    def count_served(self, home: str, regions: Collection[str]) -> int:
        """Requests of users of this home that one of these regions served."""
        ...


@dataclass(frozen=True)
class Fault:
    """Base of all faults. ``soft`` ones slow a target or fail a share of its calls and count as radius *node*."""

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    layer: ClassVar[Layer] = "node"
    aim: ClassVar[str] = "node"  # the field that names the target
    soft: ClassVar[bool] = False
    renews: ClassVar[bool] = False  # whether it expires by itself unless renewed
    last: ClassVar[bool] = False  # whether it is undone after all that are not: nodes first, users after

    @property
    def target(self) -> str:
        """Name of the node or link that is hit."""
        return str(getattr(self, self.aim))

    def places(self, topology: Topology) -> list[Node]:
        """The nodes that this fault takes from the users, for the radius and for opting in."""
        return [topology.node(self.target)]

    def prepare(self, world: World) -> Self:
        """Read what undo cannot derive later and return the fault with it. Raises ``Refused``."""
        return self

    def caveat(self, world: World) -> str:
        """What the report must say of how this fault is done here; empty: nothing."""
        return ""

    def control(self, world: World, topology: Topology) -> Control:
        """See the target work before the injection. Raises ``Refused`` where it cannot be seen to work."""
        raise NotImplementedError

    def inject(self, world: World, mark: str) -> None:
        """Put the fault in place."""
        raise NotImplementedError

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """Look from outside whether it is in place."""
        raise NotImplementedError

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """How many users' requests met the fault."""
        raise NotImplementedError

    def renew(self, world: World, mark: str) -> None:
        """Keep in place what would expire by itself."""

    @property
    def eases(self) -> int:
        """By how many steps a calm recovery may lessen it before it is undone."""
        return 0

    def ease(self, world: World, mark: str, step: int) -> None:
        """Lessen it to this step (0 is the first)."""

    def undo(self, world: World, mark: str) -> None:
        """Ensure that it is gone; reads only this fault and the world, may run twice, is content with nothing."""
        raise NotImplementedError

    def gone(self, world: World, mark: str) -> bool:
        """Whether the target is as before (a node: ready to serve)."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Fields by name, with kind and version."""
        return {"kind": self.kind, "version": self.version} | {f.name: getattr(self, f.name) for f in fields(self)}


F = TypeVar("F", bound=type[Fault])
KINDS: dict[str, type[Fault]] = {}


def fault(kind: str) -> Callable[[F], F]:
    """Register a fault class under the kind it has in JSON and YAML."""

    def register(cls: F) -> F:
        cls.kind = kind
        KINDS[kind] = cls
        return cls

    return register


def _kind(kind: str) -> type[Fault]:
    import simian.faults  # noqa: F401 - importing it registers the kinds

    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(KINDS))}"
        raise ValueError(f"no fault is called {kind!r}{hint}")
    return KINDS[kind]


def fault_from_json(data: Mapping[str, Any]) -> Fault:
    """The fault that ``to_json`` wrote. Raises ValueError on an unknown kind, version or field."""
    cls = _kind(str(data.get("kind")))
    if data.get("version") != cls.version:
        raise ValueError(f"fault {cls.kind!r} has version {cls.version} here, the journal says {data.get('version')}")
    return _build(cls, {key: value for key, value in data.items() if key not in ("kind", "version")})


def fault_from_words(words: Mapping[str, Any]) -> Fault:
    """A fault as written by hand in an experiment: ``{delay: LINK, by: "normal:100ms,20ms"}``."""
    import simian.faults  # noqa: F401

    kinds = [key for key in words if key.replace("-", "_") in KINDS]
    if len(kinds) != 1:
        _kind(next(iter(words), ""))
        raise ValueError(f"a fault names exactly one kind, here: {', '.join(kinds)}")
    cls = _kind(kinds[0].replace("-", "_"))
    rest = {key.replace("-", "_"): value for key, value in words.items() if key != kinds[0]}
    return _build(cls, {cls.aim: words[kinds[0]]} | rest)


def _build(cls: type[Fault], values: Mapping[str, Any]) -> Fault:
    known = {f.name: f for f in fields(cls)}
    for name in values:
        if name not in known:
            raise ValueError(f"a {cls.kind} has no {name!r}; it has: {', '.join(known)}")
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in values]
    if missing:
        raise ValueError(f"a {cls.kind} needs {', '.join(missing)}")
    return cls(**values)


def name_of(target: object) -> str:
    """Name of a node, link or of what is a name already: monkeys may write ``Kill(node)`` or ``Kill("web-1")``."""
    return str(getattr(target, "name", target))


def refuse_unless(condition: bool, reason: str) -> None:
    """Raise ``Refused`` with the reason unless the condition is met."""
    if not condition:
        raise Refused(reason)


def with_target_name(given: Fault) -> None:
    """For ``__post_init__``: replace a Node or Link given as the target by its name (the class is frozen)."""
    object.__setattr__(given, given.aim, name_of(getattr(given, given.aim)))


__all__ = [
    "KINDS",
    "Control",
    "Evidence",
    "Exposed",
    "Fault",
    "Layer",
    "fault",
    "fault_from_json",
    "fault_from_words",
    "name_of",
    "refuse_unless",
    "replace",
    "with_target_name",
]
