"""Cutting the tally into slices of a fifth of a second on the wall clock's beat, and feeding them out."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from simian.load.tally import Tally

SLICE_S = 0.2
_EARLY = 0.25  # a timer may come a little before its beat; so much of a slice is forgiven


def beat(wall: float) -> int:
    """The number of the beat that this wall-clock time (epoch seconds) is at or just behind."""
    return math.floor(wall / SLICE_S + _EARLY)


def beats_between(last: int, here: int, elapsed_s: float) -> int:
    """How many slices have gone by: as the wall clock says, unless it was set meanwhile and the steady one knows."""
    count = here - last
    if count < 1 or abs(count * SLICE_S - elapsed_s) > SLICE_S:
        return max(1, round(elapsed_s / SLICE_S))
    return count


async def cut_slices(tally: Tally, publish: Callable[[Mapping[str, Any]], None]) -> None:
    """Publish a slice at each beat, for ever. After a pause of this process one longer slice tells of all of it."""
    loop = asyncio.get_running_loop()
    last, since = beat(time.time()), loop.time()
    while True:
        await asyncio.sleep(max(0.0, (last + 1) * SLICE_S - time.time()))
        here, now = beat(time.time()), loop.time()
        count = beats_between(last, here, now - since)
        publish(tally.cut(round((here - count) * SLICE_S, 3), round(count * SLICE_S, 3)))
        last, since = here, now
