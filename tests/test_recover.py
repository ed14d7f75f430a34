"""Recovery: newest first, never stopping at one failure, and not before a late call can land no more."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian import Kill
from simian.errors import DriverError, JournalError
from simian.fault import Fault
from simian.guardian import take_over
from simian.hands import OneByOne
from simian.journal import BUSY_LIMIT_S, Entry, Journal
from simian.memory import MemoryWorld, build_memory_world
from simian.recover import QUARANTINE_S, TRIES, Recovery


@dataclass
class Notes:
    """A fault log that keeps everything."""

    told: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)

    def mark(self, entry: Entry, state: str, **facts: object) -> None:
        self.told.append((entry.n, state, facts))

    def of(self, state: str) -> list[int]:
        return [n for n, told, _ in self.told if told == state]


@dataclass(frozen=True)
class Scripted(Fault):
    """A fault whose undo and looks follow a script; ``done`` is what was called, in order."""

    node: str
    done: list[str] = field(default_factory=list, compare=False)
    undo_by: Callable[[int], None] = lambda times: None
    gone_by: Callable[[int], bool] = lambda times: True

    def undo(self, world: Any, mark: str) -> None:
        self.done.append(f"undo {self.node}")
        self.undo_by(self.done.count(f"undo {self.node}"))

    def gone(self, world: Any, mark: str) -> bool:
        self.done.append(f"look {self.node}")
        return self.gone_by(self.done.count(f"look {self.node}"))


class SteersUsers(Scripted):
    """One that is undone after all that are not like it."""

    last = True


@dataclass(frozen=True)
class Jumped:
    """A clock whose time of day somebody set anew."""

    clock: Any
    jump_s: float

    def now(self) -> float:
        return float(self.clock.now()) + self.jump_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clock, name)


def entry(n: int, fault: Fault, stage: str = "s", state: str = "injected", until: float | None = None) -> Entry:
    return Entry("r", n, stage, fault, state, until)


def recovery(notes: Notes, memory: MemoryWorld | None = None, **options: Any) -> Recovery:
    world = (memory or build_memory_world()).world
    return Recovery(world, OneByOne(Random(1)), notes, **options)


def _fails(times: int) -> None:
    raise DriverError("the engine is gone")


def test_one_failed_undo_never_stops_the_others() -> None:
    notes, done = Notes(), []
    entries = [entry(n, Scripted(f"n{n}", done, _fails if n in (2, 4) else lambda times: None)) for n in range(1, 6)]
    stuck = recovery(notes).undo_all(entries)
    assert sorted(notes.of("undone")) == [1, 3, 5]
    assert sorted(notes.of("stuck")) == [2, 4]
    assert done.count("undo n2") == TRIES
    assert sorted(stuck) == [
        ' of n2: the engine is gone; run "simian recover"',
        ' of n4: the engine is gone; run "simian recover"',
    ]


def test_an_undo_that_raises_what_nobody_expects_is_stuck_and_no_traceback() -> None:
    def odd(times: int) -> None:
        raise ZeroDivisionError("a defect")

    notes = Notes()
    [line] = recovery(notes).undo_all([entry(1, Scripted("n1", [], odd)), entry(2, Scripted("n2"))])
    assert "a defect" in line
    assert notes.of("undone") == [2]


def test_an_undo_is_tried_again_before_it_is_given_up() -> None:
    def third_time(times: int) -> None:
        if times < 3:
            raise DriverError("busy")

    notes, done = Notes(), []
    assert recovery(notes).undo_all([entry(1, Scripted("n1", done, third_time))]) == []
    assert done == ["undo n1"] * 3 + ["look n1"]


def test_a_stuck_fault_is_named_with_target_reason_and_command() -> None:
    memory, notes = build_memory_world(), Notes()
    memory.world.platform.kill("store-east-a")
    memory.state.nodes["store-east-a"].start_delay_s = 1e6
    [line] = recovery(notes, memory, ready_within_s=5.0).undo_all([entry(1, Kill("store-east-a"))])
    assert line == 'kill of store-east-a: not as before within 5 s; run "simian recover"'
    assert notes.told == [(1, "stuck", {"error": "not as before within 5 s", "doubtful_until": None})]


def test_a_later_stage_is_as_before_when_an_earlier_one_is_touched() -> None:
    done: list[str] = []
    third = Scripted("third", done, gone_by=lambda times: times >= 4)
    entries = [
        entry(1, Scripted("first", done), "one"),
        entry(2, Scripted("second", done), "one"),
        entry(3, third, "two"),
    ]
    notes = Notes()
    assert recovery(notes).undo_all(entries) == []
    assert done[:5] == ["undo third", *["look third"] * 4]
    assert set(done[5:]) == {"undo first", "undo second", "look first", "look second"}
    assert notes.told[0][:2] == (3, "undone")


def test_a_stage_that_is_stuck_does_not_keep_the_earlier_ones_broken() -> None:
    notes = Notes()
    entries = [entry(1, Scripted("first"), "one"), entry(2, Scripted("second", [], _fails), "two")]
    assert len(recovery(notes).undo_all(entries)) == 1
    assert notes.of("undone") == [1]


def test_a_doubtful_fault_is_undone_again_until_its_quarantine_has_passed() -> None:
    memory, notes = build_memory_world(), Notes()
    clock, platform = memory.clock, memory.world.platform
    until, start = clock.now() + QUARANTINE_S, clock.elapsed()
    for late_s in (0.3, 4.0, 9.9, 14.8):
        clock.at(start + late_s, partial(platform.kill, "store-east-a"))
    assert recovery(notes, memory).undo_all([entry(1, Kill("store-east-a"), state="doubtful", until=until)]) == []
    assert clock.now() >= until, "not before the last call can have landed"
    assert notes.of("undone") == [1], "told once"
    assert platform.ready("store-east-a")
    clock.wait(100)
    assert platform.ready("store-east-a")


def test_a_doubtful_fault_does_not_hold_up_its_neighbours() -> None:
    memory, notes = build_memory_world(), Notes()
    start, until = memory.clock.now(), memory.clock.now() + 15.0
    entries = [entry(1, Scripted("sure")), entry(2, Scripted("doubtful"), until=until)]
    recovery(notes, memory).undo_all(entries)
    told = {n: facts["undone"] for n, _, facts in notes.told}
    assert told[1] == start
    assert told[2] >= until  # type: ignore[operator]


def test_a_quarantine_longer_than_the_patience_is_waited_for() -> None:
    memory, notes = build_memory_world(), Notes()
    assert recovery(notes, memory, ready_within_s=2.0).undo_all([entry(1, Scripted("n"), until=1.0)]) == []
    assert notes.of("undone") == [1]
    assert memory.clock.elapsed() >= QUARANTINE_S


def test_a_doubtful_fault_does_not_hold_up_earlier_stages_but_the_return_of_users() -> None:
    memory, notes = build_memory_world(), Notes()
    start = memory.clock.now()
    entries = [
        entry(1, SteersUsers("users"), "one"),
        entry(2, Scripted("sure"), "two"),
        entry(3, Scripted("doubtful"), "three", until=start),
    ]
    recovery(notes, memory).undo_all(entries)
    told = {n: facts["undone"] for n, _, facts in notes.told}
    assert told[2] == start
    assert told[3] >= start + QUARANTINE_S  # type: ignore[operator]
    assert told[1] >= told[3]  # type: ignore[operator]


def test_a_wall_clock_that_jumps_makes_no_quarantine_longer_or_shorter() -> None:
    for jump_s in (-3_600.0, 3_600.0):
        memory, notes = build_memory_world(), Notes()
        clock, platform = memory.clock, memory.world.platform
        until = clock.now() + QUARANTINE_S
        jumped = replace(memory.world, clock=Jumped(clock, jump_s))
        clock.at(clock.elapsed() + 14.8, partial(platform.kill, "store-east-a"))
        Recovery(jumped, OneByOne(Random(1)), notes).undo_all([entry(1, Kill("store-east-a"), until=until)])
        assert notes.of("undone") == [1]
        assert platform.ready("store-east-a")
        assert QUARANTINE_S <= clock.elapsed() < QUARANTINE_S + 5.0


class LockedJournal(Journal):
    """One whose every mark waits in vain, up to some moment."""

    def __init__(self, memory: MemoryWorld, until: float) -> None:
        super().__init__(Path(":memory:"))
        self._clock, self._until = memory.clock, until

    def mark(self, run: str, n: int, state: str, **facts: object) -> None:
        if self._clock.elapsed() < self._until:
            self._clock.wait(BUSY_LIMIT_S)
            raise JournalError("locked")
        super().mark(run, n, state, **facts)


@pytest.mark.parametrize("locked_s", [1.0, 1e6])
def test_a_locked_journal_holds_up_undo_once_and_is_told_everything_when_it_is_free(locked_s: float) -> None:
    memory = build_memory_world()
    journal = LockedJournal(memory, locked_s)
    faults = [Kill(f"store-{region}-{zone}") for region in ("east", "west") for zone in "ab"]
    journal.begin("r", at=0.0, owner=(0, ""), request={}, world={})
    journal.intend("r", [(n, f"stage {n}", fault, {}) for n, fault in enumerate(faults, 1)], 0.0)
    for n, fault in enumerate(faults, 1):
        Journal.mark(journal, "r", n, "injected")
        fault.inject(memory.world, "")
    began = memory.clock.elapsed()
    hands, entries = OneByOne(Random(1)), journal.still_open("r")
    take_over("r", "it died", entries, world=memory.world, hands=hands, journal=journal)
    assert all(memory.world.platform.ready(fault.node) for fault in faults)
    assert memory.clock.elapsed() - began < len(faults) * BUSY_LIMIT_S, "it waited once amid the undo, once after it"
    assert bool(journal.with_open_faults()) == (locked_s > 1.0)


def test_a_fault_that_is_stuck_stays_doubtful_for_the_next_recovery() -> None:
    notes = Notes()
    recovery(notes).undo_all([entry(1, Scripted("n", [], _fails), state="doubtful", until=9.0)])
    assert notes.told == [(1, "stuck", {"error": "the engine is gone", "doubtful_until": 9.0})]


def test_the_lease_is_renewed_all_the_while() -> None:
    memory, breaths = build_memory_world(), []
    slow = Scripted("n", [], gone_by=lambda times: times > 50)
    recovery(Notes(), memory, idle=lambda: breaths.append(memory.clock.elapsed())).undo_all([entry(1, slow)])
    gaps = [later - earlier for earlier, later in pairwise(breaths)]
    assert max(gaps) <= 1.0
    assert breaths[-1] - breaths[0] > 2.0


def test_nothing_to_undo_is_nothing_to_do() -> None:
    notes = Notes()
    assert recovery(notes).undo_all([]) == []
    assert notes.told == []


def test_one_look_that_fails_is_looked_at_again() -> None:
    def flaky(times: int) -> bool:
        if times == 1:
            raise DriverError("no answer")
        return True

    notes = Notes()
    assert recovery(notes).undo_all([entry(1, Scripted("n", [], gone_by=flaky))]) == []
    assert notes.of("undone") == [1]
