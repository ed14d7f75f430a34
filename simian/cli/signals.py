"""Signals of the runner: each asks for an end with everything undone; none can stop the undo."""

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class StopReasons:
    """Why the run should stop: the first signal, or the command that started it being gone."""

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def __call__(self) -> str:
        return self._reasons[0] if self._reasons else ""

    def add(self, reason: str) -> None:
        """One more reason."""
        self._reasons.append(reason)

    def catch_signals(self, warn: Callable[[str], None]) -> None:
        """Handle the stopping signals in this (main) thread; a later one only warns that the undo goes on.

        ``warn`` is called from a thread of its own: a handler runs in the midst of whatever the main thread was doing,
        and would wait for ever for a lock that is held there.
        """
        warnings: SimpleQueue[str] = SimpleQueue()  # the one queue whose put() may be called within itself

        def handle(number: int, frame: object) -> None:
            name = signal.Signals(number).name
            if self._reasons:
                warnings.put(f"{name} again: everything is being put back; this goes on until it is done")
            self._reasons.append(f"{name} was sent to the run")

        def pass_on() -> None:
            while True:
                warn(warnings.get())

        threading.Thread(target=pass_on, daemon=True).start()
        for number in STOPPING:
            signal.signal(number, handle)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
