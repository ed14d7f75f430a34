"""What surrounds a run on a lab turns on it: disk, database, signals, sleep, the lab's parent, plug-ins that fork.

Each test looks at the world from outside afterwards. Journals that are to be hurt lie in a folder of their own.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from simian_lab import control

from simian.lease import LEASE_S

from ..hurt_files import full, locked, mounted
from .conftest import OwnLab, kill, until
from .test_on_the_lab import finish

SEEDS = int(os.environ.get("SIMIAN_SEEDS", "1"))
STORM = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
Harm = Callable[[Path], Any]  # hurts this journal, as a context manager that lets it be again


class Elsewhere:
    """The same lab, with a state folder of its own: what is done to that harms no other test."""

    def __init__(self, lab: OwnLab, state: Path) -> None:
        self.lab = copy(lab)
        self.lab.state, self.lab.journal = state, state / "lab" / "journal.db"
        (state / "gorilla.yaml").write_text((lab.state / "gorilla.yaml").read_text())
        self.config = ("--config", str(lab.folder / "lab" / "simian.yaml"))

    def observed(self) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
        """A run whose faults are in place: its command, and its row."""
        command = self.lab.begin("gorilla", "--for", "30s", *self.config)
        run = self.lab.run_after({})
        self.lab.in_phase(run["run"], "observe")
        return command, self.lab.newest()

    def simian(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.lab.simian(*words, *self.config)

    def is_final(self, run: str) -> None:
        """One recovery by hand later the run is closed, with a reason, and nothing is open."""
        answer = self.simian("recover", "--json")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        row = self.lab.ended(run)
        assert row["recovery"] == "clean"
        assert json.loads(row["reasons"])
        assert json.loads(self.simian("status", "--json").stdout)["recover"] is False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as place:
        yield place


HARMS = [(full, "nobody"), (full, "runner"), (locked, "nobody"), (locked, "runner")]


@pytest.mark.parametrize(("harm", "dies"), HARMS if SEEDS > 1 else HARMS[1:3])
def test_a_journal_that_cannot_be_written_any_more_keeps_nothing_from_being_put_back(
    own_lab: OwnLab, small_disk: Path, harm: Harm, dies: str
) -> None:
    before, place = own_lab.world(), Elsewhere(own_lab, small_disk)
    command, run = place.observed()
    with harm(place.lab.journal):
        if dies == "runner":
            kill(run["pid"])
        finish(command)
        own_lab.is_as(before)
    place.is_final(run["run"])


def test_a_journal_damaged_in_the_middle_of_a_run_is_not_needed_to_put_everything_back(
    own_lab: OwnLab, tmp_path: Path
) -> None:
    before, place = own_lab.world(), Elsewhere(own_lab, tmp_path)
    command, run = place.observed()
    parts = list(place.lab.journal.parent.glob("journal.db*"))
    for part in parts:
        with part.open("r+b") as file:
            file.write(b"\xff" * min(4096, part.stat().st_size))
    kill(run["pid"])
    finish(command)
    own_lab.is_as(before)
    told = place.simian("recover", "--json")
    assert told.returncode != 0
    assert "journal.db" in told.stdout + told.stderr
    assert "Traceback" not in told.stdout + told.stderr
    for part in place.lab.journal.parent.glob("journal.db*"):  # SQLite may have ended some of them itself
        part.rename(f"{part}.damaged")
    assert place.simian("recover", "--orphans", "--json").returncode == 0
    own_lab.is_as(before)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_storm_of_signals_on_runner_and_guardian_stops_no_undo(own_lab: OwnLab, seed: int) -> None:
    before, last, rng = own_lab.world(), own_lab.newest(), Random(seed)
    command = own_lab.begin("gorilla", "--for", "30s")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    both = [run["pid"], own_lab.newest()["guardian_pid"]]
    while command.poll() is None:
        with suppress(ProcessLookupError):
            kill(rng.choice(both), rng.choice(STORM))
        time.sleep(rng.uniform(0, 0.1))
    row = own_lab.ended(run["run"])
    finish(command)
    assert (row["outcome"], row["recovery"]) == ("aborted", "clean"), (seed, row["reasons"])
    own_lab.is_as(before)


@pytest.mark.parametrize("who", ["guardian", "both"] if SEEDS > 1 else ["both"])
def test_a_host_that_slept_past_the_lease_leaves_nothing_broken(own_lab: OwnLab, who: str) -> None:
    before, last = own_lab.world(), own_lab.newest()
    command = own_lab.begin("gorilla")
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    asleep = [own_lab.newest()["guardian_pid"], *([run["pid"]] if who == "both" else [])]
    for pid in asleep:
        kill(pid, signal.SIGSTOP)
    awake_at = time.monotonic() + LEASE_S + 1.0
    until(lambda: time.monotonic() > awake_at, "the lease has run out")
    for pid in reversed(asleep):  # the runner first: it must not act on what it holds no more
        kill(pid, signal.SIGCONT)
    row = own_lab.ended(run["run"])
    finish(command)
    assert row["recovery"] == "clean", row["reasons"]
    assert row["outcome"] in ("completed", "aborted", "crashed")
    own_lab.is_as(before)


def test_a_lab_whose_parent_dies_in_the_middle_of_a_run_is_put_back_all_the_same(tmp_path: Path) -> None:
    lab = OwnLab(tmp_path)
    try:
        until(lambda: all(lab.world()["ready"].values()), "the lab is ready")
        before = lab.world()
        command = lab.begin("gorilla")
        run = lab.run_after({})
        lab.in_phase(run["run"], "observe")
        kill(lab.manifest["supervisor"]["pid"])
        row = lab.ended(run["run"])
        finish(command)
        assert row["recovery"] == "clean", row["reasons"]
        lab.is_as(before)
    finally:
        control.down(lab.folder)


FORKING = '''
import os, time
from simian import Pause, Radius, monkey

@monkey(radius=Radius.NODE)
def forks(topology, rng):
    """Leave a child behind that holds whatever its parent had open."""
    if os.fork() == 0:
        with open("child", "a") as file:
            print(os.getpid(), file=file)
        time.sleep(300)
        os._exit(0)
    return [Pause(topology.candidates(service="members")[-1])]
'''


def test_a_plugin_that_forks_hides_no_death_of_its_runner(own_lab: OwnLab, tmp_path: Path) -> None:
    before, last = own_lab.world(), own_lab.newest()
    (tmp_path / "chaos").mkdir()
    (tmp_path / "chaos" / "forks.py").write_text(FORKING.replace('"child"', repr(str(tmp_path / "child"))))
    config = tmp_path / "simian.yaml"
    config.write_text((own_lab.folder / "lab" / "simian.yaml").read_text() + "plugins: [./chaos]\n")
    command = own_lab.start("forks", "--for", "30s", "--json", "--config", str(config))
    try:
        run = own_lab.run_after(last)
        own_lab.in_phase(run["run"], "observe")
        kill(run["pid"])
        row = own_lab.ended(run["run"])
        assert (row["outcome"], row["recovery"]) == ("crashed", "clean"), row["reasons"]
        own_lab.is_as(before)
    finally:
        for line in (tmp_path / "child").read_text().split():  # which holds the command's output open as well
            kill(int(line))
        finish(command)
