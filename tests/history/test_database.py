"""Opening: migrations, several processes at once, files that are no history of ours."""

import multiprocessing
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text

from simian.errors import HistoryError, UsageError
from simian.history import History, open_history
from simian.history.database import WRITES
from simian.history.schedule_tables import schedules
from simian.history.schema import NEWEST, VERSION_TABLE
from simian.history.tables import PARTS, metadata, runs

from ..report import records


def test_the_schema_this_code_knows_is_the_last_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "simian.history:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


def test_migrations_make_what_the_tables_say(history: History) -> None:
    assert schedules.metadata is metadata  # theirs stand in a file of their own, which nothing else here imports
    with history._engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_a_history_of_an_earlier_simian_keeps_its_runs_and_takes_new_ones(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", "simian.history:migrations")
    engine = create_engine(f"sqlite:///{tmp_path / 'h.db'}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO runs (number, run, started, more) VALUES (1, 'old', 0, '{\"x\": 1}')"))
        connection.execute(text("INSERT INTO traffic (number, position, home, more) VALUES (1, 0, 'east', '{}')"))
    engine.dispose()
    with open_history(tmp_path / "h.db") as history:
        old = history.get("old")
        assert (old["x"], old["traffic"], old["arrivals"]) == (1, [{"home": "east"}], [])
        history.store(records.held_gorilla())
        assert history.get("last") == records.held_gorilla()


def test_opening_again_migrates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_history(tmp_path / "h.db").close()
    monkeypatch.setattr(command, "upgrade", lambda *_: pytest.fail("migrated again"))
    open_history(tmp_path / "h.db").close()


def test_a_migration_that_dies_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(config: Config, revision: str) -> None:
        config.attributes["connection"].execute(text("CREATE TABLE half (a INTEGER)"))
        raise OSError("power")

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", dies)
        with pytest.raises(HistoryError, match="power"):
            open_history(tmp_path / "h.db")
    with open_history(tmp_path / "h.db") as history:
        assert history.page() == ([], None)


def test_the_file_is_written_ahead_and_its_foreign_keys_hold(history: History) -> None:
    with history._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_reader_is_not_held_up_by_a_writer(history: History) -> None:
    history.store(records.refused_latency())
    with history._engine.connect().execution_options(**WRITES) as writer, writer.begin():
        writer.execute(runs.update().values(note="not yet"))
        assert history.get("last")["note"] == ""


def _open_and_store(file: str, start: Any, number: int) -> None:
    start.wait(60)
    with open_history(file) as history:
        for each in range(5):
            history.store(records.refused_latency() | {"run": f"{number}-{each}"})


def test_processes_that_open_a_new_history_together_all_store(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(5)
    workers = [spawn.Process(target=_open_and_store, args=(str(tmp_path / "h.db"), start, n)) for n in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 5
    with open_history(tmp_path / "h.db") as history:
        assert {row["run"] for row in history.page(limit=100).rows} == {f"{n}-{m}" for n in range(5) for m in range(5)}


def _damaged(file: Path) -> None:
    file.write_bytes(os.urandom(4096))


def _text(file: Path) -> None:
    file.write_text("history: mine\n" * 100)


def _folder(file: Path) -> None:
    file.mkdir()


def _truncated(file: Path) -> None:
    open_history(file).close()
    file.write_bytes(file.read_bytes()[:5000])


@pytest.mark.parametrize("spoil", [_damaged, _text, _folder, _truncated])
def test_what_is_no_database_is_an_error_that_names_the_file(tmp_path: Path, spoil: Any) -> None:
    file = tmp_path / "spoilt.db"
    spoil(file)
    with pytest.raises(HistoryError, match=r"spoilt\.db") as caught, open_history(file) as history:
        history.store(records.held_gorilla())
    assert "\n" not in str(caught.value)


def test_pages_damaged_in_the_middle_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "holes.db"
    with open_history(file) as history:
        history.store(records.held_gorilla())
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)  # the first page, with the schema, is as it was
    file.write_bytes(content)
    with pytest.raises(HistoryError, match=r"holes\.db.*damaged"), open_history(file) as history:
        history.get("last")


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "places.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE bookmarks (a)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(HistoryError, match=r"places\.db is a database of something else.*bookmarks"):
        open_history(file)
    assert file.read_bytes() == before


def test_a_history_of_a_newer_simian_says_so(tmp_path: Path) -> None:
    file = tmp_path / "newer.db"
    open_history(file).close()
    with sqlite3.connect(file) as newer:
        newer.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    newer.close()
    with pytest.raises(HistoryError, match=r"newer\.db was written by another simian \(schema '9999'.*upgrade"):
        open_history(file)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    open_history(tmp_path / "a" / "b" / "h.db").close()
    assert (tmp_path / "a" / "b" / "h.db").exists()


def test_a_history_that_vanishes_while_open_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with open_history(tmp_path / "gone" / "h.db") as history:
        history._engine.dispose()
        shutil.rmtree(tmp_path / "gone")
        with pytest.raises(HistoryError, match=r"h\.db cannot be read"):
            history.page()


@pytest.mark.parametrize("where", ["mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:", "://", "nonsense://x"])
def test_an_address_that_cannot_be_one_says_what_can(where: str) -> None:
    with pytest.raises(UsageError, match="file name") as caught:
        open_history(where)
    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(HistoryError) as caught:  # nobody listens on that port
        open_history("postgresql+psycopg://simian:secret@127.0.0.1:1/simian")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_rows_belong_to_a_run(history: History) -> None:
    with history._engine.connect() as connection:
        numbers = set(connection.execute(select(runs.c.number)).scalars())
        assert numbers == set()
        for table in PARTS.values():
            assert connection.execute(select(table.c.number)).first() is None
