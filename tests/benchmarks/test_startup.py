"""What a command's start is said to take."""

import sys

import pytest


def test_waiting_is_elapsed_time_and_no_time_of_the_processor() -> None:
    import peers

    taken = peers.used(sys.executable, "-c", "import time; time.sleep(1); print('slept')")
    assert taken.elapsed_ms >= 1_000 > taken.cpu_ms
    assert taken.text == "slept\n"


def test_without_the_peer_our_times_are_told_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import peers
    import startup

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(startup, "EVERYTHING", "json")
    report = peers.Report(1, quick=True)
    startup.measure(report)
    assert [row.ratio is None for row in report.rows] == [True] * 4 + [False] * 2
    assert "chaostoolkit" in report.missing[0]
