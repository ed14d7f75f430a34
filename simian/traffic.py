"""Where users go, as values: shares, how they find the system, how gateways treat them. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Misroute = Literal["isthmus", "redirect"]
SAME = 0.005
Shares = Mapping[str, Mapping[str, float]]  # home region -> serving region -> share; each home's shares sum to 1


@dataclass(frozen=True, slots=True)
class Modes:
    """How one gateway treats users; each setting names the mark of whoever set it (empty: nobody's).

    ``failover``: users of these homes are served here. ``misrouted``: what becomes of other foreign users, proxied
    home (isthmus) or sent there (redirect). ``own``: the region's own users whom the DNS answers of this moment send
    elsewhere count as mis-routed, too, and are taken there. ``limit``: how many requests may be under way at once.
    """

    failover: tuple[str, ...] = ()
    failover_owner: str = ""
    misrouted: Misroute = "isthmus"
    own: bool = False
    misrouted_owner: str = ""
    limit: int = 256
    limit_owner: str = ""

    @property
    def owners(self) -> tuple[str, ...]:
        """Whoever has set something here."""
        return tuple(owner for owner in (self.failover_owner, self.misrouted_owner, self.limit_owner) if owner)


@dataclass(frozen=True, slots=True)
class Entrance:
    """How users of a home find the system: ``name`` asked of ``server`` (host:port) for one of their ``subnets``.

    ``regions``: address in the answer -> region that is entered there. ``ttl_s``: how long an answer may be kept.
    """

    home: str
    name: str
    server: str
    subnets: tuple[str, ...]
    regions: Mapping[str, str]
    ttl_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a region's mid-tier carries and what it declares to be able to, requests a second."""

    load_rps: float
    capacity_rps: float


@dataclass(frozen=True, slots=True)
class Visit:
    """What a user's request at one gateway showed: who served it and by which way.

    ``region``: where it was served (of a redirect: empty), ``way``: direct, isthmus or redirect as the answer says.
    """

    answered: bool
    elapsed_ms: float
    status: int | None = None
    region: str = ""
    way: str = ""
    detail: str = ""


def as_plain(modes: Modes) -> dict[str, Any]:
    """Modes as JSON has them; ``modes_from`` reads it."""
    return {**asdict(modes), "failover": list(modes.failover)}


def modes_from(plain: Mapping[str, Any]) -> Modes:
    """The modes that ``as_plain`` wrote."""
    return Modes(**{**plain, "failover": tuple(plain["failover"])})


def same_shares(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two rows of shares send users alike; weights are whole percents."""
    return all(abs(one.get(region, 0.0) - other.get(region, 0.0)) < SAME for region in {*one, *other})


def told_shares(row: Mapping[str, float]) -> str:
    """``east 75 %, west 25 %``."""
    return ", ".join(f"{region} {share * 100:.4g} %" for region, share in sorted(row.items()))
