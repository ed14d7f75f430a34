"""From harm to alarm: the guard's CUSUM beside a closed window of 10 s, on the same simulated requests.

    python benchmarks/guard.py [--rounds 5] [--json FILE] [--quick]

100 requests a second of which 0.1 % fail, looked at each 100 ms, as the users' feed tells them; then 5 % or 50 % fail
from a moment that falls anywhere in the window. Simulated, so the machine's speed does not enter; what an undo takes
beyond the alarm is not in it. Each round has a seed of its own.
"""

import math
from collections.abc import Callable, Iterator
from random import Random

from peers import Goal, Report, alone, compared, run

from simian.cusum import BASE, HARM, Cusum

SLICE_S = 0.1
REQUESTS = 10  # in a slice
WINDOW = 100  # slices
TRIES, QUICK_TRIES = 2_000, 50
HOURS, QUICK_HOURS = 24.0, 0.1
GOALS_S = {0.5: 0.5, 0.05: 3.0}  # p99 by share of failures
LONGEST = 3_600  # slices: whoever has not rung within 6 min never will
Take = Callable[[int, int], bool]


def closed_window() -> Take:
    """Rings at the end of a window in which more than ``HARM`` failed."""
    seen = [0, 0, 0]

    def take(good: int, failed: int) -> bool:
        seen[:] = [seen[0] + 1, seen[1] + good + failed, seen[2] + failed]
        if seen[0] < WINDOW:
            return False
        rings = seen[2] > HARM * seen[1]
        seen[:] = [0, 0, 0]
        return rings

    return take


def failures(rng: Random, share: float) -> Iterator[int]:
    """How many of each slice's requests failed, by drawing the gaps between failures."""
    gap = 0
    while True:
        failed = 0
        while gap < REQUESTS:
            failed += 1
            gap += 1 + int(math.log(1.0 - rng.random()) / math.log1p(-share))
        gap -= REQUESTS
        yield failed


def seconds_to_alarm(take: Take, rng: Random, share: float) -> float:
    """From the first slice with harm to the alarm; well before, for up to two windows."""
    well = failures(rng, BASE)
    for _ in range(rng.randrange(WINDOW, 2 * WINDOW)):
        failed = next(well)
        take(REQUESTS - failed, failed)
    harm = failures(rng, share)
    for number in range(1, LONGEST):
        failed = next(harm)
        if take(REQUESTS - failed, failed):
            return number * SLICE_S
    return math.inf


def p99_s(make: Callable[[], Take], seed: int, share: float, tries: int) -> float:
    """Nearest rank, of so many tries."""
    rng = Random(f"{seed} {share}")
    taken = sorted(seconds_to_alarm(make(), rng, share) for _ in range(tries))
    return taken[math.ceil(0.99 * tries) - 1]


def false_alarms(make: Callable[[], Take], seed: int, hours: float) -> int:
    """How often it began to ring while all was well."""
    take, well = make(), failures(Random(seed), BASE)
    rang, count = False, 0
    for _ in range(int(hours * 3600 / SLICE_S)):
        failed = next(well)
        rings = take(REQUESTS - failed, failed)
        count += rings and not rang
        rang = rings
    return count


def measure(report: Report) -> None:
    """Each round: the same requests for both."""
    tries, hours = (QUICK_TRIES, QUICK_HOURS) if report.quick else (TRIES, HOURS)
    makes: tuple[Callable[[], Take], ...] = (lambda: Cusum().take, closed_window)
    report.peers["closed window"] = "10 s, alarm above 2 %"
    for share, goal_s in GOALS_S.items():
        ours, peer = ([p99_s(make, seed, share, tries) for seed in range(report.rounds)] for make in makes)
        what = f"harm of {share:.0%} to alarm, p99"
        report.rows.append(compared(what, "s", ours, peer, "closed window", Goal(goal_s, of="ours")))
        if share == 0.5:
            report.rows.append(compared("the same, many times sooner", "s", ours, peer, "closed window", Goal(1 / 20)))
    alarms = [float(false_alarms(makes[0], seed, hours)) for seed in range(report.rounds)]
    report.rows.append(alone(f"false alarms in {hours:g} simulated h", "", alarms, 0.0))


if __name__ == "__main__":
    run("guard", __doc__, measure, disturbed=False)  # simulated
