"""Request faults in the memory world: the reference for what the calls of ``Requests`` mean."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from simian_filters.rules import BadRule

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable
from simian.memory.build import state_from
from simian.memory.nodes import MemoryNode
from simian.memory.state import MemoryState
from simian.world import Rule, RuleReading


class MemoryRequests:
    """Rules in the nodes of a ``MemoryState`` that mount the filter."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def put(self, node: str, rule: Rule) -> None:
        """See ``Requests.put``. Unreachable when it is down, TimedOut when it is frozen, DriverError for a bad rule."""
        present = self._reach(node).rules.get(rule.mark)
        if present is None or present.rule != rule:  # a mere renewal is known to be good
            _refuse_bad(node, rule)
        self._state.put_rule(node, rule)

    def remove(self, node: str, mark: str) -> None:
        """See ``Requests.remove``. Raises Unreachable when it is down: from outside that cannot be told from a cut."""
        self._reach(node)
        self._state.drop_rule(node, mark)

    def rules(self, node: str) -> Sequence[RuleReading]:
        """See ``Requests.rules``. Raises Unreachable when it is down, TimedOut when it is frozen."""
        one = self._reach(node)
        self._state.settle()  # what users did up to now counts
        now = self._state.clock.elapsed()
        return [
            RuleReading(replace(rule.rule, expires_in_s=rule.expires_at - now), rule.saw, rule.hit)
            for rule in one.rules.values()
        ]

    def nodes(self) -> Sequence[str]:
        """See ``Requests.nodes``; those that are down, too."""
        return sorted(name for name, one in self._state.nodes.items() if one.node.filters)

    def _with_filter(self, node: str) -> MemoryNode:
        one = self._state.node(node)
        if not one.node.filters:
            raise NoSuchTarget(f"{node} mounts no request filter; those that do: {', '.join(self.nodes()) or 'none'}")
        return one

    def _reach(self, node: str) -> MemoryNode:
        one = self._with_filter(node)
        if one.state == "stopped":
            raise Unreachable(f"{node} is down, so its request filter does not answer")
        if one.state == "paused":
            raise TimedOut(f"{node} did not answer in time")
        return one


def _refuse_bad(node: str, rule: Rule) -> None:
    try:
        Rule.from_json(asdict(rule))
    except BadRule as error:
        raise DriverError(f"{node}'s filter takes no such rule: {error}") from error


def from_settings(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemoryRequests:
    """Requests of the memory world in ``shared``, which is made from the settings when it is not there yet."""
    return MemoryRequests(state_from(settings, shared))
