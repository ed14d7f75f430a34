"""One run: while it goes on, and its story afterwards; two runs side by side."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from simian.errors import Refused, UsageError
from simian.history.lately import Of
from simian.report.compare import compare as compare_runs
from simian.report.compared import compared
from simian.report.model import Run, read
from simian.report.story import again, story
from simian.report.words import epoch_s
from simian.web.failures import Missing
from simian.web.hub import Going
from simian.web.pages.frame import Page, goto
from simian.web.runs import is_name, record_of, running
from simian.web.tools import Tools

RUNNING = "running"
OTHERS = 20


async def show(page: Page) -> Response:
    """The page of a run."""
    return page.show("run.html", **await _told(page))


async def part(page: Page) -> Response:
    """What changes while it goes on."""
    return page.show("run_part.html", **await _told(page))


async def log(page: Page) -> Response:
    """Every reading that was not well, every note and moment, in order; not each of a million readings."""
    record = await record_of(page.tools, page.path["run"])
    return page.show("log.html", run=str(record["run"]), lines=await asyncio.to_thread(log_lines, record))


async def _told(page: Page) -> dict[str, Any]:
    record = await record_of(page.tools, page.path["run"])
    run = await asyncio.to_thread(read, record)
    told = await asyncio.to_thread(story, run)
    going = page.tools.hub.runs.get(run.run) or Going()
    phase = run.phases[-1].name if run.phases else going.phase
    is_going = run.outcome == RUNNING
    others = [] if is_going else await _others(page.tools, run)
    values = {"run": run, "story": told, "going": going, "is_going": is_going, "phase": phase, "again": again(run)}
    return {**values, "others": others, "before": next((each for each in others if each["older"]), None)}


async def _others(tools: Tools, run: Run) -> list[dict[str, Any]]:
    """The last runs of the same, newest first, to compare with; ``older``: before this one."""
    of: Of = "experiment" if run.experiment else "monkey"
    name = run.experiment or run.monkey
    if not name:
        return []
    found = await tools.books.look(lambda history: history.lately(of, [name], OTHERS))
    started = run.started or 0.0
    return [
        {**each, "older": (epoch_s(each["started"]) or 0.0) < started} for each in found[name] if each["run"] != run.run
    ]


async def abort(page: Page) -> Response:
    """End it now."""
    name = await running(page.tools, page.path["run"])
    reason = page.form.get("reason", "").strip() or f"aborted by {page.visitor.name} in the dashboard"
    await page.tools.change(page.visitor, "abort", name, run=name, reason=reason[:500])
    return goto(f"/runs/{name}", page.request)


async def replay(page: Page) -> Response:
    """The same again, the die included. Raises Refused where the same die would hit something else by now."""
    record = await record_of(page.tools, page.path["run"])
    asked: dict[str, Any] = {"monkey": None, "experiment": record.get("experiment"), "options": {}}
    if not asked["experiment"]:
        asked |= {"monkey": record.get("monkey"), "options": _given(record.get("options") or {})}
    asked |= {"seed": record.get("seed"), "for_s": record.get("for_s")}
    planned = (await page.tools.daemon.ask("plan", by=page.visitor.who, **asked))["plan"]
    if record.get("plan_hash") not in (None, planned["hash"]):
        raise Refused(
            "the system has changed: the same seed would hit something else than it did then; plan a new run instead"
        )
    note = f"replay of {record['run']}"
    answer = await page.tools.change(page.visitor, "start", note=note, leashed=False, **asked)
    return goto(f"/runs/{answer['run']}", page.request)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


async def compare(page: Page) -> Response:
    """Two runs, check by check."""
    names = [page.query.get("a", ""), page.query.get("b", "")]
    if not all(map(is_name, names)):
        raise UsageError("name two runs to compare: /compare?a=RUN&b=RUN")
    first, second = [read(await record_of(page.tools, name)) for name in names]
    if first.run == second.run:
        raise Missing(f"both are run {first.run}; name two")
    told = await asyncio.to_thread(lambda: compared(compare_runs(first, second)))
    return page.show("compare.html", story=told, runs=[first, second])


def log_lines(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``{"at", "kind", "text"}``, oldest first."""
    lines = [
        {
            "at": reading["at"],
            "kind": "reading",
            "text": f"{reading['check']}: no answer: {reading.get('detail') or ''}",
        }
        for reading in record.get("readings") or ()
        if reading.get("silent")
    ]
    for moment in record.get("moments") or ():
        words = [str(moment[key]) for key in ("name", "region", "detail") if moment.get(key)]
        lines.append({"at": moment["at"], "kind": "moment", "text": ": ".join(words)})
    run = read(record)
    lines += [{"at": phase.started, "kind": "phase", "text": phase.name} for phase in run.phases if phase.started]
    for fault in run.faults:
        times = (("injected", fault.injected), ("undone", fault.undone))
        lines += [{"at": at, "kind": "fault", "text": f"{fault.name}: {name}"} for name, at in times if at]
    lines.sort(key=lambda line: float(line["at"]))
    return lines
