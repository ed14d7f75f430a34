"""What the benchmarks compute of what they measured."""

from random import Random

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


def test_the_page_has_every_row_and_refuses_a_quick_trial() -> None:
    import dataclasses

    import peers
    import write_table

    report = peers.Report(3, False, [peers.alone("stored rows", "", [3.0], 2.0)], missing=["wrk: apt install wrk"])
    found = {"name": "x", "machine": peers.machine() | {"load": 9.0}, **dataclasses.asdict(report)}
    told = write_table.section(found)
    assert all(part in told for part in ("| stored rows | 3 | - | - | ours <= 2 | **no** |", "apt install", "busy"))
    with pytest.raises(ValueError, match="quick"):
        write_table.section(found | {"quick": True})
