"""Records of runs that move users and watch data: Kong planned, hard and aborted, Split-brain held and broken."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from simian.histogram import Histogram

from . import records
from .records import START, Record, check, fault, moment, phases, record

RATE = 100  # requests a second of each home
LAG_S = 3  # seconds until devices have followed the DNS
STEPS = ((0.0, 1.0), (17.0, 0.75), (21.0, 0.5), (25.0, 0.25), (29.0, 0.0), (61.0, 0.25), (64.0, 0.5), (67.0, 0.75))
HOME = (*STEPS, (70.0, 1.0))  # when which share of east's users is answered with east
HARD = ((0.0, 1.0), (19.0, 0.0), (61.0, 0.25), (64.0, 0.5), (67.0, 0.75), (70.0, 1.0))
DARK = ("members", "cache", "store")
NODES = [f"{service}-east-{zone}" for service in DARK for zone in "abc"]
GATEWAYS = [f"gateway-east-{zone}" for zone in "abc"]


def share_at(steps: Sequence[tuple[float, float]], second: int) -> tuple[float, float]:
    """Shares of east's users whom the DNS sends to east, and who go there: the mean over the last seconds."""
    dns = [max((at, share) for at, share in steps if at <= max(0, second - lag))[1] for lag in range(LAG_S)]
    return dns[0], sum(dns) / LAG_S


def row(second: int, home: str, **counts: Any) -> Record:
    ok = sum(counts["served"].values())
    failed = counts.get("failed", 0)
    latency = Histogram.of([4.0] * (ok + failed)).to_json()
    known = {"at": START + second, "seconds": 1.0, "home": home, "ended": ok + failed, "ok": ok, "failed": 0}
    return known | {"first_failed": failed, "shed": 0, "latency": latency, "ways": {"direct": ok}} | counts


def second(at: int, steps: Sequence[tuple[float, float]], dark: range) -> tuple[list[Record], list[Record]]:
    """Rows of traffic and of arrivals: half of the stragglers are redirected; nobody answers while it is dark."""
    dns, going = (round(RATE * share) for share in share_at(steps, at))
    late = max(0, going - dns)
    redirected, failed = late // 2, 0
    if at in dark:
        redirected, failed, late = 0, going * 3 // 10, 0
        unanswered = going
    else:
        unanswered = 0
    served = 0 if at in dark else going - redirected
    elsewhere = RATE - served - failed
    ways = {"direct": RATE - failed - redirected, "redirect": redirected}
    east = row(at, "east", served={"east": served, "west": elsewhere}, ways=ways, failed=failed)
    east["first_failed"] = unanswered
    west = row(at, "west", served={"west": RATE})
    arrived = [
        {"at": START + at, "seconds": 1.0, "region": "east", "answered": going - unanswered, "unanswered": unanswered},
        {"at": START + at, "seconds": 1.0, "region": "west", "answered": RATE + elsewhere, "unanswered": 0},
    ]
    return [east, west], arrived


def users(steps: Sequence[tuple[float, float]], dark: range = range(0)) -> Record:
    seconds = [second(at, steps, dark) for at in range(82)]
    return {
        "traffic": [row for rows, _ in seconds for row in rows],
        "arrivals": [row for _, rows in seconds for row in rows],
        "caches": [cache for at in range(82) for cache in caches(at)],
    }


def caches(at: int) -> list[Record]:
    cold = 61 <= at < 65
    west = {"at": START + at, "seconds": 1.0, "region": "west", "hits": 190, "misses": 10}
    away = [] if 33 <= at < 61 else [{"region": "east", "hits": 40 if cold else 95, "misses": 60 if cold else 5}]
    return [*(west | each for each in away), west]


def shift(number: int, was: float, will: float, at: float, back: float, **other: Any) -> Record:
    fields = {
        "kind": "shift", "version": 1, "home": "east", "from_shares": {"east": was, "west": 1 - was},
        "to_shares": {"east": will, "west": 1 - will}, "steps_back": [], "needs": NODES,
    }  # fmt: skip
    seen = f"answers {told(will)} over 32 subnets; arrivals {told(will)}"
    evidence = {"held": True, "before": f"answers {told(was)} over 32 subnets", "seen": seen}
    times = {"injected": moment(at), "undone": moment(back)}
    return fault(number, "shift", "east", stage=f"shift to {will * 100:g} %", fields=fields, evidence=evidence) | (
        times | other
    )


