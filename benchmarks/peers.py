"""What all benchmarks share: rounds in which ours and the peer take turns, their medians, and the table of it.

A ratio is the median over the rounds of ours by the peer's, so that a machine that grows busy in between hurts both.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

BUILD = Path(__file__).parents[1] / "build" / "benchmarks"
MOST_OTHERS = 0.2  # of the processor: above, the figures are those of a machine that does something else
HEADINGS = ("what", "ours", "peer", "ratio", "goal", "met")
Taken = TypeVar("Taken")


@dataclass(frozen=True)
class Goal:
    """``number`` must be at most (``most``) or at least that, ``of`` the ratio or of our own value.

    ``why``: what is known about it being missed, told where it is.
    """

    number: float
    most: bool = True
    of: str = "ratio"
    why: str = ""

    def met(self, ratio: float | None, ours: float) -> bool | None:
        """None: the value that the goal is about was not measured."""
        value = ratio if self.of == "ratio" else ours
        if value is None:
            return None
        return value <= self.number if self.most else value >= self.number

    def __str__(self) -> str:
        return f"{self.of} {'<=' if self.most else '>='} {self.number:g}"


def figure(value: float) -> str:
    """Four digits, large ones whole."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``spread``: least and greatest of the rounds' ratios (of ours where there is no peer)."""

    what: str
    unit: str
    ours: float
    peer: float | None
    peer_name: str
    ratio: float | None
    spread: tuple[float, float]
    goal: str
    met: bool | None
    why: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        peer = "-" if self.peer is None else f"{self.peer_name} {figure(self.peer)}"
        low, high = self.spread
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f} ({low:.2f}..{high:.2f})"
        met = {True: "yes", False: "**no**", None: "-"}[self.met]
        return self.what, f"{figure(self.ours)} {self.unit}".strip(), peer, ratio, self.goal, met


def compared(
    what: str, unit: str, ours: Sequence[float], peer: Sequence[float] | None, name: str, goal: Goal | None
) -> Row:
    """The row of two series of the same rounds, in the same unit; ``peer`` None: it was not there."""
    mine, ratio, theirs = median(ours), None, None
    spread = min(ours), max(ours)
    if peer is not None:
        theirs = median(peer)
        if all(peer):  # there is no ratio to nothing
            ratios = [one / other for one, other in zip(ours, peer, strict=True)]
            ratio, spread = median(ratios), (min(ratios), max(ratios))
    met = goal.met(ratio, mine) if goal else None
    why = goal.why if goal and met is False else ""
    return Row(what, unit, mine, theirs, name, ratio, spread, str(goal or "-"), met, why)


def alone(what: str, unit: str, ours: Sequence[float], number: float, *, most: bool = True) -> Row:
    """The row of a value that has a goal of its own and no peer."""
    return compared(what, unit, ours, None, "", Goal(number, most, "ours"))


def interleaved(rounds: int, *measures: Callable[[], Taken]) -> list[list[Taken]]:
    """A list for each measure; they take turns, and who begins changes with every round."""
    taken: list[list[Taken]] = [[] for _ in measures]
    for number in range(rounds):
        order = range(len(measures)) if number % 2 == 0 else reversed(range(len(measures)))
        for index in order:
            taken[index].append(measures[index]())
    return taken


class Used(NamedTuple):
    """What a whole command took, in ms of the clock and of the processor, and what it printed."""

    elapsed_ms: float
    cpu_ms: float
    text: str


def used(*command: str, **options: Any) -> Used:
    """Run it to its end; ``options`` are those of ``subprocess.run``. Raises CalledProcessError when it fails."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
    elapsed_s, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Used(1000 * elapsed_s, 1000 * cpu_s, done.stdout)


def number(pattern: str, text: str) -> float:
    """The number that a program printed. Raises RuntimeError where it did not."""
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern!r} in what the program printed: {text[:400]}")
    return float(match[1])


@dataclass
class Report:
    """What one benchmark found. ``peers``: name -> version; ``missing``: peers that were not there, how to get them."""

    rounds: int
    quick: bool
    rows: list[Row] = field(default_factory=list)
    peers: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def program(self, name: str, remedy: str, *version: str) -> str | None:
        """Where a peer's program is, by PATH; its version as it tells it. None: not there, and the report says so."""
        found = shutil.which(name)
        if found is None:
            self.missing.append(f"{name} is not on PATH, so there is no ratio to it; {remedy}")
            return None
        if version:
            told = subprocess.run([found, *version], capture_output=True, text=True)
            numbered = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
            self.peers[name] = numbered[0] if numbered else ""
        return found


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    found = re.search(r"model name\s*: (.*)", _text("/proc/cpuinfo"))
    return {
        "priority": "real-time" if _goes_first() else "normal",
        "processor": found[1] if found else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release().partition("-")[0],
    }


def _goes_first() -> bool:
    """Whether we and our children run before all others (`chrt -r 1`): then others disturb little."""
    if not hasattr(os, "sched_getscheduler"):
        return False
    return os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


class Others:
    """What of the processor others take, from when this is made: what is busy, without us and our children."""

    def __init__(self) -> None:
        self._begin = time.monotonic(), self._busy_s() or 0.0

    @staticmethod
    def _busy_s() -> float | None:
        counted = re.search(r"cpu +(\d+) (\d+) (\d+) \d+ \d+ (\d+) (\d+) (\d+)", _text("/proc/stat"))
        if counted is None:
            return None
        return sum(map(int, counted.groups())) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])

    def share(self) -> float | None:
        """0..1 of all cores; None where the system does not tell."""
        began, before_s = self._begin
        now_s = self._busy_s()
        if now_s is None:
            return None
        return max(0.0, now_s - before_s) / (time.monotonic() - began) / (os.cpu_count() or 1)


def table(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def run(name: str, about: str | None, measure: Callable[[Report], None], *, disturbed: bool = True) -> None:
    """Read the command line, measure, print the table, write the JSON where asked.

    ``disturbed``: no where others cannot disturb it, or what is measured cannot be told from what they do.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--quick", action="store_true", help="small amounts, to see that it runs; figures mean nothing")
    options = parser.parse_args()
    report, others = Report(options.rounds, options.quick), Others()
    measure(report)
    found = {
        "name": name, "about": (about or "").strip(), "machine": machine(),
        "others": others.share() if disturbed else None, **asdict(report),
    }  # fmt: skip
    print(table(report.rows))
    for line in remarks(found):
        print(line)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What else is to be known of a table: goals missed, and why; peers that were not there; who disturbed."""
    told = [f"Missed: {', '.join(names)}. {why}".strip() for why, names in missed(found["rows"]).items()]
    told += [f"Missing: {line}" for line in found["missing"]]
    if (found["others"] or 0.0) > MOST_OTHERS and found["machine"]["priority"] == "normal":
        told.append(f"Not to be trusted: others took {found['others']:.0%} of the processor meanwhile.")
    return told


def missed(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What was missed, by why."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["met"] is False:
            found.setdefault(row["why"], []).append(row["what"])
    return found
