"""The lab in containers as a compose file: ``python -m simian_lab.compose`` prints the ``docker-compose.yml`` of it.

Each region is a network of its own, ``internal``: its containers have no route out of it. Only the two Toxiproxies
stand in both, and forward nothing. Gateways stand in their region and its edge; users and DNS in both edges, whose
default route leads nowhere. Images are the official ones, or those that ``make images`` builds under the same names.
"""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from . import compose_store
from .addresses import NETWORKS, REGIONS, ZONES, ContainerAddresses
from .container import ANYWHERE, TOKEN
from .layout import Layout, NodeSpec
from .manifest import PROJECT

FULL = "full"  # the profile of the second and third store node of a region
DEFAULT_TOKEN = "only-on-this-machine"  # nosec B105  # no secret: the lab listens on this machine only, and says so
IMAGES = {
    "gateway": "simian-lab:0.1.0",
    "members": "simian-lab:0.1.0",
    "users": "simian-lab:0.1.0",
    "cache": "memcached:1.6",
    "store": "cassandra:5.0",
    "queue": "softwaremill/elasticmq:1.7.1",
    "proxy": "ghcr.io/shopify/toxiproxy:2.12.0",
    "dns": "powerdns/pdns-auth-47:4.7.3",
}
MEMORY_MB = {
    "gateway": 128, "members": 160, "users": 160, "cache": 64, "store": 720, "queue": 256, "proxy": 64, "dns": 160,
}  # fmt: skip
HEALTH_EVERY_S = 10  # each look is a process of its own
_NOWHERE = 254  # last byte of an edge's default route: nobody is there
_DOOR_PORT = "${SIMIAN_LAB_FEED_PORT:-9900}"

_HTTP_WORKS = (
    "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.1\\r\\nHost: me\\r\\n\\r\\n' >&3 "
    '&& read -r -t 3 _ code _ <&3 && [ "$$code" = 200 ]'
)
_MEMCACHED_WORKS = (
    "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'version\\r\\n' >&3 "
    '&& read -r -t 3 word _ <&3 && [ "$$word" = VERSION ]'
)
_LISTENS = "exec 3<>/dev/tcp/127.0.0.1/{port}"


def compose() -> dict[str, Any]:
    """The whole file, as data."""
    layout, book = Layout.compute(flavour="docker"), ContainerAddresses("")
    services = {node.name: _service(node, layout, book) for node in layout.nodes}
    return {
        "name": PROJECT,
        "services": services,
        "networks": {name: _network(name, net) for name, net in NETWORKS.items()},
        "volumes": {name: {} for name in ("dns", *(f"queue-{region}" for region in REGIONS))},
        "configs": _configs(layout),
    }


def _network(name: str, net: str) -> dict[str, Any]:
    """None has a way out, not even where the engine keeps no firewall rules, which is all that `internal` is."""
    config: dict[str, Any] = {"subnet": f"{net}.0/24", "gateway": f"{net}.1"}
    config["aux_addresses"] = {"DefaultGatewayIPv4": f"{net}.{_NOWHERE}"}
    region = name.removeprefix("edge-")
    if name in REGIONS:
        return {"internal": True, "ipam": {"config": [config]}, "labels": {"simian.region": region}}
    return {"ipam": {"config": [config]}, "labels": {"simian.edge": region}}


def _service(node: NodeSpec, layout: Layout, book: ContainerAddresses) -> dict[str, Any]:
    """What every container has in common, and what those of its service have."""
    inside = book.inside(node.service, node.region, node.zone)
    made: dict[str, Any] = {
        "image": IMAGES[node.service],
        "container_name": node.name,
        "hostname": node.name,
        "restart": "unless-stopped",
        "mem_limit": f"{MEMORY_MB[node.service]}m",
        "labels": _labels(node),
        "networks": {net: {"ipv4_address": address} for net, address in inside.items()},
        "healthcheck": _health(node),
        "stop_grace_period": "5s",
    }
    if node.region:
        made["cpuset"] = f"${{SIMIAN_LAB_{node.region.upper()}_CPUS:-}}"
    return made | _PARTS[node.service](node, layout)