def told(share: float) -> str:
    return ", ".join(f"{region} {part * 100:g} %" for region, part in (("east", share), ("west", 1 - share)) if part)


def failover(number: int, at: float, back: float) -> Record:
    fields = {"kind": "failover_mode", "region": "west", "homes": ["east"]}
    evidence = {"held": True, "before": "users of east: isthmus east", "seen": "users of east served in west at 3 of 3"}
    named = fault(number, "failover_mode", "west", stage="failover mode", fields=fields, evidence=evidence)
    return named | {"injected": moment(at), "undone": moment(back)}


def misrouted(number: int, at: float, back: float) -> Record:
    fields = {"kind": "misrouted", "region": "east", "mode": "redirect", "own": True}
    evidence = {"held": True, "before": "", "seen": "users who belong elsewhere are handled by redirect at 3 of 3"}
    named = fault(number, "misrouted", "east", stage="mis-routed users", fields=fields, evidence=evidence)
    return named | {"injected": moment(at), "undone": moment(back)}


def kills(first: int, names: Sequence[str], at: float, back: float) -> list[Record]:
    return [
        fault(first + index, "kill", name, injected=moment(at + index / 50), undone=moment(back + index / 50))
        for index, name in enumerate(names)
    ]


def happened(*what: tuple[float, str, Mapping[str, str]]) -> list[Record]:
    return [{"at": START + at, "name": name, **facts} for at, name, facts in what]


FIGURES: Record = {
    "regions": {name: "east" for name in (*GATEWAYS, *NODES)},
    "left": "east",
    "saviours": ["west"],
    "capacity_rps": {"east": 375.0, "west": 375.0},
}
CHECKS = [
    check("streams start", "held", ">= 99.5 %", 1.0, 1.0, 1.0, readings=9120),
    check("latency", "held", "<= 1000 ms", 4.0, 4.1, 4.0),
]


def planned_kong() -> Record:
    steps = [(1.0, 0.75, 17.1, 70.2), (0.75, 0.5, 21.1, 67.2), (0.5, 0.25, 25.1, 64.2), (0.25, 0.0, 29.1, 61.2)]
    shifts = [shift(number, *step) for number, step in enumerate(steps, 3)]
    return record(
        "k0ngp1anne", "kong", 7,
        options={"region": "east", "steps": "75,50,25,0"},
        ended=moment(82.1),
        phases=phases(
            plan=(-0.6, -0.5), preflight=(-0.5, 0.0), baseline=(0.0, 15.0), inject=(15.0, 37.4), observe=(37.4, 57.4),
            recover=(57.4, 71.5), verify=(71.5, 82.0), report=(82.0, 82.1),
        ),
        faults=[failover(1, 15.1, 71.4), misrouted(2, 16.1, 70.9), *shifts, *kills(7, NODES, 36.2, 60.1)],
        steady_state=CHECKS,
        moments=happened(
            (36.0, "drained", {"region": "east"}), (37.4, "hold", {}), (60.3, "undone", {"detail": "lights-out"}),
            (61.3, "undone", {"detail": "shift to 0 %"}),
        ),
        figures=FIGURES,
        **users(HOME),
    )  # fmt: skip


