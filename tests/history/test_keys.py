"""Keys of requests: each is one caller's, has its answer afterwards, and is forgotten after a month."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simian.history import History, open_history
from simian.history.keys import KEPT_US, Kept

from ..postgres import Postgres, place_of, postgres

NOW = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[History]:
    """A database of each kind; the same tests hold for both."""
    with open_history(place_of(request, tmp_path)) as opened:
        yield opened


def test_a_key_is_claimed_once_and_has_its_answer_afterwards(books: History) -> None:
    assert books.keys.claim("a", "body", NOW) is None
    assert books.keys.claim("a", "body", NOW + 1) == Kept("body", None)
    books.keys.answered("a", {"run": "k7f3"})
    assert books.keys.claim("a", "another", NOW + 2) == Kept("body", {"run": "k7f3"})
    assert books.keys.claim("b", "body", NOW) is None


def test_one_that_nothing_came_of_may_come_again(books: History) -> None:
    books.keys.claim("a", "body", NOW)
    books.keys.release("a")
    assert books.keys.claim("a", "body", NOW) is None


def test_after_a_month_it_is_forgotten(books: History) -> None:
    books.keys.claim("a", "body", NOW)
    assert books.keys.claim("a", "body", NOW + KEPT_US) == Kept("body", None)
    assert books.keys.claim("a", "body", NOW + KEPT_US + 1) is None


def test_of_many_at_once_one_has_it(books: History) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: books.keys.claim("a", f"body{n}", NOW), range(8)))
    assert found.count(None) == 1
