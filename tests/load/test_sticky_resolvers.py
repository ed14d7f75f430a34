"""Resolvers that ignore TTLs, as a weakness of the lab has them: some of the users', and by default none."""

import asyncio
from typing import Any

import pytest

from simian.load import dnswire
from simian.load.resolver import Resolver
from simian.load.system import STICKY_S, System

NAME, TTL_S = "api.geo.lab", 5
SUBNETS = [f"{network}.{number}.0/24" for network in ("198.18", "198.19") for number in range(256)]
MANIFEST: dict[str, Any] = {
    "seed": 1,
    "nodes": [
        {"name": "gateway-east-a", "service": "gateway", "region": "east", "address": "127.1.1.80:80"},
        {"name": "dns", "service": "dns", "region": None, "ask": "dns://127.0.0.9:53/api.geo.lab"},
        {"name": "users", "service": "users", "region": None, "address": "127.0.0.8:99"},
    ],
}


class Counting:
    """A server that says the same to all, and how often it was asked."""

    asked = 0

    async def ask(self, name: str, subnet: str) -> dnswire.Answer:
        self.asked += 1
        return dnswire.Answer(0, name, 0, (dnswire.Record(name, 1, TTL_S, "127.1.1.1"),))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def asked_again(share: float, after_s: float, sticky_s: float = STICKY_S) -> int:
    """How many of the subnets' resolvers ask a second time when so much time has gone by."""
    server, clock = Counting(), Clock()
    resolver = Resolver(server, clock, share, sticky_s)
    for _ in range(2):
        for subnet in SUBNETS:
            await resolver.lookup(NAME, subnet)
        clock.now += after_s
    return server.asked - len(SUBNETS)


def test_a_fifth_of_the_resolvers_does_not_ask_again_when_the_ttl_has_passed() -> None:
    again = asyncio.run(asked_again(0.2, TTL_S))
    assert 0.7 * len(SUBNETS) < again < 0.9 * len(SUBNETS)


def test_even_those_ask_again_after_ten_minutes() -> None:
    assert asyncio.run(asked_again(0.2, STICKY_S)) == len(SUBNETS)


def test_how_long_they_keep_answers_can_be_told() -> None:
    assert asyncio.run(asked_again(0.2, 8.0, sticky_s=8.0)) == len(SUBNETS)
    assert asyncio.run(asked_again(0.2, 7.9, sticky_s=8.0)) < 0.9 * len(SUBNETS)


def test_healthy_resolvers_all_ask_again() -> None:
    assert asyncio.run(asked_again(0.0, TTL_S)) == len(SUBNETS)


@pytest.mark.parametrize(
    ("more", "habit"),
    [
        ({}, (0.0, STICKY_S)),
        ({"changes": {}}, (0.0, STICKY_S)),
        ({"changes": {"users": {"sticky_share": 0.2}}}, (0.2, STICKY_S)),
        ({"changes": {"users": {"sticky_share": 0.2, "sticky_s": 8}}}, (0.2, 8.0)),
    ],
    ids=["no word of it", "healthy", "planted", "for a while"],
)
def test_users_read_from_the_manifest_how_many_are_sticky(more: dict[str, Any], habit: tuple[float, float]) -> None:
    system = System.from_json(MANIFEST | more)
    assert (system.sticky_share, system.sticky_s) == habit
