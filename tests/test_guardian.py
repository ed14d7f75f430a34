"""Taking over from a dead runner: everything it left is undone, with the journal, without it, and whatever it says."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian import Cut, Kill, Pause
from simian.errors import JournalError
from simian.guardian import close_harmless, entries_to_undo, is_dead, take_over
from simian.hands import OneByOne
from simian.journal import Entry, Journal
from simian.memory import MemoryWorld, build_memory_world
from simian.owner import Owner, start_time_of

LINK = "members-east-a--cache-east-a"
DEAD = (2**22 + 1, "1")


def entry(n: int, fault: Any, state: str = "intended", until: float | None = None) -> Entry:
    return Entry("r", n, "s", fault, state, until)


def begun(journal: Journal, memory: MemoryWorld, run: str = "r") -> None:
    journal.begin(run, at=memory.clock.now(), owner=DEAD, request={}, world={})


def take(memory: MemoryWorld, entries: list[Entry], journal: Journal | None, why: str = "the runner died") -> list[str]:
    return take_over("r", why, entries, world=memory.world, hands=OneByOne(Random(1)), journal=journal)


def test_what_a_dead_runner_left_is_undone_and_its_run_is_final(tmp_path: Path) -> None:
    memory, journal = build_memory_world(), Journal(tmp_path / "journal.db")
    begun(journal, memory)
    faults = [Kill("store-east-a"), Cut(LINK).prepare(memory.world), Pause("gateway-west-b")]
    journal.intend("r", [(n, "s", fault, {}) for n, fault in enumerate(faults, 1)], 1.0)
    for fault, n in zip(faults, (1, 2, 3), strict=True):
        fault.inject(memory.world, f"simian.r.{n}")
    assert take(memory, journal.still_open("r"), journal) == []
    assert all(memory.world.platform.ready(name) for name in ("store-east-a", "gateway-west-b"))
    assert memory.world.network.read(LINK).enabled
    row = journal.run_row("r")
    assert (row["outcome"], row["verdict"], row["recovery"]) == ("crashed", "unknown", "clean")
    assert json.loads(row["reasons"]) == ["crashed: the runner died; 3 of 3 open faults undone"]
    assert journal.with_open_faults() == []


@pytest.mark.parametrize("journal_is", ["gone", "deleted", "full"])
def test_intents_held_in_memory_are_undone_without_a_journal(journal_is: str, tmp_path: Path) -> None:
    memory = build_memory_world()
    full: list[bool] = []

    def crash(point: str) -> None:
        if full and point.endswith(":before"):
            raise JournalError("the disk is full")

    journal = None if journal_is == "gone" else Journal(tmp_path / "journal.db", crash)
    if journal is not None:
        begun(journal, memory)
        full.append(True)
        if journal_is == "deleted":
            for part in tmp_path.iterdir():
                part.unlink()
    memory.world.platform.kill("store-east-a")
    assert take(memory, entries_to_undo([entry(1, Kill("store-east-a"))], journal, "r"), journal) == []
    assert memory.world.platform.ready("store-east-a")


def test_what_only_one_of_the_two_copies_knows_is_undone_too(tmp_path: Path) -> None:
    memory, journal = build_memory_world(), Journal(tmp_path / "journal.db")
    begun(journal, memory)
    journal.intend("r", [(1, "s", Kill("store-east-a"), {}), (2, "s", Kill("store-east-b"), {})], 1.0)
    held = [entry(2, Kill("store-east-b"), "doubtful", 99.0), entry(3, Kill("store-east-c"))]
    found = {e.n: e for e in entries_to_undo(held, journal, "r")}
    assert sorted(found) == [1, 2, 3]
    assert found[2].doubtful_until == 99.0, "the copy in memory is the newer one"


def test_a_takeover_that_gets_stuck_says_so_and_keeps_the_locks(tmp_path: Path) -> None:
    memory, journal = build_memory_world(), Journal(tmp_path / "journal.db")
    begun(journal, memory)
    journal.lock("r", [("node", "store-east-a")])
    journal.intend("r", [(1, "s", Kill("store-east-a"), {})], 1.0)
    memory.world.platform.kill("store-east-a")
    memory.state.nodes["store-east-a"].start_delay_s = 1e6
    [line] = take(memory, journal.still_open("r"), journal)
    row = journal.run_row("r")
    assert row["recovery"] == "stuck"
    assert f"stuck: {line}" in json.loads(row["reasons"])
    assert journal.still_open("r")[0].state == "stuck"
    assert journal.lock("next", [("node", "store-east-a")]) == ["store-east-a (node) is held by run r"]
    memory.state.nodes["store-east-a"].start_delay_s = 0.1
    memory.world.platform.kill("store-east-a")
    assert take(memory, journal.still_open("r"), journal, "recovered by hand") == []
    assert journal.run_row("r")["recovery"] == "clean"
    assert journal.lock("next", [("node", "store-east-a")]) == []


def test_a_verdict_that_was_told_is_kept(tmp_path: Path) -> None:
    """A run that ended stuck and is recovered later was broken all the same."""
    memory, journal = build_memory_world(), Journal(tmp_path / "journal.db")
    begun(journal, memory)
    journal.intend("r", [(1, "s", Kill("store-east-a"), {})], 1.0)
    journal.end("r", at=2.0, outcome="completed", verdict="broken", recovery="stuck", reasons=["broken: x"])
    take(memory, journal.still_open("r"), journal, "by hand")
    row = journal.run_row("r")
    assert (row["outcome"], row["verdict"], row["recovery"]) == ("completed", "broken", "clean")
    assert json.loads(row["reasons"]) == ["broken: x", "recovered: by hand; 1 of 1 open faults undone"]


def test_dead_runs_with_nothing_open_are_closed_and_living_ones_left(tmp_path: Path) -> None:
    memory, journal, me = build_memory_world(), Journal(tmp_path / "journal.db"), Owner.me()
    begun(journal, memory, "dead")
    begun(journal, memory, "hurt")
    journal.intend("hurt", [(1, "s", Kill("store-east-a"), {})], 1.0)
    journal.begin("alive", at=1.0, owner=(me.pid, me.start_time), request={}, world={})
    begun(journal, memory, "watched")
    journal.keep("watched", guardian_pid=me.pid, guardian_start_time=me.start_time)
    close_harmless(journal, memory.clock)
    assert {row["run"] for row in journal.unfinished()} == {"hurt", "alive", "watched"}
    assert "no fault was open" in journal.run_row("dead")["reasons"]
    assert [is_dead(journal.run_row(run)) for run in ("dead", "hurt", "alive", "watched")] == [True, True, False, False]


def test_the_process_undoes_when_its_runner_dies(tmp_path: Path) -> None:
    """The real process, over its stdin and stdout; its world is a memory one, so its journal tells what it did."""
    journal = Journal(tmp_path / "journal.db")
    journal.begin("r", at=1.0, owner=DEAD, request={}, world={})
    journal.intend("r", [(1, "s", Kill("store-east-a"), {})], 1.0)
    settings = {port: {"driver": "memory"} for port in ("platform", "network", "requests", "observer")}
    told = {"run": "r", "runner": DEAD, "journal": str(journal.path), "settings": settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "simian.cli.guardian_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(told).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == {"ready": "r"}
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    row = journal.run_row("r")
    assert (row["outcome"], row["recovery"]) == ("crashed", "clean")
    assert "the runner died; 1 of 1 open faults undone" in row["reasons"]


# --- who is who


def test_a_process_is_known_by_pid_and_start_time() -> None:
    me = Owner.me()
    assert me.alive
    assert not Owner(me.pid, "0").alive, "a pid used again is another process"
    assert not Owner(*DEAD).alive
    assert not Owner.of(DEAD[0]).alive, "one that is dead when it is asked for stays dead"


def test_one_that_has_ended_but_is_not_waited_for_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    owner = Owner.of(process.pid)
    assert owner.alive
    assert process.stdin
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_time_of(process.pid) is None
    assert not owner.alive
    process.wait()


def test_a_reply_that_nobody_reads_does_not_end_a_guardian() -> None:
    from simian.guardian import Guardian
    from simian.lease import Lines

    class Closed(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    class Nobody:
        alive = False

        def send(self, number: Any) -> bool:
            return False

    read, write = os.pipe()
    held = Guardian("r", Nobody(), build_memory_world().clock, Lines(read), Closed())
    held._take({"do": "intend", "entries": [{"n": 1, "stage": "s", "fault": Kill("a").to_json()}]})
    assert list(held.held) == [1]
    os.close(read)
    os.close(write)
