"""A check with a probe of its own, judged from its readings."""

from array import array
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field

from simian.judge import Judgement, Phase, probe_text, shown
from simian.probe import Check, CheckReading, Observation
from simian.tolerance import UnitKind

ENOUGH = 5
ENOUGH_NOW = 3
IN_A_ROW = 2  # good-or-not readings outside the tolerance in a row before the guard rings


@dataclass
class _Readings:
    values: "array[float]" = field(default_factory=lambda: array("d"))
    crashed: int = 0
    silent: int = 0
    detail: str = ""

    def take(self, seen: CheckReading) -> None:
        if seen.value is not None:
            self.values.append(seen.value)
            return
        self.silent += seen.silent
        self.crashed += not seen.silent
        self.detail = seen.detail

    @property
    def unseen(self) -> int:
        return self.crashed + self.silent

    @property
    def count(self) -> int:
        return len(self.values) + self.unseen

    @property
    def blindness(self) -> str:
        return f"{self.crashed} readings failed and {self.silent} never came: {self.detail}"


class ReadingsJudge:
    """Good-or-not probes (1.0 or 0.0) with a share as tolerance: the share of good readings. Else: each reading."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.alarmed = self.noticed = ""
        self.unit: UnitKind = "plain" if check.tolerance.kind == "relative" else check.tolerance.kind
        self._good_or_not = check.tolerance.kind == "share"
        self._phases: dict[Phase, _Readings] = {}
        self._until_alarm: _Readings | None = None  # of during: what comes later is seen while the run puts things back
        self._last: deque[CheckReading] = deque(maxlen=1000)
        self._phase: Phase | None = None
        self._bad_in_a_row = 0

    def take(self, phase: Phase, seen: Observation) -> None:
        """Count a reading of this check."""
        if phase != self._phase:
            self._phase, self._bad_in_a_row = phase, 0
            self._phases.setdefault(phase, _Readings())
            self._last.clear()
        if isinstance(seen, CheckReading) and seen.check == self.check.name:
            self._good_or_not = self._good_or_not and seen.value in (None, 0.0, 1.0)
            self._phases[phase].take(seen)
            self._last.append(seen)
            self._watch(seen)

    def forget(self, phase: Phase) -> None:
        """Count this phase from nothing again."""
        self._phases.pop(phase, None)
        self._phase = None

    def _watch(self, seen: CheckReading) -> None:
        if seen.value is None and not seen.silent:
            return  # a crashed probe says nothing, neither good nor bad
        violated = seen.silent or self._fine(seen.value) is False
        self._bad_in_a_row = self._bad_in_a_row + 1 if violated else 0
        if self._phase not in ("during", "moving") or not violated or self.alarmed:
            return
        certain = not self._good_or_not and self._bad(self._phases[self._phase]) > self.check.misses
        if certain or self._bad_in_a_row >= IN_A_ROW + self.check.misses:
            told = seen.detail if seen.silent else f"{shown(seen.value, self.unit)} {seen.detail}".strip()
            told = f"{self.check.name} {self.check.tolerance.text}: {told}"
            self.noticed = told
            if self._phase == "during":
                self.alarmed, self._until_alarm = told, deepcopy(self._phases["during"])

    def _fine(self, value: float | None) -> bool | None:
        if value is None or not self._good_or_not:
            return self.check.tolerance.holds(value, self.value("baseline"))
        return (value > 0) == self.check.tolerance.op.startswith((">", "=="))

    def _outside(self, readings: _Readings) -> list[float]:
        if self._good_or_not:
            return [value for value in readings.values if not self._fine(value)]
        baseline = self.value("baseline")
        return [value for value in readings.values if self.check.tolerance.holds(value, baseline) is False]

    def _bad(self, readings: _Readings) -> int:
        return len(self._outside(readings))

    def value(self, phase: Phase) -> float | None:
        """The mean of a phase's readings (for good-or-not ones: the share that was good)."""
        values = self._judged(phase).values
        return sum(values) / len(values) if values else None

    def _judged(self, phase: Phase) -> _Readings:
        """Those of the phase that the verdict rests on: a long way back does not mend what rang the alarm."""
        rang = self._until_alarm
        if phase == "during" and rang is not None and self._judge(rang, ENOUGH).verdict == "broken":
            return rang
        return self._phases.get(phase, _Readings())

    def count(self, phase: Phase) -> int:
        """Readings taken, silent and crashed ones included."""
        return self._judged(phase).count

    def recent(self, seconds: float) -> float | None:
        """The latest reading; for good-or-not ones the share of the last seconds, silence counted as not good."""
        known = [one for one in self._last if one.silent or one.value is not None]
        if not known:
            return None
        if not self._good_or_not:
            return known[-1].value
        near = [one for one in known if one.at >= known[-1].at - seconds]
        return sum(one.value or 0.0 for one in near) / len(near) if len(near) >= ENOUGH_NOW else None

    def holds_now(self, phase: Phase) -> bool | None:
        """The last readings within the tolerance; a broken baseline never holds."""
        if phase != self._phase or not self._last:
            return None
        if phase == "baseline" and self._judge(self._phases[phase], ENOUGH_NOW).verdict == "broken":
            return False
        fine = [self._fine(one.value) for one in list(self._last)[-ENOUGH_NOW:]]
        if False in fine or (self.alarmed and phase == "during"):
            return False
        return None if None in fine or len(fine) < ENOUGH_NOW else True

    def judge(self, blind: bool, blind_after: bool = False) -> Judgement:
        """Broken beats unknown beats held. Silence is unknown, unless what was seen is broken anyhow."""
        judged = self._judge(self._judged("during"), ENOUGH)
        back = self.holds_now("after") if self._phase == "after" else True
        if judged.verdict == "broken" or back is True:
            return judged
        if back is False:
            last = self._last[-1]
            return Judgement("broken", f"{shown(last.value, self.unit)} {last.detail} still after all was put back")
        return judged if judged.verdict == "unknown" else Judgement("unknown", "too few readings after the recovery")

    def _judge(self, readings: _Readings, enough: int) -> Judgement:
        return self._judge_share(readings, enough) if self._good_or_not else self._judge_each(readings, enough)

    def _judge_each(self, readings: _Readings, enough: int) -> Judgement:
        tolerance, outside = self.check.tolerance, self._outside(readings)
        told = f"{len(outside)} of {readings.count} readings outside {tolerance.text}"
        if len(outside) > self.check.misses:
            worst = min(outside) if tolerance.op.startswith(">") else max(outside)
            return Judgement("broken", f"{told}, such as {shown(worst, self.unit)}")
        if too_few := self._too_few(readings, enough):
            return Judgement("unknown", too_few)
        if tolerance.kind == "relative" and self.value("baseline") is None:
            return Judgement("unknown", "there is no baseline to compare with")
        doubt = len(outside) + readings.unseen > self.check.misses
        return Judgement("unknown", readings.blindness) if doubt else Judgement("held", told)

    def _judge_share(self, readings: _Readings, enough: int) -> Judgement:
        tolerance, count, bad = self.check.tolerance, readings.count, self._bad(readings)
        too_few = self._too_few(readings, enough)
        if too_few and bad < IN_A_ROW + self.check.misses:
            return Judgement("unknown", too_few)
        # Readings that never came may have been good or bad: only what is so either way is known.
        forgiven = min(self.check.misses, bad) * (1 if tolerance.op.startswith(">") else -1)
        least = sum(readings.values) + forgiven
        either = [tolerance.holds(share / count) for share in (least, least + readings.unseen)]
        told = f"{shown(sum(readings.values) / count, 'share')} of {count} readings were good"
        told += f" ({self.check.misses} may miss)" if forgiven else ""
        if True not in either:
            return Judgement("broken", f"{told}; right would be {tolerance.text}")
        return Judgement("unknown", readings.blindness) if False in either else Judgement("held", told)

    def _too_few(self, readings: _Readings, enough: int) -> str:
        """Why they are too few, if they are: with as many as may miss, a check could not fail."""
        needed, misses = enough + self.check.misses, self.check.misses
        if readings.count >= needed:
            return ""
        return f"{readings.count} readings, {needed} needed" + (f" where {misses} may miss" if misses else "")

    def where(self) -> str:
        """What was asked."""
        return probe_text(self.check.probe)
