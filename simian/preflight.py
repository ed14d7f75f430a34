"""The ladder of refusals: a plan is checked whole before the first blow. Doubt is a refusal.

What guards say comes beside it (``simian.attention``): they are asked again and again, from then to the end of the run.
"""

import fnmatch
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from simian.convergence import DATA_CHECKS
from simian.errors import DriverError, JournalError, Refused
from simian.fault import Control, Fault
from simian.guardian import is_dead
from simian.halt import HaltLever
from simian.hands import Hands
from simian.headroom import why_too_full
from simian.journal import Journal
from simian.monkey import Radius
from simian.opening import why_closed
from simian.plan import Plan
from simian.request import RunRequest
from simian.topology import Topology
from simian.world import World

DEADLINE_S = 30.0
DAY_S = 86_400.0


@dataclass(frozen=True)
class Case:
    """All that the ladder looks at."""

    request: RunRequest
    plan: Plan
    topology: Topology
    world: World
    journal: Journal
    hands: Hands
    lever: HaltLever

    @property
    def limits(self) -> Mapping[str, Any]:
        """The operator's limits."""
        return self.request.limits


def halted(case: Case) -> list[str]:
    """The halt lever is pulled, or cannot be read."""
    reason = case.lever.why_pulled()
    return [f'halted: {reason}; run "simian resume" when it is over'] if reason else []


def closed(case: Case) -> list[str]:
    """Outside the opening hours of the calendar."""
    reason = why_closed(case.request.calendar, case.world.clock.now())
    return [reason] if reason else []


def left_open(case: Case) -> list[str]:
    """A dead run left faults in place, or one is stuck."""
    hurt = [row for row in case.journal.with_open_faults() if row["ended"] is not None or is_dead(row)]
    return [f'run {row["run"]} left faults in place; run "simian recover" first' for row in hurt]


def too_many(case: Case) -> list[str]:
    """More runs at once, in a day or in a week than the operator allows."""
    found, now = [], case.world.clock.now()
    at_once = case.limits.get("at_once")
    others = [row for row in case.journal.unfinished() if row["run"] != case.request.run and not is_dead(row)]
    names = ", ".join(row["run"] for row in others)
    if at_once is not None and len(others) >= at_once:
        found.append(f"limits.at_once is {at_once} and run {names} goes on; wait for it or abort it")
    for key, span_s, words in (("runs_per_day", DAY_S, "24 h"), ("runs_per_week", 7 * DAY_S, "7 days")):
        most, lately = case.limits.get(key), case.journal.injecting_since(now - span_s)
        if most is not None and lately >= most:
            found.append(f"limits.{key} is {most} and {lately} runs have injected in the last {words}")
    if case.request.schedule is not None:
        found += [_beside(case, row["run"]) for row in others if _reach(row) == case.plan.radius]
    return found


def _reach(row: Mapping[str, Any]) -> Radius | None:
    """How far the plan of a run that goes on reaches; ``None``: it has none yet."""
    return Radius[json.loads(row["plan"])["radius"].upper()] if row["plan"] else None


def _beside(case: Case, run: str) -> str:
    reach = case.plan.radius.name.lower()
    return (
        f"run {run} goes on and reaches a {reach} as this one would; of scheduled runs one at a time does for a radius"
    )


def out_of_reach(case: Case) -> list[str]:
    """Radius: the plan's within the monkey's, the experiment's and the configuration's."""
    plan, found = case.plan, []
    allowed = {
        "the monkey's": plan.may_reach,
        "the experiment's": Radius.named(case.request.radius),
        "limits.radius": Radius.named(str(case.limits.get("radius", "zone"))),
    }
    for whose, radius in allowed.items():
        if plan.radius > radius:
            reach = plan.radius.name.lower()
            found.append(f"the plan reaches a {reach}; {whose} radius is {radius.name.lower()}; choose fewer targets")
    return found


def held(case: Case) -> list[str]:
    """Another run has its hands on a target: told by its name, whatever it has done to the target already."""
    return case.journal.in_the_way(case.request.run, [(fault.layer, fault.target) for fault in case.plan.faults])


