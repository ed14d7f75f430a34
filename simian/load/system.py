"""The system that the users use, as its manifest tells (docs/wire.md)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Names only, known to the DNS's geo rules: no packet ever goes there. In order of the regions' names.
NETWORKS = ("198.18", "198.19")
RATE = 200.0  # requests a second, where the manifest names none


class NoManifest(Exception):
    """The manifest is missing or is not one; the text says what was wrong and what to do."""


@dataclass(frozen=True, slots=True)
class System:
    """``homes``: region -> first two bytes of its users' subnets; ``gateways``: address -> node."""

    dns: tuple[str, int]
    name: str
    feed: tuple[str, int]
    port: int
    gateways: Mapping[str, str]
    homes: Mapping[str, str]
    seed: int
    rate: float = RATE

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
        ports = {_address(node["address"])[1] for node in gateways}
        if len(ports) != 1 or len(regions) > len(NETWORKS):
            raise ValueError(
                f"users need gateways of one port (a DNS answer holds none) in at most {len(NETWORKS)} regions, "
                f"not ports {sorted(ports)} in {regions}"
            )
        dns, _, name = by_name["dns"]["ask"].removeprefix("dns://").partition("/")
        return cls(
            dns=_address(dns), name=name, feed=_address(by_name["users"]["address"]), port=ports.pop(),
            gateways={_address(node["address"])[0]: node["name"] for node in gateways},
            homes=dict(zip(regions, NETWORKS, strict=False)), seed=int(manifest["seed"]),
            rate=float(manifest.get("rate", RATE)),
        )  # fmt: skip


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
