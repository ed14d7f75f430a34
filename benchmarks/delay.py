"""What was really held back against what was asked, beside Toxiproxy: seven distributions, and shares of requests.

    python benchmarks/delay.py [--rounds 5] [--json FILE] [--quick]

An echo server on loopback is asked over 50 kept connections: once it holds its answers back by simian's filter, once
Toxiproxy (toxiproxy-server on PATH) stands before it. KS is the Kolmogorov-Smirnov distance of 2,000 felt delays to
the distribution asked for; its p is the chance of at least that distance if the delays were drawn from it. Toxiproxy
draws evenly, in whole ms: it is given the distribution's mean, and its deviation for jitter, as its documentation has
it; one row more gives it the jitter by which even draws have the normal's deviation.
"""

import gc
import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from random import Random
from statistics import quantiles
from typing import NamedTuple

from felt import felt_ms
from peers import Goal, Report, compared, interleaved, run
from proxied import PROGRAM, REMEDY, latency
from simian_filters.distribution import Distribution
from simian_filters.rules import Rule, Rules

CONNECTIONS, EACH, QUICK_EACH = 50, 40, 4


class Asked(NamedTuple):
    """A distribution, and Toxiproxy's latency and jitter for it. ``jitter_ms`` is the deviation, where it has one."""

    text: str
    latency_ms: int
    jitter_ms: int
    drawn_by_peer: bool = False  # where it draws the same, nobody can be closer


ASKED = {
    "constant": Asked("constant:60ms", 60, 0, True),
    "uniform": Asked("uniform:50ms..150ms", 100, 50, True),  # half the width, as Toxiproxy takes it
    "normal": Asked("normal:100ms,20ms", 100, 20),
    "normal, jitter fitted": Asked("normal:100ms,20ms", 100, round(20 * math.sqrt(3)), True),
    "exponential": Asked("exponential:80ms", 80, 80),
    "pareto": Asked("pareto:min=100ms,alpha=2.5", 167, 149),
    "lognormal": Asked("lognormal:p50=80ms,p99=400ms", 102, 80),
    "empirical": Asked("empirical:[20,20,20,40,80,160]", 57, 51),
}
SHARES = (0.001, 0.01, 0.1, 0.5)
HELD_MS, HIT_FROM_MS = 60.0, 45.0  # a request that is hit; from here on it is taken for one
FAIR = 2.576  # standard deviations: the 99 % interval
NEAR_MS = 5.0  # a delay of a few possible values counts as the one it is so near to
CLOSER = Goal(0.25)
TIMERS = "Timers end up to a ms late, and a ms is the more of a distance the steeper a distribution is."
LIKELY = Goal(0.01, most=False, of="ours", why=TIMERS)
Felt = list[list[float]]  # ms of each exchange, of each round


def rules_of(share: float, delay: str, seed: int) -> Rules:
    """One rule, as a run puts it."""
    rules = Rules()
    rules.put(Rule(mark="bench", side="server", share=share, seed=seed, delay=delay, expires_in_s=600.0))
    return rules


def distance(taken_ms: Sequence[float], asked: Distribution) -> float:
    """Kolmogorov-Smirnov, on either side of every step, so that it holds for a few possible values, too."""
    worst = below = 0.0
    for value, same in groupby(sorted(taken_ms)):
        upto = below + len(list(same)) / len(taken_ms)
        less = 1 - asked.exceeds(math.nextafter(value, -math.inf))
        worst = max(worst, abs(below - less), abs(upto - (1 - asked.exceeds(value))))
        below = upto
    return worst


def chance(worst: float, count: int) -> float:
    """p of that distance, by Kolmogorov's series with Stephens' correction; too careful where values are few."""
    scaled = (math.sqrt(count) + 0.12 + 0.11 / math.sqrt(count)) * worst
    if scaled < 0.2:
        return 1.0
    return min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)))


