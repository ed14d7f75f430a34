"""A probe of one's own: the whole of it is this file."""

import json
from urllib.request import urlopen

from simian import Reading, probe


@probe("queue depth")
def depth(url: str) -> Reading:
    """Messages waiting in the queue. Unit: messages."""
    with urlopen(url, timeout=5) as answer:
        waiting = json.loads(answer.read(10_000))["depth"]
    return Reading(waiting, f"{waiting} waiting")
