"""Short lives: runs that put faults in place, die amid it, are recovered and die again, with targets lost in between.

What a run does here is what ``simian.inject`` and ``simian.recover`` do with journal and drivers, without the users,
the checks and the waiting in between: a few milliseconds a life. Death is an exception that nothing catches.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from simian.errors import DriverError, Refused
from simian.fault import Fault, fault_from_words
from simian.journal import Entry, Journal
from simian.memory import MemoryWorld, build_memory_world
from simian.memory.links import MemoryLink
from simian.memory.nodes import MemoryNode
from simian.world import World, guarded

from .deaths import picture, recover

NODES = ("members-east-a", "store-east-a", "cache-west-a", "gateway-west-b")
LINKS = ("members-east-a--queue-east", "store-west--store-east-b")
WORDS: tuple[dict[str, Any], ...] = (
    *({how: node} for node in NODES for how in ("kill", "stop", "pause", "crash")),
    *({"request_delay": node, "by": "constant:50ms"} for node in NODES),
    *({"request_error": node, "share": 0.5} for node in NODES),
    *({"cut": link, "how": how} for link in LINKS for how in ("refuse", "blackhole")),
    *({"delay": link, "by": "constant:50ms", "direction": "both"} for link in LINKS),
    *({"throttle": link, "rate_kb_s": 50} for link in LINKS),
    {"shift": "east", "from_shares": {"east": 1.0, "west": 0.0}, "to_shares": {"east": 0.25, "west": 0.75}},
    {"shift": "east", "from_shares": {"east": 1.0, "west": 0.0}, "to_shares": {"east": 0.0, "west": 1.0}},
    {"failover_mode": "west", "homes": ["east"]},
    {"misrouted": "east", "mode": "redirect"},
)


class Died(BaseException):
    """The process is gone: nothing but the journal and the world remains."""


class Mortal:
    """A crash point at which the process dies when it has come by so many of them; 0: it lives for ever."""

    def __init__(self, steps: int) -> None:
        self.left = steps or -1

    def __call__(self, name: str, *args: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Died(name)

    def world(self, world: World) -> World:
        """The same world, where each call is two points to die at."""
        return guarded(world, self, self)


@dataclass
class Lives:
    """A world, its journal, and the runs that live and die on it. ``told``: what happened, a line each."""

    memory: MemoryWorld = field(default_factory=build_memory_world)
    journal: Journal = field(default_factory=lambda: Journal(Path(":memory:")))
    told: list[str] = field(default_factory=list)
    runs: int = 0
    deaths: int = 0
    every: list[Entry] = field(default_factory=list)
    lost: dict[str, MemoryNode | MemoryLink] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory.users.leave()
        self.before = picture(self.memory)

    def _until_death(self, what: str, steps: int, do: Callable[[World, Mortal], object]) -> None:
        mortal = Mortal(steps)
        try:
            do(mortal.world(self.memory.world), mortal)
            self.told.append(what)
        except Died as death:
            self.deaths += 1
            self.told.append(f"{what}: died at {death}")
        finally:
            self.journal._crash = lambda name: None

    def inject(self, words: Sequence[dict[str, Any]], steps: int = 0) -> None:
        """A run of its own puts these in place, side by side, and is never heard of again."""
        self.runs += 1
        run, faults = f"run-{self.runs}", list(self._prepared(words))
        if self.journal.in_the_way(run, [(fault.layer, fault.target) for fault in faults]) or not faults:
            return
        self._until_death(f"{run}: {[dict(one) for one in words]}", steps, partial(self._inject, run, faults))

    def _prepared(self, words: Sequence[dict[str, Any]]) -> list[Fault]:
        found = []
        for each in words:
            with suppress(Refused, DriverError):
                found.append(fault_from_words(each).prepare(self.memory.world))
        return found

    def _inject(self, run: str, faults: Sequence[Fault], world: World, mortal: Mortal) -> None:
        self.journal._crash = mortal
        now = self.memory.clock.now
        self.journal.begin(run, at=now(), owner=(0, ""), request={}, world={})
        self.journal.lock(run, [(fault.layer, fault.target) for fault in faults])
        entries = [Entry(run, n, "stage", fault, "intended") for n, fault in enumerate(faults, 1)]
        self.every += entries
        self.journal.intend(run, [(e.n, e.stage, e.fault, {}) for e in entries], now())
        for entry in entries:
            try:
                entry.fault.inject(world, entry.mark)
                self.journal.mark(run, entry.n, "injected", injected=now())
            except DriverError as error:
                self.journal.mark(run, entry.n, "intended", error=str(error))

    def undo_some(self, which: Sequence[int], steps: int = 0) -> None:
        """Undo any that ever were, gone or not, in this order, and write nothing down."""
        chosen = [self.every[index % len(self.every)] for index in which if self.every]

        def undo(world: World, mortal: Mortal) -> None:
            for entry in chosen:
                with suppress(DriverError):
                    entry.fault.undo(world, entry.mark)

        self._until_death(f"undo {[entry.mark for entry in chosen]}", steps, undo)

    def recover(self, steps: int = 0) -> None:
        """What ``simian recover`` does, until it dies as well."""

        def mend(world: World, mortal: Mortal) -> None:
            self.journal._crash = mortal
            recover(self.memory, self.journal, mortal)

        self._until_death("recover", steps, mend)

    def lose(self, name: str) -> None:
        """The target is gone."""
        there: dict[str, Any] = self.memory.state.nodes if name in NODES else self.memory.state.links
        if name in there:
            self.lost[name] = there.pop(name)
            self.told.append(f"{name} is lost")

    def recreate(self, name: str) -> None:
        """Another one of that name, new and whole."""
        if name not in self.lost:
            return
        old = self.lost.pop(name)
        if isinstance(old, MemoryLink):
            self.memory.state.links[name] = MemoryLink(old.link, old.proxy)
        else:
            self.memory.state.nodes[name] = MemoryNode(old.node, starts=old.starts + 1, since=self.memory.clock.now())
        self.told.append(f"{name} is there again")

    def check(self) -> None:
        """One recovery later everything is as before, whatever happened; new targets were left alone."""
        for name in list(self.lost):
            self.recreate(name)
        self.recover()
        now = picture(self.memory)
        assert now == self.before, ({k: (v, now[k]) for k, v in self.before.items() if now[k] != v}, self.told)
        assert not self.journal.with_open_faults(), self.told
        assert not self.journal.unfinished(), self.told
        stuck = [run for run in self.journal.unfed() if self.journal.run_row(run)["recovery"] != "clean"]
        assert not stuck, self.told
        assert not self.journal.in_the_way("the next", {(e.fault.layer, e.fault.target) for e in self.every}), self.told


def at_random(rng: Random, lives: Lives, length: int = 8) -> None:
    """A sequence of whatever can happen."""
    for _ in range(rng.randint(1, length)):
        what, steps = rng.random(), rng.randint(1, 40) if rng.random() < 0.5 else 0
        if what < 0.4:
            lives.inject(rng.choices(WORDS, k=rng.randint(1, 3)), steps)
        elif what < 0.6:
            lives.undo_some([rng.randrange(99) for _ in range(rng.randint(1, 4))], steps)
        elif what < 0.75:
            lives.recover(rng.randint(1, 60))
        elif what < 0.85:
            lives.lose(rng.choice((*NODES, *LINKS)))
        elif what < 0.95:
            lives.recreate(rng.choice((*NODES, *LINKS)))
        else:
            lives.memory.clock.wait(rng.uniform(0, 15))
