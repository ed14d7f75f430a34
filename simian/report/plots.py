"""The charts of a run: traffic by region, success, latency, checks, and who still arrived where users had left."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from simian.histogram import Histogram
from simian.report.evacuation import drain, evacuation
from simian.report.lanes import faults, phases
from simian.report.model import Check, Run, Second
from simian.report.picture import Axis
from simian.report.plot import Limit, Plot, Series, Value
from simian.report.weekbefore import told_before
from simian.report.words import count, listed, percent, span
from simian.tolerance import Tolerance

Drawn = Callable[[int], Plot]  # columns at most -> the plot


def axis_of(run: Run, columns: int) -> Axis:
    """Over all that was measured of the run."""
    starts = [second.at for second in run.traffic] or [reading.at for reading in run.readings]
    ends = [second.at + second.seconds for second in run.traffic] or [reading.at + 1.0 for reading in run.readings]
    return Axis(min(starts), max(ends), columns)


def regions_of(run: Run) -> list[str]:
    """Regions that served or have users, in order; each keeps its colour in all charts."""
    return sorted({name for second in run.traffic for name in (*second.served, second.home)} - {""})


def look_of(run: Run, region: str) -> str:
    """The class of a region's line."""
    names = regions_of(run)
    return f"r{names.index(region) % 6}" if region in names else "all"


def traffic_plot(run: Run, columns: int) -> Plot:
    """Requests served per second by each region, with the faults over it; needs traffic."""
    axis = axis_of(run, columns)
    regions = regions_of(run)
    served = [
        Series(name, axis.rates(run.traffic, partial(_served, name)), look_of(run, name), labelled=True)
        for name in regions
    ]
    every = [Series("all regions", axis.rates(run.traffic, _all_served), "all")] if len(regions) > 1 else []
    hurt = [
        Series(name, values, look, filled=look == "failed", sparse=True)
        for name, number, look in (("another try", _retried, "retried"), ("failed", _failed, "failed"))
        if any(values := axis.rates(run.traffic, number))
    ]
    return Plot(
        title="Requests served per second, by region",
        about=_about_traffic(run, served),
        unit="rate",
        axis=axis,
        series=[*every, *_before(run, axis), *served, *hurt],
        notes=[told_before(run)],
        **_over(run),
    )


def _over(run: Run) -> dict[str, Any]:
    return {"phases": phases(run), "faults": faults(run), "harm": run.harm}


def _before(run: Run, axis: Axis) -> list[Series]:
    """All traffic of the week before, where history has it; nothing where its run had not begun or was over."""
    before = run.week_before
    if before is None or not before.traffic:
        return []
    first = min(second.at for second in before.traffic)
    last = max(second.at + second.seconds for second in before.traffic)
    rates = axis.rates(before.traffic, _all_served)
    known = [rate if _covers(axis, column, first, last) else None for column, rate in enumerate(rates)]
    return [Series("all regions, a week before", known, "week")]


def _covers(axis: Axis, column: int, first: float, last: float) -> bool:
    """Whether the whole of a column lies between these; a twentieth of a second is nobody's fault."""
    begins = axis.start + column * axis.step
    return first <= begins + 0.05 and min(begins + axis.step, axis.end) <= last + 0.05


def _about_traffic(run: Run, served: Sequence[Series]) -> str:
    ranges = [f"{each.name} from {min(_known(each)):.0f} to {max(_known(each)):.0f}" for each in served]
    failed = sum(second.failed for second in run.traffic)
    told = f"Requests served per second: {listed(ranges)}; {count(failed, 'request')} failed."
    return f"{told} {_about_faults(run)}"


def _known(series: Series) -> list[float]:
    return [value for value in series.values if value is not None] or [0.0]


def _about_faults(run: Run) -> str:
    if run.harm is None:
        return "No fault was in place."
    until = f" for {span(run.harm[1] - run.harm[0])}" if run.harm[1] != float("inf") else ", and not all were undone"
    return f"{count(len(run.injected), 'fault')} {'was' if len(run.injected) == 1 else 'were'} in place{until}."


