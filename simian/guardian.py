"""The dead man's switch: a small process that recovers when its runner dies, stalls or hangs.

It holds every intent in memory, so that a full or lost disk does not stop undo, and outlives its runner. When the
lease runs out or the runner's pipe closes it first ends the runner for good (SIGKILL), so that two never act at once.
"""

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, Protocol

from simian.crash_points import CrashPoint, no_crash
from simian.errors import JournalError
from simian.fault import fault_from_json
from simian.hands import Hands
from simian.journal import Entry, Journal
from simian.lease import LEASE_S, Lines, write_line
from simian.owner import Owner
from simian.recover import QUARANTINE_S, Recovery
from simian.world import Clock, World

LOOK_S = 0.5
DEATH_LIMIT_S = 10.0


class Watched(Protocol):
    """The process watched over."""

    @property
    def alive(self) -> bool:
        """Whether it lives."""
        ...

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal."""
        ...


@dataclass
class Guardian:
    """Watches one run until its runner says ``end`` (returns None) or is lost (returns why)."""

    run: str
    runner: Watched
    clock: Clock
    lines: Lines
    reply: IO[bytes]
    held: dict[int, Entry] = field(default_factory=dict)

    def watch(self) -> str | None:
        """Until the end of the run or of its runner."""
        write_line(self.reply, {"ready": self.run})
        renewed_at = self.clock.elapsed()
        while True:
            messages = self.lines.read(LOOK_S)
            for message in messages:
                if message["do"] == "end":
                    return None
                renewed_at = max(renewed_at, self._take(message))
            if self.lines.ended:
                return "the runner died"
            # Only with nothing left to read is a missing renewal the runner's fault and not this process's lateness.
            if not messages and self.clock.elapsed() - renewed_at > LEASE_S:
                return f"the runner did not renew its lease of {LEASE_S:g} s"

    def _take(self, message: Mapping[str, Any]) -> float:
        if message["do"] == "renew":
            return float(message["at"])
        if message["do"] == "intend":
            self._hold(message["entries"])
        elif message["n"] in self.held:
            until = message.get("doubtful_until")
            self.held[message["n"]] = replace(self.held[message["n"]], state=message["state"], doubtful_until=until)
        return 0.0

    def _hold(self, entries: Sequence[Mapping[str, Any]]) -> None:
        for e in entries:
            self.held[e["n"]] = Entry(self.run, e["n"], e["stage"], fault_from_json(e["fault"]), "intended")
        try:
            write_line(self.reply, {"ack": len(entries)})
        except OSError:
            return  # the runner is gone; its pipe ends next, and that is what is acted on

    def end_runner(self) -> None:
        """Make sure that the runner acts no more."""
        until = self.clock.elapsed() + DEATH_LIMIT_S
        while self.runner.alive and self.clock.elapsed() < until:
            self.runner.send(signal.SIGKILL)
            self.clock.wait(0.02)

    @property
    def open_entries(self) -> list[Entry]:
        """What it holds that is not known to be undone."""
        return [entry for entry in self.held.values() if entry.state != "undone"]


class JournalLog:
    """Writes to the journal where that still works; undo does not depend on it, and waits for a locked one once."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal, self.lost = journal, journal is None
        self._pending: list[tuple[Entry, str, Mapping[str, object]]] = []

    def mark(self, entry: Entry, state: str, **facts: object) -> None:
        """See ``FaultLog.mark``."""
        self._pending.append((entry, state, facts))
        if not self.lost:
            self.catch_up()

    def catch_up(self) -> None:
        """Write what could not be written up to now."""
        try:
            while self._journal is not None and self._pending:
                entry, state, facts = self._pending[0]
                self._journal.mark(entry.run, entry.n, state, **facts)
                self._pending.pop(0)
        except JournalError:
            self.lost = True


