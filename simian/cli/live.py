"""What a person sees while a run goes on, fed with the runner's events (dicts).

On a terminal ``LiveView`` redraws a few lines in place on stdout and takes them away at the end, so that the story
printed afterwards stands alone. Without a terminal, with NO_COLOR or TERM=dumb, ``PlainView`` writes one line for each
phase and fault to *stderr*: stdout is the story only and can be piped. ``SilentView`` is for ``-q`` and ``--json``.

Events: ``phase`` (phase, for_s), ``fault`` (id, kind, target, state), ``evidence`` (id, held), ``slice`` (at or start,
rows as in docs/wire.md), ``check`` or ``reading`` (check, value, verdict, tolerance), ``note`` (text), ``moment``
(name, region, detail), ``feed_lost`` (detail), ``failed`` (reasons), ``end`` (outcome, verdict, recovery, or the whole
record). Others are left alone.
Rich is imported when a live view opens, not before.
"""

import threading
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from simian.report.clean import plain
from simian.report.picture import blocks
from simian.report.words import clock_time, listed, measured, span
from simian.world import Clock

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

Event = Mapping[str, Any]
SHOWN_S = 60  # seconds of traffic on the screen
_LABEL = 12
_IN_PLACE = ("injected", "doubtful", "stuck")
_TONES = {"held": "green", "broken": "bold red", "unknown": "yellow"}


class View(AbstractContextManager["View"], Protocol):
    """Somewhere to show a run; a context manager."""

    def feed(self, event: Event) -> None:
        """Take one event of the runner, in order."""
        ...


class SilentView:
    """Shows nothing."""

    def feed(self, event: Event) -> None:
        """Nothing."""

    def __enter__(self) -> "SilentView":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing to put away."""


def open_view(
    stdout: TextIO, stderr: TextIO, clock: Clock, *, environ: Mapping[str, str], silent: bool = False, live: bool = True
) -> View:
    """The view that fits. ``silent``: ``-q`` or ``--json``; ``live=False``: ``--no-progress``, lines only."""
    if silent:
        return SilentView()
    if live and stdout.isatty() and "NO_COLOR" not in environ and environ.get("TERM") != "dumb":
        return LiveView(stdout, clock)
    return PlainView(stderr, clock)


class PlainView(SilentView):
    """One line for each phase, fault and note."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._verdicts: dict[str, str] = {}

    def feed(self, event: Event) -> None:
        """Write a line, if the event is worth one."""
        line = self._line(event)
        if line:
            self._stream.write(f"{clock_time(self._clock.now())} {line}\n")
            self._stream.flush()

    def _line(self, event: Event) -> str:
        match event.get("event"):
            case "phase":
                return plain(event["phase"]) + (f", {span(event['for_s'])}" if event.get("for_s") else "")
            case "fault" if event["state"] != "intended":
                return f"{plain(event['kind'])} {plain(event['target'])}: {plain(event['state'])}"
            case "check":
                return self._check(plain(event["check"]), plain(event.get("verdict") or ""))
            case "end":
                return f"end: {_ending(event)}"
            case _:
                return _note(event)

    def _check(self, check: str, verdict: str) -> str:
        """Only what changes, and not that all is well from the start."""
        before = self._verdicts.get(check, "held")
        self._verdicts[check] = verdict or before
        return f"{check}: {verdict}" if verdict not in ("", before) else ""


def _note(event: Event) -> str:
    match event.get("event"):
        case "note":
            return plain(event["text"])
        case "moment":
            return ": ".join(plain(event[key]) for key in ("name", "region", "detail") if event.get(key))
        case "feed_lost":
            return f"the users' feed is lost: {plain(event.get('detail', ''))}"
        case "failed":
            return f"failed: {'; '.join(plain(reason) for reason in event['reasons'])}"
        case _:
            return ""


def _ending(event: Event) -> str:
    told = event.get("record") or event
    return ", ".join(plain(told[key]) for key in ("outcome", "verdict", "recovery") if told.get(key))


