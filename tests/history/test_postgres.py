"""The same history in a real PostgreSQL, where one is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simian.errors import HistoryError
from simian.history import open_history

from ..report import records
from .test_pages import newest_first, pages
from .test_store import ODD_VALUES, through_json

pytestmark = pytest.mark.slow


def _programs() -> Path | None:
    found = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    return next((Path(program).resolve().parent for program in found if program), None)


def _user() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of our own, on a socket in a folder of its own."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'simian-army[postgres]'")
    folder = Path(tempfile.mkdtemp(prefix="simian-pg-"))
    user = _user()
    if user:
        shutil.chown(folder, user)
    who = {"user": user, "cwd": folder, "env": {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}}
    data = folder / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "simian", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **who)  # type: ignore[call-overload]
    pg_ctl = [
        programs / "pg_ctl",
        "-D",
        data,
        "-w",
        "-o",
        f"-k {folder} -c listen_addresses='' -c fsync=off",
        "-l",
        folder / "log",
    ]
    subprocess.run([*pg_ctl, "start"], check=True, stdout=subprocess.DEVNULL, **who)  # type: ignore[call-overload]
    yield f"postgresql+psycopg://simian@/{{}}?host={folder}"
    subprocess.run([*pg_ctl, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, **who)  # type: ignore[call-overload]
    shutil.rmtree(folder)


@pytest.fixture
def address(server: str, request: pytest.FixtureRequest) -> str:
    import psycopg

    name = f"t{abs(hash(request.node.name))}"
    folder = server.partition("host=")[2]
    with psycopg.connect(f"host={folder} user=simian dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return server.format(name)


@pytest.mark.parametrize("name", ["held gorilla", "stuck latency"])
def test_a_run_comes_back_from_postgresql_as_it_was_stored(address: str, name: str) -> None:
    record = through_json(records.ALL[name]())
    for _ in range(2):
        with open_history(address) as history:
            history.store(record)
            assert history.get(record["run"][:3]) == record
            assert len(history.page().rows) == 1


def test_odd_values_come_back_from_postgresql(address: str) -> None:
    with open_history(address) as history:
        for value in ODD_VALUES:
            record = records.refused_latency() | {
                "note": value,
                "seed": value,
                "readings": [{"value": value, "detail": value}],
            }
            history.store(record)
            assert history.get(record["run"]) == record


def test_pages_on_postgresql_have_no_gap(address: str) -> None:
    with open_history(address) as history:
        stored = [
            {"run": run, "started": records.moment(at % 3)}
            for at, run in enumerate(["B", "a-1", "a_1", "a1", "b", "A", "é"])
        ]
        for record in stored:
            history.store(record)
        assert [run for page in pages(history, limit=2) for run in page] == newest_first(stored)
        assert history.get("B")["run"] == "B"


def test_a_postgresql_database_of_something_else_is_left_alone(address: str) -> None:
    import psycopg

    with psycopg.connect(address.replace("+psycopg", "")) as other:
        other.execute("CREATE TABLE orders (a int)")
    with pytest.raises(HistoryError, match=r"something else.*orders"):
        open_history(address)
