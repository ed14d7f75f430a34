"""A week as the history gives it: what got worse, what got better, what nobody measured."""

from typing import Any

from .records import moment

DAY_S = 86400
Found = dict[str, Any]


def past(run: str, monkey: str, day: float, verdict: str = "held", **other: Any) -> Found:
    spent = [{"home": home, "requests": 6000, "failed": 0, "seconds": 60.0} for home in ("east", "west")]
    return {
        "run": run, "monkey": monkey, "experiment": None, "system": "shop", "started": moment(-7 * DAY_S + day * DAY_S),
        "ended": moment(-7 * DAY_S + day * DAY_S + 60), "outcome": "completed", "verdict": verdict, "recovery": "clean",
        "note": "", "spent": spent, "broken": [], "unmeasured": [], "weaknesses": [], "injected": True,
    } | other  # fmt: skip


def before(monkey: str | None, verdict: str, experiment: str | None = None) -> Found:
    return {
        "monkey": monkey,
        "experiment": experiment,
        "verdict": verdict,
        "run": "older",
        "started": moment(-8 * DAY_S),
    }


WEAK = {"check": "streams start", "seen": "91 % of stream starts succeeded", "hint": "look at the deadline of gateways"}
HURT = [
    {"home": "east", "requests": 6000, "failed": 540, "seconds": 60.0},
    {"home": "west", "requests": 6000, "failed": 0, "seconds": 60.0},
]


def a_week() -> Found:
    """Chaos broke and had held; gorilla held and had broken; kong held; one refused, one unknown, one uncounted."""
    runs = [
        past("aaa1", "chaos", 0.4),
        past("aaa2", "gorilla", 0.5),
        past("aaa3", "kong", 1.4),
        past("aaa4", "chaos", 1.5, "broken", weaknesses=[WEAK], broken=["streams start"], spent=HURT),
        past("aaa5", "latency", 2.4, "unknown", unmeasured=["latency"]),
        past("aaa6", "split-brain", 3.1, "unknown", outcome="refused", injected=False, spent=[]),
        past("aaa7", "chaos", 3.4, "broken", weaknesses=[WEAK], broken=["streams start"], spent=HURT),
        past("aaa8", "gorilla", 4.4, experiment="a zone is lost"),
        past("aaa9", "latency", 4.5, spent=[]),
        past("aab1", "chaos", 5.5, "unknown", injected=False, spent=[]),
    ]
    known = [before("gorilla", "broken"), before("kong", "held"), before("gorilla", "held", "a zone is lost")]
    return {"since": moment(-7 * DAY_S), "until": moment(0), "runs": runs, "before": known}
