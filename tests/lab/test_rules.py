"""The lab's third rule on each request of its users: no call on a user's way crosses regions."""

import json
import socket
from collections import Counter
from pathlib import Path

from simian_lab import control

WANTED = 300


def region_of(name: str) -> str:
    return next((region for region in ("east", "west") if f"-{region}" in name), "")


def hops_seen(address: str) -> Counter[str]:
    """Hops of at least WANTED requests, as the users' feed tells them."""
    host, _, port = address.rpartition(":")
    hops: Counter[str] = Counter()
    ended = 0
    with socket.create_connection((host, int(port)), timeout=30) as feed, feed.makefile() as lines:
        while ended < WANTED:
            told = json.loads(lines.readline())
            ended += sum(row["ended"] for row in told["rows"])
            hops.update(told["hops"])
    return hops


def test_no_call_that_a_user_waits_for_crosses_regions(tmp_path: Path) -> None:
    manifest = control.up(tmp_path)
    try:
        hops = hops_seen(manifest.layout.node("users").address)
    finally:
        control.down(tmp_path)
    ends = {hop: hop.rstrip("!~").split(">") for hop in hops}
    crossing = [hop for hop, (a, b) in ends.items() if {region_of(a), region_of(b)} == {"east", "west"}]
    assert [hop for hop in crossing if not hop.endswith("~")] == []
    assert any(hop.startswith("store-") for hop in crossing), "writes are replicated to the other region, unwaited for"
    for service in ("gateway", "members", "cache", "store"):
        assert any(f">{service}-" in hop for hop in hops)
