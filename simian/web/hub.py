"""What goes on now: the daemon's events, taken in once and passed to every browser that watches."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simian.errors import SimianError
from simian.report.words import epoch_s
from simian.web.daemon import Daemon, Event

KEPT_EVENTS = 2000
KEPT_S = 180  # seconds of traffic that a page shows when it is opened
QUEUED = 1000  # events for a browser that does not read; then it is let go, and comes again
MOST_WATCHERS = 100
_NO_READING: dict[str, Any] = {"value": None, "verdict": "", "tolerance": "", "silent": False}
_AGAIN_S = (0.2, 0.5, 1.0, 2.0)
_IN_PLACE = ("injected", "doubtful", "stuck")
log = logging.getLogger(__name__)


def moment(given: object) -> float | None:
    """Seconds since the epoch; the daemon writes ISO 8601, the runner's own figures are seconds already."""
    if isinstance(given, int | float):
        return float(given)
    return epoch_s(given) if isinstance(given, str) and given else None


@dataclass
class Traffic:
    """The last seconds, by second: what each region served, what failed, the start of each."""

    seconds: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:
        """Fold a slice in."""
        second = int(moment(event.get("start")) or moment(event.get("at")) or 0)
        sums = self.seconds.setdefault(second, {"served": {}, "failed": 0, "ended": 0})
        for row in event.get("rows") or ():
            sums["failed"] += row.get("failed", 0)
            sums["ended"] += row.get("ended", 0)
            for region, number in (row.get("served") or {}).items():
                sums["served"][region] = sums["served"].get(region, 0) + number
        for old in [each for each in self.seconds if each <= second - KEPT_S]:
            del self.seconds[old]


@dataclass
class Going:
    """A run as its events tell it. ``until``: when its phase is over, epoch seconds; None: nobody knows."""

    phase: str = "starting"
    since: float | None = None
    until: float | None = None
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[int, dict[str, Any]] = field(default_factory=dict)
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    ended: Mapping[str, Any] | None = None

    def take(self, event: Event) -> None:
        """Learn from one event."""
        match event.get("event"):
            case "phase":
                self.phase, self.since, for_s = str(event.get("phase")), moment(event.get("at")), event.get("for_s")
                self.until = None if self.since is None or for_s is None else self.since + float(for_s)
            case "fault":
                fault = self.faults.setdefault(int(event["id"]), {"id": event["id"], "proven": None})
                fault.update({key: event.get(key) for key in ("kind", "target", "state")})
            case "evidence":
                self.faults.setdefault(int(event["id"]), {"id": event["id"]})["proven"] = event.get("held")
            case "check" | "reading":
                keys = ("value", "verdict", "tolerance", "silent")
                told: dict[str, Any] = {key: event[key] for key in keys if key in event}
                self.checks.setdefault(str(event.get("check")), dict(_NO_READING)).update(told)
            case "note" | "feed_lost" | "failed" | "moment":
                self.notes.append(_words(event))
            case "end" | "ended":
                self.ended = event

    @property
    def in_place(self) -> list[dict[str, Any]]:
        """Faults that are in the world now."""
        return [fault for fault in self.faults.values() if fault.get("state") in _IN_PLACE]

    @property
    def kinds(self) -> list[dict[str, Any]]:
        """The same by kind and state: ``{"kind", "state", "number", "targets", "proven": how many}``."""
        found: dict[tuple[Any, Any], dict[str, Any]] = {}
        for fault in self.in_place:
            key = (fault.get("kind"), fault.get("state"))
            blank: dict[str, Any] = {"kind": key[0], "state": key[1], "number": 0, "targets": {}, "proven": 0}
            group = found.setdefault(key, blank)
            group["number"] += 1
            group["proven"] += bool(fault.get("proven"))
            group["targets"][fault.get("target")] = None  # in order, each once: a shift comes in steps
        return [{**group, "targets": list(group["targets"])} for group in found.values()]


def _words(event: Event) -> str:
    keys = ("text", "name", "region", "detail", "reasons")
    words = [event[key] for key in keys if event.get(key)]
    return ": ".join("; ".join(map(str, word)) if isinstance(word, list) else str(word) for word in words)


class Hub:
    """One subscription, many watchers."""

    def __init__(self, daemon: Daemon, pause: Callable[[float], Any] = asyncio.sleep) -> None:
        self._daemon, self._pause = daemon, pause
        self._watchers: set[asyncio.Queue[Event | None]] = set()
        self._last: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self.traffic, self.runs = Traffic(), dict[str, Going]()
        self._of: tuple[object, object] | None = None  # the daemon whose numbers these are
        self.lost: str = "not asked yet"  # why nothing is heard; empty: the daemon is heard
        self.changes = 0  # counts what may make pages look different

    async def follow(self) -> None:
        """For ever: listen, and when it ends listen again."""
        failures = 0
        while True:
            try:
                await self._meet()
                async for event in self._daemon.events(self._after):
                    self.lost, failures = "", 0
                    self._take(event)
            except SimianError as error:
                self.lost = str(error)
                self._tell({"event": "lost", "reasons": [self.lost]})
            except Exception:  # what one event breaks must not end all that come after it
                log.exception("an event could not be taken")
            await self._pause(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
            failures += 1

    async def _meet(self) -> None:
        """A daemon that was started anew counts from one again."""
        status = await self._daemon.ask("status")
        daemon = (status.get("pid"), status.get("since"))
        if daemon != self._of:
            self._of = daemon
            self._last.clear()

    @property
    def _after(self) -> int:
        return max((int(event.get("n") or 0) for event in self._last), default=0)

    def _take(self, event: Event | None) -> None:
        if event is None:
            return
        self._last.append(event)
        run = event.get("run")
        if event.get("event") == "slice":
            self.traffic.take(event)
        elif run:
            self.runs.setdefault(str(run), Going()).take(event)
            while len(self.runs) > 50:
                del self.runs[next(iter(self.runs))]
        self.changes += event.get("event") not in ("slice", "reading", "check")
        self._tell(event)

    def _tell(self, event: Event) -> None:
        for queue in list(self._watchers):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:  # it does not read: end it, and it will come again for what it missed
                self._watchers.discard(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    def full(self) -> bool:
        """Whether no more can watch."""
        return len(self._watchers) >= MOST_WATCHERS

    async def watch(self, after: int | None) -> AsyncIterator[Event | None]:
        """Events after that number (None: from now on), then as they come; None each 5 s in which none came."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED)
        self._watchers.add(queue)
        try:
            for event in [each for each in self._last if after is not None and int(each.get("n") or 0) > after]:
                yield event
            while True:
                try:
                    event_or_end = await asyncio.wait_for(queue.get(), 5.0)
                except TimeoutError:
                    yield None
                    continue
                if event_or_end is None:
                    return
                yield event_or_end
        finally:
            self._watchers.discard(queue)

    def close(self) -> None:
        """End all that watch."""
        for queue in list(self._watchers):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)
        self._watchers.clear()
