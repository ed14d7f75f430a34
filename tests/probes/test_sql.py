"""The sql probe: one number, nothing changed, no secret told, a connection that is kept and renewed."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.errors import PluginError, UsageError
from simian.probe import Reading
from simian.probes import find_probe
from simian.probes.host import revealed
from simian.probes.sql import first_number

from ..postgres import Postgres, postgres

ORDERS = "CREATE TABLE orders (id integer, state text, price numeric(9, 2))"
ROWS = "INSERT INTO orders VALUES (1, 'open', 2.50), (2, 'paid', 7.25), (3, 'paid', NULL)"


def look(settings: dict[str, Any], environment: dict[str, str] | None = None) -> Reading:
    """As a probe's process does it."""
    found = find_probe(settings)
    return found.read(revealed(found, found.bind(settings), environment or {}))


def refused(settings: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as raised:
        find_probe(settings).bind(settings)
    return str(raised.value)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "a shop.db"
    with sqlite3.connect(path) as database:
        database.execute(ORDERS)
        database.execute(ROWS)
    database.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest) -> str:
    """The address of a database with three orders."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_file')}"
    import psycopg

    address: str = request.getfixturevalue("server").create(f"shop{abs(hash(request.node.name))}")
    with psycopg.connect(address.replace("+psycopg", "")) as connection:
        connection.execute(ORDERS)
        connection.execute(ROWS)
    return address


@pytest.mark.parametrize(
    ("statement", "parameters", "value"),
    [
        ("SELECT count(*) FROM orders", None, 3.0),
        ("  select count(*)\n from orders ; ", None, 3.0),
        ("SELECT count(*) FROM orders WHERE state = :state", {"state": "paid"}, 2.0),
        ("SELECT count(*) FROM orders WHERE state = :state", {"state": "' OR 1=1; --"}, 0.0),
        ("SELECT sum(price) FROM orders", None, 9.75),
        ("WITH paid AS (SELECT * FROM orders WHERE state = 'paid') SELECT count(*) FROM paid", None, 2.0),
        ("VALUES (7)", None, 7.0),
        ("SELECT id FROM orders ORDER BY id DESC", None, 3.0),
        ("SELECT 10 % 4", None, 2.0),
    ],
)
def test_the_number_is_that_of_the_first_row(
    shop: str, statement: str, parameters: dict[str, Any] | None, value: float
) -> None:
    assert look({"sql": statement, "url": shop, "parameters": parameters}).value == value


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT count(*), 1 FROM orders", "2 columns"),
        ("SELECT id FROM orders WHERE id > 9", "gives no row"),
        ("SELECT price FROM orders WHERE id = 3", "gives NULL"),
        ("SELECT state FROM orders", "gives a str"),
        ("SELECT count(*) FROM nowhere", "nowhere"),
        ("SELECT count(*) FROM orders WHERE state = :state", "'state'"),
    ],
)
def test_what_is_no_number_is_said_to_be_none(shop: str, statement: str, said: str) -> None:
    with pytest.raises(PluginError) as raised:
        look({"sql": statement, "url": shop})
    assert said in str(raised.value)
    assert "Background" not in str(raised.value)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (4, 'open', 1)",
        "PRAGMA user_version = 7",
        "",
        "SELECT 1; DELETE FROM orders",
        "SELECT 1; COMMIT; DELETE FROM orders; SELECT 1",
        "/* SELECT */ DELETE FROM orders",
    ],
)
def test_anything_but_one_statement_that_reads_is_refused_before_any_look(statement: str) -> None:
    assert "right would be one that only reads" in (said := refused({"sql": statement, "url": "sqlite:////x.db"})) or (
        "only one is allowed" in said
    )


@pytest.mark.parametrize(
    "statement",
    [
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone",
        "SELECT id INTO copies FROM orders",
        "SELECT setval('numbers', 99)",
        "SELECT id FROM orders FOR UPDATE",
    ],
)
def test_a_statement_that_writes_in_disguise_changes_nothing(server: Postgres, statement: str) -> None:
    import psycopg

    address = server.create(f"disguise{abs(hash(statement))}")
    plain = address.replace("+psycopg", "")
    with psycopg.connect(plain) as connection:
        connection.execute(ORDERS)
        connection.execute(ROWS)
        connection.execute("CREATE SEQUENCE numbers")
    with pytest.raises(PluginError):
        look({"sql": statement, "url": address})
    with psycopg.connect(plain) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (3,)
        assert connection.execute("SELECT last_value FROM numbers").fetchone() == (1,)
        assert connection.execute("SELECT to_regclass('copies')").fetchone() == (None,)


def test_sqlite_is_opened_to_read_only(sqlite_file: Path) -> None:
    with pytest.raises(PluginError, match=r"readonly|syntax|authorized"):
        look({"sql": "WITH one AS (SELECT 1) DELETE FROM orders", "url": f"sqlite:///{sqlite_file}"})
    assert look({"sql": "SELECT count(*) FROM orders", "url": f"sqlite:///{sqlite_file}"}).value == 3.0


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="unable to open database file"):
        look({"sql": "SELECT 1", "url": f"sqlite:///{tmp_path / 'none.db'}"})
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_put_in_the_place_of_another_is_read(sqlite_file: Path) -> None:
    settings = {"sql": "SELECT count(*) FROM orders", "url": f"sqlite:///{sqlite_file}"}
    assert look(settings).value == 3.0
    sqlite_file.unlink()
    with sqlite3.connect(sqlite_file) as database:
        database.execute(ORDERS)
    database.close()
    assert look(settings).value == 0.0


def test_a_file_that_somebody_else_writes_to_is_read_in_any_mode_of_its_journal(sqlite_file: Path) -> None:
    settings = {"sql": "SELECT count(*) FROM orders", "url": f"sqlite:///{sqlite_file}"}
    writer = sqlite3.connect(sqlite_file, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO orders VALUES (4, 'open', 1)")
    assert look(settings).value == 4.0
    writer.close()
    assert look(settings).value == 4.0


def test_the_connection_is_kept_and_made_anew_when_it_is_broken(server: Postgres) -> None:
    address = server.create("kept")
    settings = {"sql": "SELECT pg_backend_pid()", "url": address}
    first = look(settings).value
    assert look(settings).value == first
    server.control("-m", "immediate", "restart")
    assert look(settings).value != first
    server.control("-m", "immediate", "stop")
    with pytest.raises(PluginError, match="OperationalError"):
        look(settings)
    server.control("start")
    assert look(settings).value > 0


def test_a_password_is_a_reference_and_is_never_told(server: Postgres, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2-in-file\n")
    address = server.create("guarded")
    settings = {"sql": "SELECT 1", "url": address, "password": {"env": "SHOP_PASSWORD"}}
    assert look(settings, {"SHOP_PASSWORD": "hunter2"}).value == 1.0
    assert look(settings | {"password": {"file": str(tmp_path / "password")}}).value == 1.0
    with pytest.raises(UsageError, match="SHOP_PASSWORD is not set"):
        look(settings)
    wrong = settings | {"url": address.replace("/guarded", "/nowhere")}
    with pytest.raises(PluginError) as raised:
        look(wrong, {"SHOP_PASSWORD": "hunter2"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "postgresql+psycopg://me:hunter2@db/shop"}, "give password: {env: NAME}"),
        ({"url": "postgresql+psycopg://me@db/shop?password=hunter2"}, "give password: {env: NAME}"),
        (
            {"url": "postgresql+psycopg://me@db/shop", "password": "hunter2"},
            "right would be {env: NAME} or {file: PATH}",
        ),
        ({"url": "shop.db"}, "no address of a database"),
        ({"url": "sqlite://"}, "names no file"),
        ({"url": "sqlite:///:memory:"}, "names no file"),
        ({"url": 3}, "is no text"),
        ({}, "needs 'url'"),
    ],
)
def test_wrong_settings_are_refused_and_never_show_a_password(settings: dict[str, Any], said: str) -> None:
    told = refused({"sql": "SELECT 1", **settings})
    assert said in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("url", "said"),
    [("nosuch://db/shop", "no address that SQLAlchemy knows"), ("mysql+nosuch://db/shop", "SQLAlchemy knows")],
)
def test_an_unknown_kind_of_database_is_named(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        first_number("SELECT 1", url)
