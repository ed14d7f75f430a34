"""Any sequence of inject, undo, crash, restart, lost target and recreated target, over all faults, ends clean."""

import itertools
import os
import time
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from simian.fault import KINDS, fault_from_words
from simian.guardian import recover_each

from ..figures import note_figures
from .lives import LINKS, NODES, WORDS, Lives, at_random

LIVES = int(os.environ.get("SIMIAN_LIVES", "300"))
STEPS = st.one_of(st.just(0), st.integers(1, 60))
TARGETS = st.sampled_from((*NODES, *LINKS))


class AnySequence(RuleBasedStateMachine):
    """Runs that live and die on one world, as Hypothesis draws them."""

    def __init__(self) -> None:
        super().__init__()
        self.lives = Lives()

    @rule(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), steps=STEPS)
    def inject(self, words: list[dict[str, Any]], steps: int) -> None:
        self.lives.inject(words, steps)

    @rule(which=st.lists(st.integers(0, 99), min_size=1, max_size=4), steps=STEPS)
    def undo(self, which: list[int], steps: int) -> None:
        self.lives.undo_some(which, steps)

    @rule(steps=STEPS)
    def restart(self, steps: int) -> None:
        self.lives.recover(steps)

    @rule(name=TARGETS)
    def lose(self, name: str) -> None:
        self.lives.lose(name)

    @rule(name=TARGETS)
    def recreate(self, name: str) -> None:
        self.lives.recreate(name)

    @rule(seconds=st.floats(0, 15))
    def let_time_pass(self, seconds: float) -> None:
        self.lives.memory.clock.wait(seconds)

    def teardown(self) -> None:
        self.lives.check()


def test_any_sequence_of_deaths_ends_clean() -> None:
    run_state_machine_as_test(
        AnySequence,
        settings=settings(
            max_examples=max(20, LIVES // 20),
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_what_one_dead_run_keeps_from_being_undone_is_undone_by_the_same_recovery() -> None:
    lives = Lives()
    lives.inject([{"pause": "gateway-west-b"}])
    lives.inject([{"failover_mode": "west", "homes": ["east"]}])  # which a paused gateway cannot be told to leave
    lives.check()


@pytest.mark.parametrize(("stuck", "passes"), [([3, 1, 0], 3), ([3, 2, 2, 0], 3), ([1, 1, 0], 2), ([0, 1], 1)])
def test_recovery_is_tried_again_for_as_long_as_less_is_stuck_each_time(stuck: list[int], passes: int) -> None:
    rows, taken = [{"run": "older"}, {"run": "newer"}], itertools.count()

    def take(row: Mapping[str, Any]) -> list[str]:
        """The older has that much stuck, and says so in other words each time: an address, a duration."""
        at = next(taken)
        return [f"no answer in {at}.{n} s" for n in range(stuck[at // 2])] if row["run"] == "older" else []

    assert len(recover_each(lambda: rows, take)) == stuck[passes - 1]
    assert next(taken) == 2 * passes


def test_thousands_of_sequences_from_seeds_end_clean() -> None:
    lives, began, simulated_s, deaths = Lives(), time.perf_counter(), 0.0, 0
    for seed in range(LIVES):
        if seed % 50 == 0:  # a journal of thousands of runs is another test's affair
            simulated_s, deaths = simulated_s + lives.memory.clock.elapsed(), deaths + lives.deaths
            lives = Lives()
        lives.told, lives.every = [f"seed {seed}"], []
        at_random(Random(seed), lives)
        lives.check()
    simulated_s, deaths = simulated_s + lives.memory.clock.elapsed(), deaths + lives.deaths
    assert deaths > LIVES / 4
    note_figures(what="any sequence", monkey="every fault", seed=LIVES, lives=LIVES, wrong=0,
                 seconds=time.perf_counter() - began, simulated_s=simulated_s)  # fmt: skip


def test_every_kind_of_fault_is_among_them() -> None:
    assert {fault_from_words(words).kind for words in WORDS} == set(KINDS)


NODE, LINK = NODES[0], LINKS[0]
PAIRS: list[list[dict[str, Any]]] = [
    [{"pause": NODE}, {"kill": NODE}],
    [{"pause": NODE}, {"crash": NODE}],
    [{"stop": NODE}, {"request_delay": NODE, "by": "constant:50ms"}],
    [{"pause": NODE}, {"request_error": NODE, "share": 0.5}],
    [{"cut": LINK}, {"delay": LINK, "by": "constant:50ms"}],
    [{"cut": LINK}, {"throttle": LINK, "rate_kb_s": 50}],
    [{"cut": LINK, "how": "blackhole"}, {"delay": LINK, "by": "constant:50ms"}],
    [{"kill": NODE}, {"cut": LINK}],
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " + ".join(next(iter(words)) for words in pair))
def test_pairs_of_faults_on_one_target_are_undone_in_any_order_any_number_of_times(pair: list[dict[str, Any]]) -> None:
    for put, orders in itertools.product(itertools.permutations(pair), range(1, 4)):
        for order in itertools.product(range(len(pair)), repeat=orders):
            lives = Lives()
            lives.inject(put)
            assert len(lives.every) == len(pair)
            lives.undo_some(order)
            lives.undo_some(order[::-1])
            if set(order) == {0, 1}:
                lives.memory.clock.wait(2.0)  # what was started is ready
                for entry in lives.every:
                    assert entry.fault.gone(lives.memory.world, entry.mark)
            lives.check()
