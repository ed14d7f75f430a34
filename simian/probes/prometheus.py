"""One instant query to a Prometheus, or to what speaks its HTTP API; exactly one number may come of it."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from simian_filters.units import parse_duration_s

from simian.probe import Reading, probe
from simian.probes.http import MOST_BYTES, TIMEOUT_S, allowed, bearer, fetch
from simian.secrets import Secret

PATH = "/api/v1/query"
FRESH_S = 120.0  # an answer that was made longer ago comes from a cache, or from a clock that is wrong


def _wrong(query: str, url: str = "", max_age: str | None = None, **_: object) -> Iterator[str]:
    if not query.strip():
        yield "an empty query; right would be PromQL that gives one number, such as sum(up)"
    try:
        if allowed(url).query or allowed(url).fragment:
            yield f"url: {url!r:.80} goes on after its path; right would be like http://127.0.0.1:9090"
    except ValueError as error:
        yield f"url: {error}"
    try:
        if max_age is not None and parse_duration_s(max_age) <= 0:
            yield "max_age: no number is younger than that; right would be twice the scrape interval, such as 30s"
    except ValueError as error:
        yield f"max_age: {error}"


@probe("prometheus", wrong=_wrong)
def instant(query: str, url: str, token: Secret | None = None, max_age: str | None = None) -> Reading:
    """The number that PromQL gives now: a scalar, or a vector of one element. None, several or NaN are no number.

    ``url``: of the server, without ``/api``. ``token``: sent as bearer. ``max_age``: what was scraped longer ago does
    not count (servers from 2.43 on; the server's own limit, 5 min as a rule, without it).
    """
    asked = {"query": query, "timeout": f"{TIMEOUT_S:g}s"}
    if max_age is not None:
        _require_limits(url, token)
        asked["lookback_delta"] = f"{parse_duration_s(max_age):g}s"
    told_at_s, value, detail = _one(**_data(*_ask(url, token, asked)))
    age_s = time.time() - told_at_s
    if age_s > FRESH_S:
        raise ValueError(f"the answer is {age_s:.0f} s old by this machine's clock; is it a cache's, or a clock wrong?")
    if not math.isfinite(value):
        raise ValueError(
            f"the query gave {value}, which is no number: too little was scraped, or a division by nothing"
        )
    return Reading(value, detail)


def _ask(url: str, token: Secret | None, asked: Mapping[str, str]) -> tuple[int, str]:
    return fetch(f"{url.rstrip('/')}{PATH}?{urlencode(asked)}", headers=bearer(token))


@cache
def _require_limits(url: str, token: Secret | None) -> None:
    """A server that does not know the limit would leave it out in silence; one that does refuses a wrong one."""
    status, body = _ask(url, token, {"query": "vector(1)", "lookback_delta": "unlimited"})
    if status != 400:
        _data(status, body)
        instead = "leave it out, or write last_over_time(…[30s]) in the query"
        raise ValueError(f"max_age: this server cannot limit it, Prometheus from 2.43 on can; {instead}")


def _data(status: int, body: str) -> dict[str, Any]:
    """The answer's ``kind`` (of what PromQL gave) and ``result``."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("status") == "error":
        raise ValueError(f"it refuses the query ({status}): {answer.get('errorType')}: {answer.get('error')}")
    data = answer.get("data") if isinstance(answer, dict) else None
    if status != 200 or not isinstance(data, dict):
        large = f", larger than {MOST_BYTES} bytes" if len(body) >= MOST_BYTES else ""
        raise ValueError(f"the answer ({status}{large}) is none of Prometheus: {body[:80]!r}; url: is its address?")
    return {"kind": data.get("resultType"), "result": data.get("result")}


def _one(kind: Any, result: Any) -> tuple[float, float, str]:
    """When it was told (seconds since the epoch), the number, and of which series it is."""
    if kind == "vector" and isinstance(result, list):
        if len(result) != 1:
            raise ValueError(_not_one(len(result)))
        labels = ", ".join(f"{key}={value}" for key, value in (result[0].get("metric") or {}).items())
        if "value" not in result[0]:
            raise ValueError("the query gives a histogram; right would be a number: histogram_count(…), say")
        return *_pair(result[0]["value"]), labels
    if kind == "scalar":
        return *_pair(result), "scalar"
    raise ValueError(f"the query gives a {kind}, not a number; right would be a vector of one: no range, no text")


def _not_one(count: int) -> str:
    if not count:
        return "the query gave nothing: no such series, or what was scraped of it is stale or too old"
    return f"the query gave {count} numbers; right would be one: put sum(…) or max(…) around it"


def _pair(pair: Any) -> tuple[float, float]:
    try:
        at_s, value = pair
        return float(at_s), float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{pair!r:.60} is no number with its time") from None
