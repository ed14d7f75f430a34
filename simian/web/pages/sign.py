"""Signing in, by a token, and out."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from simian.web.access import COOKIE, CSRF_FIELD, Visitor, require_own_form
from simian.web.bodies import form_body
from simian.web.failures import Forbidden
from simian.web.pages.frame import failed_page, shown
from simian.web.recognise import address_of, recognised, refuse_guessing
from simian.web.tools import Tools

Answers = Callable[[Request], Awaitable[Response]]


def routes(tools: Tools) -> list[BaseRoute]:
    """``/login`` and ``/logout``."""
    return [
        Route("/login", _login_page(tools), methods=["GET"]),
        Route("/login", _caught(tools, _login), methods=["POST"]),
        Route("/logout", _caught(tools, _logout), methods=["POST"]),
    ]


def _caught(tools: Tools, answers: Callable[[Tools, Request], Awaitable[Response]]) -> Answers:
    async def answer(request: Request) -> Response:
        try:
            return await answers(tools, request)
        except Exception as error:
            return failed_page(tools, request, error)

    return answer


def _login_page(tools: Tools) -> Answers:
    async def answer(request: Request) -> Response:
        return shown(
            tools, _stranger(request), request, "login.html", to=_within(request.query_params.get("to")), wrong=""
        )

    return answer


def _stranger(request: Request) -> Visitor:
    return Visitor("nobody", None, "web", address_of(request))


async def _login(tools: Tools, request: Request) -> Response:
    form = await form_body(request)
    token = tools.door.keyring.holder(form.get("token", "").strip())
    to = _within(form.get("to"))
    if token is None:
        refuse_guessing(tools, request)
        await tools.note(_stranger(request), "sign in", {"failed": "a wrong token"})
        wrong = "This token is none of this system's."
        return shown(tools, _stranger(request), request, "login.html", 401, to=to, wrong=wrong)
    cookie, _ = tools.sessions.open(token)
    await tools.note(Visitor(token.name, token.role, "web", address_of(request)), "sign in", {})
    answer = RedirectResponse(to, 303)
    secure = tools.settings.secure
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


async def _logout(tools: Tools, request: Request) -> Response:
    visitor, form = recognised(tools, request), await form_body(request)
    if visitor.session is None:
        raise Forbidden("nobody is signed in here")
    require_own_form(visitor, form.get(CSRF_FIELD))
    tools.sessions.close(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _within(to: str | None) -> str:
    """A page of ours, whatever was asked for: nobody is sent elsewhere by a link to us."""
    to = to or "/"
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() else "/"
