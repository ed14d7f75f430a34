"""Which pages there are, and where."""

from starlette.routing import BaseRoute

from simian.web.pages import known, now, one, past, sign
from simian.web.pages.frame import page
from simian.web.tools import Tools


def pages(tools: Tools) -> list[BaseRoute]:
    """All of them."""
    return [
        page(tools, "/", now.show),
        page(tools, "/now", now.part),
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
        page(tools, "/experiments", known.experiments),
        page(tools, "/experiments/{name}", known.experiment),
        page(tools, "/monkeys", known.monkeys),
        page(tools, "/monkeys/{name}", known.monkey),
        *sign.routes(tools),
    ]
