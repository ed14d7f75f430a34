"""What is told of load generators."""

import asyncio
import sys
from pathlib import Path

import pytest


def program(folder: Path, name: str, printed: str) -> str:
    """A program of that name that prints so, whatever it is asked."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nprint({printed!r})\n")
    path.chmod(0o700)
    return str(path)


def test_the_truth_about_a_stall_is_who_meant_to_begin_in_it_and_how_long_they_wait() -> None:
    import stalls

    every_10_ms = [number / 100 for number in range(1_000)]
    assert stalls.truth_ms(every_10_ms, 2.0, 4.0) == pytest.approx((1_890.0, 1_910.0))  # ten wait longer than 1,900
    assert stalls.truth_ms(every_10_ms, 2.0, 2.05) == (0.0, 0.0)


def test_whoever_tells_the_truth_to_one_request_is_not_off_and_beyond_that_the_distance_counts() -> None:
    import stalls

    assert stalls.off_percent(1_905.0, 1_890.0, 1_910.0) == 0.0
    assert stalls.off_percent(945.0, 1_890.0, 1_910.0) == 50.0


def test_a_stall_is_told_and_one_who_tells_a_tenth_of_it_is_nine_tenths_off(tmp_path: Path) -> None:
    import stalls

    stall_s = 0.5
    told_s = 0.1 * (stall_s - 0.01 * (stall_s + stalls.AROUND_S))
    hey = program(tmp_path, "hey", f"  95%% in 0.0010 secs\n  99%% in {told_s:.4f} secs")
    for seed in range(5):  # a busy machine wakes the users, or the server, too late: then nothing was measured
        ours, peer = asyncio.run(stalls.one_stall(hey, stall_s, seed))
        if ours < 10:
            break
    assert ours < 10
    assert peer == pytest.approx(90, abs=3)


def test_what_a_peer_printed_is_read(tmp_path: Path) -> None:
    import load

    printed = "Requests/sec:  1234.5\n  500 requests in 2.00s, 1MB read\n  [200]\t1000 responses\n"
    wrk = load.wrk(program(tmp_path, "wrk", printed), 1, 2)
    hey = load.hey(program(tmp_path, "hey", printed), 1, 1_000)
    assert wrk.per_second == hey.per_second == 1234.5
    assert wrk.cpu_us > 0
    assert hey.cpu_us > 0


def test_users_at_a_rate_cost_something_and_so_does_a_peer(tmp_path: Path) -> None:
    import stalls

    ours = asyncio.run(stalls.beat(0.2, seed=1))
    assert min(ours) >= 0 < ours.cpu_us
    assert stalls.hey_cpu_us(program(tmp_path, "hey", "  [200]\t200 responses\n"), 0.2) > 0


def test_a_peer_that_prints_something_else_is_not_measured(tmp_path: Path) -> None:
    import load

    with pytest.raises(RuntimeError, match="requests in"):
        load.wrk(program(tmp_path, "wrk", "unable to connect"), 1, 2)


def test_without_peers_our_cost_is_told_and_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import load
    import peers

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(load.stalls, "measure", lambda report, program: None)
    report = peers.Report(1, quick=True)
    load.measure(report)
    assert [row.ratio is None for row in report.rows] == [True] * 4 + [False] * 4
    assert all(row.ours > 0 for row in report.rows)
    assert [line.split()[0] for line in report.missing] == ["hey", "wrk"]
