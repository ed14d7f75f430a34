"""What happens under a daemon, numbered: the last so many events, and a way to wait for the next."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

MOST_KEPT = 20_000  # an hour of a run that tells of users five times a second
LIFE_SIGN_S = 5.0
Event = Mapping[str, Any]


class News:
    """Events of all runs and of the daemon itself. For any number of threads."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)
        self._n, self._closed = 0, False
        self._more = threading.Condition()

    def tell(self, at: str, run: str | None, event: Event) -> None:
        """One more."""
        with self._more:
            self._n += 1
            self._kept.append({"n": self._n, "at": at, "run": run, **event})
            self._more.notify_all()

    def after(self, n: int) -> Iterator[dict[str, Any] | None]:
        """Those after that number, then each as it comes; ``None`` after a while of silence. Ends with ``close``."""
        while True:
            with self._more:
                if not self._closed and self._n <= n:
                    self._more.wait(LIFE_SIGN_S)
                fresh = [event for event in self._kept if event["n"] > n]
                if self._closed and not fresh:
                    return
            if fresh:
                yield from fresh
            else:
                yield None
            n = fresh[-1]["n"] if fresh else n

    def close(self) -> None:
        """There will be no more."""
        with self._more:
            self._closed = True
            self._more.notify_all()
