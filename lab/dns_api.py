"""PowerDNS's zone API over our zones: the routes, JSON and status codes that Denominator's heirs use."""

import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from .dns_zones import BadZone, Rrset, Zone, Zones, canonical
from .http import Request, Response, json_response

_PREFIX = "/api/v1/servers/localhost/zones"


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """The HTTP side of a DNS server; ``key`` is asked for in ``X-API-Key``, ``headers`` go into every answer."""

    def __init__(self, zones: Zones, key: str, headers: dict[str, str]) -> None:
        self._zones, self._key, self._headers = zones, key, headers

    async def answer(self, request: Request) -> Response:
        """Any request to the API."""
        try:
            response = self._routed(request)
        except ApiError as error:
            response = json_response({"error": str(error)}, error.status)
        except BadZone as error:
            response = json_response({"error": str(error)}, 422)
        response.headers.update(self._headers)
        return response

    def _routed(self, request: Request) -> Response:
        path = unquote(request.target.partition("?")[0])
        if path == "/health":
            return Response(200, b"ok\n")
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), self._key.encode()):
            return Response(401, b"Unauthorized")
        if path == _PREFIX:
            routes: dict[str, Callable[..., Response]] = {"GET": self._list, "POST": self._create}
            return _allowed(routes, request)(request)
        name = path.removeprefix(_PREFIX + "/")
        if name == path or "/" in name:
            raise ApiError("Not Found", 404)
        zone = self._zones.get(name)
        if zone is None:
            raise ApiError(f"Could not find domain '{canonical(name)}'", 404)
        routes = {"GET": self._show, "PATCH": self._patch, "DELETE": self._delete}
        return _allowed(routes, request)(request, zone)

    def _list(self, request: Request) -> Response:
        only = request.query.get("zone")
        zones = [zone for zone in self._zones.all() if only is None or zone.name == canonical(only)]
        return json_response([zone.to_json(whole=False) for zone in zones])

    def _show(self, _request: Request, zone: Zone) -> Response:
        return json_response(zone.to_json())

    def _create(self, request: Request) -> Response:
        shape = _object(request)
        name = str(shape.get("name", ""))
        if not name.endswith(".") or len(name) < 2:
            raise ApiError(f"DNS Name '{name}' is not canonical", 422)
        if self._zones.get(name) is not None:
            raise ApiError(f"Domain '{name}' already exists", 409)
        rrsets = [_rrset(each) for each in shape.get("rrsets", [])]
        nameservers = [canonical(str(each)) for each in shape.get("nameservers", [])]
        zone = self._zones.create(name, nameservers, str(shape.get("kind", "Native")))
        try:
            for rrset in rrsets:
                zone.put(rrset)
        except BadZone:
            self._zones.remove(zone)
            raise
        self._zones.save()
        return json_response(zone.to_json(), 201)

    def _delete(self, _request: Request, zone: Zone) -> Response:
        self._zones.remove(zone)
        self._zones.save()
        return Response(204)

    def _patch(self, request: Request, zone: Zone) -> Response:
        """All of the changes or, when one is wrong, none."""
        changed = Zone(zone.name, zone.kind, zone.serial + 1, dict(zone.rrsets))
        shape = _object(request)
        if not isinstance(shape.get("rrsets"), list):
            raise ApiError("No rrsets given in update request", 422)
        for change in shape["rrsets"]:
            kind = str(change.get("changetype", "")).upper() if isinstance(change, dict) else ""
            name = str(change.get("name", "")) if isinstance(change, dict) else ""
            if not name.endswith("."):
                raise ApiError(f"DNS Name '{name}' is not canonical", 422)
            if kind == "REPLACE":
                _replace(changed, change)
            elif kind == "DELETE":
                changed.rrsets.pop((canonical(str(change.get("name"))), str(change.get("type")).upper()), None)
            else:
                raise ApiError("Changetype not understood; it is REPLACE or DELETE", 422)
        zone.serial, zone.rrsets = changed.serial, changed.rrsets
        self._zones.save()
        return Response(204)


def _replace(zone: Zone, change: dict[str, Any]) -> None:
    rrset = _rrset(change)
    zone.check(rrset)
    if rrset.contents:
        if rrset.type == "CNAME" and any(
            name == rrset.name and type_ not in ("CNAME", "LUA") for name, type_ in zone.rrsets
        ):
            raise BadZone(f"RRset {rrset.name} IN CNAME: Conflicts with pre-existing RRset")
        zone.put(rrset)
    else:  # PowerDNS: replaced by nothing is deleted
        zone.rrsets.pop((rrset.name, rrset.type), None)


def _rrset(shape: Any) -> Rrset:
    try:
        return Rrset.from_json({"records": []} | shape)
    except BadZone:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(f"RRset is not understood: {error!r}; it has name, type, ttl and records", 422) from error


def _object(request: Request) -> dict[str, Any]:
    try:
        shape = request.json()
    except ValueError as error:
        raise ApiError(f"Your JSON could not be parsed: {error}", 400) from error
    if not isinstance(shape, dict):
        raise ApiError("Your JSON document must be an object", 422)
    return shape


def _allowed(routes: dict[str, Callable[..., Response]], request: Request) -> Callable[..., Response]:
    if request.method not in routes:
        raise ApiError("Method Not Allowed", 405)
    return routes[request.method]
