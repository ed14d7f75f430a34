"""Where users are sent: shares from home region to serving region, the shifts in place, and the lag of a TTL."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simian.errors import DriverError
from simian.steering.layers import Answered, Layer, Row
from simian.traffic import Shares

SUBNETS = 256  # of each home
_FIRST_NETWORK = 18  # 198.18.0.0/15 is for tests of this kind (RFC 2544)


def at_home(regions: Sequence[str]) -> Shares:
    """Everybody is served at home."""
    return {home: {region: float(region == home) for region in regions} for home in regions}


@dataclass
class Crowd:
    """A part of all devices that keep an answer for up to ``ttl_s``; their old answers expire evenly over it."""

    share: float
    ttl_s: float
    _moves: dict[str, tuple[Row, float]] = field(default_factory=dict)  # home -> what was followed when, at the move

    def followed(self, home: str, answered: Row, at: float) -> Row:
        """Where these devices go."""
        before, moved_at = self._moves.get(home, (answered, float("-inf")))
        new = 1.0 if self.ttl_s <= 0 else min(1.0, (at - moved_at) / self.ttl_s)
        if new >= 1.0:
            return answered
        regions = dict.fromkeys([*before, *answered])
        return {r: (1 - new) * before.get(r, 0.0) + new * answered.get(r, 0.0) for r in regions}

    def note(self, home: str, answered: Row, at: float) -> None:
        """From now on other answers are given than these."""
        self._moves[home] = self.followed(home, answered, at), at


class Traffic:
    """Shares as DNS answers them, and as devices follow them. ``crowds``: their shares sum to 1."""

    def __init__(self, shares: Shares, crowds: Sequence[Crowd]) -> None:
        self.answered: Shares = _checked(shares)
        self.layers: dict[str, tuple[Layer, ...]] = {}
        self._crowds = list(crowds)

    def home(self, home: str) -> Answered:
        """What users of this home are answered now, with the shifts in place."""
        return Answered(self.answered[home], self.layers.get(home, ()))

    def move(self, shares: Shares, at: float) -> None:
        """Answer these shares from the elapsed second ``at`` on. Raises DriverError for what is no share."""
        wanted = _checked(shares)
        for home in wanted:
            for crowd in self._crowds:
                crowd.note(home, self.answered.get(home, wanted[home]), at)
        self.answered = {**self.answered, **wanted}

    def lay(self, home: str, answered: Answered, at: float) -> None:
        """Answer users of a home so, and keep the shifts that led there. Raises DriverError as ``move`` does."""
        if answered.now != self.answered[home]:
            self.move({home: answered.now}, at)
        self.layers[home] = answered.layers

    def followed(self, at: float) -> Shares:
        """Where the devices go."""
        return {home: self._followed(home, row, at) for home, row in self.answered.items()}

    def _followed(self, home: str, answered: Row, at: float) -> Row:
        rows = [(crowd.share, crowd.followed(home, answered, at)) for crowd in self._crowds]
        if all(row is answered for _, row in rows):
            return answered
        regions = dict.fromkeys(region for _, row in rows for region in row)
        return {region: sum(share * row.get(region, 0.0) for share, row in rows) for region in regions}


def _checked(shares: Shares) -> Shares:
    for home, row in shares.items():
        if abs(sum(row.values()) - 1) > 1e-6 or any(share < 0 for share in row.values()):
            raise DriverError(f"the shares of {home} are {dict(row)}; they must not be negative and sum to 1")
    return {home: dict(row) for home, row in shares.items()}


def subnets_of(regions: Sequence[str], home: str) -> tuple[str, ...]:
    """Subnets that users of a home come from; names only."""
    network = _FIRST_NETWORK + list(regions).index(home)
    return tuple(f"198.{network}.{n}.0/24" for n in range(SUBNETS))


def home_of(regions: Sequence[str], subnet: str) -> str | None:
    """Whose users come from this subnet; ``None``: nobody's."""
    network = subnet.split(".")[1] if subnet.count(".") == 3 else ""
    at = int(network) - _FIRST_NETWORK if network.isdecimal() else -1
    return regions[at] if 0 <= at < len(regions) else None


def picked(row: Mapping[str, float], subnet: str) -> str | None:
    """The region that a subnet is answered, always the same while the shares are; ``None``: there is none.

    Of two regions, one whose share grows takes subnets from the other and loses none.
    """
    point = int.from_bytes(hashlib.sha256(subnet.encode()).digest()[:8]) / 2**64
    regions = [region for region, share in sorted(row.items()) if share > 0]
    for region in regions:
        point -= row[region]
        if point < 0:
            return region
    return regions[-1] if regions else None
