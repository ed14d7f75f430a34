"""One check, judged: from users' slices or from its probe's readings, phase by phase."""

from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from simian.cusum import BASE, Cusum
from simian.probe import Check, CheckReading, FeedLost, Observation, Slice
from simian.probes.users import users_metric
from simian.tally import UsersTally, tally
from simian.tolerance import UnitKind

Phase = Literal["baseline", "during", "after"]
Verdict = Literal["held", "broken", "unknown"]

ENOUGH_NOW = 500  # requests, for a gate; a verdict may need more
ENOUGH_ABORT = 20
ENOUGH_READINGS = 5
KEPT_S = 30.0
ABORT_WINDOW_S = 5.0
LOST_IN_A_ROW = 2  # one lost connection is a hiccup, a second means that nobody watches


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with what was seen."""

    verdict: Verdict
    seen: str = ""


class Judge(Protocol):
    """What the steady state asks of a check."""

    check: Check
    alarmed: str

    def take(self, phase: Phase, seen: Observation) -> None:
        """Count an observation, if it is this check's."""
        ...

    def value(self, phase: Phase) -> float | None:
        """The check's value over a phase (``after``: over its latest stretch)."""
        ...

    def count(self, phase: Phase) -> int:
        """Requests or readings of a phase."""
        ...

    def recent(self, seconds: float) -> float | None:
        """The value of the last seconds, for abort conditions."""
        ...

    def holds_now(self, phase: Phase) -> bool | None:
        """Whether it holds, for gates."""
        ...

    def judge(self, blind: bool) -> Judgement:
        """The verdict. ``blind``: the users' feed was missing or void for too long."""
        ...


def shown(value: float | None, kind: UnitKind) -> str:
    """A value as people read it: ``99.95 %``, ``250 ms``, ``3``."""
    if value is None:
        return "nothing"
    if kind == "share":
        return f"{value * 100:.5g} %"
    return f"{value:.4g} ms" if kind == "ms" else f"{value:.6g}"


