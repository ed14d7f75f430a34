"""simian is killed, stopped and interrupted on a real lab; the lab, seen from outside, is as it was before.

``SIMIAN_SEEDS`` above 1 tries everything with everything; else each phase and each signal is tried once.
"""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from itertools import cycle, product
from typing import Any

import pytest

from .conftest import OwnLab, kill, until

PHASES = ("preflight", "baseline", "inject", "observe", "recover", "verify")
HURTING = ("chaos", "gorilla", "latency", "slow-link", "cut-link")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FULL = int(os.environ.get("SIMIAN_SEEDS", "1")) > 1


def pairs(many: Sequence[Any], few: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each of one with each of the other; in short, each of the many with one of the few, in turn."""
    return list(product(many, few)) if FULL else list(zip(many, cycle(few), strict=False))


def finish(command: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = command.communicate(timeout=240)
    return command.returncode, out or err


@pytest.mark.parametrize("experiment", HURTING if FULL else HURTING[-1:])  # the others end so in tests/lab as well
def test_a_run_ends_by_itself_with_the_world_as_before(own_lab: OwnLab, experiment: str) -> None:
    before = own_lab.world()
    answer = own_lab.simian("run", f"{experiment}.yaml", "--json")
    record = json.loads(answer.stdout)
    assert record["outcome"] == "completed", record["reasons"]
    assert record["recovery"] == "clean"
    assert [fault["evidence"]["held"] for fault in record["faults"]] == [True] * len(record["faults"])
    own_lab.is_as(before)


@pytest.mark.parametrize(("phase", "experiment"), pairs(PHASES, ["chaos", "gorilla", "latency"]))
def test_kill_9_of_the_runner_in_each_phase_leaves_nothing_broken(own_lab: OwnLab, experiment: str, phase: str) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin(experiment)
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], phase)
    kill(run["pid"])
    row = own_lab.ended(run["run"])
    code, _ = finish(command)
    assert (row["outcome"], row["recovery"]) in (("crashed", "clean"), ("completed", "clean"))
    assert "the runner died" in row["reasons"]
    assert code in (0, 4)
    assert not own_lab.rows("SELECT * FROM faults WHERE run=? AND state!='undone'", run["run"])
    own_lab.is_as(before)


def test_a_killed_command_ends_its_run(own_lab: OwnLab) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    command.kill()
    finish(command)
    row = own_lab.ended(run["run"])
    assert row["outcome"] == "aborted"
    assert "the command that started this run is gone" in row["reasons"]
    own_lab.is_as(before)
    assert run["run"] in own_lab.simian("history", "--json").stdout  # the next command brings it into the history


@pytest.mark.parametrize("experiment", HURTING if FULL else ["slow-link"])
def test_runner_and_guardian_killed_is_told_refused_and_recovered_by_hand(own_lab: OwnLab, experiment: str) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin(experiment)
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    kill(own_lab.newest()["guardian_pid"])
    kill(run["pid"])
    finish(command)
    told = json.loads(own_lab.simian("status", "--json").stdout)
    assert told["recover"] is True
    assert {fault["run"] for fault in told["faults"]} == {run["run"]}
    refused = own_lab.simian("run", "cut-link.yaml", "--json")
    assert refused.returncode == 3
    assert any('run "simian recover" first' in reason for reason in json.loads(refused.stdout)["reasons"])
    if experiment != "latency":  # rules of request faults expire by themselves
        assert own_lab.world() != before
    answer = own_lab.simian("recover", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    own_lab.is_as(before)
    assert own_lab.ended(run["run"])["outcome"] == "crashed"
    assert json.loads(own_lab.simian("status", "--json").stdout)["recover"] is False


def test_a_lost_guardian_ends_the_run(own_lab: OwnLab) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    kill(own_lab.newest()["guardian_pid"])
    row = own_lab.ended(run["run"])
    finish(command)
    assert row["outcome"] == "aborted"
    assert "the guardian is gone" in row["reasons"]
    own_lab.is_as(before)


def test_a_runner_stopped_past_its_lease_is_ended_and_recovered(own_lab: OwnLab) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    kill(run["pid"], signal.SIGSTOP)
    row = own_lab.ended(run["run"])
    finish(command)
    assert "did not renew its lease" in row["reasons"]
    assert row["recovery"] == "clean"
    own_lab.is_as(before)


@pytest.mark.parametrize(
    ("number", "whom"),
    pairs(SIGNALS, ["runner", "command"]) if FULL else [(SIGNALS[1], "command")],
)
def test_a_signal_undoes_everything_and_a_second_does_not_stop_that(
    own_lab: OwnLab, number: signal.Signals, whom: str
) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    pid = run["pid"] if whom == "runner" else command.pid
    kill(pid, number)
    own_lab.in_phase(run["run"], "recover")
    kill(pid, number)
    code, out = finish(command)
    row = own_lab.ended(run["run"])
    assert (row["outcome"], row["recovery"]) == ("aborted", "clean")
    assert number.name in row["reasons"]
    assert code == 4, out
    own_lab.is_as(before)


def test_two_runs_at_once_on_one_target_are_refused_with_the_name_of_the_run_in_the_way(own_lab: OwnLab) -> None:
    last = own_lab.newest()
    command = own_lab.begin("gorilla", "--for", "60s")  # a busy machine may take long to come to the second one
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "baseline")
    second = own_lab.simian("run", "gorilla.yaml", "--json")
    own_lab.simian("abort", run["run"])
    finish(command)
    assert second.returncode == 3, second.stdout[:2_000]
    assert any(run["run"] in reason for reason in json.loads(second.stdout)["reasons"])


def test_abort_ends_a_run_from_elsewhere(own_lab: OwnLab) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla", "--for", "60s")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    answer = own_lab.simian("abort", run["run"][:6], "--json")
    assert json.loads(answer.stdout) == {"run": run["run"], "ended": True}
    assert finish(command)[0] == 4
    own_lab.is_as(before)


def test_halt_ends_every_run_and_forbids_new_ones_until_resume(own_lab: OwnLab) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    try:
        assert own_lab.simian("halt", "a real outage").returncode == 0
        assert own_lab.ended(run["run"])["outcome"] == "aborted"
        own_lab.is_as(before)
        refused: dict[str, Any] = json.loads(own_lab.simian("run", "gorilla.yaml", "--json").stdout)
        assert refused["outcome"] == "refused"
        assert "a real outage" in refused["reasons"][0]
    finally:
        assert own_lab.simian("resume").returncode == 0
        finish(command)
    until(lambda: own_lab.simian("run", "chaos.yaml", "--plan").returncode == 0, "runs are planned again")
