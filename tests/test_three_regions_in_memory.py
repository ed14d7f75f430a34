"""The monkeys on a system that is not the lab: three regions of different sizes, one mostly a single zone, one without
any zone. Whole runs on the memory world; ``SIMIAN_SEEDS`` above the default of a few looks longer."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from simian.cli.traffic import traffic_of
from simian.memory import build_memory_world
from simian.report import render
from simian.simulation import Simulation

from .test_regions_in_memory import FOUND, SEEDS, Witness, held, picture
from .three_regions import REGIONS, three_regions

SIZES = {region: len(zones) for region, zones in REGIONS.items()}


def lived(seed: int, monkey: str, **asked: Any) -> tuple[dict[str, Any], Simulation]:
    """A whole run; that the world is as before, and nobody was sent to a dead region, holds for each of them."""
    sim = Simulation.seeded(seed, regions=REGIONS)
    before, witness = picture(sim.memory), Witness(sim.memory)
    record = sim.run(FOUND.get(monkey), **asked)
    assert picture(sim.memory) == before, f"seed {seed}"
    assert witness.wrong == [], f"seed {seed}"
    return record, sim


def failed(record: Mapping[str, Any]) -> int:
    return sum(second["failed"] for second in record["traffic"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("monkey", ["chaos", "latency", "kong", "split-brain"])
def test_every_monkey_holds_whatever_the_die_chooses(monkey: str, seed: int) -> None:
    record, _ = lived(seed, monkey)
    held(record, seed)
    for format in ("text", "md", "json"):
        assert all(region in render(record, format) for region in REGIONS), f"seed {seed}"


@pytest.mark.parametrize("zone", ["north-a", "north-b", "north-c", "south-a"])
def test_a_zone_falls_and_its_region_lives_on(zone: str) -> None:
    record, _ = lived(1, "gorilla", options={"zone": zone})
    held(record, 1)
    region, name = zone.split("-")
    assert len(record["faults"]) == 4 * REGIONS[region].count(name)


def test_a_zone_that_is_most_of_its_region_takes_the_quorum_with_it_and_that_is_found() -> None:
    record, _ = lived(1, "gorilla", options={"zone": "south-b"})
    assert (record["verdict"], record["recovery"]) == ("broken", "clean"), record["reasons"]
    assert any("home south" in one["where"] for one in record["weaknesses"])


def test_a_region_without_zones_is_no_place_for_gorilla_and_that_is_said() -> None:
    record, _ = lived(1, "gorilla", options={"region": "isle"})
    assert record["outcome"] == "refused"
    assert any("no node of region isle has a zone" in reason for reason in record["reasons"])


# --- kong


@pytest.mark.parametrize("left", list(REGIONS))
@pytest.mark.parametrize("hard", [False, True])
def test_each_region_can_be_left_for_the_others_by_the_number_of_their_gateways(left: str, hard: bool) -> None:
    record, _ = lived(1, "kong", options={"region": left, "hard": hard})
    held(record, 1)
    assert hard or failed(record) == 0
    saviours = sorted({*REGIONS} - {left})
    assert record["figures"]["saviours"] == saviours
    moved = [fault["fields"] for fault in record["faults"] if fault["kind"] == "shift"]
    rows = [moved[0]["from_shares"], *(fields["to_shares"] for fields in moved)]
    for row in rows:
        assert all(round(share * 100) == pytest.approx(share * 100) for share in row.values()), "weights are whole"
        assert round(sum(row.values()), 9) == 1.0
    for one, other in pairwise(rows):
        assert all(other[saviour] >= one[saviour] for saviour in saviours), "nobody's share falls on the way"
    doors = sum(SIZES[saviour] for saviour in saviours)
    assert {region: rows[-1][region] for region in saviours} == pytest.approx(
        {region: SIZES[region] / doors for region in saviours}, abs=0.01
    )
    carried = {region: sum(second["served"].get(region, 0) for second in record["traffic"]
                           if second["home"] == left) for region in saviours}  # fmt: skip
    assert all(carried.values()), "each saviour served some of them"


def test_what_has_no_zone_in_a_region_without_zones_goes_dark_as_well() -> None:
    record, _ = lived(1, "kong", options={"region": "isle"})
    dark = {fault["target"] for fault in record["faults"] if fault["kind"] == "kill"}
    assert dark == {*(f"{kind}-isle-{n}" for kind in ("cache", "members", "store") for n in (1, 2, 3)), "queue-isle"}
    elsewhere, _ = lived(1, "kong", options={"region": "south"})
    assert "queue-south" not in {fault["target"] for fault in elsewhere["faults"]}, (
        "where there are zones it is regional"
    )


def test_users_go_only_where_they_are_told_to_go() -> None:
    record, _ = lived(1, "kong", options={"region": "south", "to": "north"})
    held(record, 1)
    assert record["figures"]["saviours"] == ["north"]
    assert not any(second["served"].get("isle") for second in record["traffic"] if second["home"] == "south")


def test_the_head_room_of_each_saviour_is_its_own() -> None:
    sim = Simulation.seeded(1, regions=REGIONS)
    for name, one in sim.memory.state.nodes.items():
        one.capacity_rps = 25.0 if "members-isle" in name else one.capacity_rps
    record = sim.run(FOUND.get("kong"), options={"region": "north"})
    assert record["outcome"] == "refused"
    told = [reason for reason in record["reasons"] if "requests a second" in reason]
    assert len(told) == 1, told
    assert "isle would have to carry" in told[0]
    assert "declares 75" in told[0]
    spared = sim.run(FOUND.get("kong"), "another", options={"region": "north", "to": "south"})
    held(spared, 1)


def test_users_whom_somebody_serves_in_three_regions_already_leave_one_of_them_in_whole_percents() -> None:
    sim = Simulation.seeded(1, regions=REGIONS)
    row = {"north": 1 / 3, "south": 1 / 3, "isle": 1 / 3}
    sim.memory.state.send({"isle": row, "north": {"north": 0.99, "south": 0.01, "isle": 0.0}})
    before = picture(sim.memory)
    record = sim.run(FOUND.get("kong"), options={"region": "south", "hard": True}, exposure="assumed")
    assert record["recovery"] == "clean", record["reasons"]
    assert picture(sim.memory) == before
    homes = {fault["fields"]["home"] for fault in record["faults"] if fault["kind"] == "shift"}
    assert homes == {"isle", "north", "south"}


# --- split-brain

LINKS = [link for link in three_regions().topology.links if link.crosses_regions]


def parted(*pairs: tuple[str, str]) -> list[str]:
    return sorted(link.name for link in LINKS if {link.source_region, link.target_region} in [set(p) for p in pairs])


@pytest.mark.parametrize(
    ("between", "cut"),
    [
        ("north,isle", parted(("north", "isle"))),
        ("isle,rest", parted(("isle", "north"), ("isle", "south"))),
        ("all", parted(("isle", "north"), ("isle", "south"), ("north", "south"))),
        ("north,south,isle", parted(("isle", "north"), ("isle", "south"), ("north", "south"))),
    ],
)
@pytest.mark.parametrize("how", ["refuse", "blackhole"])
def test_regions_are_cut_apart_as_asked_and_agree_again_afterwards(between: str, cut: list[str], how: str) -> None:
    record, _ = lived(2, "split-brain", options={"between": between, "how": how})
    held(record, 2)
    assert sorted(fault["target"] for fault in record["faults"]) == cut
    data = record["figures"]["data"]
    assert [data[what]["count"] for what in ("lost", "stale", "conflicting")] == [0, 0, 0]
    assert set(data["converged_s"]) == {*REGIONS}
    assert None not in data["converged_s"].values()


@pytest.mark.parametrize("how", ["refuse", "blackhole"])
def test_one_region_may_not_hear_the_rest_and_be_heard(how: str) -> None:
    record, _ = lived(2, "split-brain", options={"between": "isle,rest", "direction": "rest->isle", "how": how})
    held(record, 2)
    told = {fault["target"]: fault["fields"]["direction"] for fault in record["faults"]}
    into = {link.name for link in LINKS if link.target_region == "isle"}
    assert {name for name in told if name in into} == into
    if how == "blackhole":
        assert all(direction == ("forward" if name in into else "backward") for name, direction in told.items())
    else:
        assert {*told} == into


# --- what is seen of it


def test_where_users_go_is_told_of_all_three() -> None:
    seen = traffic_of(three_regions().world, 60.0)
    every = sum(SIZES.values())
    assert {*seen["homes"]} == {*seen["regions"]} == {*REGIONS}
    for region, told in seen["regions"].items():
        assert told["seen_by_users"] == pytest.approx(100 * SIZES[region] / every, abs=1.0)


def test_a_region_that_loses_most_of_its_quorum_answers_as_long_as_a_majority_does() -> None:
    made = build_memory_world(regions={"here": ("a", "b", "b", "b"), "there": ("a",)})
    slices: list[Any] = []
    made.users.subscribe(slices.append)
    made.state.end("store-here-a", held=True)
    made.clock.wait(60.0)
    late = [row for one in slices if one.start > made.clock.now() - 30.0 for row in one.rows if row.home == "here"]
    assert sum(row.ended for row in late) > 500
    assert sum(row.failed for row in late) == 0, "three of four are a majority, whichever of them is asked"
    made.state.end("store-here-b", held=True)
    slices.clear()
    made.clock.wait(30.0)
    assert sum(row.failed for one in slices for row in one.rows if row.home == "here" and row.kind == "progress") > 50
