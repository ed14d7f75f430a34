"""The same history in a real PostgreSQL, where one is installed."""

from collections.abc import Iterator

import pytest

from simian.errors import HistoryError
from simian.history import open_history

from ..postgres import Postgres, postgres
from ..report import records
from .test_outbox import NOW_S, note
from .test_pages import newest_first, pages
from .test_store import ODD_VALUES, through_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def address(server: Postgres, request: pytest.FixtureRequest) -> str:
    return server.create(f"t{abs(hash(request.node.name))}")


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


def test_the_last_runs_of_each_are_found_in_postgresql(address: str) -> None:
    with open_history(address) as history:
        for number, verdict in enumerate(("held", "broken", "unknown", "held")):
            whose = {"monkey": "chaos", "experiment": "a store is lost", "verdict": verdict}
            history.store({"run": f"r{number}", "started": records.moment(number), **whose})
        for of, name in (("monkey", "chaos"), ("experiment", "a store is lost")):
            found = history.lately(of, [name, "never run"], 3)  # type: ignore[arg-type]
            assert [run["run"] for run in found[name]] == ["r3", "r2", "r1"]
            assert found["never run"] == []


def test_a_postgresql_database_of_something_else_is_left_alone(address: str) -> None:
    import psycopg

    with psycopg.connect(address.replace("+psycopg", "")) as other:
        other.execute("CREATE TABLE orders (a int)")
    with pytest.raises(HistoryError, match=r"something else.*orders"):
        open_history(address)


def test_the_outbox_on_postgresql_gives_each_to_one_and_again_to_another_when_that_one_died(address: str) -> None:
    with open_history(address) as one, open_history(address) as other:
        assert one.outbox.add([note("a"), note("b")], NOW_S) == 2
        assert other.outbox.add([note("a"), note("c")], NOW_S) == 1
        assert [each.key for each in one.outbox.take(NOW_S, 15.0, most=2)] == ["a", "b"]
        assert [each.key for each in other.outbox.take(NOW_S, 15.0)] == ["c"]
        one.outbox.sent("a", NOW_S + 1)
        one.outbox.failed("b", "answered 410")
        assert other.outbox.next_due_s() == NOW_S + 15
        [again] = other.outbox.take(NOW_S + 15, 15.0)
        assert (again.key, again.tries, again.message) == ("c", 2, note("c").message)
