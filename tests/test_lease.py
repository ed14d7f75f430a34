"""The lease and the guardian, over real pipes and a clock of the test's own."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from simian import Kill
from simian.clock import SystemClock
from simian.errors import LeaseLost
from simian.guardian import Guardian
from simian.lease import LEASE_S, GuardianLease, Lines, NoGuardian, write_line

ENTRY = {"n": 1, "stage": "s", "fault": Kill("web-1").to_json()}


@dataclass
class TestClock:
    """Elapsed time that the test moves; waits pass it."""

    __test__ = False
    at: float = 100.0

    def now(self) -> float:
        return 1_700_000_000.0 + self.at

    def elapsed(self) -> float:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Runner:
    """A process to watch that dies at the n-th signal."""

    dies_after: int = 1
    signals: list[signal.Signals] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return len(self.signals) < self.dies_after

    def send(self, number: signal.Signals) -> bool:
        self.signals.append(number)
        return True


@dataclass
class Pipes:
    """Both ways between a runner and its guardian."""

    to_guardian: IO[bytes]
    guardian_reads: int
    to_runner: IO[bytes]
    runner_reads: IO[bytes]

    def close_runner(self) -> None:
        self.to_guardian.close()
        self.runner_reads.close()


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    down_out, down_in = os.pipe()
    up_out, up_in = os.pipe()
    made = Pipes(os.fdopen(down_in, "wb", 0), down_out, os.fdopen(up_in, "wb", 0), os.fdopen(up_out, "rb", 0))
    yield made
    for stream in (made.to_guardian, made.to_runner, made.runner_reads):
        stream.close()
    os.close(down_out)


def guardian(pipes: Pipes, clock: Any = None, runner: Runner | None = None) -> Guardian:
    lines = Lines(pipes.guardian_reads)
    return Guardian("r", runner or Runner(), clock or TestClock(), lines, pipes.to_runner)


class Watching:
    """A guardian that watches in a thread, on the system's clock."""

    def __init__(self, pipes: Pipes) -> None:
        self.guardian, self.why = guardian(pipes, SystemClock()), "still watching"
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        self.why = self.guardian.watch() or "ended in peace"

    def wait(self) -> str:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.why


def lease(pipes: Pipes, clock: Any = None) -> GuardianLease:
    return GuardianLease(pipes.to_guardian, pipes.runner_reads, clock or SystemClock())


# --- both ends


def test_a_whole_run_over_the_pipes(pipes: Pipes) -> None:
    watching, mine = Watching(pipes), lease(pipes)
    mine.wait_until_ready()
    mine.intend([ENTRY, {**ENTRY, "n": 2}])
    assert sorted(watching.guardian.held) == [1, 2], "acknowledged means held"
    mine.mark(1, "injected")
    mine.mark(1, "undone")
    mine.mark(2, "doubtful", 123.5)
    mine.renew()
    mine.check()
    mine.end()
    assert watching.wait() == "ended in peace"
    assert not mine.alone
    [left] = watching.guardian.open_entries
    assert (left.n, left.state, left.doubtful_until, left.fault) == (2, "doubtful", 123.5, Kill("web-1"))


def test_the_death_of_the_runner_is_the_end_of_its_pipe(pipes: Pipes) -> None:
    watching, mine = Watching(pipes), lease(pipes)
    mine.wait_until_ready()
    mine.intend([ENTRY])
    pipes.close_runner()
    assert watching.wait() == "the runner died"
    assert [entry.n for entry in watching.guardian.open_entries] == [1]


def test_a_runner_that_dies_in_the_middle_of_a_line_has_intended_nothing(pipes: Pipes) -> None:
    watching, mine = Watching(pipes), lease(pipes)
    mine.wait_until_ready()
    pipes.to_guardian.write(b'{"do": "intend", "entr')
    pipes.close_runner()
    assert watching.wait() == "the runner died"
    assert watching.guardian.open_entries == []


# --- the runner's end


def test_a_guardian_that_is_gone_leaves_the_runner_alone_but_free_to_undo(pipes: Pipes) -> None:
    mine = lease(pipes)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, pipes.guardian_reads)  # nobody reads the runner's pipe any more
    os.close(nothing)
    pipes.to_runner.close()
    mine.renew()
    assert mine.alone
    mine.check()
    with pytest.raises(LeaseLost, match="it is gone"):
        mine.intend([ENTRY])
    mine.mark(1, "undone")
    mine.end()


