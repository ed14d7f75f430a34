"""What `make prove` tells in docs/proof.md, noted by the tests that know it."""

import json
import os
from pathlib import Path


def note_figures(**row: object) -> None:
    """A line in the file that ``SIMIAN_FIGURES`` names, if it names one."""
    figures = os.environ.get("SIMIAN_FIGURES")
    if figures:
        with Path(figures).open("a") as file:
            file.write(json.dumps(row) + "\n")
