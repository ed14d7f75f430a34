"""Exposure by a counter of the system's own, where no users tell what they met: how much it grew meanwhile."""

import math
from collections.abc import Mapping
from typing import Any

from simian.fault import Fault
from simian.judge import probe_text
from simian.probe import Check, CheckReading, Observation, Tolerance
from simian.secrets import is_reference
from simian.tally import Exposure
from simian.topology import Topology

COUNTER = "(exposure)"  # the name under which the counter is read; no check of a file may have it
EVERY_S = 1.0
DEADLINE_S = 2.0
FEWEST = 2  # readings: less tells no growth


def exposure_of(asked: str | Mapping[str, Any]) -> Exposure:
    """What proves that faults were felt: users' requests, or the growth of the counter that a mapping names."""
    return CountedExposure(asked) if isinstance(asked, Mapping) else Exposure()


class CountedExposure(Exposure):
    """One counter for all faults of a run: what it grew by while they were in place.

    A counter that stood still, was set back, or could not be read twice proves nothing.
    """

    def __init__(self, probe: Mapping[str, Any]) -> None:
        super().__init__()
        self.checks = (Check(COUNTER, dict(probe), Tolerance.parse(">= 0"), EVERY_S, DEADLINE_S),)
        self._values: tuple[float, float] | None = None  # the first and the last
        self._readings = self._unread = 0
        self._why_unread = self._set_back = ""
        self._asked_since = False

    def take(self, seen: Observation) -> None:
        """Count users' slices, too, and read the counter."""
        super().take(seen)
        if isinstance(seen, CheckReading) and seen.check == COUNTER and self.since_s and seen.at >= self.since_s:
            if self._asked_since:
                self._take(seen)
            self._asked_since = True  # the first reading since may have been asked for before

    def _take(self, seen: CheckReading) -> None:
        if seen.value is None:
            self._unread += 1
            self._why_unread = seen.detail
            return
        self._readings += 1
        first, last = self._values or (seen.value, seen.value)
        if seen.value < last:
            self._set_back = self._set_back or f"was set back from {last:.15g} to {seen.value:.15g}"
        self._values = (first, seen.value)

    @property
    def growth(self) -> float:
        """By how much it grew; 0.0 where that cannot be told."""
        if self._values is None or self._readings < FEWEST or self._set_back:
            return 0.0
        return self._values[1] - self._values[0]

    def met(self, fault: Fault, topology: Topology, mark: str) -> int:
        """The growth, whole: any at all is some."""
        return math.ceil(self.growth)

    def why_unmet(self, called: str) -> str:
        """What the counter showed instead of growth."""
        return f"that the faults were felt is not shown: the counter of `exposure` {self._shown()}"

    def _shown(self) -> str:
        if self._set_back:
            return self._set_back
        unread = f"; {self._unread} failed: {self._why_unread}" if self._unread else ""
        if self._values is None or self._readings < FEWEST:
            return f"was read {self._readings} times with the faults in place, {FEWEST} are needed{unread}"
        return f"stood still at {self._values[0]:.15g} in {self._readings} readings{unread}"

    def figures(self) -> dict[str, Any]:
        """For the report: which counter, from where to where, how often it was read."""
        [check] = self.checks
        counter = probe_text({key: value for key, value in check.probe.items() if not is_reference(value)})
        first, last = self._values or (None, None)
        told = {"counter": counter, "from": first, "to": last, "readings": self._readings, "unread": self._unread}
        return {"exposure": told}
