"""DNS provider ``powerdns``: PowerDNS's HTTP API (4.x). A name that leads on by weight is a LUA record of this form:

``CNAME "pickwhashed({{75,'east.gw.lab.'},{25,'west.gw.lab.'}})"``

Settings: ``url`` (http://host:8081), ``key`` (X-API-Key), and, where they are others, ``server`` (localhost) and
``zone`` (what follows the first dot of a name). The server's caches must be off (``cache-ttl=0``,
``query-cache-ttl=0``, ``negquery-cache-ttl=0``, ``zone-cache-refresh-interval=0``), else answers lag behind.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from simian.errors import DriverError, NoSuchTarget, UsageError
from simian.http_call import Answer, Service, call
from simian.steering.provider import Switch, Weights, note_name

LIMIT_S = 2.0
_KEYS = {"url", "key", "server", "zone"}
_STRING_B = 255  # the longest character string of a TXT record; longer texts are several of them
_PICK = re.compile(r"""\s*CNAME\s+"\s*pickwhashed\s*\(\s*\{(.*)\}\s*\)\s*"\s*""", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(r"\s*\{\s*(\d+)\s*,\s*'([^']+)'\s*\}\s*(?:,|$)")
_FORM = "CNAME \"pickwhashed({{WEIGHT,'NAME.'},…})\""
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(\d{3}|.)", re.DOTALL)


def canonical(name: str) -> str:
    """A name in lower case with the dot at its end; PowerDNS answers 422 to others."""
    return name.lower().rstrip(".") + "."


def parse_weights(content: str) -> dict[str, int]:
    """The weights of a LUA record's content. Raises ValueError for any other Lua."""
    outer = _PICK.fullmatch(content)
    pairs = list(_PAIR.finditer(outer[1])) if outer else []
    weights = {canonical(pair[2]): int(pair[1]) for pair in pairs}
    if outer is None or "".join(pair[0] for pair in pairs) != outer[1] or not len(weights) == len(pairs) > 0:
        raise ValueError(f"{content!r} is not of the form {_FORM}, each name once")
    return weights


def write_weights(weights: Weights) -> str:
    """The content of the LUA record with these weights, in this order: who is led where depends on it."""
    pairs = ",".join(f"{{{weight},'{name}'}}" for name, weight in weights.items())
    return f'CNAME "pickwhashed({{{pairs}}})"'


def parse_text(content: str) -> str:
    """The text of a TXT record as zone files write it: quoted, in one or several strings."""
    strings = (match[1] for match in _QUOTED.finditer(content))
    raw = "".join(_ESCAPED.sub(lambda m: chr(int(m[1])) if len(m[1]) == 3 else m[1], each) for each in strings)
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def write_text(text: str) -> str:
    """The other way round; bytes that are no plain letters as ``\\DDD``."""
    data = text.encode()
    strings = (data[at : at + _STRING_B] for at in range(0, max(1, len(data)), _STRING_B))
    return " ".join(f'"{"".join(map(_letter, each))}"' for each in strings)


def _letter(byte: int) -> str:
    if chr(byte) in '"\\':
        return f"\\{chr(byte)}"
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03}"


