"""What ``simian history`` remembers of simian.yaml is believed for that very file only."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simian.cli import books
from simian.cli.books import Books, recall, remember
from simian.errors import HistoryError
from simian.history import History, open_history
from simian.journal import Journal

from ..report import records
from .conftest import MEMORY, Call, Program

TEXT = "system: shop\n"
HEAVY = ("sqlalchemy", "pydantic", "ruamel", "rich", "asyncio", "importlib.metadata", "simian.config", "simian.fault")


def with_run(file: Path, run: str) -> None:
    with open_history(file) as history:
        history.store(records.held_gorilla() | {"run": run})


def runs(call: Call, *line: str) -> list[str]:
    return [row["run"] for row in call("history", "--json", *line).document["runs"]]


def kept(program: Program) -> list[Path]:
    return sorted((program.state.parent / "books").glob("*"))


def test_a_page_needs_nothing_heavy_once_the_file_is_known(shop: Program) -> None:
    first = shop("history")
    again = shop("history", python=("-X", "importtime"))
    assert (again.code, again.out) == (0, first.out)
    imported = {line.rpartition("|")[2].strip() for line in again.err.splitlines()}
    assert "sqlite3" in imported
    assert not imported & set(HEAVY)


def test_a_file_that_has_changed_is_read_anew(shop: Program, call: Call) -> None:
    root = shop.state.parent
    with_run(root / "shop-memory" / "history.db", "ofshop")
    with_run(root / "barn-memory" / "history.db", "ofbarn")
    with_run(shop.folder / "own.db", "own")
    for _ in range(2):
        assert runs(call) == ["ofshop"]
    shop.file("simian.yaml", MEMORY.replace("shop", "barn"))  # as long as it was
    assert runs(call) == ["ofbarn"]
    shop.file("simian.yaml", MEMORY + "history: own.db\n")
    for _ in range(2):
        assert runs(call) == ["own"]
    assert len(kept(shop)) == 1


def test_a_file_that_has_become_wrong_is_told_in_full(shop: Program, call: Call) -> None:
    assert call("history").code == 0
    shop.file("simian.yaml", MEMORY + "sytem: x\nguards: [{}]\n")
    for _ in range(2):
        answer = call("history")
        assert answer.code == 2
        assert answer.err == call("status").err
        assert len(answer.err.splitlines()) == 2


def test_the_same_text_elsewhere_is_another_system_s(shop: Program, call: Call) -> None:
    text = MEMORY + "history: own.db\n"
    for folder in ("here", "there"):
        shop.file(f"{folder}/simian.yaml", text)
        with_run(shop.folder / folder / "own.db", folder)
    for folder in ("here", "there") * 2:
        assert runs(call, "--config", f"{folder}/simian.yaml") == [folder]


def test_what_is_known_is_said_of_the_same_text_whatever_its_line_ends(tmp_path: Path) -> None:
    for raw, text in ((b"a: 1\r\nb: 2\r\n", "a: 1\r\nb: 2\r\n"), (b"\xef\xbb\xbfa: \xc3\xa9\n", "a: é\n")):
        path = tmp_path / "simian.yaml"
        path.write_bytes(raw)
        remember(tmp_path, path, text, Books("shop", "memory"))
        assert recall(tmp_path, path) == Books("shop", "memory")


SPOILS: dict[str, Callable[[str], str]] = {
    "nothing in it": lambda _: "",
    "half of it": lambda text: text[: len(text) // 2],
    "no JSON": lambda _: "shop",
    "no list": lambda _: "7",
    "an empty list": lambda _: "[]",
    "one thing more": lambda text: json.dumps([*json.loads(text), ""]),
    "no system": lambda text: json.dumps(json.loads(text)[:3]),
    "a number for a text": lambda text: json.dumps([*json.loads(text)[:3], 7, "memory"]),
    "no UTF-8": lambda text: text.replace("shop", "\udcff"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_kept_and_spoilt_is_not_believed(shop: Program, call: Call, spoil: str) -> None:
    with_run(shop.state / "history.db", "past")
    assert runs(call) == ["past"]
    [file] = kept(shop)
    text = file.read_text()
    file.write_text(SPOILS[spoil](text), errors="surrogateescape")
    assert runs(call) == ["past"]
    assert file.read_text() == text


def test_another_simian_s_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "simian.yaml"
    path.write_text(TEXT)
    remember(tmp_path, path, TEXT, Books("shop", "memory"))
    assert recall(tmp_path, path) == Books("shop", "memory")
    monkeypatch.setattr(books, "__version__", "0.0.9")
    assert recall(tmp_path, path) is None


def test_what_is_kept_is_for_its_owner_s_eyes_and_an_address_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "simian.yaml"
    remember(tmp_path, path, TEXT, Books("shop", "memory", history="postgresql+psycopg://me:secret@db/simian"))
    assert not (tmp_path / "books").exists()
    remember(tmp_path, path, TEXT, Books("shop", "memory"))
    assert (tmp_path / "books").stat().st_mode & 0o777 == 0o700
    assert [file.suffix for file in (tmp_path / "books").iterdir()] == [".json"]


def test_where_nothing_can_be_kept_the_file_is_read_each_time(shop: Program, call: Call) -> None:
    with_run(shop.state / "history.db", "past")
    (shop.state.parent / "books").write_text("in the way")
    for _ in range(2):
        assert runs(call) == ["past"]


def test_a_run_that_ended_or_died_meanwhile_is_on_the_page(shop: Program, call: Call) -> None:
    assert runs(call) == []
    journal = Journal(shop.state / "journal.db")
    for at, run in enumerate(("ended", "died")):
        journal.begin(run, at=records.START + at, owner=(1, "long ago"), request={"seed": 7}, world={})
    journal.end("ended", at=records.START + 9, outcome="completed", verdict="held", recovery="clean", reasons=[])
    rows = call("history", "--json").document["runs"]
    assert [(row["run"], row["outcome"]) for row in rows] == [("died", "crashed"), ("ended", "completed")]
    assert (journal.unfinished(), journal.unfed()) == ([], [])
    journal.close()


def test_a_run_that_cannot_be_brought_into_the_history_is_a_warning(
    shop: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runs(call) == []
    journal = Journal(shop.state / "journal.db")
    journal.begin("ended", at=records.START, owner=(1, "long ago"), request={"seed": 7}, world={})
    journal.end("ended", at=records.START + 9, outcome="completed", verdict="held", recovery="clean", reasons=[])

    def full(*_: object) -> None:
        raise HistoryError("the disk is full")

    monkeypatch.setattr(History, "store", full)
    answer = call("history")
    assert answer.code == 0
    assert answer.err.startswith("warning: the history was not written: the disk is full; ")
    assert journal.unfed() == ["ended"]
    journal.close()
