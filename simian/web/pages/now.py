"""The page Now: the map, the traffic as it flows, the run in progress, what is next; abort and halt."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from simian.errors import SimianError, UsageError
from simian.traffic import told_shares
from simian.web.hub import Going
from simian.web.map import map_of
from simian.web.pages.frame import Page, goto
from simian.web.tools import Tools


async def show(page: Page) -> Response:
    """The whole page."""
    return page.show("now.html", **await _seen(page.tools))


async def part(page: Page) -> Response:
    """What of it changes while somebody looks."""
    return page.show("now_part.html", **await _seen(page.tools))


async def _seen(tools: Tools) -> dict[str, Any]:
    """What is known; where the daemon is away, why."""
    try:
        status = await tools.daemon.ask("status")
    except SimianError as error:
        return {"seen": None, "away": str(error), "map": None, "unseen": "", "runs": []}
    runs = [{**run, "going": tools.hub.runs.get(str(run["run"]), Going())} for run in status["runs"] if _alive(run)]
    try:
        drawn, unseen = map_of(await tools.seen("topology"), status["open"]), ""
    except SimianError as error:
        drawn, unseen = None, str(error)
    return {"seen": status, "away": "", "map": drawn, "unseen": unseen, "runs": runs}


def _alive(run: Mapping[str, Any]) -> bool:
    """A run whose process is gone is none that goes on, whatever it has left."""
    return bool(run.get("state", "alive") == "alive")


async def traffic(page: Page) -> Response:
    """Where users are sent, and where they arrive; where that cannot be seen, why."""
    try:
        seen = await page.tools.seen("traffic")
    except SimianError as error:
        return page.show("traffic.html", away=str(error), regions={})
    sent = {str(home): told_shares(shares) for home, shares in seen["homes"].items()}
    blank = {"weight": None, "seen_by_dns": None, "seen_by_users": None}
    names = sorted({*sent, *seen["regions"]})
    regions = {name: {**blank, **seen["regions"].get(name, {}), "sent": sent.get(name, "")} for name in names}
    return page.show("traffic.html", away="", regions=regions)


async def halt(page: Page) -> Response:
    """Pull the lever."""
    reason = page.form.get("reason", "").strip()
    if not reason:
        raise UsageError("a halt needs a reason, as every refusal will say it; go back and write one")
    await page.tools.change(page.visitor, "halt", reason=reason[:500])
    return goto("/", page.request)


async def resume(page: Page) -> Response:
    """Release it."""
    await page.tools.change(page.visitor, "resume")
    return goto("/", page.request)
