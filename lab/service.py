"""What every HTTP service of the lab has in common: the request filter, its health, and telling a request's way."""

import asyncio
from collections.abc import Awaitable, Callable

from simian_filters.admin import Admin
from simian_filters.rules import Rules

from .http import Request, Response, Server, start_server
from .node import NodeContext
from .trace import FAULTS, INCARNATION, Trace

Route = Callable[[Request, Trace], Awaitable[Response]]
MAX_PADDING_B = 1 << 20


def health(request: Request, incarnation: str, ready: bool) -> Response:
    """The answer to ``/health``; ``size_b`` of the query pads it, so that throughput can be measured."""
    body = b"ok\n" if ready else b"not ready yet\n"
    asked = request.query.get("size_b", "0")
    size_b = min(int(asked), MAX_PADDING_B) if asked.isdecimal() else 0
    return Response(200 if ready else 503, body.ljust(size_b), {INCARNATION: incarnation})


class Service:
    """Server-side rules and their admin interface around ``route``; every request gets a trace."""

    def __init__(self, context: NodeContext, rules: Rules, route: Route) -> None:
        self._context, self._rules, self._route = context, rules, route
        self._admin = Admin(rules, context.token)
        self.ready = True

    async def listen(self) -> Server:
        """Listen on the node's address."""
        return await start_server(self._context.spec.host, self._context.spec.port, self.handle)

    async def handle(self, request: Request) -> Response:
        """One request, whatever it asks for."""
        if self._admin.owns(request.path):
            status, headers, body = self._admin.handle(request.method, request.target, request.headers, request.body)
            headers.pop("content-length", None)
            return Response(status, body, headers)
        decision = self._rules.decide("server")
        if decision.delay_ms:
            await asyncio.sleep(decision.delay_ms / 1000)
        if decision.status is not None:
            return Response(decision.status, b"injected fault\n", {FAULTS: ",".join(decision.marks)})
        trace = Trace(self._context.spec.name)
        trace.mark(decision.marks)
        if request.path == "/health":
            response = health(request, self._context.incarnation, self.ready)
        elif not self.ready:
            response = Response(503, b"not ready yet\n")
        else:
            response = await self._route(request, trace)
        response.headers.update(trace.headers())
        return response
