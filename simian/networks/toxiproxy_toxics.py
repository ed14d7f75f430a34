"""Faults of links as toxics and back: pure.

A toxic of ours is named by its mark, ``simian.<run>.<n>``, with ``.up`` or ``.down`` where one mark needs both streams.
A proxy that we disabled carries a *flag*: a toxic that does nothing, for its name.
"""

import math
import re
from collections.abc import Iterable

from simian_filters.distribution import Distribution

from simian.errors import Unsupported
from simian.networks.toxiproxy_client import Proxy, Toxic
from simian.topology import LinkState

_STREAMS = {"forward": ("upstream",), "backward": ("downstream",), "both": ("upstream", "downstream")}
_SUFFIX = {"upstream": ".up", "downstream": ".down"}
_OURS = "simian."
_MARK = re.compile(r"simian(\.[A-Za-z0-9_-]+)+")
_NO_NAME = re.compile(r"[/?#%\\\s\x00-\x1f\x7f]")  # the library puts names into URLs as they are


def check_mark(mark: str) -> None:
    """Raises Unsupported unless a toxic can be named so and its mark be told from its name."""
    if not _MARK.fullmatch(mark) or mark.endswith((".up", ".down")):
        raise Unsupported(f"{mark!r} cannot name a toxic; a mark is simian.<run>.<n> of letters, digits, - and _")


def check_link(link: str) -> str:
    """Why a proxy of that name cannot be worked on; empty when it can."""
    if not link or _NO_NAME.search(link) or link in (".", ".."):
        return f"{link!r} cannot stand in an address of Toxiproxy's API; rename the proxy without / ? # % and blanks"
    return ""


def is_ours(name: str) -> bool:
    """Whether simian put a toxic (or proxy) of that name there."""
    return name.startswith(_OURS)


def mark_of(toxic: str) -> str:
    """The mark that a toxic of ours carries."""
    return toxic.removesuffix(".up").removesuffix(".down")


def own_marks(proxy: Proxy) -> tuple[str, ...]:
    """Our marks on a proxy, each once."""
    return tuple(dict.fromkeys(mark_of(toxic.name) for toxic in proxy.toxics if is_ours(toxic.name)))


def carrying(proxy: Proxy, mark: str) -> list[Toxic]:
    """The toxics of a proxy that carry this mark."""
    return [toxic for toxic in proxy.toxics if is_ours(toxic.name) and mark_of(toxic.name) == mark]


def foreign(toxics: Iterable[Toxic]) -> list[Toxic]:
    """What somebody else put there."""
    return [toxic for toxic in toxics if not is_ours(toxic.name)]


def note_of(mark: str, link: str) -> str:
    """Name of the disabled proxy that stands in for a link while it is made anew, should we die in between."""
    return f"{mark}.anew.{link}"


def noted(proxy: str) -> tuple[str, str] | None:
    """(link, mark) when a proxy of that name is such a note."""
    mark, found, link = proxy.partition(".anew.")
    return (link, mark) if found and is_ours(proxy) else None


def flag(mark: str) -> Toxic:
    """What marks a proxy as disabled by us: a latency of nothing that no connection ever draws."""
    return Toxic(mark, "latency", "upstream", {"latency": 0, "jitter": 0}, toxicity=0.0)


def is_flag(toxic: Toxic) -> bool:
    """Whether a toxic of ours is there for its name alone; a delay that is being mended still has its latency."""
    nothing = not toxic.toxicity and not toxic.attributes.get("latency")
    return is_ours(toxic.name) and toxic.type == "latency" and nothing


def cuts(toxic: Toxic) -> bool:
    """Whether taking this toxic of ours out means closing connections anyway."""
    return toxic.type == "timeout" or is_flag(toxic)


def blackhole(mark: str, direction: str) -> list[Toxic]:
    """Silence: data is dropped, connections stay."""
    return _on_streams(mark, direction, "timeout", {"timeout": 0})


def latency(mark: str, direction: str, by: Distribution) -> list[Toxic]:
    """``by`` on each stream of the direction: with ``both``, an exchange is held back twice."""
    middle, spread = _middle_and_spread(by)
    return _on_streams(mark, direction, "latency", {"latency": middle, "jitter": spread})


def bandwidth(mark: str, direction: str, rate_kb_s: float) -> list[Toxic]:
    """At most so much on each stream of the direction."""
    rate = round(rate_kb_s)
    if rate < 1:  # 0 would let nothing through, for ever
        raise Unsupported(f"Toxiproxy throttles to whole kilobytes a second, at least 1; {rate_kb_s:g} was asked")
    return _on_streams(mark, direction, "bandwidth", {"rate": rate})


def _on_streams(mark: str, direction: str, kind: str, attributes: dict[str, int]) -> list[Toxic]:
    streams = _STREAMS[direction]
    return [Toxic(mark + (_SUFFIX[s] if len(streams) > 1 else ""), kind, s, attributes) for s in streams]


def _middle_and_spread(by: Distribution) -> tuple[int, int]:
    """Toxiproxy draws evenly, in whole ms, from middle - spread to middle + spread; below 0 means no delay."""
    if by.kind == "uniform":
        low, high = by.parameters
        middle = round((low + high) / 2)
        return middle, min(middle, round((high - low) / 2))
    if by.kind == "normal":
        mean, deviation = by.parameters
        return round(mean), round(deviation * math.sqrt(3))  # an even draw from -a to a has the deviation a / sqrt 3
    return round(by.parameters[0]), 0


def unsupported(kind: str, *, how: str = "", direction: str = "both", by: Distribution | None = None) -> str:
    """Why Toxiproxy cannot do that; empty when it can."""
    if kind not in ("cut", "delay", "throttle"):
        return f"no fault of links is called {kind!r}; there are: cut, delay, throttle"
    if direction not in _STREAMS:
        return f"{direction!r} is no direction; there are: {', '.join(_STREAMS)}"
    if kind == "cut" and how == "refuse" and direction != "both":
        return "refusing closes connections, which ends both directions; use blackhole for one of them"
    return _no_delay(by) if kind == "delay" and by is not None else ""


def _no_delay(by: Distribution) -> str:
    if by.kind not in ("constant", "uniform", "normal"):
        return (
            f"Toxiproxy cannot draw delays from {by.kind!r}, only constant, uniform and (nearly) normal; "
            "use request_delay, which delays each request by any distribution"
        )
    if _middle_and_spread(by)[0] < 1:
        return f"Toxiproxy delays by whole milliseconds, and {by.text} is less than one; ask for 1ms or more"
    return ""


def approximation(by: Distribution) -> str:
    """How what a link does differs from ``by``, as a sentence for the report; empty where it does not."""
    middle, spread = _middle_and_spread(by)
    if by.kind == "normal":
        least = max(0, middle - spread)
        return (
            f"{by.text} is approximated by an even draw of the same mean and deviation, "
            f"{least}ms to {middle + spread}ms, one for each chunk of data, in order"
        )
    exact = (middle,) if by.kind == "constant" else (middle - spread, middle + spread)
    return "" if exact == by.parameters else f"{by.text} is rounded to whole milliseconds"


def state_of(proxy: Proxy) -> LinkState:
    """``cut`` when it is disabled or swallows what is sent, ``slow`` when it delays or throttles."""
    types = {toxic.type for toxic in proxy.toxics if toxic.toxicity}
    if not proxy.enabled or "timeout" in types:
        return "cut"
    return "slow" if types & {"latency", "bandwidth"} else "open"
