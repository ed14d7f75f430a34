"""Faults of steering: where users go (shift) and how gateways treat them (failover mode, mis-routed users).

They are undone after all others: nodes first, users after. No undo sends users to a region that is dead; it is told
and stays in place then, as users are better off where they are.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from simian.errors import DriverError
from simian.fault import Control, Evidence, Exposed, Fault, fault, refuse_unless
from simian.topology import Node, Topology
from simian.traffic import Entrance, Misroute, Modes, as_plain, modes_from, same_shares, told_shares
from simian.world import World

FOLLOW_WITHIN_S = 15.0  # beyond the TTL: how long devices may take to follow the answers
LOOK_S = 0.5
FEWEST_ARRIVALS = 40
ANSWERED = 0.9  # of the subnets asked for
SIGMAS = 3.5


def not_alive(world: World, needs: Iterable[str]) -> str:
    """Why a region cannot serve: a service of which no majority of these nodes is ready; empty when it can.

    Nodes that exist no more do not count, unless all of them are gone.
    """
    nodes = {node.name: node for node in world.platform.nodes()}
    ready, every = Counter[str](), Counter[str]()
    wanted = list(needs)
    there = [name for name in wanted if name in nodes]
    if wanted and not there:
        return "none of its nodes exists any more"
    for name in there:
        every[nodes[name].service] += 1
        ready[nodes[name].service] += world.platform.ready(name)
    short = [f"{ready[name]} of {count} {name}" for name, count in every.items() if ready[name] * 2 <= count]
    return f"only {', '.join(short)} ready" if short else ""


def serving(world: World, regions: Iterable[str]) -> tuple[str, ...]:
    """Names of the nodes that serve in these regions now: what they need to be sent users again."""
    wanted = set(regions)
    nodes = [node for node in world.platform.nodes() if node.region in wanted and node.role == "service"]
    return tuple(node.name for node in nodes if world.platform.ready(node.name))


@dataclass(frozen=True)
class SteeringFault(Fault):
    """What the faults of steering share."""

    layer = "steering"
    last: ClassVar[bool] = True

    def gone(self, world: World, mark: str) -> bool:
        """Whether nothing carries the mark."""
        return all(placed != mark for _, placed in world.steering.marks())


@fault("shift")
@dataclass(frozen=True)
class Shift(SteeringFault):
    """Send the users of a home elsewhere: from these shares of serving regions to those, both fixed in the plan.

    ``steps_back``: shares on the way home, for a calm return. ``needs``: nodes that served in the regions the users
    would return to, taken in ``prepare``.
    """

    home: str
    from_shares: Mapping[str, float]
    to_shares: Mapping[str, float]
    steps_back: Sequence[Mapping[str, float]] = ()
    needs: Sequence[str] = ()
    aim = "home"

    def __post_init__(self) -> None:
        for row in (self.from_shares, self.to_shares, *self.steps_back):
            if abs(sum(row.values()) - 1.0) > 1e-6 or any(share < 0 for share in row.values()):
                raise ValueError(f"shares must not be negative and sum to 1, not {dict(row)}")
        for name in ("from_shares", "to_shares"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        object.__setattr__(self, "steps_back", [dict(row) for row in self.steps_back])
        object.__setattr__(self, "needs", list(self.needs))

    @property
    def left(self) -> list[str]:
        """Regions that lose users."""
        return [r for r, share in self.from_shares.items() if share > self.to_shares.get(r, 0.0)]

    @property
    def gaining(self) -> list[str]:
        """Regions that get them."""
        return [r for r, share in self.to_shares.items() if share > self.from_shares.get(r, 0.0)]

    def places(self, topology: Topology) -> list[Node]:
        """All that serves in the regions that lose users."""
        return [node for region in self.left for node in topology.candidates(region=region)]

    def prepare(self, world: World) -> Self:
        """Refuse what cannot be steered or would do nothing; keep what must serve before users are sent back."""
        why = world.steering.unsupported("shift")
        refuse_unless(not why, f"shift of {self.home}: {why}")
        shares = world.steering.shares()
        refuse_unless(self.home in shares, f"no users' home is called {self.home!r}; there are: {', '.join(shares)}")
        refuse_unless(not same_shares(self.from_shares, self.to_shares), f"a shift of {self.home} to the same shares")
        placed = [mark for home, mark in world.steering.marks() if home == self.home]
        refuse_unless(not placed, f'users of {self.home} are moved by {", ".join(placed)}; run "simian recover"')
        return replace(self, needs=serving(world, self.left))

    def control(self, world: World, topology: Topology) -> Control:
        """The answers over many subnets are those that are set, and users' arrivals can be counted."""
        now = world.steering.shares()[self.home]
        seen, asked = _answers(world, self.home)
        refuse_unless(sum(seen.values()) >= ANSWERED * asked, f"DNS answered {sum(seen.values())} of {asked} questions "
                      f"for users of {self.home} before the injection")  # fmt: skip
        refuse_unless(_near(seen, now), f"DNS does not answer {told_shares(now)} as it is set, but {_told(seen)}")
        return Control(f"answers {_told(seen)} over {asked} subnets", {})

    def inject(self, world: World, mark: str) -> None:
        """Move them, unless somebody else moved them meanwhile."""
        now = world.steering.shares().get(self.home, {})
        if not same_shares(now, self.from_shares):
            planned = told_shares(self.from_shares)
            raise DriverError(f"users of {self.home} are at {told_shares(now)}, not at {planned} as planned")
        world.steering.shift(self.home, mark, self.to_shares)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """The answers over many subnets, *and* the users' arrivals at the gateways; waited for, as TTLs pass."""
        ttl_s = max((entrance.ttl_s for entrance in _entrances(world, self.home)), default=0.0)
        until = world.clock.elapsed() + ttl_s + FOLLOW_WITHIN_S
        before = _arrivals(world, topology, self.home)
        while True:
            world.clock.wait(LOOK_S)
            seen, asked = _answers(world, self.home)
            after = _arrivals(world, topology, self.home)
            came = after - before
            enough = sum(came.values()) >= FEWEST_ARRIVALS
            held = self._answered(seen) and (self._followed(came, seen) if enough else None)
            late = world.clock.elapsed() >= until
            if held or late:
                text = f"answers {_told(seen)} over {asked} subnets; arrivals {_told(came)}"
                return Evidence(held if sum(seen.values()) >= ANSWERED * asked else None, control.seen, text)
            before = after if enough else before

    def _answered(self, seen: Mapping[str, int]) -> bool:
        """Whether so many answers come of the new shares and not of the old ones."""
        at, every = self._most_moved, max(1, sum(seen.values()))
        share, was, now = seen.get(at, 0) / every, self.from_shares.get(at, 0.0), self.to_shares.get(at, 0.0)
        return _near(seen, self.to_shares) and abs(share - now) < abs(share - was)

    @property
    def _most_moved(self) -> str:
        regions = {*self.from_shares, *self.to_shares}
        return max(sorted(regions), key=lambda r: abs(self.to_shares.get(r, 0.0) - self.from_shares.get(r, 0.0)))

    def _followed(self, came: Mapping[str, int], seen: Mapping[str, int]) -> bool:
        """Whether arrivals are nearer to what DNS answers now than to what it answered before."""
        every, answers = sum(came.values()), sum(seen.values())
        at = self._most_moved
        now, was = seen.get(at, 0) / max(1, answers), self.from_shares.get(at, 0.0)
        share = came.get(at, 0) / every
        return abs(share - now) < abs(share - was)

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Requests of these users that were served in the regions that they were sent to."""
        return exposed.count_served(self.home, self.gaining)

    @property
    def eases(self) -> int:
        """Steps on the way home."""
        return len(self.steps_back)

    def ease(self, world: World, mark: str, step: int) -> None:
        """Send some of them home, once it can serve."""
        if why := self._why_not_back(world):
            raise DriverError(why)
        world.steering.shift(self.home, mark, self.steps_back[step])

    def undo(self, world: World, mark: str) -> None:
        """Send them where they were, once that can serve. Raises DriverError while it cannot."""
        why = self._why_not_back(world)
        if not why:
            world.steering.unshift(self.home, mark)  # also where nothing is to be seen of it: a look may be an old one
        elif not self.gone(world, mark):
            raise DriverError(why)

    def _why_not_back(self, world: World) -> str:
        why, where = not_alive(world, self.needs), ", ".join(self.left)
        return f"users of {self.home} are not sent back to {where}, which cannot serve them: {why}" if why else ""


@dataclass(frozen=True)
class ModesFault(SteeringFault):
    """What the faults of gateways' modes share. ``was``: the modes before, by gateway, taken in ``prepare``."""

    region: str
    was: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    aim = "region"
    soft: ClassVar[bool] = True

    def places(self, topology: Topology) -> list[Node]:
        """The gateways of the region."""
        return _gateways(topology, self.region)

    def _modes(self, world: World) -> dict[str, Modes]:
        why = world.steering.unsupported("modes")
        refuse_unless(not why, f"{self.kind} of {self.region}: {why}")
        regions = {node.name: node.region for node in world.platform.nodes()}
        found = {name: modes for name, modes in world.steering.modes().items() if regions.get(name) == self.region}
        refuse_unless(bool(found), f"no gateway of {self.region} tells its modes")
        return found

    def _refuse_owned(self, owners: Mapping[str, str]) -> None:
        taken = [f"{gateway} by {owner}" for gateway, owner in owners.items() if owner]
        refuse_unless(not taken, f"{self.kind} of {self.region} is set already: {', '.join(taken)}; undo that first")

    def _unset(self, world: World, mark: str) -> None:
        """Also where nothing is to be seen of it: a look may be an old one."""
        world.steering.unset(self.region, mark, {name: modes_from(plain) for name, plain in self.was.items()})


