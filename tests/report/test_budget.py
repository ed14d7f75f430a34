"""The error budget: what of 99.99 % over 30 days a run has spent, by the users' home."""

import pytest

from simian.report import render
from simian.report.budget import ALLOWED_S, Spent, spent
from simian.report.model import read

from . import records


def test_30_days_at_9999_allow_259_seconds_of_nothing() -> None:
    assert pytest.approx(259.2) == ALLOWED_S


def test_failed_requests_are_told_as_time_in_which_nobody_was_served() -> None:
    one = Spent("east", requests=3000, failed=200, seconds=30.0)
    assert one.outage_s == pytest.approx(2.0)
    assert one.share == pytest.approx(2.0 / 259.2)


def test_a_home_that_asked_for_nothing_spent_nothing() -> None:
    assert Spent("east", 0, 0, 30.0).share == 0.0


def test_what_failed_before_the_first_blow_is_not_the_runs() -> None:
    record = records.broken_chaos()
    record["traffic"][0] |= {"failed": 50}
    assert [(one.home, one.failed) for one in spent(read(record))] == [("east", 230), ("west", 0)]


def test_the_report_tells_it_for_each_region() -> None:
    words = " ".join(render(records.broken_chaos()).split())
    assert "99.99 % over 30 days allow 4 min 19 s without an answer; this run spent east 0.88 % of that." in words
    assert "east 3,312 230 2.3 s 0.88 % 112 more such runs" in words
    assert "this run spent nothing of that" in " ".join(render(records.held_gorilla()).split())


def test_a_run_of_which_nobody_counted_users_says_so() -> None:
    assert "Not measured: nobody counted users' requests" in render(records.held_gorilla() | {"traffic": []}, width=200)


def test_a_run_that_did_nothing_has_no_budget_to_tell_of() -> None:
    assert "Error budget" not in render(records.leashed_chaos())
    assert "Error budget" not in render(records.refused_latency())


def test_more_than_all_of_it_leaves_room_for_no_other_run() -> None:
    record = records.broken_chaos()
    for row in record["traffic"]:
        row |= {"failed": row["ended"], "seconds": 60.0}
    assert "0 more such runs" in render(record, width=200)
