"""Head-room: whether a saviour can carry the users who would be moved to it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from simian.fault import Fault
from simian.faults.steering import Shift
from simian.traffic import Load, Shares
from simian.world import World


def why_too_full(world: World, faults: Sequence[Fault]) -> list[str]:
    """Why the saviours cannot carry the users that these faults would send them; empty when they can."""
    shifts = [one for one in faults if isinstance(one, Shift)]
    if not shifts:
        return []
    why = world.steering.unsupported("load")
    if why:
        return [f"whether the saviour has head-room cannot be told: {why}; --force-headroom goes on without"]
    load, arrivals = world.steering.load(), world.steering.arrivals()
    by_home = Counter[str]()
    for counted in arrivals.values():
        by_home.update(counted)
    total_rps, every = sum(one.load_rps for one in load.values()), sum(by_home.values())
    rates = {home: total_rps * count / every for home, count in by_home.items()} if every else {}
    return [line for region in sorted({r for one in shifts for r in one.gaining}) if (line := _full(region, load, rates,
            world.steering.shares(), shifts))]  # fmt: skip


def _full(
    region: str, load: Mapping[str, Load], rates: Mapping[str, float], shares: Shares, shifts: Sequence[Shift]
) -> str:
    """The sentence on one saviour: its load once each home's largest shift has been made, against its capacity."""
    if region not in load or not rates:
        return f"the head-room of {region} could not be measured; --force-headroom goes on without"
    most = {home: shares.get(home, {}).get(region, 0.0) for home in rates}
    for one in shifts:
        most[one.home] = max(most.get(one.home, 0.0), one.to_shares.get(region, 0.0))
    wanted_rps = sum(rates.get(home, 0.0) * share for home, share in most.items())
    room_rps = load[region].capacity_rps
    if wanted_rps <= room_rps:
        return ""
    told = f"{region} would have to carry {wanted_rps:.0f} requests a second and declares {room_rps:.0f}"
    return f"{told}; make room there, or say --force-headroom"
