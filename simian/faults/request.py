"""Faults of requests, inside services that mount ``simian_filters``: delays and errors, for a share of the calls."""

import math
import statistics
from dataclasses import dataclass
from typing import ClassVar, Self

from simian_filters.distribution import Distribution

from simian.errors import NoSuchTarget, Unreachable
from simian.fault import Control, Evidence, Exposed, Fault, fault, refuse_unless, with_target_name
from simian.topology import Node, Topology
from simian.world import Exchange, Rule, Side, World

LIFETIME_S = 10.0  # a rule expires by itself; the runner renews it well before
ASK_BUDGET_S = 20.0
ASKS_FOR_CONTROL = 15
FEWEST_ASKS = 60
MOST_ASKS = 960


def binomial_interval(n: int, share: float, confidence: float = 0.99) -> tuple[int, int]:
    """Smallest and largest count that lie in the central interval of Binomial(n, share).

    Exact: sums the probabilities from both ends (n is at most some thousands here).
    """
    if share <= 0 or share >= 1:
        return (n, n) if share >= 1 else (0, 0)
    tail = (1 - confidence) / 2
    ways = math.lgamma(n + 1)
    yes, no = math.log(share), math.log1p(-share)
    logs = [ways - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * yes + (n - k) * no for k in range(n + 1)]
    return _trim(logs, tail), n - _trim(logs[::-1], tail)


def _trim(logs: list[float], tail: float) -> int:
    mass = 0.0
    for k, log in enumerate(logs):
        mass += math.exp(log)
        if mass > tail:
            return k
    return len(logs) - 1


