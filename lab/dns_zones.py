"""The zones of the DNS server: record sets, kept in a file, and the answers worked out from them."""

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dns_lua import Address, LuaRecord, NotUnderstood, parse
from .layout import HOME_NETWORKS, REGIONS, Layout
from .manifest import replace_file

TYPES = ("A", "AAAA", "CNAME", "LUA", "NS", "SOA", "TXT")
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
_LONGEST_CHAIN = 8
_GEO_TTL_S, _SWITCH_TTL_S, _GATEWAYS_TTL_S = 5, 1, 5


class BadZone(ValueError):
    """A zone or record set that is not right; the text says what would be."""


@dataclass(frozen=True, slots=True)
class Rrset:
    """All records of a name and type. ``contents`` as PowerDNS writes them, ``off`` those disabled among them."""

    name: str
    type: str
    ttl_s: int
    contents: tuple[str, ...]
    off: frozenset[str] = frozenset()
    lua: tuple[LuaRecord, ...] = ()

    @classmethod
    def make(cls, name: str, type_: str, ttl_s: int, contents: Iterable[str], off: Iterable[str] = ()) -> "Rrset":
        """Checked; ``BadZone`` when a content does not fit its type."""
        texts = tuple(contents)
        if type_ not in TYPES:
            raise BadZone(f"RRset {name} IN {type_}: unknown type given; there are {', '.join(TYPES)}")
        if type_ == "CNAME" and len(texts) > 1:
            raise BadZone(f"RRset {name} IN CNAME has more than one record")
        problem = next(filter(None, (_problem(type_, text) for text in texts)), None)
        if problem:
            raise BadZone(f"Record {name}/{type_} '{texts[0]}': {problem}")
        try:
            lua = tuple(parse(text) for text in texts if text not in set(off)) if type_ == "LUA" else ()
        except NotUnderstood as error:
            raise BadZone(f"Record {name}/LUA: {error}") from error
        return cls(name, type_, ttl_s, texts, frozenset(off), lua)

    def live(self) -> list[str]:
        """The contents that are not disabled."""
        return [content for content in self.contents if content not in self.off]

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        records = [{"content": content, "disabled": content in self.off} for content in self.contents]
        return {"comments": [], "name": self.name, "records": records, "ttl": self.ttl_s, "type": self.type}

    @classmethod
    def from_json(cls, shape: dict[str, Any]) -> "Rrset":
        """As the API takes it."""
        records = [(str(record["content"]), bool(record.get("disabled"))) for record in shape["records"]]
        return cls.make(
            canonical(shape["name"]),
            str(shape["type"]).upper(),
            int(shape["ttl"]),
            (content for content, _ in records),
            [content for content, disabled in records if disabled],
        )


def _problem(type_: str, content: str) -> str | None:
    if type_ in ("A", "AAAA"):
        wanted = ipaddress.IPv4Address if type_ == "A" else ipaddress.IPv6Address
        try:
            wanted(content)
        except ValueError as error:
            return str(error)
    if type_ in ("CNAME", "NS") and not content.endswith("."):
        return "Not in expected format (a name ends with a dot)"
    if type_ == "TXT" and not (len(content) > 1 and content[0] == content[-1] == '"'):
        return "Not in expected format (a text stands in double quotes)"
    return None