class Progress:
    """What is known of a run that goes on: pure bookkeeping, ``elapsed`` being the caller's clock."""

    def __init__(self) -> None:
        self.past: list[str] = []
        self.phase = "starting"
        self.since = 0.0
        self.for_s: float | None = None
        self.served: dict[str, dict[int, int]] = {}  # region -> second -> requests
        self.failed: dict[int, int] = {}
        self.checks: dict[str, tuple[str, str]] = {}  # name -> value, verdict
        self.faults: dict[int, tuple[str, str]] = {}  # id -> name, state
        self.proven: set[int] = set()
        self.notes: deque[str] = deque(maxlen=3)

    def take(self, event: Event, now: float, elapsed: float) -> None:
        """Learn from one event. ``now``: wall clock, for slices that do not tell theirs."""
        match event.get("event"):
            case "phase":
                self.past.append(self.phase)
                self.phase, self.since, self.for_s = plain(event["phase"]), elapsed, event.get("for_s")
            case "fault":
                self.faults[event["id"]] = (f"{plain(event['kind'])} {plain(event['target'])}", event["state"])
            case "evidence" if event.get("held"):
                self.proven.add(event["id"])
            case "slice":
                self._slice(event, int(event.get("at") or event.get("start") or now))
            case "check" | "reading":
                self._check(event)
            case _:
                self.notes.extend(filter(None, [_note(event)]))

    def _check(self, event: Event) -> None:
        name = plain(event["check"])
        value = "no answer" if event.get("silent") else measured(event.get("value"), event.get("tolerance") or "")
        self.checks[name] = (plain(value), plain(event.get("verdict") or self.checks.get(name, ("", ""))[1]))

    def _slice(self, event: Event, second: int) -> None:
        for row in event["rows"]:
            self.failed[second] = self.failed.get(second, 0) + row["failed"]
            for region, number in row["served"].items():
                seconds = self.served.setdefault(plain(region), {})
                seconds[second] = seconds.get(second, 0) + number
        for seconds in (self.failed, *self.served.values()):
            for old in [each for each in seconds if each <= second - SHOWN_S]:
                del seconds[old]

    @property
    def in_place(self) -> list[str]:
        """Faults that are in the world now, with what is known of them."""
        return [
            name + ("" if state == "injected" else f" ({state})") + (" (proven)" if number in self.proven else "")
            for number, (name, state) in self.faults.items()
            if state in _IN_PLACE
        ]

    def left(self, elapsed: float) -> str:
        """``18 s left``; how long it has taken where no end is set."""
        took = max(0.0, elapsed - self.since)
        return f"{span(took)} so far" if self.for_s is None else f"{span(max(0.0, self.for_s - took))} left"


class LiveView:
    """A few lines on a terminal, redrawn in place."""

    def __init__(self, stream: TextIO, clock: Clock, *, width: int | None = None, refresh: bool = True) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock = clock
        self._lock = threading.Lock()  # Rich redraws from a thread of its own
        self.progress = Progress()
        self._console = Console(file=stream, width=width, force_terminal=True, highlight=False)
        self._live = Live(
            get_renderable=self.screen,
            console=self._console,
            auto_refresh=refresh,
            refresh_per_second=5,
            transient=True,
        )

    def __enter__(self) -> "LiveView":
        self.progress.since = self._clock.elapsed()
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def feed(self, event: Event) -> None:
        """Take one event; the screen follows within a fifth of a second."""
        with self._lock:
            self.progress.take(event, self._clock.now(), self._clock.elapsed())

    def screen(self) -> "Group":
        """The lines as they stand now."""
        from rich.console import Group

        with self._lock:
            return Group(*self._lines())

    def _lines(self) -> "list[Text]":
        progress, in_place = self.progress, self.progress.in_place
        past = f"  after {', '.join(progress.past[1:])}" if progress.past[1:] else ""
        left = progress.left(self._clock.elapsed())
        return [
            _line((f"{progress.phase}, ", "bold cyan"), (left, "bold"), (past, "dim")),
            *self._traffic(),
            *(_check_line(name, *seen) for name, seen in progress.checks.items()),
            self._row("in place", (listed(in_place, 4) or "nothing", "red" if in_place else "green")),
            *(_line((note, "yellow")) for note in progress.notes),
        ]

    def _traffic(self) -> "list[Text]":
        served = self.progress.served
        times = [second for seconds in served.values() for second in seconds]
        if not times:
            return []
        columns = max(4, min(SHOWN_S, self._console.width - self._label - 9))
        last = max(times)  # still being filled: drawn once it is over
        shown = range(max(min(times), last - columns), max(last, min(times) + 1))
        top = max((seconds.get(at, 0) for seconds in served.values() for at in shown), default=0)
        rows = [self._rates(region, served[region], shown, top, "cyan") for region in sorted(served)]
        failed = self.progress.failed
        worst = max((failed.get(at, 0) for at in shown), default=0)
        return rows + ([self._rates("failed", failed, shown, worst, "red")] if worst else [])

    def _rates(self, label: str, seconds: Mapping[int, int], shown: range, top: int, colour: str) -> "Text":
        values = [seconds.get(at, 0) for at in shown]
        return self._row(label, (blocks(values, top), colour), (f" {values[-1]}/s", "dim"))

    def _row(self, label: str, *parts: tuple[str, str]) -> "Text":
        return _line((f"{label[: self._label]:<{self._label}} ", ""), *parts)

    @property
    def _label(self) -> int:
        return max(4, min(_LABEL, self._console.width // 4))


def _check_line(name: str, value: str, verdict: str) -> "Text":
    return _line((f"{name[:28]:<28} ", ""), (f"{value:>10} ", ""), (verdict, _TONES.get(verdict, "")))


def _line(*parts: tuple[str, str]) -> "Text":
    """One line that never wraps: a screen that wraps cannot be redrawn in place."""
    from rich.text import Text

    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
