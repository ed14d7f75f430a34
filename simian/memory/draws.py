"""Drawing counts and latencies: exact for few requests, by the normal approximation for many."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import NamedTuple

from simian.histogram import GROWTH, SMALLEST_MS
from simian.memory.answers import Delays

_EXACT_BELOW = 30.0
_NOISE_POINTS = 64
_SPREAD = 0.35  # of the logarithm of a service's own time
_LUMPS = 8  # what many requests do not share out evenly comes in so many lumps
_PER_LOG = 1 / math.log(GROWTH)


def _noise() -> tuple[float, ...]:
    from statistics import NormalDist

    normal = NormalDist(0.0, _SPREAD)
    return tuple(math.exp(normal.inv_cdf((i + 0.5) / _NOISE_POINTS)) for i in range(_NOISE_POINTS))


NOISE = _noise()


def bucket(ms: float) -> int:
    """The index of the histogram's bucket that holds this latency."""
    return math.floor(math.log(max(ms, SMALLEST_MS)) * _PER_LOG)


def binomial(rng: Random, n: int, p: float) -> int:
    """How many of ``n`` are hit, each with probability ``p``."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(rng, n, 1 - p)
    if n * p < _EXACT_BELOW:
        return _by_gaps(rng, n, p)
    drawn = rng.gauss(n * p, math.sqrt(n * p * (1 - p)))
    return min(n, max(0, round(drawn)))


def _by_gaps(rng: Random, n: int, p: float) -> int:
    """Jump from hit to hit: the gaps between them are geometric."""
    hits, at, log_miss = 0, 0, math.log1p(-p)
    while True:
        at += int(math.log(1 - rng.random()) / log_miss) + 1
        if at > n:
            return hits
        hits += 1


def multinomial(rng: Random, n: int, shares: Sequence[float]) -> list[int]:
    """How many of ``n`` fall to each; the shares need not sum to 1 exactly."""
    if n < len(shares):
        picked = Counter(rng.choices(range(len(shares)), cum_weights=list(accumulate(shares)), k=n) if n else [])
        return [picked[index] for index in range(len(shares))]
    counts, left, mass = [], n, sum(shares)
    for share in shares:
        count = binomial(rng, left, share / mass) if mass > share else left
        counts.append(count)
        left, mass = left - count, mass - share
    counts[-1] += left
    return counts


class Profile(NamedTuple):
    """How long an answer takes: equally likely histogram buckets, and the share that comes by the deadline.

    ``points``: (bucket, in time) each; ``spread``: the same, equal ones counted.
    """

    points: tuple[tuple[int, bool], ...]
    spread: tuple[tuple[tuple[int, bool], int], ...]


@lru_cache(maxsize=8192)
def profile(base_ms: float, wait_ms: float, delay: Delays, deadline_ms: float) -> Profile:
    """The profile of an answer's times; what is later than the deadline ends there."""
    many = max(len(NOISE), len(delay)) * (4 if delay else 1)
    points = []
    for i in range(many):
        # 37 has no divisor in common with the number of points, so that noise and delay meet in many combinations.
        ms = base_ms * NOISE[i * 37 % len(NOISE)] + wait_ms + (delay[i * 11 // 4 % len(delay)] if delay else 0.0)
        points.append((bucket(min(ms, deadline_ms)), ms <= deadline_ms))
    return Profile(tuple(points), tuple(sorted(Counter(points).items())))


def times(rng: Random, seen: Profile, count: int) -> list[tuple[tuple[int, bool], int]]:
    """``count`` times drawn from a profile, as ((bucket, in time), how many). Many are spread evenly."""
    many, die = len(seen.points), rng.random
    if count < many:
        return [(seen.points[int(die() * many)], 1) for _ in range(count)]
    each, rest = divmod(count, many)
    found = [(point, each * k) for point, k in seen.spread]
    portion = max(1, rest // _LUMPS)
    return found + [(seen.points[int(die() * many)], min(portion, rest - i)) for i in range(0, rest, portion)]
