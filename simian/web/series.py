"""What a run's charts show, as columns of numbers over one axis of time."""

from collections.abc import Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from simian.histogram import Histogram
from simian.report.evacuation import drain, evacuation
from simian.report.model import Check, Run, Second
from simian.report.picture import Axis
from simian.tolerance import Tolerance

MOST_COLUMNS = 600
_MARKED = ("baseline", "inject", "observe", "recover", "verify")


def series_of(run: Run) -> dict[str, Any]:
    """``at`` (epoch seconds), and as many numbers in each of the others; null where nothing was counted.

    ``served``, ``failed``, ``retried``: requests a second; ``success``: a share; ``p50``, ``p99``: milliseconds.
    ``limits``: what success and the slowest requests must keep; null where no check says so.
    """
    if not run.traffic:
        return {"at": [], **_marks(run)}
    axis = _axis(run.traffic)
    regions = sorted({region for second in run.traffic for region in second.served})
    served = {region: axis.rates(run.traffic, partial(_served, region)) for region in regions}
    ended = axis.rates(run.traffic, lambda each: each.ended)
    failed = axis.rates(run.traffic, lambda each: each.failed)
    return {
        "at": [axis.start + column * axis.step for column in range(axis.columns)],
        "step_s": axis.step,
        "served": {region: _rounded(rates) for region, rates in served.items()},
        "failed": _rounded(failed),
        "retried": _rounded(axis.rates(run.traffic, lambda each: each.first_failed)),
        "success": [1 - bad / all_ if all_ else None for all_, bad in zip(ended, failed, strict=True)],
        **_latency(axis, run.traffic),
        "baseline": _baseline(run),
        "limits": {"success": _limit(run.checks, "success_share"), "latency": _limit(run.checks, "p99_ms")},
        "drain": _drain(axis, run),
        **_marks(run),
    }


def _served(region: str, second: Second) -> int:
    return second.served.get(region, 0)


def _axis(traffic: Sequence[Second]) -> Axis:
    return Axis(min(each.at for each in traffic), max(each.at + each.seconds for each in traffic), MOST_COLUMNS)


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 3) for value in values]


def _latency(axis: Axis, traffic: Iterable[Second]) -> dict[str, list[float | None]]:
    columns = [Histogram() for _ in range(axis.columns)]
    for second in traffic:
        column = axis.column(second.at)
        if 0 <= column < axis.columns:
            columns[column].merge(second.latency)
    return {
        name: [round(each.quantile(share), 3) if each.count else None for each in columns]
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def _baseline(run: Run) -> dict[str, float | None]:
    """What was usual before the first blow."""
    harm = run.harm
    before = [each for each in run.traffic if harm is None or each.at + each.seconds <= harm[0]]
    latency = Histogram()
    for each in before:
        latency.merge(each.latency)
    ended = sum(each.ended for each in before)
    return {
        "success": 1 - sum(each.failed for each in before) / ended if ended else None,
        "p50": latency.quantile(0.5) if latency.count else None,
        "p99": latency.quantile(0.99) if latency.count else None,
    }


def _limit(checks: Iterable[Check], metric: str) -> dict[str, Any] | None:
    """What the curve must keep: of the check of that number, of all requests rather than of one kind of them."""
    for check in sorted((each for each in checks if each.metric == metric), key=lambda each: each.kind):
        baseline = check.baseline if isinstance(check.baseline, int | float) else None
        try:
            value = Tolerance.parse(check.tolerance).limit(baseline)
        except ValueError:  # words of somebody's own
            continue
        if value is not None:
            return {"check": check.name, "text": check.tolerance, "value": value}
    return None


def _drain(axis: Axis, run: Run) -> dict[str, Any] | None:
    """Who still arrived in the region that was left, a second; null for a run that moved nobody."""
    away = evacuation(run)
    seconds = drain(run, away.left) if away else []
    if away is None or not seconds:
        return None
    names = ("arrived", "redirected", "proxied", "served", "failed")
    curves = {name: _rounded(axis.rates(seconds, attrgetter(name))) for name in names}
    return {"region": away.left, **curves}


def _marks(run: Run) -> dict[str, Any]:
    return {
        "phases": [
            {"name": phase.name, "from": phase.started, "to": phase.ended}
            for phase in run.phases
            if phase.name in _MARKED and phase.started is not None
        ],
        "faults": [
            {"id": fault.id, "name": fault.name, "from": fault.injected, "to": fault.undone, "state": fault.state}
            for fault in run.injected
            if fault.injected is not None
        ],
        "moments": [{"at": moment.at, "name": moment.name, "region": moment.region} for moment in run.moments],
        "tolerances": [{"check": check.name, "tolerance": check.tolerance} for check in run.checks],
    }
