"""What the benchmarks compute of what they measured."""

import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest


def test_a_ratio_is_the_median_of_the_rounds_and_one_busy_round_does_not_move_it() -> None:
    import peers

    row = peers.compared("x", "ms", [1.0, 1.0, 9.0], [2.0, 2.0, 2.0], "peer", peers.Goal(0.5))
    assert (row.ratio, row.spread, row.met) == (0.5, (0.5, 4.5), True)


@pytest.mark.parametrize(("most", "met"), [(True, False), (False, True)])
def test_a_goal_knows_its_direction(most: bool, met: bool) -> None:
    import peers

    assert peers.compared("x", "", [3.0], [2.0], "peer", peers.Goal(1.0, most=most)).met is met
    assert peers.alone("x", "", [3.0], 2.0, most=most).met is met


def test_without_the_peer_there_is_no_ratio_and_its_goal_is_neither_met_nor_missed() -> None:
    import peers

    row = peers.compared("x", "ms", [1.0, 3.0], None, "peer", peers.Goal(0.5))
    assert (row.ours, row.ratio, row.met, row.cells()[2]) == (2.0, None, None, "-")


def test_a_peer_of_nothing_is_told_and_there_is_no_ratio_to_it() -> None:
    import peers

    row = peers.compared("x", "ms", [1.0], [0.0], "peer", peers.Goal(2.0, of="ours"))
    assert (row.ratio, row.met, row.cells()[2:4]) == (None, True, ("peer 0", "-"))


def test_measures_take_turns_and_who_begins_changes() -> None:
    import peers

    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    assert peers.interleaved(2, lambda: measure("a"), lambda: measure("b")) == [[1.0, 4.0], [2.0, 3.0]]
    assert order == ["a", "b", "b", "a"]


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_failures_are_drawn_with_their_share(share: float) -> None:
    import guard

    slices = guard.failures(Random(1), share)
    mean = sum(next(slices) for _ in range(20_000)) / 20_000 / guard.REQUESTS
    assert mean == pytest.approx(share, rel=0.05)


def test_a_closed_window_rings_at_its_end_only() -> None:
    import guard

    take = guard.closed_window()
    rang = [take(5, 5) for _ in range(2 * guard.WINDOW)]
    assert [number for number, rings in enumerate(rang, 1) if rings] == [guard.WINDOW, 2 * guard.WINDOW]


def found() -> dict[str, Any]:
    """What a benchmark writes."""
    import dataclasses

    import peers

    slow = peers.compared("stored rows", "", [3.0], None, "", peers.Goal(2.0, of="ours", why="Rows are large."))
    report = peers.Report(3, False, [slow], missing=["wrk: apt install wrk"])
    about = "Rows, stored.\n\n    python x.py\n\nOnly once."
    return {"name": "x", "about": about, "machine": peers.machine(), "others": 0.5, **dataclasses.asdict(report)}


def test_the_page_has_every_row_why_a_goal_was_missed_who_was_missing_and_who_disturbed() -> None:
    import write_table

    told = write_table.section(found())
    for part in (
        "| stored rows | 3 | - | - | ours <= 2 | **no** |",
        "Rows are large",
        "apt install",
        "others took 50%",
    ):
        assert part in told
    assert "Only once." in told
    assert "python x.py" not in told


def test_a_goal_that_was_met_has_no_excuse() -> None:
    import peers

    assert peers.compared("x", "", [1.0], None, "", peers.Goal(2.0, of="ours", why="Rows are large.")).why == ""


def test_the_page_refuses_a_quick_trial() -> None:
    import write_table

    with pytest.raises(ValueError, match="quick"):
        write_table.section(found() | {"quick": True})


def test_a_peer_s_version_is_what_its_program_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import peers

    program = tmp_path / "peer"
    program.write_text("#!/bin/sh\necho peer, version 2.12.0 of today\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    report = peers.Report(1, quick=True)
    assert report.program("peer", "install it", "--version") == str(program)
    assert (report.peers, report.missing) == ({"peer": "2.12.0"}, [])


def test_the_work_of_others_is_seen() -> None:
    import peers

    if not Path("/proc/stat").exists():
        pytest.skip("this system does not tell")
    others = peers.Others()
    busy = "import time; until = time.monotonic() + 30\nwhile time.monotonic() < until: pass"
    other = subprocess.Popen([sys.executable, "-c", busy])
    try:
        while (others.share() or 0.0) < 0.05:
            time.sleep(0.05)
    finally:
        other.kill()
        other.wait()