def _labels(node: NodeSpec) -> dict[str, str]:
    labels = {
        "simian.enabled": "true",
        "simian.service": node.service,
        "simian.role": node.role,
        "simian.ask": node.ask,
    }
    more = {
        "simian.region": node.region,
        "simian.zone": node.zone or "",
        "simian.ask_behind": node.ask_behind,
        "simian.visit": node.visit,
        "simian.calls": ",".join(node.calls),
    }
    return labels | {name: value for name, value in more.items() if value}


def _health(node: NodeSpec) -> dict[str, Any]:
    tests = {
        "cache": _MEMCACHED_WORKS,
        "store": _LISTENS,
        "users": _LISTENS,
    }
    test: list[str] = ["CMD", "bash", "-c", tests.get(node.service, _HTTP_WORKS).format(port=node.port, path="/health")]
    if node.service == "proxy":  # nothing but two programs is in its image
        test = ["CMD", "/toxiproxy-cli", "list"]
    if node.service == "dns":
        test = ["CMD", "pdns_control", "--socket-dir=/var/run/pdns", "rping"]
    # Generous: once well, a node on a starved machine whose looks are late would be called unhealthy for good by `up`.
    return {"test": test, "interval": f"{HEALTH_EVERY_S}s", "timeout": "20s", "retries": 6, "start_period": "300s"}


# --- what the containers of one service have ---


