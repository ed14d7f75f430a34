"""Rules: which requests are hit, by what. They live in memory, carry their own die, and expire by themselves."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Literal, cast

from simian_filters.distribution import Distribution, no_files
from simian_filters.units import shown

Side = Literal["client", "server"]
SIDES = ("client", "server")
LONGEST_LIFE_S = 3_600.0  # whoever put a rule must come back and renew it: a rule nobody minds must not stay
MOST_RULES = 100
_MARK = re.compile(r"[A-Za-z0-9._-]{1,128}")  # fit for a path and for a header
_MOST_SEEDS = 2**64


class BadRule(ValueError):
    """A rule that is not to be had; ``problems`` holds a sentence for each thing that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Rule:
    """``share`` (0..1) of the requests is hit, drawn from ``seed``.

    A hit waits for a draw of ``delay`` (a distribution's text) and, with ``status``, is answered with that instead of
    being served or sent. ``callee`` (client side only): the service called; empty: every call. It is gone after
    ``expires_in_s`` unless put again.
    """

    mark: str
    side: Side
    share: float
    seed: int
    delay: str | None = None
    status: int | None = None
    callee: str = ""
    expires_in_s: float = 10.0

    @classmethod
    def from_json(cls, data: object) -> Rule:
        """The rule of that JSON object. Raises BadRule with every problem at once."""
        if not isinstance(data, Mapping):
            raise BadRule([f"a rule is a JSON object, not {shown(str(data))}"])
        if problems := _problems(data):
            raise BadRule(problems)
        return cls(**cast("dict[str, Any]", dict(data)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < high


def _within(value: Any, low: float, high: float) -> bool:
    return _is_number(value) and low <= value <= high


def _delay_problem(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return "a distribution's text, such as normal:100ms,20ms"
    try:
        Distribution.parse(value, files=no_files)
    except ValueError as error:
        return f"a distribution: {error}"
    return ""


_WANTED: dict[str, Callable[[Any], str]] = {
    "mark": lambda v: "" if isinstance(v, str) and _MARK.fullmatch(v) else "1 to 128 letters, digits, dots, - and _",
    "side": lambda v: "" if v in SIDES else "client or server",
    "share": lambda v: "" if _within(v, 0, 1) else "a number from 0 to 1",
    "seed": lambda v: "" if _is_whole(v, 0, _MOST_SEEDS) else "a whole number from 0 to 2^64 - 1",
    "delay": _delay_problem,
    "status": lambda v: "" if v is None or _is_whole(v, 200, 600) else "a status from 200 to 599",
    "callee": lambda v: "" if isinstance(v, str) and len(v) <= 128 else "the name of a service, or empty",
    "expires_in_s": lambda v: (
        "" if _within(v, 0, LONGEST_LIFE_S) and v > 0 else f"a number of seconds, over 0, up to {LONGEST_LIFE_S:.0f}"
    ),
}
_NEEDED = ("mark", "side", "share", "seed")
_KNOWN = tuple(field.name for field in fields(Rule))


def _problems(data: Mapping[str, Any]) -> list[str]:
    """Every problem of what should be a rule."""
    found = [f"{shown(str(key))} is no field of a rule; there are: {', '.join(_KNOWN)}" for key in data.keys() - _KNOWN]
    found += [f"{key} is missing" for key in _NEEDED if key not in data]
    for key in _KNOWN:
        if key in data and (wanted := _WANTED[key](data[key])):
            found.append(f"{key} is {shown(str(data[key]))}; it must be {wanted}")
    if data.get("delay") is None and data.get("status") is None:
        found.append("it would do nothing; give a delay, a status, or both")
    if data.get("callee") and data.get("side") == "server":
        found.append("callee means something on the client side only; leave it out")
    return found


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done to one request: wait, then answer with ``status`` (None: let it through)."""

    delay_ms: float = 0.0
    status: int | None = None
    marks: tuple[str, ...] = ()


NOTHING = Decision()


def _distribution(rule: Rule) -> Distribution | None:
    return Distribution.parse(rule.delay, files=no_files) if rule.delay is not None else None


class _Placed:
    """A rule in place with its die and counts; guarded by the lock of its ``Rules``."""

    __slots__ = ("delay", "die", "hit", "rule", "saw", "until")

    def __init__(self, rule: Rule, until: float) -> None:
        self.rule, self.until = rule, until
        self.die = Random(rule.seed)
        self.delay = _distribution(rule)
        self.saw = self.hit = 0

    def become(self, rule: Rule, until: float) -> None:
        """Last until then, as this rule says from now on; die and counts go on."""
        if rule.delay != self.rule.delay:
            self.delay = _distribution(rule)
        self.rule, self.until = rule, until

    def draws(self) -> bool:
        """Whether the next request is hit; takes one number from the die."""
        self.saw += 1
        hit = self.die.random() < self.rule.share
        self.hit += hit
        return hit

    def to_json(self, now: float) -> dict[str, Any]:
        ours = self.rule
        told: dict[str, Any] = {key: getattr(ours, key) for key in _KNOWN}
        return told | {"expires_in_s": round(self.until - now, 3), "saw": self.saw, "hit": self.hit}


class Rules:
    """The rules in place in this process, in the order they were put. Safe to use from many threads.

    ``clock`` tells seconds that never jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._placed: dict[str, _Placed] = {}
        # What ``decide`` looks at first, without the lock: empty nearly always, and then that is all it costs.
        self._by_side: dict[str, tuple[_Placed, ...]] = dict.fromkeys(SIDES, ())

    def put(self, rule: Rule) -> None:
        """Ensure the rule; the same mark again renews it and keeps its counts and its die.

        Raises BadRule when there are too many already.
        """
        with self._lock:
            now = self._clock()
            self._expire(now)
            until = now + rule.expires_in_s
            if rule.mark in self._placed:
                self._placed[rule.mark].become(rule, until)
            elif len(self._placed) < MOST_RULES:
                self._placed[rule.mark] = _Placed(rule, until)
            else:
                raise BadRule([f"there are {MOST_RULES} rules in place already; remove some first"])
            self._sort()

    def remove(self, mark: str) -> None:
        """Ensure that it is gone."""
        with self._lock:
            self._placed.pop(mark, None)
            self._sort()

    def listing(self) -> list[dict[str, Any]]:
        """Each rule in place as on the wire; ``expires_in_s`` is what is left, ``saw`` and ``hit`` count requests."""
        with self._lock:
            now = self._clock()
            self._expire(now)
            return [placed.to_json(now) for placed in self._placed.values()]

    def decide(self, side: Side, callee: str = "") -> Decision:
        """What is to be done to this request. Delays of several rules add up; the first status put wins."""
        if not self._by_side[side]:
            return NOTHING
        with self._lock:
            self._expire(self._clock())
            hits = [p for p in self._by_side[side] if p.rule.callee in ("", callee) and p.draws()]
            delay_ms = sum(p.delay.draw(p.die) for p in hits if p.delay)
        if not hits:
            return NOTHING
        statuses = (p.rule.status for p in hits if p.rule.status is not None)
        return Decision(delay_ms, next(statuses, None), tuple(p.rule.mark for p in hits))

    def _expire(self, now: float) -> None:
        gone = [mark for mark, placed in self._placed.items() if placed.until <= now]
        for mark in gone:
            del self._placed[mark]
        if gone:
            self._sort()

    def _sort(self) -> None:
        placed = self._placed.values()
        self._by_side = {side: tuple(p for p in placed if p.rule.side == side) for side in SIDES}