@dataclass
class Zone:
    """One zone; record sets by (name, type)."""

    name: str
    kind: str = "Native"
    serial: int = 1
    rrsets: dict[tuple[str, str], Rrset] = field(default_factory=dict)

    def check(self, rrset: Rrset) -> None:
        """``BadZone`` for a record set that does not belong into it."""
        if rrset.name != self.name and not rrset.name.endswith("." + self.name):
            raise BadZone(f"RRset {rrset.name} IN {rrset.type}: Name is out of zone")

    def put(self, rrset: Rrset) -> None:
        """Ensure this record set."""
        self.check(rrset)
        self.rrsets[rrset.name, rrset.type] = rrset

    def to_json(self, *, whole: bool = True) -> dict[str, Any]:
        """As the API shows it; without its record sets unless ``whole``."""
        shape = {
            "id": self.name,
            "name": self.name,
            "type": "Zone",
            "kind": self.kind,
            "serial": self.serial,
            "edited_serial": self.serial,
            "notified_serial": 0,
            "masters": [],
            "dnssec": False,
            "account": "",
            "last_check": 0,
            "url": f"/api/v1/servers/localhost/zones/{self.name}",
        }
        return shape | ({"rrsets": [rrset.to_json() for rrset in self.rrsets.values()]} if whole else {})


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an answer."""

    name: str
    type: str
    ttl_s: int
    content: str


@dataclass(frozen=True, slots=True)
class Answer:
    """``records`` in the order of the chain; ``authority``: the SOA where there is nothing of the type asked for."""

    code: int
    records: tuple[Record, ...] = ()
    authority: Record | None = None


class Zones:
    """All zones, kept in ``path`` so that a restart loses none. ``changes`` counts the changes since then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zones: dict[str, Zone] = {}
        self.changes = 0

    @classmethod
    def read(cls, path: Path, layout: Layout) -> "Zones":
        """From the file; where there is none yet, those of a lab whose users are all served at home."""
        if not path.exists():
            zones = cls.first(path, layout)
            zones.save()
            return zones
        zones = cls(path)
        for shape in json.loads(path.read_text()):
            zone = zones._zones[shape["name"]] = Zone(shape["name"], shape["kind"], shape["serial"])
            for rrset in shape["rrsets"]:
                zone.put(Rrset.from_json(rrset))
        return zones

    @classmethod
    def first(cls, path: Path, layout: Layout) -> "Zones":
        """Those of a lab whose users are all served at home; nothing is written yet."""
        zones = cls(path)
        for name, rrsets in _of_lab(layout).items():
            zone = zones.create(name, [f"ns1.{name}"])
            for rrset in rrsets:
                zone.put(rrset)
        return zones

    def all(self) -> list[Zone]:
        """Every zone by name."""
        return [self._zones[name] for name in sorted(self._zones)]

    def get(self, name: str) -> Zone | None:
        """The zone of exactly this name."""
        return self._zones.get(canonical(name))

    def create(self, name: str, nameservers: list[str], kind: str = "Native") -> Zone:
        """A new zone with its SOA and NS records."""
        name = canonical(name)
        zone = Zone(name, kind)
        first = nameservers[0] if nameservers else f"a.misconfigured.dns.server.invalid. hostmaster.{name}"
        zone.put(Rrset.make(name, "SOA", 3600, [f"{first} hostmaster.{name} 1 10800 3600 604800 3600"]))
        if nameservers:
            zone.put(Rrset.make(name, "NS", 3600, nameservers))
        self._zones[name] = zone
        return zone

    def remove(self, zone: Zone) -> None:
        """No more of it."""
        del self._zones[zone.name]

    def save(self) -> None:
        """To the file, whole or not at all."""
        self.changes += 1
        replace_file(self._path, json.dumps([zone.to_json() for zone in self.all()]))

    def resolve(self, name: str, type_: str, client: Address) -> Answer:
        """The answer for a client in this subnet, CNAMEs followed as far as our zones go."""
        records: list[Record] = []
        name = canonical(name)
        for _ in range(_LONGEST_CHAIN):
            zone = self._zone_of(name)
            if zone is None:
                return Answer(NOERROR if records else REFUSED, tuple(records))
            found = _at(zone, name, type_, client)
            if found is None:
                return Answer(SERVFAIL)
            records += found
            if not found:
                exists = any(owner == name or owner.endswith("." + name) for owner, _ in zone.rrsets)
                return Answer(NOERROR if exists or records else NXDOMAIN, tuple(records), _soa(zone))
            if found[0].type != "CNAME" or type_ == "CNAME":
                return Answer(NOERROR, tuple(records))
            name = found[0].content
        return Answer(SERVFAIL)  # a circle

    def _zone_of(self, name: str) -> Zone | None:
        while name:
            if name in self._zones:
                return self._zones[name]
            name = name.partition(".")[2]
        return None


def _at(zone: Zone, name: str, type_: str, client: Address) -> list[Record] | None:
    """The records of this type at a name, or its CNAME; ``None`` when a choice among them fails."""
    for wanted in (type_, "CNAME"):
        rrset = zone.rrsets.get((name, wanted))
        if rrset is not None and rrset.live():
            return [Record(name, wanted, rrset.ttl_s, content) for content in rrset.live()]
    rrset = zone.rrsets.get((name, "LUA"))
    chosen = [(lua.type, lua.choose(client)) for lua in rrset.lua if lua.type in (type_, "CNAME")] if rrset else []
    if any(content is None for _, content in chosen):
        return None
    return [Record(name, kind, rrset.ttl_s if rrset else 0, str(content)) for kind, content in chosen]


def _soa(zone: Zone) -> Record | None:
    rrset = zone.rrsets.get((zone.name, "SOA"))
    return Record(zone.name, "SOA", rrset.ttl_s, rrset.contents[0]) if rrset else None


def canonical(name: str) -> str:
    """A name in lower case with the dot at its end."""
    return name.lower().rstrip(".") + "."


def _of_lab(layout: Layout) -> dict[str, list[Rrset]]:
    """The zones of a new lab by name: a user's subnet -> its home -> a region's gateways."""
    home, other = REGIONS
    geo = (
        f"CNAME \";if netmask({{'{HOME_NETWORKS[home]}'}}) then return '{home}.switch.lab.' "
        f"else return '{other}.switch.lab.' end\""
    )
    switches, gateways = [], []
    for region in REGIONS:
        weights = ",".join(f"{{{100 if each == region else 0},'{each}.gw.lab.'}}" for each in REGIONS)
        switches.append(
            Rrset.make(f"{region}.switch.lab.", "LUA", _SWITCH_TTL_S, [f'CNAME "pickwhashed({{{weights}}})"'])
        )
        addresses = [node.dns_address for node in layout.nodes_of("gateway", region) if node.dns_address]
        gateways.append(Rrset.make(f"{region}.gw.lab.", "A", _GATEWAYS_TTL_S, addresses))
    return {
        "geo.lab.": [Rrset.make("api.geo.lab.", "LUA", _GEO_TTL_S, [geo])],
        "switch.lab.": switches,
        "gw.lab.": gateways,
    }
