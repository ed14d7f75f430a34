"""Putting it together: routes, guards, what starts and ends with the process."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as Path_
from starlette.staticfiles import StaticFiles

from simian import __version__
from simian.errors import SimianError, Unreachable
from simian.web.access import CSRF_HEADER, require, require_own_form
from simian.web.api import ROUTES as OF_RUNS
from simian.web.bodies import json_body
from simian.web.failures import Missing, as_json
from simian.web.guards import Bodies, Guard, Said
from simian.web.health import health
from simian.web.limits import Buckets
from simian.web.openapi import document
from simian.web.pages.every import pages
from simian.web.pages.frame import failed_page
from simian.web.recognise import recognised
from simian.web.routes import API, Call, Route
from simian.web.schedules import ROUTES as OF_SCHEDULES
from simian.web.shapes import checked
from simian.web.tools import Tools

ROUTES = [*OF_RUNS, *OF_SCHEDULES]
ASKED_A_SECOND, ASKED_AT_ONCE = 50.0, 400  # a page asks for ten things
CHANGED_A_SECOND, CHANGED_AT_ONCE = 5.0, 60
ANSWER_LIMIT_S = 30.0
LONGEST_NAME = 200
log = logging.getLogger(__name__)


def build(tools: Tools, *, asked: Buckets | None = None, changed: Buckets | None = None) -> Starlette:
    """The application. ``asked``, ``changed``: how often one address may."""
    routes: list[BaseRoute] = [
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        Path_(f"{API}/openapi.json", _document(tools)),
        *(_api_path(tools, path, routes) for path, routes in _by_path(ROUTES).items()),
        *health(tools),
        *pages(tools),
    ]
    guards = {
        "asked": asked or Buckets(ASKED_A_SECOND, ASKED_AT_ONCE),
        "changed": changed or Buckets(CHANGED_A_SECOND, CHANGED_AT_ONCE),
    }
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Said),
            Middleware(Guard, settings=tools.settings, door=tools.door, **guards),
            Middleware(Bodies),
        ],
        exception_handlers={Exception: _failed(tools), **dict.fromkeys(_STATUSES, _failed(tools))},
        lifespan=_lifespan(tools),
    )


_STATUSES = (404, 405)


def _lifespan(tools: Tools) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(tools.hub.follow())
        try:
            yield
        finally:
            following.cancel()
            tools.hub.close()
            tools.books.close()

    return lifespan


def _failed(tools: Tools) -> Callable[[Request, Exception], Any]:
    async def failed(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(f"{API}/"):
            return as_json(request, error)
        return failed_page(tools, request, error)

    return failed


def _by_path(routes: Sequence[Route]) -> dict[str, list[Route]]:
    found: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        found[route.path].append(route)
    return found


def _document(tools: Tools) -> Callable[[Request], Any]:
    told = document(ROUTES, __version__, closed=tools.settings.read_needs_token)

    async def answer(request: Request) -> Response:
        try:
            require(recognised(tools, request), "reader")
        except SimianError as error:
            return as_json(request, error)
        return JSONResponse(told)

    return answer


def _api_path(tools: Tools, path: str, routes: Sequence[Route]) -> Path_:
    """All methods of a path at one place, so that an unknown one is told which there are."""
    known = {route.method: route for route in routes}

    async def answer(request: Request) -> Response:
        try:
            return await _answered(tools, known["GET" if request.method == "HEAD" else request.method], request)
        except Exception as error:
            failure = as_json(request, error)
            if failure.status_code == 500:
                log.exception("%s %s", request.method, path)
            return failure

    return Path_(API + path, answer, methods=list(known))


async def _answered(tools: Tools, route: Route, request: Request) -> Response:
    visitor = recognised(tools, request)
    require(visitor, route.role)
    if route.changes:
        require_own_form(visitor, request.headers.get(CSRF_HEADER))
    if any(len(value) > LONGEST_NAME for value in request.path_params.values()):
        raise Missing(f"nothing has a name of more than {LONGEST_NAME} characters")
    query = checked(route.query, dict(request.query_params))
    body = checked(route.body, await json_body(request)) if route.body else None
    call = Call(tools, visitor, request, request.path_params, query, body)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            answer = await route.handler(call)
    except TimeoutError as error:
        raise Unreachable(f"no answer within {ANSWER_LIMIT_S:g} s; see 'simian status', and ask again") from error
    return answer if isinstance(answer, Response) else JSONResponse(answer, route.status)
