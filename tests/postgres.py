"""A PostgreSQL server of our own, on a socket in a folder of its own, where one is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .real_parts import part_missing


@dataclass(frozen=True)
class Postgres:
    """A server that runs; ``folder`` holds its socket."""

    folder: Path
    pg_ctl: tuple[str | Path, ...]
    who: dict[str, Any]

    def address(self, database: str) -> str:
        """As SQLAlchemy writes it."""
        return f"postgresql+psycopg://simian@/{database}?host={self.folder}"

    def create(self, database: str) -> str:
        """A new database; its address."""
        import psycopg

        with psycopg.connect(f"host={self.folder} user=simian dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")  # type: ignore[arg-type]
        return self.address(database)

    def control(self, *words: str) -> None:
        """``start``, ``stop``, ``restart`` by pg_ctl."""
        subprocess.run([*self.pg_ctl, *words], check=True, stdout=subprocess.DEVNULL, **self.who)


def _programs() -> Path | None:
    found = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    return next((Path(program).resolve().parent for program in found if program), None)


def _user() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start one, and leave nothing behind. Skips the test where none is installed."""
    programs = _programs()
    if programs is None:
        part_missing("postgres", "no initdb is found; install PostgreSQL")
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'simian-army[postgres]'")
    folder = Path(tempfile.mkdtemp(prefix="simian-pg-"))
    user = _user()
    if user:
        shutil.chown(folder, user)
    who = {"user": user, "cwd": folder, "env": {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}}
    data = folder / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "simian", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **who)  # type: ignore[call-overload]
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    server = Postgres(folder, (programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log"), who)
    server.control("start")
    try:
        yield server
    finally:
        server.control("-m", "immediate", "stop")
        shutil.rmtree(folder)


def place_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a history is to be, by the fixture's parameter: in a file of ``folder``, or in ``server``."""
    if request.param == "sqlite":
        return str(folder / "history.db")
    server: Postgres = request.getfixturevalue("server")
    return server.create(f"p{abs(hash(request.node.nodeid))}")
