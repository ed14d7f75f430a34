"""The same system a week before: traffic of a run that history has, moved under this one's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from simian.report.clean import plain
from simian.report.model import Run, WeekBefore, read_second
from simian.report.words import clock_time, day, span

WEEK_S = 7 * 86400.0


def with_week_before(run: Run, before: Mapping[str, Any] | None) -> Run:
    """The run with the traffic of ``before``: ``{"run", "traffic"}`` of a run of its system a week ago, or None.

    Where both overlap by half or more once a week is added, that is what is done; else both begin together.
    """
    if before is None or not before.get("traffic") or not run.traffic:
        return run
    traffic = [read_second(item) for item in before["traffic"]]
    start, end = min(each.at for each in run.traffic), max(each.at + each.seconds for each in run.traffic)
    first, last = min(each.at for each in traffic), max(each.at + each.seconds for each in traffic)
    shared_s = min(end, last + WEEK_S) - max(start, first + WEEK_S)
    together = shared_s < (end - start) / 2
    shift_s = start - first if together else WEEK_S
    rows = tuple(replace(each, at=each.at + shift_s) for each in traffic)
    return replace(run, week_before=WeekBefore(plain(before["run"]), first, first + WEEK_S - start, together, rows))


def told_before(run: Run) -> str:
    """What the line of a week before is, or why there is none."""
    before = run.week_before
    if before is None:
        return "No line of the week before: no run of this system within an hour of this time of that day is known."
    when = f"run {before.run} of {day(before.started)}, {clock_time(before.started)} UTC"
    if not before.together:
        return f"The week before is {when}, moved by seven days."
    moment = f"{span(abs(before.late_s))} {'later' if before.late_s > 0 else 'earlier'} in its day"
    return f"The week before is {when}: it began {moment}, and is drawn as if both had begun together."
