"""Adding up what users saw: shares and latencies by home and kind, hops, and how much of the time was seen at all."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simian.fault import Fault
from simian.histogram import Histogram
from simian.probe import Check, Observation, Row, Slice
from simian.probes.users import UsersMetric
from simian.tolerance import Tolerance
from simian.topology import Node, Topology

FEWEST = 30
ENDINGS = "!~+-^"  # of hops: failed, not waited for, a cache had it or had not, not called as too many failed before
SPARED = "^"
USERS = "users"  # who makes the first hop of each request (docs/wire.md)
SURE = 7.0  # e**-7: less than one in a thousand that chance alone made it so


@dataclass
class Group:
    """What users of one home and kind saw: good of all, or their latencies."""

    good: int = 0
    all: int = 0
    latency: Histogram = field(default_factory=Histogram)


class UsersTally:
    """One metric over any number of slices."""

    def __init__(self, metric: UsersMetric) -> None:
        self.metric = metric
        self.groups: dict[tuple[str, str], Group] = {}
        self.calls = 0

    def take(self, seen: Slice) -> None:
        """Add a slice."""
        self.calls += sum(count for hop, count in seen.hops.items() if not hop.endswith(SPARED))
        for row in seen.select(kind=self.metric.kind, home=self.metric.home):
            self._take_row(row)

    def _take_row(self, row: Row) -> None:
        group = self.groups.setdefault((row.home, row.kind), Group())
        if self.metric.quantile is not None:
            group.latency.add(row.latency)
            return
        good, every = self.metric.count(row)
        group.good += good
        group.all += every

    @property
    def good(self) -> int:
        """Requests that count as good, for a share."""
        return sum(group.good for group in self.groups.values())

    @property
    def count(self) -> int:
        """Requests counted."""
        if self.metric.form == "quantile":
            return sum(group.latency.count for group in self.groups.values())
        return sum(group.all for group in self.groups.values())

    @property
    def value(self) -> float | None:
        """The share (0..1), the quantile in ms or the mean; ``None`` when nothing was seen."""
        if not self.count:
            return None
        if self.metric.quantile is None:
            return (self.calls if self.metric.form == "mean" else self.good) / self.count
        whole = Histogram()
        for group in self.groups.values():
            whole.merge(group.latency)
        return whole.quantile(self.metric.quantile)

    def needed(self, tolerance: Tolerance, baseline: float | None) -> int:
        """How many requests it takes before the value may be called held."""
        if self.metric.form == "mean":
            return FEWEST
        if self.metric.quantile is None:
            return tolerance.needed(baseline)
        return max(FEWEST, math.ceil(round(3.0 / (1.0 - self.metric.quantile), 6)))

    def surely_outside(self, tolerance: Tolerance, baseline: float | None) -> bool:
        """Whether even so few requests cannot be chance: Chernoff's bound on the binomial tail."""
        limit = tolerance.limit(baseline)
        if self.metric.form != "share" or limit is None or not self.count or tolerance.op in ("==", "!="):
            return False
        upward = tolerance.op.startswith(">")
        bad = (self.count - self.good if upward else self.good) / self.count
        return self.count * _divergence(bad, 1.0 - limit if upward else limit) > SURE

    def worst(self) -> str:
        """Where it was worst: ``home east, kind play (80 of 84)``; empty when nothing stands out."""
        if not self.groups or self.metric.form == "mean":
            return ""
        if self.metric.quantile is not None:
            return self._slowest(self.metric.quantile)
        bad = {
            place: group.all - group.good if self.metric.upward else group.good for place, group in self.groups.items()
        }
        place = max(bad, key=lambda one: bad[one])
        return f"home {place[0]}, kind {place[1]} ({bad[place]} of {sum(bad.values())})" if bad[place] else ""

    def _slowest(self, quantile: float) -> str:
        values = {
            place: group.latency.quantile(quantile) for place, group in self.groups.items() if group.latency.count
        }
        if not values:
            return ""
        place = max(values, key=lambda one: values[one])
        return f"home {place[0]}, kind {place[1]} ({values[place]:.4g} ms)"


def _divergence(share: float, allowed: float) -> float:
    if share <= allowed:
        return 0.0
    if allowed <= 0.0:
        return math.inf
    rest = (1.0 - share) * math.log((1.0 - share) / (1.0 - allowed)) if share < 1.0 else 0.0
    return share * math.log(share / allowed) + rest


class Hops:
    """How often each hop was taken, was wanted (one may be spared for those that failed before), and failed."""

    def __init__(self) -> None:
        self.taken: Counter[tuple[str, str]] = Counter()
        self.wanted: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()

    def take(self, hops: Mapping[str, int]) -> None:
        """Add ``{"gateway-east-a>members-east-b!": 3}``."""
        for text, count in hops.items():
            source, _, target = text.rstrip(ENDINGS).partition(">")
            self.wanted[source, target] += count
            if not text.endswith(SPARED):
                self.taken[source, target] += count
            if text.endswith(("!", SPARED)):
                self.failed[source, target] += count

    def worst(self) -> tuple[str, str] | None:
        """The hop that failed most, as (source, target)."""
        return self.failed.most_common(1)[0][0] if self.failed else None

    def failed_share(self, *, target: str) -> float:
        """Of the calls to this node; 0.0 when there were none."""
        wanted, failed = (sum(n for hop, n in of.items() if hop[1] == target) for of in (self.wanted, self.failed))
        return failed / wanted if wanted else 0.0

    def told(self, most: int = 3) -> str:
        """``gateway-east-a>members-east-a (132 of 140)``, the worst first."""
        worst = self.failed.most_common(most)
        return ", ".join(f"{hop[0]}>{hop[1]} ({count} of {self.wanted[hop]})" for hop, count in worst)


