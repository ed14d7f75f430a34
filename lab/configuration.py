"""The ``simian.yaml`` that fits a lab, written beside its manifest."""

import json
from typing import Any

from .layout import HOME_NETWORKS, REGIONS
from .manifest import PROJECT, Manifest, replace_file

_MANY = 150.0  # requests a second
# A lost zone has a sixth of the gateways, and the first tries at them fail until devices know: in a short run, all the
# while. Twice that is no chance; of a lost region's gateways it would be half.
_FIRST_TRIES = ">= 66 %"
_QUEUE = "/000000000000/invalidations"  # account and name, as members address it


def write_configuration(manifest: Manifest) -> None:
    """Write ``simian.yaml`` and the token file it refers to, both for our eyes only."""
    replace_file(manifest.files.token, manifest.token)
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in configuration(manifest).items())  # JSON is YAML
    replace_file(manifest.files.configuration, f"# Written by the lab when it came up; gone when it goes down.\n{text}")


def configuration(manifest: Manifest) -> dict[str, Any]:
    """The keys of ``simian.yaml`` and their values."""
    layout = manifest.layout
    servers = {region: f"http://{layout.node(f'proxy-{region}').address}" for region in REGIONS}
    links = [
        {key: link.to_json()[key] for key in ("name", "source", "target", "source_region", "target_region", "ask")}
        for link in layout.links
    ]
    token = {"file": str(manifest.files.token)}
    services = {node.name: {"url": node.faults_url, "token": token} for node in layout.nodes if node.faults_url}
    return {
        "system": "lab",
        "platform": _platform(manifest),
        "network": {
            "driver": "toxiproxy",
            "servers": servers,
            "links": links,
            "nodes": {region: f"proxy-{region}" for region in REGIONS},
        },
        "requests": {"driver": "filter", "services": services},
        "data": _data(manifest),
        "steering": _steering(manifest),
        "observer": {"driver": "socket"},
        "users": {"feed": manifest.feed or layout.node("users").address},
        "limits": {"radius": "system"},
        "steady_state": _checks(manifest.rate),
        "abort": [{"check": "streams start", "below": "90 %"}],
        **({"recover_within": "180s"} if layout.flavour == "docker" else {}),  # Cassandra takes its time to come back
    }


def _platform(manifest: Manifest) -> dict[str, Any]:
    if manifest.layout.flavour == "docker":
        return {"driver": "docker", "project": PROJECT, "url": manifest.engine}
    return {"driver": "process", "manifest": str(manifest.files.manifest)}


def _data(manifest: Manifest) -> dict[str, Any]:
    """Every node at its own address: data is looked at past the links, which may be cut."""
    layout = manifest.layout

    def urls(service: str, region: str | None = None, path: str = "") -> dict[str, str]:
        return {node.name: f"http://{node.address}{path}" for node in layout.nodes_of(service, region)}

    is_cassandra = manifest.real.get("store") == "cassandra"
    return {
        "driver": "cassandra" if is_cassandra else "lab",
        "write": {region: list(urls("gateway", region).values()) for region in REGIONS},
        "stores": {node.name: node.address for node in layout.nodes_of("store")} if is_cassandra else urls("store"),
        "caches": {node.name: node.address for node in layout.nodes_of("cache")},
        "members": urls("members"),
        "queues": urls("queue", path=_QUEUE),
    }


def _steering(manifest: Manifest) -> dict[str, Any]:
    """Users are moved at the switches of the DNS, mis-routed ones are looked after by the gateways."""
    layout, token = manifest.layout, {"file": str(manifest.files.token)}
    dns = layout.node("dns")
    ask, _, name = dns.ask.removeprefix("dns://").partition("/")
    gateways, members = layout.nodes_of("gateway"), layout.nodes_of("members")
    return {
        "driver": "dns",
        "provider": "powerdns",
        "url": f"http://{dns.host}:{dns.ports['api']}",
        "key": token,
        "ask": ask,
        "name": name,
        "homes": {home: {"switch": f"{home}.switch.lab.", "subnets": [net]} for home, net in HOME_NETWORKS.items()},
        "regions": {
            region: {
                "target": f"{region}.gw.lab.",
                "addresses": [node.dns_address for node in layout.nodes_of("gateway", region)],
            }
            for region in REGIONS
        },
        "edge": {
            "token": token,
            "gateways": {
                node.name: {"url": f"http://{node.address}/admin", "region": node.region} for node in gateways
            },
            "members": {
                node.name: {"url": f"http://{node.address}/headroom", "region": node.region} for node in members
            },
        },
    }


def _checks(rate: float) -> list[dict[str, Any]]:
    """A share can be judged of so many requests only: what fewer users ask has a wider tolerance."""
    streams, requests = ("99.5 %", "99.9 %") if rate >= _MANY else ("98 %", "99.5 %")
    return [
        {"check": "streams start", "probe": {"users": "success_share", "kind": "play"}, "tolerance": f">= {streams}"},
        {"check": "requests succeed", "probe": {"users": "success_share"}, "tolerance": f">= {requests}"},
        {"check": "first tries", "probe": {"users": "first_try_share"}, "tolerance": _FIRST_TRIES},
        {"check": "latency", "probe": {"users": "p99_ms"}, "tolerance": "<= 1000 ms"},
        {"check": "calls per request", "probe": {"users": "calls_per_request"}, "tolerance": "<= 1.5 x baseline"},
    ]