@fault("failover_mode")
@dataclass(frozen=True)
class FailoverMode(ModesFault):
    """The gateways of a region serve users of these homes instead of taking them home."""

    homes: Sequence[str]
    needs: Sequence[str] = ()

    def __post_init__(self) -> None:
        _plain_lists(self)

    def prepare(self, world: World) -> Self:
        """Refuse a region that is in failover mode already; keep the modes, and what serves at home."""
        now = self._modes(world)
        self._refuse_owned({name: modes.failover_owner for name, modes in now.items()})
        served = [name for name, modes in now.items() if set(self.homes) <= set(modes.failover)]
        refuse_unless(not served, f"{', '.join(served)} serve users of {', '.join(self.homes)} already")
        return replace(self, was=_was(now), needs=serving(world, self.homes))

    def control(self, world: World, topology: Topology) -> Control:
        """A foreign user's request is answered, and taken home."""
        return _visited(world, _gateways(topology, self.region), self.homes[0], "")

    def inject(self, world: World, mark: str) -> None:
        """Set it at every gateway of the region."""
        world.steering.set_failover(self.region, mark, self.homes)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """A foreign user's request is served in the region itself, at each of its gateways."""
        seen = [world.observer.visit(node, self.homes[0]) for node in _gateways(topology, self.region)]
        here = [one for one in seen if one.status == 200 and (one.way, one.region) == ("direct", self.region)]
        text = f"users of {self.homes[0]} served in {self.region} at {len(here)} of {len(seen)} gateways"
        return Evidence(bool(seen) and len(here) == len(seen), control.seen, text)

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Requests of these users that the region served."""
        return sum(exposed.count_served(home, [self.region]) for home in self.homes)

    def undo(self, world: World, mark: str) -> None:
        """As it was before; not while users are sent here whose home is dead."""
        shares = world.steering.shares() if not world.steering.unsupported("shift") else {}
        here = [home for home in self.homes if shares.get(home, {}).get(self.region, 0.0) > 0]
        why = not_alive(world, self.needs) if here else ""
        if not why:
            self._unset(world, mark)
        elif not self.gone(world, mark):
            raise DriverError(f"users of {', '.join(here)} are served in {self.region}, and cannot be at home: {why}")


@fault("misrouted")
@dataclass(frozen=True)
class Misrouted(ModesFault):
    """The gateways of a region redirect or proxy mis-routed users, its own included whom DNS sends elsewhere by now."""

    mode: Misroute = "redirect"
    own: bool = True

    def __post_init__(self) -> None:
        _plain_lists(self)
        if self.mode not in ("redirect", "isthmus"):
            raise ValueError(f"mis-routed users are handled by 'redirect' or 'isthmus', not {self.mode!r}")

    def prepare(self, world: World) -> Self:
        """Refuse what somebody else has set; keep the modes."""
        now = self._modes(world)
        self._refuse_owned({name: modes.misrouted_owner for name, modes in now.items()})
        same = [name for name, modes in now.items() if (modes.misrouted, modes.own) == (self.mode, self.own)]
        refuse_unless(not same, f"{', '.join(same)} treat mis-routed users so already")
        return replace(self, was=_was(now))

    def control(self, world: World, topology: Topology) -> Control:
        """A request of a user from elsewhere is answered."""
        return _visited(world, _gateways(topology, self.region), *self._visitor(world))

    def inject(self, world: World, mark: str) -> None:
        """Set it at every gateway of the region."""
        world.steering.set_misrouted(self.region, mark, mode=self.mode, own=self.own)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """A user whom DNS sends elsewhere is taken there, by each gateway of the region."""
        home, subnet = self._visitor(world)
        seen = [world.observer.visit(node, home, subnet=subnet) for node in _gateways(topology, self.region)]
        taken = [one for one in seen if one.answered and one.way == self.mode and one.region != self.region]
        text = f"users who belong elsewhere are handled by {self.mode} at {len(taken)} of {len(seen)} gateways"
        return Evidence(bool(seen) and len(taken) == len(seen), control.seen, text)

    def _visitor(self, world: World) -> tuple[str, str]:
        """Home and subnet of a user who does not belong here: of ours, from a subnet that is answered elsewhere."""
        others = [entrance for entrance in world.steering.entrances() if entrance.home != self.region]
        refuse_unless(bool(others), f"there is no home but {self.region}, so nobody could be mis-routed there")
        return (self.region if self.own else others[0].home), others[0].subnets[0]

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests at the gateways of the region: each was looked at, those of stragglers taken away."""
        return sum(exposed.count_node(node.name) for node in _gateways(topology, self.region))

    def undo(self, world: World, mark: str) -> None:
        """As it was before."""
        self._unset(world, mark)


