"""The error budget: how much of what 99.99 % allows in 30 days a run has spent, for the users of each region.

99.99 % of 30 days are 4 min 19 s in which nobody is served, or as many requests as come in that time. What failed is
told as such time: failed requests over requests per second. A month's traffic is taken to be as the run's own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from simian.report.blocks import Block, Grid, Paragraph
from simian.report.model import Run
from simian.report.words import NOTHING, count, listed, percent, span

OBJECTIVE = 0.9999
WINDOW_S = 30 * 86400.0
ALLOWED_S = (1.0 - OBJECTIVE) * WINDOW_S


@dataclass(frozen=True, slots=True)
class Spent:
    """By the users of one home: ``failed`` since the first blow, of ``requests`` in ``seconds``, the whole run's."""

    home: str
    requests: int
    failed: int
    seconds: float

    @property
    def outage_s(self) -> float:
        """Seconds without any answer that would have failed as many requests."""
        return self.failed / (self.requests / self.seconds) if self.requests and self.seconds else 0.0

    @property
    def share(self) -> float:
        """Of what is allowed in 30 days; more than 1: all of it, and more."""
        return self.outage_s / ALLOWED_S


def spent(run: Run) -> list[Spent]:
    """For each home region whose users were counted. A slice in which the first blow fell is the run's."""
    first = run.harm[0] if run.harm else float("inf")
    found = []
    for home in sorted({second.home for second in run.traffic}):
        mine = [second for second in run.traffic if second.home == home]
        failed = sum(second.failed for second in mine if second.at + second.seconds > first)
        seconds = sum(second.seconds for second in mine)
        found.append(Spent(home, sum(second.ended for second in mine), failed, seconds))
    return found


def budget_blocks(run: Run) -> Iterator[Block]:
    """The section: a sentence, and a row for each region; nothing where nothing was done."""
    if not run.injected:
        return
    each = spent(run)
    if not each:
        yield Paragraph("Not measured: nobody counted users' requests, so what was spent cannot be told.")
        return
    yield Paragraph(in_words(each))
    yield budget_grid(each)


def in_words(each: Iterable[Spent]) -> str:
    """What was spent where, of what is allowed."""
    told = [f"{one.home} {percent(one.share)}" for one in each if one.failed]
    allowed = f"{percent(OBJECTIVE)} over 30 days allow {span(ALLOWED_S)} without an answer"
    return f"{allowed}; this run spent {listed(told) + ' of that' if told else 'nothing of that'}."


def budget_grid(each: Iterable[Spent]) -> Grid:
    """A row for each region."""
    head = ("users of", "requests", "failed", "as if down for", "of 30 days' budget", "left for")
    rows = [
        (
            one.home,
            count(one.requests),
            count(one.failed),
            span(one.outage_s) if one.failed else NOTHING,
            percent(one.share),
            _as_often(one),
        )
        for one in each
    ]
    return Grid(head, rows, right=frozenset(range(1, len(head))))


def _as_often(one: Spent) -> str:
    """How many more of such runs in the same 30 days."""
    if not one.failed:
        return NOTHING
    more = int(1.0 / one.share) - 1 if one.share else 0
    return f"{max(0, more):,} more such runs" if more != 1 else "1 more such run"
