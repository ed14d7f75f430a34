"""Records as the runner leaves them: held, broken, refused, crashed and recovered, stuck, aborted. From a fixed die."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from simian.histogram import Histogram

Record = dict[str, Any]
START = 1795255200.0  # 21 Nov 2026, 10:00:00 UTC
ZONE_A = ("gateway-east-a", "members-east-a", "cache-east-a", "store-east-a")
Hurt = Callable[[float, str], tuple[float, float, float]]  # second, home -> share failed, share retried, times slower


def moment(offset_s: float) -> str:
    return datetime.fromtimestamp(START + offset_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def unhurt(at: float, home: str) -> tuple[float, float, float]:
    return 0.0, 0.0, 1.0


def traffic(die: Random, seconds: int, hurt: Hurt = unhurt, rate: int = 100) -> list[Record]:
    rows = []
    for second in range(seconds):
        for home in ("east", "west"):
            failed_share, retried_share, slower = hurt(second, home)
            ended = rate + die.randint(-6, 6)
            failed = sum(die.random() < failed_share for _ in range(ended))
            retried = failed + sum(die.random() < retried_share for _ in range(ended - failed))
            latency = Histogram.of(die.lognormvariate(1.3, 0.35) * slower for _ in range(ended))
            rows.append(
                {
                    "at": START + second,
                    "seconds": 1.0,
                    "home": home,
                    "served": {home: ended - failed},
                    "ended": ended,
                    "ok": ended - failed,
                    "failed": failed,
                    "first_failed": retried,
                    "shed": 0,
                    "latency": latency.to_json(),
                    "ways": {"direct": ended - failed},
                }
            )
    return rows


def phases(**spans: tuple[float, float]) -> list[Record]:
    return [{"phase": name, "started": moment(a), "ended": moment(b)} for name, (a, b) in spans.items()]


def fault(number: int, kind: str, target: str, **other: Any) -> Record:
    known = {
        "id": number,
        "kind": kind,
        "target": target,
        "stage": "lights-out",
        "injected": moment(15.2 + number / 100),
        "undone": moment(45.4 + number / 100),
        "state": "undone",
        "evidence": {
            "held": True,
            "before": "answered 200 in 1.2 ms",
            "seen": "no answer on 2 of 2 exchanges",
        },
        "exposure": 400 + number,
    }
    return known | other


USERS = {"streams start": "success_share", "first tries": "first_try_share", "latency": "p99_ms"}


def check(name: str, verdict: str, tolerance: str, *values: float | None, readings: int = 62) -> Record:
    baseline, during, after = values
    of_users = {"users": USERS[name]} if name in USERS else {}
    return of_users | {
        "check": name,
        "verdict": verdict,
        "tolerance": tolerance,
        "baseline": baseline,
        "during": during,
        "after": after,
        "readings": readings,
    }


def record(run: str, monkey: str, seed: int, **other: Any) -> Record:
    known: Record = {
        "run": run,
        "monkey": monkey,
        "experiment": None,
        "seed": seed,
        "outcome": "completed",
        "verdict": "held",
        "recovery": "clean",
        "reasons": [],
        "started": moment(-0.6),
        "ended": moment(56.1),
        "topology_hash": "5f0cbb6f2c1e9a41",
        "plan_hash": "90ab6b1fb2d34c77",
        "phases": phases(
            plan=(-0.6, -0.5),
            preflight=(-0.5, 0.0),
            baseline=(0.0, 15.0),
            inject=(15.0, 15.9),
            observe=(15.9, 45.2),
            recover=(45.2, 46.7),
            verify=(46.7, 56.0),
            report=(56.0, 56.1),
        ),
        "faults": [],
        "steady_state": [],
        "weaknesses": [],
        "system": "lab",
        "hypothesis": None,
        "options": {},
        "note": "",
        "notes": [],
        "plan": {"stages": []},
        "simian": "0.1.0",
        "exposure_assumed": False,
        "leashed": False,
        "traffic": [],
        "readings": [],
        "arrivals": [],
        "caches": [],
        "moments": [],
        "backlog": [],
        "figures": {},
    }
    return known | other


def stages(*names: str, kind: str = "kill", stage: str = "lights-out") -> Record:
    faults = [{"kind": kind, "target": name, "version": 1} for name in names]
    return {"stages": [{"name": stage, "faults": faults, "settle_s": 2.0, "gate": False}]}


def held_gorilla() -> Record:
    def hurt(at: float, home: str) -> tuple[float, float, float]:
        down = home == "east" and 15 <= at < 46
        return 0.0, (0.34 if down and at < 17 else 0.02 if down else 0.0), 1.6 if down else 1.0

    die = Random(7)
    readings = [
        {"check": "streams start", "at": START + second + 0.1234567, "value": 1.0, "silent": False, "detail": ""}
        for second in range(56)
    ]
    return record(
        "k7f3m2qa9d",
        "gorilla",
        7,
        options={"zone": "east-a"},
        plan=stages(*ZONE_A),
        faults=[fault(number, "kill", name) for number, name in enumerate(ZONE_A, 1)],
        steady_state=[
            check("streams start", "held", ">= 99.9 %", 1.0, 1.0, 1.0, readings=4210),
            check("first tries", "held", ">= 90 %", 1.0, 0.9712, 1.0, readings=11203),
            check("latency", "held", "<= 3 x baseline", 9.42, 14.1, 9.39),
        ],
        traffic=traffic(die, 56, hurt),
        readings=readings,
        notes=["node users: restarted by itself during the run; that was not ours"],
    )


def broken_chaos() -> Record:
    def hurt(at: float, home: str) -> tuple[float, float, float]:
        return (0.31, 0.05, 4.0) if home == "east" and 15 <= at < 22 else (0.0, 0.0, 1.0)

    return record(
        "p2x9c4w1ts",
        "chaos",
        2026,
        outcome="aborted",
        verdict="broken",
        reasons=[
            "aborted: streams start fell below 95 %",
            "broken: streams start: 69.12 % of stream starts succeeded, and at least 99.9 % must",
            "unknown: the run did not complete",
        ],
        experiment="members survive a lost node",
        hypothesis="When a members node of a region dies, members keep starting streams, because two are left.",
        note="after the retry change of Thursday",
        options={"service": ["members"], "how": "kill"},
        phases=phases(
            baseline=(0.0, 15.0),
            inject=(15.0, 15.3),
            observe=(15.3, 20.9),
            recover=(20.9, 22.3),
            verify=(22.3, 33.0),
        ),
        ended=moment(33.1),
        plan=stages("members-east-b", stage="blow"),
        faults=[fault(1, "kill", "members-east-b", stage="blow", undone=moment(21.2), exposure=212)],
        steady_state=[
            check("streams start", "broken", ">= 99.9 %", 1.0, 0.69123, 1.0, readings=2901),
            check("latency", "held", "<= 5 x baseline", 9.42, 37.7, 9.4, readings=33),
        ],
        weaknesses=[
            {
                "check": "streams start",
                "seen": "69.12 % of stream starts succeeded, and at least 99.9 % must",
                "where": "home east, way direct, 10:00:15 to 10:00:21; all through gateway-east-b",
                "hint": "does gateway-east-b try the next members node when one refuses?",
            }
        ],
        traffic=traffic(Random(2026), 33, hurt),
    )


def refused_latency() -> Record:
    return record(
        "r0rrefused",
        "latency",
        3,
        outcome="refused",
        verdict="unknown",
        reasons=[
            "refused: members-east-a already carries a fault of run k7f3m2qa9d; run 'simian recover' first",
            "refused: the radius is a region, and at most a zone is allowed (limits.radius in simian.yaml)",
        ],
        options={"link": "members-east-a--cache-east-a", "delay": "normal:100ms,20ms"},
        phases=phases(plan=(-0.6, -0.5), preflight=(-0.5, 0.0)),
        ended=moment(0.1),
        plan=stages("members-east-a--cache-east-a", kind="delay", stage="slow"),
    )


def crashed_gorilla() -> Record:
    faults = [fault(number, "kill", name, undone=moment(24 + number / 10)) for number, name in enumerate(ZONE_A, 1)]
    return record(
        "c4shed0run",
        "gorilla",
        11,
        outcome="crashed",
        verdict="unknown",
        reasons=["crashed: the runner (process 4711) died in observe; its guardian recovered"],
        phases=[
            *phases(baseline=(0.0, 15.0), inject=(15.0, 15.9)),
            {"phase": "observe", "started": moment(15.9), "ended": None},
        ],
        ended=moment(26.0),
        plan=stages(*ZONE_A),
        faults=faults,
        traffic=traffic(Random(11), 24),
    )


def stuck_latency() -> Record:
    stuck = fault(
        1,
        "delay",
        "members-east-a--cache-east-a",
        stage="slow",
        undone=None,
        state="stuck",
        error="Toxiproxy http://127.1.0.50:8474 does not answer",
        mend="simian recover",
        evidence={"held": True, "before": "median 0.6 ms", "seen": "median 101.3 ms"},
    )
    fine = fault(2, "delay", "members-east-a--cache-east-b", stage="slow")
    return record(
        "st0ckdelay",
        "latency",
        5,
        recovery="stuck",
        verdict="broken",
        options={"link": None, "share": "10%", "delay": "normal:100ms,20ms", "hard": True},
        plan=stages("members-east-a--cache-east-a", "members-east-a--cache-east-b", kind="delay", stage="slow"),
        faults=[stuck, fine],
        steady_state=[check("latency", "broken", "<= 250 ms", 9.4, 912.0, 640.0)],
        weaknesses=[
            {"check": "latency", "seen": "912 ms", "where": "home east", "hint": "the members' cache deadline"}
        ],
        notes=[
            "Toxiproxy rolls dice of its own for the spread of a delay: the same seed will not give the same delays"
        ],
        traffic=traffic(Random(5), 56, lambda at, home: (0.0, 0.0, 9.0 if at >= 15 and home == "east" else 1.0)),
    )


def unfelt_chaos() -> Record:
    return record(
        "unfe1tchao",
        "chaos",
        1,
        verdict="unknown",
        plan=stages("cache-west-c", stage="blow"),
        faults=[fault(1, "pause", "cache-west-c", stage="blow", exposure=0)],
        steady_state=[check("streams start", "unknown", ">= 99.9 %", 1.0, 1.0, None, readings=412)],
        readings=[
            {
                "check": "streams start",
                "at": START + 20.2,
                "value": None,
                "silent": True,
                "detail": "no answer in 0.5 s",
            }
        ],
        traffic=traffic(Random(1), 56, rate=8),
    )


def leashed_chaos() -> Record:
    return record(
        "leashed0ch",
        "chaos",
        4,
        verdict="unknown",
        leashed=True,
        reasons=["leashed: nothing was touched"],
        phases=phases(plan=(-0.6, -0.5), preflight=(-0.5, 0.0), baseline=(0.0, 15.0)),
        ended=moment(15.1),
        plan=stages("members-west-b", stage="blow"),
        traffic=traffic(Random(4), 15),
    )


ALL: dict[str, Callable[[], Record]] = {
    "held gorilla": held_gorilla,
    "broken chaos": broken_chaos,
    "refused latency": refused_latency,
    "crashed gorilla": crashed_gorilla,
    "stuck latency": stuck_latency,
    "unfelt chaos": unfelt_chaos,
    "leashed chaos": leashed_chaos,
}
