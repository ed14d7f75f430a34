"""The alerts of an Alertmanager (API v2) that fire now; those that are silenced or inhibited are left out."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from simian.probe import Reading, probe
from simian.probes.http import MOST_BYTES, allowed, bearer, fetch
from simian.secrets import Secret

PATH = "/api/v2/alerts"
MOST_NAMED = 3
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


def _wrong(url: str = "", matching: Mapping[str, Any] | None = None, **_: object) -> Iterator[str]:
    try:
        if allowed(url).query or allowed(url).fragment:
            yield f"{url!r:.80} goes on after its path; right would be like http://127.0.0.1:9093"
    except ValueError as error:
        yield str(error)
    for name, value in (matching or {}).items():
        if not isinstance(name, str) or not _LABEL.match(name):
            yield f"matching: {name!r:.60} is no label; right would be like severity: critical"
        elif not isinstance(value, str):
            yield f"matching: {name}: {value!r:.60} is no text; put it in quotes"


@probe("alertmanager", wrong=_wrong)
def firing(url: str, matching: dict[str, str] | None = None, token: Secret | None = None) -> Reading:
    """How many alerts fire that have all labels of ``matching`` (none named: any alert). 0.0: all is quiet.

    One that is silenced or inhibited does not count; one that was not looked at yet does. ``url``: of the server,
    without ``/api``. ``token``: sent as bearer.
    """
    wanted = matching or {}
    filters = [("filter", f"{name}={json.dumps(value, ensure_ascii=False)}") for name, value in wanted.items()]
    query = urlencode([("active", "true"), ("silenced", "false"), ("inhibited", "false"), *filters])
    found = _alerts(*fetch(f"{url.rstrip('/')}{PATH}?{query}", headers=bearer(token)))
    loud = [labels for alert in found if (labels := _labels(alert)) is not None and wanted.items() <= labels.items()]
    return Reading(float(len(loud)), _named(loud) if loud else "no such alert fires")


def _alerts(status: int, body: str) -> list[Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status != 200 or not isinstance(answer, list):
        large = f", larger than {MOST_BYTES} bytes: ask for fewer with matching:" if len(body) >= MOST_BYTES else ""
        raise ValueError(f"the answer ({status}{large}) is none of Alertmanager: {body[:80]!r}; is the address its?")
    return answer


def _labels(alert: Any) -> dict[str, str] | None:
    """The alert's labels, or ``None`` where somebody has hushed it. Raises ValueError for what is no alert."""
    try:
        status = alert["status"]
        hushed = list(status.get("silencedBy") or []) + list(status.get("inhibitedBy") or [])
        return None if hushed else {str(name): str(value) for name, value in alert["labels"].items()}
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"{alert!r:.80} is no alert of API v2") from None


def _named(loud: list[dict[str, str]]) -> str:
    names = [_name(dict(labels)) for labels in loud[:MOST_NAMED]]
    return ", ".join(names) + (f" and {len(loud) - MOST_NAMED} more" if len(loud) > MOST_NAMED else "")


def _name(labels: dict[str, str]) -> str:
    name = labels.pop("alertname", "an alert")
    told = ", ".join(f"{label}={value}" for label, value in sorted(labels.items()))
    return f"{name} ({told})" if told else name
