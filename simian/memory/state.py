"""The memory world itself: nodes, links, rules and traffic as plain state. It knows of no fault, plan or verdict."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

from simian.errors import NoSuchTarget
from simian.memory.answers import Felt
from simian.memory.clock import SimulatedClock
from simian.memory.habits import Habits
from simian.memory.links import Condition, Effect, MemoryLink, Passage
from simian.memory.nodes import MemoryNode, RuleInPlace
from simian.memory.traffic import Crowd, Traffic, at_home
from simian.steering.layers import Answered
from simian.topology import Link
from simian.traffic import Modes, Shares
from simian.world import Rule

Callback = Callable[[], None]
USUAL_LAG_S = 0.05


def _no_such(kind: str, name: str, known: Iterable[str]) -> NoSuchTarget:
    return NoSuchTarget(f"no {kind} is called {name!r}; there are: {', '.join(sorted(known)) or 'none'}")


class MemoryState:
    """All there is. Whoever wants to know of the time before each change subscribes.

    Nothing here takes simulated time. ``version`` grows with each change, ``changed_at`` is its elapsed second.
    ``rates_rps``: requests a second of the users of each home, who are as many as there are gateways for them.
    """

    def __init__(
        self,
        nodes: Iterable[MemoryNode],
        links: Iterable[Link] = (),
        *,
        clock: SimulatedClock | None = None,
        seed: int = 0,
        habits: Habits | None = None,
    ) -> None:
        self.clock = clock or SimulatedClock()
        self.seed, self.habits = seed, habits or Habits()
        self.nodes = {one.node.name: one for one in nodes}
        every = [one.node for one in self.nodes.values()]
        proxies = {node.region: node.name for node in every if node.service == "proxy"}
        self.links = {link.name: MemoryLink(link, proxies.get(link.target_region)) for link in links}
        self.regions = tuple(sorted({node.region for node in every if node.service == "gateway"}))
        doors = Counter(node.region for node in every if node.service == "gateway")
        self.rates_rps = {region: self.habits.rate_rps * doors[region] / doors.total() for region in self.regions}
        sticky, usual = self.habits.sticky_share, 1 - self.habits.sticky_share
        crowds = [Crowd(usual, self.habits.ttl_s), Crowd(sticky, self.habits.sticky_s)]
        self.traffic = Traffic(at_home(self.regions), [crowd for crowd in crowds if crowd.share > 0])
        self.version, self.changed_at = 0, self.clock.elapsed()
        self._listeners: list[tuple[Callback, Callback]] = []
        self._lock = threading.RLock()
        for one in self.nodes.values():
            one.since = one.since or self.clock.now()

    @property
    def mean_rps(self) -> float:
        """Requests a second of the users of one home, on average."""
        return self.habits.rate_rps / max(1, len(self.regions))

    def subscribe(self, before_change: Callback, after_change: Callback) -> None:
        """Call these around each change; the first also whenever somebody reads what the past adds up to."""
        self._listeners.append((before_change, after_change))

    def settle(self) -> None:
        """Let subscribers account for the time up to now."""
        with self._lock:
            for before_change, _ in self._listeners:
                before_change()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Change the world: one at a time, the past accounted for first."""
        with self._lock:
            self.settle()
            yield
            self.version += 1
            self.changed_at = self.clock.elapsed()
            for _, after_change in self._listeners:
                after_change()

    def node(self, name: str) -> MemoryNode:
        """The node of that name. Raises NoSuchTarget."""
        if name not in self.nodes:
            raise _no_such("node", name, self.nodes)
        return self.nodes[name]

    def link(self, name: str) -> MemoryLink:
        """The link of that name. Raises NoSuchTarget."""
        if name not in self.links:
            raise _no_such("link", name, self.links)
        return self.links[name]

    # nodes

    def boot(self, name: str) -> None:
        """Ensure that a node lives, be it thawed or frozen; a new one is ready after its start delay."""
        with self._lock:
            one = self.node(name)
            one.held = False
            if one.state == "stopped":
                with self.change():
                    one.state, one.starts, one.since = "running", one.starts + 1, self.clock.now()
                    one.ready_at = one.warm_from = self.clock.elapsed() + one.start_delay_s
                self.clock.at(one.ready_at, lambda start=one.starts: self._is_up(one, start))  # type: ignore[misc]

    def end(self, name: str, *, held: bool) -> None:
        """End a node; one that is not ``held`` down is started again by itself."""
        with self._lock:
            one = self.node(name)
            one.held = one.held or held
            if one.state != "stopped":
                with self.change():
                    one.state = "stopped"
                    one.forget()
                if not one.held:
                    self.clock.at(self.clock.elapsed() + self.habits.restart_after_s, lambda: self._restart(one))

    def freeze(self, name: str, *, frozen: bool) -> None:
        """Freeze a running node or thaw a frozen one; content with any other."""
        with self._lock:
            one = self.node(name)
            if one.state == ("running" if frozen else "paused"):
                with self.change():
                    one.state = "paused" if frozen else "running"

    def remove(self, name: str) -> None:
        """Take a node out of the world for good, as a platform does that scales down."""
        self.node(name)
        with self.change():
            del self.nodes[name]

    def ready(self, one: MemoryNode) -> bool:
        """Whether it runs and has come up."""
        return one.state == "running" and self.clock.elapsed() >= one.ready_at

    def condition(self, name: str) -> Condition:
        """How a caller that reaches for the node finds it."""
        one = self.nodes.get(name)
        if one is not None and one.state == "paused":
            return "silent"
        return "up" if one is not None and self.ready(one) else "refused"

    def _is_up(self, one: MemoryNode, start: int) -> None:
        if one.starts == start and one.state != "stopped":
            with self.change():
                pass  # it became ready: nothing but time changed, and callers find it from now on

    def _restart(self, one: MemoryNode) -> None:
        if not one.held and one.node.name in self.nodes:
            self.boot(one.node.name)

    # rules

    def put_rule(self, name: str, rule: Rule) -> None:
        """Set a rule in a node. The same again is a renewal and keeps counts and die; a changed one starts anew."""
        with self._lock:
            one, expires_at = self.node(name), self.clock.elapsed() + rule.expires_in_s
            present = one.rules.get(rule.mark)
            if present is None or replace(present.rule, expires_in_s=rule.expires_in_s) != rule:
                with self.change():
                    present = one.rules[rule.mark] = RuleInPlace(rule, Random(rule.seed), expires_at)
                self._expire_later(one, present)
            present.rule, present.expires_at = rule, expires_at

    def drop_rule(self, name: str, mark: str) -> None:
        """Ensure that the node has no such rule."""
        with self._lock:
            one = self.node(name)
            if mark in one.rules:
                with self.change():
                    del one.rules[mark]

    def _expire_later(self, one: MemoryNode, rule: RuleInPlace) -> None:
        self.clock.at(rule.expires_at, lambda: self._maybe_expired(one, rule))

    def _maybe_expired(self, one: MemoryNode, rule: RuleInPlace) -> None:
        if one.rules.get(rule.rule.mark) is not rule:
            return
        if rule.expires_at > self.clock.elapsed():
            self._expire_later(one, rule)
            return
        with self.change():
            del one.rules[rule.rule.mark]

    def note_felt(self, felt: Iterable[Felt], count: int) -> None:
        """So many requests went by these rules."""
        for each in felt:
            rule = self.nodes[each.node].rules[each.mark]
            rule.saw += count
            rule.hit += count if each.hit else 0

    # links

    def passage(self, link: MemoryLink) -> Passage:
        """How bytes fare on it now; its target's own condition is another matter."""
        return link.passage("up" if link.proxy is None else self.condition(link.proxy))

    def way(self, caller: str, callee: str) -> MemoryLink | None:
        """The link that this caller takes to get there; ``None``: none is in between."""
        one = self.nodes.get(caller)
        wide = f"{one.node.service}-{one.node.region}" if one else caller
        return self.links.get(f"{caller}--{callee}") or self.links.get(f"{wide}--{callee}")

    def passage_between(self, caller: str, callee: str) -> Passage:
        """How bytes fare between them now; the callee's own condition is another matter."""
        link = self.way(caller, callee)
        return Passage() if link is None else self.passage(link)

    def lay(self, name: str, mark: str, effect: Effect) -> None:
        """Ensure that this effect lies on the link under this mark."""
        with self._lock:
            link = self.link(name)
            if link.ours.get(mark) != effect:
                with self.change():
                    link.ours[mark] = effect
                    link.enabled = link.enabled and not effect.refuses
                    self._note_cut(link)

    def lift(self, name: str, mark: str, *, enable: bool) -> None:
        """Ensure that nothing lies on the link under this mark; ``enable`` it unless another mark refuses, too."""
        with self._lock:
            link = self.link(name)
            refused = any(effect.refuses for key, effect in link.ours.items() if key != mark)
            enabled = link.enabled or (enable and not refused)
            if mark in link.ours or enabled != link.enabled:
                with self.change():
                    link.ours.pop(mark, None)
                    link.enabled = enabled
                    self._note_cut(link)

    def disturb(self, name: str, by: str, effect: Effect | None) -> None:
        """Lay somebody else's effect on a link, or take it away (``None``): what is not simian's."""
        with self._lock, self.change():
            foreign = self.link(name).foreign
            foreign.pop(by, None) if effect is None else foreign.update({by: effect})
            self._note_cut(self.link(name))

    def _note_cut(self, link: MemoryLink) -> None:
        if link.state != "cut":
            link.cut_at = None
        elif link.cut_at is None:
            link.cut_at = self.clock.elapsed()

    def lag_s(self, source_region: str, target_region: str, service: str = "store") -> float:
        """How old the target region's data may be: while every way of ``service`` there is cut, it grows."""
        ways = [
            link
            for link in self.links.values()
            if (link.link.source_region, link.link.target_region) == (source_region, target_region)
            and link.link.target.startswith(f"{service}-")
        ]
        open_ways = [self.passage(link) for link in ways if self.passage(link).condition == "up"]
        if ways and not open_ways:
            return self.clock.elapsed() - min(link.cut_at or 0.0 for link in ways)
        return USUAL_LAG_S + min((sum(by.mean_ms for by in way.delays) for way in open_ways), default=0.0) / 1000

    # traffic

    def send(self, shares: Shares) -> None:
        """Send the users of these homes to these regions, as somebody else than simian would.

        Raises DriverError for what is no share.
        """
        with self._lock, self.change():
            self.traffic.move(shares, self.clock.elapsed())

    def steer(self, home: str, change: Callable[[Answered], Answered]) -> None:
        """Change the answers for a home with the shifts in place. Raises NoSuchTarget, and what ``change`` raises."""
        with self._lock:
            if home not in self.traffic.answered:
                raise _no_such("home", home, self.traffic.answered)
            now = self.traffic.home(home)
            wanted = change(now)
            if wanted != now:
                with self.change():
                    self.traffic.lay(home, wanted, self.clock.elapsed())

    def gateways(self, region: str) -> list[str]:
        """Names of a region's gateways. Raises NoSuchTarget for a region that has none."""
        found = [n for n, one in self.nodes.items() if (one.node.service, one.node.region) == ("gateway", region)]
        if not found:
            raise _no_such("region with gateways", region, self.regions)
        return found

    def set_modes(self, region: str, modes: Modes) -> None:
        """How all gateways of a region treat users from now on."""
        for name in self.gateways(region):
            self.tune(name, modes)

    def tune(self, gateway: str, modes: Modes) -> None:
        """How one gateway treats users from now on."""
        with self._lock:
            one = self.node(gateway)
            if one.modes != modes:
                with self.change():
                    one.modes = modes
