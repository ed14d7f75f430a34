"""The OpenAPI document, written from the table of routes."""

from collections.abc import Iterable, Mapping
from typing import Any

from simian.web.routes import API, Route

Schema = dict[str, Any]
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "reasons"],
            "properties": {
                "kind": {
                    "enum": ["usage", "refused", "unreachable", "failed", "unauthorised", "forbidden", "not-found"],
                },
                "reasons": {"type": "array", "items": {"type": "string"}},
            },
        }
    },
}
_ALWAYS = {400: "what was sent is wrong", 401: "a token is needed", 403: "not from there, or not with that token",
           429: "too often", 500: "a defect of simian's", 503: "the daemon or the history is out of reach"}  # fmt: skip
_WITH_BODY = {408: "the body did not come", 413: "the body is too large", 415: "the body is no JSON"}


def document(routes: Iterable[Route], version: str, *, closed: bool = False) -> Schema:
    """The whole, OpenAPI 3.1. ``closed``: a token is needed to read, too."""
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(API + route.path, {})[route.method.lower()] = _operation(route, closed)
    return {
        "openapi": "3.1.0",
        "info": {"title": "simian", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, closed: bool) -> Schema:
    told: Schema = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{route.path.replace('/', '-').replace('{', '').replace('}', '')}",
        "x-role": route.role,
        "security": [{"token": []}] if route.role == "operator" or closed else [{}, {"token": []}],
        "parameters": [*_path(route), *_query(route), *_headers(route)],
        "responses": _responses(route),
    }
    if route.body is not None:
        schema = _inlined(route.body.model_json_schema())
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told


def _path(route: Route) -> Iterable[Schema]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return ({"name": name, "in": "path", "required": True, "schema": schema} for name in route.names)


def _query(route: Route) -> Iterable[Schema]:
    told = _inlined(route.query.model_json_schema())
    for name, schema in told.get("properties", {}).items():
        required = name in told.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": _without_null(schema)}


def _headers(route: Route) -> Iterable[Schema]:
    if route.once:
        schema = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9._-]+$"}
        text = "The same key and body again: the same answer, and nothing is done a second time."
        yield {"name": "Idempotency-Key", "in": "header", "required": False, "description": text, "schema": schema}


def _responses(route: Route) -> Schema:
    errors = {
        **_ALWAYS,
        **(_WITH_BODY if route.body else {}),
        **({404: "there is none"} if route.names or route.query.model_json_schema().get("required") else {}),
    }
    errors |= {409: "refused, with every reason"} if route.changes else {}
    errors |= {422: "the key of another request"} if route.once else {}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    told: Schema = {str(status): {"description": text, "content": content} for status, text in sorted(errors.items())}
    good = {"description": route.summary, "content": {route.kind: {"schema": dict(route.answer)}}}
    return {str(route.status): good, **told}


def _without_null(schema: Mapping[str, Any]) -> Schema:
    """What is left out of a query is not there; there is no null."""
    some = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "title")}
    return {**rest, **some[0]} if len(some) == 1 else {**rest, **({"anyOf": some} if some else {})}


def _inlined(schema: Mapping[str, Any]) -> Schema:
    """Pydantic's schema without references of its own."""
    parts = schema.get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inline(parts[value["$ref"].rpartition("/")[2]])
            return {key: inline(item) for key, item in value.items() if key != "$defs"}
        return [inline(item) for item in value] if isinstance(value, list) else value

    told: Schema = inline(dict(schema))
    return told
