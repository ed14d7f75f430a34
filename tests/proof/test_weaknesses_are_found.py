"""Each weakness that the lab can be built with is found by its monkey, which says what was seen, where, where to look.

``SIMIAN_SEEDS`` above 1 looks for all of them, on stand-ins, on real parts and in containers; else for a few.
"""

import os
import re

import pytest
from simian_lab.weaknesses import WEAKNESSES

from ..figures import note_figures
from ..lab.containers import lab_engine_fixture  # noqa: F401
from .conftest import Told, WholeLab

FULL = int(os.environ.get("SIMIAN_SEEDS", "1")) > 1
FEW = ("single-instance",)
# Found under load alone: two Java machines beside it leave too little of two cores for the users themselves.
UNDER_LOAD = ("retry-storm", "unbounded-queue", "no-shedding", "too-little-headroom")
RATE_IN_CONTAINERS = 50  # requests a second, of which two cores carry little more,
RATES_IN_CONTAINERS = {"retry-storm": 25}  # and with tries upon tries not even that
HOLD_IN_CONTAINERS = "40s"  # at that rate as many requests as the others see,
HOLDS_IN_CONTAINERS = {"stragglers-fail": "16s"}  # but more good ones would hide those that fail while users move
TRIES = 3  # a busy machine makes for doubt, and doubt is no answer
WORDS = {  # as patterns: of those who look at the report, this in one hint at least
    "single-instance": "members-east-a",
    "quorum-in-one-zone": "store(-| of )east",
    "gateway-pinned-to-zone": "members-east-a",
    "cross-region-read": "region",
    "lost-invalidations": "invalidations",
    "dropped-hints": "hints",
    "wrong-clock": "clocks",
    "no-timeouts": "time-out",
    "retry-storm": "tries",
    "unbounded-queue": "line",
    "no-shedding": "line",
    "too-little-headroom": "west",
    "stragglers-fail": "8443",
    "sticky-resolver": "TTL",
    "failover-mode-ignored": "setting",
    "session-in-memory": "sessions",
}


def _answer(lab: WholeLab, line: str, hold: str) -> Told:
    """Of the first run that is in no doubt, else of the last."""
    for seed in range(1, TRIES + 1):
        told = lab.run(line, seed, hold=hold)
        if not told.doubtful:
            return told
    told.skip_if_the_machine_was_too_busy()
    return told


def _found(lab: WholeLab, name: str, parts: str, hold: str = "16s") -> None:
    told = _answer(lab, WEAKNESSES[name].monkey, hold)
    assert (told.facts[1:], told.exit) == (("broken", "clean"), 1), "\n".join(told.record["reasons"])
    found = told.record["weaknesses"]
    note_figures(weakness=name, parts=parts, monkey=WEAKNESSES[name].monkey, told=found[0])
    assert all(one["seen"] and one["where"] and one["hint"] for one in found)
    assert any(re.search(WORDS[name], one["hint"]) for one in found), [one["hint"] for one in found]


@pytest.mark.lab
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", list(WEAKNESSES) if FULL else FEW)
def test_the_monkey_finds_it_and_says_where_to_look(whole_lab: WholeLab, name: str) -> None:
    whole_lab.up("--weakness", name)
    _found(whole_lab, name, "stand-ins")


@pytest.mark.lab
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", list(WEAKNESSES) if FULL else ("failover-mode-ignored",))
def test_it_is_found_with_the_real_parts_too(whole_lab: WholeLab, real: str, name: str) -> None:
    parts = real.replace(",sqs", "") if name in UNDER_LOAD else real
    whole_lab.up("--weakness", name, "--real", parts)
    _found(whole_lab, name, "real" if parts == real else f"real {parts}")


@pytest.mark.lab
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not FULL, reason="each takes five minutes; make prove looks for all")
@pytest.mark.parametrize("name", list(WEAKNESSES))
def test_it_is_found_in_containers_too(
    whole_lab: WholeLab, lab_engine: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", lab_engine)
    rate = RATES_IN_CONTAINERS.get(name, RATE_IN_CONTAINERS)
    whole_lab.up("--flavour", "docker", "--rate", str(rate), "--weakness", name)
    _found(whole_lab, name, "containers", HOLDS_IN_CONTAINERS.get(name, HOLD_IN_CONTAINERS))


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_too_little_headroom_is_refused_before_anything_is_touched(whole_lab: WholeLab) -> None:
    whole_lab.up("--weakness", "too-little-headroom")
    told = whole_lab.run("kong --region east")
    assert (told.exit, told.record["faults"]) == (3, []), told.record["reasons"]
    assert any("--force-headroom" in reason for reason in told.record["reasons"])


def test_every_weakness_has_a_word_by_which_it_is_known() -> None:
    assert set(WORDS) == set(WEAKNESSES)
