"""What the users themselves see: judged from their feed, needs no process of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from simian.errors import PluginError, UsageError
from simian.probe import Reading, Row, nearest, probe
from simian.tolerance import UnitKind

SHARES = ("success_share", "first_try_share", "shed_share", "served_share")
CALLS = "calls_per_request"  # how many calls were made in the whole system for a request: tries upon tries multiply it
Form = Literal["share", "quantile", "mean"]
_UNITS: Mapping[Form, UnitKind] = {"share": "share", "quantile": "ms", "mean": "plain"}
_QUANTILE = re.compile(r"p(\d{1,4})_ms\Z")
_EXAMPLES = (*SHARES, CALLS, "p50_ms", "p90_ms", "p99_ms", "p999_ms")


@probe("users")
def users(metric: str, kind: str | None = None, home: str | None = None, region: str | None = None) -> Reading:
    """Success, first tries, latency (p50_ms, p99_ms, …), shed and served shares, calls_per_request, by the feed."""
    raise PluginError(f"users: {metric} comes from the users' feed, not from a process")


@dataclass(frozen=True, slots=True)
class UsersMetric:
    """What a check on users counts: a share of requests, a ``quantile`` of their latency, or a mean for each."""

    name: str
    kind: str | None = None
    home: str | None = None
    region: str | None = None
    quantile: float | None = None

    def count(self, row: Row) -> tuple[int, int]:
        """(good, all) of a row, for a share. A shed try is one of the tries that a request needed."""
        if self.name == "first_try_share":
            return row.ended - row.first_failed, row.ended
        if self.name == "shed_share":
            return min(row.shed, row.ended), row.ended
        if self.name == "served_share":
            return row.served.get(self.region or "", 0), sum(row.served.values())
        return row.ok, row.ended

    @property
    def form(self) -> Form:
        """What its value is."""
        return "mean" if self.name == CALLS else "share" if self.quantile is None else "quantile"

    @property
    def unit(self) -> UnitKind:
        """The unit of its value."""
        return _UNITS[self.form]

    @property
    def upward(self) -> bool:
        """Whether more is better (what it does not count as good is a failure)."""
        return self.name in ("success_share", "first_try_share")


def users_metric(settings: Mapping[str, Any]) -> UsersMetric:
    """The metric of a check's ``{users: success_share, kind: play}``. Raises UsageError with every problem."""
    options = users.bind(settings)
    name = options.pop("metric")
    found = _QUANTILE.match(name)
    problems = []
    quantile = float(f"0.{found.group(1)}") if found else None
    if name not in (*SHARES, CALLS) and (found is None or quantile == 0.0):
        problems.append(f"users: no metric is called {name!r:.60}; {nearest(name, _EXAMPLES)}")
    if (name == "served_share") != (options.get("region") is not None):
        problems.append("users: region: goes with served_share, which needs it; home and kind filter the users")
    if name == CALLS and any(options.get(key) is not None for key in ("kind", "home")):
        problems.append(f"users: {CALLS} is counted over all users; leave kind: and home: away")
    if problems:
        raise UsageError(problems)
    return UsersMetric(name=name, quantile=quantile, **options)
