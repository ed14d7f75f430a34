"""The histogram against sorted lists of the same values."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simian.histogram import SMALLEST_MS, Histogram

milliseconds = st.floats(min_value=SMALLEST_MS, max_value=1e7)
shares = st.floats(min_value=0.0, max_value=1.0)


def true_quantile(values: list[float], q: float) -> float:
    """Nearest rank, from the values themselves."""
    return sorted(values)[max(1, math.ceil(round(q * len(values), 9))) - 1]


@settings(deadline=None)
@given(st.lists(milliseconds, min_size=1, max_size=300), shares)
def test_a_quantile_is_within_one_percent_of_the_sorted_list(values: list[float], q: float) -> None:
    assert Histogram.of(values).quantile(q) == pytest.approx(true_quantile(values, q), rel=0.01)


@settings(deadline=None)
@given(st.lists(milliseconds), st.lists(milliseconds))
def test_merging_equals_recording_all(some: list[float], more: list[float]) -> None:
    merged, other = Histogram.of(some), Histogram.of(more)
    merged.merge(other)
    assert merged == Histogram.of(some + more)
    assert merged.count == len(some) + len(more)
    assert other == Histogram.of(more)


@settings(deadline=None)
@given(st.lists(milliseconds))
def test_it_survives_json(values: list[float]) -> None:
    histogram = Histogram.of(values)
    again = Histogram.from_json(json.loads(json.dumps(histogram.to_json())))
    assert again == histogram
    assert again.count == histogram.count


def test_merging_with_itself_doubles_it() -> None:
    histogram = Histogram.of([1.0, 10.0])
    histogram.merge(histogram)
    assert histogram == Histogram.of([1.0, 10.0, 1.0, 10.0])


def test_ten_milliseconds_lie_in_the_bucket_the_wire_names() -> None:
    assert Histogram.of([10.0, 10.0]).to_json() == {"231": 2}


def test_nothing_recorded_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="nothing was recorded"):
        Histogram().quantile(0.5)


@pytest.mark.parametrize("ms", [-1.0, math.nan, math.inf])
def test_what_is_no_latency_is_refused(ms: float) -> None:
    with pytest.raises(ValueError, match="finite number of milliseconds"):
        Histogram().record(ms)


def test_zero_is_counted_as_a_microsecond() -> None:
    assert Histogram.of([0.0]).quantile(1.0) == pytest.approx(SMALLEST_MS, rel=0.01)


@pytest.mark.parametrize("buckets", [{"x": 1}, {"1": 0}, {"1": 1.5}, {"1": True}])
def test_buckets_that_nobody_wrote_are_refused(buckets: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Histogram.from_json(buckets)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_is_a_share(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Histogram.of([1.0]).quantile(q)
