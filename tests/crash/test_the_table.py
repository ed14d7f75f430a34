"""The table of faults in docs/proof.md: every number has a test that exists, or says what it waits for."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def test_each_of_the_24_faults_has_a_test_that_exists_or_waits_for_something_named() -> None:
    rows = {int(number): shown for number, shown in ROW.findall((ROOT / "docs" / "proof.md").read_text())}
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert sorted(rows) == list(range(1, 25))
    named = {number: set(re.findall(r"`(test_\w+)`", shown)) for number, shown in rows.items()}
    assert not {number: tests - there for number, tests in named.items() if tests - there}
    assert not [number for number, tests in named.items() if not tests and "later: " not in rows[number]]
