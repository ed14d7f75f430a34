"""``simian schedule add MONKEY|EXPERIMENT``: a monkey's own options as on its own command, and when it is to run.

Where a monkey has an option that every schedule has, too (gorilla's zone), the schedule's is ``--schedule-NAME``.
"""

import inspect
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import typer

from simian.cli.defaults import Group
from simian.cli.globals import Globals
from simian.cli.monkey import parameters, split_doc
from simian.cli.options import GREATEST_SEED, option, seconds
from simian.errors import UsageError

APART = "schedule_"
CALENDAR = ("hours", "days", "holidays", "closed", "freezes")
SENT = {
    "name", "monkey", "experiment", "options", "for_s", "when", "zone", "calendar", "misfire", "grace_s", "jitter_s",
    "overlap", "expires", "note", "seed",
}  # fmt: skip


class ScheduleOption(NamedTuple):
    """An option of every schedule."""

    name: str
    kind: Any
    default: Any
    text: str
    more: Mapping[str, Any] = MappingProxyType({})

    def beside(self, taken: Collection[str]) -> inspect.Parameter:
        """As a command has it; where the monkey's own options have its name, it is ``--schedule-NAME``."""
        name = f"{APART}{self.name}" if self.name in taken else self.name
        return option(name, f"--{name.rstrip('_').replace('_', '-')}", self.kind, self.default, self.text, **self.more)


WHEN = [
    ScheduleOption("cron", str | None, None, 'Minute, hour, day, month, weekday: "0 10 * * tue".'),
    ScheduleOption("every", str | None, None, "An interval: 30m, 6h, 2d."),
    ScheduleOption("chance", str | None, None, 'By chance, in work days: "mean 2d, min 1d".'),
    ScheduleOption("at", str | None, None, "Once: 2026-12-01T10:00, in its time zone."),
    ScheduleOption("name", str | None, None, "Its name. [default: that of what runs, and a number]"),
    ScheduleOption("zone", str | None, None, "IANA time zone. [default: that of simian.yaml's calendar, else UTC]"),
    ScheduleOption("hours", str | None, None, "Opening hours of its own: 09:00-12:00,13:00-15:00."),
    ScheduleOption("days", str | None, None, "Work days of its own: mon-fri."),
    ScheduleOption("holidays", str | None, None, "Holidays of its own: DE-BY."),
    ScheduleOption("closed", list[str], [], "A closed day or FIRST..LAST; may be given again."),
    ScheduleOption("freezes", str | None, None, "An iCalendar file of times when it must not run."),
    ScheduleOption("misfire", str, "skip", "What was slept through: skip, or run late within the grace."),
    ScheduleOption("grace", str, "10m", "How late a run may be."),
    ScheduleOption("jitter", str, "0s", "Start up to so much later; the die decides."),
    ScheduleOption("overlap", str, "skip", "While its last run goes on: skip, or queue."),
    ScheduleOption("expires", str | None, None, "No more from then on: 2027-01-01."),
    ScheduleOption("owner", str | None, None, "Whom to ask. [default: you]"),
    ScheduleOption("note", str, "", "Why, say."),
    ScheduleOption("seed", int | None, None, "Of its dice. [default: drawn]", {"min": 0, "max": GREATEST_SEED}),
    ScheduleOption("for_", str | None, None, "How long the faults stay in each run. [default: 30s]"),
]


