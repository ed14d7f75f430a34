"""`make prove`: everything in full, and its figures into docs/proof.md.

Usage: python tests/crash/prove.py [SEEDS [LIVES]], by default 50 and 100000.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent.parent
MARK = "<!-- figures: written by `make prove` -->"
GOAL_LIVES, GOAL_RATIO = 100_000, 10_000


def table(rows: list[dict[str, Any]], seconds: float, seeds: str, lives: str, good: bool) -> str:
    """The figures of all runs, added up by what died and on which monkey."""
    sums: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        for key in ((row["what"], row["monkey"]), ("all", "")):
            for name in ("lives", "wrong", "seconds", "simulated_s"):
                sums[key][name] += row[name]
    lines = [
        f"{seeds} seeds a monkey (0 to {int(seeds) - 1}), {lives} sequences, {seconds:.0f} s in all; "
        f"every test {'held' if good else 'did NOT hold'}.",
        "",
        "| what dies | monkey | lives | wrong | s | lives a second | simulated / real |",
        "|---|---|---|---|---|---|---|",
    ]
    for (what, monkey), one in sorted(sums.items()):
        pace, ratio = one["lives"] / one["seconds"], one["simulated_s"] / one["seconds"]
        lines.append(
            f"| {what} | {monkey} | {one['lives']:.0f} | {one['wrong']:.0f} | {one['seconds']:.0f} | {pace:.0f} "
            f"| {ratio:.0f} |"
        )
    return "\n".join([*lines, "", f"Goal: {GOAL_LIVES} lives a run, {GOAL_RATIO} times real time.", ""])


def weaknesses(rows: list[dict[str, Any]]) -> str:
    """What each monkey told of the weakness that it found."""
    lines = ["", "| weakness | on | monkey | seen | where | hint |", "|---|---|---|---|---|---|"]
    for row in rows:
        if "weakness" in row:
            told = [str(row["told"][key]).replace("|", "\\|") for key in ("seen", "where", "hint")]
            lines.append("| " + " | ".join([row["weakness"], row["parts"], f"`{row['monkey']}`", *told]) + " |")
    return "\n".join([*lines, ""])


def healthy(rows: list[dict[str, Any]]) -> str:
    """What each monkey told of the healthy lab, how often."""
    lines = ["", "| healthy lab of | monkey | verdicts |", "|---|---|---|"]
    for row in rows:
        if "healthy" in row:
            verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row["verdicts"].items()))
            lines.append(f"| {row['parts']} | `{row['healthy']}` | {verdicts} |")
    return "\n".join([*lines, ""])


def main(seeds: str = "50", lives: str = "100000") -> int:
    """Run, write, and say whether everything held."""
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.jsonl"
        environment = os.environ | {"SIMIAN_SEEDS": seeds, "SIMIAN_LIVES": lives, "SIMIAN_FIGURES": str(figures)}
        command = [sys.executable, "-m", "pytest", "tests/crash", "tests/proof", "--override-ini", "timeout=0"]
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        rows = [json.loads(line) for line in figures.read_text().splitlines()] if figures.exists() else []
    deaths = [row for row in rows if "what" in row]
    told = table(deaths, time.perf_counter() - began, seeds, lives, code == 0) + weaknesses(rows) + healthy(rows)
    proof = ROOT / "docs" / "proof.md"
    proof.write_text(f"{proof.read_text().partition(MARK)[0]}{MARK}\n{told}")
    print(told)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
