"""Writers on all sides of a cut: what they write, what they are told, and how it looks afterwards.

They go through the front doors, as users do: some keys of their own on each side, and some that both sides write.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from simian.convergence import Comparison, Write, Written, compare
from simian.errors import DriverError
from simian.hands import Hands
from simian.world import World

EVERY_S = 0.5
BACKLOG_EVERY_S = 1.0
OWN_AT_ONCE, SHARED_AT_ONCE = 4, 2
SHARED_KEYS = 20
WRITE_DEADLINE_S = 1.0
READ_DEADLINE_S = 10.0
KEYS_AT_ONCE = 2_000

Idle = Callable[[], None]
Row = tuple[float, str, Mapping[str, Any]]


@dataclass
class Writers:
    """Writes while ``writing``, in each of ``regions`` each half second; ``run`` and ``seed`` make keys and values.

    Which regions there are is asked before anything is touched: a driver that fails to say so later must keep nothing
    from being undone and looked at.
    """

    run: str
    world: World
    hands: Hands
    seed: int
    regions: Sequence[str]
    writing: bool = False
    written: Written = field(default_factory=Written)
    _serial: int = 0
    _wrote_at: float = float("-inf")
    _looked_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._rng = Random(f"writers {self.seed}")

    @property
    def slice_s(self) -> float:
        """The longest that a runner may wait before it calls ``act`` again."""
        return EVERY_S if self.writing else float("inf")

    def act(self, idle: Idle) -> list[Row]:
        """Write and look if it is time to; returns what is to be observed (``backlog``)."""
        now = self.world.clock.elapsed()
        if self.writing and now - self._wrote_at >= EVERY_S:
            self._wrote_at = now
            self._write(idle)
        if now - self._looked_at < BACKLOG_EVERY_S:
            return []
        self._looked_at = now
        done = self.hands.each([self.world.data.backlog], deadline_s=WRITE_DEADLINE_S, idle=idle)[0]
        return [] if done.error else [(self.world.clock.now(), "backlog", {"waiting": dict(done.value)})]

    def _write(self, idle: Idle) -> None:
        writes = [write for region in self.regions for write in self._batch(region)]
        calls = [partial(self.world.data.write, one.region, one.key, one.value, one.at_us) for one in writes]
        for one, done in zip(writes, self.hands.each(calls, deadline_s=WRITE_DEADLINE_S, idle=idle), strict=True):
            self.written.add(Write(one.key, one.value, one.at_us, one.region, done.error is None))

    def _batch(self, region: str) -> list[Write]:
        own = [f"{self.run}-{region}-{self._serial + i}" for i in range(OWN_AT_ONCE)]
        shared = [f"{self.run}-both-{self._rng.randrange(SHARED_KEYS)}" for _ in range(SHARED_AT_ONCE)]
        return [self._made(region, key) for key in (*own, *dict.fromkeys(shared))]

    def _made(self, region: str, key: str) -> Write:
        self._serial += 1
        # A microsecond apart from any other write: of two at the same time nobody could say which was the last.
        at_us = int(self.world.clock.now() * 1e6) + self._serial % 1000
        return Write(key, f"{region}-{self._serial}", at_us, region, False)

    def look(self, idle: Idle) -> Comparison:
        """Every key in every replica and cache as it is now. Raises DriverError where one could not be read."""
        keys = self.written.keys
        parts = [keys[at : at + KEYS_AT_ONCE] for at in range(0, len(keys), KEYS_AT_ONCE)]
        calls = [partial(read, part) for part in parts for read in (self.world.data.replicas, self.world.data.caches)]
        answers = self.hands.each(calls, deadline_s=READ_DEADLINE_S, idle=idle)
        lost = [str(done.error) for done in answers if done.error]
        if lost:
            raise DriverError(lost[0])
        return compare(self.written, _merged(answers[0::2]), _merged(answers[1::2]))


def _merged(answers: Sequence[Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for done in answers:
        for node, cells in done.value.items():
            found.setdefault(node, {}).update(cells)
    return found
