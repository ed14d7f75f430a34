"""The tables that the lab keeps in Cassandra, made by whoever comes first, and as well by several at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

KEYSPACE = "lab"
KV = f"{KEYSPACE}.kv"  # a key, and its value as JSON text; the cell's time is that of the write
LATELY = f"{KEYSPACE}.lately"  # which keys were written in a stretch of time, for warming caches

SLOT_S = 900  # such a stretch
SLOTS = 8  # how far back anybody looks
Execute = Callable[[str], Sequence[Any]]

# Tables have ids of their own choice else: made at two nodes at once they would be two, and never agree.
_TABLES = {
    "kv": f"CREATE TABLE IF NOT EXISTS {KV} (key text PRIMARY KEY, value text)"
    " WITH id = 6c61622e-6b76-11ef-8000-000000000001 AND speculative_retry = '50ms'",
    "lately": f"CREATE TABLE IF NOT EXISTS {LATELY} (slot bigint, key text, at_us bigint, PRIMARY KEY (slot, key))"
    " WITH id = 6c61622e-6b76-11ef-8000-000000000002 AND speculative_retry = '50ms'"
    f" AND default_time_to_live = {SLOT_S * SLOTS} AND gc_grace_seconds = {SLOT_S * SLOTS}",
}


def ensure(execute: Execute, replicas: Mapping[str, int]) -> None:
    """See to it that the keyspace, with so many replicas in each region, and the tables are there.

    ``execute`` runs a statement and waits until the nodes agree. Raises what it raises: of a region of which no node
    has joined, Cassandra says that it does not know it. What is there stays as it is.
    """
    # Names of ours, no words of anybody else.
    there = execute(f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{KEYSPACE}'")  # nosec B608
    missing = _TABLES.keys() - {name for (name,) in there}
    if missing:
        copies = ", ".join(f"'{region}': {count}" for region, count in replicas.items())
        execute(
            f"CREATE KEYSPACE IF NOT EXISTS {KEYSPACE}"
            f" WITH replication = {{'class': 'NetworkTopologyStrategy', {copies}}}"
        )
        for name in sorted(missing):
            execute(_TABLES[name])
