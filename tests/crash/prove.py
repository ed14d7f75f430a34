"""`make prove`: everything in full, and its figures into docs/proof.md.

Usage: python tests/crash/prove.py [--seeds N] [--lives N] [PART...]

By default 50 seeds, 100000 sequences and all parts: `memory`, `lab`, `peer`, `weaknesses`, `healthy`. That takes hours,
so a part may be run by itself: its section is written anew, those of the others stay.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
GOAL_LIVES, GOAL_RATIO = 100_000, 10_000
Rows = list[dict[str, Any]]


def deaths(rows: Rows) -> list[str]:
    """The lives of all runs, added up by what died and on which monkey."""
    sums: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        for key in ((row["what"], row["monkey"]), ("all", "")):
            for name in ("lives", "wrong", "seconds", "simulated_s"):
                sums[key][name] += row[name]
    lines = [
        "| what dies | monkey | lives | wrong | s | lives a second | simulated / real |",
        "|---|---|---|---|---|---|---|",
    ]
    for (what, monkey), one in sorted(sums.items()):
        pace, ratio = one["lives"] / one["seconds"], one["simulated_s"] / one["seconds"]
        lines.append(
            f"| {what} | {monkey} | {one['lives']:.0f} | {one['wrong']:.0f} | {one['seconds']:.0f} | {pace:.0f} "
            f"| {ratio:.0f} |"
        )
    return [*lines, "", f"Goal: {GOAL_LIVES} lives a run, {GOAL_RATIO} times real time."]


def points(rows: Rows) -> list[str]:
    """At how many crash points a runner died on the lab; a point that was not reached is told as such."""
    lines = ["| monkey | crash points | died there and put back | not passed on the lab |", "|---|---|---|---|"]
    for monkey in dict.fromkeys(row["monkey"] for row in rows):
        its = [row for row in rows if row["monkey"] == monkey]
        missed = ", ".join(f"`{row['point']}`" for row in its if not row["reached"])
        lines.append(f"| {monkey} | {len(its)} | {sum(row['reached'] for row in its)} | {missed or '-'} |")
    return lines


def left_over(rows: Rows) -> list[str]:
    """How many of three faults were left of a tool that was ended, beside each other."""
    left = {(row["signal"], row["moment"], row["tool"]): row["left"] for row in rows}
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    lines = [f"| signal | when | {' | '.join(tools)} |", "|---|---|" + "---|" * len(tools)]
    for sent, moment in dict.fromkeys((row["signal"], row["moment"]) for row in rows):
        when = "while undoing" if moment == "undo" else f"{moment} of 3 in place"
        counts = (left.get((sent, moment, tool)) for tool in tools)
        told = ("-" if count is None else f"{count} left" if count else "all undone" for count in counts)
        lines.append(f"| {sent} | {when} | {' | '.join(told)} |")
    return lines


def weaknesses(rows: Rows) -> list[str]:
    """What each monkey told of the weakness that it found."""
    lines = ["| weakness | on | monkey | seen | where | hint |", "|---|---|---|---|---|---|"]
    for row in rows:
        told = [str(row["told"][key]).replace("|", "\\|") for key in ("seen", "where", "hint")]
        lines.append("| " + " | ".join([row["weakness"], row["parts"], f"`{row['monkey']}`", *told]) + " |")
    return lines


def healthy(rows: Rows) -> list[str]:
    """What each monkey told of the healthy lab, how often."""
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        told[row["parts"], row["healthy"]][row["verdict"]] += 1
    lines = ["| healthy lab of | monkey | verdicts |", "|---|---|---|"]
    for (parts, monkey), verdicts in told.items():
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        lines.append(f"| {parts} | `{monkey}` | {counts} |")
    return lines


@dataclass(frozen=True)
class Part:
    """Some of the tests, and the table of what they have noted."""

    tests: tuple[str, ...]
    table: Callable[[Rows], list[str]] | None = None


LAB = ("a_strangers_monkey", "every_point_on_the_lab", "hostile_surroundings", "on_the_lab", "regions_on_the_lab")
ON_THE_LAB = tuple(f"tests/crash/test_{name}.py" for name in LAB)
PEER = "tests/crash/test_beside_chaos_toolkit.py"
PARTS = {
    "memory": Part(("tests/crash", *(f"--ignore={path}" for path in (*ON_THE_LAB, PEER))), deaths),
    "lab": Part(ON_THE_LAB, points),
    "peer": Part((PEER,), left_over),
    "weaknesses": Part(("tests/proof/test_weaknesses_are_found.py",), weaknesses),
    "healthy": Part(("tests/proof/test_no_false_alarms.py",), healthy),
}


def counted(report: Path) -> tuple[int, str]:
    """How many tests did not hold, and how many did in words, by pytest's report."""
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None, f"{report} tells of no tests"
    total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    wrong = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    return wrong, f"{total - wrong - skipped} tests held, {wrong} did not, {skipped} were skipped"


def prove(name: str, seeds: int, lives: int) -> int:
    """Run a part and write its section. How many of its tests did not hold."""
    part, folder, began = PARTS[name], ROOT / "build" / "proof", time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    figures, report = folder / f"{name}.jsonl", folder / f"{name}.xml"
    figures.write_text("")
    environment = os.environ | {
        "SIMIAN_SEEDS": str(seeds), "SIMIAN_LIVES": str(lives), "SIMIAN_FIGURES": str(figures),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", *part.tests, "--override-ini", "timeout=0", f"--junitxml={report}"]
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    wrong, told = counted(report)
    seconds = time.perf_counter() - began
    sequences = f", {lives} sequences" if name == "memory" else ""
    lines = [f"{datetime.now(UTC):%Y-%m-%d}, {seeds} seeds{sequences}: {told}, in {seconds / 60:.0f} minutes."]
    rows = [json.loads(line) for line in figures.read_text().splitlines()]
    write(name, [*lines, "", *part.table(rows)] if part.table and rows else lines)
    return wrong


def write(name: str, lines: list[str]) -> None:
    """Put these in place of what stands between the marks of this part."""
    proof = ROOT / "docs" / "proof.md"
    begins, ends = f"<!-- {name}: written by make prove -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = proof.read_text().partition(begins)
    after = rest.partition(ends)[2]
    proof.write_text("".join([before, begins, *(f"{line}\n" for line in lines), ends, after]))
    print("\n".join(lines))


def main() -> int:
    """Run, write, and say whether everything held."""
    parser = argparse.ArgumentParser(description="Everything in full, and its figures into docs/proof.md.")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--lives", type=int, default=GOAL_LIVES)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: no such part; right would be any of {', '.join(PARTS)}")
    return 1 if sum([prove(name, given.seeds, given.lives) for name in given.parts or PARTS]) else 0


if __name__ == "__main__":
    sys.exit(main())
