"""Keeps the schedules: looks which are due, claims each due time once, and sees what became of it to the end.

Exactly once: a due time is claimed by a row that only one daemon can write, with the name of the run in it. A run's
name can begin only once in the journal. So whoever finds the claim of a dead daemon first makes sure that its run did
not begin and never will (``Starter.fence``), and only then starts another in its place, or records it as missed.

A look goes over everything; for the moment itself (``start_due``) only the claim is left to be made, which holds for
the rows as they were read or not at all: whoever has paused a schedule may rely on it. Its transaction is begun a
little ahead and ends at the moment, so that nothing but its end stands between the moment and the start.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from simian.daemon.owner import Daemon
from simian.daemon.starts import Starts
from simian.errors import HistoryError, SimianError, UsageError
from simian.history.schedules import Due, Kept, RowsChanged, Schedules
from simian.opening import UNREADABLE
from simian.schedule.due import CLAIMED, Fate, fates
from simian.schedule.row import PUNCTUAL_S, Schedule
from simian.schedule.when import text_of
from simian.world import Clock

GONE_S = 120.0  # a daemon on another machine that nobody has seen to live for so long
BEAT_S = 10.0
LATE_BEAT_S = 30.0  # what a start waits for; before that, the next look beats in time
UNREADABLE_AGAIN_S = 60.0
AHEAD_S = 0.01  # how long a claim may wait for its moment; whoever else writes to the database waits with it
Tell = Callable[[Mapping[str, Any]], None]


class Later(SimianError):
    """Nothing is started any more; what is claimed is left to the next daemon."""


class _PutBack(Exception):
    """The clock was put back since it was looked at: the moment is far ahead again."""


class Starter(Protocol):
    """What the keeper asks of whoever starts runs."""

    def start(self, run: str, schedule: Schedule, seed: int) -> None:
        """Start a run of this name. Raises SimianError when it cannot; nothing was touched then. Raises Later."""
        ...

    def fence(self, run: str) -> bool:
        """Make sure that a run of this name never begins from now on; False: it has begun already."""
        ...

    def ending(self, run: str) -> tuple[str, str] | None:
        """How a run that began has ended, as the state and reason of its due time; ``None``: it goes on."""
        ...

    def name(self) -> str:
        """A name for a new run."""
        ...


@dataclass
class _Watched:
    kept: Kept
    schedule: Schedule
    looked: float

    def is_still(self, kept: Kept) -> bool:
        """Whether it need not be read anew; a calendar may name a file, and files change as they like."""
        return self.kept == kept and not self.schedule.calendar


class _Silence:
    """For how long each daemon elsewhere has not been seen to live, by our own looking.

    Neither its clock nor jumps of ours count then, nor time in which we slept ourselves.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[int, float, float]] = {}

    def of(self, daemon: str, seen: int) -> float:
        """In seconds; ``seen``: its last beat, of which no more is asked than whether it is another one."""
        now = self._clock.elapsed()
        before, looked, silent_s = self._heard.get(daemon, (seen, now, 0.0))
        silent_s = silent_s + min(max(0.0, now - looked), BEAT_S) if seen == before else 0.0
        self._heard[daemon] = seen, now, silent_s
        return silent_s


