"""The digest of a week: what got worse first, then who ran, what it cost, what nobody measured."""

import json
from typing import Any

import pytest

from simian.errors import UsageError
from simian.report import render_week
from simian.report.digest import read_week

from . import weeks
from .weeks import a_week, before, past


def told(week: dict[str, Any], format: str = "text") -> str:
    return " ".join(render_week(week, format, system="shop").split())


def of(*runs: dict[str, Any], known: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return a_week() | {"runs": list(runs), "before": known or []}


def test_it_opens_with_what_held_before_and_broke_since() -> None:
    words = told(a_week())
    assert words.startswith("shop: 14 Nov 2026 to 21 Nov 2026 from 14 Nov 2026, 10:00:00")
    assert "WORSE chaos held before and broke this week. gorilla had broken before and held this week." in words
    assert (
        "- chaos: held last on 14 Nov 2026, run aaa1; broke on 15 Nov 2026, 22:00:00, run aaa4 (streams start:" in words
    )
    worse, better = words.index("What got worse"), words.index("What got better")
    assert worse < words.index("- chaos: held last on") < better < words.index("- gorilla: broke last on")
    assert "- gorilla: broke last on 13 Nov 2026, run older; holds since 14 Nov 2026, 22:00:00, run aaa2" in words


def test_runs_are_counted_by_monkey_and_by_how_they_ended() -> None:
    words = told(a_week())
    assert "monkey runs held broken unknown refused leashed held of judged" in words
    assert "chaos 4 1 2 0 0 1 33.33 %" in words
    assert "gorilla 2 2 0 0 0 0 100 %" in words
    assert "latency 2 1 0 1 0 0 100 %" in words
    assert "split-brain 1 0 0 0 1 0 -" in words
    assert "all 10 5 2 1 1 1 71.43 %" in words


def test_the_budget_is_that_of_all_runs_and_names_what_was_not_counted() -> None:
    words = told(a_week())
    assert "east 42,000 1,080 11 s 4.17 %" in words  # 1,080 at 100 a second, of 259.2 s
    assert "In 1 run nobody counted what users saw." in words
    assert "- users' requests were not counted in aaa9: no budget of theirs" in words
    assert "- 1 run could not be judged: aaa5" in words
    assert "- latency could not be judged in 1 run" in words
    assert "- 1 run was refused, so that nothing was touched: aaa6" in words


def test_weaknesses_are_told_once_with_where_to_look() -> None:
    assert "streams start 2 91 % of stream starts succeeded aaa7 look at the deadline of gateways" in told(a_week())


ENDS = [
    (of(), "QUIET Nothing was run this week, so nothing was learned."),
    (of(past("a", "chaos", 1)), "HELD In the one run that was judged, users were served within tolerance."),
    (of(past("a", "chaos", 1), past("b", "kong", 2)), "HELD In all 2 runs that were judged, users were served"),
    (of(past("a", "chaos", 1, "unknown")), "UNKNOWN 1 run, and none of them could be judged."),
    (of(past("a", "chaos", 1, "broken")), "BROKEN 0 of 1 judged run held; what broke had broken before or was new."),
    (of(past("a", "chaos", 1, "broken"), known=[before("chaos", "broken")]), "BROKEN 0 of 1 judged run held"),
    (of(past("a", "chaos", 1, "broken"), known=[before("chaos", "held")]), "WORSE chaos held before and broke"),
    (
        of(past("a", "chaos", 1, recovery="stuck")),
        "STUCK Not everything was put back in a: see 'simian recover'. In the one run that was judged",
    ),
]


@pytest.mark.parametrize(("week", "right"), ENDS, ids=[right[:24] for _, right in ENDS])
def test_the_first_line_fits_the_week(week: dict[str, Any], right: str) -> None:
    assert right in told(week)


def test_what_broke_and_held_again_within_the_week_is_neither_worse_nor_better() -> None:
    week = of(past("a", "chaos", 1, "broken"), past("b", "chaos", 2), known=[before("chaos", "held")])
    assert read_week(week).worse == ()
    assert read_week(week).better == ()
    assert "HELD" not in told(week).split("WORSE")[0].split("BROKEN")[0]


def test_an_experiment_is_judged_by_itself_and_counted_with_its_monkey() -> None:
    week = of(
        past("a", "chaos", 1, "broken", experiment="a node is lost"),
        past("b", "chaos", 2),
        known=[before("chaos", "held", "a node is lost"), before("chaos", "held")],
    )
    assert [turn.kind for turn in read_week(week).worse] == ["a node is lost"]
    assert "chaos 2 1 1 0 0 50 %" in told(week)


def test_json_is_one_document() -> None:
    document = json.loads(render_week(a_week(), "json"))
    assert document["since"] == "2026-11-14T10:00:00Z"
    assert document["monkeys"][0] == {
        "monkey": "chaos", "runs": 4, "held": 1, "broken": 2, "unknown": 0, "refused": 0, "leashed": 1,
    }  # fmt: skip
    assert document["worse"] == [{"what": "chaos", "run": "aaa4", "held": "14 Nov 2026, run aaa1"}]
    assert document["unmeasured"] == {"users": ["aaa9"], "verdict": ["aaa5"]}


def test_a_week_is_no_test_suite() -> None:
    with pytest.raises(UsageError, match="no form as 'junit'; choose one of text, md, json, html"):
        render_week(a_week(), "junit")


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_every_line_fits_the_terminal(width: int) -> None:
    lines = render_week(a_week(), width=width, system="shop").splitlines()
    assert all(len(line) <= width for line in lines if not line.startswith("  simian "))


def test_the_picture_has_a_sign_for_each_run_on_its_day() -> None:
    lines = render_week(a_week(), width=100).splitlines()
    row = next(line for line in lines if line.startswith("  chaos ") and "✗" in line)
    assert row.split() == ["chaos", "■", "✗", "✗", "·"]
    assert "■ held  ✗ broken  ? unknown  - refused  · leashed" in "\n".join(lines)


def test_many_runs_on_a_day_are_counted_and_not_all_drawn() -> None:
    week = of(*(past(f"r{n}", "chaos", 1 + n / 1000) for n in range(200)))
    page = render_week(week, "html")
    assert ">+" in page
    assert len(page) < 100_000
    assert "and 140 before these" in page


def test_a_monkey_with_markup_for_a_name_is_text_in_each_format() -> None:
    evil = "<img src=x onerror=y>\x1b[2J"
    week = of(past("a", evil, 1, weaknesses=[weeks.WEAK | {"check": evil}]))
    assert "<img" not in render_week(week, "html")
    assert r"\<img src=x onerror=y\>" in render_week(week, "md")
    assert "\x1b" not in "".join(render_week(week, format) for format in ("text", "md", "html", "json"))
