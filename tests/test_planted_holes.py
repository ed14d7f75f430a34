"""The table of docs/security.md is that of the holes that can be planted, and each can be planted still."""

import re
from pathlib import Path

import pytest

from .planted_holes import HOLES, ROOT, Hole


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: hole.sentence)
def test_it_can_be_planted_and_its_test_is_there(hole: Hole) -> None:
    assert (ROOT / hole.file).read_text().count(hole.old) == 1
    assert hole.new not in (hole.old, "")
    file, _, name = hole.test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_the_page_has_them_all() -> None:
    page = (Path(ROOT) / "docs" / "security.md").read_text()
    missing = [hole.sentence for hole in HOLES if f"| {hole.sentence} | `{hole.test}` | `{hole.file}` |" not in page]
    assert not missing
