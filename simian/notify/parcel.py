"""What is sent, and that it did not arrive."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simian.errors import SimianError

EVENTS = ("started", "aborted", "verdict", "stuck", "refused", "missed")  # what a channel may listen to
DEADLINE_S = 10.0
LONGEST_S = 60.0


class NotSent(SimianError):
    """It did not arrive. ``for_good``: nor would it at a further try; ``after_s``: nor would it sooner than that."""

    def __init__(self, text: str, for_good: bool = False, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.for_good, self.after_s = for_good, after_s


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent: ``message`` and its ``event``, under a key of its own, at this time (seconds since the epoch)."""

    key: str
    event: str
    message: Mapping[str, Any]
    at_s: float

    @property
    def body(self) -> bytes:
        """The message as JSON in ASCII."""
        return json.dumps({"event": self.event, "key": self.key, **self.message}).encode()