def _plain_lists(given: Any) -> None:
    """Fields as the journal gives them back."""
    object.__setattr__(given, "was", dict(given.was))
    for name in ("homes", "needs"):
        if hasattr(given, name):
            object.__setattr__(given, name, list(getattr(given, name)))


def _was(modes: Mapping[str, Modes]) -> dict[str, Any]:
    return {name: as_plain(one) for name, one in modes.items()}


def _gateways(topology: Topology, region: str) -> list[Node]:
    return topology.candidates(region=region, where=lambda node: bool(node.visit))


def _visited(world: World, gateways: Sequence[Node], home: str, subnet: str) -> Control:
    seen = [world.observer.visit(node, home, subnet=subnet) for node in gateways]
    good = [one.answered and (one.status or 500) < 400 for one in seen]
    bad = [node.name for node, fine in zip(gateways, good, strict=True) if not fine]
    refuse_unless(bool(seen) and not bad, f"users' requests at {', '.join(bad) or 'no gateway'} are not answered well")
    return Control(f"users of {home}: {', '.join(sorted({f'{one.way} {one.region}'.strip() for one in seen}))}", {})


def _entrances(world: World, home: str) -> list[Entrance]:
    return [entrance for entrance in world.steering.entrances() if entrance.home == home]


def _answers(world: World, home: str) -> tuple[Counter[str], int]:
    """Region -> subnets that are answered with it, and how many were asked for."""
    seen, asked = Counter[str](), 0
    for entrance in _entrances(world, home):
        for subnet in entrance.subnets:
            regions = {entrance.regions.get(at, "") for at in world.observer.resolve(entrance, subnet)} - {""}
            seen.update(regions if len(regions) == 1 else [])
            asked += 1
    return seen, asked


def _near(seen: Mapping[str, int], shares: Mapping[str, float]) -> bool:
    """Whether so many answers can come of these shares."""
    many = sum(seen.values())
    return many > 0 and all(
        abs(seen.get(region, 0) / many - share) <= SIGMAS * math.sqrt(share * (1 - share) / many) + 0.01
        for region, share in {**dict.fromkeys(seen, 0.0), **shares}.items()
    )


def _arrivals(world: World, topology: Topology, home: str) -> Counter[str]:
    """Region -> requests of users of this home that its gateways have counted."""
    regions = {node.name: node.region for node in topology.nodes}
    came = Counter[str]()
    for gateway, counted in world.steering.arrivals().items():
        came[regions.get(gateway, "")] += counted.get(home, 0)
    return came


def _told(counts: Mapping[str, int]) -> str:
    every = sum(counts.values())
    return told_shares({region: count / every for region, count in counts.items() if count}) if every else "none"
