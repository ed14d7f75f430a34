"""The verdict as JUnit's XML, for whatever shows tests: a case for the run, each check and each fault.

Broken is a failure; unknown, aborted, crashed and stuck are errors, as a test that could not tell; a leashed run is
skipped, and so are faults that were planned only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr  # nosec B406  # writes, and reads nothing

from simian.report.model import Check, Fault, Run
from simian.report.story import again, story
from simian.report.words import measured

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


@dataclass(frozen=True, slots=True)
class Case:
    """One test case. ``end``: empty (it held), failure, error or skipped, with its ``why``."""

    group: str
    name: str
    end: str = ""
    why: str = ""
    more: str = ""
    seconds: float = 0.0


def junit(run: Run) -> str:
    """One document, with a last newline."""
    cases = [_verdict(run), _recovery(run), *map(_check, run.checks), *(_fault(run, fault) for fault in run.faults)]
    told, took = story(run), f'time="{_took(run):.3f}"'
    count = {end: sum(case.end == end for case in cases) for end in ("failure", "error", "skipped")}
    totals = (
        f'tests="{len(cases)}" failures="{count["failure"]}" errors="{count["error"]}" skipped="{count["skipped"]}"'
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="simian" {totals} {took}>',
        f"  <testsuite name={_attribute(told.title)} {totals} {took}{_at(run)}>",
        "    <properties>",
        *(f"      <property name={_attribute(name)} value={_attribute(value)}/>" for name, value in _facts(run)),
        "    </properties>",
        *(line for case in cases for line in _case(run, case)),
        f"    <system-out>{_text(f'{told.word} {told.why}')}</system-out>",
        "  </testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _took(run: Run) -> float:
    return run.ended - run.started if run.started is not None and run.ended is not None else 0.0


def _at(run: Run) -> str:
    if run.started is None:
        return ""
    return f' timestamp="{datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds")}"'


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    for name in ("run", "outcome", "verdict", "recovery", "system", "topology_hash", "plan_hash", "simian"):
        if getattr(run, name):
            yield name, getattr(run, name)
    if run.seed is not None:
        yield "seed", str(run.seed)
    yield "again", again(run)


def _verdict(run: Run) -> Case:
    told = story(run)
    name = run.hypothesis or f"{run.what}: users are served"
    more = "\n".join(run.reasons)
    if told.word == "LEASHED":
        return Case("run", name, "skipped", told.why, more)
    end = {"held": "", "broken": "failure"}.get(run.verdict, "error")
    end = "error" if run.outcome != "completed" and not end else end
    return Case("run", name, end, told.why, more, _took(run))


def _recovery(run: Run) -> Case:
    name = "everything is put back"
    if run.recovery == "clean":
        return Case("run", name, "" if run.injected else "skipped", "nothing was broken")
    stuck = [f"{fault.name} is {fault.state}: {fault.error or 'it could not be undone'}" for fault in run.stuck]
    return Case("run", name, "error", "; ".join(stuck) or "recovery is stuck", "simian recover")


def _check(check: Check) -> Case:
    values = [f"{when} {measured(getattr(check, when), check.tolerance)}" for when in ("baseline", "during", "after")]
    seen = f"must be {check.tolerance}: {', '.join(values)}, of {check.readings} readings"
    end = {"held": "", "broken": "failure"}.get(check.verdict, "error")
    return Case("steady state", check.name, end, seen)


def _fault(run: Run, fault: Fault) -> Case:
    name = f"{fault.name} (#{fault.id}) was there, was felt, was undone"
    if fault not in run.injected:
        return Case("faults", name, "skipped", "it was not injected")
    doubts = [] if fault.proven else [f"not proven: {fault.seen or 'no evidence was taken'}"]
    if not fault.exposure and not run.exposure_assumed:
        known = fault.exposure is not None
        doubts.append("no user's request met it" if known else "it is not known whether a user's request met it")
    if fault.state != "undone":
        doubts.append(f"it is {fault.state}: {fault.error}")
    return Case(
        "faults", name, "error" if doubts else "", "; ".join(doubts), fault.before and f"before: {fault.before}"
    )


def _case(run: Run, case: Case) -> Iterator[str]:
    group = f"simian.{run.monkey or 'experiment'}.{case.group}"
    head = f'<testcase classname={_attribute(group)} name={_attribute(case.name)} time="{case.seconds:.3f}"'
    if not case.end:
        yield f"    {head}/>"
        return
    kind = "" if case.end == "skipped" else f" type={_attribute(case.group)}"
    yield f"    {head}>"
    yield f"      <{case.end} message={_attribute(case.why)}{kind}>{_text(case.more)}</{case.end}>"
    yield "    </testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("�", text))


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("�", text))
