"""A system of small containers: services in zones, and a front that asks web servers until one answers.

It begins with the one that answered last: asking a killed one first each time would make it slow for as long as that is
away.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .commands import Commands
from .docker_engine import IMAGE, PORT, SmallContainers

ZONES = {"east-a": "east", "east-b": "east", "west-a": "west"}
FRONT = """
echo 'while read line && [ "${#line}" -gt 1 ]; do :; done  # all of it: else the connection ends with a reset
for host in $(cat /answered) %s; do
  answer=$(printf "GET /cgi-bin/health HTTP/1.0\\r\\n\\r\\n" | timeout 3 nc -w 1 $host 8000)
  [ -z "$answer" ] || { echo $host > /answered; exec echo "$answer"; }
done' > /front
touch /answered
while :; do nc -ll -p 8000 -e sh /front; done
"""


class Shop(Commands):
    """Services in places, a place being a zone or, where it has the name of its region, none."""

    def __init__(
        self,
        containers: SmallContainers,
        folder: Path,
        asked: Sequence[str] = (),
        misses: int = 2,
        *,
        places: Mapping[str, str] = ZONES,
        services: Sequence[str] = ("web", "store"),
    ) -> None:
        """The front asks the web servers of these places; a busy machine may keep it from ``misses`` of its answers."""
        super().__init__(folder)
        self.containers = containers
        for place, region in places.items():
            for service in services:
                labels = {"simian.service": service, "simian.zone": "" if place == region else place}
                containers.add(f"{service}-{place}", region=region, labels=labels)
        webs = " ".join(containers.addresses[f"web-{place}"] for place in asked or places)
        instrument = {"simian.enabled": "false", "simian.role": "instrument"}
        containers.add("front", region=min(places.values()), command=FRONT % webs, labels=instrument)
        self.configure(self.sections(misses=misses))

    def sections(self, network: Mapping[str, Any] | None = None, *, misses: int = 2) -> dict[str, Any]:
        """What ``simian.yaml`` says."""
        probe = {"http": f"http://{self.containers.addresses['front']}:{PORT}/"}
        check = {"check": "the front answers", "probe": probe, "every": "500ms", "deadline": "20s"}
        return {
            "system": self.containers.project,
            "limits": {"radius": "system"},
            "platform": self.containers.settings,
            "network": dict(network or {"driver": "docker"}),
            "observer": {"driver": "sidecar", "image": IMAGE},
            "steady_state": [{**check, "tolerance": ">= 90 %", "misses": misses}],
        }

    def seen(self) -> dict[str, Any]:
        """The containers as the engine tells: ids, states, networks, aliases, addresses, MACs; our volumes."""
        ours = {"label": f"com.docker.compose.project={self.containers.project}"}
        names = [each["Names"][0].lstrip("/") for each in self.containers.api.containers(all=True, filters=ours)]
        return {name: self._one(name) for name in sorted(names)} | {"volumes": self.containers.volumes()}

    def _one(self, name: str) -> dict[str, Any]:
        shape = self.containers.engine.inspect(name)
        ends = shape["NetworkSettings"]["Networks"]
        kept = ("IPAMConfig", "Links", "IPAddress", "MacAddress", "DriverOpts", "Gateway")
        places = {net: {key: end[key] for key in kept} for net, end in ends.items()}
        aliases = {net: sorted(end["Aliases"] or []) for net, end in ends.items()}
        return {"id": shape["Id"], "state": shape["State"]["Status"], "places": places, "aliases": aliases}

    def starts(self) -> dict[str, str]:
        """When each container was started."""
        return {name: self.containers.engine.inspect(name)["State"]["StartedAt"] for name in self.seen() if "-" in name}
