"""Two runs side by side, as values: what changed in steady state, recovery time, weaknesses and plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simian.report.evacuation import evacuation
from simian.report.model import Check, Run, Weakness

Change = Literal["better", "worse", "same", "unclear", "changed"]
_RANK = {"held": 0, "broken": 1}


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing in both runs; None where a run has none of it."""

    name: str
    first: Any
    second: Any

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return bool(self.first == self.second)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the second run shows beside the first. ``times_s``: seconds; ``plan``: what may differ in it."""

    first: Run
    second: Run
    change: Change
    checks: Sequence[Pair]
    times_s: Sequence[Pair]
    plan: Sequence[Pair]
    new: Sequence[Weakness]
    gone: Sequence[Weakness]
    still: Sequence[Weakness]

    @property
    def same_plan(self) -> bool:
        """Whether both did the same to the same system."""
        return all(pair.same for pair in self.plan)


def compare(first: Run, second: Run) -> Comparison:
    """The second run beside the first."""
    had, has = ({each.check: each for each in run.weaknesses} for run in (first, second))
    new = [each for name, each in has.items() if name not in had]
    gone = [each for name, each in had.items() if name not in has]
    checks = list(_checks(first, second))
    return Comparison(
        first=first,
        second=second,
        change=_change(first, second, checks),
        checks=checks,
        times_s=list(_times(first, second)),
        plan=list(_plan(first, second)),
        new=new,
        gone=gone,
        still=[each for name, each in has.items() if name in had],
    )


def changed(first: Check | None, second: Check | None) -> Change:
    """How a check fared; unclear where one of them could not be judged."""
    return _by_verdict(first.verdict if first else "", second.verdict if second else "")


def _by_verdict(first: str, second: str) -> Change:
    if first not in _RANK or second not in _RANK:
        return "unclear"
    step = _RANK[second] - _RANK[first]
    return "worse" if step > 0 else "better" if step < 0 else "same"


def _change(first: Run, second: Run, checks: Sequence[Pair]) -> Change:
    """By verdicts; where both broke, by which checks did."""
    if second.recovery == "stuck" != first.recovery:
        return "worse"
    told = _by_verdict(first.verdict, second.verdict)
    if told != "same":
        return told
    found = {changed(pair.first, pair.second) for pair in checks} & {"better", "worse"}
    return "changed" if len(found) == 2 else next(iter(found), "same")


def _checks(first: Run, second: Run) -> Iterator[Pair]:
    had, has = ({check.name: check for check in run.checks} for run in (first, second))
    for name in dict.fromkeys([*had, *has]):
        yield Pair(name, had.get(name), has.get(name))


def _times(first: Run, second: Run) -> Iterator[Pair]:
    had, has = (dict(_times_of(run)) for run in (first, second))
    for name in dict.fromkeys([*had, *has]):
        yield Pair(name, had.get(name), has.get(name))


def _times_of(run: Run) -> Iterator[tuple[str, float]]:
    """What can be called a time of recovery in this run; nothing of one in which nothing was broken."""
    if run.harm is None:
        return
    for name, phase in (("putting back", run.phase("recover")), ("steady again", run.phase("verify"))):
        if phase and phase.seconds is not None:
            yield name, phase.seconds
    if run.harm[1] != float("inf"):
        yield "from the first blow to the last undo", run.harm[1] - run.harm[0]
    away = evacuation(run)
    if away and away.drained is not None:
        yield f"until {away.left} was empty", away.drained - away.began
    if away and away.returning is not None and away.returned is not None:
        yield "coming home", away.returned - away.returning
    for region, seconds in (run.figures.data.converged_s if run.figures.data else {}).items():
        if seconds is not None:
            yield f"data of {region} agreed", seconds


def _plan(first: Run, second: Run) -> Iterator[Pair]:
    for name in ("plan_hash", "topology_hash", "seed", "monkey", "experiment", "for_s", "simian"):
        yield Pair(name, getattr(first, name), getattr(second, name))
    for name in dict.fromkeys([*first.options, *second.options]):
        yield Pair(f"option {name}", first.options.get(name), second.options.get(name))
    had, has = ([f"{stage.name}: {fault}" for stage in run.stages for fault in stage.faults] for run in (first, second))
    yield Pair("faults", tuple(had), tuple(has))


def to_json(told: Comparison) -> dict[str, Any]:
    """The document of ``simian compare --json``."""
    return {
        "first": _facts(told.first),
        "second": _facts(told.second),
        "change": told.change,
        "steady_state": [
            {
                "check": pair.name,
                "change": changed(pair.first, pair.second),
                "first": _check(pair.first),
                "second": _check(pair.second),
            }
            for pair in told.checks
        ],
        "recovery_s": [_pair(pair) for pair in told.times_s],
        "weaknesses": {name: [each.check for each in getattr(told, name)] for name in ("new", "gone", "still")},
        "plan": {"same": told.same_plan, "differs": [_pair(pair) for pair in told.plan if not pair.same]},
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {"what": pair.name, "first": pair.first, "second": pair.second}


def _facts(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ("run", "monkey", "outcome", "verdict", "recovery", "seed")}


def _check(check: Check | None) -> dict[str, Any] | None:
    names = ("verdict", "tolerance", "baseline", "during", "after")
    return None if check is None else {name: getattr(check, name) for name in names}
