"""``simian history`` and ``simian report`` over records of past runs."""

import json
from pathlib import Path

import pytest

from simian.history import open_history

from ..report import records
from .conftest import Call, Program

COLUMNS = {"run", "monkey", "started", "outcome", "verdict", "recovery", "seed"}


@pytest.fixture
def past(shop: Program) -> Program:
    """The shop with every record of tests/report, the first an hour before the next, and so on."""
    shop.state.mkdir(parents=True)
    with open_history(shop.state / "history.db") as history:
        for hour, make in enumerate(records.ALL.values()):
            history.store(make() | {"started": records.moment(3600 * hour)})
    return shop


def runs(call: Call, *line: str) -> list[str]:
    return [row["run"] for row in call("history", "--json", *line).document["runs"]]


def test_an_empty_history_is_a_page_without_runs(call: Call) -> None:
    assert call("history", "--json").document == {"runs": [], "next": None}
    assert call("history").code == 0


def test_history_has_the_shape_of_the_contract_newest_first(past: Program, call: Call) -> None:
    told = call("history", "--json").document
    assert len(told["runs"]) == len(records.ALL)
    assert all(set(row) == COLUMNS for row in told["runs"])
    assert [row["started"] for row in told["runs"]] == sorted((row["started"] for row in told["runs"]), reverse=True)
    assert told["next"] is None


def test_history_is_filtered(past: Program, call: Call) -> None:
    assert set(runs(call, "--monkey", "gorilla")) == {"k7f3m2qa9d", "c4shed0run"}
    assert set(runs(call, "--verdict", "held")) == {"k7f3m2qa9d"}
    assert set(runs(call, "--outcome", "refused")) == {"r0rrefused"}
    second = records.moment(3600)
    assert runs(call, "--until", second) == ["k7f3m2qa9d"]
    assert len(runs(call, "--since", second)) == len(records.ALL) - 1


def test_pages_follow_each_other_to_the_end(past: Program, call: Call) -> None:
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = call("history", "--json", "--limit", "3", *after).document
        seen += [row["run"] for row in page["runs"]]
        if page["next"] is None:
            break
        after = ["--after", page["next"]]
    assert seen == runs(call)


def test_history_for_people_is_a_table_that_tells_how_to_go_on(past: Program, call: Call) -> None:
    out = call("history", "--limit", "2").out.splitlines()
    assert out[0].split() == ["RUN", "MONKEY", "STARTED", "OUTCOME", "VERDICT", "RECOVERY", "SEED"]
    assert len(out) == 4
    assert out[-1].startswith("more: simian history --after ")
    cursor = out[-1].rpartition(" ")[2]
    assert call("history", "--after", cursor).code == 0


def test_the_last_report_and_one_by_its_beginning(past: Program, call: Call) -> None:
    newest = runs(call)[0]
    assert json.loads(call("report", "last", "--json").out)["run"] == newest
    assert call("report", "--json").document["run"] == newest
    assert call("report", "k7f", "--json").document["run"] == "k7f3m2qa9d"


@pytest.mark.parametrize(("format", "sign"), [("text", "HELD"), ("md", "# "), ("json", '{"run"')])
def test_reports_come_in_each_format(format: str, sign: str, past: Program, call: Call) -> None:
    answer = call("report", "k7f3m2qa9d", "--format", format)
    assert (answer.code, answer.err) == (0, "")
    assert sign in answer.out


@pytest.mark.parametrize("name", records.ALL)
def test_every_kind_of_end_has_a_report(name: str, past: Program, call: Call) -> None:
    run = records.ALL[name]()["run"]
    text = call("report", run)
    assert (text.code, text.err) == (0, "")
    assert run in text.out
    assert call("report", run, "--json").document["run"] == run


@pytest.mark.parametrize(
    ("file", "more", "sign"),
    [("r.txt", (), "HELD"), ("r.md", (), "# "), ("r.json", (), "{"), ("r.report", ("--format", "md"), "# ")],
)
def test_a_report_is_written_to_a_file(file: str, more: tuple[str, ...], sign: str, past: Program, call: Call) -> None:
    answer = call("report", "k7f3m2qa9d", "-o", file, *more)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert sign in (past.folder / file).read_text()
    assert [path.name for path in past.folder.glob(".*new")] == []
    assert call("report", "k7f3m2qa9d", "-o", file, *more, "--json").document == {"written": file}


def test_json_and_another_format_contradict_each_other(past: Program, call: Call) -> None:
    answer = call("report", "last", "--json", "--format", "md")
    assert answer.code == 2
    assert "contradict" in answer.document["error"]["reasons"][0]


def test_a_history_that_is_none_is_told(past: Program, call: Call) -> None:
    file: Path = past.state / "history.db"
    file.write_text("this is a diary")
    answer = call("history")
    assert answer.code == 4
    assert "history.db" in answer.err
    assert "Traceback" not in answer.err
