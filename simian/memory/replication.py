"""What is written in the memory world, in its replicas and caches: a small model in simulated time.

A write is in the replicas of its own region at once and crosses to the other regions a little later; the last one wins
by its time (of equal ones the larger value). What cannot get to a replica waits as a hint where it was written. The
caches of the writer's region get the new value; those of the others are told by the queue of the writer's region, from
which they pull, to forget the old one. Nothing here ticks: what waits is looked at when the world changes.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable
from simian.memory.reach import reached
from simian.memory.state import USUAL_LAG_S, MemoryState
from simian.world import Cell

HANDED_ON_S = 0.5  # from when a way is open until what waited for it has crossed


class Road(NamedTuple):
    """Where something is on its way: the node that keeps it, and the node or region that it is for."""

    kind: Literal["hints", "invalidations", "deletions"]
    holder: str
    target: str


class Replication:
    """Everything that was written through ``write`` to the nodes of one state; safe to use from many threads."""

    def __init__(self, state: MemoryState) -> None:
        self._state, self._habits = state, state.habits
        self._waiting: dict[Road, dict[str, Cell]] = {}
        self._leaving: set[Road] = set()  # those whose way has opened
        self._lock = threading.RLock()
        state.subscribe(lambda: None, self._look)

    @property
    def regions(self) -> list[str]:
        """Those with gateways and replicas."""
        return [region for region in self._state.regions if self._named("store", region)]

    def write(self, region: str, key: str, cell: Cell) -> None:
        """Write as a user at this region's front door. Returns when a majority of its replicas has it.

        Raises NoSuchTarget, Unreachable, TimedOut (made in part where replicas are silent) or DriverError.
        """
        if region not in self.regions:
            raise NoSuchTarget(f"{region!r} cannot be written to; there are: {', '.join(self.regions) or 'none'}")
        for service in ("gateway", "members"):
            self._refuse_none_of(self._named(service, region))
        stamped = Cell(cell.value, cell.at_us + self._habits.clock_ahead_us.get(region, 0))
        replicas = self._named("store", region)
        ready = self._that_are("up", replicas)
        enough, silent = len(ready) * 2 > len(replicas), self._that_are("silent", replicas)
        with self._lock:
            if ready and (enough or silent):  # who is silent, nobody knows of before it was tried
                self._made(region, ready[0], key, stamped)
        if not enough:
            told = f"only {len(ready)} of {len(replicas)} replicas of {region} answer; a write needs a majority"
            raise TimedOut(told) if silent else DriverError(told)

    def cells(self, service: str, keys: Iterable[str]) -> dict[str, dict[str, Cell]]:
        """Node -> key -> cell, of every node of a service. Raises Unreachable or TimedOut for one that is silent."""
        wanted = list(keys)
        found = {}
        for name in self._named(service):
            cells = reached(self._state, name, "what it has cannot be told").cells
            found[name] = {key: cells[key] for key in wanted if key in cells}
        return found

    def backlog(self) -> Mapping[str, int]:
        """Kind and node -> how much waits there; of nodes that answer."""
        waiting = Counter[str]()
        with self._lock:
            for road, cells in self._waiting.items():
                if self._state.condition(road.holder) == "up":
                    waiting[f"{road.kind} {road.holder}"] += len(cells)
        return dict(sorted(waiting.items()))

    # a write and what follows from it

    def _made(self, region: str, coordinator: str, key: str, cell: Cell) -> None:
        for name in self._named("store", region):
            self._go(Road("hints", coordinator, name), key, cell)
        for far in self.regions:
            if far != region:
                for name in self._named("store", far):
                    self._go_far(Road("hints", coordinator, name), key, cell)
        newest = self._state.nodes[coordinator].cells[key]
        for name in self._named("cache", region):
            self._fill(name, key, newest)
        for queue in self._named("queue", region):
            for far in self.regions:
                if far != region:
                    self._go_far(Road("invalidations", queue, far), key, cell)

    def _go_far(self, road: Road, key: str, cell: Cell) -> None:
        if not self._open(road):
            self._wait(road, key, cell)
            return
        passage = self._state.passage_between(road.holder, road.target)
        lag_s = USUAL_LAG_S + sum(delay.mean_ms for delay in passage.delays) / 1000
        self._state.clock.at(self._state.clock.elapsed() + lag_s, lambda: self._go(road, key, cell))

    def _go(self, road: Road, key: str, cell: Cell) -> None:
        with self._lock:
            if self._open(road):
                self._arrive(road, key, cell)
            else:
                self._wait(road, key, cell)

    def _wait(self, road: Road, key: str, cell: Cell) -> None:
        if self._keeps(road):
            waiting = self._waiting.setdefault(road, {})
            waiting[key] = max(cell, waiting.get(key, cell), key=_rank)

    def _keeps(self, road: Road) -> bool:
        """Whether what cannot go there now waits: it does, unless the world was built worse."""
        if road.kind == "hints" and not self._habits.keeps_hints:
            return self._state.passage_between(road.holder, road.target).condition == "up"
        return road.kind != "invalidations" or self._habits.keeps_invalidations

    def _arrive(self, road: Road, key: str, cell: Cell) -> None:
        if road.kind == "hints":
            _put(self._state.nodes[road.target].cells, key, cell)
        elif road.kind == "deletions":
            _forget(self._state.nodes[road.target].cells, key, cell)
        else:
            for name in self._named("cache", road.target):
                if self._state.condition(name) != "refused":  # a dead one has nothing to forget
                    self._go(Road("deletions", name, name), key, cell)

    def _fill(self, cache: str, key: str, cell: Cell) -> None:
        """Members keep what was written in a cache; where they cannot, they will delete what is older there."""
        road = Road("deletions", cache, cache)
        if self._open(road):
            _put(self._state.nodes[cache].cells, key, cell)
        elif self._state.condition(cache) != "refused":
            self._wait(road, key, cell)

    # whether a way is open, and what happens when it becomes so

    def _look(self) -> None:
        with self._lock:
            for road in self._waiting:
                if road not in self._leaving and self._open(road):
                    self._leaving.add(road)
                    when = self._state.clock.elapsed() + HANDED_ON_S
                    self._state.clock.at(when, lambda road=road: self._hand_on(road))  # type: ignore[misc]

    def _hand_on(self, road: Road) -> None:
        with self._lock:
            self._leaving.discard(road)
            if self._open(road):
                for key, cell in self._waiting.pop(road, {}).items():
                    self._arrive(road, key, cell)

    def _open(self, road: Road) -> bool:
        if not self._answers(road.holder):
            return False
        if road.kind == "hints":
            return self._leads(road.holder, road.target)
        region = self._state.nodes[road.holder].node.region
        if road.kind == "deletions":
            return self._reached_from(region, road.holder)
        return self._reached_from(region, road.holder) and self._reached_from(road.target, road.holder)

    def _reached_from(self, region: str, name: str) -> bool:
        """Whether any members node of the region gets to this node."""
        return any(self._answers(member) and self._leads(member, name) for member in self._named("members", region))

    def _leads(self, caller: str, callee: str) -> bool:
        return self._answers(callee) and self._state.passage_between(caller, callee).condition == "up"

    def _answers(self, name: str) -> bool:
        return self._state.condition(name) == "up"

    # nodes

    def _named(self, service: str, region: str = "") -> list[str]:
        every = (one.node for one in list(self._state.nodes.values()) if one.node.service == service)
        return [node.name for node in every if region in ("", node.region)]

    def _that_are(self, condition: str, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._state.condition(name) == condition]

    def _refuse_none_of(self, names: list[str]) -> None:
        """Raises where there are such nodes and none of them answers."""
        if names and not self._that_are("up", names):
            told = f"none of {', '.join(names)} answers, so nothing can be written there"
            raise TimedOut(told) if self._that_are("silent", names) else Unreachable(told)


def _rank(cell: Cell) -> tuple[int, str]:
    return cell.at_us, cell.value or ""


def _put(cells: dict[str, Cell], key: str, cell: Cell) -> None:
    cells[key] = max(cell, cells.get(key, cell), key=_rank)


def _forget(cells: dict[str, Cell], key: str, cell: Cell) -> None:
    if key in cells and _rank(cells[key]) < _rank(cell):
        del cells[key]