def near(taken_ms: Sequence[float], asked: Distribution) -> list[float]:
    """For few possible values: each delay as the value it is near to. A timer is never exact, and need not be."""
    if asked.kind not in ("constant", "empirical"):
        return list(taken_ms)
    values = [min(set(asked.parameters), key=lambda value: abs(value - ms)) for ms in taken_ms]
    return [value if abs(value - ms) <= NEAR_MS else ms for value, ms in zip(values, taken_ms, strict=True)]


class Pair:
    """Ours and, where its program is, Toxiproxy, asked for the same and measured in turns."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._each = QUICK_EACH if report.quick else EACH
        self._program = report.program(PROGRAM, REMEDY, "--version")

    def felt(self, share: float, delay: str, latency_ms: int, jitter_ms: int) -> tuple[Felt, Felt | None]:
        """What ours and the peer held back, a list for each round."""
        seeds = Random(f"{share} {delay}")

        def ours() -> list[float]:
            return felt_ms(rules_of(share, delay, seeds.getrandbits(32)), CONNECTIONS, self._each)

        def peer() -> list[float]:
            between = partial(latency, str(self._program), share, latency_ms, jitter_ms)
            return felt_ms(Rules(), CONNECTIONS, self._each, between)

        taken = interleaved(self.report.rounds, ours, *([peer] if self._program else []))
        return taken[0], taken[1] if self._program else None


def each_round(value: Callable[[list[float]], float], peer: Felt | None) -> list[float] | None:
    """A value of every round, where there are any."""
    return peer and [value(taken) for taken in peer]


def distances(pair: Pair) -> None:
    """A row or two for each distribution."""
    for name, asked in ASKED.items():
        wanted = Distribution.parse(asked.text)
        ours, peer = pair.felt(1.0, asked.text, asked.latency_ms, asked.jitter_ms)

        def ks(taken: list[float], wanted: Distribution = wanted) -> float:
            return distance(near(taken, wanted), wanted)

        far = [ks(taken) for taken in ours]
        goal = None if asked.drawn_by_peer else CLOSER
        pair.report.rows.append(compared(f"{name}: KS distance", "", far, each_round(ks, peer), "Toxiproxy", goal))
        likely = [chance(value, len(taken)) for value, taken in zip(far, ours, strict=True)]
        pair.report.rows.append(compared(f"{name}: p of that distance", "", likely, None, "", LIKELY))
        if name == "constant":
            errors(pair.report, wanted.mean_ms, ours, peer)


def errors(report: Report, asked_ms: float, ours: Felt, peer: Felt | None) -> None:
    """How much longer than asked for, round trip and all."""
    for what, rank, goal_ms in (("p50", 49, 1.0), ("p99", 98, 5.0)):

        def error_ms(taken: list[float], rank: int = rank) -> float:
            return quantiles(taken, n=100, method="inclusive")[rank] - asked_ms

        mine = [error_ms(taken) for taken in ours]
        goal = Goal(goal_ms, of="ours")
        row = compared(f"constant: felt beyond it, {what}", "ms", mine, each_round(error_ms, peer), "Toxiproxy", goal)
        report.rows.append(row)


def deviations(taken_ms: list[float], share: float) -> float:
    """How far the requests that were hit are from the share, in the standard deviations of a fair die."""
    hit = sum(ms >= HIT_FROM_MS for ms in taken_ms)
    count = len(taken_ms)
    return abs(hit - count * share) / math.sqrt(count * share * (1 - share))


def shares(pair: Pair) -> None:
    """A row for each share."""
    for share in SHARES:
        ours, peer = pair.felt(share, f"constant:{HELD_MS:g}ms", round(HELD_MS), 0)
        off = partial(deviations, share=share)
        what = f"{100 * share:g} % of the requests of kept connections, off by deviations"
        mine = [off(taken) for taken in ours]
        pair.report.rows.append(compared(what, "", mine, each_round(off, peer), "Toxiproxy", Goal(FAIR, of="ours")))


def measure(report: Report) -> None:
    """Distributions, then shares."""
    gc.collect()
    gc.freeze()  # a collection would be felt as a delay
    pair = Pair(report)
    distances(pair)
    shares(pair)
    gc.unfreeze()


if __name__ == "__main__":
    run("delay", __doc__, measure)
