"""How the services of the memory world answer one request, computed from its state at one moment."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from simian_filters.distribution import Distribution

from simian.memory.answers import NO_ANSWER, Answer, Answers, Felt, added, both, in_turn, mixed, points, within
from simian.memory.links import Condition, Passage
from simian.memory.state import MemoryState
from simian.topology import Node
from simian.world import Side

USERS = "users"
_OPEN = Passage()
_STARTED = Answer(1.0)


class Moment(NamedTuple):
    """What depends on time besides the state: a value, so that equal moments give equal answers.

    ``learning``: nodes and links so freshly bad that nobody knows it yet. ``warmth``: of each cache that is not
    wholly warm. ``shed``: the share that an overloaded gateway, or a region's overloaded mid-tier, turns away.
    """

    ready: frozenset[str]
    learning: frozenset[str] = frozenset()
    warmth: tuple[tuple[str, float], ...] = ()
    shed: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _Hit:
    """What a node's rules do to a request: one combination of hits and misses, with its share."""

    held: Answer
    status: int | None = None


class Services:
    """The answers of a world at one moment. Made anew when the state or the moment changes."""

    def __init__(self, state: MemoryState, moment: Moment) -> None:
        self._state, self._moment, self._habits = state, moment, state.habits
        self._warmth, self._shed = dict(moment.warmth), dict(moment.shed)
        self._done: dict[tuple[object, ...], Answers] = {}
        self._pools: dict[tuple[str, str], list[Node]] = {}
        for one in state.nodes.values():
            self._pools.setdefault((one.node.service, one.node.region), []).append(one.node)

    # what users ask

    def gateway(self, name: str, *, write: bool, far: str | None = None) -> Answers:
        """What users get from a gateway; ``far``: the region to which it passes requests on (isthmus)."""
        region, timeout_ms = self._node(name).region, self._habits.try_timeout_ms

        def inside() -> Answers:
            if far is None:
                return self._mid_tier(name, region, write)
            return both([self._own("far")], self._isthmus(name, far, write))

        def asked() -> Answers:
            answers = self.call(USERS, name, timeout_ms, lambda: self._or_shed(name, inside()))
            by, way = (region, "direct") if far is None else (far, "isthmus")
            return [answer._replace(region=by, way=way) if answer.ok else answer for answer in answers]

        return self._once(("gateway", name, far, write), asked)

    def redirect(self, name: str) -> Answers:
        """A gateway that sends users elsewhere."""
        timeout_ms, answer = self._habits.try_timeout_ms, self._own("gateway", 307)._replace(way="redirect")
        return self._once(("redirect", name), partial(self.call, USERS, name, timeout_ms, lambda: [answer]))

    def pool(self, service: str, region: str) -> list[str]:
        """Names of a service's nodes in a region; where it has none there, those of all regions."""
        here = self._pools.get((service, region)) or [
            node for (kind, _), nodes in self._pools.items() if kind == service for node in nodes
        ]
        return [node.name for node in here]

    def bad(self, caller: str, callee: str) -> bool:
        """Whether this caller gets no answer there at all."""
        return self._found(caller, callee)[0] != "up"

    # what they ask one another

    def _isthmus(self, name: str, far: str, write: bool) -> Answers:
        def ask(gateway: str) -> Answers:
            return self.call(name, gateway, self._habits.far_timeout_ms, lambda: self._mid_tier(gateway, far, write))

        return _or_503(self._one_of(name, self._nearest(name, "gateway", far), ask))

    def _mid_tier(self, gateway: str, region: str, write: bool) -> Answers:
        """A gateway asks the members node of its zone, the next one when that fails."""
        members = self._nearest(gateway, "members", region)

        def ask(name: str) -> Answers:
            return self.call(gateway, name, self._habits.gateway_timeout_ms, lambda: self._members(name, write))

        def compute() -> Answers:
            asked = _or_503(self._one_of(gateway, members, ask)) if members else [_STARTED]
            return both([self._own("gateway")], self._or_shed(region, asked))

        return self._once(("mid", gateway, region, write), compute)

    def _members(self, name: str, write: bool) -> Answers:
        """Reads come from the nearest cache, else from the store, as writes do."""

        def compute() -> Answers:
            answers = self._write(name) if write else self._read(name)
            return both([self._own("members")], answers)

        return self._once(("members", name, write), compute)

    def _write(self, name: str) -> Answers:
        region = self._node(name).region
        told = [f"{name}>{callee}~" for kind in ("cache", "queue") for callee in self.pool(kind, region)]
        stored = self._store(name, write=True)
        return [answer._replace(hops=(*answer.hops, *told)) if answer.ok else answer for answer in stored]

    def _read(self, name: str) -> Answers:
        caches = self._nearest(name, "cache")[:1]
        if not caches:
            return self._store(name, write=False)
        cache, h = caches[0], self._habits
        hit = h.cache_hit_share * self._warmth.get(cache, 1.0)
        probed = self._probing(name, cache)
        asked = self.call(name, cache, h.cache_timeout_ms, lambda: [self._own("cache")])
        good = [answer for answer in asked if answer.ok]
        rest = [answer for answer in asked if not answer.ok]
        missed = [_looked(answer, f"{name}>{cache}", "-", 1 - hit) for answer in good]
        hits = [_looked(answer, f"{name}>{cache}", "+", hit) for answer in good]
        told = [f"{name}>{other}~" for other in self.pool("cache", self._node(name).region)]
        filled = [a._replace(hops=(*a.hops, *told)) if a.ok else a for a in self._store(name, write=False)]
        with_cache = hits + both(missed, filled) + both([a._replace(errors=()) for a in rest], filled)
        return mixed([(probed, with_cache), (1 - probed, self._store(name, write=False))])

    def _store(self, caller: str, *, write: bool) -> Answers:
        """Any node of the region coordinates, the nearest first."""

        def ask(name: str) -> Answers:
            return self.call(caller, name, self._habits.store_timeout_ms, lambda: self._replica(name, write))

        ring = self._nearest(caller, "store")
        return _or_503(self._one_of(caller, ring, ask)) if ring else [_STARTED]

    def _replica(self, name: str, write: bool) -> Answers:
        """A quorum of the region: one answer of each group of peers makes it up. Other regions get it later.

        Those who answer are dealt first, so that no group is without one as long as there are enough for a quorum.
        """
        region = self._node(name).region
        peers = self._nearest(name, "store")[1:]
        groups = (len(peers) + 1) // 2
        dealt = sorted(peers, key=lambda peer: self.bad(name, peer))
        answers = [self._own("store")]

        def ask(peer: str) -> Answers:
            patience_ms, hedge_ms = self._habits.peer_timeout_ms, self._habits.peer_hedge_ms
            return self.call(name, peer, patience_ms, lambda: [self._own("store")], silent_ms=hedge_ms)

        def compute() -> Answers:
            nonlocal answers
            for group in range(groups):
                asked = _or_503(self._one_of(name, sorted(dealt[group::groups], key=peers.index), ask))
                answers = [a for a in answers if not a.ok] + both([a for a in answers if a.ok], asked)
            if not write:
                return answers
            others = [node.name for (kind, at), nodes in self._pools.items() if kind == "store" and at != region
                      for node in nodes]  # fmt: skip
            told = tuple(f"{name}>{peer}~" for peer in (*peers, *others))
            return [a._replace(hops=(*a.hops, *_not_yet(told, a.hops))) if a.ok else a for a in answers]

        return self._once(("replica", name, write), compute)

    # one call

    def call(
        self,
        caller: str,
        callee: str,
        timeout_ms: float,
        inside: Callable[[], Answers],
        *,
        silent_ms: float | None = None,
    ) -> Answers:
        """The caller's own rules, the way there, the callee's rules, then what is ``inside``; all within its time.

        ``silent_ms``: what a silent callee costs one who asks another before the time is over.
        """
        lost_ms = timeout_ms if silent_ms is None else silent_ms
        hop, answers = f"{caller}>{callee}", []
        for hit in self._hits(caller, "client", self._node(callee).service):
            reached = self._reach(caller, callee, lost_ms, inside) if hit.status is None else [_refusal(hop, hit)]
            late = hit.held._replace(status=NO_ANSWER, delay=(), hops=(f"{hop}!",), errors=("timeout",), share=1.0)
            answers += within(both([hit.held], reached), timeout_ms, late)
        return answers

    def _reach(self, caller: str, callee: str, lost_ms: float, inside: Callable[[], Answers]) -> Answers:
        hop = f"{caller}>{callee}"
        condition, passage = self._found(caller, callee)
        if condition == "refused":
            return [Answer(1.0, NO_ANSWER, self._habits.refused_ms, hops=(f"{hop}!",), errors=("refused",))]
        if condition == "silent":
            return [Answer(1.0, NO_ANSWER, wait_ms=lost_ms, hops=(f"{hop}!",), errors=("timeout",))]
        size_b = self._habits.response_b.get(self._node(callee).service, 0)
        held = Answer(
            1.0, wait_ms=size_b / passage.rate_kb_s if passage.rate_kb_s else 0.0, delay=points(passage.delays)
        )
        found: Answers = []
        for hit in self._hits(callee, "server", ""):
            answers = [_refusal(hop, hit)] if hit.status is not None else [_told(hop, a) for a in inside()]
            found += both(both([held], [hit.held]), answers)
        return found

    def _hits(self, node: str, side: Side, callee: str) -> list[_Hit]:
        one = self._state.nodes.get(node)
        hits = [_Hit(_STARTED)]
        for placed in one.rules.values() if one else ():
            rule = placed.rule
            if rule.side == side and rule.callee in ("", callee):
                delay = points((Distribution.parse(rule.delay),)) if rule.delay else ()
                missed = Answer(1 - rule.share, felt=(Felt(node, rule.mark, False),))
                struck = Answer(rule.share, delay=delay, marks=(rule.mark,), felt=(Felt(node, rule.mark, True),))
                hits = [
                    _Hit(_joined(hit.held, felt), hit.status if felt is missed or hit.status else rule.status)
                    for hit in hits
                    for felt in (missed, struck)
                    if felt.share > 0
                ]
        return hits

    def _found(self, caller: str, callee: str) -> tuple[Condition, Passage]:
        link = self._state.way(caller, callee)
        passage = _OPEN if link is None else link.passage(self._condition(link.proxy))
        return (self._condition(callee) if passage.condition == "up" else passage.condition), passage

    def _condition(self, name: str | None) -> Condition:
        if name is None or name in self._moment.ready:
            return "up"
        one = self._state.nodes.get(name)
        return "silent" if one is not None and one.state == "paused" else "refused"

    # who is asked

    def _one_of(self, caller: str, ring: Sequence[str], ask: Callable[[str], Answers]) -> Answers:
        """In this order, those known to be bad last; now and then one caller tries a bad one in its place."""
        known = [name for name in ring if self._known_bad(caller, name)]
        if not known:
            return in_turn(ask(name) for name in ring)
        last = [name for name in ring if name not in known] + known
        if ring[0] not in known:
            return in_turn(ask(name) for name in last)
        probed = self._probing(caller, ring[0])
        first = [ring[0], *(name for name in last if name != ring[0])]
        return mixed([(probed, in_turn(ask(n) for n in first)), (1 - probed, in_turn(ask(n) for n in last))])

    def _known_bad(self, caller: str, callee: str) -> bool:
        if not self.bad(caller, callee):
            return False
        link = self._state.way(caller, callee)
        fresh = self._moment.learning
        return callee not in fresh and (link is None or link.link.name not in fresh)

    def _probing(self, caller: str, callee: str) -> float:
        """The share of calls that go to a callee in its place: all to a good one, else one in a while."""
        if not self._known_bad(caller, callee):
            return 1.0
        callers = self._pools[self._node(caller).service, self._node(caller).region]
        calls_rps = self._state.mean_rps / len(callers)
        return min(1.0, 1 / max(1e-9, self._habits.remember_bad_s * calls_rps))

    def _nearest(self, name: str, service: str, region: str = "") -> list[str]:
        """The pool of a region (its own), from the zone at its own place on; itself first, if of that service.

        Several in one zone, or in none, begin each with another one.
        """
        node = self._node(name)
        pool = self.pool(service, region or node.region)
        own = _place(node)
        near = [at for at, other in enumerate(pool) if _place(self._node(other)) == own] or list(range(len(pool)))
        mates = [mate.name for mate in self._pools[node.service, node.region] if _place(mate) == own]
        start = near[mates.index(name) % len(near)] if near else 0
        return pool[start:] + pool[:start]

    def _or_shed(self, where: str, answers: Answers) -> Answers:
        shed = self._shed.get(where, 0.0)
        return mixed([(shed, [Answer(1.0, 503, errors=("shed",))]), (1 - shed, answers)]) if shed else answers

    def _own(self, service: str, status: int = 200) -> Answer:
        return Answer(1.0, status, self._habits.base_ms[service])

    def _node(self, name: str) -> Node:
        one = self._state.nodes.get(name)
        return one.node if one else Node(name, name, "")

    def _once(self, key: tuple[object, ...], compute: Callable[[], Answers]) -> Answers:
        if key not in self._done:
            self._done[key] = compute()
        return self._done[key]


