"""The API: what may be asked for, as one table, and who answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from simian.errors import UsageError
from simian.report import render, render_comparison
from simian.report.json import json as whole_json
from simian.web.failures import TooMany
from simian.web.hub import MOST_WATCHERS
from simian.web.pages.rated import RATED_DAYS, days_ago
from simian.web.routes import Call, Route
from simian.web.runs import end_of, is_name, record_of, running, week_before
from simian.web.shapes import (
    AbortAsked,
    CompareWanted,
    EventsWanted,
    HaltAsked,
    Nothing,
    PlanAsked,
    RatesWanted,
    ReportWanted,
    RunAsked,
    RunsWanted,
)

COLUMNS = ("run", "monkey", "started", "outcome", "verdict", "recovery", "seed")
OBJECT: dict[str, Any] = {"type": "object"}
_RUN_STARTED = {"type": "object", "required": ["run"], "properties": {"run": {"type": "string"}}}
_HALTED = {"type": "object", "required": ["halted"], "properties": {"halted": {"type": ["string", "null"]}}}
_BEFORE = {"type": "object", "required": ["before"], "properties": {"before": {"type": ["object", "null"]}}}
_RUNS = {
    "type": "object",
    "required": ["runs", "next"],
    "properties": {"runs": {"type": "array", "items": OBJECT}, "next": {"type": ["string", "null"]}},
}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": OBJECT}}}


async def _status(call: Call) -> Any:
    return await call.tools.daemon.ask("status")


async def _topology(call: Call) -> Any:
    return await call.tools.seen("topology")


async def _traffic(call: Call) -> Any:
    return await call.tools.seen("traffic")


async def _monkeys(call: Call) -> Any:
    return {"monkeys": await call.tools.seen("monkeys"), "broken": await call.tools.seen("broken")}


async def _experiments(call: Call) -> Any:
    return {"experiments": await call.tools.seen("experiments")}


async def _plan(call: Call) -> Any:
    return await call.tools.daemon.ask("plan", by=call.visitor.who, **call.body.model_dump())


async def _runs(call: Call) -> Any:
    wanted = call.query.model_dump()
    rows, following = await call.tools.books.look(lambda history: history.page(**wanted))
    return {"runs": [{name: row[name] for name in COLUMNS} for row in rows], "next": following}


async def _start(call: Call) -> Any:
    asked = call.body.model_dump()

    async def begin() -> Any:
        return await call.tools.change(call.visitor, "start", **asked)

    return await call.tools.once(call.visitor.who, call.request.headers.get("idempotency-key"), asked, begin)


async def _run(call: Call) -> Any:
    record = await record_of(call.tools, call.path["run"])
    return json.loads(whole_json(record))  # every key of the contract, and nothing that JSON has not


async def _report(call: Call) -> Response:
    record = await record_of(call.tools, call.path["run"])
    kind = call.query.format
    before = None if kind == "json" else await week_before(call.tools, record)
    text = await asyncio.to_thread(lambda: render(record, kind, before=before))
    name = record["run"] if is_name(str(record["run"])) else "run"
    types = {"json": "application/json", "md": "text/markdown", "junit": "application/xml", "html": "text/html"}
    # A page of its own has a style of its own, which our policy forbids: it is to be kept, not shown here.
    kept = {"Content-Disposition": f'attachment; filename="{name}.html"'} if kind == "html" else {}
    return PlainTextResponse(text, media_type=types.get(kind, "text/plain"), headers=kept)


async def _week_before(call: Call) -> Any:
    before = await week_before(call.tools, await record_of(call.tools, call.path["run"]))
    return {"before": None if before is None else json.loads(whole_json(before, ()))}


async def _compare(call: Call) -> Any:
    first, second = [await record_of(call.tools, name) for name in (call.query.first, call.query.second)]
    return json.loads(await asyncio.to_thread(render_comparison, first, second, "json"))


async def _abort(call: Call) -> Any:
    name = await running(call.tools, call.path["run"])
    return await call.tools.change(call.visitor, "abort", name, run=name, reason=call.body.reason)


async def _halt(call: Call) -> Any:
    return await call.tools.change(call.visitor, "halt", reason=call.body.reason)


async def _resume(call: Call) -> Any:
    return await call.tools.change(call.visitor, "resume")


async def _rates(call: Call) -> Any:
    since = call.query.since or days_ago(RATED_DAYS)
    experiment = call.query.experiment or ""
    found = await call.tools.books.look(lambda history: history.rates(since, experiment=experiment))
    return {"rates": [{**rate._asdict(), "share": rate.share} for rate in found]}


async def _worse(call: Call) -> Any:
    return {"worse": [each._asdict() for each in await call.tools.books.look(lambda history: history.worse())]}


async def _events(call: Call) -> Response:
    hub = call.tools.hub
    if hub.full():
        raise TooMany(f"{MOST_WATCHERS} watch already; close a page that is not looked at", 5.0)
    after = call.query.after if call.query.after is not None else _last_event(call)
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(hub.watch(after), call.query.run), media_type="text/event-stream", headers=headers)


def _last_event(call: Call) -> int | None:
    """What a browser sends by itself when it comes again."""
    given = call.request.headers.get("last-event-id", "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 17):
        raise UsageError("Last-Event-ID is the number of an event; leave it out for those to come")
    return int(given) if given else None


async def _stream(found: AsyncIterator[dict[str, Any] | None], run: str | None = None) -> AsyncIterator[str]:
    """``run``: its events, and that the daemon is lost; of others only that something was heard."""
    yield "retry: 1000\n\n"
    async for event in found:
        if event is None:
            yield ": alive\n\n"
            continue
        if run is not None and event.get("event") != "lost" and event.get("run") != run:
            yield ": of another\n\n"
            continue
        number = f"id: {int(event['n'])}\n" if "n" in event else ""
        yield f"{number}data: {json.dumps(event)}\n\n"


async def _series(call: Call) -> Any:
    from simian.report.model import read
    from simian.web.series import series_of

    record = await record_of(call.tools, call.path["run"])
    return await asyncio.to_thread(lambda: series_of(read(record)))


async def _now(call: Call) -> Any:
    """What a page that is opened now has missed: the last seconds of traffic."""
    seconds = call.tools.hub.traffic.seconds
    return {"traffic": [{"at": at, **seconds[at]} for at in sorted(seconds)], "lost": call.tools.hub.lost or None}


async def _ended(call: Call) -> Response:
    """The exit code that the command line would have had, for programs that wait."""
    return JSONResponse(await end_of(call.tools, call.path["run"]))


ROUTES: list[Route] = [
    Route("GET", "/status", _status, "Runs now, faults in place, what is next, whether halted"),
    Route("GET", "/topology", _topology, "Regions, zones, nodes and links as seen now"),
    Route("GET", "/traffic", _traffic, "Where users go, by region"),
    Route("GET", "/traffic/lately", _now, "What each region served in the last three minutes, while runs went on"),
    Route("GET", "/monkeys", _monkeys, "Every monkey, with its radius and options", answer=_list_of("monkeys")),
    Route("GET", "/experiments", _experiments, "Every experiment", answer=_list_of("experiments")),
    Route("POST", "/plan", _plan, "What a run would do; nothing is touched", body=PlanAsked),
    Route("GET", "/runs", _runs, "Past runs, newest first", query=RunsWanted, answer=_RUNS),
    Route("POST", "/runs", _start, "Start a run", "operator", 202, body=RunAsked, answer=_RUN_STARTED, once=True),
    Route("GET", "/runs/{run}", _run, "The record of a run, as far as it has gone"),
    Route("GET", "/runs/{run}/end", _ended, "Whether it has ended, and how"),
    Route("GET", "/runs/{run}/series", _series, "What its charts show"),
    Route("GET", "/runs/{run}/week-before", _week_before, "Traffic of a run a week before, for its report; or null",
          answer=_BEFORE),
    Route("GET", "/runs/{run}/report", _report, "Its report", query=ReportWanted, answer={}, kind="*/*"),
    Route("POST", "/runs/{run}/abort", _abort, "End it now; all is undone", "operator", 202, body=AbortAsked,
          answer=_RUN_STARTED),
    Route("POST", "/halt", _halt, "End every run and forbid new ones", "operator", body=HaltAsked, answer=_HALTED),
    Route("POST", "/resume", _resume, "Allow runs again", "operator", body=Nothing, answer=_HALTED),
    Route("GET", "/compare", _compare, "Two runs, the second beside the first", query=CompareWanted),
    Route("GET", "/rates", _rates, "How runs ended, by day and monkey", query=RatesWanted, answer=_list_of("rates")),
    Route("GET", "/worse", _worse, "Experiments that held once and broke since", answer=_list_of("worse")),
    Route("GET", "/events", _events, "What happens, as it happens", query=EventsWanted, answer={"type": "string"},
          kind="text/event-stream"),
]  # fmt: skip
