"""Whole runs on a second system of containers: three regions of different sizes, one of them without zones."""

import io
import json
import shutil
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.runner import NO_DATA

from ..real_parts import part_missing
from .commands import CLEAN, told
from .conftest import PATIENCE_S
from .docker_engine import FULL, PORT, RealEngine, SmallContainers, real_engine_fixture  # noqa: F401
from .sea import HOMES, SeaDns
from .shop import Shop

PLACES = {
    **{f"north-{zone}": "north" for zone in "abc"},
    **{f"south-{zone}": "south" for zone in "ab"},
    "isle": "isle",
}
# One of each region stands in the networks of the others as well, as what replicates does.
AT_THE_EDGE = {"north": "web-north-a", "south": "web-south-a", "isle": "web-isle"}
TOXIPROXY = "ghcr.io/shopify/toxiproxy:2.12.0"
API_PORT, LINK_PORT = 8474, 20001
ONLY_DATA = [f"unknown: {NO_DATA}"]


@pytest.fixture(scope="module")
def shop(real_engine: RealEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    containers = SmallContainers(real_engine, regions=("north", "south", "isle"))
    try:
        made = Shop(containers, tmp_path_factory.mktemp("shop"), places=PLACES, services=("web",))
        for region, node in AT_THE_EDGE.items():
            for other in {*AT_THE_EDGE} - {region}:
                containers.join(node, other)
        yield made
    finally:
        containers.close()


def crossing(shop: Shop, *regions: str) -> set[str]:
    """Links between these regions: a container of one in the network of another."""
    pairs = [(one, other) for one in regions for other in regions if one != other]
    return {f"{shop.containers.networks[one]}--{shop.containers.name(AT_THE_EDGE[other])}" for one, other in pairs}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("region", ["north", "south", "isle"] if FULL else ["isle"])
def test_chaos_in_each_region_is_proven_and_put_back(shop: Shop, region: str) -> None:
    before = shop.seen()
    record = shop.run({"monkey": "chaos", "options": {"region": region, "how": "kill"}, "for": "4s"})
    assert (told(record), record["exit"]) == (CLEAN, 0), record["reasons"]
    (fault,) = record["faults"]
    assert f"web-{region}" in fault["target"]
    assert fault["evidence"]["held"] is True
    assert shop.seen() == before


@pytest.mark.timeout(900)
def test_gorilla_takes_a_zone_and_finds_none_where_there_is_none(shop: Shop) -> None:
    before, started = shop.seen(), shop.starts()
    record = shop.run({"monkey": "gorilla", "options": {"region": "south", "zone": "south-b"}, "for": "4s"})
    assert told(record) == CLEAN, record["reasons"]
    assert shop.seen() == before
    hit = {shop.containers.name("web-south-b")}
    assert {name for name, at in shop.starts().items() if at != started[name]} == hit
    refused = shop.run({"monkey": "gorilla", "options": {"region": "isle"}})
    assert "no node of region isle has a zone" in refused["error"]["reasons"][0], refused
    assert (refused["error"]["kind"], refused["exit"]) == ("usage", 2)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("between", "parted"),
    [("isle,rest", ()), ("all", ("isle", "north", "south")), ("isle,south", ("isle", "south"))][: 3 if FULL else 2],
)
def test_regions_are_cut_apart_by_the_networks_of_the_engine_and_joined_again(
    shop: Shop, between: str, parted: tuple[str, ...]
) -> None:
    before = shop.seen()
    cut = crossing(shop, *parted) if parted else crossing(shop, "isle", "north") | crossing(shop, "isle", "south")
    record = shop.run({"monkey": "split-brain", "options": {"between": between, "how": "blackhole"}, "for": "4s"})
    assert (told(record), record["reasons"]) == (("completed", "unknown", "clean"), ONLY_DATA)
    assert {fault["target"] for fault in record["faults"]} == cut
    assert all(fault["evidence"]["held"] for fault in record["faults"])
    assert shop.seen() == before


def servers(shop: Shop, service: str) -> dict[str, list[str]]:
    """The addresses of a service by region."""
    at = shop.containers.addresses
    return {region: [at[f"{service}-{place}"] for place, its in PLACES.items() if its == region] for region in HOMES}


@pytest.fixture
def sea_dns(shop: Shop, tmp_path: Path) -> Iterator[SeaDns]:
    made = SeaDns(tmp_path, servers(shop, "web"))
    config = shop.folder / "simian.yaml"
    plain = config.read_text()
    try:
        shop.configure(shop.sections() | {"steering": made.settings})
        yield made
    finally:
        config.write_text(plain)
        made.dns.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("region", "to"), [("north", "south"), ("isle", None)] if FULL else [("north", "south")])
