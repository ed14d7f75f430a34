"""A history of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simian.history import History, open_history


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "history.db") as opened:
        yield opened
