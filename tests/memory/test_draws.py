"""The arithmetic under the users: draws, and how answers combine."""

import math
import statistics
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simian_filters.distribution import Distribution

from simian.histogram import Histogram
from simian.memory.answers import Answer, added, in_turn, points, split, thinned, within
from simian.memory.draws import binomial, bucket, multinomial, profile, times


@pytest.mark.parametrize(("n", "p"), [(10, 0.3), (200, 0.02), (1000, 0.5), (100_000, 0.9), (50, 0.95)])
def test_binomials_have_the_mean_and_spread_they_should(n: int, p: float) -> None:
    rng = Random(11)
    drawn = [binomial(rng, n, p) for _ in range(2_000)]
    deviation = math.sqrt(n * p * (1 - p))
    assert abs(statistics.fmean(drawn) - n * p) < 5 * deviation / math.sqrt(len(drawn)), "seed 11"
    assert statistics.stdev(drawn) == pytest.approx(deviation, rel=0.1), "seed 11"
    assert all(0 <= k <= n for k in drawn)


@given(st.integers(0, 5_000), st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30), st.integers(0, 1000))
def test_a_multinomial_gives_out_everything_and_nothing_twice(n: int, weights: list[float], seed: int) -> None:
    shares = [weight / sum(weights) for weight in weights]
    counts = multinomial(Random(seed), n, shares)
    assert sum(counts) == n
    assert min(counts) >= 0


def test_what_has_no_share_is_never_drawn() -> None:
    assert multinomial(Random(1), 1000, [0.0, 1.0, 0.0]) == [0, 1000, 0]
    assert multinomial(Random(1), 2, [0.0, 1.0, 0.0]) == [0, 2, 0]


@pytest.mark.parametrize("ms", [0.0005, 0.4, 3.0, 250.0, 2000.0])
def test_buckets_are_those_of_the_histogram(ms: float) -> None:
    assert [str(bucket(ms))] == list(Histogram.of([ms]).to_json())


@pytest.mark.parametrize("count", [0, 1, 63, 64, 1_000, 100_007])
def test_as_many_times_are_drawn_as_asked_for(count: int) -> None:
    delay = points((Distribution.parse("normal:30ms,5ms"),))
    drawn = times(Random(2), profile(3.0, 1.0, delay, 36.0), count)
    assert sum(k for _, k in drawn) == count
    late = sum(k for (_, in_time), k in drawn if not in_time)
    assert (count < 1_000) or 0.3 < late / count < 0.7, "about half are later than the mean of delay and work"


def test_the_next_is_tried_only_after_what_is_not_final() -> None:
    half = [Answer(0.5, 200, hops=("a",)), Answer(0.5, 503, hops=("a!",), errors=("status_503",))]
    found = {answer.hops: (answer.share, answer.status, answer.errors) for answer in in_turn([half, half])}
    assert found == {
        ("a",): (0.5, 200, ()),
        ("a!", "a"): (0.25, 200, ("status_503",)),
        ("a!", "a!"): (0.25, 503, ("status_503", "status_503")),
    }
    wrong = [Answer(1.0, 404, errors=("status_404",))]
    assert in_turn([wrong, half]) == wrong


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    answer = Answer(1.0, 200, base_ms=1.0, delay=(10.0, 20.0, 30.0, 40.0))
    kept = {a.status: a for a in within([answer], 25.0, Answer(1.0, 0, errors=("timeout",)))}
    assert kept[0].share == kept[200].share == 0.5
    assert kept[0].wait_ms == 25.0
    assert kept[200].delay == (10.0, 20.0)


def test_shares_are_kept_when_ways_to_fail_are_thinned() -> None:
    ways = [Answer(0.01 * (i % 7 + 1), 503, hops=(str(i),)) for i in range(40)]
    kept = thinned([*ways, Answer(0.5, 200)])
    assert len(kept) == 5
    assert sum(a.share for a in kept if not a.ok) == pytest.approx(sum(a.share for a in ways))


def test_the_sum_of_two_delays_has_the_sum_of_their_means() -> None:
    one, two = (points((Distribution.parse(text),)) for text in ("exponential:40ms", "uniform:10ms..30ms"))
    total = added(one, two)
    assert statistics.fmean(total) == pytest.approx(statistics.fmean(one) + statistics.fmean(two), rel=0.05)
    assert split(total, math.inf) == (0.0, total)
    assert split(total, 0.0)[0] == 1.0
