"""Which pages there are, and where."""

from starlette.routing import BaseRoute

from simian.web.pages import known, now, one, past, planned, sign
from simian.web.pages.frame import page
from simian.web.tools import Tools


def pages(tools: Tools) -> list[BaseRoute]:
    """All of them."""
    return [
        page(tools, "/", now.show),
        page(tools, "/now", now.part),
        page(tools, "/traffic", now.traffic),
        page(tools, "/halt", now.halt, changes="operator"),
        page(tools, "/resume", now.resume, changes="operator"),
        page(tools, "/plan", known.plan),
        page(tools, "/runs", past.show),
        page(tools, "/runs/start", known.start, changes="operator"),
        page(tools, "/runs/{run}", one.show),
        page(tools, "/runs/{run}/now", one.part),
        page(tools, "/runs/{run}/log", one.log),
        page(tools, "/runs/{run}/abort", one.abort, changes="operator"),
        page(tools, "/runs/{run}/replay", one.replay, changes="operator"),
        page(tools, "/compare", one.compare),
        page(tools, "/schedules", planned.show),
        page(tools, "/schedules/add", planned.add, changes="operator"),
        page(tools, "/schedules/{name}", planned.one),
        page(tools, "/schedules/{name}/{what}", planned.change, changes="operator"),
        page(tools, "/audit", planned.audit, sees="operator"),
        page(tools, "/experiments", known.experiments),
        page(tools, "/experiments/{name:path}", known.experiment),
        page(tools, "/monkeys", known.monkeys),
        page(tools, "/monkeys/{name}", known.monkey),
        *sign.routes(tools),
    ]
