"""A check on the users' feed, judged from their slices."""

from collections import deque
from collections.abc import Iterator

from simian.cusum import BASE, Cusum
from simian.judge import Judgement, Phase, shown
from simian.probe import Check, FeedLost, Observation, Slice
from simian.probes.users import users_metric
from simian.tally import UsersTally, tally

ENOUGH_NOW = 500  # requests, for a gate; a verdict may need more
ENOUGH_ABORT = 20
KEPT_S = 30.0
FEED_SLICE_S = 0.2  # docs/wire.md
LOST_IN_A_ROW = 2  # one lost connection is a hiccup, a second means that nobody watches


class UsersJudge:
    """A check on the users' feed."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.metric = users_metric(check.probe)
        self.unit = self.metric.unit
        self.alarmed = self.noticed = ""
        self._harmed = False
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

    def forget(self, phase: Phase) -> None:
        """Count this phase from nothing again."""
        self.tallies.pop(phase, None)
        self._phase = None

    def _lose(self, lost: FeedLost) -> None:
        self._lost += 1
        if self._phase == "during" and self._lost >= LOST_IN_A_ROW:
            self.alarmed = self.alarmed or f"{self._condition}: nobody watches the users any more ({lost.detail})"

    def _watch(self, seen: Slice) -> None:
        if self._guard is None or self.alarmed:
            return
        rows = seen.select(kind=self.metric.kind, home=self.metric.home)
        good, failed = sum(row.ok for row in rows), sum(row.failed for row in rows)
        rang = [self._guard.take(*part) for part in _parts(good, failed, seen.seconds)]
        if any(rang) and self._phase in ("during", "moving"):
            last = tally(self.metric, list(self._slices)[-5:])
            told = f"{self._condition}: {last.count - last.good} of the last {last.count} requests failed"
            if self._phase == "during":
                self.alarmed, self._harmed = told, True
            else:
                self.noticed = self.noticed or told

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
        few = ENOUGH_ABORT if self.metric.form == "share" else last.needed(self.check.tolerance, self._baseline)
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

    def judge(self, blind: bool, blind_after: bool = False) -> Judgement:
        """Broken beats unknown beats held; but users whose word is worth nothing accuse nobody either."""
        if blind:
            return Judgement("unknown", "the users' feed was missing, or the users themselves too late, for too long")
        during = self.tallies.get("during", UsersTally(self.metric))
        tolerance, baseline = self.check.tolerance, self._baseline
        needed = during.needed(tolerance, baseline)
        holds = tolerance.holds(during.value, baseline)
        told = f"{shown(during.value, self.unit)} over {during.count} requests"
        if holds is False and (during.count >= needed or during.surely_outside(tolerance, baseline)):
            return Judgement("broken", f"{told}; right would be {tolerance.text}")
        if self._harmed:
            return Judgement("broken", self.alarmed.partition(": ")[2])
        back = self.holds_now("after") if self._phase == "after" else True
        if back is False and not blind_after:
            return Judgement("broken", f"{shown(self.value('after'), self.unit)} still after all was put back")
        return self._doubt(during, needed, holds, blind_after, back) or Judgement("held", told)

    def _doubt(
        self, during: UsersTally, needed: int, holds: bool | None, blind_after: bool, back: bool | None
    ) -> Judgement | None:
        if blind_after:
            return Judgement("unknown", "the users' feed was missing, or the users too late, after all was put back")
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


def _parts(good: int, failed: int, seconds: float) -> Iterator[tuple[int, int]]:
    """A slice in parts as long as the feed's: one of many minutes (simulated) is no bunch of failures.

    Without failures the parts would but say the same again and again.
    """
    many = max(1, round(seconds / FEED_SLICE_S)) if failed else 1
    for i in range(many):
        yield good * (i + 1) // many - good * i // many, failed * (i + 1) // many - failed * i // many
