"""What a run that moved users out of a region shows: when, what became of them, who carried them. Numbers only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simian.report.figures import Counted
from simian.report.model import Fault, Run, Second
from simian.report.picture import Axis

BEFORE = "before"
RETURN_S = 5.0  # caches that were away are cold, and this long everybody looks
_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Evacuation:
    """When what happened; None: it did not, or nobody can tell.

    ``hard``: the region went dark before its users were moved. ``began``: the first thing that was done. ``shifted``:
    the last shift. ``returning``: users are first sent home. ``returned``: the last of them.
    """

    left: str
    saviours: tuple[str, ...]
    hard: bool
    began: float
    shifted: float
    drained: float | None
    returning: float | None
    returned: float | None

    @property
    def moved(self) -> float | None:
        """When no user was in the region any more; when users came home if that was never so."""
        return self.drained or self.returning


def evacuation(run: Run) -> Evacuation | None:
    """Of a run that shifted users; None for others."""
    shifts = [fault for fault in run.injected if fault.kind == "shift" and fault.injected is not None]
    left = run.figures.left or next((region for fault in shifts for region in fault.losing), "")
    if not shifts or not left:
        return None
    saviours = run.figures.saviours or tuple(dict.fromkeys(region for fault in shifts for region in fault.gaining))
    first = min(_injected(shifts))
    harm = _injected([fault for fault in run.injected if fault.kind in _HARM])
    eased = [moment.at for moment in run.moments if moment.name == "eased"]
    undone = [fault.undone for fault in shifts if fault.undone is not None]
    every = len(undone) == len(shifts)
    return Evacuation(
        left=left,
        saviours=saviours,
        hard=bool(harm) and min(harm) < first,
        began=min([*_injected(run.injected), first]),
        shifted=max(_injected(shifts)),
        drained=_moment(run, "drained"),
        returning=min([*eased, *undone], default=None),
        returned=_moment(run, "returned") or (max(undone) if every else None),
    )


_HARM = ("kill", "crash", "stop", "pause")


def _injected(faults: Iterable[Fault]) -> list[float]:
    return [fault.injected for fault in faults if fault.injected is not None]


def _moment(run: Run, name: str) -> float | None:
    return max((moment.at for moment in run.moments if moment.name == name), default=None)


# --- users, stretch by stretch


@dataclass(frozen=True, slots=True)
class Stretch:
    """What all users saw in a stretch of time. ``worst``: the second in which most requests failed."""

    name: str
    took_s: float | None
    requests: int
    failed: int
    retried: int
    worst: float | None


def stretches(run: Run, away: Evacuation) -> list[Stretch]:
    """From the first blow to the end, without gap or overlap; a second belongs to the stretch that it began in."""
    first = "dark until moved" if away.hard else "moving away"
    starts = [
        (BEFORE, -_FOREVER),
        (first, away.began),
        ("away", away.drained),
        ("coming home", away.returning),
        ("home again", away.returned),
    ]
    known = [(name, at) for name, at in starts if at is not None]
    ends = [at for _, at in known[1:]] + [_FOREVER]
    apart: dict[str, list[Second]] = {name: [] for name, _ in known}
    for second in run.traffic:
        apart[_name_at(known, second)].append(second)
    found = [_stretch(name, at, end, apart[name]) for (name, at), end in zip(known, ends, strict=True)]
    return [each for each in found if each.requests]


def _name_at(known: Sequence[tuple[str, float]], second: Second) -> str:
    """The last one that began by then; the first blow takes the whole second in which it fell."""
    ends = second.at + second.seconds
    begun = [name for index, (name, at) in enumerate(known) if (ends > at if index == 1 else second.at >= at)]
    return begun[-1]


def _stretch(name: str, start: float, end: float, seconds: Sequence[Second]) -> Stretch:
    failed: dict[float, int] = {}
    for second in seconds:
        failed[second.at] = failed.get(second.at, 0) + second.failed
    worst = max(failed, key=lambda at: (failed[at], -at), default=None)
    took_s = end - start
    return Stretch(
        name=name,
        took_s=took_s if took_s < _FOREVER else None,
        requests=sum(second.ended for second in seconds),
        failed=sum(failed.values()),
        retried=sum(second.first_failed for second in seconds),
        worst=worst if worst is not None and failed[worst] else None,
    )


# --- who still arrived in the region that was left


@dataclass(frozen=True, slots=True)
class Drain:
    """Tries of users at the gateways of the region that was left, in one second, and what became of them.

    ``failed``: no answer, or one that was of no use (shed, an error). These are tries: a request of which one has
    failed here may have been answered elsewhere at the next.
    """

    at: float
    seconds: float
    arrived: int
    redirected: int = 0
    proxied: int = 0
    served: int = 0

    @property
    def failed(self) -> int:
        """All others."""
        return max(0, self.arrived - self.redirected - self.proxied - self.served)


def drain(run: Run, left: str) -> list[Drain]:
    """Second by second. Empty where arrivals were not counted."""
    ways: dict[float, list[int]] = {}
    for second in run.traffic:
        sums = ways.setdefault(second.at, [0, 0, 0])
        there = second.served.get(left, 0)
        away = sum(second.served.values()) - there
        # What was redirected or proxied *into* the region ended there, and is none of those who were sent away from it.
        gone = [min(second.ways.get(way, 0), away) for way in ("redirect", "isthmus")]
        for index, count in enumerate((*gone, there)):
            sums[index] += count
    return [_drain(each, ways.get(each.at, [0, 0, 0])) for each in run.arrivals if each.region == left]


def _drain(each: Counted, ways: Sequence[int]) -> Drain:
    """Of one second; no more became of the arrivals than arrived with an answer."""
    answered, shares = each.good, []
    for count in ways:
        shares.append(min(count, answered))
        answered -= shares[-1]
    return Drain(each.at, each.seconds, each.good + each.bad, *shares)


@dataclass(frozen=True, slots=True)
class Late:
    """Those who arrived in the region that was left after the last shift, until users were sent home again."""

    arrived: int
    redirected: int
    proxied: int
    served: int
    failed: int
    last: float | None  # the second of the last one


def late(away: Evacuation, seconds: Iterable[Drain]) -> Late:
    """Seconds that began after the last shift, so that nobody from before it is counted."""
    until = away.returning or _FOREVER
    after = [each for each in seconds if each.at >= away.shifted and each.at + each.seconds <= until and each.arrived]
    names = ("arrived", "redirected", "proxied", "served", "failed")
    return Late(
        **{name: sum(getattr(each, name) for each in after) for name in names},
        last=max((each.at for each in after), default=None),
    )


# --- who carried them, and with which caches


@dataclass(frozen=True, slots=True)
class Carried:
    """Requests a second that a saviour served. None: not seen, or not declared. ``peak_at``: the second of the most."""

    region: str
    before_rps: float | None
    away_rps: float | None
    peak_rps: float
    peak_at: float
    capacity_rps: float | None

    @property
    def used(self) -> float | None:
        """The share of the declared capacity that the fullest second took."""
        return self.peak_rps / self.capacity_rps if self.capacity_rps else None


def carried(run: Run, away: Evacuation) -> list[Carried]:
    """For each saviour that served anybody."""
    if not run.traffic:
        return []
    return [each for region in away.saviours for each in _carried(run, away, region)]


def _carried(run: Run, away: Evacuation, region: str) -> Iterable[Carried]:
    axis = Axis.by_second(run.traffic)
    rates = axis.rates(run.traffic, lambda second: second.served.get(region, 0))
    first, last = axis.column(away.began), axis.column(min(away.returned or _FOREVER, axis.end))
    during = {second: rates[second] for second in range(max(0, first), min(len(rates), last + 1))}
    peak = max(during, key=lambda second: (during[second], -second), default=0)
    if not during.get(peak):
        return
    start, end = away.moved or _FOREVER, away.returning or _FOREVER
    yield Carried(
        region=region,
        before_rps=_mean(run, region, -_FOREVER, away.began),
        away_rps=_mean(run, region, start, end),
        peak_rps=during[peak],
        peak_at=axis.start + peak,
        capacity_rps=run.figures.capacity_rps.get(region),
    )


def _mean(run: Run, region: str, start: float, end: float) -> float | None:
    """Requests per second that the region served in the slices that lie between these."""
    inside = [each for each in run.traffic if each.at >= start and each.at + each.seconds <= end]
    seconds = sum({each.at: each.seconds for each in inside}.values())
    return sum(each.served.get(region, 0) for each in inside) / seconds if seconds else None


WHEN_READ = (BEFORE, "while away", f"first {RETURN_S:g} s home", "after that")


def hit_rates(run: Run, away: Evacuation) -> dict[str, dict[str, float | None]]:
    """For each region the share of reads that its caches had, by ``WHEN_READ``; None: nothing was read."""
    sums: dict[str, dict[str, list[int]]] = {}
    for each in run.caches:
        name = _when_read(away, each)
        if name:
            hits = sums.setdefault(each.region, {}).setdefault(name, [0, 0])
            hits[0] += each.good
            hits[1] += each.good + each.bad
    return {region: {name: _share(found.get(name)) for name in WHEN_READ} for region, found in sorted(sums.items())}


def _when_read(away: Evacuation, each: Counted) -> str:
    if each.at + each.seconds <= away.began:
        return WHEN_READ[0]
    home = away.returning if away.returning is not None else _FOREVER
    if each.at + each.seconds <= home:
        return WHEN_READ[1] if each.at >= (away.moved or _FOREVER) else ""
    return WHEN_READ[2] if each.at < home + RETURN_S else WHEN_READ[3]


def _share(hits: Sequence[int] | None) -> float | None:
    return hits[0] / hits[1] if hits and hits[1] else None
