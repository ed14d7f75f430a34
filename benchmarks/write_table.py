"""docs/benchmarks.md from what the benchmarks found: python benchmarks/write_table.py FOLDER_OF_JSON"""

import json
import sys
from pathlib import Path
from typing import Any

from peers import Row, remarks, table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`; do not edit. Each figure is the median of rounds in which ours and the peer took turns in the
same run; in brackets the least and greatest of the rounds' ratios. Trust ratios more than absolute figures. A goal
without a peer is one of our own value; a row without a goal is there to be known.
"""


def section(found: dict[str, Any]) -> str:
    """One benchmark. Raises ValueError for a quick trial: its figures mean nothing."""
    if found["quick"]:
        raise ValueError(f"{found['name']} was a quick trial; measure it without --quick")
    first, _, rest = found["about"].partition("\n")
    about = "\n\n".join(part for part in rest.strip("\n").split("\n\n") if not part.startswith("    "))
    facts = ", ".join(f"{name} {value}" for name, value in {**found["machine"], **found["peers"]}.items())
    others = "" if found["others"] is None else f" Others took {found['others']:.0%} of the processor meanwhile."
    told = [f"## {found['name']}", first, about, f"{found['rounds']} rounds; {facts}.{others}"]
    told += [table([Row(**row) for row in found["rows"]]), *(f"- {line}" for line in remarks(found))]
    return "\n\n".join(part for part in told if part)


def page(files: list[Path]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(json.loads(file.read_text())) + "\n" for file in files)])


if __name__ == "__main__":
    PAGE.write_text(page(sorted(Path(sys.argv[1]).glob("*.json"))))