class Targets(Group):
    """Every monkey and experiment is a command of its own, with the monkey's options."""

    def list_commands(self, ctx: Any) -> list[str]:
        """None is named: looking for monkeys takes long."""
        return []

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command that schedules this monkey, or else this experiment."""
        from simian.cli.context import found_monkeys

        settings = ctx.obj or Globals()
        monkeys = found_monkeys(settings).monkeys
        own = parameters(monkeys[cmd_name]) if cmd_name in monkeys else []
        what = {"monkey": cmd_name} if cmd_name in monkeys else {"experiment": _experiment(cmd_name, settings)}
        text = split_doc(monkeys[cmd_name].doc)[0] if own or cmd_name in monkeys else f"Schedule experiment {cmd_name}."
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cmd_name)(_function(what, own, text, settings))
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command


def _function(what: dict[str, str], own: list[inspect.Parameter], text: str, settings: Globals) -> Callable[..., int]:
    names = [parameter.name for parameter in own]
    free = [one.beside(names) for one in WHEN]

    def command(**given: Any) -> int:
        options = {name: value for name in names if (value := given.pop(name)) is not None and value != []}
        return add(what, options, {name.removeprefix(APART): value for name, value in given.items()}, settings)

    command.__doc__ = text
    command.__signature__ = inspect.Signature([*own, *free])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *free]} | {"return": int}
    return command


def add(what: dict[str, str], options: dict[str, Any], given: Mapping[str, Any], settings: Globals) -> int:
    """Check everything that a run would be refused for at once, and write the row. Returns the exit code."""
    from simian.cli.output import print_json
    from simian.cli.schedule_rows import local_time

    row = _add_there(what, options, given, settings) if settings.server else _add_here(what, options, given, settings)
    if settings.json:
        print_json({"schedule": row})
    elif not settings.quiet:
        following = local_time(row["next"], row["zone"]) or "none within a year, by its hours and the system's"
        print(f"schedule {row['name']}: next {following}; simian serve runs what is due")
    return 0


def _add_here(what: dict[str, str], options: dict[str, Any], given: Mapping[str, Any], settings: Globals) -> Any:
    from simian.cli.context import load_system
    from simian.cli.schedule_rows import note_change, rows, wake_daemon, with_next
    from simian.cli.start import request_for

    system = load_system(settings)
    with rows(system) as store:
        names = {row["name"] for row in store.all()}
        schedule = made({**what, "options": options}, given, system.config.opening_hours(), names, system.clock.now())
        request_for(system, schedule, seed=0)
        store.add(schedule.to_json())
        note_change(system, store, "add", schedule.name)
    wake_daemon(system)
    return with_next(system, schedule.to_json())


def _add_there(what: dict[str, str], options: dict[str, Any], given: Mapping[str, Any], settings: Globals) -> Any:
    """The daemon has whose token it is as its owner, and takes no file of this machine."""
    import time

    from simian.cli.context import server_of

    for key, why in (("owner", "it is whose token is shown"), ("freezes", "it would be a file of this machine")):
        if given.get(key):
            raise UsageError(f"--{key} cannot be said to {settings.server}: {why}; leave it out")
    server = server_of(settings)
    if "experiment" in what:
        server.post("/plan", what)  # says at once what a run of it would be refused for
    there = server.get("/schedules")
    names, calendar = {row["name"] for row in there["schedules"]}, {"zone": there.get("zone") or "UTC"}
    schedule = made({**what, "options": options}, given, calendar, names, time.time())
    return server.post("/schedules", {key: value for key, value in schedule.to_json().items() if key in SENT})


def made(what: dict[str, Any], given: Mapping[str, Any], calendar: Any, names: set[str], now: float) -> Any:
    """The schedule of this line. Raises UsageError with every problem."""
    from simian.cli.schedule_rows import user
    from simian.schedule.row import Schedule
    from simian.schedule.when import moment_of, text_of, zone_named
    from simian.schedule.words import KINDS, span_s, when_words

    zone = given.get("zone") or str((calendar or {}).get("zone", "UTC"))
    home = zone_named(zone)
    own = {key: given[key] for key in CALENDAR if given.get(key)}
    seed = given.get("seed")
    return Schedule.from_json(
        {
            **what, "name": _name(given.get("name"), what, names), "zone": zone, "calendar": own or None,
            "when": when_words({kind: given.get(kind) for kind in KINDS}, home),
            "for_s": None if given.get("for_") is None else seconds(given["for_"], "--for"),
            "misfire": given["misfire"], "overlap": given["overlap"], "grace_s": span_s("--grace", given["grace"]),
            "jitter_s": span_s("--jitter", given["jitter"]),
            "expires": None if given.get("expires") is None else text_of(moment_of(given["expires"], home)),
            "owner": given.get("owner") or user(), "note": given.get("note", ""),
            "seed": secrets.randbits(32) if seed is None else seed, "made": text_of(now),
        }
    )  # fmt: skip


def _experiment(wanted: str, settings: Globals) -> str:
    """A file's whole path, as the daemon has another working folder; else the name as it is."""
    if settings.server:
        from simian.cli.server_run import experiment_there

        return experiment_there(wanted, settings)
    return str(Path(wanted).absolute()) if Path(wanted).is_file() else wanted


def _name(wanted: str | None, what: dict[str, Any], names: set[str]) -> str:
    if wanted is not None:
        if not wanted.strip() or len(wanted) > 200 or "\0" in wanted:
            raise UsageError(f"--name {wanted!r:.80} is no name; right would be a few words")
        return wanted
    of = what.get("monkey") or Path(str(what.get("experiment"))).stem
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", of)[:40].strip("-._") or "schedule"  # as the API would have it
    return next(name for n in range(1, len(names) + 2) if (name := f"{base}-{n}") not in names)
