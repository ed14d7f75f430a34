"""Which commands there are, and what calling for help costs."""

import json
import re

import pytest

from simian import __version__

from .conftest import Call, Program

COMMANDS = [
    "demo", "lab", "chaos", "gorilla", "kong", "split-brain", "latency", "traffic", "run", "validate", "experiments",
    "monkeys", "status", "abort", "recover", "halt", "resume", "topology", "doctor", "history", "report",
    "compare", "replay", "schedule", "serve",
]  # fmt: skip
BELOW = [("lab", "up"), ("lab", "down"), ("lab", "status"), ("lab", "logs"), ("monkeys", "show"), ("traffic", "show"),
         ("experiments", "show"), ("experiments", "schema"), ("schedule", "add"), ("schedule", "preview"),
         ("history", "prune")]  # fmt: skip
RUN_OPTIONS = ("--for", "--seed", "--plan", "--leashed", "--note", "--report", "--yes", "--no-progress")
HEAVY = (
    "sqlalchemy",
    "alembic",
    "pydantic",
    "rich",
    "apscheduler",
    "ruamel",
    "requests",
    "toxiproxy",
    "jinja2",
    "simian_monkeys",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, call: Call) -> None:
    answer = call(name, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: simian {name}")
    assert len(answer.out.splitlines()) > 4, "a sentence on what it does, and its options"


@pytest.mark.parametrize("words", BELOW, ids=" ".join)
def test_each_command_below_another_has_help(words: tuple[str, str], call: Call) -> None:
    answer = call(*words, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: simian {' '.join(words)}")


def test_help_names_every_command(nowhere: Program) -> None:
    answer = nowhere("--help")
    assert answer.code == 0
    listed = answer.out.partition("Commands:")[2]
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", listed)] == []


@pytest.mark.parametrize("name", ["chaos", "gorilla", "latency", "run"])
def test_run_options_are_the_same_everywhere(name: str, call: Call) -> None:
    shown = call(name, "--help").out
    assert [option for option in RUN_OPTIONS if option not in shown] == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("chaos", ("--node", "--service", "--region", "--count", "--how")),
        ("gorilla", ("--zone", "--region")),
        ("latency", ("--service", "--link", "--side", "--share", "--delay", "--error-share", "--status")),
    ],
)
def test_monkeys_have_the_options_of_the_contract(name: str, options: tuple[str, ...], call: Call) -> None:
    shown = call(name, "--help").out
    assert [option for option in options if option not in shown] == []


def test_help_loads_nothing_heavy(nowhere: Program) -> None:
    answer = nowhere("--help", python=("-X", "importtime"))
    assert answer.code == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in answer.err.splitlines()}
    assert "typer" in loaded, "else this test reads the wrong thing"
    assert loaded & set(HEAVY) == set()


def test_no_command_at_all_is_usage_and_shows_help(nowhere: Program) -> None:
    answer = nowhere()
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("Usage: simian")


def test_version(call: Call) -> None:
    assert call("--version").out == f"simian {__version__}\n"
    assert json.loads(call("--version", "--json").out) == {"simian": __version__}


@pytest.mark.parametrize("line", [("--json", "topology"), ("topology", "--json")], ids=["before", "after"])
def test_options_for_all_may_stand_anywhere(line: tuple[str, ...], call: Call) -> None:
    assert set(call(*line).document) >= {"regions", "links"}
