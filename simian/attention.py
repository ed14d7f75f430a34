"""What the runner does while it waits: renew the lease, take in readings, keep rules alive, notice why to stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from simian.crash_points import CrashPoint, no_crash
from simian.errors import JournalError, SimianError
from simian.guards import Guards
from simian.halt import HaltLever
from simian.hands import Hands
from simian.journal import Entry, Journal
from simian.lease import Lease
from simian.probe import CheckReading, FeedLost, Observation, Slice
from simian.steady_state import CheckVerdict, Exposure, SteadyState
from simian.tally import slice_row
from simian.world import World
from simian.writers import Writers

TICK_S = 0.2
KEEP_EVERY_S = 1.0
RENEW_EVERY_S = 3.0
RENEW_DEADLINE_S = 6.0


class Aborted(SimianError):
    """The run ends here and everything is put back. ``weakness``: what that showed, should it be the system's fault."""

    def __init__(self, text: str, weakness: CheckVerdict | None = None) -> None:
        super().__init__(text)
        self.weakness = weakness


class Watching(Protocol):
    """What brings readings: ``simian.watch.Watch``, or the memory world's."""

    def start(self) -> None:
        """Begin."""
        ...

    def wait(self, seconds: float) -> Sequence[Observation]:
        """What came, as soon as something comes, or nothing when the time has passed."""
        ...

    def stop(self) -> None:
        """End."""
        ...


@dataclass
class Tools:
    """What a runner works with; the composition root or a simulation puts it together."""

    world: World
    journal: Journal
    hands: Hands
    watch: Watching
    lease: Lease
    lever: HaltLever
    emit: Callable[[Mapping[str, Any]], None]
    why_stop: Callable[[], str]  # a signal, or the command that is gone; empty while the run may go on
    crash: CrashPoint = no_crash
    tick_s: float = TICK_S  # the longest single wait; a simulation has no need to look up in between


