"""A region left as planned and by force, on the embedded lab: detect, decide, shift, drain, and what users lost.

    python benchmarks/kong.py [--rounds 5] [--json FILE] [--quick]

Each round brings `simian kong --region east --for 16s` once as it is and once with --hard; all figures are read from
the JSON that these print, second by second. Resolvers keep the lab's answers for 1 s, the smallest TTL on the way. A
round takes three minutes and a core, and a machine that does something else shows: in two rounds on one with a load of
12 on two cores the first fault took 0.36 s and p99 of the forced runs was 2.7 times that before; the rest held.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from peers import Goal, Report, compared, interleaved, run, used

from simian.histogram import Histogram
from simian.report.evacuation import Evacuation, evacuation
from simian.report.model import Run, Second, read

SIMIAN = (sys.executable, "-P", "-m", "simian")
FOR, QUICK_FOR = "16s", "8s"
TTL_S = 1.0
PATIENCE_S = 2.0  # after which a request that found nobody has failed
DARK = (
    "A device knows the addresses of the dark region only until its resolver has the new answer, and waits for that as "
    "long as its user does, 2 s: what is detected, decided and shifted later than a second after the blow comes too "
    "late for the first of them. The row below says how many failed for another reason."
)
MOVED = 0.01  # at most this share of all tries still arrives: 99 % have moved
Figure = Callable[[Run, Evacuation], float]
Line = tuple[str, str, Figure, Goal | None]  # what, unit, its value of a run, its goal


@contextmanager
def lab() -> Iterator[Callable[..., Run]]:
    """A lab of our own; gives what makes one run on it. Taken down at the end."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"SIMIAN_STATE": folder}

        def kong(*options: str) -> Run:
            words = (*SIMIAN, "kong", "--region", "east", "--json", "--no-progress", *options)
            done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
            return read(json.loads(done.stdout))

        try:
            used(*SIMIAN, "lab", "up", cwd=folder, env=environment)
            yield kong
        finally:
            used(*SIMIAN, "lab", "down", cwd=folder, env=environment)


def moment(run: Run, name: str) -> float:
    """When that happened, first. Raises StopIteration when it did not."""
    return next(each.at for each in run.moments if each.name == name)


def started(run: Run, phase: str) -> float:
    """When it began. Raises ValueError when it did not."""
    found = run.phase(phase)
    if found is None or found.started is None:
        raise ValueError(f"run {run.run} has no phase {phase}")
    return found.started


def first_ms(run: Run, away: Evacuation) -> float:
    """From the end of the baseline, which begins the phase inject, to the first fault that was in place."""
    return 1000 * (away.began - started(run, "inject"))


def detected_s(run: Run, away: Evacuation) -> float:
    """From when the first kill was begun until simian saw that users' tries came to nothing, or that they failed."""
    return moment(run, "detected") - started(run, "inject")


def decided_s(run: Run, away: Evacuation) -> float:
    """From when the first kill was begun until it was decided to move users."""
    return moment(run, "decided") - started(run, "inject")


def shifting_s(run: Run, away: Evacuation) -> float:
    """From the first thing done to the last shift."""
    return away.shifted - (moment(run, "decided") if away.hard else away.began)


def moved_s(run: Run, away: Evacuation) -> float:
    """From the last shift to the end of the last second in which more than 1 % arrived where nobody should."""
    until = away.returning if away.returning is not None else float("inf")
    here: dict[float, list[int]] = {}
    for each in run.arrivals:
        if away.shifted <= each.at < until - 1:
            counts = here.setdefault(each.at, [0, 0])
            counts[each.region != away.left] += each.good + each.bad
    late = [at + 1 for at, (left, other) in here.items() if left > MOVED * (left + other)]
    return max(late, default=away.shifted) - away.shifted


def drained_s(run: Run, away: Evacuation) -> float:
    """From the last shift until simian itself saw twice that nobody arrived."""
    return moment(run, "drained") - away.shifted


def during(run: Run, away: Evacuation) -> list[Second]:
    """From the second of the first blow until users were home."""
    until = away.returned if away.returned is not None else float("inf")
    return [each for each in run.traffic if each.at + each.seconds > away.began and each.at < until]


def failed_percent(run: Run, away: Evacuation) -> float:
    """Requests that ended without a good answer, of all of that time."""
    seconds = during(run, away)
    return 100 * sum(each.failed for each in seconds) / sum(each.ended for each in seconds)


def failed_late(run: Run, away: Evacuation) -> float:
    """Requests that ended without a good answer though every resolver knew of the last shift when they began."""
    known = away.shifted + TTL_S + PATIENCE_S
    return sum(each.failed for each in during(run, away) if each.at >= known)


def retried_percent(run: Run, away: Evacuation) -> float:
    """Requests of which the first try failed, of all of that time."""
    seconds = during(run, away)
    return 100 * sum(each.first_failed for each in seconds) / sum(each.ended for each in seconds)


def p99_ms(seconds: Sequence[Second]) -> float:
    """Of all requests of those seconds."""
    whole = Histogram()
    for each in seconds:
        whole.merge(each.latency)
    return whole.quantile(0.99)


def slower(run: Run, away: Evacuation) -> float:
    """p99 of that time by the p99 before."""
    before = [each for each in run.traffic if each.at + each.seconds <= away.began]
    return p99_ms(during(run, away)) / p99_ms(before)


def most(number: float, why: str = "") -> Goal:
    """A goal of our own value."""
    return Goal(number, of="ours", why=why)


AFTER: tuple[Line, ...] = (
    ("from the last shift, 99 % moved", "s", moved_s, most(TTL_S + 5.0)),
    ("from the last shift, drained", "s", drained_s, None),
    ("first tries failed", "%", retried_percent, None),
    ("p99, many times that before", "", slower, most(2.0)),
)
PLANNED: tuple[Line, ...] = (
    ("first fault in place after the baseline", "ms", first_ms, most(250.0)),
    ("steps of 75, 50, 25, 0 %", "s", shifting_s, None),
    ("requests failed", "%", failed_percent, most(0.0)),
    *AFTER,
)
FORCED: tuple[Line, ...] = (
    ("from the first blow, detected", "s", detected_s, None),
    ("from the first blow, decided", "s", decided_s, most(2.0)),
    ("from then, shifted", "s", shifting_s, None),
    ("requests failed", "%", failed_percent, most(0.1, DARK)),
    ("requests failed that began when all resolvers knew", "", failed_late, most(0.0)),
    *AFTER,
)


def tell(report: Report, kind: str, runs: Sequence[Run]) -> None:
    """Rows of the runs that were completed; the others are told as missing."""
    for each in runs:
        if each.outcome != "completed":
            report.missing.append(f"a {kind} run, which was {each.outcome}: {'; '.join(each.reasons)}")
    pairs = [(each, away) for each in runs if each.outcome == "completed" and (away := evacuation(each)) is not None]
    for what, unit, figure, goal in (PLANNED if kind == "planned" else FORCED) if pairs else ():
        values = [figure(each, away) for each, away in pairs]
        report.rows.append(compared(f"{kind}: {what}", unit, values, None, "", goal))


def measure(report: Report) -> None:
    """The two kinds in turns."""
    seconds = QUICK_FOR if report.quick else FOR
    with lab() as kong:
        planned, forced = interleaved(
            report.rounds, lambda: kong("--for", seconds), lambda: kong("--hard", "--for", seconds)
        )
    tell(report, "planned", planned)
    tell(report, "forced", forced)


if __name__ == "__main__":
    run("kong", __doc__, measure, disturbed=False)
