"""Strange terminals, folders and environments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import LIMIT_S, Program


def test_a_closed_stdout_changes_no_exit_code(shop: Program) -> None:
    assert shop.shell("$SIMIAN topology >&-").code == 0
    assert shop.shell("$SIMIAN gorilla >&-").code == 3


def test_all_streams_closed_is_no_crash(shop: Program) -> None:
    assert shop.shell("$SIMIAN gorilla --zone nowhere <&- >&- 2>&-").code == 2


def test_closed_streams_print_nothing_into_the_journal(shop: Program) -> None:
    assert shop.shell("$SIMIAN status <&- >&- 2>&-").code == 0
    assert (shop.state / "journal.db").read_bytes().startswith(b"SQLite format 3\x00")


@pytest.mark.parametrize("line", [("topology",), ("topology", "--json"), ("--help",), ("monkeys",)], ids=" ".join)
def test_a_reader_that_left_is_no_error(line: tuple[str, ...], shop: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "simian", *line],
            cwd=shop.folder,
            env=shop.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_below_stdout_is_told(shop: Program) -> None:
    answer = shop.shell("$SIMIAN topology >/dev/full")
    assert answer.code == 4
    assert answer.err.startswith("error: No space left on device")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("line", ["--help", "topology", "doctor", "monkeys", "gorilla --plan"])
def test_no_home_is_no_problem(line: str, shop: Program) -> None:
    environment = {k: v for k, v in shop.environment.items() if k not in ("HOME", "XDG_STATE_HOME", "TERM", "LANG")}
    answer = Program(shop.folder, environment)(*line.split())
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("line", ["--help", "topology", "gorilla --plan", "history", "gorilla --help"])
def test_a_terminal_of_twenty_columns_is_enough(line: str, shop: Program) -> None:
    answer = shop(*line.split(), COLUMNS="20", LINES="5")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.strip()


def test_a_terminal_that_knows_ascii_only_gets_the_rest_in_words(shop: Program) -> None:
    shop.file("mönkey.yaml", "experiment: Größe\nmonkey: gorilla\n")
    answer = shop("experiments", "show", "./mönkey.yaml", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert answer.code == 0
    assert "Gr\\xf6\\xdfe" in answer.out


def unusable(tmp_path: Path) -> str:
    """A state folder that cannot be made, for root neither: a file stands in its way."""
    (tmp_path / "file").write_text("in the way")
    return str(tmp_path / "file" / "state")


@pytest.mark.parametrize("command", ["status", "history", "report", "recover", "resume", "halt release"])
def test_a_state_folder_that_cannot_be_is_told(command: str, shop: Program, tmp_path: Path) -> None:
    answer = shop(*command.split(), SIMIAN_STATE=unusable(tmp_path))
    assert answer.code == 4
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert "state/shop-memory" in answer.err
    assert "Traceback" not in answer.err


def test_a_plan_needs_no_state_folder(shop: Program, tmp_path: Path) -> None:
    assert shop("gorilla", "--plan", SIMIAN_STATE=unusable(tmp_path)).code == 0


def test_the_doctor_finds_a_state_folder_that_cannot_be(shop: Program, tmp_path: Path) -> None:
    answer = shop("doctor", "--json", SIMIAN_STATE=unusable(tmp_path))
    assert answer.code == 4
    bad = {finding["what"] for finding in answer.document["findings"] if not finding["ok"]}
    assert bad == {"halt lever", "journal"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_state_folder_is_told(shop: Program, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o500)
    try:
        answer = shop("status")
    finally:
        state.chmod(0o700)
    assert answer.code == 4
    assert "Traceback" not in answer.err


def test_a_journal_that_is_none_is_told_and_left_as_it_is(shop: Program) -> None:
    shop.state.mkdir(parents=True)
    (shop.state / "journal.db").write_text("this is a diary")
    answer = shop("status")
    assert answer.code == 4
    assert "journal.db" in answer.err
    assert "Traceback" not in answer.err
    assert (shop.state / "journal.db").read_text() == "this is a diary"


def test_a_working_folder_that_is_gone_is_told(nowhere: Program) -> None:
    answer = nowhere.shell('mkdir gone && cd gone && rmdir "$PWD" && PYTHONSAFEPATH=1 $SIMIAN status')
    assert answer.code == 2
    assert "error: the working folder is gone" in answer.err


def test_a_defect_is_one_line_and_a_traceback_on_request(shop: Program) -> None:
    start = """import typer
import simian.cli.look
from simian.cli.main import main

def status(ctx: typer.Context) -> int:
    raise ZeroDivisionError("a\\nb")

simian.cli.look.status = status
main(["status"])
"""
    shop.file("defect.py", start)
    answer = shop.shell(f"{sys.executable} defect.py")
    assert answer.code == 4
    assert answer.err == "error: ZeroDivisionError: a b; SIMIAN_DEBUG=1 shows where\n"
    assert "Traceback" in shop.shell(f"SIMIAN_DEBUG=1 {sys.executable} defect.py").err


def test_arguments_that_are_no_text_are_told(shop: Program) -> None:
    answer = shop.shell("$SIMIAN gorilla --zone \"$(printf 'a\\377b')\" --plan")
    assert answer.code == 2
    assert "no zone is called" in answer.err
