"""The users of the memory world: event-driven, computed from its state alone.

Between two changes of the state all is constant, so an interval is one computation whatever its length: the shares
of all ways in which a request can end, then counts and latencies drawn from a seeded die. Right after a change the
intervals are short; the longer nothing happens, the longer they get.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from simian.memory.answers import Answer, Answers
from simian.memory.devices import Devices
from simian.memory.draws import multinomial, profile, times
from simian.memory.load import shed_shares
from simian.memory.services import USERS, Moment, Services
from simian.memory.state import MemoryState
from simian.probe import Row, Slice
from simian.traffic import Shares

SHORTEST_S = 0.2
LONGEST_S = 600.0
BEFORE_S = 60.0  # they have been at it for so long when a world begins, so gateways have counted arrivals
GROWTH = 0.25  # an interval lasts at most this part of the time since the last change
LATE_MS: Mapping[str, float] = {"p50": 0.0, "p99": 0.0, "max": 0.0}  # simulated users are never late

Subscriber = Callable[[Slice], None]
_COMES_IN = f"{USERS}>"
_SAME = 2  # digits by which shares that change with time are told apart: fewer make fewer scenes to compute


class _Scene(NamedTuple):
    """All that the answers in an interval depend on; equal scenes have equal answers."""

    version: int
    moment: Moment
    followed: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    unwarned: tuple[tuple[str, float], ...]


class _Tally:
    """One home and kind of one slice."""

    def __init__(self) -> None:
        self.ended = self.ok = self.first_failed = self.shed = 0
        self.served: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.latency: Counter[int] = Counter()

    def row(self, home: str, kind: str) -> Row:
        return Row(home, kind, self.ended, self.ok, self.ended - self.ok, self.first_failed, self.shed,
                   dict(self.served), dict(self.ways), dict(sorted(self.latency.items())))  # fmt: skip


class Users:
    """Always on. ``subscribe`` to get the slices; without subscribers only the rules' counts remain."""

    def __init__(self, state: MemoryState) -> None:
        self._state, self._habits = state, state.habits
        self._rng = Random(f"users {state.seed}")
        self._from = state.clock.elapsed() - BEFORE_S
        self._owed: dict[str, float] = dict.fromkeys(state.regions, 0.0)  # parts of requests not yet made
        self._unwarned: dict[str, float] = {}
        self._bad_since: dict[str, float] = {}
        self._subscribers: list[Subscriber] = []
        self._subscribed_at = 0.0
        self._scene: _Scene | None = None
        self._services: Services | None = None
        self._answers: dict[tuple[str, bool], Answers] = {}
        self._tick = 0
        self._gone = False
        state.subscribe(self.settle, self._plan)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Hand each slice from now on to the subscriber."""
        self.settle()
        self._subscribers.append(subscriber)
        self._subscribed_at = self._from
        self._plan()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """No more slices for this one."""
        self._subscribers.remove(subscriber)

    def leave(self) -> None:
        """Nobody comes any more, and what was not accounted for yet never is: for what goes on when nobody looks."""
        self._gone = True

    def settle(self) -> None:
        """Account for the time up to now."""
        if self._gone:
            return
        now = self._state.clock.elapsed()
        if now > self._from:
            made = self._interval(self._from, now)
            self._from = now
            for subscriber in list(self._subscribers):
                subscriber(made)
        self._plan()

    def _plan(self) -> None:
        """The interval that begins now ends by itself in a while; an earlier change ends it earlier."""
        self._tick += 1
        tick, now = self._tick, self._from
        if self._subscribers and not self._gone:
            age = now - max(self._state.changed_at, self._subscribed_at)
            length = min(LONGEST_S, max(SHORTEST_S, GROWTH * age))
            self._state.clock.at(now + length, lambda: self.settle() if self._tick == tick else None)

    # one interval

    def _interval(self, start: float, end: float) -> Slice:
        seconds = end - start
        self._look(start, end)
        rows: list[Row] = []
        totals: dict[str, Counter[str]] = {name: Counter() for name in ("hops", "faults", "errors")}
        kinds = list(self._habits.kinds.items())
        for home in self._state.regions:
            self._owed[home] += self._state.rates_rps[home] * seconds
            count = math.floor(self._owed[home] + 1e-9)
            self._owed[home] -= count
            for (kind, _), n in zip(kinds, multinomial(self._rng, count, [share for _, share in kinds]), strict=True):
                if n:
                    answers = self._answers[home, kind in self._habits.writes]
                    rows.append(self._tally(home, answers, n, totals).row(home, kind))
        return Slice(
            start=self._state.clock.wall(start),
            seconds=seconds,
            late_ms=LATE_MS,
            sent=sum(row.ended for row in rows),
            rows=tuple(rows),
            **{name: dict(sorted(found.items())) for name, found in totals.items()},
        )

    def _tally(self, home: str, answers: Answers, n: int, totals: Mapping[str, Counter[str]]) -> _Tally:
        tally = _Tally()
        for answer, count in zip(answers, multinomial(self._rng, n, [a.share for a in answers]), strict=True):
            if count:
                self._count(tally, answer, count)
                self._arrive(home, answer, count)
                for name, found in (("hops", answer.hops), ("faults", answer.marks), ("errors", answer.errors)):
                    total = totals[name]
                    for what in found:
                        total[what] += count
        return tally

    def _arrive(self, home: str, answer: Answer, count: int) -> None:
        """What gateways count of it themselves."""
        for hop in answer.hops:
            if hop.startswith(_COMES_IN) and not hop.endswith("!"):
                self._state.nodes[hop[len(_COMES_IN) :]].arrivals[home] += count

    def _count(self, tally: _Tally, answer: Answer, count: int) -> None:
        tally.ended += count
        tally.first_failed += count if answer.errors else 0
        tally.shed += count * answer.errors.count("shed")
        seen = profile(answer.base_ms, answer.wait_ms, answer.delay, self._habits.deadline_ms)
        latency, late = tally.latency, 0
        for (index, in_time), k in times(self._rng, seen, count):
            latency[index] += k
            if not in_time:
                late += k
        ok = count - late if answer.ok else 0
        if ok:
            tally.ok += ok
            tally.served[answer.region] += ok
            tally.ways[answer.way] += ok
        self._state.note_felt(answer.felt, count)

    # what the interval depends on

    def _look(self, start: float, end: float) -> None:
        """Compute the answers anew where anything they depend on has changed."""
        middle = (start + end) / 2
        plain = Moment(ready=frozenset(name for name in self._state.nodes if self._ready(name, start)))
        services = Services(self._state, plain)
        followed = self._state.traffic.followed(middle)
        moment = plain._replace(
            learning=self._learning(plain, start, middle),
            warmth=self._warmth(plain, middle),
            shed=tuple(sorted(shed_shares(self._state, services, followed).items())),
        )
        unwarned = self._devices_warned(services, end - start)
        scene = _Scene(self._state.version, moment, _frozen(followed), tuple(sorted(unwarned.items())))
        if scene != self._scene:
            if self._services is None or self._scene is None or scene[:2] != self._scene[:2]:
                self._services = Services(self._state, moment)
            self._scene = scene
            devices = Devices(self._state, self._services, {home: dict(row) for home, row in scene.followed})
            self._answers = {
                (home, write): devices.answers(home, write=write, unwarned=unwarned)
                for home in self._state.regions
                for write in (False, True)
            }

    def _ready(self, name: str, at: float) -> bool:
        one = self._state.nodes[name]
        return one.state == "running" and at >= one.ready_at

    def _warmth(self, moment: Moment, at: float) -> tuple[tuple[str, float], ...]:
        warming_s = self._habits.cache_warming_s
        caches = (one for one in self._state.nodes.values() if one.node.service == "cache")
        cold = ((one.node.name, (at - one.warm_from) / warming_s) for one in caches if one.node.name in moment.ready)
        return tuple((name, round(max(0.0, warmth), 1)) for name, warmth in cold if warmth < 1)

    def _learning(self, moment: Moment, start: float, middle: float) -> frozenset[str]:
        """Nodes and links that went bad so lately that their callers still try them first."""
        bad = {name: one.state == "paused" for name, one in self._state.nodes.items() if name not in moment.ready}
        for name, link in self._state.links.items():
            if link.effects or not link.enabled:
                passage = link.passage("up")
                if passage.condition != "up":
                    bad[name] = passage.condition == "silent"
        self._bad_since = {name: self._bad_since.get(name, start) for name in bad}
        notice_s = {False: self._habits.notice_refused_s, True: self._habits.gateway_timeout_ms / 1000}
        return frozenset(name for name, silent in bad.items() if middle - self._bad_since[name] < notice_s[silent])

    def _devices_warned(self, services: Services, seconds: float) -> dict[str, float]:
        """Gateway -> mean share of its devices that ask it first, and move on to the end of the interval.

        A device whose gateway does not answer leaves it at its next request and comes back after a while.
        """
        asks_rps, back_rps = self._habits.rate_rps / self._habits.devices, 1 / self._habits.avoid_s
        means: dict[str, float] = {}
        for region in self._state.regions:
            for name in services.pool("gateway", region):
                bad = services.bad(USERS, name)
                before = self._unwarned.get(name, 1.0)
                if not bad and before > 0.999:
                    self._unwarned.pop(name, None)
                    continue
                rate = back_rps + (asks_rps if bad else 0.0)
                settled = back_rps / rate
                left = math.exp(-rate * seconds)
                self._unwarned[name] = settled + (before - settled) * left
                means[name] = round(settled + (before - settled) * (1 - left) / (rate * seconds), _SAME)
        return means


def _frozen(shares: Shares) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    return tuple((home, tuple((r, round(share, _SAME)) for r, share in row.items())) for home, row in shares.items())
