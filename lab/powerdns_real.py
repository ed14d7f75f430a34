"""The real PowerDNS (4.7) in the place of our DNS: how it is run. Its zones are in SQLite, kept over a restart.

At the lab's first start they are written there before it runs, so whoever gets an answer finds them all; from then on
they are changed through its zone API, whose key is the lab's token.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from .dns_zones import Rrset, Zone, Zones
from .manifest import replace_file
from .node import NodeContext
from .real import NOBODY, PARTS, prefix_of

DATABASE = "pdns.sqlite3"
_NAMES = ("CNAME", "NS", "SOA")  # types of records that hold names: in the database these have no dot at the end


def command(program: str, context: NodeContext) -> tuple[str, ...]:
    """Its command line, once its settings and zones are written, to be run in its folder; started by root it is
    nobody, shut in there."""
    database = context.folder / DATABASE
    if not database.exists():
        schema = prefix_of(program) / PARTS["dns"].beside
        fill(database, schema.read_text(), Zones.first(database, context.layout).all())
    told = _settings(context) | _modules(program) | (_as_nobody(context.folder) if os.geteuid() == 0 else {})
    replace_file(context.folder / "pdns.conf", "".join(f"{name}={value}\n" for name, value in told.items()))
    return program, f"--config-dir={context.folder}"


def _settings(context: NodeContext) -> dict[str, object]:
    """It runs in its folder, and has its socket there by a path of its own: an absolute one may be too long for it."""
    spec = context.spec
    uncached = ("cache-ttl", "query-cache-ttl", "negquery-cache-ttl", "zone-cache-refresh-interval")
    single = ("receiver-threads", "distributor-threads", "signing-threads")
    return {
        "launch": "gsqlite3", "gsqlite3-database": context.folder / DATABASE, "gsqlite3-pragma-synchronous": 0,
        "gsqlite3-dnssec": "no", "local-address": spec.host, "local-port": spec.port, "api": "yes",
        "api-key": context.token, "webserver": "yes", "webserver-address": spec.host,
        "webserver-port": spec.ports["api"], "webserver-allow-from": "127.0.0.0/8", "enable-lua-records": "shared",
        "lua-records-exec-limit": 5000, "edns-subnet-processing": "yes", "zone-metadata-cache-ttl": 0,
        "consistent-backends": "yes", "expand-alias": "no", "socket-dir": ".", "daemon": "no",
        "guardian": "no", "disable-syslog": "yes", "security-poll-suffix": "",
        **dict.fromkeys(uncached, 0), **dict.fromkeys(single, 1),
    }  # fmt: skip


def _modules(program: str) -> dict[str, object]:
    """Its plug-ins are where it was built for; of one that was unpacked somewhere else, beside it."""
    found = sorted(prefix_of(program).glob("lib/*/pdns"))
    return {"module-dir": found[0]} if found else {}


def _as_nobody(folder: Path) -> dict[str, object]:
    """Who may reach nothing but this folder, which is why it is nobody's."""
    for path in (folder, *folder.glob(f"{DATABASE}*")):
        os.chown(path, NOBODY, NOBODY)
    inside = {"gsqlite3-database": f"/{DATABASE}", "socket-dir": "/"}
    return {"chroot": ".", "setuid": NOBODY, "setgid": NOBODY, **inside}


def fill(database: Path, schema: str, zones: list[Zone]) -> None:
    """Make a database with these zones, whole or not at all."""
    new = database.with_name(f"{database.name}.new")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new)) as made:
        made.executescript(schema)
        for number, zone in enumerate(zones, start=1):
            domain = (number, _bare(zone.name), zone.kind.upper())
            made.execute("INSERT INTO domains (id, name, type) VALUES (?, ?, ?)", domain)
            rows = [(number, *row) for rrset in zone.rrsets.values() for row in _rows(rrset)]
            columns = "domain_id, name, type, content, ttl, disabled, auth"
            # Columns are named two lines above; values are bound.
            made.executemany(f"INSERT INTO records ({columns}) VALUES (?, ?, ?, ?, ?, ?, 1)", rows)  # nosec B608
        made.commit()
    new.replace(database)


def _rows(rrset: Rrset) -> Iterator[tuple[str, str, str, int, bool]]:
    for content in rrset.contents:
        stored = " ".join(map(_bare, content.split(" "))) if rrset.type in _NAMES else content
        yield _bare(rrset.name), rrset.type, stored, rrset.ttl_s, content in rrset.off


def _bare(name: str) -> str:
    return name.removesuffix(".")
