"""The edge of a region: routes to the mid-tier, knows whose users do not belong here, sheds what is too much.

A request stays within its region, except across the isthmus: when it was mis-routed and the mode in force says so.
"""

import hmac
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count

from simian_filters.rules import Rules

from .calls import Callee, Caller, Health, nearest_first
from .gateway_settings import BadSettings, Settings
from .geo_rules import GeoRules
from .http import HttpError, Pool, Request, Response, json_response
from .layout import Layout, NodeSpec
from .node import NodeContext
from .options import HEALTHY, Options
from .service import Service
from .trace import FAULTS, HOME, SUBNET, TRACE, WAY, Trace

TRY_S = 0.3
BUDGET_S = 0.45  # a device gives one gateway half a second
DEEP_TRY_S = 2.0
MAX_TRIES = 3
PATIENT_S = 60.0  # of gateways and members that do not give up
CRITICAL = "/play"
ROOM_FOR_CRITICAL = 0.2  # this share of the limit is for critical requests alone
VIA = "x-lab-via"  # the region a request was proxied from: it is served where it arrives, and never proxied again
USER_REQUESTS = {"/play": "GET", "/profile": "GET", "/continue": "GET", "/progress": "POST"}
_NOT_FORWARDED = {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "expect", "upgrade", "te"}
_NOT_BACKWARD = {"connection", "content-length", "transfer-encoding", "keep-alive", TRACE, FAULTS}


class Upstreams:
    """Somebody to send requests to: the preferred first, and on to the next when it does not answer well."""

    def __init__(self, caller: Caller, callees: Sequence[Callee], *, gives_up: bool = True) -> None:
        self._caller, self.callees = caller, list(callees)
        self._try_s, self._budget_s = (TRY_S, BUDGET_S) if gives_up else (PATIENT_S, PATIENT_S)
        self._health = Health()

    async def send(self, trace: Trace, request: Request, extra: dict[str, str]) -> Response | None:
        """The first good answer, else the last bad one; ``None``: no answer at all.

        Every user's request may be made twice: reads are, and a write carries the device's time.
        """
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_FORWARDED} | extra
        until = time.monotonic() + self._budget_s
        last: Response | None = None
        for callee in self._health.ordered(self.callees)[:MAX_TRIES]:
            left_s = until - time.monotonic()
            if left_s <= 0.01:
                break
            try:
                last = await self._caller.call(
                    trace, callee, request.method, request.target,
                    headers=headers, body=request.body, timeout_s=min(self._try_s, left_s),
                )  # fmt: skip
            except HttpError:
                self._health.bad(callee.name)
                continue
            self._health.good(callee.name)
            if last.status < 500:
                break
        return last

    async def probe(self, trace: Trace) -> Response:
        """Ask the preferred one for its health, however slowly. Raises HttpError."""
        return await self._caller.call(trace, self.callees[0], "GET", "/health", timeout_s=DEEP_TRY_S)