def _served(region: str, second: Second) -> int:
    return second.served.get(region, 0)


def _all_served(second: Second) -> int:
    return sum(second.served.values())


def _retried(second: Second) -> int:
    return max(0, second.first_failed - second.failed)


def _failed(second: Second) -> int:
    return second.failed


# --- the steady state


def steady_plots(run: Run) -> list[tuple[str, Drawn]]:
    """Name and chart of what users saw and of each check that has readings of its own."""
    drawn: list[tuple[str, Drawn]] = []
    if run.traffic:
        drawn += [("success", partial(success_plot, run)), ("latency", partial(latency_plot, run))]
    own = [check for check in run.checks if any(r.check == check.name and r.value is not None for r in run.readings)]
    return drawn + [(f"check-{number}", partial(check_plot, run, check)) for number, check in enumerate(own, 1)]


def success_plot(run: Run, columns: int) -> Plot:
    """The share of requests that succeeded, by home of the users, beside what the checks of it must keep."""
    axis = axis_of(run, columns)
    series = [Series(home, _shares(run, axis, home), look_of(run, home), labelled=True) for home in _homes(run)]
    return _steady(run, axis, series, "Requests that succeeded, by home region of the users", "share", "success_share")


def latency_plot(run: Run, columns: int) -> Plot:
    """The latency that 99 % of requests did not exceed, by home of the users, beside what its checks must keep."""
    axis = axis_of(run, columns)
    series = [Series(home, _p99s(run, axis, home), look_of(run, home), labelled=True) for home in _homes(run)]
    return _steady(run, axis, series, "Latency that 99 % of requests stayed within, by home region", "ms", "p99_ms")


def check_plot(run: Run, check: Check, columns: int) -> Plot:
    """The readings of a check with a probe of its own; a column has the last one in it."""
    axis = axis_of(run, columns)
    values: list[Value] = [None] * axis.columns
    for reading in run.readings:
        if reading.check == check.name and 0 <= (column := axis.column(reading.at)) < axis.columns:
            values[column] = reading.value
    limits = list(_limits(check))
    series = [Series(check.name, values, "r0")]
    about = f"Readings of {check.name}, which must be {check.tolerance}: {check.verdict}. {_about_faults(run)}"
    return Plot(f"{check.name}: must be {check.tolerance}", about, "plain", axis, series, limits, **_over(run))


def _homes(run: Run) -> list[str]:
    return sorted({second.home for second in run.traffic})


def _steady(run: Run, axis: Axis, series: Sequence[Series], title: str, unit: str, metric: str) -> Plot:
    checks = [check for check in run.checks if check.metric == metric]
    limits = [limit for check in checks for limit in _limits(check)]
    kinds = [f"{check.name} is judged of requests of kind {check.kind} only" for check in checks if check.kind]
    must = [f"{check.name} must be {check.tolerance} and {_was(check)}" for check in checks]
    about = f"{title}: {listed([_range(each, unit) for each in series])}. {'; '.join(must)}{'. ' if must else ''}"
    return Plot(title, about + _about_faults(run), unit, axis, series, limits, notes=kinds, **_over(run))  # type: ignore[arg-type]


def _was(check: Check) -> str:
    return {"held": "held", "broken": "did not hold"}.get(check.verdict, "could not be judged")


def _range(series: Series, unit: str) -> str:
    least, most = min(_known(series)), max(_known(series))
    told = (percent(least), percent(most)) if unit == "share" else (f"{least:.3g} ms", f"{most:.3g} ms")
    return f"{series.name} from {told[0]} to {told[1]}"


def _limits(check: Check) -> Iterator[Limit]:
    """What it must keep, and its baseline."""
    baseline = check.baseline if isinstance(check.baseline, int | float) else None
    try:
        tolerance = Tolerance.parse(check.tolerance)
    except ValueError:  # words of somebody's own check
        return
    value = tolerance.limit(baseline)
    if value is not None:
        bad = {">": "below", "<": "above"}.get(tolerance.op[0], "")
        yield Limit(f"{check.name} {check.tolerance}", value, bad)  # type: ignore[arg-type]
    if baseline is not None:
        yield Limit("baseline", float(baseline))


