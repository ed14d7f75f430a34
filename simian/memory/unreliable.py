"""A driver whose calls go wrong now and then, for tests of what must survive that."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from simian.errors import DriverError, TimedOut, Unreachable
from simian.memory.clock import SimulatedClock
from simian.world import PORTS, World

WRITES = frozenset({
    *("start", "stop", "kill", "crash", "pause", "resume", "cut", "delay", "throttle", "mend", "put", "remove"),
    *("shift", "unshift", "set_failover", "set_misrouted", "set_limit", "unset", "write"),
})  # fmt: skip


class Unreliable:
    """Wraps any driver of any port; each call meets one of ``modes`` (mode -> probability) or goes through.

    * ``unreachable``: raises Unreachable, without effect
    * ``lost``: raises TimedOut, without effect
    * ``done``: raises TimedOut, though it was done
    * ``later``: raises TimedOut, and is done ``late_s`` simulated seconds later, unseen
    * ``hung``: takes ``late_s`` simulated seconds, then raises TimedOut, without effect
    * ``slow``: takes up to ``late_s`` simulated seconds, then goes through
    * ``stale``: a reading call answers as the last time it was asked the same; a writing call goes through
    """

    MODES = ("unreachable", "lost", "done", "later", "hung", "slow", "stale")

    def __init__(
        self, driver: object, rng: Random, clock: SimulatedClock, *, modes: Mapping[str, float], late_s: float = 5.0
    ) -> None:
        unknown = set(modes) - set(self.MODES)
        if unknown or sum(modes.values()) > 1:
            raise ValueError(f"modes are {', '.join(self.MODES)}, with probabilities that sum to 1 at most")
        self._driver, self._rng, self._clock = driver, rng, clock
        self._modes, self._late_s = dict(modes), late_s
        self._told: dict[str, Any] = {}
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._driver, name)
        if not callable(method):
            return method

        def call(*args: Any, **options: Any) -> Any:
            mode = self._drawn()
            self.calls.append((name, mode))
            return self._meet(mode, name, lambda: method(*args, **options), f"{name} {args} {options}")

        return call

    def _drawn(self) -> str:
        die = self._rng.random()
        for mode, probability in self._modes.items():
            die -= probability
            if die < 0:
                return mode
        return ""

    def _meet(self, mode: str, name: str, do: Callable[[], Any], asked: str) -> Any:
        if mode == "unreachable":
            raise Unreachable(f"{name}: nothing answers (planted)")
        if mode in ("slow", "hung"):
            self._clock.wait(self._late_s if mode == "hung" else self._rng.uniform(0, self._late_s))
        if mode == "done":
            do()
        if mode == "later" and name in WRITES:
            self._clock.at(self._clock.elapsed() + self._late_s, lambda: _land(do))
        if mode in ("lost", "done", "later", "hung"):
            raise TimedOut(f"{name}: no answer in time (planted)")
        if mode == "stale" and name not in WRITES and asked in self._told:
            return self._told[asked]
        self._told[asked] = answer = do()
        return answer


def unreliable(
    world: World, rng: Random, clock: SimulatedClock, *, modes: Mapping[str, float], late_s: float = 5.0
) -> World:
    """The same world, each port but the clock behind an ``Unreliable``: what a run of yours has to survive."""
    wrapped: dict[str, Any] = {
        port: Unreliable(getattr(world, port), rng, clock, modes=modes, late_s=late_s) for port in PORTS
    }
    return replace(world, **wrapped)


def _land(do: Callable[[], Any]) -> None:
    """A call that nobody waits for any more: what it raises, nobody hears."""
    try:
        do()
    except DriverError:
        return
