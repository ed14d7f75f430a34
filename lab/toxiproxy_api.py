"""Toxiproxy's HTTP API (2.12) over the proxies of one node: routes, JSON and status codes of the real one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import unquote

from .http import Request, Response, json_response
from .toxiproxy_proxy import STREAMS, Proxy
from .toxiproxy_toxics import KINDS, Toxic

VERSION = "2.12.0"


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Api:
    """The proxies by name and what can be done to them. ``headers`` go into every answer."""

    rng: Random
    headers: dict[str, str]

    def __post_init__(self) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._lock = asyncio.Lock()  # listening takes a turn of the loop: one change at a time
        self._routes: dict[tuple[str, int], Callable[..., Awaitable[Response]]] = {
            ("GET proxies", 1): self._list,
            ("POST proxies", 1): self._create,
            ("POST populate", 1): self._populate,
            ("POST reset", 1): self._reset,
            ("GET version", 1): self._version,
            ("GET proxies", 2): self._show,
            ("PATCH proxies", 2): self._update,
            ("POST proxies", 2): self._update,
            ("DELETE proxies", 2): self._delete,
            ("GET proxies", 3): self._toxics,
            ("POST proxies", 3): self._add_toxic,
            ("GET proxies", 4): self._show_toxic,
            ("PATCH proxies", 4): self._update_toxic,
            ("POST proxies", 4): self._update_toxic,
            ("DELETE proxies", 4): self._delete_toxic,
        }

    async def answer(self, request: Request) -> Response:
        """Any request to the API."""
        parts = [unquote(part) for part in request.target.partition("?")[0].strip("/").split("/")]
        route = self._routes.get((f"{request.method} {parts[0]}", len(parts)))
        if route is None or (len(parts) > 2 and parts[2] != "toxics"):
            return Response(404, b"404 page not found\n", dict(self.headers))
        try:
            async with self._lock:
                response = await route(request, *parts[1:2], *parts[3:])
        except ApiError as error:
            response = json_response({"error": str(error), "status": error.status}, error.status)
        except OSError as error:
            response = json_response({"error": str(error), "status": 500}, 500)
        response.headers.update(self.headers)
        return response

    def close(self) -> None:
        """Stop every proxy."""
        for proxy in self.proxies.values():
            proxy.stop()

    async def populate(self, wanted: list[dict[str, Any]]) -> list[Proxy]:
        """Ensure these proxies; one that is there already with the same addresses is left as it is, toxics included."""
        for at, shape in enumerate(wanted, start=1):
            for key in ("name", "upstream"):
                if not shape.get(key):
                    raise ApiError(f"missing required field: {key} at proxy {at}", 400)
        return [await self._ensure(shape) for shape in wanted]

    async def _ensure(self, shape: dict[str, Any]) -> Proxy:
        existing = self.proxies.get(shape["name"])
        listen = shape.get("listen", "")
        if existing is not None and (existing.listen, existing.upstream) == (listen, shape["upstream"]):
            return existing
        if existing is not None:
            existing.stop()
        proxy = Proxy(shape["name"], listen, shape["upstream"], self.rng)
        if shape.get("enabled") is not False:
            await proxy.start()
        self.proxies[proxy.name] = proxy
        return proxy

    # --- proxies

    async def _version(self, _request: Request) -> Response:
        return json_response({"version": VERSION})

    async def _list(self, _request: Request) -> Response:
        return json_response({name: proxy.to_json() for name, proxy in sorted(self.proxies.items())})

    async def _create(self, request: Request) -> Response:
        shape = _object(request, name=str, listen=str, upstream=str, enabled=bool)
        for key in ("name", "upstream"):
            if not shape.get(key):
                raise ApiError(f"missing required field: {key}", 400)
        if shape["name"] in self.proxies:
            raise ApiError("proxy already exists", 409)
        return json_response((await self._ensure(shape)).to_json(), 201)

    async def _populate(self, request: Request) -> Response:
        wanted = _json(request)
        if not isinstance(wanted, list):
            raise ApiError("bad request body: an array of proxies is expected", 400)
        shapes = [_checked(shape, name=str, listen=str, upstream=str, enabled=bool) for shape in wanted]
        return json_response({"proxies": [proxy.to_json() for proxy in await self.populate(shapes)]}, 201)

    async def _reset(self, _request: Request) -> Response:
        for proxy in self.proxies.values():
            await proxy.start()
            for toxic in proxy.all_toxics():
                proxy.remove(toxic)
        return Response(204)

    async def _show(self, _request: Request, name: str) -> Response:
        return json_response(self._proxy(name).to_json())

    async def _update(self, request: Request, name: str) -> Response:
        proxy = self._proxy(name)
        shape: dict[str, Any] = {"listen": proxy.listen, "upstream": proxy.upstream, "enabled": proxy.enabled}
        shape |= _object(request, listen=str, upstream=str, enabled=bool)
        if (shape["listen"], shape["upstream"]) != (proxy.listen, proxy.upstream):
            proxy.stop()
            proxy.listen, proxy.upstream = shape["listen"], shape["upstream"]
        if shape["enabled"]:
            await proxy.start()
        else:
            proxy.stop()
        return json_response(proxy.to_json())

    async def _delete(self, _request: Request, name: str) -> Response:
        self._proxy(name).stop()
        del self.proxies[name]
        return Response(204)

    def _proxy(self, name: str) -> Proxy:
        if name not in self.proxies:
            raise ApiError("proxy not found", 404)
        return self.proxies[name]

    # --- toxics

    async def _toxics(self, _request: Request, name: str) -> Response:
        return json_response([toxic.to_json() for toxic in self._proxy(name).all_toxics()])

    async def _add_toxic(self, request: Request, name: str) -> Response:
        proxy = self._proxy(name)
        shape = _object(request, name=str, type=str, stream=str, toxicity=(int, float), attributes=dict)
        stream, kind = str(shape.get("stream", "downstream")).lower(), str(shape.get("type", ""))
        toxic_name = shape.get("name") or f"{kind}_{stream}"
        if stream not in STREAMS:
            raise ApiError("stream was invalid, can be either upstream or downstream", 400)
        if kind not in KINDS:
            raise ApiError("invalid toxic type", 400)
        if any(toxic.name == toxic_name for toxic in proxy.all_toxics()):
            raise ApiError("toxic already exists", 409)
        attributes = dict(KINDS[kind].defaults) | _attributes(kind, shape)
        toxic = Toxic(toxic_name, kind, stream, shape.get("toxicity", 1), attributes)
        proxy.add(toxic)
        return json_response(toxic.to_json())

    async def _show_toxic(self, _request: Request, name: str, toxic: str) -> Response:
        return json_response(self._toxic(name, toxic).to_json())

    async def _update_toxic(self, request: Request, name: str, toxic_name: str) -> Response:
        toxic = self._toxic(name, toxic_name)
        shape = _object(request, toxicity=(int, float), attributes=dict)
        toxic.attributes |= _attributes(toxic.type, shape)
        toxic.toxicity = shape.get("toxicity", toxic.toxicity)
        self.proxies[name].renew(toxic)
        return json_response(toxic.to_json())

    async def _delete_toxic(self, _request: Request, name: str, toxic: str) -> Response:
        self._proxy(name).remove(self._toxic(name, toxic))
        return Response(204)

    def _toxic(self, name: str, wanted: str) -> Toxic:
        for toxic in self._proxy(name).all_toxics():
            if toxic.name == wanted:
                return toxic
        raise ApiError("toxic not found", 404)


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise ApiError(f"bad request body: {error if request.body else 'EOF'}", 400) from error


def _object(request: Request, **types: Any) -> dict[str, Any]:
    return _checked(_json(request), **types)


def _checked(shape: Any, **types: Any) -> dict[str, Any]:
    """The known keys of an object, without null ones, each of its type; others are ignored, as by the real one."""
    if not isinstance(shape, dict):
        raise ApiError(f"bad request body: json: cannot unmarshal {type(shape).__name__} into an object", 400)
    known = {key: value for key, value in shape.items() if key in types and value is not None}
    for key, value in known.items():
        if not isinstance(value, types[key]) or (isinstance(value, bool) and types[key] is not bool):
            raise ApiError(f"bad request body: json: cannot unmarshal {type(value).__name__} into field {key}", 400)
    return known


def _attributes(kind: str, shape: dict[str, Any]) -> dict[str, int]:
    return _checked(shape.get("attributes", {}), **dict.fromkeys(KINDS[kind].defaults, int))
