"""A plan: which faults in which stages, made from monkey or hand-written stages, topology and seed. Pure, printable."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from simian.errors import PluginError, Refused, UsageError
from simian.fault import Fault, fault_from_json, fault_from_words
from simian.monkey import Monkey, Radius
from simian.topology import Node, Topology

MAX_FAULTS = 1_000


@dataclass(frozen=True)
class Stage:
    """Faults put in place together. ``gate``: the steady state must hold before the next stage begins.

    ``drained``: a region at whose gateways nobody must arrive any more before the stage is over. ``judged``: no for
    the stages of a blow that is dealt before users are moved: what they see then is told, and not judged; the guard
    only notices it, which ends the settling, as whoever runs the system would act then.
    """

    name: str
    faults: tuple[Fault, ...]
    settle_s: float = 1.0
    gate: bool = True
    drained: str = ""
    judged: bool = True

    def to_json(self) -> dict[str, Any]:
        """The stage with its faults' JSON."""
        plain = {name: getattr(self, name) for name in ("name", "settle_s", "gate", "drained", "judged")}
        return {**plain, "faults": [fault.to_json() for fault in self.faults]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Stage":
        """The stage that ``to_json`` wrote."""
        faults = tuple(fault_from_json(fault) for fault in data["faults"])
        rest = {name: data[name] for name in ("settle_s", "gate", "drained", "judged") if name in data}
        return cls(data["name"], faults, **rest)


@dataclass(frozen=True)
class Plan:
    """All that a run would do. The same seed, topology and options give the same plan."""

    monkey: str | None
    options: Mapping[str, Any]
    seed: int
    radius: Radius
    stages: tuple[Stage, ...]
    topology_hash: str
    may_reach: Radius = field(default=Radius.SYSTEM)

    @property
    def faults(self) -> list[Fault]:
        """Every fault, in the order of its stage."""
        return [fault for stage in self.stages for fault in stage.faults]

    def to_json(self) -> dict[str, Any]:
        """The plan as data; ``plan_from_json`` reads it."""
        return {
            "monkey": self.monkey,
            "options": dict(self.options),
            "seed": self.seed,
            "radius": self.radius.name.lower(),
            "may_reach": self.may_reach.name.lower(),
            "stages": [stage.to_json() for stage in self.stages],
            "topology_hash": self.topology_hash,
        }

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's data; 16 hex digits."""
        text = json.dumps(self.to_json(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that ``to_json`` wrote."""
    stages = tuple(Stage.from_json(stage) for stage in data["stages"])
    radius, reach = Radius.named(data["radius"]), Radius.named(data["may_reach"])
    return Plan(data["monkey"], data["options"], data["seed"], radius, stages, data["topology_hash"], reach)


def radius_of(nodes: Sequence[Node]) -> Radius:
    """How far the loss of these nodes reaches: one node, one zone, one region or the system."""
    if len({node.name for node in nodes}) <= 1:
        return Radius.NODE
    if len({node.region for node in nodes}) > 1:
        return Radius.SYSTEM
    zones = {node.zone for node in nodes}
    return Radius.ZONE if len(zones) == 1 and None not in zones else Radius.REGION


def _hard(fault: Fault) -> bool:
    return not fault.soft or getattr(fault, "share", 0) > 0.5


def reach_of(faults: Iterable[Fault], topology: Topology) -> Radius:
    """How far these faults reach.

    A fault that takes its target from the users (kill, crash, stop, pause, cut, more than half of its requests)
    counts by geometry; one that slows it or fails a lesser share counts as *node*, on however many nodes.
    """
    lost = [node for fault in faults if _hard(fault) for node in fault.places(topology)]
    return radius_of(lost)


def propose(monkey: Monkey, topology: Topology, seed: int, options: Mapping[str, Any]) -> Plan:
    """Let a monkey choose its harm. Raises UsageError on options, Refused on an empty or unknown choice."""
    checked = monkey.checked(options)
    try:
        answer = monkey(topology, Random(seed), **checked)
        stages = _stages(answer, monkey.name)
    except (UsageError, Refused):
        raise
    except LookupError as error:
        raise UsageError(str(error.args[0]) if error.args else str(error)) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"monkey {monkey.name!r}: {error}") from error
    except BaseException as error:  # somebody's monkey may raise anything, SystemExit included
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(f"monkey {monkey.name!r} raised {type(error).__name__}: {error}") from error
    given = {name: value for name, value in checked.items() if value is not None}
    return _plan(monkey.name, given, seed, stages, topology, monkey.radius)


def by_hand(stages: Sequence[Mapping[str, Any]], topology: Topology, seed: int) -> Plan:
    """The plan of an experiment that lists its stages. Raises UsageError with every problem at once."""
    built, problems = [], []
    for number, stage in enumerate(stages, 1):
        faults = []
        for words in stage["faults"]:
            try:
                faults.append(fault_from_words(words))
            except (ValueError, TypeError) as error:
                problems.append(f"stage {number} ({stage['stage']}): {error}")
        built.append(Stage(stage["stage"], tuple(faults), stage.get("settle_s", 1.0), stage.get("gate", True)))
    if problems:
        raise UsageError(problems)
    return _plan(None, {}, seed, tuple(built), topology, Radius.SYSTEM)


def _plan(
    name: str | None,
    options: Mapping[str, Any],
    seed: int,
    stages: tuple[Stage, ...],
    topology: Topology,
    reach: Radius,
) -> Plan:
    faults = [fault for stage in stages for fault in stage.faults]
    if not faults:
        raise Refused(f"{name or 'the experiment'} found nothing to break; name another zone, service or link")
    if len(faults) > MAX_FAULTS:
        raise Refused(f"{len(faults)} faults in one plan; at most {MAX_FAULTS} make sense")
    try:
        radius = reach_of(faults, topology)
    except LookupError as error:
        raise Refused(str(error.args[0])) from error
    return Plan(name, options, seed, radius, stages, topology.hash, reach)


def _stages(answer: object, name: str) -> tuple[Stage, ...]:
    if not isinstance(answer, list | tuple):
        given = type(answer).__name__
        raise PluginError(f"monkey {name!r} returned {given}; a list of faults or of stages would be right")
    if all(isinstance(item, Stage) for item in answer) and answer:
        return tuple(answer)
    strange = [type(item).__name__ for item in answer if not isinstance(item, Fault)]
    if strange:
        raise PluginError(f"monkey {name!r} returned {strange[0]} among its faults; faults or stages would be right")
    return (Stage(name, tuple(answer)),)