def test_a_guardian_that_never_says_ready_is_no_guardian(pipes: Pipes) -> None:
    clock = TestClock()
    mine = lease(pipes, clock)

    class Impatient(Lines):
        def read(self, timeout_s: float) -> list[dict[str, Any]]:
            clock.wait(timeout_s)
            return super().read(0)

    mine._lines = Impatient(pipes.runner_reads.fileno())
    with pytest.raises(LeaseLost, match="did not say 'ready': it does not answer"):
        mine.wait_until_ready(3.0)
    with pytest.raises(LeaseLost, match="did not say 'ack'"):
        mine.intend([ENTRY])


def test_a_lease_that_was_not_renewed_in_time_stops_every_call(pipes: Pipes) -> None:
    clock = TestClock()
    mine = lease(pipes, clock)
    mine.renew()
    clock.wait(LEASE_S - 0.1)
    mine.check()
    clock.wait(0.2)
    with pytest.raises(LeaseLost, match="lease of 5 s has run out"):
        mine.check()


def test_no_guardian_is_never_lost() -> None:
    nobody = NoGuardian()
    nobody.renew()
    nobody.check()
    nobody.intend([ENTRY])
    nobody.mark(1, "undone")
    nobody.end()
    assert not nobody.alone


# --- the guardian's end


class Slow(Lines):
    """A pipe on which the time limit passes on the test's clock."""

    def __init__(self, descriptor: int, clock: TestClock) -> None:
        super().__init__(descriptor)
        self._clock = clock

    def read(self, timeout_s: float) -> list[dict[str, Any]]:
        found = super().read(0)
        if not found:
            self._clock.wait(timeout_s)
        return found


def test_a_runner_that_stalls_loses_its_lease(pipes: Pipes) -> None:
    clock = TestClock()
    mine = guardian(pipes, clock)
    mine.lines = Slow(pipes.guardian_reads, clock)
    write_line(pipes.to_guardian, {"do": "renew", "at": 103.0})
    write_line(pipes.to_guardian, {"do": "intend", "entries": [ENTRY]})
    assert mine.watch() == "the runner did not renew its lease of 5 s"
    assert 103.0 + LEASE_S < clock.at < 103.0 + LEASE_S + 2
    assert [entry.n for entry in mine.open_entries] == [1]


def test_what_lies_unread_in_the_pipe_is_no_stall(pipes: Pipes) -> None:
    """A guardian that was itself late first reads what its runner said meanwhile."""
    clock = TestClock()
    mine = guardian(pipes, clock)
    mine.lines = Slow(pipes.guardian_reads, clock)
    clock.wait(60)
    write_line(pipes.to_guardian, {"do": "renew", "at": clock.at})
    write_line(pipes.to_guardian, {"do": "end"})
    assert mine.watch() is None


def test_an_old_renewal_does_not_shorten_a_newer_one(pipes: Pipes) -> None:
    clock = TestClock()
    mine = guardian(pipes, clock)
    mine.lines = Slow(pipes.guardian_reads, clock)
    for at in (110.0, 101.0):
        write_line(pipes.to_guardian, {"do": "renew", "at": at})
    mine.watch()
    assert clock.at > 110.0 + LEASE_S


@pytest.mark.parametrize("dies_after", [1, 3])
def test_the_runner_is_ended_for_good_before_anything_is_undone(pipes: Pipes, dies_after: int) -> None:
    runner = Runner(dies_after)
    guardian(pipes, TestClock(), runner).end_runner()
    assert runner.signals == [signal.SIGKILL] * dies_after
    assert not runner.alive


def test_a_runner_that_cannot_be_ended_does_not_keep_undo_waiting_for_ever(pipes: Pipes) -> None:
    clock = TestClock()
    guardian(pipes, clock, Runner(10**9)).end_runner()
    assert clock.at < 120


def test_lines_come_whole_however_they_are_cut(pipes: Pipes) -> None:
    lines = Lines(pipes.guardian_reads)
    assert lines.read(0) == []
    pipes.to_guardian.write(b'{"a": 1}\n{"b"')
    assert lines.read(1) == [{"a": 1}]
    pipes.to_guardian.write(b': 2}\n\n{"c": 3}\n')
    assert lines.read(1) == [{"b": 2}, {"c": 3}]
    assert not lines.ended
    pipes.to_guardian.close()
    assert lines.read(1) == []
    assert lines.ended


def test_state_folder_is_not_needed_to_hold_intents(pipes: Pipes, tmp_path: Path) -> None:
    """Nothing of a guardian's watch touches the disk."""
    os.chmod(tmp_path, 0o500)
    mine = guardian(pipes)
    write_line(pipes.to_guardian, {"do": "intend", "entries": [ENTRY]})
    write_line(pipes.to_guardian, {"do": "mark", "n": 9, "state": "undone"})
    write_line(pipes.to_guardian, {"do": "end"})
    assert mine.watch() is None
    assert list(mine.held) == [1]
