"""Where users are sent: shares from home region to serving region, with the lag of a TTL, and the gateways' modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Shares = Mapping[str, Mapping[str, float]]  # home region -> serving region -> share; each home's shares sum to 1
Way = Literal["direct", "isthmus", "redirect"]


@dataclass(frozen=True, slots=True)
class Modes:
    """How the gateways of a region treat users.

    ``failover``: users of other regions are served here. Without it they are mis-routed and taken home by
    ``foreign``. ``own``: what happens to the region's own users (anything but ``direct`` drives them out).
    """

    failover: bool = False
    own: Way = "direct"
    foreign: Way = "isthmus"


def at_home(regions: tuple[str, ...]) -> Shares:
    """Everybody is served at home."""
    return {home: {region: float(region == home) for region in regions} for home in regions}


def _checked(shares: Shares) -> Shares:
    for home, row in shares.items():
        if abs(sum(row.values()) - 1) > 1e-9 or any(share < 0 for share in row.values()):
            raise ValueError(f"the shares of {home} are {dict(row)}; they must not be negative and sum to 1")
    return {home: dict(row) for home, row in shares.items()}


class Traffic:
    """Shares as DNS answers them and as devices follow them: an old answer lives on for up to ``ttl_s``."""

    def __init__(self, shares: Shares, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._now = self._before = _checked(shares)
        self._moved_at = float("-inf")

    @property
    def answered(self) -> Shares:
        """What DNS answers from now on."""
        return self._now

    def move(self, shares: Shares, at: float) -> None:
        """Answer these shares from the elapsed second ``at`` on. Raises ValueError for what is no share."""
        wanted = _checked(shares)
        self._before, self._now, self._moved_at = self.followed(at), wanted, at

    def followed(self, at: float) -> Shares:
        """Where the devices go: their old answers expire evenly over the TTL."""
        new = 1.0 if self.ttl_s <= 0 else min(1.0, (at - self._moved_at) / self.ttl_s)
        if new >= 1.0:
            return self._now
        return {home: self._mixed(home, new) for home in self._now}

    def _mixed(self, home: str, new: float) -> dict[str, float]:
        after, before = self._now[home], self._before.get(home, self._now[home])
        regions = dict.fromkeys([*before, *after])
        return {r: (1 - new) * before.get(r, 0.0) + new * after.get(r, 0.0) for r in regions}
