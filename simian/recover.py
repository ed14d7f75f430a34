"""Put back everything open: newest stage first, side by side within a stage, never stopping at one failure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Protocol

from simian.hands import Hands
from simian.journal import Entry
from simian.world import World

UNDO_DEADLINE_S = 40.0  # mending a wedged proxy up to the restart of its server takes several calls
READY_WITHIN_S = 60.0
TRIES = 4
PAUSE_S = 0.25
LOOK_S = 0.1
REPEAT_S = 1.0  # how often a doubtful fault is undone again
QUARANTINE_S = 15.0  # longer than any driver's own time limit: a call that timed out cannot land after it
MEND = "simian recover"


class FaultLog(Protocol):
    """Where the new state of a fault is written; must never raise, as undo must not stop for a full disk."""

    def mark(self, entry: Entry, state: str, **facts: object) -> None:
        """The fault's new state."""
        ...


def _nothing() -> None:
    return None


def in_order(entries: Iterable[Entry]) -> list[list[Entry]]:
    """What is undone together, part after part: newest stage first, and steering after all else.

    Whenever nodes were killed, before users were moved or after: users are sent back to what is ready again.
    """
    newest_first = sorted(entries, key=lambda entry: (entry.fault.last, -entry.n))
    parts = groupby(newest_first, key=lambda entry: (entry.fault.last, entry.run, entry.stage))
    return [list(part) for _, part in parts]


@dataclass
class Recovery:
    """Undo through ``world``; ``idle`` is called several times a second (a runner renews its lease there)."""

    world: World
    hands: Hands
    log: FaultLog
    idle: Callable[[], None] = _nothing
    ready_within_s: float = READY_WITHIN_S
    stuck: list[str] = field(default_factory=list)
    _doubtful: list[Entry] = field(default_factory=list)  # as before, as far as one can see by now
    _sure_at: dict[str, float] = field(default_factory=dict)  # by mark, not by the wall clock: that may jump

    def undo_all(self, entries: Sequence[Entry]) -> list[str]:
        """Undo these ``in_order``; what is of one part is as before, nodes ready, before the next one is touched.

        Returns what is stuck, a line each: fault, target, why, and the command that tries again.
        """
        for part in in_order(entries):
            self.undo_stage(part)
        self.outwait()
        return self.stuck

    def undo_stage(self, entries: Sequence[Entry]) -> None:
        """Undo these together and wait until each target is as before, or tried enough.

        Those that are doubtful are told to be undone by ``outwait`` only, which has to follow; it comes first where
        users are sent back, so that no late call hits what they are sent to.
        """
        if entries[0].fault.last:
            self.outwait()
        for entry in entries:
            self._sure_at.setdefault(entry.mark, self.world.clock.elapsed() + QUARANTINE_S)
        left = self._undo(entries)
        left += self._wait_until_gone([entry for entry in entries if entry not in [e for e, _ in left]])
        for entry, why in left:
            self.log.mark(entry, "stuck", error=why, doubtful_until=entry.doubtful_until)
            self.stuck.append(f'{entry.fault.kind} of {entry.fault.target}: {why}; run "{MEND}"')

    def outwait(self) -> None:
        """Undo what is doubtful again and again, until no late call can put it in place any more."""
        while self._doubtful:
            doubtful, self._doubtful = self._doubtful, []
            for _ in range(round(REPEAT_S / PAUSE_S)):
                self._pause(PAUSE_S)
            self.undo_stage(doubtful)

    def _undo(self, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
        """Ask for undo, a few times where that fails. Returns what failed to the end, with the reason."""
        left: list[tuple[Entry, str]] = [(entry, "") for entry in entries]
        for attempt in range(TRIES):
            if attempt:
                self._pause(PAUSE_S * attempt)
            calls = [partial(entry.fault.undo, self.world, entry.mark) for entry, _ in left]
            answers = self.hands.each(calls, deadline_s=UNDO_DEADLINE_S, idle=self.idle)
            left = [(pair[0], str(done.error)) for pair, done in zip(left, answers, strict=True) if done.error]
            if not left:
                break
        return left

    def _wait_until_gone(self, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
        """Look until each fault is gone, and ask for undo again meanwhile: something may have come in between."""
        clock, waiting = self.world.clock, list(entries)
        until, again_at = clock.elapsed() + self.ready_within_s, clock.elapsed() + REPEAT_S
        while waiting := self._look(waiting):
            if clock.elapsed() >= until:
                break
            if clock.elapsed() >= again_at:
                self._undo(waiting)
                again_at = clock.elapsed() + REPEAT_S
            self._pause(LOOK_S)
        return [(entry, f"not as before within {self.ready_within_s:g} s") for entry in waiting]

    def _look(self, waiting: Sequence[Entry]) -> list[Entry]:
        asked_at = self.world.clock.elapsed()
        calls = [partial(entry.fault.gone, self.world, entry.mark) for entry in waiting]
        answers = self.hands.each(calls, deadline_s=UNDO_DEADLINE_S, idle=self.idle)
        gone = [done.error is None and bool(done.value) for done in answers]
        for entry, is_gone in zip(waiting, gone, strict=True):
            if is_gone and entry.doubtful_until is not None and asked_at < self._sure_at[entry.mark]:
                self._doubtful.append(entry)
            elif is_gone:
                self.log.mark(entry, "undone", undone=self.world.clock.now())
        return [entry for entry, is_gone in zip(waiting, gone, strict=True) if not is_gone]

    def _pause(self, seconds: float) -> None:
        self.idle()
        self.world.clock.wait(seconds)
