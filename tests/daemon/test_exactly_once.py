"""Several daemons on one database, killed at random: each due time runs once, or has a row that says why not."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from simian.history import open_schedules
from simian.schedule.row import Schedule
from simian.schedule.when import text_of

from ..figures import note_figures
from .small_starter import Files

FULL = int(os.environ.get("SIMIAN_SEEDS", "1")) > 1
DUES = 10_000 if FULL else 300
SCHEDULES, DAEMONS = 50, 4
EVERY_S, SPEED = 60.0, 30.0  # by the daemons' clock, which runs faster than ours
DID_NOT_RUN = ("missed", "skipped", "failed")


class Herd:
    """Daemons of which one dies now and then, and is replaced."""

    def __init__(self, *words: Any) -> None:
        self._words = [str(word) for word in words]
        self.alive = [self._spawn() for _ in range(DAEMONS)]
        self.killed = 0

    def _spawn(self) -> "subprocess.Popen[bytes]":
        program = Path(__file__).parent / "small_daemon.py"
        return subprocess.Popen([sys.executable, str(program), *self._words], stdout=subprocess.DEVNULL)

    def kill_one(self, die: random.Random) -> None:
        one = die.randrange(DAEMONS)
        self.alive[one].kill()
        self.alive[one].wait()
        self.alive[one] = self._spawn()
        self.killed += 1

    def end(self) -> None:
        for process in self.alive:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_due_time_runs_once_or_says_why_not_whoever_is_killed(place: str, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    die, begin = random.Random(seed), time.time()
    made = text_of(begin - 1.0)
    schedules = [
        Schedule.from_json(
            {"name": f"s{n}", "monkey": "chaos", "made": made, "seed": n, "misfire": die.choice(["skip", "late"]),
             "when": {"every_s": EVERY_S, "from": text_of(begin + die.uniform(60.0, 60.0 + EVERY_S))}}
        )
        for n in range(SCHEDULES)
    ]  # fmt: skip
    until = begin + 60.0 + EVERY_S * (DUES / SCHEDULES + 1)
    with open_schedules(place) as store:
        store.add_all(one.to_json() for one in schedules)
    killed = _live_through(die, (place, tmp_path, SPEED, begin, until), until, begin)
    _check(place, tmp_path, schedules, begin, until, killed, seed)


def _live_through(die: random.Random, words: tuple[Any, ...], until: float, begin: float) -> int:
    herd = Herd(*words)
    try:
        while begin + (time.time() - begin) * SPEED < until:
            time.sleep(die.uniform(0.3, 3.0))
            herd.kill_one(die)
        for process in herd.alive:
            process.wait(timeout=120)
        return herd.killed
    finally:
        herd.end()


def _check(
    place: str, folder: Path, schedules: list[Schedule], begin: float, until: float, killed: int, seed: int
) -> None:
    with open_schedules(place) as store:
        rows = {(one.schedule, one.due): one for one in store.dues(limit=10 * DUES)}
    starter = Files(folder / "runs")
    begun = starter.begun()
    due = {(one.name, round(at * 1e6)) for one in schedules for at in one.dues(begin, until)}
    assert due <= set(rows), f"lost without a record: {sorted(due - set(rows))[:5]}"
    started = {run: row for row in rows.values() if (run := row.run) in begun}
    assert set(begun) == set(started), "a run began that no row knows of"
    for key, row in rows.items():
        ran = row.run in begun
        assert ran is (row.state == "ended"), (key, row)
        assert ran or (row.state in DID_NOT_RUN and row.reason), (key, row)
    dice = Counter((row.schedule, row.due) for row in started.values())
    assert max(dice.values()) == 1
    assert len(begun) > len(due) / 2, "hardly anything ran, so nothing was shown"
    for run, (name, thrown) in begun.items():
        schedule = next(one for one in schedules if one.name == name)
        assert thrown == schedule.die_of(started[run].due / 1e6)
        assert begin + (starter.began(run) - begin) * SPEED >= started[run].due / 1e6, f"{run} began too early"
    states = dict(Counter(row.state for row in rows.values()))
    kind = "postgresql" if "postgresql" in place else "sqlite"
    note_figures(schedule="exactly once", database=kind, due=len(due), killed=killed, seed=seed, **states)