class Gateway:
    """The requests of one node."""

    def __init__(
        self,
        spec: NodeSpec,
        token: str,
        members: Upstreams,
        abroad: Upstreams,
        layout: Layout,
        geo: GeoRules,
        options: Options = HEALTHY,
    ) -> None:
        self._spec, self._token, self._members, self._abroad, self._geo = spec, token, members, abroad, geo
        self._options = options
        self._other_region = layout.other_region(spec.region)
        others = layout.nodes_of("gateway", self._other_region)
        self._others = [f"{node.host}:{options.redirect_port or node.port}" for node in others]
        self._turn = count()
        self.settings = Settings()
        self._arrivals: Counter[str] = Counter()
        self._shed = self._in_flight = 0

    async def route(self, request: Request, trace: Trace) -> Response:
        """One request."""
        if request.path.startswith("/admin/"):
            return self._admin(request)
        if request.path == "/deep":
            return await self._deep(trace)
        if USER_REQUESTS.get(request.path) != request.method:
            return json_response({"error": f"there is no {request.method} {request.path} here"}, 404)
        came_over = VIA in request.headers
        if not came_over:
            self._arrivals[request.headers.get(HOME, "unknown")] += 1
        away = not came_over and await self._belongs_elsewhere(request)
        if away and self.settings.misrouted.mode == "redirect":
            return self._redirected(request)
        if self._full(request.path):
            return self._shed_one()
        self._in_flight += 1
        try:
            return await (self._isthmus(request, trace) if away else self._serve(request, trace))
        finally:
            self._in_flight -= 1

    async def _belongs_elsewhere(self, request: Request) -> bool:
        """By the home the device names; one that names none is served where it comes."""
        home = request.headers.get(HOME)
        if home == self._spec.region:
            return self.settings.misrouted.own and await self._is_led_elsewhere(request.headers.get(SUBNET))
        taken_in = self.settings.failover.regions if self._options.obeys_failover else ()
        return home == self._other_region and home not in taken_in

    async def _is_led_elsewhere(self, subnet: str | None) -> bool:
        """Whether the DNS sends this user to the other region now. In doubt it does: this one is being left."""
        return subnet is None or await self._geo.region_of(subnet) != self._spec.region

    def _full(self, path: str) -> bool:
        if not self._options.sheds:
            return False
        limit = self.settings.limit.concurrency
        return self._in_flight >= (limit if path == CRITICAL else limit * (1 - ROOM_FOR_CRITICAL))

    def _shed_one(self) -> Response:
        self._shed += 1
        return json_response({"error": "too many requests under way; try again"}, 503, {"retry-after": "1"})

    async def _serve(self, request: Request, trace: Trace) -> Response:
        response = await self._members.send(trace, request, {})
        return self._back(response, "direct", "no members node of the region answered")

    async def _isthmus(self, request: Request, trace: Trace) -> Response:
        response = await self._abroad.send(trace, request, {VIA: self._spec.region})
        return self._back(response, "isthmus", f"no gateway of {self._other_region} answered")

    @staticmethod
    def _back(response: Response | None, way: str, silent: str) -> Response:
        if response is None:
            return json_response({"error": silent}, 502, {WAY: way})
        headers = {name: value for name, value in response.headers.items() if name not in _NOT_BACKWARD}
        return Response(response.status, response.body, {**headers, WAY: way})

    def _redirected(self, request: Request) -> Response:
        address = self._others[next(self._turn) % len(self._others)]
        return Response(307, b"", {"location": f"http://{address}{request.target}", WAY: "redirect"})

    async def _deep(self, trace: Trace) -> Response:
        """Whether the nearest members node answers, however slowly."""
        try:
            answer = await self._members.probe(trace)
        except HttpError as error:
            return json_response({"error": str(error)}, 503)
        return json_response({"members": answer.status}, 200 if answer.status == 200 else 503)

    def _admin(self, request: Request) -> Response:
        secret = f"Bearer {self._token}".encode()
        if not self._token or not hmac.compare_digest(request.headers.get("authorization", "").encode(), secret):
            return json_response({"error": "the token is missing or wrong; send Authorization: Bearer …"}, 401)
        where = request.method, request.path
        if where == ("GET", "/admin/arrivals"):
            told = {"arrivals": dict(self._arrivals), "shed": self._shed, "in_flight": self._in_flight}
            return json_response({"region": self._spec.region, **told})
        if where == ("PATCH", "/admin/settings"):
            return self._change(request)
        if where == ("GET", "/admin/settings"):
            return json_response(self.settings.to_json())
        return json_response({"error": "there are GET and PATCH /admin/settings, GET /admin/arrivals"}, 404)

    def _change(self, request: Request) -> Response:
        try:
            self.settings = self.settings.changed(request.json())
        except BadSettings as error:
            return json_response({"problems": error.problems}, 400)
        except ValueError:
            return json_response({"problems": ["the body is not JSON"]}, 400)
        return json_response(self.settings.to_json())


async def serve(context: NodeContext) -> None:
    """The gateway of one zone, until cancelled."""
    spec, layout, pool, rules = context.spec, context.layout, Pool(), Rules()
    caller, geo = Caller(pool, rules), GeoRules(layout)
    zones = context.options.members_zones
    known = [node for node in layout.nodes_of("members", spec.region) if not zones or (node.zone or "")[-1:] in zones]
    members = [Callee.directly(node) for node in known]
    abroad = [Callee.through(link) for link in layout.links_from(spec.name, "gateway")]
    to_members, to_abroad = (
        Upstreams(caller, nearest_first(callees, spec.zone), gives_up=context.options.gives_up)
        for callees in (members, abroad)
    )
    gateway = Gateway(spec, context.token, to_members, to_abroad, layout, geo, context.options)
    try:
        server = await Service(context, rules, gateway.route).listen()
        await server.serve_forever()
    finally:
        geo.close()
        await pool.aclose()
