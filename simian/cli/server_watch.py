"""Watching a run at a daemon elsewhere until it has ended, whatever becomes of the daemon; and asking for its end."""

import signal
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from simian.cli.context import path_of
from simian.cli.server_mend import has_ended
from simian.errors import SimianError, Unreachable

if TYPE_CHECKING:
    from simian.cli.server import Server

LOST_LIMIT_S = 60.0  # a daemon that is started anew is back by then
AGAIN_S = 1.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Event = Mapping[str, Any]
Say = Callable[[str], None]


class Watch:
    """Calling it returns when the run has ended. ``refusal``: what its process said, if it never began."""

    def __init__(self, server: "Server", run: str, feed: Callable[[Event], None], say: Say) -> None:
        self._server, self._run, self._feed, self._say = server, run, feed, say
        self._after = 0  # the number of the last event that was heard
        self._lost_since: float | None = None
        self.refusal: Event = {}

    def __call__(self) -> None:
        """Raises Unreachable when nothing was heard of the daemon for too long."""
        while True:
            try:
                if self._listen():
                    return
            except SimianError as error:
                self._bear(error)
            try:
                if self._over():
                    return
            except SimianError as error:
                self._bear(error)

    def _listen(self) -> bool:
        """Whether it has ended. Raises SimianError where no more is heard."""
        for event in self._server.events(self._run, self._after):
            if event is None:
                if self._over():
                    return True
            elif event["event"] == "lost":
                raise Unreachable("; ".join(map(str, event["reasons"])))
            elif self._take(event):
                return True
        return False

    def _take(self, event: Event) -> bool:
        self._heard()
        self._after = int(event["n"])
        if event["event"] == "refused":
            self.refusal = event
        self._feed(event)
        return bool(event["event"] == "ended")

    def _over(self) -> bool:
        """Of a run whose end nobody announced: its daemon died, or its last event came while nobody listened."""
        over = has_ended(self._server, self._run)
        self._heard()
        return over

    def _heard(self) -> None:
        if self._lost_since is not None:
            self._say(f"the daemon at {self._server.url} is heard again")
        self._lost_since = None

    def _bear(self, error: SimianError) -> None:
        now = time.monotonic()
        if self._lost_since is None:
            self._lost_since = now
            self._say(f"{error}; the run is looked for again, {LOST_LIMIT_S:g} s long")
        elif now - self._lost_since >= LOST_LIMIT_S:
            raise Unreachable(
                f"{error}; nothing was heard of run {self._run} for {LOST_LIMIT_S:g} s, and how it ended is not known: "
                f"it may go on, and it is put back where it runs; look with: simian status {self._server.said}, "
                f"simian report {self._run} {self._server.said}"
            ) from error
        time.sleep(AGAIN_S)


class Stop:
    """Ctrl-C, and what else would end this command: the run's end is asked for there, and the command waits for it."""

    def __init__(self, server: "Server", say: Say) -> None:
        self._server, self._say = server, say
        self._run, self._known = "", threading.Event()
        self._came: SimpleQueue[str] = SimpleQueue()  # the one queue whose put() may be called within itself
        self._before: dict[signal.Signals, Any] = {}

    def about(self, run: str) -> None:
        """The run whose end is meant; a signal that came earlier counts from now on."""
        self._run = run
        self._known.set()

    def __enter__(self) -> "Stop":
        for number in STOPPING:
            self._before[number] = signal.signal(number, self._take)
        threading.Thread(target=self._ask, daemon=True).start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._came.put("")
        self._known.set()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._came.put(signal.Signals(number).name)

    def _ask(self) -> None:
        """In a thread of its own: a handler runs in the midst of whatever the main thread was doing."""
        asked = False
        while name := self._came.get():
            self._known.wait()
            if asked:
                self._say(f"{name} again: its end was asked for; this goes on until all is undone there")
            elif self._run:
                asked = self._ask_for_end(name)

    def _ask_for_end(self, name: str) -> bool:
        try:
            self._server.post(path_of("runs", self._run, "abort"), {"reason": f"{name} at the command"})
        except SimianError as error:
            self._say(f"{name}: the end of run {self._run} could not be asked for: {error}; Ctrl-C tries again")
            return False
        self._say(
            f"{name}: the end of run {self._run} was asked for at {self._server.url}; waiting until all is undone"
        )
        return True