def nobody_met(called: str) -> str:
    """What to say of a fault (``kill of web-1``) that no user's request met."""
    return f"no user's request met the {called}; say `exposure: assumed` if that is meant"


class Exposure:
    """Users' requests that met a fault since a moment (seconds since the epoch): the faults' proof of being felt.

    A slice that began before the moment is left out, so that no request from before the fault is counted.
    ``checks``: what must be watched for it beside the users.
    """

    checks: tuple[Check, ...] = ()

    def __init__(self, since_s: float = 0.0) -> None:
        self.since_s = since_s
        self._hops = Hops()
        self._wide: dict[str, str] = {}
        self._marks: Counter[str] = Counter()
        self._served: Counter[tuple[str, str]] = Counter()

    def place(self, nodes: Iterable[Node]) -> None:
        """Which service of which region each node is one of: a link may lead from all of those together."""
        self._wide = {node.name: f"{node.service}-{node.region}" for node in nodes}

    def begin(self, at_s: float) -> None:
        """Something is in place from this moment on; the first one counts."""
        self.since_s = self.since_s or at_s

    def take(self, seen: Observation) -> None:
        """Count a slice; other observations say nothing of users."""
        if isinstance(seen, Slice) and self.since_s and seen.start >= self.since_s:
            self._hops.take(seen.hops)
            self._marks.update(seen.faults)
            for row in seen.rows:
                self._served.update({(row.home, region): count for region, count in row.served.items()})

    def met(self, fault: Fault, topology: Topology, mark: str) -> int:
        """How many users' requests met this fault."""
        return fault.exposure(self, topology, mark)

    def why_unmet(self, called: str) -> str:
        """What to say of a fault that nobody met."""
        return nobody_met(called)

    def figures(self) -> dict[str, Any]:
        """What the report shows of it beside each fault's number."""
        return {}

    def count_node(self, name: str) -> int:
        """Calls that reached for this node."""
        return sum(count for (_, target), count in self._hops.taken.items() if target == name)

    def count_link(self, link: Any) -> int:
        """Calls that reached across this link (``simian.topology.Link``)."""
        return sum(
            count
            for (source, target), count in self._hops.taken.items()
            if target == link.target and link.source in (source, self._wide.get(source))
        )

    def count_failed(self, *, source: str = "", target: str = "") -> int:
        """Calls of this node, or to this node, that came to nothing."""
        return sum(n for hop, n in self._hops.failed.items() if source in ("", hop[0]) and target in ("", hop[1]))

    def count_mark(self, mark: str) -> int:
        """Answers that a request fault of this mark touched."""
        return self._marks[mark]

    def count_served(self, home: str, regions: Collection[str]) -> int:
        """Requests of users of this home that one of these regions served."""
        return sum(self._served[home, region] for region in regions)

    def tries(self, nodes: Collection[str]) -> tuple[int, int]:
        """Tries of users at these gateways, and at all."""
        tried = {target: count for (source, target), count in self._hops.taken.items() if source == USERS}
        return sum(tried.get(node, 0) for node in nodes), sum(tried.values())


class Coverage:
    """Which seconds the users' feed told about, and which of them were void. Neighbours are kept as one stretch."""

    def __init__(self) -> None:
        self._stretches: list[tuple[float, float, bool]] = []

    def take(self, seen: Slice) -> None:
        """Add a slice."""
        last = self._stretches[-1] if self._stretches else None
        if last and last[2] == seen.void and abs(seen.start - last[1]) < 0.75 * seen.seconds:
            self._stretches[-1] = (last[0], seen.end, seen.void)
        else:
            self._stretches.append((seen.start, seen.end, seen.void))

    @property
    def until(self) -> float:
        """The end of what was seen last; minus infinity before anything was."""
        return self._stretches[-1][1] if self._stretches else -math.inf

    def void_share(self, since: float, until: float) -> float:
        """Which share of these seconds was void or not seen at all; 1.0 for a stretch not reached yet."""
        if until <= since:
            return 1.0
        good = sum(_overlap(start, end, since, until) for start, end, void in self._stretches if not void)
        return max(0.0, 1.0 - good / (until - since))


def _overlap(start: float, end: float, since: float, until: float) -> float:
    return max(0.0, min(end, until) - max(start, since))


def tally(metric: UsersMetric, slices: Iterable[Slice]) -> UsersTally:
    """These slices added up."""
    made = UsersTally(metric)
    for one in slices:
        made.take(one)
    return made


def slice_row(observed: Slice) -> dict[str, Any]:
    """A slice as the journal keeps it: rows whole; of the hops the arrivals at gateways, and hits of caches."""
    rows = [
        {
            "home": row.home,
            "kind": row.kind,
            "ended": row.ended,
            "ok": row.ok,
            "failed": row.failed,
            "first_failed": row.first_failed,
            "shed": row.shed,
            "served": dict(row.served),
            "ways": dict(row.ways),
            "latency": {str(index): count for index, count in row.latency.items()},
        }
        for row in observed.rows
    ]
    told = {"arrived": _pairs(observed.hops, f"{USERS}>", "", "!"), "caches": _pairs(observed.hops, "", "+", "-")}
    return {"seconds": observed.seconds, "late_ms": dict(observed.late_ms), "rows": rows, **told}


def _pairs(hops: Mapping[str, int], source: str, good: str, bad: str) -> dict[str, list[int]]:
    """Target -> how often a hop from ``source`` ended in ``good``, and in ``bad``."""
    found: dict[str, list[int]] = {}
    for hop, count in hops.items():
        ending = hop[-1] if hop[-1] in ENDINGS else ""
        if hop.startswith(source) and ending in (good, bad):
            found.setdefault(hop.removesuffix(ending).partition(">")[2], [0, 0])[ending == bad] += count
    return found
