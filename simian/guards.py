"""Guards: what has a say in whether chaos is welcome, asked before a run and again and again while it goes on.

A guard is read by a probe in a process of its own, as a check is. But one reading decides, it is no part of the steady
state, and any doubt is a no: no answer by its deadline, no number, nothing heard of it.
"""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simian.probe import Check, CheckReading, Observation, Tolerance

EVERY_S = 5.0
DEADLINE_S = 3.0
LONGEST_S = 60.0  # between two questions, and to wait for an answer: what is asked more seldom guards nothing
STARTS_WITHIN_S = 20.0  # a probe's process; silence beyond this, its period and its deadline is silence

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of guard: which keys it may and must have beside its own, and how it is asked and told."""

    right: str  # how it is written
    may: tuple[str, ...]
    must: tuple[str, ...]
    name: Callable[[Settings], str]
    probe: Callable[[Settings], dict[str, Any]]
    tolerance: Callable[[Settings], str]
    no: Callable[[Settings, CheckReading], str]


def _kept(settings: Settings, *keys: str) -> dict[str, Any]:
    return {key: settings[key] for key in keys if settings.get(key) is not None}


def _at(settings: Settings, kind: str) -> str:
    matching = settings.get("matching") or {}
    return " ".join([f"{kind} {settings[kind]}", *(f"{label}={value}" for label, value in matching.items())])


def _command(settings: Settings) -> str:
    return shlex.join(map(str, settings["command"]))


FORMS: Mapping[str, Form] = {
    "http": Form(
        right="{http: URL}",
        may=("expect",),
        must=(),
        name=lambda given: f"http {given['http']}",
        probe=lambda given: _kept(given, "http", "expect"),
        tolerance=lambda given: "== 1",
        no=lambda given, seen: f"{given['http']} did not answer {given.get('expect', 200)}: {seen.detail}",
    ),
    "prometheus": Form(
        right='{prometheus: QUERY, url: ADDRESS, tolerance: "<= 0"}',
        may=("url", "tolerance", "token", "max_age"),
        must=("url", "tolerance"),
        name=lambda given: f"prometheus {given['prometheus']} at {given['url']}",
        probe=lambda given: _kept(given, "prometheus", "url", "token", "max_age"),
        tolerance=lambda given: str(given["tolerance"]),
        no=lambda given, seen: f"{given['prometheus']} is {seen.value:.15g}; right would be {given['tolerance']}",
    ),
    "alertmanager": Form(
        right="{alertmanager: ADDRESS, matching: {severity: critical}}",
        may=("matching", "token"),
        must=(),
        name=lambda given: _at(given, "alertmanager"),
        probe=lambda given: _kept(given, "alertmanager", "matching", "token"),
        tolerance=lambda given: "== 0",
        no=lambda given, seen: f"alerts fire: {seen.detail}; wait until they are over, or silence them",
    ),
    "file": Form(
        right="{file: PATH}",
        may=(),
        must=(),
        name=lambda given: f"file {given['file']}",
        probe=lambda given: {"absent": given["file"]},
        tolerance=lambda given: "== 1",
        no=lambda given, seen: f"the file {given['file']} is there; remove it when chaos is welcome again",
    ),
    "command": Form(
        right="{command: [PROGRAM, ARGUMENT, …]}",
        may=(),
        must=(),
        name=lambda given: f"command {_command(given)}",
        probe=lambda given: {"command": list(given["command"])},
        tolerance=lambda given: "== 1",
        no=lambda given, seen: f"{_command(given)} ended with {seen.detail}, not 0",
    ),
}
RIGHT = ", ".join(form.right for form in FORMS.values())


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard, read as its check is: by this probe, at this pace, within this deadline."""

    form: Form
    settings: Settings
    check: Check

    @classmethod
    def of(cls, settings: Settings) -> "Guard":
        """From ``{http: URL, every_s: 5.0}`` and the like. Raises ValueError or KeyError for what is no guard."""
        form = next((form for kind, form in FORMS.items() if kind in settings), None)
        if form is None:
            raise ValueError(f"is no guard; right would be one of {RIGHT}")
        every_s, deadline_s = settings.get("every_s", EVERY_S), settings.get("deadline_s", DEADLINE_S)
        name, tolerance = f"guard: {form.name(settings)}", Tolerance.parse(form.tolerance(settings))
        return cls(form, settings, Check(name, form.probe(settings), tolerance, float(every_s), float(deadline_s)))

    def why_not(self, seen: CheckReading) -> str:
        """What this reading says against chaos; empty: nothing."""
        holds = self.check.tolerance.holds(seen.value)
        if holds:
            return ""
        if holds is None:
            silent = "gave no answer" if seen.silent else "could not be asked"
            return f"{self.check.name} {silent}: {seen.detail}"
        return f"guard: {self.form.no(self.settings, seen)}"


class Guards:
    """All guards of a run, from their readings. Once one has said no, that stays."""

    def __init__(self, settings: Sequence[Settings] = ()) -> None:
        self._guards: dict[str, Guard] = {}
        self._heard_s: dict[str, float] = {}
        self._no: dict[str, str] = {}
        for one in settings:
            try:
                guard = Guard.of(one)
            except (ValueError, KeyError, TypeError) as error:  # of another version: it cannot be asked, which is doubt
                self._no[repr(one)] = f"guard {dict(one)!r:.200} cannot be asked by this version: {error}"
            else:
                self._guards[guard.check.name] = guard

    @property
    def checks(self) -> list[Check]:
        """What has to be watched."""
        return [guard.check for guard in self._guards.values()]

    @property
    def patience_s(self) -> float:
        """How long it may take until each of them has said something."""
        return STARTS_WITHIN_S + max((check.deadline_s for check in self.checks), default=0.0)

    def take(self, seen: Observation, now_s: float) -> bool:
        """Whether this was a guard's reading, which is judged then. ``now_s``: elapsed time, as ``why_closed``'s."""
        guard = self._guards.get(seen.check) if isinstance(seen, CheckReading) else None
        if guard is None or not isinstance(seen, CheckReading):
            return False
        self._heard_s[seen.check] = now_s
        if said := guard.why_not(seen):
            self._no.setdefault(seen.check, said)
        return True

    @property
    def unheard(self) -> list[str]:
        """Those that have not said anything yet."""
        return [name for name in self._guards if name not in self._heard_s]

    def why_closed(self, now_s: float) -> list[str]:
        """Why chaos is not welcome, a line a guard; one that has not been heard of for too long is one of them."""
        found = dict(self._no)
        for check in self.checks:
            silent_s = now_s - self._heard_s.get(check.name, -math.inf)
            if silent_s > check.every_s + check.deadline_s + STARTS_WITHIN_S:
                since = "yet" if math.isinf(silent_s) else f"for {silent_s:.0f} s"
                found.setdefault(check.name, f"{check.name} has said nothing {since}; that is doubt, and doubt is a no")
        return list(found.values())
