"""What users saw, before, during and after the harm."""

from random import Random

import pytest

from simian.histogram import Histogram
from simian.report.model import Run, Second, read
from simian.report.picture import blocks, picture
from simian.report.users import users, when

from . import records


def run_with(*rows: records.Record, **other: object) -> Run:
    return read(records.held_gorilla() | {"traffic": list(rows)} | other)


def row(offset_s: float, **other: object) -> records.Record:
    return records.traffic(Random(1), 1)[0] | {"at": records.START + offset_s} | other


@pytest.mark.parametrize(
    ("offset_s", "right"),
    [(0.0, "before"), (14.2, "before"), (14.3, "during"), (15.2, "during"), (46.6, "during"), (46.7, "after")],
)
def test_a_second_that_overlaps_the_harm_belongs_to_it(offset_s: float, right: str) -> None:
    run = run_with(row(offset_s))  # injected at 15.21, recovered at 46.7
    assert when(run, run.traffic[0]) == right


def test_while_a_fault_is_stuck_the_harm_has_no_end() -> None:
    run = read(records.stuck_latency())
    assert users(run).all["after"].requests == 0


def test_without_a_fault_everything_is_before() -> None:
    seen = users(read(records.leashed_chaos()))
    assert seen.all["before"].requests > 0
    assert seen.all["during"].requests == 0
    assert seen.all["during"].p99_ms is None


def test_a_quantile_over_many_seconds_is_that_of_all_their_requests() -> None:
    slow, quick = Histogram.of([100.0] * 10), Histogram.of([1.0] * 990)
    run = run_with(row(0, latency=slow.to_json()), row(1, latency=quick.to_json()))
    seen = users(run).homes["east"]["before"]
    assert seen.p99_ms == pytest.approx(1.0, rel=0.01)
    assert seen.p50_ms == pytest.approx(1.0, rel=0.01)


def test_requests_served_in_another_region_are_counted_as_elsewhere() -> None:
    seen = users(run_with(row(0, served={"east": 7, "west": 3}, ended=10))).homes["east"]["before"]
    assert (seen.requests, seen.elsewhere) == (10, 3)


def test_the_worst_second_is_the_one_with_most_failures_then_most_second_tries() -> None:
    rows = [row(1, first_failed=50), row(2, failed=1, first_failed=2), row(3, failed=1, first_failed=9)]
    worst = users(run_with(*rows)).worst
    assert isinstance(worst, Second)
    assert worst.at == records.START + 3
    assert users(run_with(row(1))).worst is None


@pytest.mark.parametrize(
    ("values", "right"), [([0, 1, 4, 8], " ▁▄█"), ([], ""), ([0, 0], "  "), ([0.01, 8], "▁█"), ([9], "█")]
)
def test_blocks_show_the_least_bit_and_nothing_as_nothing(values: list[float], right: str) -> None:
    assert blocks(values, 8) == right


def test_a_long_slice_is_spread_over_the_columns_it_covers() -> None:
    rows = [row(0, served={"east": 40}), row(1, seconds=4.0, served={"east": 80}), row(5, served={"east": 40})]
    lines = picture(run_with(*rows), 60)
    assert lines[0].split() == ["east", "█▄▄▄▄█"]


def test_a_run_of_a_day_has_columns_of_many_seconds() -> None:
    rows = [row(minute * 60.0, seconds=60.0, served={"east": 600}) for minute in range(1440)]
    lines = picture(run_with(*rows), 80)
    assert set(lines[0].split()[1]) == {"█"}
    assert "each column 30 min from" in lines[-1]
    assert "a full block is 10 requests a second" in lines[-1]