def entries_to_undo(held: Sequence[Entry], journal: Journal | None, run: str) -> list[Entry]:
    """What to undo: the guardian's own copy and what the journal has beyond it."""
    entries = {entry.n: entry for entry in held}
    if journal is not None:
        try:
            for entry in journal.still_open(run):
                entries.setdefault(entry.n, entry)
        except JournalError:
            pass  # the copy in memory has every intent that was ever acted on
    return list(entries.values())


def _as_it_may_be(entry: Entry, now: float) -> Entry:
    """Nobody knows what the dead was about to do: a call of its may be under way that puts this in place yet."""
    asked = entry.state == "intended" or entry.fault.eases > 0
    return replace(entry, doubtful_until=now + QUARANTINE_S) if asked else entry


def take_over(
    run: str,
    why: str,
    entries: Sequence[Entry],
    *,
    world: World,
    hands: Hands,
    journal: Journal | None,
    crash: CrashPoint = no_crash,
) -> list[str]:
    """Undo what a dead runner left and close its run. Returns what is stuck."""
    log = JournalLog(journal)
    crash("takeover:before")
    stuck = Recovery(world, hands, log).undo_all([_as_it_may_be(entry, world.clock.now()) for entry in entries])
    log.catch_up()
    crash("takeover:undone")
    close_dead(run, why, len(entries), stuck, world.clock, journal)
    return stuck


def close_dead(run: str, why: str, undone: int, stuck: Sequence[str], clock: Clock, journal: Journal | None) -> None:
    """Close the run of a dead runner in the journal: crashed, unknown unless already told, clean or stuck."""
    if journal is None:
        return
    try:
        row = journal.run_row(run)
        told = f"{undone - len(stuck)} of {undone} open faults undone" if undone else "no fault was open"
        # A runner that died after its verdict was written keeps its outcome and verdict: they were true already.
        outcome, verdict = row["outcome"] or "crashed", row["verdict"] or "unknown"
        word = "recovered" if row["outcome"] else "crashed"
        reasons = [*json.loads(row["reasons"]), f"{word}: {why}; {told}", *(f"stuck: {line}" for line in stuck)]
        recovery = "stuck" if stuck else "clean"
        journal.end(run, at=clock.now(), outcome=outcome, verdict=verdict, recovery=recovery, reasons=reasons)
    except JournalError:
        return  # recovered in the world all the same; the next command finds the run unfinished and closes it


def recover_each(
    with_open_faults: Callable[[], Sequence[Mapping[str, Any]]], take: Callable[[Mapping[str, Any]], list[str]]
) -> list[str]:
    """Recover each of these runs by ``take``, which returns what is stuck; what is stuck in the end.

    What one run keeps from being undone (a gateway that another one paused takes no settings) may be so no longer once
    the others are done with: where there are several, all are tried again for as long as less is stuck each time.
    """
    before: int | None = None
    while True:
        rows = with_open_faults()
        stuck = [line for row in rows for line in take(row)]
        # Counted, not compared: a message may differ each time (a moment, a pid), and this has to end.
        if not stuck or len(rows) < 2 or (before is not None and len(stuck) >= before):
            return stuck
        before = len(stuck)


Recover = Callable[[str, str, Sequence[Entry]], list[str]]


def is_dead(row: Mapping[str, Any]) -> bool:
    """Whether nobody acts for this unfinished run any more: neither its runner nor its guardian lives."""
    runner = Owner(row["pid"], row["start_time"])
    guardian = Owner(row["guardian_pid"] or -1, row["guardian_start_time"] or "-")
    return not runner.alive and not guardian.alive


def close_harmless(journal: Journal, clock: Clock) -> None:
    """Close the dead runs that have nothing open, so that each run is final with a reason."""
    hurt = {row["run"] for row in journal.with_open_faults()}
    for row in journal.unfinished():
        if row["run"] not in hurt and is_dead(row):
            close_dead(row["run"], "the runner and its guardian died", 0, [], clock, journal)