def _ours(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    told = {
        TOKEN: f"${{{TOKEN}:-{DEFAULT_TOKEN}}}",
        "SIMIAN_LAB_SEED": "${SIMIAN_LAB_SEED:-0}",
        "SIMIAN_LAB_RATE": "${SIMIAN_LAB_RATE:-50}",
        "SIMIAN_LAB_STORES": f"${{SIMIAN_LAB_STORES:-{len(ZONES)}}}",
        "SIMIAN_LAB_WEAKNESS": "${SIMIAN_LAB_WEAKNESS:-}",
    }
    return {"command": ["python", "-m", "simian_lab.container", node.name], "environment": told}


def _users(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    """They come once everybody is well: before that their requests would but keep the stores from starting."""
    published = {"ports": [f"127.0.0.1:{_DOOR_PORT}:{node.port}"]}
    served_by = [one.name for service in ("gateway", "members") for one in layout.nodes_of(service)]
    well = {"condition": "service_healthy", "required": False}  # a weakness may leave some of them out
    return _ours(node, layout) | published | {"depends_on": dict.fromkeys(["dns", *served_by], well)}


def _cache(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    return {"command": ["memcached", "-p", str(node.port), "-U", "0", "-m", "32", "-t", "1", "-c", "256"]}


def _queue(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    return {
        "configs": [{"source": node.name, "target": "/opt/elasticmq.conf"}],
        "volumes": [f"{node.name}:/data"],
        "environment": {"JAVA_TOOL_OPTIONS": " ".join(_QUEUE_JAVA)},
    }


# A small machine of its own: it serves a few dozen messages a second.
_QUEUE_JAVA = (
    "-Xms16m", "-Xmx64m", "-Xss512k", "-XX:MaxMetaspaceSize=96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
)  # fmt: skip


def _proxy(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    config = "/config/toxiproxy.json"
    return {
        "command": [f"-host={ANYWHERE}", f"-config={config}", "-proxy-metrics"],
        "configs": [{"source": node.name, "target": config}],
        "sysctls": {"net.ipv4.ip_forward": "0"},
    }


def _dns(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    return {
        "environment": {"PDNS_AUTH_API_KEY": f"${{{TOKEN}:-{DEFAULT_TOKEN}}}"},
        "configs": [{"source": "dns", "target": "/etc/powerdns/pdns.d/lab.conf"}],
        "volumes": ["dns:/var/lib/powerdns"],
        "sysctls": {"net.ipv4.ip_forward": "0"},
    }


_PARTS = {
    "gateway": _ours,
    "members": _ours,
    "users": _users,
    "cache": _cache,
    "store": lambda node, layout: compose_store.service(node, layout) | _profile(node),
    "queue": _queue,
    "proxy": _proxy,
    "dns": _dns,
}


def _profile(node: NodeSpec) -> dict[str, Any]:
    return {} if node.name.endswith(f"-{ZONES[0]}") else {"profiles": [FULL]}


# --- files ---


def _configs(layout: Layout) -> dict[str, Any]:
    found = {node.name: _toxiproxy(layout, node) for node in layout.nodes_of("proxy")}
    found |= {node.name: _elasticmq(node) for node in layout.nodes_of("queue")}
    found |= {node.name: compose_store.rack(node) for node in layout.nodes_of("store")}
    found["dns"] = _powerdns(layout.node("dns"))
    return {name: {"content": text} for name, text in found.items()}


def _toxiproxy(layout: Layout, proxy: NodeSpec) -> str:
    links = layout.links_into(proxy.name)
    shapes = [{"name": one.name, "listen": f"[::]:{one.listen_port}", "upstream": one.upstream} for one in links]
    lines = [json.dumps(shape | {"enabled": True}) for shape in shapes]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _elasticmq(node: NodeSpec) -> str:
    return f"""include classpath("application.conf")
node-address {{ protocol = http, host = "{node.host}", port = {node.port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-port = {node.port}, bind-hostname = "{ANYWHERE}", sqs-limits = strict }}
rest-stats {{ enabled = false }}
generate-node-address = false
messages-storage {{ enabled = true, uri = "jdbc:h2:/data/elasticmq;WRITE_DELAY=0" }}
"""


def _powerdns(node: NodeSpec) -> str:
    settings = {
        "local-port": node.port, "webserver-port": node.ports["api"], "enable-lua-records": "shared",
        "lua-records-exec-limit": 5000, "edns-subnet-processing": "yes", "gsqlite3-pragma-synchronous": 0,
        "zone-metadata-cache-ttl": 0, "cache-ttl": 0, "query-cache-ttl": 0, "negquery-cache-ttl": 0,
        "zone-cache-refresh-interval": 0, "consistent-backends": "yes", "expand-alias": "no", "receiver-threads": 1,
        "distributor-threads": 1, "signing-threads": 1, "security-poll-suffix": "",
    }  # fmt: skip
    return "".join(f"{name}={value}\n" for name, value in settings.items())


HEADER = """\
# The two-region lab in containers; made by `python -m simian_lab.compose`, which says why things are as they are.
#   docker compose up -d --wait                                             three store nodes a region
#   SIMIAN_LAB_STORES=1 docker compose --profile small up -d --wait         one
# Images come from their registries, or from `make images` under the same names (docs/images.md).
"""


_PLAIN = re.compile(r"(?!(true|false|yes|no|on|off|null)$)[a-z][a-z0-9/._-]*(:[0-9.a-z-]+)?")


def text(shape: Any, indent: int = 0) -> str:
    """Data as YAML in block style: every text that could be taken for something else is quoted."""
    pad = "  " * indent
    if isinstance(shape, Mapping):
        return "".join(f"{pad}{key}:{_value(value, indent)}" for key, value in shape.items())
    return "".join(f"{pad}- {json.dumps(value)}\n" for value in shape)  # JSON is YAML


def _value(value: Any, indent: int) -> str:
    """What stands behind a key, the end of the line included."""
    if isinstance(value, Mapping | list):
        return "\n" + text(value, indent + 1) if value else f" {json.dumps(value)}\n"
    if isinstance(value, str) and "\n" in value:
        return " |\n" + "".join(f"{'  ' * (indent + 1)}{line}\n" for line in value.splitlines())
    plain = isinstance(value, str) and _PLAIN.fullmatch(value)
    return f" {value if plain else json.dumps(value)}\n"


def main() -> int:
    """Print the file."""
    sys.stdout.write(HEADER + text(compose()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
