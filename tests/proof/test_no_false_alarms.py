"""The healthy lab is never accused, on whatever machine: *unknown* is honest there, *broken* is wrong.

``SIMIAN_SEEDS`` is how many times each monkey looks at the lab of stand-ins, and a tenth of it at the one with real
parts; in short, one that meets every part looks once at the former. Runs of a second are looked at as well: they see
little else than the moment in which users meet what is gone.
"""

import os
from collections import Counter

import pytest

from ..figures import note_figures
from .conftest import WholeLab

SEEDS = int(os.environ.get("SIMIAN_SEEDS", "1"))
DOUBTS = 3  # a busy machine makes for doubt, and doubt is no answer: that many looks must give one
LINES = (
    "kong --region west --hard",
    "split-brain",
    "kong --region east",
    "chaos --service members --region east",
    "gorilla --zone west-b",
    "latency --service store",
)
BRIEF = (
    "gorilla --zone west-b",
    "gorilla --zone east-a",
    *(f"chaos --service gateway --how {how}" for how in ("kill", "crash", "stop", "pause")),
    *(f"chaos --service {service} --how kill" for service in ("members", "store", "cache")),
    *(f"chaos --service {service} --how pause" for service in ("members", "store", "cache")),
    "split-brain --how refuse",
    "split-brain --how blackhole",
    *(f"latency --service {service}" for service in ("gateway", "members", "store")),
    "kong --region east",
    "kong --region west --hard",
)


def _look(lab: WholeLab, line: str, parts: str) -> None:
    verdicts: Counter[str] = Counter()
    times = SEEDS if parts == "stand-ins" else max(1, SEEDS // 10)
    while verdicts.total() < times or (not verdicts["held"] and verdicts.total() < DOUBTS):
        told = lab.run(line, seed=verdicts.total() + 1)
        verdict, reasons = told.record["verdict"], told.record["reasons"]
        verdicts[verdict] += 1
        note_figures(healthy=line, parts=parts, verdict=verdict)
        if verdict not in ("held", "unknown") or told.record["recovery"] != "clean":
            pytest.fail("\n".join([f"{line}: {told.facts} after {verdicts}", *reasons]))
        assert verdict == "held" or reasons, "a doubt without its reason"
    if not verdicts["held"]:
        told.skip_if_the_machine_was_too_busy()
    assert verdicts["held"], f"nothing but doubt: {reasons}"


@pytest.mark.lab
@pytest.mark.timeout(900 * max(SEEDS, DOUBTS))
@pytest.mark.parametrize("line", LINES if SEEDS > 1 else LINES[:1])
@pytest.mark.parametrize("parts", ["stand-ins", "real"] if SEEDS > 1 else ["stand-ins"])
def test_every_monkey_finds_nothing(whole_lab: WholeLab, request: pytest.FixtureRequest, parts: str, line: str) -> None:
    whole_lab.up(*(["--real", request.getfixturevalue("real")] if parts == "real" else []))
    _look(whole_lab, line, parts)


@pytest.mark.lab
@pytest.mark.timeout(900 * max(SEEDS, DOUBTS))
@pytest.mark.parametrize("line", BRIEF if SEEDS > 1 else BRIEF[:1])
def test_a_run_of_a_second_accuses_nobody(whole_lab: WholeLab, line: str) -> None:
    whole_lab.up()
    for seed in range(1, 1 + max(1, SEEDS // 10)):
        told = whole_lab.run(line, seed, hold="1s")
        note_figures(healthy=f"{line} --for 1s", parts="stand-ins", verdict=told.record["verdict"])
        assert told.facts[1:] in (("held", "clean"), ("unknown", "clean")), told.record["reasons"]
        if told.facts[0] != "completed":
            told.skip_if_the_machine_was_too_busy()
            pytest.fail(f"nothing was looked at: {told.facts}, {told.record['reasons']}")
