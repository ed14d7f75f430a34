"""What all pages have in common: who looks, the templates, what is answered when something fails."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from simian import __version__
from simian.errors import SimianError
from simian.report.clean import plain
from simian.report.words import clock_time, count, day, epoch_s, measured, percent, span
from simian.web.access import CSRF_FIELD, CSRF_HEADER, Visitor, require, require_own_form
from simian.web.bodies import form_body
from simian.web.failures import Unauthorised, told
from simian.web.recognise import recognised
from simian.web.settings import Role
from simian.web.tools import Tools

TEMPLATES = Path(__file__).parent.parent / "templates"
ANSWER_LIMIT_S = 30.0
log = logging.getLogger(__name__)
_TITLES = {401: "A token is needed", 403: "Not allowed", 404: "Not there", 405: "Not so", 429: "Too often",
           409: "Refused", 503: "Out of reach"}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """One request for a page. ``form``: the fields that were sent, of a page that changes something."""

    tools: Tools
    visitor: Visitor
    request: Request
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Mapping[str, str]:
        """What stood in the place of ``{names}``."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """What was asked for; empty fields of a form are no question."""
        return {key: value for key, value in self.request.query_params.items() if value}

    def show(self, template: str, status: int = 200, **values: object) -> Response:
        """A page, or the part of one."""
        return shown(self.tools, self.visitor, self.request, template, status, **values)


Shows = Callable[[Page], Awaitable[Response]]


def page(tools: Tools, path: str, show: Shows, *, sees: Role = "reader", changes: Role | None = None) -> Route:
    """A page at a path; one that changes something is asked by POST alone."""

    async def answer(request: Request) -> Response:
        try:
            visitor = recognised(tools, request)
            require(visitor, changes or sees)
            form = await form_body(request) if changes else {}
            if changes:
                require_own_form(visitor, request.headers.get(CSRF_HEADER) or form.get(CSRF_FIELD))
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await show(Page(tools, visitor, request, form))
        except Exception as error:
            return failed_page(tools, request, error)

    return Route(path, answer, methods=["POST" if changes else "GET"])


def failed_page(tools: Tools, request: Request, error: Exception) -> Response:
    """The page that says why; for somebody who has not signed in, and has to, the way to do so."""
    status, _, reasons, headers = told(error)
    if isinstance(error, Unauthorised) and request.method in ("GET", "HEAD"):
        return goto(f"/login?to={quote(request.url.path)}", request)
    if not isinstance(error, SimianError | HTTPException):
        log.error("%s %s", request.method, request.url.path, exc_info=error)
    try:
        visitor = recognised(tools, request)
    except SimianError:
        visitor = Visitor("nobody", None, "web", "")
    title = _TITLES.get(status, "That failed")
    answer = shown(tools, visitor, request, "failed.html", status, title=title, reasons=reasons)
    answer.headers.update({key: value for key, value in headers.items() if key == "Allow"})
    return answer


def goto(url: str, request: Request) -> Response:
    """Another page; a part of a page takes the whole window there."""
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, 303)


def shown(
    tools: Tools, visitor: Visitor, request: Request, template: str, status: int = 200, **values: object
) -> Response:
    """A template, filled."""
    frame = {
        "visitor": visitor,
        "system": tools.settings.system,
        "here": request.url.path,
        "version": __version__,
        "now": round(time.time(), 3),
    }
    return HTMLResponse(templates().get_template(template).render(**frame, **values), status)


@lru_cache(1)
def templates() -> Environment:
    """All is escaped. What a daemon leaves out is a blank."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        clock=_clock, day=_day, span=span, count=count, percent=percent, measured=measured, plain=plain, epoch=_epoch
    )
    return found


def _epoch(moment: object) -> float | None:
    """Of ISO 8601, or of seconds since the epoch."""
    return float(moment) if isinstance(moment, int | float) else epoch_s(str(moment)) if moment else None


def _clock(moment: object) -> str:
    return clock_time(_epoch(moment))


def _day(moment: object) -> str:
    at = _epoch(moment)
    return "-" if at is None else f"{day(at)}, {clock_time(at)[:5]} UTC"
