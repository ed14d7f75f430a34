"""The verdict in one line, with why; and what is worth a look afterwards."""

from collections.abc import Iterator

from simian.report.model import Fault, Run
from simian.report.users import Seen, Users
from simian.report.words import count, listed, milliseconds, part, percent

MUCH_RETRIED = 0.01  # shares of requests that needed another try: worth saying though nobody failed
MUCH_SLOWER = 2.0  # times the p99 before


def word(run: Run) -> str:
    """``HELD``, ``BROKEN``, ``UNKNOWN`` or ``REFUSED``."""
    return (run.outcome if run.outcome == "refused" else run.verdict).upper()


def why(run: Run, users: Users) -> str:
    """One or two sentences a manager can read out."""
    if run.outcome == "refused":
        return f"Nothing was touched{_because(run)}"
    return " ".join(part for part in (_ending(run), _why_verdict(run, users)) if part)


def _ending(run: Run) -> str:
    """How the run ended, when it did not end by itself."""
    if run.outcome == "aborted":
        return f"Aborted{_because(run)}"
    if run.outcome == "crashed":
        left = "" if run.stuck else "; what it had broken was put back"
        return f"The run itself died{_because(run, end='')}{left}."
    return ""


def _because(run: Run, end: str = ".") -> str:
    reasons = _reasons(run)
    if not reasons:
        return end
    return f": {reasons[0]}{end}" if len(reasons) == 1 else f", for {len(reasons)} reasons{end}"


def _reasons(run: Run) -> list[str]:
    return [reason.removeprefix(f"{run.outcome}: ").rstrip(".") for reason in run.reasons]


def reasons(run: Run) -> list[str]:
    """Those that the one line has no room for."""
    return _reasons(run) if len(run.reasons) > 1 else []


def _why_verdict(run: Run, users: Users) -> str:
    if run.verdict == "broken":
        return _broken(run, users.all["during"])
    if run.verdict == "held":
        return _held(run, users.all["during"])
    doubts = list(_doubts(run))
    told = f": {'; '.join(doubts[:3])}" if doubts else ""
    return f"Whether users were harmed cannot be told{told}."


def _broken(run: Run, during: Seen) -> str:
    found = [f"{weakness.check}: {weakness.seen}".rstrip(".") for weakness in run.weaknesses]
    found = found or [f"{check.name} left its tolerance" for check in run.checks if check.verdict == "broken"]
    more = f", and {count(len(found) - 1, 'more weakness').replace('weaknesss', 'weaknesses')}" if found[1:] else ""
    harmed = f" {part(during.failed, during.requests)} requests of users failed." if during.failed else ""
    return f"A weakness was found. {''.join(found[:1])}{more}.{harmed}"


def _held(run: Run, during: Seen) -> str:
    if not during.requests:
        return f"All {count(len(run.checks), 'check')} stayed within tolerance."
    if during.failed:
        failed = part(during.failed, during.requests)
        return f"Users were served within tolerance: {failed} requests failed while the faults were in place."
    tries = f" {part(during.retried, during.requests)} needed another try." if during.retried else ""
    return f"Users did not notice: all {count(during.requests, 'request')} made meanwhile were answered.{tries}"


def _doubts(run: Run) -> Iterator[str]:
    """Why the verdict is unknown: the run's own reasons first, else what its parts show."""
    if run.outcome == "completed":
        yield from _reasons(run)
    unproven, unfelt = not_proven(run), not_felt(run)
    if not run.reasons and not run.injected:
        yield "nothing was broken"
    if not run.reasons and unproven:
        yield f"not proven to have been there: {listed([fault.name for fault in unproven], 3)}"
    if not run.reasons and unfelt:
        yield f"felt by nobody: {listed([fault.name for fault in unfelt], 3)}"
    if not run.reasons:
        yield from (f"{check.name} could not be judged" for check in run.checks if check.verdict == "unknown")


def not_proven(run: Run) -> list[Fault]:
    """Faults that went in without evidence of being there."""
    return [fault for fault in run.injected if fault.proven is not True]


def not_felt(run: Run) -> list[Fault]:
    """Faults that no user's request met, unless the experiment assumes that."""
    return [] if run.exposure_assumed else [fault for fault in run.injected if not fault.exposure]


def facts(run: Run) -> list[str]:
    """Outcome, recovery, checks, faults: a few words each."""
    found = [run.outcome, f"recovery {run.recovery}"]
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
        found.append(
            f"{fault.name}: not proven to have been there; was it up before, and can it be seen from outside?"
        )
    unfelt = [fault for fault in not_felt(run) if fault.proven]
    if unfelt:
        names = listed([fault.name for fault in unfelt], 3)
        found.append(f"{names}: met by no user's request; choose a target in use, or run longer")
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