@dataclass(frozen=True)
class PowerDns:
    """Driver of ``DnsProvider``; keeps nothing between calls, safe to use from many threads."""

    service: Service
    zone: str = ""
    limit_s: float = LIMIT_S

    def read(self, names: Sequence[str]) -> Mapping[str, Switch]:
        """See ``DnsProvider.read``: one call for each zone that the names are in."""
        by_zone = defaultdict(list)
        for name in names:
            by_zone[self._zone_of(name)].append(name)
        return {name: switch for zone, within in by_zone.items() for name, switch in self._read(zone, within)}

    def change(self, switch: Switch) -> None:
        """See ``DnsProvider.change``: one PATCH, which PowerDNS makes whole or not at all."""
        name = canonical(switch.name)
        notes = _rrset(note_name(name), "TXT", switch.ttl_s, map(write_text, switch.notes))
        weights = _rrset(name, "LUA", switch.ttl_s, [write_weights(switch.weights)])
        zone = self._zone_of(name)
        body = json.dumps({"rrsets": [weights, notes]}).encode()
        answer = self._call("PATCH", zone, body)
        if answer.status not in (200, 204):
            raise _refusal(answer, zone, f"to change {name}")

    def _zone_of(self, name: str) -> str:
        return canonical(self.zone or name.partition(".")[2])

    def _read(self, zone: str, names: Sequence[str]) -> list[tuple[str, Switch]]:
        answer = self._call("GET", zone)
        if answer.status != 200:
            raise _refusal(answer, zone, f"to read {', '.join(names)}")
        try:
            rrsets = {(canonical(each["name"]), each["type"]): each for each in json.loads(answer.content)["rrsets"]}
            return [(name, _switch(name, rrsets)) for name in names]
        except (ValueError, KeyError, TypeError) as error:
            raise DriverError(f"what answers for the zone {zone} is no PowerDNS 4 ({error!r}); look at url:") from error

    def _call(self, method: str, zone: str, body: bytes | None = None) -> Answer:
        path = f"/zones/{quote(zone, safe='')}"
        return call(self.service, method, path, body, limit_s=self.limit_s, who="PowerDNS")


def _rrset(name: str, kind: str, ttl_s: int, contents: Any) -> dict[str, Any]:
    records = [{"content": content, "disabled": False} for content in contents]
    if not records:
        return {"name": name, "type": kind, "changetype": "DELETE"}
    return {"name": name, "type": kind, "ttl": ttl_s, "changetype": "REPLACE", "records": records}


def _switch(name: str, rrsets: Mapping[tuple[str, str], Mapping[str, Any]]) -> Switch:
    """The switch at this name, out of a zone's record sets."""
    found = rrsets.get((canonical(name), "LUA"))
    if found is None:
        raise NoSuchTarget(f"{name} has no LUA record; make one of the form {_FORM}, or name another switch:")
    live = [record["content"] for record in found["records"] if not record.get("disabled")]
    try:
        (content,) = live
        weights = parse_weights(content)
    except ValueError as error:
        told = str(error) if len(live) == 1 else f"there are {len(live)} records in force, not one"
        raise DriverError(f"the LUA record {name} is left alone: {told}") from error
    notes = rrsets.get((note_name(canonical(name)), "TXT"), {"records": ()})["records"]
    return Switch(name, weights, int(found["ttl"]), [parse_text(note["content"]) for note in notes])


def _refusal(answer: Answer, zone: str, what: str) -> DriverError:
    if answer.status == 401:
        return DriverError("PowerDNS refuses our key; give simian.yaml the one that its api-key= has")
    said = answer.content[:500].decode("utf-8", "replace").strip() or "nothing more"
    if answer.status == 404:
        return NoSuchTarget(f"PowerDNS has no zone {zone} ({said}); say which it is with zone:")
    return DriverError(f"PowerDNS refuses {what} with {answer.status}: {said}")


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> PowerDns:
    """The provider of ``{provider: powerdns, url: …, key: …}``. Raises UsageError with every problem at once."""
    problems = [f"{key} is unknown; there are: {', '.join(sorted(_KEYS))}" for key in sorted({*settings} - _KEYS)]
    service = None
    try:
        service = Service.at(str(settings.get("url", "")), {"X-API-Key": str(settings.get("key", ""))})
    except ValueError as error:
        problems.append(f"url, key: {error}")
    if problems or service is None:
        raise UsageError(problems)
    path = f"{service.path}/api/v1/servers/{quote(str(settings.get('server', 'localhost')), safe='')}"
    return PowerDns(
        Service(
            service.host, service.port, path, {**service.headers, "Content-Type": "application/json"}, service.secure
        ),
        str(settings.get("zone", "")),
    )
