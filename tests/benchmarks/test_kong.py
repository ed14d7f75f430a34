"""What is read from the records of runs that left a region, made second by second."""

from collections.abc import Mapping
from typing import Any

import pytest

from ..report.evacuations import START, hard_kong, planned_kong


def told(kind: str, record: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Each figure by its name, without the kind; what is missing."""
    import kong
    import peers

    report = peers.Report(1, quick=False)
    kong.tell(report, kind, [kong.read(record)])
    return {row.what.partition(": ")[2]: row.ours for row in report.rows}, report.missing


def test_a_planned_run_s_figures_are_those_of_its_record() -> None:
    figures, missing = told("planned", planned_kong())
    assert missing == []
    assert figures == pytest.approx(
        {
            "first fault in place after the baseline": 100.0,
            "steps of 75, 50, 25, 0 %": 14.0,  # 15.1 to 29.1
            "from the last shift, 99 % moved": 1.9,  # the last who came late began theirs in second 30
            "from the last shift, drained": 6.9,
            "requests failed": 0.0,
            "first tries failed": 0.0,
            "p99, many times that before": 1.0,
        },
        rel=1e-6,
    )


def test_a_forced_run_s_figures_are_those_of_its_record() -> None:
    figures, _ = told("forced", hard_kong())
    assert figures["from the first blow, detected"] == pytest.approx(1.6, rel=1e-6)  # 15.0 to 16.6
    assert figures["from the first blow, decided"] == pytest.approx(3.3, rel=1e-6)  # to 18.3
    assert figures["from then, shifted"] == pytest.approx(0.6, rel=1e-6)  # 18.3 to 18.9
    assert figures["from the last shift, 99 % moved"] == pytest.approx(2.1, rel=1e-6)
    # A hundred of each home's requests a second, from second 15 to 71; of east's, while they went there, 3 of 10.
    assert figures["requests failed"] == pytest.approx(100 * 149 / 11_200)
    assert figures["first tries failed"] == pytest.approx(100 * 500 / 11_200)
    assert figures["requests failed that began when all resolvers knew"] == 0
    record = hard_kong()
    late = next(each for each in record["traffic"] if each["home"] == "east" and each["at"] == START + 22)
    late["failed"] += 7  # 18.9, a TTL and a user's patience later
    assert told("forced", record)[0]["requests failed that began when all resolvers knew"] == 7


def test_a_run_that_was_not_completed_gives_no_figures_and_says_why() -> None:
    figures, missing = told("forced", hard_kong() | {"outcome": "refused", "reasons": ["too little head-room"]})
    assert figures == {}
    assert missing == ["a forced run, which was refused: too little head-room"]
