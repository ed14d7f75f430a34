"""What is seen while a run goes on."""

import io
import re

import pytest

from simian.cli.live import LiveView, PlainView, Progress, SilentView, View, open_view

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class StillClock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.at = 1795255200.0  # 10:00:00

    def now(self) -> float:
        return self.at

    def elapsed(self) -> float:
        return self.at - 1795255000.0

    def wait(self, seconds: float) -> None:
        self.at += seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def rows(east: int, west: int, failed: int = 0) -> list[dict[str, object]]:
    return [{"home": "east", "served": {"east": east, "west": west}, "failed": failed}]


def play(view: View, clock: StillClock) -> None:
    view.feed({"event": "phase", "phase": "baseline", "for_s": 15.0})
    for _ in range(3):
        view.feed({"event": "slice", "at": clock.now(), "rows": rows(40, 20)})
        clock.wait(1)
    view.feed({"event": "phase", "phase": "observe", "for_s": 30.0})
    view.feed({"event": "fault", "id": 1, "kind": "kill", "target": "members-east-a", "state": "intended"})
    view.feed({"event": "fault", "id": 1, "kind": "kill", "target": "members-east-a", "state": "injected"})
    view.feed({"event": "evidence", "id": 1, "held": True, "seen": "no answer"})
    view.feed({"event": "fault", "id": 2, "kind": "delay", "target": "a--b", "state": "doubtful"})
    view.feed({"event": "slice", "start": clock.now(), "seconds": 0.2, "rows": rows(10, 20, failed=5)})
    clock.wait(12)
    view.feed({"event": "slice", "rows": rows(1, 1)})  # by our own clock
    view.feed(
        {"event": "check", "check": "streams start", "value": 0.9995, "verdict": "held", "tolerance": ">= 99.9 %"}
    )
    view.feed({"event": "reading", "check": "checkout", "value": None, "silent": True, "detail": ""})
    view.feed({"event": "note", "text": "somebody \x1b[2J else"})
    view.feed({"event": "something newer"})


def test_a_moment_of_an_evacuation_is_a_line() -> None:
    stream = io.StringIO()
    with PlainView(stream, StillClock()) as view:
        view.feed({"event": "moment", "name": "drained", "region": "east"})
        view.feed({"event": "moment", "name": "detected", "detail": "streams start\x1b[2J fell"})
    lines = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    assert lines == ["drained: east", "detected: streams start\\x1b[2J fell"]


def screen(view: LiveView, stream: io.StringIO) -> list[str]:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=view._console.width).print(view.screen())
    return out.getvalue().splitlines()


def test_the_screen_shows_phase_countdown_traffic_steady_state_and_faults() -> None:
    clock, stream = StillClock(), Terminal()
    view = LiveView(stream, clock, width=90, refresh=False)
    with view:
        play(view, clock)
        assert screen(view, stream) == [
            "observe, 18 s left  after baseline",
            "east         ███▂            0/s",
            "west         ▄▄▄▄            0/s",
            "failed          █            0/s",
            "streams start                   99.95 % held",
            "checkout                      no answer ",
            "in place     kill members-east-a (proven) and delay a--b (doubtful)",
            r"somebody \x1b[2J else",
        ]
        view.feed({"event": "fault", "id": 1, "kind": "kill", "target": "members-east-a", "state": "undone"})
        view.feed({"event": "fault", "id": 2, "kind": "delay", "target": "a--b", "state": "undone"})
        assert "in place     nothing" in screen(view, stream)


def test_the_screen_is_drawn_and_taken_away_again() -> None:
    clock, stream = StillClock(), Terminal()
    with LiveView(stream, clock, width=90, refresh=False) as view:
        play(view, clock)
        view._live.refresh()
        assert "observe, 18 s left" in ANSI.sub("", stream.getvalue())
    assert stream.getvalue().endswith("\x1b[2K")  # each line erased: the story stands alone
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is back


