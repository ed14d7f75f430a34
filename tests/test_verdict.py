"""Three facts and the exit code they make, whole as a table."""

import json
from itertools import product
from typing import Any

import pytest

from simian import Kill
from simian.journal import Entry
from simian.verdict import doubts, exit_code, worst


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "unknown"),
        (["held"], "held"),
        (["held", "held"], "held"),
        (["held", "unknown"], "unknown"),
        (["unknown", "broken", "held"], "broken"),
    ],
)
def test_broken_beats_unknown_beats_held(verdicts: list[str], expected: str) -> None:
    assert worst(verdicts) == expected


OUTCOMES, VERDICTS = ("refused", "aborted", "completed", "crashed"), ("held", "broken", "unknown")


@pytest.mark.parametrize(("outcome", "verdict", "recovery"), list(product(OUTCOMES, VERDICTS, ("clean", "stuck"))))
def test_the_first_that_applies(outcome: str, verdict: str, recovery: str) -> None:
    told = exit_code(outcome, verdict, recovery)
    if recovery == "stuck":
        assert told == 5
    elif outcome == "refused":
        assert told == 3
    elif verdict == "broken":
        assert told == 1
    else:
        assert told == (0 if (outcome, verdict) == ("completed", "held") else 4)


def test_a_leashed_run_that_came_to_its_end_did_what_it_was_asked() -> None:
    assert exit_code("completed", "unknown", "clean", leashed=True) == 0
    assert exit_code("refused", "unknown", "clean", leashed=True) == 3
    assert exit_code("aborted", "unknown", "clean", leashed=True) == 4
    assert exit_code("completed", "unknown", "stuck", leashed=True) == 5


@pytest.mark.parametrize(
    ("evidence", "exposure", "assumed", "said"),
    [
        ({"held": True, "seen": "x"}, 1, False, ""),
        ({"held": True, "seen": "x"}, 0, False, "no user's request met the kill of web"),
        ({"held": True, "seen": "x"}, None, False, "no user's request met the kill of web"),
        ({"held": True, "seen": "x"}, 0, True, ""),
        ({"held": False, "seen": "still answers"}, 9, True, "not proven to have been in place: still answers"),
        ({"held": None, "seen": "crashed"}, 9, True, "not proven to have been in place: crashed"),
        (None, 9, True, "nobody looked"),
    ],
)
def test_doubts(evidence: dict[str, Any] | None, exposure: int | None, assumed: bool, said: str) -> None:
    row = {"evidence": json.dumps(evidence) if evidence else None, "exposure": exposure}
    found = doubts([row], [Entry("r", 1, "s", Kill("web"), "injected")], exposure_assumed=assumed)
    assert found == [] if not said else (len(found) == 1 and said in found[0] and found[0].startswith("unknown: "))
