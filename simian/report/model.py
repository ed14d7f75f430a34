"""A typed view of a run's record: the one model that every format is made from.

All text in it is clean (``simian.report.clean``), all times are seconds since the epoch. What a record does not have is
empty here, so that a run that was refused in its first second can be reported as well as one that lasted a day.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simian.errors import UsageError
from simian.histogram import Histogram
from simian.report.clean import plain
from simian.report.figures import (
    Counted,
    Figures,
    Moment,
    Waiting,
    fault_name,
    read_counted,
    read_figures,
    read_moment,
    read_waiting,
    regions_moved,
    told_shares,
)
from simian.report.words import epoch_s

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of the run's life."""

    name: str
    started: float | None
    ended: float | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while unknown."""
        return None if self.started is None or self.ended is None else self.ended - self.started


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as the run left it: ``kill members-east-a`` is its name.

    ``proven``: its evidence held (None: not taken). ``exposure``: None: unknown. Of a shift: the regions ``losing``
    and ``gaining`` users, and ``back``, the shares it started from.
    """

    id: int
    name: str
    kind: str
    target: str
    stage: str
    state: str
    injected: float | None = None
    undone: float | None = None
    proven: bool | None = None
    before: str = ""
    seen: str = ""
    exposure: int | None = None
    error: str = ""
    mend: str = ""
    losing: tuple[str, ...] = ()
    gaining: tuple[str, ...] = ()
    back: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the steady state. ``silent``: readings without an answer.

    ``metric``: which of the users' numbers it judges, ``success_share`` and the like, of one ``kind`` of requests or
    all (empty); empty for a check that has a probe of its own.
    """

    name: str
    verdict: str
    tolerance: str
    baseline: Any = None
    during: Any = None
    after: Any = None
    readings: int = 0
    silent: int = 0
    metric: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the probe of a check read; None: no answer, or no number."""

    check: str
    at: float
    value: float | None


@dataclass(frozen=True, slots=True)
class Weakness:
    """What a broken verdict revealed."""

    check: str
    seen: str
    where: str
    hint: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the plan and the names of its faults."""

    name: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Second:
    """What the users of one home region saw in one slice of time (a second as a rule)."""

    at: float
    seconds: float
    home: str
    served: Mapping[str, int]
    ended: int
    failed: int
    first_failed: int
    shed: int
    latency: Histogram
    ways: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeekBefore:
    """Of a run of the same system a week before: its ``traffic`` moved to times of this one; it ``started`` then.

    ``late_s``: it began so much later in its day. ``together``: too much, so that both are drawn from their beginning.
    """

    run: str
    started: float
    late_s: float
    together: bool
    traffic: tuple[Second, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run, whole."""

    run: str
    outcome: str
    verdict: str
    recovery: str
    monkey: str = ""
    experiment: str = ""
    system: str = ""
    hypothesis: str = ""
    note: str = ""
    simian: str = ""
    plan_hash: str = ""
    topology_hash: str = ""
    seed: int | None = None
    for_s: float | None = None
    started: float | None = None
    ended: float | None = None
    exposure_assumed: bool = False
    leashed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    stages: tuple[Stage, ...] = ()
    faults: tuple[Fault, ...] = ()
    checks: tuple[Check, ...] = ()
    weaknesses: tuple[Weakness, ...] = ()
    traffic: tuple[Second, ...] = ()
    arrivals: tuple[Counted, ...] = ()  # tries of users at gateways, by their region
    caches: tuple[Counted, ...] = ()
    moments: tuple[Moment, ...] = ()
    backlog: tuple[Waiting, ...] = ()
    readings: tuple[Reading, ...] = ()
    figures: Figures = field(default_factory=Figures)
    week_before: WeekBefore | None = None  # None: history has none, or was not asked

    @property
    def what(self) -> str:
        """The monkey's or the experiment's name."""
        return self.experiment or self.monkey or "run"

    @property
    def injected(self) -> tuple[Fault, ...]:
        """The faults that reached the world, or may have."""
        return tuple(fault for fault in self.faults if fault.injected is not None or fault.state in _IN_PLACE)

    @property
    def stuck(self) -> tuple[Fault, ...]:
        """The faults that may still be in place."""
        return tuple(fault for fault in self.faults if fault.state in _IN_PLACE)

    def phase(self, name: str) -> Phase | None:
        """The last phase of that name."""
        return next((phase for phase in reversed(self.phases) if phase.name == name), None)

    @property
    def harm(self) -> tuple[float, float] | None:
        """From the first injection to the end of recovery (without end while a fault is stuck); None: no harm."""
        starts = [fault.injected for fault in self.injected if fault.injected is not None]
        if not starts:
            return None
        if self.stuck:
            return min(starts), float("inf")
        recover = self.phase("recover")
        ends = [fault.undone for fault in self.faults] + [recover.ended if recover else None]
        return min(starts), max((end for end in ends if end is not None), default=float("inf"))


_IN_PLACE = ("injected", "stuck", "doubtful")
_FACTS = ("run", "outcome", "verdict", "recovery")
_TEXTS = (*_FACTS, "monkey", "experiment", "system", "hypothesis", "note", "simian", "plan_hash", "topology_hash")