class Keeper:
    """The schedules of one system under one daemon. Called by one thread."""

    def __init__(
        self,
        store: Schedules,
        starter: Starter,
        clock: Clock,
        me: Daemon,
        *,
        calendar: Mapping[str, Any] | None = None,
        halted: Callable[[], str] = lambda: "",
        tell: Tell = lambda event: None,
    ) -> None:
        self.store, self.starter, self.clock, self.me = store, starter, clock, me
        self._calendar, self._halted, self._tell = calendar, halted, tell
        self._watched: dict[str, _Watched] = {}
        self._starts = Starts()  # when the next run of each is to start; those with none are left out
        self._version: int | None = None
        self._beaten: float | None = None
        self._silence = _Silence(clock)
        self.reset: list[str] = []  # names whose timers are to be set anew

    # --- what is due

    def look(self) -> None:
        """Everything that is due, and everything that dead daemons left. Raises HistoryError: try again later."""
        self._beat(BEAT_S)
        self.reload()
        if self.store.in_hand():  # mostly there is nothing, and nothing to be asked of it
            self.take_over()
            self._start_what_waits()
        now = self.clock.now()
        self.start_due(self._starts.due(now))

    def start_due(self, names: Iterable[str]) -> None:
        """Whatever of these schedules is due by now or within ``AHEAD_S``, at its moment. Raises HistoryError: the
        next look sees to them."""
        self._beat(LATE_BEAT_S)
        for name in names:
            self._start_due(name)

    def _start_due(self, name: str) -> None:
        now, starts = self.clock.now(), self._starts.of(name)
        if starts is None or starts > now + AHEAD_S:
            return
        try:
            self._settle(name, self._watched[name], max(now, starts))
        except RowsChanged:
            self.reload()
            self._start_due(name)
        except _PutBack:
            self.reset.append(name)
        except UNREADABLE as error:  # a file of freezes that is gone, say: nothing is started before it is back
            self._tell({"event": "unreadable", "schedule": name, "reason": str(error)})
            self._starts.set(name, now + UNREADABLE_AGAIN_S)

    def reload(self) -> None:
        """Read the rows anew if somebody changed them."""
        version = self.store.version()
        if version == self._version:
            return
        before, found = self._watched, dict[str, _Watched]()
        for kept in self.store.kept():
            name = kept.schedule["name"]
            watched = before.get(name)
            if watched is None or not watched.is_still(kept):  # most are
                watched = self._read(name, kept)
            if watched is not None:
                found[name] = watched
        gone = [name for name in before if name not in found]
        for name in gone:
            self._starts.drop(name)
        self.reset += gone
        self._watched, self._version = found, version  # at once: others read on in threads of their own

    def _read(self, name: str, kept: Kept) -> _Watched | None:
        self.reset.append(name)
        self._starts.drop(name)
        try:
            watched = _Watched(kept, Schedule.from_json(kept.schedule).under(self._calendar), kept.looked / 1e6)
            self._starts.set(name, _next_start(watched.schedule, watched.looked))
        except (UsageError, *UNREADABLE) as error:  # its due times are accounted for once it can be read again
            self._tell({"event": "unreadable", "schedule": name, "reason": str(error)})
            return None
        return watched

    def next_starts(self) -> dict[str, float]:
        """When each schedule's next run is to start, seconds since the epoch; those with none are left out."""
        return self._starts.all()

    def starts(self, name: str) -> float | None:
        """The same of one."""
        return self._starts.of(name)

    def _settle(self, name: str, watched: _Watched, moment: float) -> None:
        found = fates(watched.schedule, watched.looked, moment, self._calendar)
        looked = found[-1].due if found else watched.looked
        claims = [self._claim(name, fate, moment) for fate in found]
        then = _next_start(watched.schedule, looked)
        with self.store.settle(name, _us(looked), claims, version=self._version) as settled:
            self._wait_for(moment)
        watched.looked = looked
        self._starts.set(name, then)
        self.reset.append(name)
        held_up = self.clock.now() - moment > PUNCTUAL_S  # by the database, or as all of this machine slept
        known: list[Due] | None = settled.in_hand
        for due in settled.ours:
            if due.state != CLAIMED:
                self._told(due)
            elif held_up:
                self._inherit(due)
            else:
                self._begin(due, watched.schedule, known)
                known = None  # after a start they are others

    def _wait_for(self, moment: float) -> None:
        """Nothing starts before it. Raises _PutBack rather than keep those who write waiting for longer than told."""
        while (left_s := moment - self.clock.now()) > 0:
            if left_s > AHEAD_S:
                raise _PutBack
            self.clock.wait(left_s)

    def _claim(self, name: str, fate: Fate, now: float) -> Due:
        run = self.starter.name() if fate.state == CLAIMED else None
        return Due(name, _us(fate.due), fate.state, fate.reason, run, self.me.name, _us(now))

    # --- one due time

    def _begin(self, due: Due, schedule: Schedule, in_hand: Sequence[Due] | None = None) -> None:
        """Start the run of a claim that is ours, unless something stands against it. ``in_hand``: if just asked."""
        if reason := self._halted():
            self._now(due, "skipped", f"halted: {reason}")
            return
        others = self._others(due, in_hand)
        if others:  # one of them may have ended since the last look
            self.look_at_ends()
            others = self._others(due)
        if others and (schedule.overlap == "skip" or len(others) > 1):
            self._now(due, "skipped", f"overlap: run {others[0].run} of {text_of(others[0].due / 1e6)} goes on")
        elif others:
            self._now(due, "queued", f"waits for the end of run {others[0].run}")
        else:
            self._start(due, schedule)

    def _others(self, due: Due, in_hand: Sequence[Due] | None = None) -> list[Due]:
        known = self.store.in_hand(due.schedule) if in_hand is None else in_hand
        return [one for one in known if one.due != due.due]

    def _start(self, due: Due, schedule: Schedule) -> None:
        assert due.run is not None
        try:
            self.starter.start(due.run, schedule, schedule.die_of(due.due / 1e6))
        except (HistoryError, Later):
            raise
        except SimianError as error:
            self._now(due, "failed", str(error))
            return
        self._now(due, "started")

    def _now(self, due: Due, state: str, reason: str = "", *, run: str | None = None) -> Due | None:
        told = self.store.tell(due, state, reason, run=run, daemon=self.me.name)
        if told is not None:
            self._told(told)
        return told

    def _told(self, due: Due) -> None:
        self._tell({"event": "due", **due.to_json()})

    def look_at_ends(self) -> None:
        """Which of our runs have ended, and how."""
        for due in [one for one in self.store.in_hand() if one.daemon == self.me.name and one.state == "started"]:
            assert due.run is not None
            if ending := self.starter.ending(due.run):
                self._now(due, *ending)

    def _start_what_waits(self) -> None:
        """Starts of those that waited for the end of another."""
        self.look_at_ends()
        in_hand = self.store.in_hand()
        for due in [one for one in in_hand if one.daemon == self.me.name and one.state == "claimed"]:
            self._inherit(due)  # the database went away between the claim and the start, or its mark
        for due in [one for one in in_hand if one.daemon == self.me.name and one.state == "queued"]:
            before = [one for one in self.store.in_hand(due.schedule) if one.due < due.due]
            schedule = self.schedule(due.schedule)
            if not before and schedule is not None:
                self._begin(due, schedule)
            elif schedule is None:
                self._now(due, "skipped", "its schedule was removed")

    def schedule(self, name: str) -> Schedule | None:
        """The one of this name, as it was read last."""
        watched = self._watched.get(name)
        return watched.schedule if watched else None

    # --- what others left

    def take_over(self) -> None:
        """Due times in the hand of daemons that are no more: their ends, or starts that never were."""
        beats: Mapping[str, tuple[str, int]] | None = None
        for due in self.store.in_hand():
            if due.daemon == self.me.name:
                continue
            beats = self.store.beats() if beats is None else beats
            if self._is_gone(due.daemon, beats):
                self._inherit(due)

    def _is_gone(self, daemon: str, beats: Mapping[str, tuple[str, int]]) -> bool:
        other = Daemon.named(daemon)
        if other.host == self.me.host:
            return not other.alive
        host_seen = beats.get(daemon)
        return host_seen is None or self._silence.of(daemon, host_seen[1]) > GONE_S

    def _inherit(self, due: Due) -> None:
        host = Daemon.named(due.daemon).host
        if host != self.me.host:
            self._now(
                due, "failed", f"its daemon on {host} is gone; what became of run {due.run} is told by simian there"
            )
        elif due.run is None or due.state == "started" or not self.starter.fence(due.run):
            mine = self.store.tell(due, "started", due.reason, daemon=self.me.name)
            if mine is not None:
                self._told(mine)
        else:
            self._again(due)

    def _again(self, due: Due) -> None:
        """It was claimed, did not begin, and never will under that name."""
        schedule, now = self.schedule(due.schedule), self.clock.now()
        mine_all_along = due.daemon == self.me.name
        slept = "the database was away or the daemon slept"
        why = slept if mine_all_along else "the daemon that had claimed it died"
        why += " before the run began"
        fate = fates(schedule, due.due / 1e6 - 1e-6, now, self._calendar) if schedule else []
        mine = next((one for one in fate if _us(one.due) == due.due), None)
        if mine is None or schedule is None or mine.state != CLAIMED:
            self._now(due, "missed", f"{why}; {mine.reason}" if mine and mine.reason else why)
            return
        claimed = self.store.tell(due, CLAIMED, why, run=self.starter.name(), daemon=self.me.name)
        if claimed is not None:
            self._begin(claimed, schedule)

    def _beat(self, each_s: float) -> None:
        now = self.clock.elapsed()
        if self._beaten is None or now - self._beaten >= each_s:
            self.store.beat(self.me.name, self.me.host, _us(self.clock.now()))
            self._beaten = now

    def leave(self) -> None:
        """This daemon ends, and has nothing in hand any more."""
        self.store.forget(self.me.name)


