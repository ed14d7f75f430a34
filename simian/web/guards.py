"""What every request passes before anything of ours sees it: whose browser, from which page, how often, how much."""

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simian.web.access import SAFE, Door
from simian.web.failures import Failure, Forbidden, TooLarge, TooMany, TooSlow, as_json
from simian.web.limits import Buckets
from simian.web.settings import Settings

LARGEST_BODY = 64 << 10  # bytes; a schedule with a long note takes two
BODY_LIMIT_S = 10.0
OUR_HOSTS = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAID = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Said:
    """Puts the headers on every answer that keep browsers from doing what none of our pages wants."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAID.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Guard:
    """Refuses what is no request of ours to take, before it is routed. Answers in JSON, whoever asked."""

    def __init__(self, app: ASGIApp, settings: Settings, door: Door, *, asked: Buckets, changed: Buckets) -> None:
        self._app, self._door = app, door
        self._hosts = {*OUR_HOSTS, settings.host.lower(), *settings.allowed_hosts}
        self._outside = _origin(settings.base_url) if settings.base_url else None
        if settings.base_url:
            self._hosts.add((urlsplit(settings.base_url).hostname or "").lower())
        self._asked, self._changed = asked, changed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer."""
        if scope["type"] == "http":
            request = Request(scope)
            try:
                self._check_host(request.headers)
                self._check_origin(request)
                self._check_rate(request)
            except Failure as failure:
                await _end(as_json(request, failure))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """A page elsewhere can have its own name lead to this machine; then the name is not one of ours."""
        given = headers.getlist("host")
        name = _host_name(given[0]) if len(given) == 1 else None
        if name not in self._hosts:
            told = ", ".join(sorted(self._hosts))
            raise Forbidden(f"the Host is none of this server's; they are {told}; add others to allowed_hosts")

    def _check_origin(self, request: Request) -> None:
        """What changes something comes from a page of ours, or from a program, which shows a token."""
        if request.method in SAFE:
            return
        origin = request.headers.get("origin")
        if origin is None and "authorization" in request.headers:
            return
        ours = {f"{scheme}://{request.headers['host'].lower()}" for scheme in ("http", "https")}
        if origin is None or (origin.lower() not in ours and origin != self._outside):
            raise Forbidden("the Origin is not this server; changes come from its own pages, or with a token")

    def _check_rate(self, request: Request) -> None:
        """By name, for whoever has one: what strangers do must keep nobody from aborting a run."""
        try:
            visitor = self._door.visitor(request)
            who = visitor.where if visitor.name == "nobody" else visitor.who
        except Failure:
            who = request.client.host if request.client else "local"
        buckets = self._asked if request.method in SAFE else self._changed
        wait_s = buckets.take(who)
        if wait_s:
            raise TooMany(f"{who} asks too often; wait {wait_s:.1f} s", wait_s)


def _host_name(given: str) -> str | None:
    try:
        parts = urlsplit(f"//{given}")
        return parts.hostname if parts.username is None and parts.port != -1 and parts.path == "" else None
    except ValueError:
        return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _end(response: Response) -> Response:
    """Whatever else was sent with the request is not read any more."""
    response.headers["Connection"] = "close"
    return response


class Bodies:
    """No body is larger than any of ours, or comes more slowly; what is not read ends the connection."""

    def __init__(self, app: ASGIApp, *, largest: int = LARGEST_BODY, limit_s: float = BODY_LIMIT_S) -> None:
        self._app, self._largest, self._limit_s = app, largest, limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _announced(headers.getlist("content-length")) > self._largest:
            failure = TooLarge(f"the body is larger than {self._largest >> 10} KiB; nothing that is taken here is")
            await _end(as_json(Request(scope), failure))(scope, receive, send)
            return
        body = _Body(receive, self._largest, self._limit_s)
        body.over = "content-length" not in headers and "transfer-encoding" not in headers

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.over:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, body.receive, watched)


def _announced(lengths: Iterable[str]) -> int:
    return max((int(length) for length in lengths if length.isascii() and length.isdigit()), default=0)


class _Body:
    """Counts while it is read. ``over``: nothing of it is left."""

    def __init__(self, receive: Receive, largest: int, limit_s: float) -> None:
        self._receive, self._left, self._limit_s = receive, largest, limit_s
        self._until: float | None = None
        self.over = False

    async def receive(self) -> Message:
        """The next part. Raises TooLarge, TooSlow."""
        if self.over:
            return await self._receive()  # only that the client has gone can come now, whenever that may be
        loop = asyncio.get_running_loop()
        self._until = self._until or loop.time() + self._limit_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            raise TooSlow(f"the body did not come within {self._limit_s:g} s") from error
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLarge("the body goes on and on; nothing that is taken here is that large")
        self.over = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message