@dataclass
class Attention:
    """Everything that goes on while a run waits. ``shielded``: nothing may stop the run any more."""

    run: str
    tools: Tools
    steady: SteadyState
    exposure: Exposure
    entries: list[Entry] = field(default_factory=list)
    watching: bool = False
    shielded: bool = False
    writers: Writers | None = None  # who writes on all sides, in runs that look at the data
    guards: Guards = field(default_factory=Guards)
    guarded: bool = False  # whether the guards were asked before the run: from then on a no ends it
    lost: list[str] = field(default_factory=list)
    _kept_at: float = 0.0
    _renewed_at: float = 0.0
    _fresh: bool = False  # whether anything was observed since the checks were told
    _pending: list[tuple[float, str, Mapping[str, Any]]] = field(default_factory=list)

    def begin(self) -> None:
        """Start to watch; where guards were asked, that was done for them."""
        if not self.watching:
            self.tools.watch.start()
        self.watching = True

    def ask_guards(self) -> list[str]:
        """What the guards say against the run, a line each; from now on they are asked again and again."""
        clock = self.tools.world.clock
        until = clock.elapsed() + self.guards.patience_s
        if self.guards.checks:
            self.begin()
        while self.guards.unheard and (left := until - clock.elapsed()) > 0:
            self.breathe(left)
            if reason := self.tools.why_stop():
                raise Aborted(f"aborted: {reason}")
        self.guarded = True
        return self.guards.why_closed(clock.elapsed())

    def end(self) -> None:
        """Stop watching; write what was seen last."""
        if self.watching:
            self.tools.watch.stop()
        self.watching = False
        self.flush()

    def live(self, seconds: float) -> None:
        """Let this time pass. Raises ``Aborted`` when the run must end."""
        clock = self.tools.world.clock
        until = clock.elapsed() + seconds
        while (left := until - clock.elapsed()) > 0:
            self.tick(left)

    def tick(self, seconds: float = 0.0) -> None:
        """Breathe once for at most this long; raise ``Aborted`` when the run must end."""
        self.breathe(seconds)
        reason = "" if self.shielded else self._why_abort()
        if reason:
            raise Aborted(f"aborted: {reason}")

    def _why_abort(self) -> str:
        tools = self.tools
        pulled = tools.lever.why_pulled()
        if tools.lease.alone:
            return "the guardian is gone"
        if self.lost:
            return self.lost[0]
        return tools.why_stop() or (f"halted: {pulled}" if pulled else "") or self._guard() or self._alarm()

    def _guard(self) -> str:
        return next(iter(self.guards.why_closed(self.tools.world.clock.elapsed())), "") if self.guarded else ""

    def _alarm(self) -> str:
        return (self.steady.alarm() or "") if self.entries else ""

    def breathe(self, seconds: float = 0.0) -> None:
        """Renew the lease, take in what was observed, keep rules alive. Raises ``LeaseLost`` only."""
        self.tools.lease.renew()
        self.tools.lease.check()
        if self.watching:
            for observation in self.tools.watch.wait(min(seconds, self._slice_s())):
                self._take(observation)
        elif seconds > 0:
            self.tools.world.clock.wait(min(seconds, self.tools.tick_s))
        if self.writers is not None:
            self._pending += self.writers.act(self.tools.lease.renew)
        now = self.tools.world.clock.elapsed()
        if now - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = now
            self._keep_rules()
        if now - self._kept_at >= KEEP_EVERY_S:
            self._kept_at = now
            self.flush()
            self._tell_checks()

    def _tell_checks(self) -> None:
        for check in self.steady.now() if self._fresh else ():
            self.tools.emit({"event": "check", **check})
        self._fresh = False

    def _slice_s(self) -> float:
        writing_s = self.writers.slice_s if self.writers is not None else self.tools.tick_s
        return min(self.tools.tick_s, writing_s, RENEW_EVERY_S if self._expiring() else self.tools.tick_s)

    def moment(self, name: str, **facts: str) -> None:
        """Note when something happened that the report's timeline tells of."""
        self._pending.append((self.tools.world.clock.now(), "moment", {"name": name, **facts}))
        self.tools.emit({"event": "moment", "name": name, **facts})

    def _expiring(self) -> list[Entry]:
        return [e for e in self.entries if e.fault.renews and e.state == "injected" and not self.shielded]

    def _keep_rules(self) -> None:
        """Put again what would expire by itself; what cannot be renewed is no longer proven to be in place."""
        expiring = self._expiring()
        calls = [partial(e.fault.renew, self.tools.world, e.mark) for e in expiring]
        for entry, done in zip(expiring, self._all(calls), strict=True):
            if done.error is not None:
                self.lost.append(f"the {entry.fault.kind} of {entry.fault.target} could not be renewed: {done.error}")

    def _all(self, calls: Sequence[Callable[[], None]]) -> Any:
        return self.tools.hands.each(calls, deadline_s=RENEW_DEADLINE_S, idle=self.tools.lease.renew)

    def _take(self, observation: Observation) -> None:
        if self.guards.take(observation, self.tools.world.clock.elapsed()):
            self._write(observation)  # it is no part of the steady state: nobody else is told
            return
        self.steady.take(observation)
        self._fresh = True
        if not self.shielded:
            self.exposure.take(observation)
        self._write(observation)
        if self._pending:
            at, kind, seen = self._pending[-1]
            self.tools.emit({"event": kind, "at": at, **seen})

    def _write(self, observation: Observation) -> None:
        if isinstance(observation, Slice):
            self._pending.append((observation.start, "slice", slice_row(observation)))
        elif isinstance(observation, CheckReading):
            data = {"check": observation.check, "value": observation.value, "silent": observation.silent}
            self._pending.append((observation.at, "reading", data | {"detail": observation.detail}))
        elif isinstance(observation, FeedLost):
            self._pending.append((self.tools.world.clock.now(), "feed_lost", {"detail": observation.detail}))

    def flush(self) -> None:
        """Write what was observed; a journal that cannot be written ends the run, but never its undo."""
        pending, self._pending = self._pending, []
        try:
            self.tools.journal.observe(self.run, pending)
        except JournalError as error:
            self.lost.append(str(error))