def _place(node: Node) -> str:
    """Its zone within its region, which others have by the same name; empty where it has none."""
    return (node.zone or "").removeprefix(node.region)


def _not_yet(told: Iterable[str], hops: Sequence[str]) -> Iterator[str]:
    """Those that were started, without those that were waited for."""
    return (hop for hop in told if hop[:-1] not in hops and f"{hop[:-1]}!" not in hops)


def _looked(answer: Answer, hop: str, ending: str, share: float) -> Answer:
    """The share of a cache's answers that have, or have not, what was asked for."""
    told = tuple(f"{each}{ending}" if each == hop else each for each in answer.hops)
    return answer._replace(share=answer.share * share, hops=told)


def _joined(first: Answer, second: Answer) -> Answer:
    return Answer(
        first.share * second.share,
        delay=added(first.delay, second.delay),
        marks=first.marks + second.marks,
        felt=first.felt + second.felt,
    )


def _refusal(hop: str, hit: _Hit) -> Answer:
    """What a rule answers instead of the service."""
    status = hit.status or 503
    return Answer(1.0, status, 0.1, hops=(f"{hop}!" if status >= 500 else hop,), errors=(f"status_{status}",))


def _told(hop: str, inside: Answer) -> Answer:
    """The callee's answer as its caller sees it: a failure behind it is a status of its own."""
    if inside.ok:
        return inside._replace(hops=(hop, *inside.hops), errors=())
    failed = hop if hop.startswith(f"{USERS}>") else f"{hop}!"
    errors = ("shed",) if "shed" in inside.errors[-1:] else (f"status_{inside.status}",)
    return inside._replace(hops=(failed, *inside.hops), errors=errors)


def _or_503(answers: Iterable[Answer]) -> Answers:
    """Whoever asked in vain answers 503 itself; what came as a final answer is passed on."""
    return [a if a.final else a._replace(status=503, errors=a.errors if "shed" in a.errors else ()) for a in answers]
