"""Kong in containers on a system that is not the lab: three regions of different sizes, one without zones.

Gateways, users and the counters they keep are this suite's own; a real PowerDNS leads the users.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..real_parts import part_missing
from .commands import CLEAN, Commands, told
from .docker_engine import FULL, PORT, RealEngine, SmallContainers, real_engine_fixture  # noqa: F401
from .sea import HOMES, SeaDns, Users
from .shop import Shop

IMAGE = "python:3.11-slim"
TOKEN = "t0ken"
PLACES = {
    **{f"north-{zone}": "north" for zone in "abc"},
    **{f"south-{zone}": "south" for zone in "ab"},
    "isle": "isle",
}


class Sea(Commands):
    """A web server and a gateway in each place; users of each home."""

    def __init__(self, containers: SmallContainers, folder: Path) -> None:
        super().__init__(folder)
        self.containers, self._shop = containers, Shop(containers, folder, places=PLACES, services=("web",))
        names = [f"gate-{place}" for place in PLACES]
        gates = {name: containers.free_address(containers.networks[PLACES[name[5:]]]) for name in names}
        at = {**containers.addresses, **gates}
        peers = {
            region: {
                kind + "s": [f"{at[f'{kind}-{place}']}:{PORT}" for place in places(region)] for kind in ("gate", "web")
            }
            for region in HOMES
        }
        source = Path(__file__).with_name("sea_gate.py").read_text()
        for name, address in gates.items():
            region, place = PLACES[name[5:]], name[5:]
            containers.add(
                name,
                image=IMAGE,
                region=region,
                command=("python", "-c", source),
                endpoint={"ipv4_address": address},
                environment={"REGION": region, "TOKEN": TOKEN, "PEERS": json.dumps(peers)},
                labels={
                    "simian.service": "gate", "simian.zone": "" if place == region else place,
                    "simian.visit": f"http://:{PORT}/order",
                },
            )  # fmt: skip
        self.dns = SeaDns(folder, {region: [gates[f"gate-{place}"] for place in places(region)] for region in HOMES})
        self.users = Users(self.dns.dns.udp, PORT, seed=7)
        self.configure(self._sections(gates))

    def close(self) -> None:
        self.users.close()
        self.dns.dns.close()

    def _sections(self, gates: Mapping[str, str]) -> dict[str, Any]:
        node = self.containers.name
        urls = {node(name): (f"http://{address}:{PORT}", PLACES[name[5:]]) for name, address in gates.items()}
        edge = {
            "token": TOKEN,
            "gateways": {name: {"url": f"{url}/admin", "region": region} for name, (url, region) in urls.items()},
            "members": {name: {"url": f"{url}/headroom", "region": region} for name, (url, region) in urls.items()},
        }
        served = {"http": f"{self.users.url}/ok", "measure": "number"}
        return self._shop.sections() | {
            "steering": self.dns.settings | {"edge": edge},
            "steady_state": [
                {"check": "orders are served", "probe": served, "every": "500ms", "tolerance": ">= 95", "misses": 2}
            ],
        }

    def kong(self, region: str, *flags: str, **options: Any) -> dict[str, Any]:
        counter = {"http": f"{self.users.url}/orders", "measure": "number"}
        return self.run({"monkey": "kong", "options": {"region": region, **options}, "exposure": counter}, *flags)

    def seen(self) -> tuple[Any, ...]:
        """Containers as the engine tells, the DNS's records, and what each gateway was told."""
        told = [
            self.containers.engine.run_in(self.containers.name(f"gate-{place}"), f"python -c '{_SETTINGS}'")
            for place in PLACES
        ]
        return self._shop.seen(), self.dns.records(), told


_SETTINGS = (
    "from urllib.request import *; print(urlopen(Request("
    f'"http://127.0.0.1:{PORT}/admin/settings", headers={{"authorization": "Bearer {TOKEN}"}})).read().decode())'
)


def places(region: str) -> list[str]:
    return [place for place, its in PLACES.items() if its == region]


@pytest.fixture(scope="module")
def sea(real_engine: RealEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sea]:
    if not real_engine.api.images(name=IMAGE):
        part_missing("images", f"pull {IMAGE}, or make images IMAGES={IMAGE}")
    containers = SmallContainers(real_engine, regions=tuple(HOMES))
    try:
        made = Sea(containers, tmp_path_factory.mktemp("sea"))
        try:
            made.users.wait_for(60)  # so that gateways have a load to tell of
            yield made
        finally:
            made.close()
    finally:
        containers.close()


@pytest.mark.timeout(900)
def test_the_head_room_of_the_one_that_was_named_is_looked_at_first(sea: Sea) -> None:
    before = sea.seen()
    record = sea.kong("north", to="isle")
    assert record["exit"] == 3, (record["reasons"], sea.users.served)
    assert "isle would have to carry" in record["reasons"][0]
    assert (record["faults"], sea.seen()) == ([], before)


def dark(sea: Sea, record: Mapping[str, Any]) -> set[str]:
    """The places of what was killed, by kind and place."""
    prefix = len(sea.containers.name(""))
    return {fault["target"][prefix:] for fault in record["faults"] if fault["kind"] == "kill"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("left", ["south", "isle"] if FULL else ["south"])
def test_users_leave_and_come_back_and_none_is_failed(sea: Sea, left: str) -> None:
    before, failed, served = sea.seen(), sea.users.failed.total(), Counter(sea.users.served)
    record = sea.kong(left, steps="50,0")
    assert told(record) == CLEAN, record["reasons"]
    assert all(fault["evidence"]["held"] for fault in record["faults"])
    assert dark(sea, record) == {f"web-{place}" for place in places(left)}
    came = Counter(sea.users.served) - served
    assert all(came[left, other] for other in HOMES if other != left), f"not all others took some of them: {came}"
    assert sea.users.failed.total() == failed, sea.users.failed
    assert sea.seen() == before


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not FULL, reason="takes a minute and a half; tests/test_three_regions_in_memory.py has it in memory"
)
def test_an_island_that_is_lost_at_once_is_left_for_the_region_that_was_named(sea: Sea) -> None:
    before, served = sea.seen(), Counter(sea.users.served)
    record = sea.kong("isle", to="north", hard=True)
    assert told(record) == CLEAN, record["reasons"]
    assert dark(sea, record) == {"web-isle", "gate-isle"}
    assert "uncounted" in [moment["name"] for moment in record["moments"]]  # its only gateway is dead
    came = Counter(sea.users.served) - served
    assert came["isle", "north"]
    assert not came["isle", "south"]
    assert sea.seen() == before
