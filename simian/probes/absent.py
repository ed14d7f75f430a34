"""Whether nothing is at a path: the file that an operator puts there to say no."""

import os
from pathlib import Path

from simian.probe import Reading, probe


@probe("absent")
def absent(path: str) -> Reading:
    """1.0 while nothing is at this path, 0.0 when anything is: a file, a folder, a link to nowhere.

    A folder that is not there either (not mounted, say) or may not be looked into tells neither: that raises.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        if not Path(path).absolute().parent.is_dir():
            raise ValueError(f"the folder of {path} is not there either; make it, or mount it") from None
        return Reading(1.0, "not there")
    return Reading(0.0, f"{path} is there")