def test_kong_moves_nobody_on_where_nobody_counts_who_arrives_and_puts_back_what_it_moved(
    shop: Shop, sea_dns: SeaDns, region: str, to: str | None
) -> None:
    """Users are led elsewhere by a real DNS, but the servers count no arrivals: that they follow cannot be shown."""
    before, started, records = shop.seen(), shop.starts(), sea_dns.records()
    how = {"monkey": "kong", "options": {"region": region} | ({"to": to} if to else {}), "for": "4s"}
    refused = shop.run(how)
    assert "whether the saviour has head-room cannot be told" in refused["reasons"][0]
    assert (refused["exit"], sea_dns.records()) == (3, records)
    record = shop.run(how, "--force-headroom")
    assert told(record) == ("aborted", "unknown", "clean"), record["reasons"]
    (shift,) = record["faults"]
    assert shift["evidence"]["held"] is None
    assert "arrivals none" in shift["evidence"]["seen"]
    saviours = {to} if to else {*HOMES} - {region}
    assert all(f"{saviour} " in shift["evidence"]["seen"] for saviour in saviours), "the DNS did as it was told"
    assert (shop.seen(), shop.starts(), sea_dns.records()) == (before, started, records)


def toxiproxy_image(api: Any) -> str:
    """The official image where it is there, else one of the program on PATH."""
    if api.images(name=TOXIPROXY):
        return TOXIPROXY
    program = shutil.which("toxiproxy-server")
    if program is None:
        part_missing("toxiproxy", f"pull {TOXIPROXY}, or put toxiproxy-server on PATH")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("toxiproxy")
        entry.mode, entry.size = 0o755, Path(program).stat().st_size
        tar.addfile(entry, io.BytesIO(Path(program).read_bytes()))
    api.import_image_from_data(packed.getvalue(), repository="simian-small-toxiproxy", tag="1")
    return "simian-small-toxiproxy:1"


@pytest.fixture
def through_toxiproxy(shop: Shop) -> Iterator[str]:
    """The way from the isle to the north leads through a Toxiproxy; its address."""
    api, name = shop.containers.api, shop.containers.name("proxy")
    image = toxiproxy_image(api)
    network, labels = shop.containers.networks["north"], {"com.docker.compose.project": shop.containers.project}
    labels |= {"simian.role": "instrument", "simian.region": "north"}
    address = shop.containers.free_address(network)
    ends = api.create_networking_config({network: api.create_endpoint_config(ipv4_address=address)})
    host = api.create_host_config(network_mode=network)
    begin: dict[str, Any] = {"entrypoint": ["/toxiproxy"], "command": ["-host=0.0.0.0"]}
    made = api.create_container(image, name=name, labels=labels, host_config=host, networking_config=ends, **begin)
    config = shop.folder / "simian.yaml"
    plain = config.read_text()
    try:
        api.start(made["Id"])
        yield address
    finally:
        config.write_text(plain)
        api.remove_container(made["Id"], force=True, v=True)


def asked(url: str, data: Any = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body, {"user-agent": "tests"}), timeout=PATIENCE_S) as answer:
        return json.load(answer)


@pytest.mark.timeout(900)
def test_a_link_between_two_regions_is_slowed_by_a_toxiproxy_beside_the_containers(
    shop: Shop, through_toxiproxy: str, until: Any
) -> None:
    url, link = f"http://{through_toxiproxy}:{API_PORT}", "web-isle--web-north-b"
    until(lambda: asked_or_none(f"{url}/version"), "Toxiproxy answers")
    upstream = f"{shop.containers.addresses['web-north-b']}:{PORT}"
    asked(f"{url}/proxies", {"name": link, "listen": f"0.0.0.0:{LINK_PORT}", "upstream": upstream, "enabled": True})
    ask = f"http://{through_toxiproxy}:{LINK_PORT}/cgi-bin/health"
    ends = {"source": shop.containers.name("web-isle"), "target": shop.containers.name("web-north-b")}
    regions = {"source_region": "isle", "target_region": "north"}
    links = [{"name": link, **ends, **regions, "ask": ask}]
    network = {"driver": "toxiproxy", "servers": {"north": url}, "links": links}
    network["nodes"] = {"north": shop.containers.name("proxy")}
    shop.configure({**shop.sections(network), "observer": {"driver": "socket"}})
    before = shop.seen(), asked(f"{url}/proxies")
    record = shop.run({"monkey": "latency", "options": {"link": link, "delay": "constant:150ms"}, "for": "4s"})
    assert told(record) == CLEAN, record["reasons"]
    (fault,) = record["faults"]
    assert fault["evidence"]["held"] is True
    assert (shop.seen(), asked(f"{url}/proxies")) == before


def asked_or_none(url: str) -> Any:
    try:
        return asked(url)
    except OSError:
        return None