def read(record: Record) -> Run:
    """The model of a record. Raises UsageError for something that is no record of a run."""
    missing = [key for key in _FACTS if not isinstance(record.get(key), str)]
    if missing:
        raise UsageError(f"this is no record of a run: it lacks {', '.join(missing)}; see 'simian history'")
    try:
        return _run(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"the record of run {plain(record['run'])} is damaged: {type(error).__name__} {plain(error)}"
        raise UsageError(f"{problem}; try '--format json', which shows it as it is") from error


def _run(record: Record) -> Run:
    texts: dict[str, Any] = {key: _text(record, key) for key in _TEXTS}
    return Run(
        **texts,
        seed=record.get("seed"),
        for_s=record.get("for_s"),
        started=epoch_s(record.get("started")),
        ended=epoch_s(record.get("ended")),
        exposure_assumed=bool(record.get("exposure_assumed")),
        leashed=bool(record.get("leashed")),
        options={plain(key): value for key, value in (record.get("options") or {}).items()},
        reasons=tuple(plain(reason) for reason in _items(record, "reasons")),
        notes=tuple(plain(note) for note in _items(record, "notes")),
        phases=tuple(_phase(item) for item in _items(record, "phases")),
        stages=tuple(_stage(item) for item in _items(record.get("plan") or {}, "stages")),
        faults=tuple(_fault(item) for item in _items(record, "faults")),
        checks=tuple(_checks(record)),
        weaknesses=tuple(_weakness(item) for item in _items(record, "weaknesses")),
        traffic=tuple(read_second(item) for item in _items(record, "traffic")),
        arrivals=tuple(read_counted(item, "answered", "unanswered") for item in _items(record, "arrivals")),
        caches=tuple(read_counted(item, "hits", "misses") for item in _items(record, "caches")),
        moments=tuple(read_moment(item) for item in _items(record, "moments")),
        backlog=tuple(read_waiting(item) for item in _items(record, "backlog")),
        readings=tuple(_reading(item) for item in _items(record, "readings")),
        figures=read_figures(record.get("figures") or {}),
    )


def _text(item: Record, key: str) -> str:
    value = item.get(key)
    return "" if value is None else plain(value)


def _items(item: Record, key: str) -> Iterable[Any]:
    return item.get(key) or ()


def _phase(item: Record) -> Phase:
    return Phase(_text(item, "phase"), epoch_s(item.get("started")), epoch_s(item.get("ended")))


def _stage(item: Record) -> Stage:
    faults = (fault_name(_text(fault, "kind"), _text(fault, "target"), fault) for fault in _items(item, "faults"))
    return Stage(_text(item, "name"), tuple(faults))


def _fault(item: Record) -> Fault:
    evidence, fields = item.get("evidence") or {}, item.get("fields") or {}
    kind, target = _text(item, "kind"), _text(item, "target")
    losing, gaining = regions_moved(fields)
    return Fault(
        id=int(item.get("id") or 0),
        name=fault_name(kind, target, fields),
        kind=kind,
        target=target,
        stage=_text(item, "stage"),
        state=_text(item, "state"),
        injected=epoch_s(item.get("injected")),
        undone=epoch_s(item.get("undone")),
        proven=evidence.get("held"),
        before=_text(evidence, "before"),
        seen=_text(evidence, "seen"),
        exposure=item.get("exposure"),
        error=_text(item, "error"),
        mend=_text(item, "mend"),
        losing=losing,
        gaining=gaining,
        back=told_shares(fields.get("from_shares") or {}, target),
    )


def _checks(record: Record) -> Iterable[Check]:
    silent: dict[str, int] = {}
    for reading in _items(record, "readings"):
        if reading.get("silent"):
            silent[reading["check"]] = silent.get(reading["check"], 0) + 1
    for item in _items(record, "steady_state"):
        values = {key: _value(item.get(key)) for key in ("baseline", "during", "after")}
        yield Check(
            _text(item, "check"),
            _text(item, "verdict"),
            _text(item, "tolerance"),
            **values,
            readings=int(item.get("readings") or 0),
            silent=silent.get(item.get("check", ""), 0),
            metric=_text(item, "users"),
            kind=_text(item, "kind"),
        )


def _reading(item: Record) -> Reading:
    value = item.get("value")
    number = float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    return Reading(_text(item, "check"), float(item["at"]), number)


def _value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else plain(value)


def _weakness(item: Record) -> Weakness:
    return Weakness(*(_text(item, key) for key in ("check", "seen", "where", "hint")))


def read_second(item: Record) -> Second:
    """One of ``traffic``."""
    return Second(
        at=float(item["at"]),
        seconds=float(item.get("seconds") or 1.0),
        home=_text(item, "home"),
        served={plain(region): int(number) for region, number in (item.get("served") or {}).items()},
        ended=int(item.get("ended") or 0),
        failed=int(item.get("failed") or 0),
        first_failed=int(item.get("first_failed") or 0),
        shed=int(item.get("shed") or 0),
        latency=Histogram.from_json(item.get("latency") or {}),
        ways={plain(way): int(number) for way, number in (item.get("ways") or {}).items()},
    )
