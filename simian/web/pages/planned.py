"""Schedules: the weeks to come, and a page for each; add, pause, resume, run now, remove. And the audit."""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from simian.errors import SimianError, UsageError
from simian.schedule.when import moment_of, text_of, zone_named
from simian.web import schedules
from simian.web.failures import Missing
from simian.web.pages.frame import Page, goto
from simian.web.pages.options import given_options, proposed
from simian.web.planned import DAY_S, WEEKS, previewed, weeks, with_next
from simian.web.shapes import ScheduleAsked, checked

_EVERY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|d)\s*")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
_CHANCE = re.compile(r"\s*(?:mean\s+)?(\d+(?:\.\d+)?)\s*d?\s*")


async def show(page: Page) -> Response:
    """The list, and a calendar of the coming weeks."""
    calendar, now = page.tools.settings.calendar, time.time()

    def look(store: Any) -> tuple[list[Any], Any, bool]:
        rows = store.all()
        found, more = previewed(rows, calendar, now, WEEKS * 7)
        return [with_next(row, calendar, now) for row in rows], weeks(found, calendar, now), more

    rows, (zone, table), more = await page.tools.books.schedules(look)
    told = [{**row, "told": told_when(row["when"])} for row in rows]
    chosen = await _to_choose(page)
    return page.show("schedules.html", rows=told, zone=zone, weeks=table, more=more, **chosen)


async def _to_choose(page: Page) -> dict[str, Any]:
    """Monkeys with their options, and experiments; none where the daemon is away."""
    chosen = {"chosen": page.query.get("what", ""), "monkeys": [], "experiments": [], "proposed": {}}
    try:
        seen = {kind: await page.tools.seen(kind) for kind in ("monkeys", "experiments")}
        return {**chosen, **seen, "proposed": await proposed(page.tools)}
    except SimianError:
        return chosen


async def one(page: Page) -> Response:
    """One of them, what became of its due times, and what is to come."""
    name, calendar, now = page.path["name"], page.tools.settings.calendar, time.time()
    row = await schedules.shown(page.tools, name)
    dues = await page.tools.books.schedules(lambda store: store.dues(name, limit=30))
    found, _ = previewed([row], calendar, now, WEEKS * 7)
    values = {"row": row, "told": told_when(row["when"]), "dues": [due.to_json() for due in dues]}
    return page.show("schedule.html", **values, coming=found[:20])


async def add(page: Page) -> Response:
    """What was written in the form."""
    asked = _asked(page.form, str((page.tools.settings.calendar or {}).get("zone") or "UTC"))
    if "monkey" in asked:
        asked["options"] = _options(page.form, asked["monkey"], await page.tools.seen("monkeys"))
    checked(ScheduleAsked, asked)
    row = await schedules.add(page.tools, page.visitor, asked)
    return goto(f"/schedules/{row['name']}", page.request)


async def change(page: Page) -> Response:
    """``pause``, ``resume``, ``run``, ``remove``."""
    name, tools, visitor = page.path["name"], page.tools, page.visitor
    match page.path["what"]:
        case "pause" | "resume" as what:
            await schedules.pause(tools, visitor, name, what == "pause")
        case "remove":
            await schedules.remove(tools, visitor, name)
            return goto("/schedules", page.request)
        case "run":
            answer = await schedules.run_now(tools, visitor, name)
            return goto(f"/runs/{answer['run']}", page.request)
        case _:
            raise Missing("a schedule can be paused, resumed, run and removed")
    return goto(f"/schedules/{name}", page.request)


async def audit(page: Page) -> Response:
    """Who changed what."""
    before = page.query.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() else None
    rows = await page.tools.books.schedules(lambda store: store.notes(before=number, limit=100))
    return page.show("audit.html", rows=rows)


def _asked(form: Mapping[str, str], zone: str) -> dict[str, Any]:
    """Of the form's texts what the API takes. Raises UsageError."""
    what, _, name = form.get("what", "").partition(":")
    if what not in ("monkey", "experiment"):
        raise UsageError("choose what is to run: a monkey or an experiment")
    asked: dict[str, Any] = {what: name, "name": form.get("name", "").strip(), "note": form.get("note", "").strip()}
    asked["zone"] = form.get("zone", "").strip() or zone
    if form.get("for_s", "").strip():
        asked["for_s"] = _number(form["for_s"], "for")
    asked["when"] = _when(form.get("kind", ""), form.get("when", "").strip(), asked["zone"])
    return asked


def _options(form: Mapping[str, str], chosen: str, monkeys: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the monkey that was chosen. Without a script a form has those of all: one that is another's is a mistake."""
    problems: list[str] = []
    given = {
        str(monkey["name"]): given_options(monkey["options"], form, f"option.{monkey['name']}.", problems)
        for monkey in monkeys
    }
    for name, options in given.items():
        if options and name != chosen:
            problems.append(f"{', '.join(options)}: of {name}, and {chosen} was chosen; clear it, or choose {name}")
    if problems:
        raise UsageError(problems)
    return given.get(chosen, {})


def _when(kind: str, text: str, zone: str) -> dict[str, Any]:
    if kind == "cron":
        return {"cron": text}
    if kind == "at":
        return {"at": text_of(moment_of(text, zone_named(zone)))}
    if kind == "every" and (found := _EVERY.fullmatch(text)):
        return {"every_s": float(found[1]) * _SECONDS[found[2]]}
    if kind == "chance" and (found := _CHANCE.fullmatch(text)):
        return {"chance": {"mean_days": float(found[1]), "min_days": 1}}
    right = {"every": "30m, 6h or 2d", "chance": "2d: the mean, in work days"}.get(kind, "cron, every, chance or at")
    raise UsageError(f"when: {text[:60]!r} cannot be read; right would be {right}")


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{name}: {text[:40]!r} is no number of seconds") from error


def told_when(when: Mapping[str, Any]) -> str:
    """``when`` in a few words."""
    if "cron" in when:
        return f"cron {when['cron']}"
    if "every_s" in when:
        unit = next((unit for unit in ("d", "h", "m") if when["every_s"] % _SECONDS[unit] == 0), "s")
        return f"every {when['every_s'] / _SECONDS[unit]:g} {unit}"
    if "at" in when:
        return f"once, {str(when['at'])[:16]}Z"
    return f"by chance, every {when['chance']['mean_days']:g} work days on average"
