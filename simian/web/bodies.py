"""Reading what was sent, and nothing else than what may be sent."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request

from simian.errors import UsageError
from simian.web.failures import WrongType

DEEPEST = 20
MOST_FIELDS = 200


async def json_body(request: Request) -> Any:
    """The JSON that was sent. Raises WrongType, UsageError; what limits its size and time raises for itself."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WrongType(f"the body is {kind or 'of no type'}; send application/json")
    return parse_json(await request.body())


def parse_json(text: bytes) -> Any:
    """Strictly: no key twice, no NaN, nothing deeper than any of ours. Raises UsageError."""
    if _depth(text) > DEEPEST:
        raise UsageError(f"the body is nested deeper than {DEEPEST}; nothing that is taken here is")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # of numbers of too many digits, too
        raise UsageError(f"the body is no JSON: {error}; send one JSON object") from error


def _depth(text: bytes) -> int:
    """At most: brackets inside of texts count, which none of ours has so many of."""
    depth = deepest = 0
    for byte in text:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = sorted({key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1})
        raise ValueError(f"the key {twice[0]!r} is there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


async def form_body(request: Request) -> Mapping[str, str]:
    """The fields of a form of ours; of one that is there twice the last. Raises WrongType, UsageError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise WrongType(f"the body is {kind or 'of no type'}; send it from a form of simian's")
    try:
        text = (await request.body()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise UsageError("the form cannot be read; load the page anew and try again") from error
