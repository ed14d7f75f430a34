"""What became of the data once the regions can speak again: watched until all agree, or the bound has passed."""

from dataclasses import dataclass, field
from typing import Any

from simian.convergence import Comparison, figures, verdicts
from simian.errors import DriverError
from simian.steady_state import CheckVerdict
from simian.topology import Topology
from simian.writers import Idle, Writers

BOUND_S = 30.0
LOOK_EVERY_S = 0.5


@dataclass
class Aftermath:
    """Looks again and again; ``converged_s`` is the time it took each region from ``since`` on."""

    writers: Writers
    topology: Topology
    bound_s: float = BOUND_S
    converged_s: dict[str, float | None] = field(default_factory=dict)
    last: Comparison | None = None
    why: str = ""
    over: bool = False

    def __post_init__(self) -> None:
        self.clock = self.writers.world.clock
        self.since = self._looked_at = self.clock.elapsed()
        self.converged_s = dict.fromkeys(self.writers.regions)

    def look(self, idle: Idle) -> None:
        """Compare once, if it is time to; ``over`` once all agree or the bound has passed."""
        now = self.clock.elapsed()
        if self.over or (self.last is not None and now - self._looked_at < LOOK_EVERY_S):
            return
        self._looked_at = now
        try:
            self.last, self.why = self.writers.look(idle), ""
        except DriverError as error:
            self.last, self.why = None, f"the data could not be read: {error}"
        self._note(now - self.since)

    def _note(self, after_s: float) -> None:
        if self.last is not None:
            behind = {self.topology.node(node).region for node in self.last.behind}
            for region, before in self.converged_s.items():
                self.converged_s[region] = None if region in behind else before if before is not None else after_s
        self.over = after_s >= self.bound_s or (self.last is not None and self.last.clean)

    def verdicts(self, asked: tuple[str, ...]) -> list[CheckVerdict]:
        """Each data check, in the shape of the steady state's."""
        keys = len(self.writers.written.keys)
        found = verdicts(asked, self.writers.written, self.last, self.why, self.bound_s)
        return [CheckVerdict(check, verdict, "no key", None, None, None, keys, seen, where, hint)
                for check, verdict, seen, where, hint in found]  # fmt: skip

    def figures(self) -> dict[str, Any]:
        """For the report."""
        return figures(self.writers.written, self.last or Comparison(), self.converged_s, self.bound_s)
