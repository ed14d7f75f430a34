"""What is told: one event and its message, in the words of the run's report.

Names come from the system, from files and from people: whatever in them would steer a terminal is made visible.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simian.report.clean import plain
from simian.report.model import read
from simian.report.story import story

ENDS = ("stuck", "aborted", "refused", "verdict")  # of one run, the gravest first
LONGEST = 1000
MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell. ``names``: what it is, the gravest first; a channel is told once, by the first that it wants.

    ``about`` tells it from all others: a run, or a schedule and its due time. ``message`` is JSON.
    """

    names: tuple[str, ...]
    about: str
    message: Mapping[str, Any]
    run: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "names": list(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Event":
        """The event again. Raises KeyError or TypeError when it is none."""
        return cls(tuple(data["names"]), str(data["about"]), dict(data["message"]), data.get("run"))


def started(*, run: str, system: str, monkey: str | None, experiment: str | None, at: str, **more: Any) -> Event:
    """A run has begun: its preflight found nothing against it. ``at``: ISO 8601. ``more``: seed, note, leashed, …"""
    what = plain(experiment or monkey or run)
    kept = _safe({"run": run, "system": system, "monkey": monkey, "experiment": experiment, "at": at, **more})
    sentence = f"STARTED: {what} on {plain(system)}, run {plain(run)}."
    return Event(("started",), run, _message(sentence, kept), run)


def ended(record: Mapping[str, Any], link: str | None = None) -> Event:
    """A run is over, told from its record as its report would. ``link``: where that report is, if anywhere."""
    run = read(record)
    told = story(run)
    names = [name for name in ENDS if _applies(name, record)]
    keys = ("run", "system", "monkey", "experiment", "seed", "note", "outcome", "verdict", "recovery")
    kept = _safe({key: record.get(key) for key in (*keys, "started", "ended")})
    more = {"reasons": _reasons(record.get("reasons") or ()), "alarm": _reasons(told.alarm), "report": link}
    sentence = f"{told.word}: {told.title}. {told.why}"
    return Event(tuple(names), run.run, _message(sentence, {**kept, "at": kept["ended"], **more}), run.run)


def _applies(name: str, record: Mapping[str, Any]) -> bool:
    outcome = record.get("outcome")
    if name == "stuck":
        return record.get("recovery") == "stuck"
    if name == "aborted":
        return outcome in ("aborted", "crashed")
    return (outcome == "refused") == (name == "refused")


def missed(*, system: str, schedule: str, due: str, reason: str) -> Event:
    """A due run of a schedule did not take place. ``due``: ISO 8601."""
    kept = _safe({"system": system, "schedule": schedule, "due": due, "at": due})
    sentence = f"MISSED: {plain(schedule)} on {plain(system)} was due {plain(due)}: {plain(reason)}."
    return Event(("missed",), f"{schedule} {due}", _message(sentence, {**kept, "reasons": _reasons([reason])}))


def refused(*, system: str, schedule: str, due: str, reasons: Sequence[str]) -> Event:
    """A due run of a schedule was refused before there was a run. ``due``: ISO 8601."""
    kept = _safe({"system": system, "schedule": schedule, "due": due, "at": due})
    first = plain(reasons[0]) if reasons else "no reason was given"
    sentence = f"REFUSED: {plain(schedule)} on {plain(system)}, due {plain(due)}: {first}."
    return Event(("refused",), f"{schedule} {due}", _message(sentence, {**kept, "reasons": _reasons(reasons)}))


def _message(sentence: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    return {"sentence": plain(sentence, LONGEST), **kept}


def _safe(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plain(value) if isinstance(value, str) else value for key, value in values.items()}


def _reasons(given: Sequence[str]) -> list[str]:
    return [plain(one) for one in given[:MOST_REASONS]]
