"""docs/benchmarks.md from what the benchmarks found: python benchmarks/write_table.py FOLDER_OF_JSON"""

import json
import sys
from pathlib import Path
from typing import Any

from peers import MOST_LOAD, Row, table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`; do not edit. Each figure is the median of rounds in which ours and the peer took turns in the
same run; in brackets the least and greatest of the rounds' ratios. Trust ratios more than absolute figures.
"""


def section(found: dict[str, Any]) -> str:
    """One benchmark. Raises ValueError for a quick trial: its figures mean nothing."""
    if found["quick"]:
        raise ValueError(f"{found['name']} was a quick trial; measure it without --quick")
    facts = ", ".join(f"{name} {value}" for name, value in {**found["machine"], **found["peers"]}.items())
    told = [f"## {found['name']}", f"{found['rounds']} rounds; {facts}."]
    if found["machine"]["load"] > MOST_LOAD:
        told.append("**The machine was busy with something else: not to be trusted.**")
    told.append(table([Row(**row) for row in found["rows"]]))
    told += [f"Missing: {line}" for line in found["missing"]]
    return "\n\n".join(told)


def page(files: list[Path]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(json.loads(file.read_text())) + "\n" for file in files)])


if __name__ == "__main__":
    PAGE.write_text(page(sorted(Path(sys.argv[1]).glob("*.json"))))