def _shares(run: Run, axis: Axis, home: str) -> list[Value]:
    return _success(axis, [second for second in run.traffic if second.home == home])


def _p99s(run: Run, axis: Axis, home: str) -> list[Value]:
    """A slice counts where it began, and until the next one begins: a quantile cannot be spread."""
    merged: dict[int, Histogram] = {}
    for second in run.traffic:
        if second.home == home:
            first, last = axis.column(second.at), axis.column(second.at + second.seconds - 0.001)
            for column in range(max(0, first), min(axis.columns, max(first, last) + 1)):
                merged.setdefault(column, Histogram()).merge(second.latency)
    return [_p99(merged.get(column)) for column in range(axis.columns)]


def _p99(latency: Histogram | None) -> Value:
    return latency.quantile(0.99) if latency is not None and latency.count else None


# --- the drain

_MOVES = ("shift", "failover_mode", "misrouted")  # the others say nothing of who arrives


def drain_plot(run: Run, columns: int) -> Plot | None:
    """Tries at the gateways of the region that was left, by what became of them; None where nobody left or counted."""
    away = evacuation(run)
    seconds = drain(run, away.left) if away else []
    if away is None or not seconds or not run.traffic:
        return None
    axis = axis_of(run, columns)
    parts: Iterable[tuple[str, str]] = (("served", "r0"), ("redirected", "r1"), ("proxied", "r2"), ("failed", "failed"))
    series = [
        Series(f"{name} there" if name == "served" else name, values, look, name == "failed", name == "failed")
        for name, look in parts
        if any(values := axis.rates(seconds, lambda each, name=name: getattr(each, name)))  # type: ignore[misc]
    ]
    arrived = Series("arrived", axis.rates(seconds, lambda each: each.arrived), "week")
    ends = [(away.shifted, "last shift"), (away.drained, "drained"), (away.returning, "first sent home")]
    about = f"Tries of users at the gateways of {away.left} per second, from {max(_known(arrived)):.0f} at most. "
    return Plot(
        title=f"Users who still arrived in {away.left}, tries per second",
        about=about + _about_faults(run),
        unit="rate",
        axis=axis,
        series=[arrived, *series],
        marks=[(at, name) for at, name in ends if at is not None],
        phases=phases(run),
        faults=faults(run, _MOVES),
        harm=run.harm,
    )


# --- two runs


def success_beside(first: Run, second: Run, columns: int) -> Plot:
    """The share of all requests that succeeded in two runs, as if the first blow of both had fallen at once.

    Times on the axis are those since the beginning: an hour is 01:00:00.
    """
    before_s = max(_until_blow(run) for run in (first, second))
    moved = [[replace(each, at=each.at - _blow(run) + before_s) for each in run.traffic] for run in (first, second)]
    end = max(each.at + each.seconds for rows in moved for each in rows)
    axis = Axis(0.0, end, columns)
    series = [
        Series(f"{name}: {run.run}", _success(axis, rows), look)
        for name, run, rows, look in zip(("first", "second"), (first, second), moved, ("r0", "r1"), strict=True)
    ]
    about = f"Of all users, {listed([_range(each, 'share') for each in series])} succeeded."
    harms = [run.harm[1] - run.harm[0] + before_s for run in (first, second) if run.harm and run.harm[1] < float("inf")]
    harm = (before_s, max(harms)) if harms else None
    marks = [(before_s, "first blow of both")] if harm else []
    return Plot("Requests of all users that succeeded", about, "share", axis, series, harm=harm, marks=marks)


def _blow(run: Run) -> float:
    return run.harm[0] if run.harm else min(each.at for each in run.traffic)


def _until_blow(run: Run) -> float:
    return max(0.0, _blow(run) - min(each.at for each in run.traffic))


def _success(axis: Axis, rows: Sequence[Second]) -> list[Value]:
    ended, failed = axis.rates(rows, lambda each: each.ended), axis.rates(rows, _failed)
    return [1.0 - bad / every if every else None for every, bad in zip(ended, failed, strict=True)]
