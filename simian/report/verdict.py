"""The verdict in one line, with why; and what is worth a look afterwards."""

from collections.abc import Iterator

from simian.report.model import Fault, Run
from simian.report.users import Seen, Users
from simian.report.words import count, listed, milliseconds, part, percent

KINDS = ("refused", "aborted", "crashed", "broken", "unknown", "leashed")  # what a reason may begin with
MUCH_RETRIED = 0.01  # shares of requests that needed another try: worth saying though nobody failed
MUCH_SLOWER = 2.0  # times the p99 before


def word(run: Run) -> str:
    """``HELD``, ``BROKEN``, ``UNKNOWN``; ``REFUSED`` or ``LEASHED`` where nothing was touched on purpose."""
    if run.outcome in ("refused", "running"):
        return run.outcome.upper()
    return "LEASHED" if _leashed(run) else run.verdict.upper()


def _leashed(run: Run) -> bool:
    return run.leashed and run.outcome == "completed" and not run.injected


def why(run: Run, users: Users) -> list[str]:
    """One to some sentences a manager can read out; whoever reads one only reads the first."""
    if run.outcome == "refused":
        return [f"Nothing was touched{_because(run)}"]
    if run.outcome == "running":
        return ["The run is still going on; this is what it has done so far."]
    if _leashed(run):
        return ["The steady state held, and nothing was touched: the run was to go no further than that."]
    told, ending = _why_verdict(run, users), _ending(run)
    return [*told, *ending] if run.verdict == "broken" else [*ending, *told]


def _ending(run: Run) -> list[str]:
    """How the run ended, when it did not end by itself."""
    if run.outcome == "aborted":
        return [f"The run was aborted{_because(run)}"]
    if run.outcome == "crashed":
        back = ["What it had broken was put back."] if run.injected and not run.stuck else []
        return [f"The run itself died{_because(run)}", *back]
    return []


def _because(run: Run) -> str:
    given = _given(run, run.outcome)
    if not given:
        return "."
    return f": {given[0]}." if len(given) == 1 else f", for {len(given)} reasons."


def _given(run: Run, kind: str) -> list[str]:
    """The run's reasons that begin with ``kind``, without it; those that begin with nothing told are the outcome's."""
    found = []
    for reason in run.reasons:
        told, _, rest = reason.partition(":")
        if (told if told in KINDS else run.outcome) == kind:
            found.append((rest if told in KINDS else reason).strip().rstrip("."))
    return found


def reasons(run: Run) -> list[str]:
    """All that were given, where the one line has no room for them and no section of their own tells them."""
    if len(run.reasons) < 2 or run.verdict != "unknown":
        return []
    return [reason.removeprefix("refused: ") for reason in run.reasons]


def _why_verdict(run: Run, users: Users) -> list[str]:
    if run.verdict == "broken":
        return _broken(run, users.all["during"])
    if run.verdict == "held":
        return [_held(run, users.all["during"])]
    doubts = _doubts(run)
    told = f": {doubts[0]}{f', and {len(doubts) - 1} more' if doubts[1:] else ''}" if doubts else ""
    return [f"Whether users were harmed cannot be told{told}."]


def _broken(run: Run, during: Seen) -> list[str]:
    found = [f"{weakness.check}: {weakness.seen}".rstrip(".") for weakness in run.weaknesses]
    found = found or [f"{check.name} left its tolerance" for check in run.checks if check.verdict == "broken"]
    many = "A weakness was found" if len(found) < 2 else f"{len(found)} weaknesses were found, the first"
    harmed = [f"Of users' requests {part(during.failed, during.requests)} failed."] if during.failed else []
    return [f"{many}{''.join(f': {first}' for first in found[:1])}.", *harmed]


def _held(run: Run, during: Seen) -> str:
    if not during.requests:
        return f"All {count(len(run.checks), 'check')} stayed within tolerance."
    if during.failed:
        failed = part(during.failed, during.requests)
        return f"Users were served within tolerance: {failed} of their requests failed while the faults were in place."
    tries = f", {count(during.retried)} ({percent(during.retried / during.requests)}) of them at another try"
    answered = f"all {count(during.requests, 'request')} made while the faults were in place were answered"
    return f"Users did not notice: {answered}{tries if during.retried else ''}."


