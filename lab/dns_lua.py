"""The Lua records of PowerDNS that the lab uses, and no other Lua: a choice by the client's network, one by weight.

CNAME ";if netmask({'198.18.0.0/16'}) then return 'east.switch.lab.' else return 'west.switch.lab.' end"
CNAME "pickwhashed({{75,'east.gw.lab.'},{25,'west.gw.lab.'}})"
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TYPES = ("A", "CNAME", "TXT")
FORMS = (
    "can be: TYPE \";if netmask({'NET',…}) then return 'X' [elseif …] else return 'Y' end\" or "
    "TYPE \"pickwhashed({{WEIGHT,'X'},…})\", TYPE one of " + ", ".join(TYPES)
)
_CONTENT = re.compile(r'\s*(\w+)\s+"(.*)"\s*', re.DOTALL)
_TEXT = r"'([^']*)'"
_BRANCH = re.compile(rf"\s*if\s+netmask\s*\(\s*\{{([^}}]*)\}}\s*\)\s*then\s+return\s+{_TEXT}\s+else", re.DOTALL)
_LAST = re.compile(rf"\s*return\s+{_TEXT}\s+end\s*;?\s*", re.DOTALL)
_PICK = re.compile(r"\s*pickwhashed\s*\(\s*\{(.*)\}\s*\)\s*", re.DOTALL)
_PAIR = re.compile(rf"\s*\{{\s*(\d+)\s*,\s*{_TEXT}\s*\}}\s*(?:,|$)", re.DOTALL)
_NETWORK = re.compile(rf"\s*{_TEXT}\s*(?:,|$)")


class NotUnderstood(ValueError):
    """Lua that is none of our forms; the text says which there are."""


@dataclass(frozen=True, slots=True)
class LuaRecord:
    """A record whose content is worked out for each client; ``choose`` returns ``None`` when there is no choice."""

    type: str
    choose: Callable[[Address], str | None]


def parse(content: str) -> LuaRecord:
    """The content of a LUA record, as PowerDNS's API takes it."""
    outer = _CONTENT.fullmatch(content)
    if outer is None or outer[1].upper() not in TYPES:
        raise NotUnderstood(f"Lua record {content!r} is not understood; it {FORMS}")
    body = outer[2]
    try:
        # PowerDNS takes a body for an expression unless it begins with a semicolon.
        choose = _by_network(body[1:]) if body.startswith(";") else _by_weight(body)
    except ValueError as error:
        raise NotUnderstood(f"Lua record {content!r} is not understood ({error}); it {FORMS}") from error
    return LuaRecord(outer[1].upper(), choose)


def _by_network(body: str) -> Callable[[Address], str | None]:
    branches: list[tuple[list[Network], str]] = []
    at = 0
    while branch := _BRANCH.match(body, at):
        branches.append(([ipaddress.ip_network(text) for (text,) in _all(_NETWORK, branch[1])], branch[2]))
        at = branch.end()
    last = _LAST.fullmatch(body, at)
    if last is None or not branches:
        raise ValueError("no such statement")

    def choose(client: Address) -> str:
        return next((text for networks, text in branches if any(client in net for net in networks)), last[1])

    return choose


def _by_weight(body: str) -> Callable[[Address], str | None]:
    outer = _PICK.fullmatch(body)
    if outer is None:
        raise ValueError("no such expression")
    pairs = [(int(weight), text) for weight, text in _all(_PAIR, outer[1])]
    total = sum(weight for weight, _ in pairs)

    def choose(client: Address) -> str | None:
        left = _point(client) * total
        for weight, text in pairs:
            left -= weight
            if left < 0:
                return text
        return None

    return choose


def _all(form: re.Pattern[str], text: str) -> list[tuple[str, ...]]:
    """Each item of a list, all of which must be of this form."""
    found = list(form.finditer(text))
    if not found or "".join(match[0] for match in found) != text:
        raise ValueError(f"{text!r} is no list of these")
    return [match.groups() for match in found]


def _point(client: Address) -> float:
    """Where a client stands between 0 and 1: always the same, so it moves only when the weights pass over it."""
    return int.from_bytes(hashlib.blake2b(client.packed, digest_size=6).digest(), "big") / (1 << 48)
