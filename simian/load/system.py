"""The system that the users use, as its manifest tells (docs/wire.md)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Names only, known to the DNS's geo rules: no packet ever goes there. In order of the regions' names.
NETWORKS = ("198.18", "198.19")
RATE = 200.0  # requests a second, where the manifest names none
HTTP_PORT = 80
STICKY_S = 600.0  # so long a resolver that ignores TTLs keeps an answer, unless told otherwise


class NoManifest(Exception):
    """The manifest is missing or is not one; the text says what was wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway by its node's ``name``, and where it really listens."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class System:
    """``homes``: region -> first two bytes of its users' subnets; ``gateways`` by the address that the DNS answers.

    That address is the gateway's host, or a mere name for it where all gateways share one host and differ by port only.
    ``sticky_share``: that of the subnets whose resolvers ignore TTLs and keep answers for ``sticky_s``.
    """

    dns: tuple[str, int]
    name: str
    feed: tuple[str, int]
    gateways: Mapping[str, Gateway]
    homes: Mapping[str, str]
    seed: int
    rate: float = RATE
    sticky_share: float = 0.0
    sticky_s: float = STICKY_S

    @classmethod
    def read(cls, path: Path) -> "System":
        """From the manifest's file. Raises NoManifest."""
        try:
            return cls.from_json(json.loads(path.read_text()))
        except FileNotFoundError:
            raise NoManifest(f"there is no manifest {path}; bring the lab up first") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoManifest(f"{path} is no manifest of a lab ({error!r}); take the lab down and up again") from error

    @classmethod
    def from_json(cls, manifest: Mapping[str, Any]) -> "System":
        """From the manifest itself. Raises ValueError, KeyError and their like for what is none."""
        nodes = manifest["nodes"]
        by_name = {node["name"]: node for node in nodes}
        gateways = [node for node in nodes if node["service"] == "gateway"]
        regions = sorted({node["region"] for node in gateways})
        by_address = {
            node.get("dns_address") or host: Gateway(node["name"], host, port)
            for node in gateways for host, port in [_address(node["address"])]
        }  # fmt: skip
        if not gateways or len(by_address) < len(gateways) or len(regions) > len(NETWORKS):
            raise ValueError(
                f"users need gateways, each with a dns_address of its own (a DNS answer holds no port), in at most "
                f"{len(NETWORKS)} regions, not {len(gateways)} with {sorted(by_address)} in {regions}"
            )
        habits = manifest.get("changes", {}).get("users", {})
        dns, _, name = by_name["dns"]["ask"].removeprefix("dns://").partition("/")
        return cls(
            dns=_address(dns), name=name, feed=_address(by_name["users"]["address"]),
            gateways=by_address, homes=dict(zip(regions, NETWORKS, strict=False)), seed=int(manifest["seed"]),
            rate=float(manifest.get("rate", RATE)),
            sticky_share=float(habits.get("sticky_share", 0.0)), sticky_s=float(habits.get("sticky_s", STICKY_S)),
        )  # fmt: skip

    def endpoint(self, address: str) -> tuple[str, int]:
        """Where to connect for an address that the DNS answered.

        One that is no gateway's is taken as it is, at the port which all gateways have, else at that of HTTP.
        """
        known = self.gateways.get(address)
        if known is not None:
            return known.host, known.port
        ports = {gateway.port for gateway in self.gateways.values()}
        return address, ports.pop() if len(ports) == 1 else HTTP_PORT

    def address_of(self, host: str, port: int) -> str:
        """The address by which the DNS knows who listens there; ``host:port`` where that is no gateway."""
        found = (address for address, each in self.gateways.items() if (each.host, each.port) == (host, port))
        return next(found, f"{host}:{port}")

    def node_at(self, address: str) -> str:
        """The name of the gateway with this address; the address itself where there is none."""
        known = self.gateways.get(address)
        return known.name if known is not None else address


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
