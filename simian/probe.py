"""Probes and what comes from them: readings, the users' slices, tolerances, checks.

A probe is a function that looks at the system once and returns a ``Reading``::

    @probe("queue depth")
    def depth(url: str) -> Reading:
        \"\"\"Messages waiting in the queue. Unit: messages.\"\"\"
        return Reading(float(fetch_json(url)["depth"]))

In a check it is named by its name; that key's value is the first option, the other keys are the others:
``{"queue depth": "http://127.0.0.1/q"}``. Light to import: a probe's own process starts with it.
"""

import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import ModuleType
from typing import Any, Literal

from simian.errors import PluginError, UsageError
from simian.secrets import RIGHT, Secret, is_reference
from simian.tolerance import Tolerance

__all__ = [
    "AbortCondition", "Check", "CheckReading", "FeedLost", "Observation", "Option", "Probe", "Reading", "Row", "Slice",
    "Tolerance", "probe",
]  # fmt: skip

LATE_MS = 100.0  # a slice whose users were later than this says more about the users than about the system


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe saw: a finite number and, for people, a word about it. Anything else raises ValueError."""

    value: float
    detail: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise ValueError(f"a reading's value is a finite number, not {self.value!r:.60}")
        object.__setattr__(self, "value", float(self.value))


@dataclass(frozen=True, slots=True)
class Option:
    """One typed option of a probe. ``type`` is its annotation; ``required`` when it has no default."""

    name: str
    type: Any
    required: bool
    default: Any = None

    @property
    def secret(self) -> bool:
        """Whether it is a secret (its type is ``Secret``): in files a reference."""
        return Secret in (self.type, *typing.get_args(self.type))

    @property
    def maps(self) -> bool:
        """Whether a mapping may be its value."""
        return self.secret or self.type in (dict, Any)


Hook = Callable[..., Iterable[str]]


def _nothing(**options: Any) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe as its decorator made it: name, function, options in order, and its docstring as help.

    ``wrong``: what else is wrong with options whose types are right, a line each; called before any look.
    ``warm``: what stands in the way of the first look, a line each; makes it as quick as the others (imports).
    """

    name: str
    function: Callable[..., Any]
    options: tuple[Option, ...]
    doc: str
    wrong: Hook = _nothing
    warm: Hook = _nothing

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The bare function."""
        return self.function(*args, **options)

    def read(self, options: Mapping[str, Any]) -> Reading:
        """Look once. Raises PluginError when the probe raises or returns what is no reading."""
        try:
            seen = self.function(**options)
            return seen if isinstance(seen, Reading) else Reading(seen)
        except Exception as error:
            raise PluginError(f"probe {self.name!r}: {type(error).__name__}: {error}") from error

    def bind(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Options from a check's ``{name: first, other: …}``. Raises UsageError with every problem."""
        options = {key: value for key, value in settings.items() if key != self.name}
        first = settings.get(self.name)
        if isinstance(first, Mapping) and self.options and not self.options[0].maps:
            options.update(first)
        elif first is not None and self.options:
            options[self.options[0].name] = first
        problems = list(self._problems(options)) or [f"probe {self.name!r}: {what}" for what in self.wrong(**options)]
        if problems:
            raise UsageError(problems)
        return options

    def _problems(self, options: Mapping[str, Any]) -> typing.Iterator[str]:
        known = {option.name: option for option in self.options}
        for name, value in options.items():
            if name not in known:
                yield f"probe {self.name!r} has no option {name!r:.60}; {nearest(str(name), known)}"
            elif known[name].secret and value is not None and not is_reference(value):  # what was written is not shown
                yield f"probe {self.name!r}, {name}: a secret is never written down; right would be {RIGHT}"
            elif not known[name].secret and not _fits(value, known[name].type):
                yield f"probe {self.name!r}, {name}: {value!r:.60} is no {_type_name(known[name].type)}"
        for option in self.options:
            if option.required and option.name not in options:
                yield f"probe {self.name!r} needs {option.name!r}"