@dataclass(frozen=True)
class RequestFault(Fault):
    """What the faults of requests share.

    ``share`` (0..1] of the requests is hit, drawn from ``seed``; ``side`` is where: in the service (server) or in
    its calls to ``callee`` (client; empty: every call).
    """

    node: str
    share: float = 0.1
    side: Side = "server"
    callee: str = ""
    seed: int = 0
    layer = "request"
    soft: ClassVar[bool] = True
    renews: ClassVar[bool] = True

    def __post_init__(self) -> None:
        with_target_name(self)
        share = self.share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ValueError(f"a share lies above 0 and up to 1 (100 %), not {share!r}")
        if self.side not in ("client", "server"):
            raise ValueError(f"a side is 'client' or 'server', not {self.side!r}")

    def rule(self, mark: str) -> Rule:
        """The rule that stands for this fault inside the service."""
        raise NotImplementedError

    def prepare(self, world: World) -> Self:
        """Refuse a service without our filter, and one that already carries a rule of ours."""
        reachable = world.requests.nodes()
        names = ", ".join(reachable) or "none"
        refuse_unless(self.node in reachable, f"{self.node} has no request filter we can reach; those are: {names}")
        present = [reading.rule.mark for reading in world.requests.rules(self.node)]
        refuse_unless(not present, f"{self.node} carries {', '.join(present)}; wait until they expire, or remove them")
        return self

    def _asks(self, world: World, topology: Topology, count: int, timeout_s: float, until: float) -> list[Exchange]:
        node = topology.node(self.node)
        seen: list[Exchange] = []
        while len(seen) < count and world.clock.elapsed() < until:
            seen.append(world.observer.ask(node, timeout_s=timeout_s, side=self.side))
        return seen

    def _asks_until_hit(self, world: World, topology: Topology, mark: str) -> list[Exchange]:
        """Ask in rounds that double until one answer is hit: a rare fault needs many asks, a common one few."""
        until = world.clock.elapsed() + ASK_BUDGET_S
        seen = self._asks(world, topology, FEWEST_ASKS, self.patience_s, until)
        while len(seen) < MOST_ASKS and world.clock.elapsed() < until:
            if any(mark in exchange.hit_by for exchange in seen):
                break
            seen += self._asks(world, topology, len(seen), self.patience_s, until)
        return [exchange for exchange in seen if exchange.answered]

    def control(self, world: World, topology: Topology) -> Control:
        """It answers, and no answer carries a fault."""
        seen = self._asks(world, topology, ASKS_FOR_CONTROL, 1.0, world.clock.elapsed() + ASK_BUDGET_S)
        good = [exchange.elapsed_ms for exchange in seen if exchange.ok and not exchange.hit_by]
        enough = len(good) * 2 > len(seen)
        refuse_unless(enough, f"{self.node} answered well only {len(good)} of {len(seen)} times before the injection")
        median_ms = statistics.median(good)
        return Control(f"{len(good)} of {len(seen)} good, median {median_ms:.1f} ms", {"median_ms": median_ms})

    def inject(self, world: World, mark: str) -> None:
        """Put the rule into the service."""
        world.requests.put(self.node, self.rule(mark))

    def renew(self, world: World, mark: str) -> None:
        """Rules expire by themselves: put it again."""
        world.requests.put(self.node, self.rule(mark))

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """The share of answers that carry the mark lies in its 99 % interval, and they show the harm."""
        seen = self._asks_until_hit(world, topology, mark)
        if not self._as_planned(seen, mark):
            # Chance alone puts one honest fault in a hundred outside, and a plan may have dozens: look once more.
            until = world.clock.elapsed() + ASK_BUDGET_S
            asked = self._asks(world, topology, min(MOST_ASKS, max(FEWEST_ASKS, 4 * len(seen))), self.patience_s, until)
            seen = [exchange for exchange in asked if exchange.answered]
        hits = [exchange for exchange in seen if mark in exchange.hit_by]
        low, high = binomial_interval(len(seen), self.share)
        if not hits and low == 0:
            return Evidence(None, control.seen, f"{len(hits)} hits in {len(seen)} answers: too few to tell")
        harmed, harm = self.harm(hits, [exchange for exchange in seen if not exchange.hit_by], control)
        text = f"{len(hits)} of {len(seen)} answers hit (99 % interval {low} to {high}), {harm}"
        return Evidence(low <= len(hits) <= high and harmed, control.seen, text)

    def _as_planned(self, seen: list[Exchange], mark: str) -> bool:
        low, high = binomial_interval(len(seen), self.share)
        return low <= sum(mark in exchange.hit_by for exchange in seen) <= high

    @property
    def patience_s(self) -> float:
        """How long an ask may take under this fault."""
        return 1.0

    def harm(self, hits: list[Exchange], others: list[Exchange], control: Control) -> tuple[bool, str]:
        """Whether the answers that were hit show the planned harm, and how that looks."""
        raise NotImplementedError

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests that were hit."""
        return exposed.count_mark(mark)

    def places(self, topology: Topology) -> list[Node]:
        """The node whose requests are hit."""
        return [topology.node(self.node)]

    def undo(self, world: World, mark: str) -> None:
        """Take the rule out; content with a service that exists no more or is down: rules live in its memory."""
        try:
            world.requests.remove(self.node, mark)
        except (NoSuchTarget, Unreachable):
            return  # ``gone`` tells a service that is down from one that only cannot be reached

    def gone(self, world: World, mark: str) -> bool:
        """Whether no rule of this mark is in place."""
        try:
            return all(reading.rule.mark != mark for reading in world.requests.rules(self.node))
        except NoSuchTarget:
            return True
        except Unreachable:
            return not any(node.name == self.node and node.state == "running" for node in world.platform.nodes())


@fault("request_delay")
@dataclass(frozen=True)
class RequestDelay(RequestFault):
    """Hold a share of the requests back by a time drawn from ``by``."""

    by: str = "normal:100ms,20ms"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "by", Distribution.parse(str(self.by)).text)

    @property
    def planned_ms(self) -> float:
        """Median of the delay."""
        return Distribution.parse(self.by).median_ms

    @property
    def patience_s(self) -> float:
        """How long an ask may take under this fault."""
        return 1.0 + self.planned_ms * 5 / 1000

    def prepare(self, world: World) -> Self:
        """A delay of nothing would prove nothing."""
        refuse_unless(self.planned_ms > 0, f"a delay of {self.by} on {self.node} does nothing; give a longer one")
        return super().prepare(world)

    def rule(self, mark: str) -> Rule:
        """A delay for a share of the requests."""
        return Rule(mark, self.side, self.share, self.seed, delay=self.by, callee=self.callee, expires_in_s=LIFETIME_S)

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests that were hit; of those nobody waited for, which bring no mark back, the calls given up."""
        given_up = {"target": self.node} if self.side == "server" else {"source": self.node}
        return exposed.count_mark(mark) or exposed.count_failed(**given_up)

    def harm(self, hits: list[Exchange], others: list[Exchange], control: Control) -> tuple[bool, str]:
        """Answers that were hit came later than the others by at least half of what was planned."""
        usual = [exchange.elapsed_ms for exchange in others] or [float(control.figures["median_ms"] or 0.0)]
        if not hits:
            return False, "none to measure"
        moved_ms = statistics.median(exchange.elapsed_ms for exchange in hits) - statistics.median(usual)
        return moved_ms >= self.planned_ms / 2, f"{moved_ms:.1f} ms later, planned {self.planned_ms:.1f}"


@fault("request_error")
@dataclass(frozen=True)
class RequestError(RequestFault):
    """Answer a share of the requests with ``status`` instead of serving (server) or sending (client) them."""

    status: int = 503

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.status, bool) or not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise ValueError(f"a status of a fault lies from 400 to 599, not {self.status!r}")

    def rule(self, mark: str) -> Rule:
        """An error for a share of the requests."""
        return Rule(
            mark, self.side, self.share, self.seed, status=self.status, callee=self.callee, expires_in_s=LIFETIME_S
        )

    def harm(self, hits: list[Exchange], others: list[Exchange], control: Control) -> tuple[bool, str]:
        """Server side: each hit carries the status. Client side: the caller may well cope, so the mark is the proof."""
        if self.side == "client":
            return True, f"calls failed with {self.status} inside"
        shown = [exchange for exchange in hits if exchange.status == self.status]
        return len(shown) == len(hits), f"{len(shown)} of {len(hits)} with status {self.status}"
