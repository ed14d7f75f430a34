"""The store's part of the compose file: one Cassandra cluster, a data centre a region, a rack a zone.

Regions are joined by Toxiproxy alone. A node listens for its peers on its own address, at a port that no other node
has, and tells the cluster that it is at that port of the *far* side of the proxy into its region: so the other
region's nodes come through the proxy's link for this node. Nodes of its own region learn its own address by gossip
(``prefer_local``) and go there directly; before that they need the far side's address once, which is the one host
route that each node makes for itself.
"""

from typing import Any

from .addresses import REGIONS, ZONES, ContainerAddresses, numbers
from .layout import Layout, NodeSpec

HEAP = "320M"
_ENTRY = "ip route replace {told}/32 via {near} && exec docker-entrypoint.sh cassandra -f"
# C1 and a serial collector: half of the start, two thirds of the memory; no wait for gossip to settle.
_JAVA = (
    "-XX:+UseSerialGC", "-XX:-UseG1GC", "-XX:TieredStopAtLevel=1", "-da", "-Dcassandra.set_sep_thread_name=false",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=30000",
    "-Dcassandra.shutdown_announce_in_ms=500", "-Dcassandra.auto_bootstrap=false",
    "-Dcassandra.consistent.rangemovement=false", "-Dcassandra.config.allow_system_properties=true",
    "-Dcassandra.enable_nodelocal_queries=true",  # whoever compares replicas asks each for its own rows
)  # fmt: skip
# Small pools and caches for a node that serves a few hundred rows a second.
_SETTINGS = {
    "concurrent_reads": 8, "concurrent_writes": 16, "concurrent_counter_writes": 2, "concurrent_compactors": 1,
    "concurrent_materialized_view_writes": 2, "native_transport_max_threads": 16, "memtable_heap_space": "40MiB",
    "memtable_offheap_space": "40MiB", "memtable_flush_writers": 1, "commitlog_segment_size": "8MiB",
    "commitlog_total_space": "64MiB", "key_cache_size": "4MiB", "counter_cache_size": "0MiB",
    "file_cache_size": "32MiB", "networking_cache_size": "32MiB", "dynamic_snitch": "false",
    # Delivered faster, hints alone fill two cores once a slow start has made some: late ones are sent again.
    "hints_flush_period": "1000ms", "hinted_handoff_throttle": "64KiB", "max_hints_delivery_threads": 1,
    "hinted_handoff_enabled": "${SIMIAN_LAB_HINTS:-true}",
    # By default a node that is killed forgets what it took in the last ten seconds. (Were it synced before each
    # acknowledgement, two cores would come to a point where hints alone keep all writers waiting.)
    "commitlog_sync_period": "200ms", "periodic_commitlog_sync_lag_block": "10s",
}  # fmt: skip
_RACK_FILE = "/lab/rackdc.properties"


def service(node: NodeSpec, layout: Layout) -> dict[str, Any]:
    """What a store node has beside what all containers have."""
    near = ContainerAddresses("").inside("proxy", node.region, None)
    told = _told(node.region)
    return {
        "entrypoint": ["bash", "-c", _ENTRY.format(told=told, near=near[node.region])],
        "cap_add": ["NET_ADMIN"],
        "configs": [{"source": node.name, "target": _RACK_FILE}],
        "environment": {
            "CASSANDRA_CLUSTER_NAME": "lab",
            "CASSANDRA_DC": node.region,
            "CASSANDRA_RACK": _letter(node),
            "CASSANDRA_ENDPOINT_SNITCH": "GossipingPropertyFileSnitch",
            "CASSANDRA_NUM_TOKENS": "1",
            "CASSANDRA_SEEDS": ",".join(f"{_told(each)}:{_port(f'store-{each}-{ZONES[0]}')}" for each in REGIONS),
            "CASSANDRA_LISTEN_ADDRESS": node.host,
            "CASSANDRA_BROADCAST_ADDRESS": told,
            "CASSANDRA_RPC_ADDRESS": "0.0.0.0",  # nosec B104  # inside a closed network of containers
            "CASSANDRA_BROADCAST_RPC_ADDRESS": node.host,
            "MAX_HEAP_SIZE": HEAP,
            "HEAP_NEWSIZE": "96M",
            "JVM_EXTRA_OPTS": " ".join(
                [*_JAVA, *_own(node), *(f"-Dcassandra.settings.{k}={v}" for k, v in _SETTINGS.items())]
            ),
        },
        "depends_on": {f"proxy-{each}": {"condition": "service_started"} for each in REGIONS},
    }


def rack(node: NodeSpec) -> str:
    """The file that says where the node stands."""
    return f"dc={node.region}\nrack={_letter(node)}\nprefer_local=true\n"


def _own(node: NodeSpec) -> list[str]:
    """Port and token of this node. Tokens are spread evenly, those of the regions side by side."""
    at, third = numbers(node.region, _letter(node))
    token = -(2**63) + (2**64 // len(ZONES)) * (third - 1) + 100 * (at - 1)
    return [
        f"-Dcassandra.storage_port={_port(node.name)}",
        f"-Dcassandra.initial_token={token}",
        f"-Dcassandra-rackdc.properties=file://{_RACK_FILE}",
    ]


def _settings() -> list[str]:
    return [f"-Dcassandra.settings.{name}={value}" for name, value in _SETTINGS.items()]


def _told(region: str) -> str:
    """The address that the cluster knows a region's nodes by: the far side of the proxy into it."""
    far = next(each for each in REGIONS if each != region)
    return ContainerAddresses("").inside("proxy", region, None)[far]


def _port(store: str) -> int:
    return ContainerAddresses.storage_port(store)


def _letter(node: NodeSpec) -> str:
    return (node.zone or "").rpartition("-")[2]
