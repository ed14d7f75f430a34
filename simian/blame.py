"""What users' requests tell about why they fared badly: where to look when a check on them is broken."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from simian.probe import Slice
from simian.tally import USERS, Hops
from simian.topology import Node

_SLOW = "look at {culprit}: time-outs longer than users wait, or tries one after the other, add up to such latency"
_HINTS = {
    "success_share": "look at {culprit}: it should try another in time, or do without",
    "first_try_share": "look at {culprit}: users succeed only because they try again",
    "calls_per_request": "look at {culprit}: tries at every layer multiply; let one layer try again, with a budget",
    "shed_share": "look at the gateways' concurrency limits and at the capacity that is left",
    "served_share": "look at where DNS and the gateways send users: weights, TTL, failover mode",
}
_NOT_WAITED_FOR = "~"
_REFUSED = "status_4"  # what no other node would have answered differently, as far as a device knows
_MOST_TOLD = 3
_WIDELY = 0.3  # of the calls to a node: where one node alone is at fault, those to its peers go well
_SPREAD = 0.1  # enough of them where no node has more than half of all calls to its service that failed


class Blame:
    """Calls and answers while the faults were in place, and calls between regions that were made before."""

    def __init__(self) -> None:
        self._hops, self._before = Hops(), Hops()
        self._answers: Counter[str] = Counter()
        self._nodes: dict[str, Node] = {}

    def place(self, nodes: Iterable[Node]) -> None:
        """Which node is where."""
        self._nodes = {node.name: node for node in nodes}

    def take(self, phase: Literal["baseline", "during"], seen: Slice) -> None:
        """Count a slice."""
        if phase == "during":
            self._hops.take(seen.hops)
            self._answers.update(seen.errors)
        else:
            self._before.take({hop: count for hop, count in seen.hops.items() if not hop.endswith(_NOT_WAITED_FOR)})

    def places(self) -> list[str]:
        """What stands beside the check's own where: bad answers, calls that failed, calls to another region."""
        told = []
        if self._answers:
            told.append(
                "what tries met: " + ", ".join(f"{what} ({n})" for what, n in self._answers.most_common(_MOST_TOLD))
            )
        if self._hops.failed:
            told.append(f"calls that failed most: {self._hops.told(_MOST_TOLD)}")
        if abroad := self._abroad():
            told.append("calls to another region that users waited for, before any fault: " + ", ".join(abroad))
        return told

    def hint(self, metric: str) -> str:
        """Where to look for what made this metric bad."""
        if metric in ("served_share", "shed_share"):
            return _HINTS[metric]
        if self._abroad():
            source, target = self._crossings()[0]
            return f"look at {source}: users' requests wait there for {target}, in another region; keep them within one"
        if (answer := self._answer()).startswith(_REFUSED):
            status = answer.removeprefix("status_")
            return f"look at what answers {status}: state that only one node knows (sessions, sign-in) looks like this"
        if nowhere := self._nowhere():
            return _HINTS.get(metric, _SLOW).format(culprit=_sent_to(nowhere))
        if metric != "calls_per_request" and (failing := self._widely_failing()):
            return f"look at {failing} fail; at what they wait for, and what waits in line"
        return _HINTS.get(metric, _SLOW).format(culprit=self._culprit())

    def _culprit(self) -> str:
        worst = self._hops.worst()
        if worst is None:
            return "the services on the way, none said why"
        source, target = worst
        if source == USERS and self._answer() == "timeout":
            return f"how long {target} waits for those behind it, since users give up before any call there does"
        if source == USERS:
            return _sent_to(target)
        return f"{source} when a call to {target} fails"

    def _nowhere(self) -> str:
        """A place that is no node, where a good part of what went wrong for users went wrong; else empty."""
        failed = {hop: n for hop, n in self._hops.failed.most_common() if hop[0] == USERS and hop[1] not in self._nodes}
        if not self._nodes or sum(failed.values()) < max(1.0, _WIDELY * sum(self._answers.values())):
            return ""
        return next(iter(failed))[1]

    def _widely_failing(self) -> str:
        """The nodes of one service and region, where calls of others to several of them fail; else empty."""
        source, target = self._hops.worst() or ("", "")
        caller, node = self._nodes.get(source), self._nodes.get(target)
        if node is None or (caller and caller.service == node.service):
            return ""
        peers = [one.name for one in self._nodes.values() if (one.service, one.region) == (node.service, node.region)]
        least = _SPREAD if source != USERS and self._is_spread(node.service) else _WIDELY
        failing = [name for name in peers if self._hops.failed_share(target=name) >= least]
        if len(failing) < 2:
            return ""
        which = "each of its nodes" if failing == peers else " and ".join(failing)
        return f"{node.service} of {node.region}: calls to {which}"

    def _is_spread(self, service: str) -> bool:
        """Whether no node of a service, in whatever region, has more than half of its calls that failed."""
        failed: Counter[str] = Counter()
        for (_, target), count in self._hops.failed.items():
            if target in self._nodes and self._nodes[target].service == service:
                failed[target] += count
        return 2 * max(failed.values(), default=0) <= failed.total()

    def _answer(self) -> str:
        """What tries met most often; empty when all went well."""
        return next((what for what, _ in self._answers.most_common(1)), "")

    def _abroad(self) -> list[str]:
        return [f"{source}>{target} ({self._before.taken[source, target]})" for source, target in self._crossings()]

    def _crossings(self) -> list[tuple[str, str]]:
        """Calls between nodes of different regions, most frequent first; one gateway's to another is how users move."""
        return [hop for hop, _ in self._before.taken.most_common() if self._crosses(*hop)][:_MOST_TOLD]

    def _crosses(self, source: str, target: str) -> bool:
        here, there = self._nodes.get(source), self._nodes.get(target)
        if here is None or there is None or not (here.region and there.region):
            return False
        return here.region != there.region and here.service != there.service


def _sent_to(place: str) -> str:
    return f"{place}, where users' own tries fail, and at what sends them there"