class UsersJudge:
    """A check on the users' feed."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.metric = users_metric(check.probe)
        self.unit: UnitKind = "share" if self.metric.quantile is None else "ms"
        self.alarmed = ""
        self.tallies: dict[Phase, UsersTally] = {}
        self._slices: deque[Slice] = deque()
        self._phase: Phase | None = None
        self._guard = self._make_guard()
        self._lost = 0

    def _make_guard(self) -> Cusum | None:
        tolerance = self.check.tolerance
        if self.metric.name != "success_share" or not tolerance.op.startswith(">"):
            return None
        return Cusum.for_share(tolerance.value if tolerance.kind != "relative" else 1.0 - BASE)

    def take(self, phase: Phase, seen: Observation) -> None:
        """Count a slice; a void one tells nothing of the system."""
        self._enter(phase)
        if isinstance(seen, FeedLost):
            self._lose(seen)
        elif isinstance(seen, Slice) and not seen.void:
            self._lost = 0
            self.tallies[phase].take(seen)
            self._slices.append(seen)
            while self._slices[0].start < seen.start - KEPT_S:
                self._slices.popleft()
            self._watch(seen)

    def _enter(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase, self._lost = phase, 0
            self.tallies.setdefault(phase, UsersTally(self.metric))
            self._slices.clear()
            self._guard = self._make_guard()

    def _lose(self, lost: FeedLost) -> None:
        self._lost += 1
        if self._phase == "during" and self._lost >= LOST_IN_A_ROW:
            self.alarmed = self.alarmed or f"{self._condition}: nobody watches the users any more ({lost.detail})"

    def _watch(self, seen: Slice) -> None:
        if self._guard is None or self.alarmed:
            return
        rows = seen.select(kind=self.metric.kind, home=self.metric.home)
        good, failed = sum(row.ok for row in rows), sum(row.failed for row in rows)
        if self._guard.take(good, failed) and self._phase == "during":
            last = tally(self.metric, list(self._slices)[-5:])
            seen_now = f"{last.count - last.good} of the last {last.count} requests failed"
            self.alarmed = f"{self._condition}: {seen_now}"

    @property
    def _condition(self) -> str:
        return f"{self.check.name} {self.check.tolerance.text}"

    @property
    def _baseline(self) -> float | None:
        return self.tallies["baseline"].value if "baseline" in self.tallies else None

    def value(self, phase: Phase) -> float | None:
        """The share or quantile; of ``after`` over the latest stretch, as the system was still recovering before."""
        if phase == "after":
            return self._latest().value if self._phase == "after" else None
        return self.tallies[phase].value if phase in self.tallies else None

    def count(self, phase: Phase) -> int:
        """Requests counted."""
        return self.tallies[phase].count if phase in self.tallies else 0

    def recent(self, seconds: float) -> float | None:
        """The value of the last seconds; ``None`` with too few requests."""
        if not self._slices:
            return None
        since = self._slices[-1].end - seconds - 0.01
        last = tally(self.metric, (one for one in self._slices if one.start >= since))
        few = ENOUGH_ABORT if self.metric.quantile is None else last.needed(self.check.tolerance, self._baseline)
        return last.value if last.count >= few else None

    def _latest(self) -> UsersTally:
        """The shortest latest stretch with enough requests, at most ``KEPT_S`` long."""
        made = UsersTally(self.metric)
        for one in reversed(self._slices):
            made.take(one)
            if made.count >= self._enough_now(made):
                break
        return made

    def _enough_now(self, seen: UsersTally) -> int:
        return min(ENOUGH_NOW, seen.needed(self.check.tolerance, self._baseline))

    def holds_now(self, phase: Phase) -> bool | None:
        """In the baseline over all of it, else over the latest stretch; ``None``: too few requests, or no feed."""
        if phase != self._phase or self._lost:
            return None
        if self.alarmed and phase == "during":
            return False
        seen = self.tallies[phase] if phase == "baseline" else self._latest()
        holds = self.check.tolerance.holds(seen.value, self._baseline)
        if seen.count < self._enough_now(seen) and not seen.surely_outside(self.check.tolerance, self._baseline):
            return None
        return holds

    def judge(self, blind: bool) -> Judgement:
        """Broken beats unknown beats held."""
        during = self.tallies.get("during", UsersTally(self.metric))
        tolerance, baseline = self.check.tolerance, self._baseline
        needed = during.needed(tolerance, baseline)
        holds = tolerance.holds(during.value, baseline)
        told = f"{shown(during.value, self.unit)} over {during.count} requests"
        if holds is False and (during.count >= needed or during.surely_outside(tolerance, baseline)):
            return Judgement("broken", f"{told}; right would be {tolerance.text}")
        if self.alarmed and not self._lost:
            return Judgement("broken", self.alarmed.partition(": ")[2])
        back = self.holds_now("after") if self._phase == "after" else True
        if back is False:
            return Judgement("broken", f"{shown(self.value('after'), self.unit)} still after all was put back")
        return self._doubt(during, needed, holds, blind, back) or Judgement("held", told)

    def _doubt(
        self, during: UsersTally, needed: int, holds: bool | None, blind: bool, back: bool | None
    ) -> Judgement | None:
        if blind:
            return Judgement("unknown", "the users' feed was missing, or the users themselves too late, for too long")
        if self.check.tolerance.kind == "relative" and self._baseline is None:
            return Judgement("unknown", "there is no baseline to compare with")
        if during.count < needed or holds is not True:
            return Judgement(
                "unknown", f"{during.count} requests seen, {needed} needed for {self.check.tolerance.text}"
            )
        return None if back else Judgement("unknown", "too few requests seen after all was put back")

    def where(self) -> str:
        """Home region and kind that saw most of it."""
        phase: Phase = "during" if self.alarmed or self.holds_during() is False else "after"
        return self.tallies[phase].worst() if phase in self.tallies else ""

    def holds_during(self) -> bool | None:
        """The bare comparison over the whole of ``during``."""
        return self.check.tolerance.holds(self.value("during"), self._baseline)


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


class ReadingsJudge:
    """A check with a probe of its own."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.alarmed = ""
        self.unit: UnitKind = "plain" if check.tolerance.kind == "relative" else check.tolerance.kind
        self._phases: dict[Phase, _Readings] = {}
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
            self._phases[phase].take(seen)
            self._last.append(seen)
            self._watch(seen)

    def _watch(self, seen: CheckReading) -> None:
        violated = seen.silent or self._fine(seen.value) is False
        if seen.silent or seen.value is not None:  # a crashed probe says nothing, neither good nor bad
            self._bad_in_a_row = self._bad_in_a_row + 1 if violated else 0
        if self._phase != "during" or not violated or self.alarmed:
            return
        certain = not self._is_share and self._bad(self._phases["during"]) > self.check.misses
        if certain or self._bad_in_a_row >= 2 + self.check.misses:
            told = seen.detail if seen.silent else f"{shown(seen.value, self.unit)} {seen.detail}".strip()
            self.alarmed = f"{self.check.name} {self.check.tolerance.text}: {told}"

    def _fine(self, value: float | None) -> bool | None:
        if value is None:
            return None
        if self._is_share:
            return value > 0 if self.check.tolerance.op.startswith(">") else value < 1
        return self.check.tolerance.holds(value, self._baseline)

    @property
    def _is_share(self) -> bool:
        """Good or not is all the probe tells (1.0 or 0.0), and the tolerance is a share of such readings."""
        if self.check.tolerance.kind != "share":
            return False
        return all(value in (0.0, 1.0) for readings in self._phases.values() for value in readings.values)

    @property
    def _baseline(self) -> float | None:
        return self.value("baseline")

    def _bad(self, readings: _Readings) -> int:
        baseline = self._baseline
        return sum(self.check.tolerance.holds(value, baseline) is False for value in readings.values)

    def value(self, phase: Phase) -> float | None:
        """The mean of a phase's readings (for good-or-not ones: the share that was good)."""
        values = self._phases[phase].values if phase in self._phases else None
        return sum(values) / len(values) if values else None

    def count(self, phase: Phase) -> int:
        """Readings taken, silent and crashed ones included."""
        return self._phases[phase].count if phase in self._phases else 0

    def recent(self, seconds: float) -> float | None:
        """The latest reading; for good-or-not ones the share of the last seconds, silence counted as not good."""
        if not self._last or self._last[-1].value is None and not self._last[-1].silent:
            return None
        if not self._is_share:
            return self._last[-1].value
        since = self._last[-1].at - seconds
        near = [one for one in self._last if one.at >= since and (one.silent or one.value is not None)]
        return sum(one.value or 0.0 for one in near) / len(near) if len(near) >= 3 else None

    def holds_now(self, phase: Phase) -> bool | None:
        """The last three readings within the tolerance; a violation anywhere in the baseline counts, too."""
        if phase != self._phase or not self._last:
            return None
        if self.alarmed and phase == "during":
            return False
        if phase == "baseline" and self._judge(self._phases[phase], 1).verdict == "broken":
            return False
        fine = [self._fine(one.value) for one in list(self._last)[-3:]]
        if False in fine:
            return False
        return None if None in fine or len(fine) < 3 else True

    def judge(self, blind: bool) -> Judgement:
        """Broken beats unknown beats held. Silence is unknown, unless what was seen is broken anyhow."""
        judged = self._judge(self._phases.get("during", _Readings()), ENOUGH_READINGS)
        if judged.verdict == "broken":
            return judged
        if self.alarmed and self._phases["during"].values and self._bad(self._phases["during"]) > self.check.misses:
            return Judgement("broken", self.alarmed.partition(": ")[2])
        back = self.holds_now("after") if self._phase == "after" else True
        if back is False:
            last = self._last[-1]
            return Judgement("broken", f"{shown(last.value, self.unit)} {last.detail} still after all was put back")
        if judged.verdict == "held" and back is None:
            return Judgement("unknown", "too few readings after all was put back")
        return judged

    def _judge(self, readings: _Readings, enough: int) -> Judgement:
        tolerance, unseen = self.check.tolerance, readings.unseen
        blind = f"{readings.crashed} readings failed and {readings.silent} never came: {readings.detail}"
        if readings.count < enough:
            return Judgement("unknown", f"{readings.count} readings, {enough} needed")
        if not self._is_share:
            bad = self._bad(readings)
            told = f"{bad} of {readings.count} readings outside {tolerance.text}"
            if bad > self.check.misses:
                return Judgement("broken", f"{told}, such as {shown(self._worst(readings), self.unit)}")
            if tolerance.kind == "relative" and self._baseline is None:
                return Judgement("unknown", "there is no baseline to compare with")
            return Judgement("unknown", blind) if bad + unseen > self.check.misses else Judgement("held", told)
        good = sum(readings.values) + min(self.check.misses, readings.count - sum(readings.values))
        told = f"{shown(min(1.0, good / readings.count), 'share')} of {readings.count} readings were good"
        # Every reading that never came may have been good, or bad: only what holds either way is known.
        if not tolerance.holds(min(1.0, (good + unseen) / readings.count)):
            return Judgement("broken", f"{told}; right would be {tolerance.text}")
        return Judgement("held", told) if tolerance.holds(good / readings.count) else Judgement("unknown", blind)

    def _worst(self, readings: _Readings) -> float:
        downward = self.check.tolerance.op.startswith(">")
        outside = [one for one in readings.values if self.check.tolerance.holds(one, self._baseline) is False]
        return min(outside) if downward else max(outside)

    def where(self) -> str:
        """What was asked."""
        return probe_text(self.check.probe)


def probe_text(settings: Mapping[str, object]) -> str:
    """``http http://127.0.0.1:8080/health, expect 200``."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())
