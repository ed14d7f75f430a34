"""``simian schedule preview``: each coming run with the targets that its die would choose in today's topology."""

from functools import cache
from itertools import islice
from typing import Any

from simian.cli.context import System
from simian.cli.start import planned_for
from simian.errors import SimianError
from simian.schedule.preview import Coming, coming
from simian.schedule.row import Schedule
from simian.schedule.when import text_of
from simian.topology import Topology

DAY_S = 86_400.0


def previewed(
    system: System, topology: Topology, schedules: list[Schedule], days: float, seed: int | None, *, most: int
) -> dict[str, Any]:
    """The coming runs as data, in order; ``more``: there are more than ``most``."""
    now, calendar = system.clock.now(), system.config.opening_hours()
    by_name = {one.name: one for one in schedules}

    @cache
    def plan(name: str, die: int) -> tuple[list[str], str | None, str]:
        """Targets (each once), hash of the plan, and why there can be none."""
        try:
            made = planned_for(system, by_name[name], die, topology)
        except SimianError as error:
            return [], None, f"would be refused: {error}"
        return list(dict.fromkeys(fault.target for fault in made.faults)), made.hash, ""

    def told(one: Coming) -> dict[str, Any]:
        targets, plan_hash, why = ([], None, one.closed) if one.closed else plan(one.schedule.name, one.seed)
        return {
            "schedule": one.schedule.name, "due": text_of(one.due), "starts": text_of(one.starts), "seed": one.seed,
            "targets": targets, "plan_hash": plan_hash, "why_not": why or None,
        }  # fmt: skip

    found = list(islice(coming(schedules, now, now + days * DAY_S, calendar=calendar, seed=seed), most + 1))
    return {
        "topology_hash": topology.hash,
        "days": days,
        "coming": [told(one) for one in found[:most]],
        "more": len(found) > most,
    }