def nearest(name: str, valid: typing.Iterable[str]) -> str:
    """``did you mean 'x'?`` or the list of what there is."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"


def probe(name: str, wrong: Hook = _nothing, warm: Hook = _nothing) -> Callable[[Callable[..., Any]], Probe]:
    """Make a function a probe of this name. Its parameters, typed, are the options; the hooks as in ``Probe``."""
    if not isinstance(name, str) or not name.strip():
        raise PluginError('a probe needs a name: @probe("queue depth")')

    def register(function: Callable[..., Any]) -> Probe:
        return Probe(name, function, _options(name, function), inspect.getdoc(function) or "", wrong, warm)

    return register


def _options(name: str, function: Callable[..., Any]) -> tuple[Option, ...]:
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:
        raise PluginError(f"probe {name!r}: its annotations cannot be read: {error}") from error
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise PluginError(f"probe {name!r}: {parameter} cannot be an option; give each option a name and a type")
        required = parameter.default is parameter.empty
        found.append(
            Option(parameter.name, hints.get(parameter.name, Any), required, None if required else parameter.default)
        )
    return tuple(found)


def _fits(value: Any, wanted: Any) -> bool:
    origin = typing.get_origin(wanted)
    if wanted is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(wanted))
    if origin is Literal:
        return value in typing.get_args(wanted)
    if origin in (list, tuple) or wanted is list:
        inner = (typing.get_args(wanted) or (Any,))[0]
        return isinstance(value, list | tuple) and all(_fits(one, inner) for one in value)
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or (type(None) if wanted is None else wanted))


def _type_name(wanted: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(wanted) or str(getattr(wanted, "__name__", wanted)).replace("typing.", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One slice's requests of users of one home region and one kind; ``latency``: bucket index -> count."""

    home: str
    kind: str
    ended: int
    ok: int
    failed: int
    first_failed: int
    shed: int
    served: Mapping[str, int] = field(default_factory=dict)
    ways: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """What the users saw in a fifth of a second (docs/wire.md). ``start``: seconds since the epoch."""

    start: float
    seconds: float
    late_ms: Mapping[str, float]
    sent: int
    rows: tuple[Row, ...] = ()
    hops: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def end(self) -> float:
        """When it ended, seconds since the epoch."""
        return self.start + self.seconds

    @property
    def void(self) -> bool:
        """The users themselves were late, so that latency and success say nothing about the system."""
        return self.late_ms.get("p99", 0.0) > LATE_MS

    def select(self, *, kind: str | None = None, home: str | None = None) -> list[Row]:
        """Rows of this kind and home region; ``None``: any."""
        return [row for row in self.rows if kind in (None, row.kind) and home in (None, row.home)]

    @classmethod
    def from_json(cls, data: Any) -> "Slice":
        """From the feed's JSON. Raises ValueError when it is not what docs/wire.md says."""
        if not isinstance(data, Mapping) or data.get("type") != "slice":
            raise ValueError("a line of the users' feed is an object of type 'slice'")
        rows = data.get("rows", [])
        if not isinstance(rows, list):
            raise ValueError("rows: a list")
        return cls(
            start=_number(data, "start"),
            seconds=_number(data, "seconds", above=0.0),
            late_ms={key: _number(_mapping(data, "late_ms"), key) for key in _mapping(data, "late_ms")},
            sent=_count(data, "sent"),
            rows=tuple(_row(row) for row in rows),
            hops=_counts(data, "hops"),
            faults=_counts(data, "faults"),
            errors=_counts(data, "errors"),
        )


