"""The lab in containers, as its compose file has it: what stands where, what can reach what, and nothing left out."""

import json
from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from simian_lab.addresses import REGIONS
from simian_lab.compose import FULL, HEADER, compose, text
from simian_lab.layout import Layout

FILE = Path(__file__).parent.parent.parent / "docker-compose.yml"
LAYOUT = Layout.compute(flavour="docker")


@pytest.fixture(scope="module")
def shape() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(FILE.read_text())
    return found


def test_the_file_is_what_the_lab_makes_of_it(shape: dict[str, Any]) -> None:
    assert FILE.read_text() == HEADER + text(compose()), "run: python -m simian_lab.compose > docker-compose.yml"
    made = json.loads(json.dumps(compose()))
    assert shape == made  # what the writer of YAML means is what a reader of it finds


def test_every_node_of_the_layout_is_a_container_with_its_labels(shape: dict[str, Any]) -> None:
    assert list(shape["services"]) == [node.name for node in LAYOUT.nodes]
    for node in LAYOUT.nodes:
        service = shape["services"][node.name]
        labels = service["labels"]
        told = (labels["simian.service"], labels["simian.role"], labels.get("simian.region", ""))
        assert told == (node.service, node.role, node.region)
        assert labels.get("simian.zone") == node.zone
        assert service["container_name"] == node.name
        assert service["mem_limit"]
        assert service["healthcheck"]["test"]


def test_only_the_proxies_stand_in_both_regions(shape: dict[str, Any]) -> None:
    both = [name for name, one in shape["services"].items() if set(REGIONS) <= set(one["networks"])]
    assert both == ["proxy-east", "proxy-west"]
    assert all(shape["services"][name]["sysctls"] == {"net.ipv4.ip_forward": "0"} for name in both)
    assert all(shape["networks"][region]["internal"] for region in REGIONS)


def test_gateways_stand_in_their_region_and_its_edge_users_and_dns_in_both_edges_only(shape: dict[str, Any]) -> None:
    for name, one in shape["services"].items():
        region = name.split("-")[1] if "-" in name else ""
        expected = {
            "gateway": {region, f"edge-{region}"},
            "users": {"edge-east", "edge-west"},
            "dns": {"edge-east", "edge-west"},
            "proxy": set(REGIONS),
        }.get(name.partition("-")[0], {region})
        assert set(one["networks"]) == expected, name


def test_an_edge_has_no_way_out_of_it(shape: dict[str, Any]) -> None:
    taken = {end["ipv4_address"] for one in shape["services"].values() for end in one["networks"].values()}
    for region in REGIONS:
        (config,) = shape["networks"][f"edge-{region}"]["ipam"]["config"]
        assert config["aux_addresses"]["DefaultGatewayIPv4"] not in taken | {config["gateway"]}


def test_every_address_is_given_out_once_and_lies_in_its_network(shape: dict[str, Any]) -> None:
    ends = [(net, end["ipv4_address"]) for one in shape["services"].values() for net, end in one["networks"].items()]
    assert max(Counter(ends).values()) == 1
    for net, address in ends:
        (config,) = shape["networks"][net]["ipam"]["config"]
        assert ip_address(address) in ip_network(config["subnet"])
        assert address != config["gateway"]


def test_every_link_between_regions_leads_through_the_proxy_into_the_target_s_region(shape: dict[str, Any]) -> None:
    for link in LAYOUT.links:
        proxies = json.loads(shape["configs"][link.proxy]["content"])
        (proxy,) = [one for one in proxies if one["name"] == link.name]
        assert proxy["upstream"] == link.upstream
        assert proxy["listen"] == f"[::]:{link.listen_port}"
        seen_by_source = shape["services"][link.proxy]["networks"][link.source_region]["ipv4_address"]
        assert link.listen_host == seen_by_source
        inner = shape["services"][link.target]["networks"][link.target_region]["ipv4_address"]
        assert link.upstream_host == inner


def test_no_port_of_a_proxy_is_used_twice() -> None:
    for region in REGIONS:
        ports = [link.listen_port for link in LAYOUT.links_into(f"proxy-{region}")]
        assert len(ports) == len(set(ports))


def test_small_has_one_store_node_a_region(shape: dict[str, Any]) -> None:
    stores = [name for name in shape["services"] if name.startswith("store-")]
    small = [name for name in stores if "profiles" not in shape["services"][name]]
    assert small == [node.name for node in Layout.compute(flavour="docker", stores=1).nodes_of("store")]
    assert all(shape["services"][name]["profiles"] == [FULL] for name in set(stores) - set(small))


def test_the_limits_of_memory_are_within_what_is_promised(shape: dict[str, Any]) -> None:
    def sum_mb(small: bool) -> int:
        chosen = [one for one in shape["services"].values() if not (small and "profiles" in one)]
        return sum(int(one["mem_limit"].removesuffix("m")) for one in chosen)

    assert sum_mb(small=False) <= 8 * 1024
    assert sum_mb(small=True) <= 4.5 * 1024  # what is used of it is less: docs/lab.md has the figures


def test_nobody_else_is_met_at_another_s_address_by_whoever_looks() -> None:
    for region in REGIONS:
        seen = Layout.compute(flavour="docker", seen_from=region)
        addresses = [node.address for node in seen.nodes]
        assert len(addresses) == len(set(addresses))
        assert (
            seen.node("dns").host
            != Layout.compute(flavour="docker", seen_from=seen.other_region(region)).node("dns").host
        )
