"""Faults of nodes: kill, crash, stop, pause."""

from dataclasses import dataclass

from simian.errors import NoSuchTarget
from simian.fault import Control, Evidence, Exposed, Fault, fault, refuse_unless, with_target_name
from simian.topology import Node, Topology, Zone
from simian.world import Exchange, World

ASKS = 2
REBIRTH_LIMIT_S = 30.0
REBIRTH_LOOK_S = 0.1


def _ask(world: World, node: Node) -> list[Exchange]:
    return [world.observer.ask(node) for _ in range(ASKS)]


@dataclass(frozen=True)
class NodeFault(Fault):
    """What the faults of nodes share. ``node`` may be given as a Node or by name."""

    node: str

    def __post_init__(self) -> None:
        with_target_name(self)

    def control(self, world: World, topology: Topology) -> Control:
        """The node answers an application question."""
        seen = world.observer.ask(topology.node(self.node))
        refuse_unless(seen.ok, f"{self.node} does not answer before the injection ({seen.detail or seen.status})")
        incarnation = seen.incarnation or world.platform.incarnation(self.node)
        text = f"answered in {seen.elapsed_ms:.1f} ms"
        return Control(text, {"elapsed_ms": seen.elapsed_ms, "incarnation": incarnation})

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """No application answer on any of two exchanges."""
        seen = _ask(world, topology.node(self.node))
        silent = [exchange for exchange in seen if not exchange.answered]
        text = f"no answer on {len(silent)} of {len(seen)} exchanges ({seen[-1].detail})"
        return Evidence(len(silent) == len(seen), control.seen, text)

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests that reached for this node."""
        return exposed.count_node(self.node)

    def undo(self, world: World, mark: str) -> None:
        """Ensure that the node runs; content with one that exists no more."""
        try:
            world.platform.start(self.node)
        except NoSuchTarget:
            return

    def gone(self, world: World, mark: str) -> bool:
        """Whether the node is ready to serve, or exists no more."""
        try:
            return world.platform.ready(self.node)
        except NoSuchTarget:
            return True


@fault("kill")
@dataclass(frozen=True)
class Kill(NodeFault):
    """End a node at once; nothing restarts it.

    ``evacuated``: a region whose users are moved away, so that they feel its death by being served elsewhere.
    ``zone``: one that is lost as a whole, which is felt at whichever of its nodes users reach for: nobody asks a node
    whose callers died with it.
    """

    evacuated: str = ""
    zone: str = ""

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests that reached for this node, or its zone; of an evacuated region, those served elsewhere."""
        if self.zone:
            zone = Zone(self.zone, topology.node(self.node).region)
            return sum(exposed.count_node(node.name) for node in topology.candidates(zone=zone))
        if not self.evacuated:
            return super().exposure(exposed, topology, mark)
        others = [region.name for region in topology.regions if region.name != self.evacuated]
        return exposed.count_served(self.evacuated, others)

    def inject(self, world: World, mark: str) -> None:
        """SIGKILL, and it stays down."""
        world.platform.kill(self.node)


@fault("stop")
@dataclass(frozen=True)
class Stop(NodeFault):
    """End a node in good order; nothing restarts it."""

    def inject(self, world: World, mark: str) -> None:
        """SIGTERM, then SIGKILL; it stays down."""
        world.platform.stop(self.node)


@fault("crash")
@dataclass(frozen=True)
class Crash(NodeFault):
    """End a node at once as if by itself: whatever restarts it does so, and that is part of what is tried."""

    def inject(self, world: World, mark: str) -> None:
        """SIGKILL without telling its supervisor."""
        world.platform.crash(self.node)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """A new incarnation, waited for: it may take its supervisor a while."""
        before = control.figures.get("incarnation")
        if before is None:
            return Evidence(None, control.seen, "its incarnation could not be told before the crash")
        until = world.clock.elapsed() + REBIRTH_LIMIT_S
        while world.clock.elapsed() < until:
            now = self._incarnation(world, topology)
            if now is not None and now != before:
                return Evidence(True, f"incarnation {before}", f"incarnation {now}")
            world.clock.wait(REBIRTH_LOOK_S)
        down = not world.observer.ask(topology.node(self.node)).answered
        text = "down, and not restarted" if down else "still the same incarnation"
        return Evidence(down, f"incarnation {before}", f"{text} after {REBIRTH_LIMIT_S:.0f} s")

    def _incarnation(self, world: World, topology: Topology) -> str | None:
        seen = world.observer.ask(topology.node(self.node))
        if not seen.answered:
            return None
        return seen.incarnation or world.platform.incarnation(self.node)


@fault("pause")
@dataclass(frozen=True)
class Pause(NodeFault):
    """Freeze a node: it accepts connections and never answers."""

    def inject(self, world: World, mark: str) -> None:
        """SIGSTOP."""
        world.platform.pause(self.node)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """It accepts, and does not answer."""
        seen = _ask(world, topology.node(self.node))
        frozen = [exchange for exchange in seen if exchange.connected and not exchange.answered]
        text = f"accepted and did not answer on {len(frozen)} of {len(seen)} exchanges ({seen[-1].detail})"
        return Evidence(len(frozen) == len(seen), control.seen, text)

    def undo(self, world: World, mark: str) -> None:
        """Thaw it, and ensure that it runs: something may have ended the frozen node meanwhile."""
        try:
            world.platform.resume(self.node)
            world.platform.start(self.node)
        except NoSuchTarget:
            return
