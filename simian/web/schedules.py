"""The API's part about schedules: their rows are changed in the database, and the daemon is told to read them anew."""

import time
from typing import Any

from simian.errors import SimianError, UsageError
from simian.web.access import Visitor
from simian.web.failures import Missing
from simian.web.planned import made, previewed, told, with_next
from simian.web.routes import Call, Route
from simian.web.shapes import AuditWanted, Nothing, PreviewWanted, ScheduleAsked
from simian.web.tools import Tools

_ONE = {"type": "object", "required": ["name", "when", "next"]}
_COMING = {"type": "object", "required": ["topology_hash", "coming", "more"]}
_MANY = {"type": "object", "required": ["schedules"]}


async def row(tools: Tools, name: str) -> Any:
    """The schedule of that name. Raises Missing."""
    try:
        return await tools.books.schedules(lambda store: store.get(name))
    except UsageError as error:
        raise Missing(str(error)) from error


async def shown(tools: Tools, name: str) -> Any:
    """The same, with when it is due next."""
    return with_next(await row(tools, name), tools.settings.calendar, time.time())


async def all_of(tools: Tools) -> list[Any]:
    """All, each with when it is due next."""
    calendar, now = tools.settings.calendar, time.time()
    return await tools.books.schedules(lambda store: [with_next(each, calendar, now) for each in store.all()])


async def add(tools: Tools, visitor: Visitor, asked: dict[str, Any]) -> Any:
    """One more. Raises UsageError."""
    kept = made(asked, visitor, tools.settings.calendar, time.time())
    await tools.books.schedules(lambda store: store.add(kept))
    await _changed(tools, visitor, "schedule add", {"name": kept["name"], "schedule": kept})
    return await shown(tools, kept["name"])


async def pause(tools: Tools, visitor: Visitor, name: str, paused: bool) -> Any:
    """Let its due times pass, or no longer. Raises Missing."""
    await row(tools, name)
    await tools.books.schedules(lambda store: store.change(name, {"paused": paused}))
    await _changed(tools, visitor, "schedule pause" if paused else "schedule resume", {"name": name})
    return await shown(tools, name)


async def remove(tools: Tools, visitor: Visitor, name: str) -> Any:
    """Take it away. Raises Missing."""
    await row(tools, name)
    await tools.books.schedules(lambda store: store.remove(name))
    await _changed(tools, visitor, "schedule remove", {"name": name})
    return {"removed": name}


async def run_now(tools: Tools, visitor: Visitor, name: str) -> Any:
    """A run as it would be at the next due time, with a die of its own. Raises Missing, Refused."""
    kept = await row(tools, name)
    asked = {key: kept[key] for key in ("monkey", "experiment", "options", "for_s")}
    note = f"schedule {name}, run by hand"
    return await tools.change(visitor, "start", name, seed=None, note=note, leashed=False, **asked)


async def _changed(tools: Tools, visitor: Visitor, what: str, detail: dict[str, Any]) -> None:
    """The row is kept already: a daemon that is away reads it when it comes."""
    await tools.note(visitor, what, detail)
    try:
        await tools.daemon.ask("schedules-changed", by=visitor.who)
    except SimianError:
        return


# --- as routes


async def _all(call: Call) -> Any:
    return {"schedules": await all_of(call.tools), "zone": zone_of(call.tools)}


def zone_of(tools: Tools) -> str:
    """That of schedules which name none."""
    return str((tools.settings.calendar or {}).get("zone") or "UTC")


async def _add(call: Call) -> Any:
    return await add(call.tools, call.visitor, call.body.model_dump())


async def _get(call: Call) -> Any:
    return await shown(call.tools, call.path["name"])


async def _dues(call: Call) -> Any:
    name = call.path["name"]
    found = await call.tools.books.schedules(lambda store: store.dues(name, limit=100))
    return {"dues": [due.to_json() for due in found]}


async def _pause(call: Call) -> Any:
    return await pause(call.tools, call.visitor, call.path["name"], True)


async def _resume(call: Call) -> Any:
    return await pause(call.tools, call.visitor, call.path["name"], False)


async def _remove(call: Call) -> Any:
    return await remove(call.tools, call.visitor, call.path["name"])


async def _run(call: Call) -> Any:
    async def begin() -> Any:
        return await run_now(call.tools, call.visitor, call.path["name"])

    key = call.request.headers.get("idempotency-key")
    return await call.tools.once(call.visitor.who, key, ["schedule", call.path["name"]], begin)


async def _coming(call: Call) -> Any:
    wanted, calendar, now = call.query, call.tools.settings.calendar, time.time()
    found, more = await call.tools.books.schedules(
        lambda store: previewed(store.all(), calendar, now, wanted.days, wanted.seed)
    )
    return {"coming": [told(each) for each in found], "more": more}


async def _preview(call: Call) -> Any:
    return await call.tools.daemon.ask("preview", by=call.visitor.who, **call.query.model_dump())


async def _audit(call: Call) -> Any:
    wanted = call.query
    rows = await call.tools.books.schedules(lambda store: store.notes(before=wanted.before, limit=wanted.limit))
    return {"audit": rows}


ROUTES: list[Route] = [
    Route("GET", "/schedules", _all, "Every schedule, with when it is due next", answer=_MANY),
    Route("POST", "/schedules", _add, "One more schedule", "operator", 201, body=ScheduleAsked, answer=_ONE),
    Route("GET", "/schedules/{name}", _get, "One schedule", answer=_ONE),
    Route("DELETE", "/schedules/{name}", _remove, "Take it away; what became of its due times is kept", "operator"),
    Route("GET", "/schedules/{name}/dues", _dues, "What became of its due times, newest first"),
    Route("POST", "/schedules/{name}/pause", _pause, "Let its due times pass", "operator", body=Nothing, answer=_ONE),
    Route("POST", "/schedules/{name}/resume", _resume, "Go on with it", "operator", body=Nothing, answer=_ONE),
    Route("POST", "/schedules/{name}/run", _run, "Run it now", "operator", 202, body=Nothing, once=True),
    Route(
        "GET", "/coming", _coming, "What will be due, with which die, and what stands against it", query=PreviewWanted
    ),
    Route(
        "GET",
        "/preview",
        _preview,
        "The same, each run planned in the topology as it is now",
        query=PreviewWanted,
        answer=_COMING,
    ),
    Route("GET", "/audit", _audit, "Who changed what, from where; newest first", "operator", query=AuditWanted),
]
