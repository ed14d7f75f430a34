"""``simian report`` in every format, ``--week``, ``compare``, ``replay``, and the summary of GitHub's job."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from simian.cli.show import add_to_summary
from simian.history import open_history
from simian.report import render

from ..report import records
from ..report.test_html import Page
from .conftest import Call, Program

FIRST, BROKEN = "k7f3m2qa9d", "p2x9c4w1ts"


def store(shop: Program, *past: dict[str, Any]) -> None:
    shop.state.mkdir(parents=True, exist_ok=True)
    with open_history(shop.state / "history.db") as history:
        for record in past:
            history.store(record)


@pytest.fixture
def past(shop: Program) -> Program:
    """The shop with every record of tests/report."""
    store(shop, *(make() for make in records.ALL.values()))
    return shop


@pytest.mark.parametrize(
    ("file", "sign"),
    [("r.html", "<!doctype html>"), ("r.xml", "<?xml"), ("r.md", "# "), ("r.json", "{"), ("r.txt", "g")],
)
def test_a_file_is_in_the_format_of_its_name(file: str, sign: str, past: Program, call: Call) -> None:
    answer = call("report", FIRST, "-o", file)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert (past.folder / file).read_text(encoding="utf-8").startswith(sign)


def test_html_and_junit_are_printed_whole(past: Program, call: Call) -> None:
    page = call("report", BROKEN, "--format", "html")
    assert page.code == 0
    assert "BROKEN" in " ".join(Page(page.out).text_in("span"))
    suite = call("report", BROKEN, "--format", "junit")
    assert ElementTree.fromstring(suite.out).get("failures") == "2"


def test_a_wrong_ending_is_told_with_the_right_ones_before_anything_is_read(past: Program, call: Call) -> None:
    answer = call("report", FIRST, "-o", "r.pdf")
    assert answer.code == 2
    assert "ends in .txt, .md, .json, .xml, .html" in answer.err


def test_a_run_of_a_week_before_is_in_the_picture(past: Program, call: Call) -> None:
    before = records.held_gorilla()
    rows = [row | {"at": row["at"] - 7 * 86400} for row in before["traffic"]]
    store(past, before | {"run": "w33kbefore", "started": records.moment(-7 * 86400), "traffic": rows})
    page = call("report", FIRST, "--format", "html").out
    assert "The week before is run w33kbefore of 14 Nov 2026, 10:00:00 UTC, moved by seven days." in page


# --- compare


def test_two_runs_are_compared_by_a_beginning_of_their_names(past: Program, call: Call) -> None:
    answer = call("compare", "k7f", "p2x")
    assert (answer.code, answer.err) == (0, "")
    assert "WORSE  streams start held, and broke in the second run." in answer.out
    document = call("compare", "k7f", "p2x", "--json").document
    assert (document["first"]["run"], document["second"]["run"], document["change"]) == (FIRST, BROKEN, "worse")


def test_a_comparison_can_be_a_page(past: Program, call: Call) -> None:
    assert call("compare", "k7f", "p2x", "-o", "c.html", "--json").document == {"written": "c.html"}
    Page((past.folder / "c.html").read_text(encoding="utf-8"))
    answer = call("compare", "k7f", "p2x", "--format", "junit")
    assert answer.code == 2
    assert "choose one of text, md, json, html" in answer.err


def test_a_run_that_is_not_there_is_named(past: Program, call: Call) -> None:
    answer = call("compare", "k7f", "nobody")
    assert answer.code == 2
    assert "no run begins with 'nobody'" in answer.err


# --- the week


def test_the_digest_of_a_week_ends_when_it_is_told_to(past: Program, call: Call) -> None:
    answer = call("report", "--week", "--until", "2026-11-22")
    assert (answer.code, answer.err) == (0, "")
    assert "shop: 15 Nov 2026 to 21 Nov 2026" in answer.out
    assert "7 runs" in answer.out
    earlier = call("report", "--week", "--until", "2026-11-20", "--json").document
    assert (earlier["since"], earlier["runs"]) == ("2026-11-13T00:00:00Z", [])


def test_the_digest_comes_in_every_form_but_a_test_suite(past: Program, call: Call) -> None:
    line = ("report", "--week", "--until", "2026-11-22")
    Page(call(*line, "--format", "html").out)
    assert call(*line, "--format", "md").out.startswith("# shop: 15 Nov 2026")
    assert call(*line, "--format", "json").document["worse"] == []
    assert call(*line, "--format", "junit").code == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (("report", "last", "--week"), "--week is of all runs, and 'last' is one; give one of them"),
        (("report", "--until", "2026-11-22"), "--until is the end of a week; give --week, too"),
        (("report", "--week", "--until", "yesterday"), "--until"),
    ],
)
def test_what_contradicts_itself_is_told(line: tuple[str, ...], why: str, past: Program, call: Call) -> None:
    answer = call(*line)
    assert answer.code == 2
    assert why in answer.err


# --- the summary of a job


def test_the_markdown_is_added_to_the_summary_of_githubs_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("what others wrote\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert add_to_summary(partial(render, records.broken_chaos())) == ""
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("what others wrote\n# members survive a lost node on lab: BROKEN\n")
    assert "\n```mermaid\n" in text


def test_without_a_job_nothing_is_added_and_one_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert add_to_summary(partial(render, records.broken_chaos())) == ""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no folder" / "summary.md"))
    assert "the job's summary cannot be written to" in add_to_summary(partial(render, records.broken_chaos()))


# --- replay


@pytest.fixture
def planned(shop: Program, call: Call) -> dict[str, Any]:
    """A record of a run of Chaos that the shop's topology would plan again."""
    plan = call("chaos", "--service", "members", "--seed", "9", "--plan", "--json").document["plan"]
    stages = [
        stage | {"faults": [fault | {"target": fault["node"]} for fault in stage["faults"]]} for stage in plan["stages"]
    ]
    return records.held_gorilla() | {
        "run": "rep1ayme00", "system": "shop", "monkey": "chaos", "seed": 9, "options": plan["options"],
        "for_s": 12.0, "plan": {"stages": stages}, "plan_hash": plan["hash"], "topology_hash": plan["topology_hash"],
        "steady_state": [],
    }  # fmt: skip