def unfit_targets(case: Case) -> list[str]:
    """Targets that exist, opted in, are no instruments, not forbidden, and not hurt already."""
    found = []
    for fault in case.plan.faults:
        try:
            found += _unfit(case, fault)
        except LookupError as error:
            found.append(str(error.args[0]))
    return found


def _unfit(case: Case, fault: Fault) -> list[str]:
    """A link is as fit as its ends: whoever keeps a node out of it means what reaches it, too."""
    nodes = fault.places(case.topology)
    if fault.layer in ("node", "request"):
        case.topology.node(fault.target)
    found = [
        f"{name} is never to be hit (limits.never: {pattern})"
        for pattern in case.limits.get("never", [])
        for name in dict.fromkeys([fault.target, *(node.name for node in nodes)])
        if fnmatch.fnmatchcase(name, pattern)
    ]
    for node in nodes:
        if node.role == "instrument":
            found.append(f"{node.name} is an instrument, never a candidate")
        if not node.enabled:
            found.append(f"{node.name} has not opted in; label it simian.enabled=true")
        if node.production and case.limits.get("production") != "allowed":
            found.append(
                f"{node.name} is marked as production ({node.production}); "
                "nothing there is hit unless the operator's file says `limits: {production: allowed}`"
            )
        if node.name == fault.target and node.state != "running":
            found.append(f"{node.name} is {node.state} already; start it, or choose another")
    return found


def cannot_verify(case: Case) -> list[str]:
    """Data checks asked for that nobody here can make."""
    known = ", ".join(DATA_CHECKS)
    found = [f"verify: there is no {check!r}; there are: {known}" for check in case.request.verify
             if check not in DATA_CHECKS]  # fmt: skip
    if case.request.verify and not case.world.data.regions():
        found.append("verify: nobody here can look at the data; add a `data:` section to simian.yaml, or leave it out")
    return found


def no_headroom(case: Case) -> list[str]:
    """A saviour that cannot carry the users who would be moved to it."""
    return [] if case.request.force_headroom else why_too_full(case.world, case.plan.faults)


def not_as_agreed(case: Case) -> list[str]:
    """The system changed between the plan that was agreed to and now."""
    agreed = case.request.confirmed_plan_hash
    if agreed is None or agreed == case.plan.hash:
        return []
    return ["the plan is not the one agreed to, as the system has changed meanwhile; look at it again with --plan"]


LADDER: tuple[Callable[[Case], list[str]], ...] = (
    halted,
    closed,
    left_open,
    too_many,
    out_of_reach,
    held,
    unfit_targets,
    cannot_verify,
    no_headroom,
    not_as_agreed,
)


def climb(case: Case) -> list[str]:
    """Every reason at once why this run must not go ahead; an error inside a check is a reason."""
    reasons = []
    for rung in LADDER:
        try:
            reasons += rung(case)
        except (DriverError, JournalError, OSError) as error:
            reasons.append(f"{rung.__name__.replace('_', ' ')}: {error}")
    return reasons


def prepared(case: Case) -> Plan:
    """The plan with each fault prepared: what undo needs is read now. Raises ``Refused`` with every reason."""
    calls = [partial(fault.prepare, case.world) for fault in case.plan.faults]
    faults = iter(_all_or_refuse(case, calls))
    stages = tuple(replace(stage, faults=tuple(next(faults) for _ in stage.faults)) for stage in case.plan.stages)
    return replace(case.plan, stages=stages)


def controls(case: Case) -> list[Control]:
    """The positive controls, fault by fault. Raises ``Refused`` with every reason."""
    calls = [partial(fault.control, case.world, case.topology) for fault in case.plan.faults]
    return _all_or_refuse(case, calls)


def _all_or_refuse(case: Case, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    answers = case.hands.each(calls, deadline_s=DEADLINE_S)
    reasons = []
    for fault, done in zip(case.plan.faults, answers, strict=True):
        if isinstance(done.error, Refused):
            reasons += done.error.reasons
        elif done.error is not None:
            reasons.append(f"{fault.kind} of {fault.target}: {done.error}")
    if reasons:
        raise Refused(reasons)
    return [done.value for done in answers]
