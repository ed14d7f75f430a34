"""Recurring runs under a daemon that is killed, as its runners are: nothing left broken, nothing doubled, nothing lost.

``SIMIAN_SEEDS`` above 1 goes on for half an hour, with Kong among the runs; else two deaths do.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..databases import rows_of
from ..figures import note_figures
from .conftest import OwnLab, kill, until

FULL = int(os.environ.get("SIMIAN_SEEDS", "1")) > 1
FOR_S = 1800.0
EVERY = {"chaos": "40s", "kong": "150s"} if FULL else {"gorilla": "20s"}
DID_NOT_RUN = ("missed", "skipped", "refused", "failed")


class UnderADaemon:
    """The lab with a daemon, which may die."""

    def __init__(self, lab: OwnLab) -> None:
        self.lab = lab
        self.process: subprocess.Popen[str] | None = None

    def up(self) -> None:
        self.process = self.lab.start("serve", "--no-web")
        until(lambda: self.asked("status"), "the daemon answers")

    def die(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=150)
        return self.process.returncode

    def asked(self, do: str, **keys: Any) -> Any:
        """What the daemon answers at its socket, or None where nobody does."""
        import socket

        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            try:
                connection.connect(str(self.lab.folder / "serve.sock"))
                connection.sendall(json.dumps({"do": do, "by": "test", **keys}).encode() + b"\n")
                return json.loads(connection.makefile().readline()).get("ok")
            except (OSError, ValueError):
                return None

    def dues(self) -> list[dict[str, Any]]:
        return rows_of(self.lab.folder / "history.db", "SELECT * FROM dues ORDER BY due")

    def alive(self) -> list[dict[str, Any]]:
        return self.lab.rows("SELECT * FROM runs WHERE ended IS NULL AND guardian_pid IS NOT NULL")


@pytest.fixture
def daemon(own_lab: OwnLab) -> Iterator[UnderADaemon]:
    under = UnderADaemon(own_lab)
    yield under
    if under.process is not None and under.process.poll() is None:
        under.end()
    for row in json.loads(own_lab.simian("schedule", "list", "--json").stdout)["schedules"]:
        own_lab.simian("schedule", "remove", row["name"])


def _scheduled(lab: OwnLab) -> None:
    for name, every in EVERY.items():
        answer = lab.simian("schedule", "add", f"{name}.yaml", "--every", every, "--seed", "7", "--misfire", "late")
        assert answer.returncode == 0, answer.stderr


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(2400 if FULL else 300)
def test_recurring_runs_survive_the_deaths_of_daemons_and_runners(own_lab: OwnLab, daemon: UnderADaemon) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    before, die = own_lab.world(), random.Random(seed)
    daemon.up()
    _scheduled(own_lab)
    deaths = Counter(_deaths(daemon, die))
    for row in json.loads(own_lab.simian("schedule", "list", "--json").stdout)["schedules"]:
        own_lab.simian("schedule", "pause", row["name"])
    until(lambda: not own_lab.rows("SELECT run FROM runs WHERE ended IS NULL"), "every run has ended")
    until(lambda: all(due["state"] not in ("claimed", "started", "queued") for due in daemon.dues()), "all is told")
    assert daemon.end() == 0
    own_lab.is_as(before)
    _nothing_doubled_nothing_lost(own_lab, daemon.dues(), seed, deaths)


def _deaths(daemon: UnderADaemon, die: random.Random) -> Iterator[str]:
    """Kill daemon or runner, each when a run has begun; a daemon is started anew at once."""
    until_s = time.monotonic() + FOR_S
    for who in iter(lambda: die.choice(["daemon", "runner"]), None) if FULL else ["runner", "daemon"]:
        if FULL and time.monotonic() > until_s:
            return
        row = until(lambda: daemon.alive(), "a run has begun")[0]
        time.sleep(die.uniform(0.0, 12.0))  # somewhere in its life; nothing is waited for
        if who == "daemon":
            daemon.die()
            daemon.up()
        elif daemon.alive():
            kill(row["pid"])
        daemon.lab.ended(row["run"])
        yield who


def _nothing_doubled_nothing_lost(lab: OwnLab, dues: list[dict[str, Any]], seed: int, deaths: Counter[str]) -> None:
    begun = {row["run"]: json.loads(row["request"]) for row in lab.rows("SELECT * FROM runs WHERE pid > 0")}
    ran = [due for due in dues if due["run"] in begun]
    assert len({due["run"] for due in ran}) == len(ran) > 0
    scheduled = {run for run, request in begun.items() if request.get("schedule")}
    assert scheduled == {due["run"] for due in ran}, "a scheduled run that no due time knows of"
    for due in dues:
        assert due["run"] in begun or (due["state"] in DID_NOT_RUN and due["reason"]), due
    outcomes = Counter(row["outcome"] for row in lab.rows("SELECT * FROM runs WHERE pid > 0"))
    assert not lab.rows("SELECT * FROM faults WHERE state!='undone'")
    states = Counter(due["state"] for due in dues)
    note_figures(
        schedule="under a daemon", seed=seed, deaths=dict(deaths), states=dict(states), outcomes=dict(outcomes)
    )


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_daemon_that_is_asked_to_stop_has_its_runs_undone_first(own_lab: OwnLab, daemon: UnderADaemon) -> None:
    before, last = own_lab.world(), own_lab.newest()
    daemon.up()
    second = own_lab.simian("serve", "--no-web")
    assert (second.returncode, "a daemon serves lab already" in second.stderr) == (2, True)
    answer = daemon.asked("start", experiment=str(own_lab.state / "gorilla.yaml"), for_s=60)
    run = own_lab.run_after(last)
    assert run["run"] == answer["run"]
    own_lab.in_phase(run["run"], "observe")
    assert daemon.asked("status")["open"]
    assert daemon.end() == 0
    row = own_lab.ended(run["run"])
    assert (row["outcome"], row["recovery"]) == ("aborted", "clean")
    assert "the daemon stops" in row["reasons"]
    own_lab.is_as(before)


def _is_told(daemon: UnderADaemon, run: str) -> Callable[[], bool]:
    return lambda: (daemon.asked("run", run=run) or {}).get("outcome") == "aborted"


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_run_is_started_watched_and_aborted_at_the_socket(own_lab: OwnLab, daemon: UnderADaemon) -> None:
    before = own_lab.world()
    daemon.up()
    assert daemon.asked("plan", monkey="gorilla", options={"zone": "west-a"}, seed=3)["plan"]["stages"]
    assert {one["name"] for one in daemon.asked("monkeys")} >= {"chaos", "gorilla", "kong", "latency", "split-brain"}
    assert {region["name"] for region in daemon.asked("topology")["regions"]} == {"east", "west"}
    assert daemon.asked("traffic")["homes"]
    run = daemon.asked("start", experiment=str(own_lab.state / "gorilla.yaml"), for_s=60)["run"]
    until(lambda: own_lab.rows("SELECT * FROM faults WHERE run=? AND state='injected'", run), "a fault is in place")
    daemon.asked("abort", run=run, reason="seen enough")
    row = own_lab.ended(run)
    assert "seen enough" in row["reasons"]
    until(_is_told(daemon, run), "the record says so")
    own_lab.is_as(before)
    assert daemon.asked("halt", reason="an outage")["halted"] == "an outage"
    assert daemon.asked("start", monkey="chaos") is None
    assert daemon.asked("resume")["halted"] is None
