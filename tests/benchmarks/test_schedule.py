"""The benchmark of schedules."""

from pathlib import Path

import pytest


def test_nobody_starts_before_the_moment_and_each_starts_all(tmp_path: Path) -> None:
    import schedule

    for late in (
        schedule.ours_late_ms(tmp_path, 10, 5),
        schedule.loops_late_ms(10),
        schedule.peers_late_ms(tmp_path, 10),
    ):
        assert len(late) == 10
        assert min(late) >= 0


def test_it_runs_and_has_a_row_for_each_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    import peers
    import schedule

    monkeypatch.setattr(schedule, "BEFORE_S", 0.2)
    report = peers.Report(1, quick=True)
    schedule.measure(report)
    assert [row.goal for row in report.rows if row.goal != "-"] == ["ratio <= 0.05", "ratio <= 1.2", "ours <= 0.05"]
    assert all(row.ours > 0 for row in report.rows)