def hard_kong() -> Record:
    last = shift(14, 1.0, 0.0, 18.9, 70.2) | {"stage": "shift to 0 %"}
    return record(
        "k0nghard00", "kong", 8,
        options={"region": "east", "steps": "75,50,25,0", "hard": True},
        ended=moment(82.1),
        phases=phases(
            baseline=(0.0, 15.0), inject=(15.0, 25.6), observe=(25.6, 57.4), recover=(57.4, 71.5), verify=(71.5, 82.0),
        ),
        faults=[*kills(1, (*GATEWAYS, *NODES), 15.1, 60.1), failover(13, 18.4, 71.4), last],
        steady_state=CHECKS,
        moments=happened(
            (15.4, "dark", {"detail": "lights-out"}), (16.6, "detected", {"detail": "streams start fell below 95 %"}),
            (18.3, "decided", {"detail": "to move users"}), (19.0, "shifted", {"detail": "shift to 0 %"}),
            (23.1, "drained", {"region": "east"}), (25.6, "hold", {}), (60.5, "undone", {"detail": "lights-out"}),
            (61.0, "eased", {"detail": "shift to 0 %, step 1"}), (64.0, "eased", {"detail": "shift to 0 %, step 2"}),
            (67.0, "eased", {"detail": "shift to 0 %, step 3"}),
        ),
        figures=FIGURES | {"capacity_rps": {"west": 180.0}},
        **users(HARD, dark=range(15, 60)),
    )  # fmt: skip


def crashed_kong() -> Record:
    """The runner died while users were moved: no figures, as those are written at the end."""
    known = planned_kong()
    faults = [each | {"undone": moment(33.0)} for each in known["faults"][:5]]
    faults[4] |= {"state": "stuck", "undone": None, "error": "PowerDNS http://127.9.0.53:8053 does not answer"}
    return known | {
        "outcome": "crashed", "verdict": "unknown", "recovery": "stuck", "figures": {}, "arrivals": [], "caches": [],
        "moments": [], "faults": faults,
    }  # fmt: skip


def cut(number: int, link: str) -> Record:
    evidence = {"held": True, "before": "answered in 0.8 ms", "seen": "no answer on 2 of 2 exchanges"}
    return fault(number, "cut", link, stage="split_brain", evidence=evidence)


LINKS = ("members-east--queue-west", "members-west--queue-east", "store-east--store-west-a", "store-west--store-east-a")
CONVERGED: Record = {
    "keys": 812, "acknowledged": 1620, "unanswered": 3, "converged_s": {"east": 1.2, "west": 0.9}, "bound_s": 30.0,
    **{name: {"count": 0, "examples": []} for name in ("lost", "stale", "conflicting")},
}  # fmt: skip


def backlog() -> list[Record]:
    found = []
    for at in range(14, 56):
        cut_s = max(0, min(at, 45) - 15) if at < 47 else 0
        waiting = {"hints store-east-a": cut_s * 8, "hints store-west-a": cut_s * 7, "invalidations queue-east": cut_s}
        found.append({"at": START + at + 0.3, "waiting": waiting | {"invalidations queue-west": 0}})
    return found


def split_brain() -> Record:
    return record(
        "sp1itbra1n", "split-brain", 9,
        options={"between": "east,west", "how": "refuse", "direction": "east->west"},
        faults=[cut(number, link) for number, link in enumerate(LINKS, 1)],
        steady_state=[*CHECKS, check("nothing lost", "held", "no key", None, None, None, readings=812)],
        traffic=records.traffic(Random(9), 56),
        backlog=backlog(),
        figures={"regions": {}, "data": CONVERGED},
    )  # fmt: skip


def examples(count: int) -> Record:
    made = [
        {"key": f"run-both-{n}", "wanted": f"east-{n}", "found": f"west-{n}, nothing", "where": "store-east-a"}
        for n in range(min(5, count))
    ]
    return {"count": count, "examples": made}


def torn_brain() -> Record:
    """Not all came together again."""
    data = CONVERGED | {"lost": examples(2), "conflicting": examples(14), "converged_s": {"east": 2.5, "west": None}}
    still = backlog()
    for each in still[-12:]:
        each["waiting"] = {"hints store-east-a": 240, "hints store-west-a": 0}
    weakness = {
        "check": "nothing lost",
        "seen": "2 of 812 keys lost",
        "where": "store-east-a",
        "hint": "look at clocks",
    }
    return split_brain() | {
        "run": "t0rnbra1n0", "verdict": "broken", "weaknesses": [weakness], "backlog": still,
        "figures": {"regions": {}, "data": data},
    }  # fmt: skip


ALL = {
    "planned kong": planned_kong,
    "hard kong": hard_kong,
    "crashed kong": crashed_kong,
    "split-brain": split_brain,
    "torn brain": torn_brain,
}
