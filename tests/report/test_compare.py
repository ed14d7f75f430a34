"""Two runs side by side: steady state, recovery time, weaknesses, plan."""

import json
from typing import Any

import pytest

from simian.errors import UsageError
from simian.report import render_comparison
from simian.report.compare import compare
from simian.report.model import read

from . import evacuations, records


def told(first: records.Record, second: records.Record, format: str = "text") -> str:
    return " ".join(render_comparison(first, second, format, width=140).split())


def test_what_held_and_broke_is_the_first_sentence() -> None:
    words = told(records.held_gorilla(), records.broken_chaos())
    assert "WORSE streams start held, and broke in the second run." in words
    assert "streams start worse >= 99.9 % 100 % 69.12 % 100 % 100 %" in words
    assert "latency same <= 3 x baseline / <= 5 x baseline 14.1 37.7 9.39 9.4" in words
    assert "first tries first only >= 90 % 97.12 % - 100 % -" in words
    back = told(records.broken_chaos(), records.held_gorilla())
    assert "BETTER streams start broke, and held in the second run." in back


def test_weaknesses_are_new_gone_or_still_there() -> None:
    assert "New: - streams start: 69.12 %" in told(records.held_gorilla(), records.broken_chaos())
    assert "Gone: - streams start: 69.12 %" in told(records.broken_chaos(), records.held_gorilla())
    assert "Still there: - streams start: 69.12 %" in told(records.broken_chaos(), records.broken_chaos())
    assert "None in either run." in told(records.held_gorilla(), records.held_gorilla())


def test_times_of_recovery_stand_beside_each_other() -> None:
    words = told(evacuations.planned_kong(), evacuations.hard_kong())
    assert "Until east was empty: 8.0 s, after 21 s." in words
    assert "until east was empty 21 s 8.0 s -12.9 s" in words
    assert "coming home 9.0 s 9.2 s +0.2 s" in words
    assert "data of west agreed 0.9 s - -" in told(evacuations.split_brain(), evacuations.torn_brain())


def test_plans_that_differ_are_told_apart_and_equal_ones_in_a_line() -> None:
    words = told(records.held_gorilla(), records.held_gorilla() | {"run": "again"})
    assert "The same in both: plan 90ab6b1fb2d34c77, topology 5f0cbb6f2c1e9a41." in words
    assert "SAME Both runs were held." in words
    words = told(evacuations.planned_kong(), evacuations.hard_kong())
    assert "The plans were not the same: seed and option hard differ." in words
    words = told(records.held_gorilla(), records.broken_chaos())
    assert "Only in the second: blow: kill members-east-b." in words


PAIRS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"recovery": "stuck"}, "worse"),
    ({"verdict": "unknown"}, {}, "unclear"),
    ({}, {"verdict": "broken", "steady_state": []}, "worse"),
    ({"verdict": "broken"}, {"verdict": "broken"}, "same"),
]


@pytest.mark.parametrize(("first", "second", "change"), PAIRS)
def test_the_change_is_that_of_the_verdicts(first: dict[str, Any], second: dict[str, Any], change: str) -> None:
    runs = [read(records.held_gorilla() | other) for other in (first, second)]
    assert compare(*runs).change == change
    document = json.loads(render_comparison(*(records.held_gorilla() | other for other in (first, second)), "json"))
    assert document["change"] == change


def test_both_broken_with_other_checks_is_a_change_of_its_own() -> None:
    first, second = records.broken_chaos(), records.broken_chaos()
    first["steady_state"][1]["verdict"], first["steady_state"][0]["verdict"] = "broken", "held"
    assert compare(read(first), read(second)).change == "changed"
    assert "streams start held and broke; latency broke and held." in told(first, second)


def test_json_is_one_document_of_all_of_it() -> None:
    document = json.loads(render_comparison(records.held_gorilla(), records.broken_chaos(), "json"))
    assert list(document) == ["first", "second", "change", "steady_state", "recovery_s", "weaknesses", "plan"]
    assert document["first"]["run"] == "k7f3m2qa9d"
    assert document["weaknesses"] == {"new": ["streams start"], "gone": [], "still": []}
    assert document["plan"]["same"] is False
    assert {"what": "seed", "first": 7, "second": 2026} in document["plan"]["differs"]


def test_runs_of_which_nothing_is_known_can_be_compared() -> None:
    bare = {"run": "b4re", "outcome": "refused", "verdict": "unknown", "recovery": "clean"}
    for format in ("text", "md", "json", "html"):
        assert "b4re" in render_comparison(bare, bare, format)


def test_a_comparison_is_no_test_suite() -> None:
    with pytest.raises(UsageError, match="no form as 'junit'"):
        render_comparison(records.held_gorilla(), records.held_gorilla(), "junit")


def test_markup_in_either_run_is_text() -> None:
    evil = records.broken_chaos() | {"experiment": "<img src=x>", "system": "<b>\x1b[2J"}
    assert "<img" not in render_comparison(evil, evil, "html")
    assert "\x1b" not in render_comparison(evil, evil, "text")
    assert r"\<img src=x\>" in render_comparison(evil, evil, "md")
