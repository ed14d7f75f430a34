"""How the memory world's services and devices behave: figures in one place, none of them about faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Habits:
    """Rates, time-outs and memories. Times are in seconds or milliseconds as the names say.

    ``rate_rps``: requests a second of all users. ``kinds``: the share of each kind. ``device_tries``: gateways that a
    device tries within its deadline. ``remember_bad_s``: a caller that found a callee dead or silent asks it again
    only so often. ``fresh_session_s``: how fast devices spread over their gateways again.
    """

    rate_rps: float = 200.0
    devices: int = 400
    kinds: Mapping[str, float] = field(
        default_factory=lambda: {"play": 0.4, "profile": 0.25, "continue": 0.2, "progress": 0.15}
    )
    writes: frozenset[str] = frozenset({"progress"})
    device_tries: int = 3
    deadline_ms: float = 3_000.0
    try_timeout_ms: float = 1_000.0
    gateway_timeout_ms: float = 450.0
    far_timeout_ms: float = 900.0
    cache_timeout_ms: float = 50.0
    store_timeout_ms: float = 200.0
    refused_ms: float = 0.5
    remember_bad_s: float = 10.0
    fresh_session_s: float = 20.0
    cache_hit_share: float = 0.95
    cache_warming_s: float = 15.0
    ttl_s: float = 5.0
    restart_after_s: float = 0.2
    base_ms: Mapping[str, float] = field(
        default_factory=lambda: {"users": 1.0, "gateway": 0.6, "members": 1.5, "cache": 0.4, "store": 3.0, "far": 20.0}
    )
    response_b: Mapping[str, int] = field(default_factory=lambda: {"cache": 2_000, "gateway": 4_000})
