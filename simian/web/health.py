"""For those who watch the daemon: does it live, is it ready, its numbers. That it lives is told to anybody."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as Path_

from simian.errors import SimianError
from simian.web.access import require
from simian.web.failures import as_json
from simian.web.recognise import recognised
from simian.web.tools import Tools

LIMIT_S = 5.0
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def health(tools: Tools) -> list[Path_]:
    """``/livez``, ``/readyz`` (503 where daemon or database do not answer), ``/metrics`` (Prometheus)."""

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        found = {"daemon": await _why_not(_daemon(tools)), "database": await _why_not(_database(tools))}
        told = {name: why or "ready" for name, why in found.items()}
        return JSONResponse(told, 503 if any(found.values()) else 200)

    async def metrics(request: Request) -> Response:
        try:
            require(recognised(tools, request), "reader")
            return PlainTextResponse(await tools.daemon.ask("metrics"), media_type=PROMETHEUS)
        except SimianError as error:
            return as_json(request, error)

    return [Path_("/livez", live), Path_("/readyz", ready), Path_("/metrics", metrics)]


async def _daemon(tools: Tools) -> None:
    await tools.daemon.ask("status")


async def _database(tools: Tools) -> None:
    await tools.books.look(lambda history: history.page(limit=1))


async def _why_not(answer: object) -> str:
    try:
        async with asyncio.timeout(LIMIT_S):
            await answer  # type: ignore[misc]
    except TimeoutError:
        return f"no answer within {LIMIT_S:g} s"
    except SimianError as error:
        return str(error)
    return ""
