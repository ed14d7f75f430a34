"""Markdown and JSON."""

import json
import math
import re

import pytest

from simian.report import render
from simian.report.clean import no_formula
from simian.report.words import count, listed, measured, milliseconds, percent, span

from . import evacuations, records

CONTRACT = [
    "run", "monkey", "experiment", "seed", "outcome", "verdict", "recovery", "reasons", "started", "ended",
    "topology_hash", "plan_hash", "phases", "faults", "steady_state", "weaknesses",
]  # fmt: skip


ALL = {**records.ALL, **evacuations.ALL}


@pytest.mark.parametrize("name", ALL)
def test_json_is_one_document_with_the_contracts_keys_first_and_nothing_lost(name: str) -> None:
    record = ALL[name]()
    document = render(record, "json")
    assert document.endswith("\n")
    assert document.count("\n") == 1
    told = json.loads(document)
    assert list(told)[: len(CONTRACT)] == CONTRACT
    assert told == json.loads(json.dumps(record))


def test_json_has_every_key_of_the_contract_even_for_a_run_that_hardly_was() -> None:
    told = json.loads(render({"run": "a"}, "json"))
    assert list(told) == CONTRACT
    assert told["faults"] == []
    assert told["ended"] is None


def test_json_has_no_number_that_json_does_not_have() -> None:
    record = records.held_gorilla() | {"x": [math.nan, {"y": math.inf}]}
    told = json.loads(render(record, "json"), parse_constant=lambda word: pytest.fail(word))
    assert told["x"] == [None, {"y": None}]


def test_markdown_tells_the_same_story() -> None:
    page = render(records.broken_chaos(), "md")
    assert page.startswith("# members survive a lost node on lab: BROKEN\n")
    assert "\n## What users saw\n\n| home | when | requests |" in page
    assert "| --- | --- | ---: |" in page
    assert "\n## Weakness: streams start\n" in page
    assert "\n    simian run 'members survive a lost node' --seed 2026\n" in page
    assert "\n    failed                     █" in page


def test_markdown_has_tables_and_pictures_of_an_evacuation() -> None:
    page = render(evacuations.hard_kong(), "md")
    assert "\n## Evacuation of east\n\n| at | after | step | what |\n| --- | ---: | --- | --- |\n" in page
    assert "| 10:00:18 | +3.8 s | shifted | shift east -\\> 100 % west |" in page
    assert re.search("\n    failed tries {19}█", page)


def test_markdown_of_a_stuck_run_begins_with_what_to_do() -> None:
    assert render(records.stuck_latency(), "md").splitlines()[2].startswith("> **STUCK")


def test_a_name_cannot_become_markup() -> None:
    page = render(records.held_gorilla() | {"note": "<script>x</script> [a](b) | `c` **d**"}, "md")
    assert r"\<script\>x\</script\> \[a\](b) \| \`c\` \*\*d\*\*" in page


WORDS = [
    (span(0.04), "0.0 s"),
    (span(9.94), "9.9 s"),
    (span(9.96), "10 s"),
    (span(59.6), "1 min"),
    (span(62), "1 min 2 s"),
    (span(86400), "24 h"),
    (span(None), "-"),
    (milliseconds(0.42), "0.4 ms"),
    (milliseconds(31.4), "31 ms"),
    (milliseconds(1934), "1.93 s"),
    (percent(1.0), "100 %"),
    (percent(0.99999), "99.999 %"),
    (percent(0.0), "0 %"),
    (percent(0.00001), "0.001 %"),
    (percent(0.5), "50 %"),
    (count(1, "fault"), "1 fault"),
    (count(4210, "request"), "4,210 requests"),
    (count(2, "key"), "2 keys"),
    (count(2, "reply"), "2 replies"),
    (count(2, "query"), "2 queries"),
    (listed([]), ""),
    (listed(["a"]), "a"),
    (listed(["a", "b"]), "a and b"),
    (listed(list("abcdefgh")), "a, b, c, d, e, f and 2 more"),
    (measured(0.9995, ">= 99.9 %"), "99.95 %"),
    (measured(1930.0, "<= 2 s"), "1.93 s"),
    (measured(9.42, "<= 1.5 x baseline"), "9.42"),
    (measured(3, "== 0"), "3"),
    (measured(True, "no key lost"), "True"),
    (measured(None, ">= 1"), "-"),
]


@pytest.mark.parametrize(("told", "right"), WORDS, ids=[right for _, right in WORDS])
def test_numbers_read_as_people_write_them(told: str, right: str) -> None:
    assert told == right


FORMULAS = [("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd", "'+cmd"), ("-cmd", "'-cmd")]
NUMBERS = ["-", "-0.1 s", "+0.0 s", "- 3", "5", "east", ""]


@pytest.mark.parametrize(("cell", "right"), [*FORMULAS, *((cell, cell) for cell in NUMBERS)])
def test_a_cell_is_no_formula_once_it_is_in_a_spreadsheet(cell: str, right: str) -> None:
    assert no_formula(cell) == right


@pytest.mark.parametrize(("format", "right"), [("md", "| '=1+1 | held |"), ("html", "<td>&#39;=1+1</td>")])
def test_a_table_has_no_formula(format: str, right: str) -> None:
    record = records.held_gorilla()
    record["steady_state"][0]["check"] = "=1+1"
    assert right in render(record, format)


def test_nobody_is_called_by_a_name_in_markdown() -> None:
    page = render(records.held_gorilla() | {"note": "ask @octocat and #12 ![x](http://y)"}, "md")
    assert r"ask &#64;octocat and \#12 \!\[x\](http://y)" in page


def test_markdown_opens_with_the_verdict_and_a_chart_that_a_pull_request_shows() -> None:
    page = render(evacuations.planned_kong(), "md")
    assert page.index("**HELD**") < page.index("```mermaid") < page.index("## What was done")
    assert "<svg" not in page
    assert "data:" not in page
    chart = page.partition("```mermaid\n")[2].partition("\n```")[0]
    lines = [line for line in chart.splitlines() if line.strip().startswith(("line", "bar"))]
    assert [line.split()[0] for line in lines] == ["bar", "line", "line", "line"]
    assert len({line.count(",") for line in lines}) == 1
    assert "⬜ all regions; 🟦 east; 🟧 west; shaded: faults in place" in page
    assert "<details><summary>The same in characters</summary>\n\n    east " in page


def test_no_text_of_a_record_is_in_a_chart_of_mermaid() -> None:
    record = evacuations.planned_kong()
    for row in record["traffic"]:
        row["served"] = {f"x]\n```\n{name}": number for name, number in row["served"].items()}
    charts = render(record, "md").split("```mermaid\n")[1:]
    assert charts
    assert all("x]" not in chart.partition("\n```\n")[0] for chart in charts)