def _doubts(run: Run) -> list[str]:
    """Why the verdict is unknown: the run's own reasons, else what its parts show."""
    told = _given(run, "unknown") + (_given(run, "completed") if run.outcome == "completed" else [])
    return told or list(_shown_doubts(run))


def _shown_doubts(run: Run) -> Iterator[str]:
    if not run.injected:
        yield "nothing was broken"
    for fault in not_proven(run):
        yield f"{fault.name} is not proven to have been there"
    for fault in not_felt(run):
        yield _unfelt(run, fault)
    yield from (f"{check.name} could not be judged" for check in run.checks if check.verdict == "unknown")


def _unfelt(run: Run, fault: Fault) -> str:
    if fault.exposure is None:
        return f"{fault.name}: it is not known whether anybody met it"
    return f"{fault.name} was not felt" if run.figures.counter else f"{fault.name} was met by no user's request"


def not_proven(run: Run) -> list[Fault]:
    """Faults that went in without evidence of being there."""
    return [fault for fault in run.injected if fault.proven is not True]


def not_felt(run: Run) -> list[Fault]:
    """Faults that no user's request met, or nobody counted whether one did, unless the experiment assumes that."""
    return [] if run.exposure_assumed else [fault for fault in run.injected if not fault.exposure]


def facts(run: Run) -> list[str]:
    """Outcome, recovery, checks, faults: a few words each."""
    found = [run.outcome, *([] if word(run) == run.verdict.upper() else [f"verdict {run.verdict}"])]
    found.append(f"recovery {run.recovery}")
    if run.checks:
        held = sum(check.verdict == "held" for check in run.checks)
        found.append(f"{held} of {count(len(run.checks), 'check')} held")
    if run.injected:
        sure = len(set(map(id, run.injected)) - set(map(id, not_proven(run) + not_felt(run))))
        undone = sum(fault.state == "undone" for fault in run.injected)
        felt = "proven" if run.exposure_assumed else "proven and felt"
        found.append(f"{sure} of {count(len(run.injected), 'fault')} {felt}, {undone} undone")
    return found


def to_look_at(run: Run, users: Users) -> list[str]:
    """What an engineer should do next, most pressing first."""
    found = [f"{fault.name} is {fault.state}: run {mend(fault)}" for fault in run.stuck]
    for weakness in run.weaknesses:
        if weakness.hint:
            found.append(f"{weakness.check}: {weakness.hint}")
    for fault in not_proven(run):
        found.append(f"{fault.name}: not proven to have been there; was it up before, and can it be seen from outside?")
    unfelt = [fault for fault in not_felt(run) if fault.proven]
    if unmet := [fault.name for fault in unfelt if fault.exposure is not None]:
        seen = "the counter of `exposure` did not grow" if run.figures.counter else "met by no user's request"
        found.append(f"{listed(unmet, 3)}: {seen}; choose a target in use, or run longer")
    if uncounted := [fault.name for fault in unfelt if fault.exposure is None]:
        found.append(f"{listed(uncounted, 3)}: who met it is not known, as the count is missing; run it again")
    for check in run.checks:
        if check.verdict == "unknown":
            silent = f", {check.silent} of them without an answer" if check.silent else ""
            found.append(f"{check.name}: could not be judged from {count(check.readings, 'reading')}{silent}")
    return found + list(_near_misses(users))


def mend(fault: Fault) -> str:
    """The command that puts a fault back."""
    return f"'{fault.mend or 'simian recover'}'"


def _near_misses(users: Users) -> Iterator[str]:
    """Users were served, but only just."""
    for home, seen in users.homes.items():
        before, during = seen["before"], seen["during"]
        share = during.retried / during.requests if during.requests else 0.0
        if share > MUCH_RETRIED:
            yield f"{home}: {percent(share)} of requests needed another try; have the tries left room for more?"
        if before.p99_ms and during.p99_ms and during.p99_ms > MUCH_SLOWER * before.p99_ms:
            slower = f"{milliseconds(before.p99_ms)} to {milliseconds(during.p99_ms)}"
            yield f"{home}: the slowest 1 % of requests went from {slower}; where is the time spent?"
