"""One node of the lab as a container: told by its environment, served on every address that the container has.

``python -m simian_lab.container NODE`` is that node until SIGTERM. What a node is told: ``Told``. The users, who are
the first to ask the DNS server, write the zones of a new lab into it; those that are there are left as they are.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from . import node
from .dns_zones import Zone, Zones
from .layout import ZONES, Layout
from .manifest import HEALTHY_LAB, Files, LabError, Manifest, Process
from .node import NodeContext, load, run
from .weaknesses import weakness

ANYWHERE = "0.0.0.0"  # nosec B104  # inside a closed network of containers
REAL = {"toxiproxy": "toxiproxy", "memcached": "memcached", "dns": "powerdns", "sqs": "elasticmq", "store": "cassandra"}
TOKEN = "SIMIAN_LAB_TOKEN"  # nosec B105  # the name of a variable
RATE = 50.0  # two cores carry more users than that, and the ring of stores beside them
# Java that has just started carries a tenth of that: met with all of it at once, every request fails, is tried again,
# and keeps all others from being served for good.
WARM_UP_REQUESTS = 1000
_PATIENCE_S, _PAUSE_S = 120.0, 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """What every container of the lab is told by variables of its environment.

    ``SIMIAN_LAB_TOKEN``: of its admin and fault APIs. ``SIMIAN_LAB_SEED``, ``SIMIAN_LAB_RATE`` (users' requests a
    second), ``SIMIAN_LAB_STORES`` (store nodes a region), ``SIMIAN_LAB_WEAKNESS`` (the flaw it is built with).
    """

    token: str
    seed: int = 0
    rate: float = RATE
    stores: int = len(ZONES)
    weakness: str = ""

    @classmethod
    def by(cls, environment: Mapping[str, str]) -> "Told":
        """Raises ``LabError`` for what is missing or no number."""
        if not environment.get(TOKEN):
            raise LabError(f"{TOKEN} is not set; give all containers of the lab the same secret text")
        try:
            return cls(
                environment[TOKEN],
                int(environment.get("SIMIAN_LAB_SEED") or 0),
                float(environment.get("SIMIAN_LAB_RATE") or RATE),
                int(environment.get("SIMIAN_LAB_STORES") or len(ZONES)),
                environment.get("SIMIAN_LAB_WEAKNESS", ""),
            )
        except ValueError as error:
            raise LabError(f"SIMIAN_LAB_SEED, _RATE and _STORES are numbers: {error}") from error

    def manifest(self, files: Files, seen_from: str = "") -> Manifest:
        """The manifest of this lab. Raises ``LabError`` for a weakness that is unknown."""
        layout = Layout.compute(flavour="docker", stores=self.stores, seen_from=seen_from)
        flaw = weakness(self.weakness)
        absent = flaw.absent if flaw else frozenset()
        nobody = {node.name: Process((), held=node.name in absent) for node in layout.nodes}
        changes = flaw.at(self.rate) if flaw else HEALTHY_LAB
        return Manifest(
            files, layout, self.seed, self.rate, self.token, time.time(), None, nobody, REAL, self.weakness, changes
        )


def context_of(told: Told, name: str, folder: Path) -> NodeContext:
    """What this container is told as node ``name``. Raises ``LabError`` when there is no such node."""
    layout = Layout.compute(flavour="docker", stores=told.stores)
    names = [each.name for each in layout.nodes]
    if name not in names:
        raise LabError(f"no node is called {name}; there are {', '.join(names)}")
    manifest = told.manifest(Files(folder), seen_from=layout.node(name).region)
    as_process = node.context_of(manifest, name)
    return replace(as_process, spec=replace(as_process.spec, host=ANYWHERE), folder=folder)


def be_users(told: Told, folder: Path) -> None:
    """Let the users take this process's place, who read a manifest and are no part of this package."""
    shape = told.manifest(Files(folder)).to_json()
    for each in shape["nodes"]:
        if each["name"] == "users":
            each["address"] = f"{ANYWHERE}:{each['address'].rpartition(':')[2]}"
    path = folder / "manifest.json"
    path.write_text(json.dumps(shape))
    warm_up = ("--warm-up", str(WARM_UP_REQUESTS))
    os.execv(sys.executable, [sys.executable, "-m", "simian.load", "--manifest", str(path), *warm_up])


# --- the zones of a new lab ---


def write_zones(told: Told, folder: Path) -> None:
    """Make the zones that the DNS server lacks, once it answers. Raises ``LabError`` when it does not in time."""
    layout = Layout.compute(flavour="docker", stores=told.stores)
    dns = layout.node("dns")
    url = f"http://{dns.host}:{dns.ports['api']}/api/v1/servers/localhost/zones"
    for zone in Zones.first(folder / "zones", layout).all():
        _post(url, told.token, _made(zone))


def _made(zone: Zone) -> dict[str, Any]:
    rrsets = [{**rrset.to_json(), "changetype": "REPLACE"} for rrset in zone.rrsets.values() if rrset.type != "SOA"]
    return {"name": zone.name, "kind": zone.kind, "nameservers": [], "soa_edit_api": "", "rrsets": rrsets}


def _post(url: str, token: str, shape: Mapping[str, Any]) -> None:
    """Make one zone; content when it is there already."""
    headers = {"X-API-Key": token, "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(shape).encode(), headers)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            # An address of the lab, http:// from its own layout.
            urllib.request.urlopen(request, timeout=5).close()  # nosec B310
            return
        except urllib.error.HTTPError as error:
            if error.code == 409:
                return
            raise LabError(f"the DNS server refused zone {shape['name']}: {error.read()[:300]!r}") from error
        except OSError as error:
            if time.monotonic() > deadline:
                raise LabError(f"the DNS server at {url} does not answer after {_PATIENCE_S:g} s: {error}") from error
            time.sleep(_PAUSE_S)


def main() -> int:
    """Be the node that the command line names; 2 when it cannot be one."""
    parser = argparse.ArgumentParser(prog="python -m simian_lab.container")
    parser.add_argument("node", help="a gateway, a members node, or users")
    options = parser.parse_args()
    folder = Path(mkdtemp(prefix="simian-lab-"))
    try:
        told = Told.by(os.environ)
        if options.node == "users":
            write_zones(told, folder)
            be_users(told, folder)
        context = context_of(told, options.node, folder)
        return run(load(context.spec.service), context)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