def _row(data: Any) -> Row:
    if not isinstance(data, Mapping) or not all(isinstance(data.get(key), str) for key in ("home", "kind")):
        raise ValueError("a row is an object with home and kind")
    counts = {key: _count(data, key) for key in ("ended", "ok", "failed", "first_failed", "shed")}
    if counts["ok"] + counts["failed"] != counts["ended"]:
        raise ValueError(f"row {data['home']}/{data['kind']}: ok + failed is not ended")
    latency = {int(index): count for index, count in _counts(data, "latency").items()}
    served, ways = _counts(data, "served"), _counts(data, "ways")
    return Row(home=data["home"], kind=data["kind"], **counts, served=served, ways=ways, latency=latency)


def _number(data: Mapping[str, Any], key: str, above: float = -math.inf) -> float:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= above:
        raise ValueError(f"{key}: a finite number, not {value!r:.40}")
    return float(value)


def _count(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key}: a count, not {value!r:.40}")
    return value


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise ValueError(f"{key}: an object, not {value!r:.40}")
    return value


def _counts(data: Mapping[str, Any], key: str) -> dict[str, int]:
    found = _mapping(data, key)
    return {str(name): _count(found, name) for name in found}


@dataclass(frozen=True, slots=True)
class CheckReading:
    """One reading of a check that is not on users.

    ``value`` is ``None`` when the probe crashed or lied (``silent`` False) or gave no answer by its deadline
    (``silent`` True). ``at``: seconds since the epoch.
    """

    check: str
    at: float
    value: float | None
    silent: bool = False
    detail: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):  # compares with nothing: would pass any limit
            object.__setattr__(self, "detail", f"{self.value} is no finite number. {self.detail}".strip())
            object.__setattr__(self, "value", None)


@dataclass(frozen=True, slots=True)
class FeedLost:
    """The users' feed could not be reached or fell silent; ``at``: seconds since the epoch."""

    detail: str
    at: float = 0.0


Observation = Slice | CheckReading | FeedLost


@dataclass(frozen=True, slots=True)
class Check:
    """A probe with its schedule and tolerance. ``misses``: readings that may lie outside the tolerance."""

    name: str
    probe: Mapping[str, Any]
    tolerance: Tolerance
    every_s: float = 1.0
    deadline_s: float = 0.5
    misses: int = 0

    @property
    def on_users(self) -> bool:
        """Whether it is judged from the users' feed rather than by a process of its own."""
        return "users" in self.probe

    def to_json(self) -> dict[str, Any]:
        """As plain data, for the journal and the probe's process."""
        return {
            "name": self.name,
            "probe": dict(self.probe),
            "tolerance": self.tolerance.text,
            "every_s": self.every_s,
            "deadline_s": self.deadline_s,
            "misses": self.misses,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Check":
        """The check again from ``to_json``. Raises ValueError or KeyError when it is not that."""
        return cls(
            name=str(data["name"]),
            probe=dict(data["probe"]),
            tolerance=Tolerance.parse(data["tolerance"]),
            every_s=float(data.get("every_s", 1.0)),
            deadline_s=float(data.get("deadline_s", 0.5)),
            misses=int(data.get("misses", 0)),
        )


@dataclass(frozen=True, slots=True)
class AbortCondition:
    """End the run at once when the check's value of the last seconds is below or above this.

    In the check's own unit: a share (0..1), milliseconds or a plain number.
    """

    check: str
    below: float | None = None
    above: float | None = None

    @property
    def text(self) -> str:
        """``streams start below 0.95``."""
        limits = [
            f"{word} {limit:g}" for word, limit in (("below", self.below), ("above", self.above)) if limit is not None
        ]
        return f"{self.check} {' or '.join(limits)}"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"check": self.check, "below": self.below, "above": self.above}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AbortCondition":
        """The condition again from ``to_json``."""
        return cls(str(data["check"]), data.get("below"), data.get("above"))

    def violated(self, value: float) -> bool:
        """Whether this value ends the run."""
        return (self.below is not None and value < self.below) or (self.above is not None and value > self.above)


class _CallableModule(ModuleType):
    """``from simian import probe`` may find this module instead of the decorator: so it is one."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return probe(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