def test_a_replay_plans_the_same_again(shop: Program, planned: dict[str, Any], call: Call) -> None:
    store(shop, planned)
    answer = call("replay", "rep", "--plan", "--json")
    assert (answer.code, answer.err) == (0, "")
    told = answer.document["plan"]
    assert (told["hash"], told["seed"], told["monkey"]) == (planned["plan_hash"], 9, "chaos")
    assert "for 12 s; plan " in call("replay", "rep", "--plan").out


def test_a_replay_is_refused_where_the_topology_or_the_plan_is_another(
    shop: Program, planned: dict[str, Any], call: Call
) -> None:
    store(shop, planned | {"topology_hash": "0000000000000000", "plan_hash": "1111111111111111"})
    answer = call("replay", "rep")
    assert answer.code == 3
    assert "this would not be run rep1ayme00 again: the topology is" in answer.err
    assert "nothing was touched; say --yes to run it as it would be now, or --plan to see that" in answer.err
    told = call("replay", "rep", "--plan")
    assert told.code == 0
    assert "warning: not as in run rep1ayme00: the topology is" in told.err


def test_what_it_would_break_otherwise_is_named(shop: Program, planned: dict[str, Any], call: Call) -> None:
    planned["plan"]["stages"][0]["faults"][0]["target"] = "somebody-else"
    store(shop, planned | {"plan_hash": "1111111111111111"})
    assert ", and was pause somebody-else" in call("replay", "rep").err


def test_other_checks_are_another_judgement(shop: Program, planned: dict[str, Any], call: Call) -> None:
    store(shop, planned | {"steady_state": [records.check("orders", "held", ">= 99 %", 1.0, 1.0, 1.0)]})
    answer = call("replay", "rep")
    assert answer.code == 3
    assert "the checks have changed since: orders" in answer.err


def test_with_yes_it_goes_on_to_what_any_run_is_asked(shop: Program, planned: dict[str, Any], call: Call) -> None:
    store(shop, planned | {"plan_hash": "1111111111111111"})
    answer = call("replay", "rep", "--yes")
    assert answer.code == 3
    assert "is in memory, which can be planned for, not run on" in answer.err


def test_a_leashed_run_is_replayed_on_its_leash(
    shop: Program, planned: dict[str, Any], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simian.cli import replay

    asked: list[Any] = []
    monkeypatch.setattr(replay, "start", lambda system, request, options, settings, look: asked.append(request) or 0)
    store(shop, planned | {"leashed": True})
    call("replay", "rep")
    assert asked[0].leashed
    assert asked[0].for_s == 12.0


EXPERIMENT = """\
experiment: a members node is lost
hypothesis: Nobody notices.
monkey: chaos
options: {service: members}
for: 5s
"""


def test_an_experiment_is_replayed_from_the_file_it_was_read_from(
    shop: Program, planned: dict[str, Any], call: Call
) -> None:
    file = shop.file("deep/lost.yaml", EXPERIMENT)
    record = planned | {"experiment": "a members node is lost", "experiment_file": str(file)}
    store(shop, record)
    assert call("replay", "rep", "--plan", "--json").document["plan"]["seed"] == 9
    moved = file.rename(shop.folder / "moved.yaml")
    gone = call("replay", "rep", "--plan")
    assert gone.code == 2
    assert f"it was read from {file}, which is gone; name its file with --file" in gone.err
    assert call("replay", "rep", "--plan", "--file", str(moved)).code == 0


def test_one_that_comes_with_simian_is_known_by_its_title(shop: Program, call: Call) -> None:
    answer = call("run", "members survive a lost store node", "--plan", "--json")
    assert answer.code == 0
    assert answer.document["plan"]["monkey"] == "chaos"


def test_a_run_of_another_system_is_not_replayed_on_this_one(
    shop: Program, planned: dict[str, Any], call: Call
) -> None:
    store(shop, planned | {"system": "lab"})
    answer = call("replay", "rep")
    assert answer.code == 2
    assert "was on lab, and this is shop; name the other with --config" in answer.err


def test_the_seed_and_the_time_of_a_replay_cannot_be_others(past: Program, call: Call) -> None:
    for option in ("--seed", "--for"):
        assert call("replay", FIRST, option, "5").code == 2


def test_json_of_a_report_is_still_the_record(past: Program, call: Call) -> None:
    assert json.loads(call("report", FIRST, "--json").out)["run"] == FIRST
