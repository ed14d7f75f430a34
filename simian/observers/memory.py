"""The observer of the memory world: what an attempt to talk to something would show, from the state alone."""

from collections.abc import Iterable, Mapping, MutableMapping
from random import Random
from typing import Any

from simian_filters.distribution import Distribution

from simian.memory.answers import Answer
from simian.memory.build import state_from
from simian.memory.devices import Devices
from simian.memory.draws import NOISE
from simian.memory.load import services_now
from simian.memory.nodes import MemoryNode
from simian.memory.routing import route_of_subnet
from simian.memory.state import MemoryState
from simian.memory.traffic import home_of, picked
from simian.topology import Link, Node
from simian.traffic import Entrance, Visit
from simian.world import Exchange, Side

ANSWER_MS = (0.6, 0.15)  # mean and deviation of an answer that nothing holds up
LINE_KB_S = 200_000.0  # how fast bytes come when nothing throttles them


class MemoryObserver:
    """Looks at a ``MemoryState``. It takes no simulated time; how long it would have taken is in ``elapsed_ms``."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._rng = Random(f"observer {state.seed}")

    def ask(self, node: Node, *, timeout_s: float = 1.0, side: Side = "server") -> Exchange:
        """See ``Observer.ask``."""
        one = self._state.nodes.get(node.name)
        if one is None or one.state == "stopped":
            return _refused()
        if one.state == "paused":
            return _no_answer(timeout_s)
        rules = [rule for rule in one.rules.values() if rule.rule.side in ("server", side)]
        hits = [rule for rule in rules if rule.hits()]
        elapsed_ms = self._answer_ms() + sum(hit.delay_ms() for hit in hits)
        if elapsed_ms > timeout_s * 1000:
            return _no_answer(timeout_s)
        statuses = (hit.rule.status for hit in hits if hit.rule.status and hit.rule.side == "server")
        status = next(statuses, 200 if self._serves(one, side) else 503)
        marks = tuple(hit.rule.mark for hit in hits)
        return Exchange(True, True, elapsed_ms, status, marks, one.incarnation, detail=f"status {status}")

    def _serves(self, one: MemoryNode, side: Side) -> bool:
        """Whether it is ready; asked on the client side, the services behind it must be, too."""
        behind = {"gateway": "members", "members": "store", "store": "store"}.get(one.node.service, "")
        if side == "server" or not behind or not self._state.ready(one):
            return self._state.ready(one)
        peers = [p for p in self._state.nodes.values() if (p.node.service, p.node.region) == (behind, one.node.region)]
        ready = sum(self._state.ready(peer) for peer in peers)
        return ready > (len(peers) // 2 if behind == "store" else 0)

    def exchange(self, link: Link, *, timeout_s: float = 1.0, size_b: int = 0) -> Exchange:
        """See ``Observer.exchange``."""
        one = self._state.links.get(link.name)
        if one is None:
            return _refused()
        passage = self._state.passage(one)
        if passage.condition == "refused":
            return _refused()
        target = self._state.condition(link.target)
        if "silent" in (passage.condition, target):
            return _no_answer(timeout_s)
        delay_ms = self._drawn_ms(passage.delays)
        if target == "refused":  # a proxy accepts before it knows that nobody is behind it
            return Exchange(True, False, self._answer_ms() + delay_ms, detail="closed without an answer")
        rate = min(LINE_KB_S, passage.rate_kb_s or LINE_KB_S)
        ready_ms = self._answer_ms() + delay_ms
        elapsed_ms = ready_ms + size_b / rate
        if elapsed_ms <= timeout_s * 1000:
            status = 200 if link.ask.startswith("http") else None
            return Exchange(True, True, elapsed_ms, status, transferred_b=size_b, detail="answered")
        came_b = max(0, int((timeout_s * 1000 - ready_ms) * rate))
        return Exchange(True, came_b > 0, timeout_s * 1000, transferred_b=came_b, detail=f"cut off at {timeout_s:g} s")

    def resolve(self, entrance: Entrance, subnet: str, *, timeout_s: float = 1.0) -> tuple[str, ...]:
        """See ``Observer.resolve``: addresses of dead gateways, too, as DNS knows nothing of that."""
        home = home_of(self._state.regions, subnet)
        region = picked(self._state.traffic.answered[home], subnet) if home else None
        if region is None or self._state.condition("dns") != "up":
            return ()
        return tuple(self._state.nodes[name].node.address for name in self._state.gateways(region))

    def visit(self, node: Node, home: str, *, subnet: str = "", timeout_s: float = 1.0) -> Visit:
        """See ``Observer.visit``: one of the ways in which a user's request there can end."""
        condition = self._state.condition(node.name)
        if condition == "silent":
            return Visit(False, timeout_s * 1000, detail=f"no answer in {timeout_s:g} s")
        if condition != "up":
            return Visit(False, 0.2, detail="connection refused")
        self._state.settle()
        devices = Devices(self._state, services_now(self._state), {})
        way = route_of_subnet(self._state, node.name, home, subnet)
        ends = devices.visit(node.name, home, way, write=False, follow=False)
        end = self._rng.choices(ends, [each.share for each in ends])[0]
        self._state.note_felt(end.felt, 1)
        elapsed_ms = self._took_ms(end)
        if not end.status or elapsed_ms > timeout_s * 1000:
            return Visit(False, min(elapsed_ms, timeout_s * 1000), detail=f"no answer in {timeout_s:g} s")
        return Visit(True, elapsed_ms, end.status, end.region, end.way, detail=f"status {end.status}")

    def _took_ms(self, end: Answer) -> float:
        delay_ms = self._rng.choice(end.delay) if end.delay else 0.0
        return end.base_ms * self._rng.choice(NOISE) + end.wait_ms + delay_ms

    def _answer_ms(self) -> float:
        return max(0.1, self._rng.gauss(*ANSWER_MS))

    def _drawn_ms(self, delays: Iterable[Distribution]) -> float:
        return sum(delay.draw(self._rng) for delay in delays)


def _refused() -> Exchange:
    return Exchange(False, False, 0.2, detail="connection refused")


def _no_answer(timeout_s: float) -> Exchange:
    return Exchange(True, False, timeout_s * 1000, detail=f"no answer in {timeout_s:g} s")


def from_settings(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemoryObserver:
    """The observer of the memory world in ``shared``, which is made from the settings when it is not there yet."""
    return MemoryObserver(state_from(settings, shared))
