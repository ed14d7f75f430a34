"""The history: pages of runs, pass rates, what got worse."""

from typing import Any

from starlette.responses import Response

from simian.errors import SimianError
from simian.history import History
from simian.web.pages.frame import Page
from simian.web.pages.rated import RATED_DAYS, by_week, days_ago
from simian.web.shapes import RunsWanted, checked

ROWS = 50
FILTERS = ("monkey", "verdict", "outcome", "region", "since", "until", "after")


async def show(page: Page) -> Response:
    """A page of runs; for a script the rows alone."""
    wanted: dict[str, Any] = {name: page.query[name] for name in FILTERS if name in page.query}
    checked(RunsWanted, wanted)
    rows, following = await page.tools.books.look(lambda history: history.page(**wanted, limit=ROWS))
    asked = {name: page.query.get(name, "") for name in FILTERS}
    values: dict[str, Any] = {"rows": rows, "next": following, "asked": asked}
    if page.request.headers.get("hx-target", "").endswith("more"):
        return page.show("rows.html", **values)
    since = days_ago(RATED_DAYS)
    rates, worse = await page.tools.books.look(lambda history: _of_late(history, since))
    weeks, table = by_week(rates, since)
    return page.show("runs.html", **values, **await _to_choose(page), weeks=weeks, table=table, worse=worse)


def _of_late(history: History, since: str) -> tuple[list[Any], list[Any]]:
    return history.rates(since), history.worse()


async def _to_choose(page: Page) -> dict[str, Any]:
    """Monkeys and regions; none where the daemon is away, and then one may still be written."""
    try:
        monkeys = [str(monkey["name"]) for monkey in await page.tools.seen("monkeys")]
        regions = [str(region["name"]) for region in (await page.tools.seen("topology"))["regions"]]
        return {"monkeys": monkeys, "regions": regions}
    except SimianError:
        return {"monkeys": [], "regions": []}
