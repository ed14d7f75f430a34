"""The HTTP interface by which rules come in; free of any framework: a server hands it requests, sends its answers."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from simian_filters.rules import BadRule, Rule, Rules

BASE = "/simian/faults"
LARGEST_BODY_B = 256 * 1024

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body


def _answer(status: int, content: object = None, **headers: str) -> Answer:
    body = b"" if content is None else json.dumps(content).encode()
    told = {"cache-control": "no-store", "content-length": str(len(body))}
    if status == 204:  # has no body, and must not tell its length
        del told["content-length"]
    elif body:
        told["content-type"] = "application/json"
    return status, told | {name.replace("_", "-"): value for name, value in headers.items()}, body


def _problem(status: int, *problems: str, **headers: str) -> Answer:
    return _answer(status, {"problems": list(problems)}, **headers)


class Admin:
    """``GET base``, ``PUT base/<mark>``, ``DELETE base/<mark>``, for whoever brings the token.

    Without a token configured it is inert: every path under ``base`` is 404, and no rule ever comes in.
    """

    def __init__(self, rules: Rules, token: str | None, *, base: str = BASE) -> None:
        self._rules = rules
        self._base = base.rstrip("/")
        self._secret = f"Bearer {token}".encode() if token else b""

    def owns(self, path: str) -> bool:
        """Whether requests for this path (query or not) are to be handed to ``handle``, never to the service."""
        if not path.startswith(self._base):  # nearly every request ends here
            return False
        rest = path[len(self._base) :]
        return not rest or rest[0] in "/?"

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request. Header names may be in any case. Never raises for what a request holds."""
        if not self._secret or not self.owns(path):
            return _problem(404, "not found")
        if not self._is_allowed(headers):
            return _problem(
                401, "the token is missing or wrong; send Authorization: Bearer …", www_authenticate="Bearer"
            )
        if len(body) > LARGEST_BODY_B:
            return _problem(413, f"the body is larger than {LARGEST_BODY_B} bytes")
        mark = unquote(path[len(self._base) :].partition("?")[0].removeprefix("/"))
        if not mark:
            return self._list(method)
        return self._change(method, mark, body)

    def _is_allowed(self, headers: Mapping[str, str]) -> bool:
        given = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._secret)

    def _list(self, method: str) -> Answer:
        if method != "GET":
            return _problem(405, "only GET is possible here; PUT and DELETE name a mark", allow="GET")
        return _answer(200, {"rules": self._rules.listing()})

    def _change(self, method: str, mark: str, body: bytes) -> Answer:
        if method == "PUT":
            return self._put(mark, body)
        if method == "DELETE":
            self._rules.remove(mark)
            return _answer(204)
        return _problem(405, "only PUT and DELETE are possible here", allow="PUT, DELETE")

    def _put(self, mark: str, body: bytes) -> Answer:
        try:
            rule = Rule.from_json(_with_mark(json.loads(body), mark))
            self._rules.put(rule)
        except BadRule as error:
            return _problem(400, *error.problems)
        except (ValueError, RecursionError) as error:  # what json.loads raises, also for bytes that are no text
            return _problem(400, f"the body is no JSON ({error})")
        return _answer(204)


def _with_mark(data: Any, mark: str) -> Any:
    """The rule with the mark of its path; one that names another is a slip that must not go through."""
    if not isinstance(data, dict):
        return data
    if data.get("mark", mark) != mark:
        raise BadRule(["the mark in the body is not the one in the path; make them the same"])
    return data | {"mark": mark}
