"""Kong and Split-brain die in each of their stages on a real lab: everything is put back, in the safe direction.

All the while a recorder asks the DNS as users do and goes where it is sent: some region is serving at every moment, and
where users were moved before the region went dark, everybody is. ``SIMIAN_SEEDS`` above 1 tries every stage with every
death; else a few of them, with each kind of death and each monkey among them.
"""

import json
import os
from typing import Any

import pytest

from .conftest import OwnLab, kill, until
from .recorder import Recorder
from .test_on_the_lab import finish

STAGES = {
    "kong": ["failover mode", "mis-routed users", "shift to 50 %", "shift to 0 %", "lights-out", "observe", "recover"],
    "kong-hard": ["lights-out", "failover mode", "shift to 0 %", "observe", "recover"],
    "split-brain": ["split-brain", "observe", "verify"],
}
DEATHS = ("runner", "guardian", "both")
EVERY = [(experiment, stage, who) for experiment, stages in STAGES.items() for stage in stages for who in DEATHS]
FEW = EVERY[::13]
CASES = EVERY if int(os.environ.get("SIMIAN_SEEDS", "1")) > 1 else FEW


def reached(lab: OwnLab, run: str, stage: str) -> bool:
    """Whether a fault of the stage is in place, or the phase of that name has begun."""
    faults = lab.rows("SELECT 1 FROM faults WHERE run=? AND stage=? AND injected IS NOT NULL", run, stage)
    return bool(faults or lab.rows("SELECT 1 FROM phases WHERE run=? AND phase=?", run, stage))


def die(lab: OwnLab, run: dict[str, Any], who: str) -> None:
    guardian = lab.rows("SELECT guardian_pid FROM runs WHERE run=?", run["run"])[0]["guardian_pid"]
    for pid in {"runner": [run["pid"]], "guardian": [guardian], "both": [guardian, run["pid"]]}[who]:
        kill(pid)


@pytest.mark.parametrize(("experiment", "stage", "who"), CASES)
def test_death_in_a_stage_is_recovered_in_the_safe_direction(
    own_lab: OwnLab, experiment: str, stage: str, who: str
) -> None:
    before, last = own_lab.world(), own_lab.newest()
    with Recorder(own_lab.manifest) as recorder:
        command = own_lab.begin(experiment)
        run = own_lab.run_after(last)
        until(lambda: reached(own_lab, run["run"], stage), f"{experiment} reaches {stage}")
        die(own_lab, run, who)
        if who == "both":
            finish(command)
            left = own_lab.rows("SELECT 1 FROM faults WHERE run=? AND state!='undone'", run["run"])
            assert json.loads(own_lab.simian("status", "--json").stdout)["recover"] is bool(left)
            answer = own_lab.simian("recover", "--json")
            assert answer.returncode == 0, answer.stdout + answer.stderr
        row = own_lab.ended(run["run"])
        if who != "both":
            finish(command)
        own_lab.is_as(before)
    assert row["recovery"] == "clean", row["reasons"]
    assert row["outcome"] == "completed" or row["outcome"] == ("aborted" if who == "guardian" else "crashed")
    assert not own_lab.rows("SELECT * FROM faults WHERE run=? AND state!='undone'", run["run"])
    some_region_serves_at_every_moment(recorder)
    if experiment != "kong-hard":  # there a region is dark before its users are moved
        assert not recorder.unserved(), recorder.unserved()[:3]


def some_region_serves_at_every_moment(recorder: Recorder) -> None:
    assert len(recorder.looks) > 20
    pairs = list(zip(recorder.looks[::2], recorder.looks[1::2], strict=False))
    assert all(one.region or other.region for one, other in pairs)
    assert all(look.addresses for look in recorder.looks), "somebody was answered no address"


@pytest.mark.parametrize("experiment", list(STAGES) if CASES is EVERY else ["kong-hard"])
def test_a_whole_run_leaves_nobody_unserved(own_lab: OwnLab, experiment: str) -> None:
    before = own_lab.world()
    with Recorder(own_lab.manifest) as recorder:
        answer = own_lab.simian("run", f"{experiment}.yaml", "--json")
        own_lab.is_as(before)
    record = json.loads(answer.stdout)
    assert (record["outcome"], record["recovery"]) == ("completed", "clean"), record["reasons"]
    proven = {fault["kind"] + " " + fault["target"]: fault["evidence"]["held"] for fault in record["faults"]}
    assert set(proven.values()) == {True}, record["faults"]
    assert [one["verdict"] for one in record["steady_state"] if one["tolerance"] == "no key"] == (
        ["held"] * 3 if experiment == "split-brain" else []
    ), record["reasons"]
    some_region_serves_at_every_moment(recorder)
    moved = [look for look in recorder.looks if look.home == "east" and look.region == "west"]
    assert bool(moved) == (experiment != "split-brain")
    if experiment != "kong-hard":
        assert not recorder.unserved(), recorder.unserved()[:3]
