"""Shifts that lie upon one another: whatever order they go in, the last one to go leaves what was there before."""

import itertools
from random import Random

import pytest

from simian.errors import DriverError
from simian.steering.layers import Answered, put, without

HOME = {"east": 1.0, "west": 0.0}
STEPS = [{"east": share, "west": 1 - share} for share in (0.75, 0.5, 0.25, 0.0)]


def stacked() -> Answered:
    now = Answered(HOME)
    for n, step in enumerate(STEPS, 1):
        now = put(now, f"simian.r.{n}", step)
    return now


@pytest.mark.parametrize("order", list(itertools.permutations(range(1, 5))))
def test_taken_out_in_any_order_and_twice_they_leave_nothing(order: tuple[int, ...]) -> None:
    now = stacked()
    for n in order:
        now = without(without(now, f"simian.r.{n}"), f"simian.r.{n}")
    assert now == Answered(HOME)


def test_the_last_one_out_is_answered_no_more_and_the_one_below_is() -> None:
    now = without(stacked(), "simian.r.4")
    assert now.now == STEPS[2]
    assert without(stacked(), "simian.r.2").now == STEPS[3]  # one from the middle changes no answer


def test_the_same_again_changes_nothing_and_the_last_may_change_its_answer() -> None:
    assert put(stacked(), "simian.r.4", STEPS[3]) == stacked()
    eased = put(stacked(), "simian.r.4", STEPS[1])
    assert (eased.now, len(eased.layers)) == (STEPS[1], 4)


def test_what_somebody_else_has_set_meanwhile_stays() -> None:
    theirs = Answered({"east": 0.1, "west": 0.9}, stacked().layers)
    with pytest.raises(DriverError, match="somebody else has set east 10 %, west 90 %"):
        put(theirs, "simian.r.5", HOME)
    for n in range(4, 0, -1):
        theirs = without(theirs, f"simian.r.{n}")
    assert theirs == Answered({"east": 0.1, "west": 0.9})


def test_one_that_lies_under_another_is_not_changed() -> None:
    with pytest.raises(DriverError, match=r"simian\.r\.1 is in place under simian\.r\.4"):
        put(stacked(), "simian.r.1", STEPS[1])


def test_any_sequence_of_puts_and_takes_ends_where_it_began() -> None:
    for seed in range(300):
        rng, now, marks = Random(seed), Answered(HOME), [f"simian.r.{n}" for n in range(5)]
        for _ in range(30):
            mark = rng.choice(marks)
            at_top = not now.layers or now.layers[-1].mark == mark
            if rng.random() < 0.5 and (at_top or all(layer.mark != mark for layer in now.layers)):
                now = put(now, mark, rng.choice(STEPS))
            else:
                now = without(now, mark)
        for mark in rng.sample(marks, len(marks)):
            now = without(now, mark)
        assert now == Answered(HOME), f"seed {seed}"
