"""Devices and the schedule: pure, so tested as tables."""

import random
from collections import Counter
from itertools import islice

import pytest

from simian.load.devices import AVOID_S, MIX, Arrival, Device, arrivals, devices

HOMES = {"east": "198.18", "west": "198.19"}
THREE = ["127.1.3.80", "127.1.1.80", "127.1.2.80"]


def some(count: int, seed: int = 7, rate: float = 200.0) -> list[Arrival]:
    return list(islice(arrivals(devices(HOMES, 600), rate, random.Random(seed)), count))


def test_the_same_seed_makes_the_same_requests() -> None:
    def told(seed: int) -> list[tuple[float, str, str]]:
        return [(arrival.at_s, arrival.device.member, arrival.kind) for arrival in some(500, seed)]

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_every_slot_has_one_request_so_that_the_rate_is_exact_in_each_second() -> None:
    plan = some(2000)
    assert [int(arrival.at_s * 200.0 + 1e-9) for arrival in plan] == list(range(2000))
    assert Counter(int(arrival.at_s) for arrival in plan) == dict.fromkeys(range(10), 200)
    offsets = sorted(arrival.at_s * 200.0 % 1.0 for arrival in plan)
    assert offsets[0] < 0.05 < 0.45 < offsets[1000] < 0.55 < 0.95 < offsets[-1]


def test_homes_share_half_and_half_and_kinds_follow_the_mix() -> None:
    plan = some(20_000)
    assert Counter(arrival.device.home for arrival in plan) == {"east": 10_000, "west": 10_000}
    kinds = Counter(arrival.kind for arrival in plan)
    assert {kind: pytest.approx(percent, abs=1.5) for kind, percent in MIX.items()} == {
        kind: count / 200 for kind, count in kinds.items()
    }


def test_devices_live_in_the_networks_of_their_homes() -> None:
    crowd = devices(HOMES, 600)
    assert Counter(device.home for device in crowd) == {"east": 300, "west": 300}
    assert {device.subnet for device in crowd if device.home == "west"} == {f"198.19.{x}.0/24" for x in range(256)}
    assert len({device.member for device in crowd}) == 600


@pytest.mark.parametrize("number", range(6))
def test_a_session_sticks_to_its_gateway_however_the_answer_is_turned(number: int) -> None:
    device = Device(number, "east", "198.18.0.0/24", "east-0")
    assert device.order(THREE, 0.0) == device.order(THREE[::-1], 0.0)
    assert device.order(THREE, 0.0)[0] == sorted(THREE)[number % 3]


def test_a_failed_gateway_is_tried_last_until_it_is_forgiven() -> None:
    device = Device(0, "east", "198.18.0.0/24", "east-0")
    first, second, third = device.order(THREE, 0.0)
    device.avoid(first, AVOID_S)
    assert device.order(THREE, 1.0) == [second, third, first]
    device.avoid(second, AVOID_S + 1.0)
    assert device.order(THREE, 1.0) == [third, first, second]
    assert device.order(THREE, AVOID_S) == [first, third, second]
    assert device.order(THREE, AVOID_S + 1.0) == [first, second, third]