@pytest.mark.parametrize("width", [1, 10, 20, 40, 300])
def test_no_line_of_the_screen_wraps_on_any_terminal(width: int) -> None:
    clock, stream = StillClock(), Terminal()
    view = LiveView(stream, clock, width=width, refresh=False)
    play(view, clock)
    lines = screen(view, stream)
    assert len(lines) in (7, 8)  # the second with failures may have no room
    assert all(len(line) <= width for line in lines)


def test_only_the_last_minute_of_traffic_is_kept() -> None:
    progress = Progress()
    for second in range(500):
        progress.take({"event": "slice", "at": float(second), "rows": rows(1, 1, failed=1)}, 0.0, 0.0)
    assert set(progress.served["east"]) == set(progress.failed) == set(range(440, 500))


def test_a_phase_without_an_end_shows_how_long_it_has_taken() -> None:
    progress = Progress()
    progress.take({"event": "phase", "phase": "recover", "for_s": None}, 0.0, 100.0)
    assert progress.left(103.5) == "3.5 s so far"
    progress.take({"event": "phase", "phase": "observe", "for_s": 30.0}, 0.0, 100.0)
    assert progress.left(190.0) == "0.0 s left"


def test_without_a_terminal_each_phase_and_fault_is_one_line() -> None:
    clock, stream = StillClock(), io.StringIO()
    with PlainView(stream, clock) as view:
        play(view, clock)
        view.feed({"event": "check", "check": "streams start", "value": 0.4, "verdict": "broken"})
        view.feed({"event": "check", "check": "streams start", "value": 0.4, "verdict": "broken"})
        view.feed({"event": "feed_lost", "detail": "refused"})
        view.feed({"event": "failed", "reasons": ["a", "b"]})
        view.feed({"event": "end", "run": "k", "outcome": "aborted", "verdict": "broken", "recovery": "clean"})
        view.feed({"event": "end", "record": {"outcome": "completed", "verdict": "held", "recovery": "clean"}})
    assert stream.getvalue().splitlines() == [
        "10:00:00 baseline, 15 s",
        "10:00:03 observe, 30 s",
        "10:00:03 kill members-east-a: injected",
        "10:00:03 delay a--b: doubtful",
        r"10:00:15 somebody \x1b[2J else",
        "10:00:15 streams start: broken",
        "10:00:15 the users' feed is lost: refused",
        "10:00:15 failed: a; b",
        "10:00:15 end: aborted, broken, clean",
        "10:00:15 end: completed, held, clean",
    ]


CHOICES: list[tuple[bool, dict[str, str], dict[str, bool], type[View]]] = [
    (True, {"TERM": "xterm"}, {}, LiveView),
    (True, {}, {}, LiveView),
    (True, {"NO_COLOR": ""}, {}, PlainView),
    (True, {"TERM": "dumb"}, {}, PlainView),
    (True, {}, {"live": False}, PlainView),
    (False, {}, {}, PlainView),
    (True, {}, {"silent": True}, SilentView),
]


@pytest.mark.parametrize(("terminal", "environ", "asked", "right"), CHOICES)
def test_the_view_fits_where_it_is_shown(
    terminal: bool, environ: dict[str, str], asked: dict[str, bool], right: type[View]
) -> None:
    stdout = Terminal() if terminal else io.StringIO()
    assert type(open_view(stdout, io.StringIO(), StillClock(), environ=environ, **asked)) is right


def test_lines_go_to_stderr_so_that_stdout_is_the_story_alone() -> None:
    clock, stdout, stderr = StillClock(), io.StringIO(), io.StringIO()
    with open_view(stdout, stderr, clock, environ={}) as view:
        play(view, clock)
    assert stdout.getvalue() == ""
    assert "observe" in stderr.getvalue()


def test_silence_is_silent() -> None:
    clock, stdout, stderr = StillClock(), Terminal(), io.StringIO()
    with open_view(stdout, stderr, clock, environ={}, silent=True) as view:
        play(view, clock)
    assert stdout.getvalue() + stderr.getvalue() == ""
