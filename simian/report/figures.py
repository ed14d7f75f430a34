"""What a record tells of regions and data beside traffic: arrivals, caches, moments, backlogs, figures. All clean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simian.report.clean import plain

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted in a region in one slice of time: tries with an answer and without, or cache hits and misses."""

    at: float
    seconds: float
    region: str
    good: int
    bad: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: ``drained``, in ``region``; ``detail`` for people."""

    at: float
    name: str
    region: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much data was waiting where, by name such as ``hints store-east-a``."""

    at: float
    waiting: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Example:
    """One key that is not as it should be: the value it should have, those it has, and where."""

    key: str
    wanted: str
    found: str
    where: str


@dataclass(frozen=True, slots=True)
class Found:
    """Keys with one thing wrong."""

    count: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """What became of what was written. ``converged_s``: by region, None: not within ``bound_s``."""

    keys: int
    acknowledged: int
    unanswered: int
    wrong: Mapping[str, Found]  # lost, stale, conflicting
    converged_s: Mapping[str, float | None]
    bound_s: float | None

    @property
    def compared(self) -> bool:
        """Whether it could be read: when nothing is wrong, all regions have converged."""
        return any(found.count for found in self.wrong.values()) or None not in self.converged_s.values()


@dataclass(frozen=True, slots=True)
class Counter:
    """The counter whose growth is the run's exposure: its probe, and how far it went with the faults in place."""

    probe: str
    first: float | None
    last: float | None
    readings: int


@dataclass(frozen=True, slots=True)
class Figures:
    """``left``: the region that was evacuated; ``saviours``: who took its users. Empty where nobody was moved.

    ``counter``: None where users' requests were counted.
    """

    left: str = ""
    saviours: tuple[str, ...] = ()
    capacity_rps: Mapping[str, float] = field(default_factory=dict)
    data: Data | None = None
    counter: Counter | None = None


WRONG = ("lost", "stale", "conflicting")


def read_figures(item: Item) -> Figures:
    """Of the record's ``figures``, which may be empty."""
    data = item.get("data")
    return Figures(
        left=plain(item.get("left") or ""),
        saviours=tuple(plain(region) for region in item.get("saviours") or ()),
        capacity_rps={plain(region): float(rps) for region, rps in (item.get("capacity_rps") or {}).items()},
        data=_data(data) if data else None,
        counter=_counter(item["exposure"]) if item.get("exposure") else None,
    )


def _counter(item: Item) -> Counter:
    first, last = (None if item.get(key) is None else float(item[key]) for key in ("from", "to"))
    return Counter(plain(item.get("counter") or ""), first, last, int(item.get("readings") or 0))


def _data(item: Item) -> Data:
    converged = (item.get("converged_s") or {}).items()
    bound_s = item.get("bound_s")
    return Data(
        **{name: int(item.get(name) or 0) for name in ("keys", "acknowledged", "unanswered")},
        wrong={name: _found(item.get(name) or {}) for name in WRONG},
        converged_s={plain(region): None if after_s is None else float(after_s) for region, after_s in converged},
        bound_s=None if bound_s is None else float(bound_s),
    )


def _found(item: Item) -> Found:
    examples = [[plain(example.get(key)) for key in Example.__slots__] for example in item.get("examples") or ()]
    return Found(int(item.get("count") or 0), tuple(Example(*texts) for texts in examples))


def read_counted(item: Item, good: str, bad: str) -> Counted:
    """One of ``arrivals`` (answered, unanswered) or ``caches`` (hits, misses)."""
    counts = (int(item.get(name) or 0) for name in (good, bad))
    return Counted(float(item["at"]), float(item.get("seconds") or 1.0), plain(item.get("region") or ""), *counts)


def read_moment(item: Item) -> Moment:
    """One of ``moments``."""
    return Moment(float(item["at"]), *(plain(item.get(key) or "") for key in ("name", "region", "detail")))


def read_waiting(item: Item) -> Waiting:
    """One of ``backlog``."""
    waiting = (item.get("waiting") or {}).items()
    return Waiting(float(item["at"]), {plain(name): int(number) for name, number in waiting})


def fault_name(kind: str, target: str, fields: Item) -> str:
    """``kill members-east-a``; ``shift east -> 75 % east, 25 % west``. ``fields``: the fault as JSON."""
    told = f"{plain(kind)} {plain(target)}"
    if kind == "shift" and fields.get("to_shares"):
        return f"{told} -> {told_shares(fields['to_shares'], target)}"
    if kind == "failover_mode" and fields.get("homes"):
        return f"{told} for users of {', '.join(plain(home) for home in fields['homes'])}"
    return f"{told} by {plain(fields['mode'])}" if kind == "misrouted" and fields.get("mode") else told


def told_shares(row: Mapping[str, Any], home: str = "") -> str:
    """``75 % east, 25 % west``: ``home`` first, so that steps can be read one below the other; no share of nothing."""
    shares = {plain(region): float(share) for region, share in row.items()}
    ordered = sorted(shares, key=lambda region: (region != plain(home), region))
    return ", ".join(f"{shares[region] * 100:.4g} % {region}" for region in ordered if shares[region] > 0)


def regions_moved(fields: Item) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Regions that a shift takes users from, and those it sends them to; both empty for other faults."""
    was, will = fields.get("from_shares") or {}, fields.get("to_shares") or {}
    rise = {region: float(will.get(region, 0.0)) - float(was.get(region, 0.0)) for region in {**was, **will}}
    losing, gaining = ([plain(region) for region in rise if rise[region] * sign > 0] for sign in (-1, 1))
    return tuple(losing), tuple(gaining)