def _next_start(schedule: Schedule, looked: float) -> float | None:
    due = schedule.due_after(looked)
    return None if due is None else schedule.starts(due)


def _us(moment: float) -> int:
    return round(moment * 1e6)


def reconcile(store: Schedules, declared: Sequence[Schedule]) -> list[str]:
    """Make the declared rows those of simian.yaml; rows made by hand are left alone. Returns what was done, in lines.

    Raises UsageError where a name is taken by a row that was made by hand.
    """
    there = {row["name"]: row for row in store.all()}
    if taken := [one.name for one in declared if one.name in there and not there[one.name]["declared"]]:
        raise UsageError([f"schedule {name!r} was made by hand; remove it, or declare another name" for name in taken])
    done, wanted = [], {one.name: one for one in declared}
    for name, row in there.items():
        if row["declared"] and name not in wanted:
            store.remove(name)
            done.append(f"removed {name}")
    for name, one in wanted.items():
        if name not in there:
            store.add(one.to_json())
            done.append(f"added {name}")
            continue
        kept = there[name]
        same = replace(one, made=kept["made"], paused=kept["paused"]).to_json()
        if changed := {key: value for key, value in same.items() if value != kept[key]}:
            store.change(name, changed)
            done.append(f"changed {name}: {', '.join(changed)}")
    return done
