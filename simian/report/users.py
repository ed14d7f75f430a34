"""What users saw: by home region, before the harm, during it, and after."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from simian.histogram import Histogram
from simian.report.model import Run, Second

When = Literal["before", "during", "after"]
WHEN: tuple[When, ...] = ("before", "during", "after")


@dataclass(frozen=True, slots=True)
class Seen:
    """Sums over a stretch of time; ``elsewhere``: served outside the home region. Latencies None: nothing ended."""

    requests: int = 0
    failed: int = 0
    retried: int = 0
    shed: int = 0
    elsewhere: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Users:
    """``homes``: for each home region what its users saw when. ``all``: the same over all homes."""

    homes: dict[str, dict[When, Seen]]
    all: dict[When, Seen]
    worst: Second | None  # the second with most failures, else most second tries; None: neither


def users(run: Run) -> Users:
    """The sums over a run's traffic."""
    homes = sorted({second.home for second in run.traffic})
    return Users(
        {home: _by_time(run, [second for second in run.traffic if second.home == home]) for home in homes},
        _by_time(run, run.traffic),
        _worst(run.traffic),
    )


def when(run: Run, second: Second) -> When:
    """A second that overlaps the harm belongs to it."""
    if run.harm is None or second.at + second.seconds <= run.harm[0]:
        return "before"
    return "during" if second.at < run.harm[1] else "after"


def _by_time(run: Run, traffic: Iterable[Second]) -> dict[When, Seen]:
    apart: dict[When, list[Second]] = {name: [] for name in WHEN}
    for second in traffic:
        apart[when(run, second)].append(second)
    return {name: _sum(seconds) for name, seconds in apart.items()}


def _sum(seconds: list[Second]) -> Seen:
    latency = Histogram()
    for second in seconds:
        latency.merge(second.latency)
    return Seen(
        requests=sum(second.ended for second in seconds),
        failed=sum(second.failed for second in seconds),
        retried=sum(second.first_failed for second in seconds),
        shed=sum(second.shed for second in seconds),
        elsewhere=sum(_elsewhere(second) for second in seconds),
        p50_ms=latency.quantile(0.5) if latency.count else None,
        p99_ms=latency.quantile(0.99) if latency.count else None,
    )


def _elsewhere(second: Second) -> int:
    return sum(number for region, number in second.served.items() if region != second.home)


def _worst(traffic: Iterable[Second]) -> Second | None:
    hurt = [second for second in traffic if second.failed or second.first_failed]
    return max(hurt, key=lambda second: (second.failed, second.first_failed, -second.at), default=None)
