"""Shifts that lie upon one another: what the answers become when one is put on, changed or taken out. Pure.

Each layer knows what was answered before it (``was``) and what it answers itself (``to``), so that layers may be taken
out in any order, any number of times, and the last one to go leaves what was answered before the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from simian.errors import DriverError
from simian.traffic import same_shares, told_shares

Row = Mapping[str, float]  # serving region -> share


@dataclass(frozen=True, slots=True)
class Layer:
    """One shift in place."""

    mark: str
    was: Row
    to: Row


@dataclass(frozen=True, slots=True)
class Answered:
    """What one home's users are answered now, and the layers of ours that led there, the first one first."""

    now: Row
    layers: tuple[Layer, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether the answers are those of the last layer: nobody else has set others since."""
        return not self.layers or same_shares(self.now, self.layers[-1].to)


def put(answered: Answered, mark: str, to: Row) -> Answered:
    """With this mark on top, or its answers changed where it is there. Raises DriverError on somebody else's change."""
    last = answered.layers[-1] if answered.layers else None
    if last is not None and last.mark == mark and same_shares(last.to, to) and answered.ours:
        return answered
    if not answered.ours:
        raise DriverError(f"somebody else has set {told_shares(answered.now)} meanwhile; their change stays")
    if last is not None and last.mark == mark:
        return Answered(to, (*answered.layers[:-1], replace(last, to=to)))
    if any(layer.mark == mark for layer in answered.layers):
        raise DriverError(f"{mark} is in place under {last.mark if last else 'others'}; take that out first")
    return Answered(to, (*answered.layers, Layer(mark, answered.now, to)))


def without(answered: Answered, mark: str) -> Answered:
    """Without this mark: the same where it is not there."""
    at = next((index for index, layer in enumerate(answered.layers) if layer.mark == mark), None)
    if at is None:
        return answered
    gone, rest = answered.layers[at], [*answered.layers[:at], *answered.layers[at + 1 :]]
    if at == len(rest):
        return Answered(gone.was if answered.ours else answered.now, tuple(rest))
    rest[at] = replace(rest[at], was=gone.was)
    return Answered(answered.now, tuple(rest))
