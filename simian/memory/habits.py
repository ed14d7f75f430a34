"""How the memory world's services and devices behave: figures in one place, none of them about faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Habits:
    """Rates, time-outs and memories. Times are in seconds or milliseconds as the names say.

    ``rate_rps``: requests a second of all users. ``kinds``: the share of each kind. ``device_tries``: gateways that a
    device tries within its deadline; one that did not answer it leaves alone for about ``avoid_s``.
    A share ``sticky_share`` of them keeps a DNS answer for ``sticky_s`` instead of ``ttl_s``.
    ``remember_bad_s``: a service that found a callee dead or silent asks it again only so often; it has found out
    after ``notice_refused_s``, or the time-out. A store node that hears nothing of a peer for ``peer_hedge_ms`` asks
    another. ``base_ms``: a service's own time for one request.
    ``obeys_failover``: gateways act on their failover mode. ``keeps_hints``, ``keeps_invalidations``: what cannot cross
    between regions waits. ``clock_ahead_us``: region -> how far the clock of its stores is ahead, where they stamp
    writes with it.
    """

    rate_rps: float = 200.0
    devices: int = 600
    kinds: Mapping[str, float] = field(
        default_factory=lambda: {"play": 0.25, "profile": 0.35, "continue": 0.25, "progress": 0.15}
    )
    writes: frozenset[str] = frozenset({"progress"})
    device_tries: int = 3
    deadline_ms: float = 2_000.0
    try_timeout_ms: float = 500.0
    avoid_s: float = 30.0
    gateway_timeout_ms: float = 300.0
    far_timeout_ms: float = 400.0
    cache_timeout_ms: float = 100.0
    store_timeout_ms: float = 200.0
    peer_timeout_ms: float = 400.0
    peer_hedge_ms: float = 30.0
    refused_ms: float = 0.5
    remember_bad_s: float = 1.0
    notice_refused_s: float = 0.2
    cache_hit_share: float = 0.95
    cache_warming_s: float = 15.0
    ttl_s: float = 5.0
    sticky_share: float = 0.0
    sticky_s: float = 600.0
    restart_after_s: float = 0.2
    obeys_failover: bool = True
    keeps_hints: bool = True
    keeps_invalidations: bool = True
    clock_ahead_us: Mapping[str, int] = field(default_factory=dict)
    base_ms: Mapping[str, float] = field(
        default_factory=lambda: {"gateway": 0.8, "members": 1.5, "cache": 0.5, "store": 2.0, "far": 1.0}
    )
    response_b: Mapping[str, int] = field(default_factory=lambda: {"cache": 2_000, "gateway": 4_000})
