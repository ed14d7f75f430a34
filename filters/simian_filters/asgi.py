"""The filter as ASGI middleware: ``app = FaultFilter(app, token=…)``.

It serves the admin interface, applies the server-side rules to every other HTTP request, and tells in
``x-simian-faults`` which rules touched the answer, those on calls made for it (``simian_filters.client``) included.
Websockets and lifespan go through untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from simian_filters.admin import BASE, LARGEST_BODY_B, Admin
from simian_filters.context import HEADER, collecting, header_value, marks_of
from simian_filters.rules import Decision, Rules

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_NAME = HEADER.encode()


async def _respond(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def _body_of(receive: Receive) -> bytes:
    """The body, or just more than is allowed of it."""
    body = bytearray()
    while len(body) <= LARGEST_BODY_B:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    return bytes(body)


def _telling(send: Send, marks: list[str]) -> Send:
    """``send``, with the marks known when the answer starts put into its headers."""

    async def send_marked(message: Message) -> None:
        if marks and message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            own = [
                mark for name, value in headers if name.lower() == _NAME for mark in marks_of(value.decode("latin-1"))
            ]
            kept = [pair for pair in headers if pair[0].lower() != _NAME]
            told = (_NAME, header_value([*marks, *own]).encode("latin-1"))
            message = {**message, "headers": [*kept, told]}
        await send(message)

    return send_marked


class FaultFilter:
    """ASGI middleware. ``rules`` are to be shared with the client wrappers; without a ``token`` it is inert."""

    def __init__(
        self,
        app: App,
        *,
        token: str | None,
        rules: Rules | None = None,
        base: str = BASE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.rules = rules if rules is not None else Rules()
        self._app, self._sleep = app, sleep
        self._admin = Admin(self.rules, token, base=base)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._admin.owns(scope["path"]):
            await self._administer(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _administer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._admin.handle(scope["method"], scope["path"], headers, await _body_of(receive))
        await _respond(send, *answer)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        decision = self.rules.decide("server")
        if decision.delay_ms:
            await self._sleep(decision.delay_ms / 1_000)
        if decision.status is not None:
            await self._refuse(send, decision, decision.status)
            return
        with collecting() as marks:
            marks.extend(decision.marks)
            await self._app(scope, receive, _telling(send, marks))

    async def _refuse(self, send: Send, decision: Decision, status: int) -> None:
        body = b"" if status in (204, 304) else b"injected fault\n"  # those two have no body
        headers = {"content-type": "text/plain", "content-length": str(len(body)), HEADER: header_value(decision.marks)}
        await _respond(send, status, headers, body)
