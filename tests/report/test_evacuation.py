"""What a report tells of a region that was evacuated: planned, hard, and not to the end."""

import re
from typing import Any

import pytest

from simian.monkey import find_monkeys
from simian.report import render
from simian.report.evacuation import Evacuation, Stretch, carried, drain, evacuation, hit_rates, late, stretches
from simian.report.figures import fault_name, told_shares
from simian.report.model import Run, read
from simian.simulation import Simulation

from . import evacuations, records
from .records import START, Record


def story_of(record: Record, width: int = 120) -> str:
    return render(record, width=width)


def section(text: str, title: str) -> str:
    """The lines under a title, up to the next empty one."""
    return text.partition(f"\n{title}\n")[2].partition("\n\n")[0]


def told(record: Record) -> tuple[Run, Evacuation]:
    run = read(record)
    away = evacuation(run)
    assert away is not None
    return run, away


# Each must stand in the report as it is, spaces aside.
PIECES = {
    "planned kong": [
        "HELD Users did not notice: all 11,400 requests made while the faults were in place were answered. "
        "Users left east for west in 21 s, were away for 25 s and came home. "
        "west carried 200 requests a second at most, 53.33 % of what it declares.",
        "inject 22 s failover mode, mis-routed users, shift to 75 %, shift to 50 %, shift to 25 %, shift to 0 % and "
        "lights-out; see the timeline below",
        "10:00:15 +0.0 s failover mode failover_mode west for users of east",
        "10:00:16 +1.0 s mis-routed users misrouted east by redirect",
        "10:00:17 +2.0 s shift to 75 % shift east -> 75 % east, 25 % west",
        "10:00:29 +14.0 s shift to 0 % shift east -> 100 % west",
        "10:00:36 +20.9 s drained nobody arrives in east any more",
        "10:00:36 +21.1 s lights-out kill members-east-a, members-east-b,",
        "10:00:37 +22.3 s hold all of it in place",
        "10:01:00 +45.2 s back lights-out: 9 faults undone",
        "10:01:01 +46.1 s back shift to 0 %: users of east at 25 % east, 75 % west",
        "10:01:10 +55.1 s back shift to 75 %: users of east at 100 % east",
        "moving away 21 s 4,200 0 0 % 0 -",
        "After the last shift, at 10:00:29, users still tried east 8 times: 4 redirected, 0 proxied, 4 served there, "
        "0 failed; the last one came 0.9 s later, at 10:00:30.",
        "west 100 200 200 10:00:31 375 53.33 %",
        "region before while away first 5 s home after that",
        "east 95 % - 58.33 % 95 %",
        "simian kong --region east --steps 75,50,25,0 --seed 7",
    ],
    "hard kong": [
        "east went dark, which was noticed after 1.5 s. Users left east for west in 8.0 s, were away for 38 s and came "
        "home. Requests that failed until they had been moved: 149 of 1,800 (8.28 %); afterwards: 0 of 11,600 (0 %).",
        "10:00:15 +0.0 s dark kill gateway-east-a, gateway-east-b, gateway-east-c,",
        "10:00:16 +1.5 s detected streams start fell below 95 %",
        "10:00:18 +3.8 s shifted shift east -> 100 % west",
        "10:00:23 +8.0 s drained",
        "10:01:01 +45.9 s eased users go home step by step: shift to 0 %, step 1",
        "dark until moved 8.0 s 1,800 149 8.28 % 500 10:00:15",
        "users still tried east 100 times: 0 redirected, 0 proxied, 0 served there, 100 failed;",
        "west 100 200 200 10:00:21 180 111.11 % west was given more than it declares; what did it shed?",
        "simian kong --region east --steps 75,50,25,0 --hard --seed 8",
    ],
    "crashed kong": [
        "#5 shift east -> 25 % east, 75 % west is stuck: PowerDNS http://127.9.0.53:8053 does not answer",
        "UNKNOWN The run itself died. Whether users were harmed cannot be told. Users were leaving east for west; "
        "it was not seen that east drained.",
        "10:00:33 +17.9 s back shift to 50 %: users of east at 75 % east, 25 % west",
        "west 100 - 200 10:00:31 - -",
    ],
}


@pytest.mark.parametrize("name", PIECES)
def test_the_story_of_an_evacuation_says_what_matters(name: str) -> None:
    words = " ".join(story_of(evacuations.ALL[name]()).split())
    for piece in PIECES[name]:
        assert piece in words


def test_whoever_reads_twenty_lines_knows_what_happened_to_the_users() -> None:
    first = " ".join(" ".join(story_of(evacuations.hard_kong(), 80).splitlines()[:20]).split())
    assert "Requests that failed until they had been moved: 149 of 1,800 (8.28 %); afterwards: 0 of 11,600" in first


def test_the_traffic_picture_comes_first_and_the_drain_curve_stands_below_it_column_by_column() -> None:
    story = story_of(evacuations.hard_kong())
    traffic, curve = section(story, "What users saw").splitlines(), section(story, "Who still arrived in east")
    rows = {line[2:17].strip(): line[18:] for line in curve.splitlines() if re.search("[▁-█]", line)}
    assert list(rows) == ["arrived in east", "served there", "failed tries"]
    failed = next(line for line in traffic if line.startswith("  failed"))[18:]
    assert rows["failed tries"].index("█") == failed.index("█") == 15
    assert rows["served there"][:15] == "█" * 15
    assert rows["served there"][15:45].strip() == ""
    marks = curve.splitlines()[-5:-1]
    assert [marks[row].index(name) - 18 for row, name in ((1, "dark"), (1, "drained"), (2, "detected"))] == [15, 23, 16]
    assert curve.splitlines()[-1].endswith("a full block is 100 tries a second")


def test_without_figures_of_the_run_its_shifts_tell_who_was_left_for_whom() -> None:
    _, away = told(evacuations.crashed_kong())
    assert (away.left, away.saviours, away.hard, away.drained) == ("east", ("west",), False, None)
    assert "Who still arrived" not in story_of(evacuations.crashed_kong())


@pytest.mark.parametrize("name", records.ALL)
def test_a_run_that_moved_nobody_has_no_evacuation(name: str) -> None:
    assert evacuation(read(records.ALL[name]())) is None
    assert "Evacuation" not in story_of(records.ALL[name]())


def test_a_plan_that_was_not_done_names_its_shifts() -> None:
    kong = evacuations.planned_kong()
    stage = {"name": "shift to 75 %", "faults": [kong["faults"][2]["fields"] | {"target": "east"}]}
    refused = kong | {"outcome": "refused", "faults": [], "traffic": [], "plan": {"stages": [stage]}}
    assert "- shift to 75 %: shift east -> 75 % east, 25 % west" in story_of(refused)


NAMES: list[tuple[str, Record, str]] = [
    ("shift", {"to_shares": {"west": 0.25, "east": 0.75}}, "shift east -> 75 % east, 25 % west"),
    ("shift", {"to_shares": {"east": 0.0, "west": 1.0}}, "shift east -> 100 % west"),
    ("shift", {"to_shares": {"north": 0.125, "west": 0.875}}, "shift east -> 12.5 % north, 87.5 % west"),
    ("shift", {}, "shift east"),
    ("failover_mode", {"homes": ["north", "west"]}, "failover_mode east for users of north, west"),
    ("misrouted", {"mode": "isthmus", "own": True}, "misrouted east by isthmus"),
    ("kill", {"node": "east"}, "kill east"),
]


@pytest.mark.parametrize(("kind", "fields", "name"), NAMES, ids=[name for _, _, name in NAMES])
def test_a_fault_of_steering_is_named_by_what_it_does(kind: str, fields: Record, name: str) -> None:
    assert fault_name(kind, "east", fields) == name


def test_shares_of_nothing_are_not_told() -> None:
    assert told_shares({"west": 0.0, "east": 0.0}) == ""


def test_a_fault_without_evidence_stands_out_in_the_timeline() -> None:
    kong = evacuations.planned_kong()
    kong["faults"][2]["evidence"] = {"held": False, "before": "", "seen": "answers east 100 % over 32 subnets"}
    words = " ".join(section(story_of(kong), "Evacuation of east").split())
    assert "NOT proven: shift east -> 75 % east, 25 % west: answers east 100 % over 32 subnets" in words


# --- the numbers


def second(at: float, **other: Any) -> Record:
    return evacuations.row(0, "east", served={"east": 10}) | {"at": START + at} | other


def test_stretches_have_neither_gap_nor_overlap() -> None:
    run, away = told(evacuations.planned_kong())
    found = stretches(run, away)
    assert [each.name for each in found] == ["before", "moving away", "away", "coming home", "home again"]
    assert sum(each.requests for each in found) == sum(second.ended for second in run.traffic)


def stretch_at(record: Record, at: float) -> Stretch:
    run, away = told(record | {"traffic": [second(at, failed=3, ended=13)]})
    return stretches(run, away)[0]


@pytest.mark.parametrize(
    ("at", "name"),
    [(14.0, "before"), (14.3, "dark until moved"), (23.0, "dark until moved"), (23.2, "away"), (61.0, "coming home"),
     (70.5, "home again")],
)  # fmt: skip
def test_a_second_belongs_to_the_stretch_it_began_in_and_that_of_the_blow_to_the_dark(at: float, name: str) -> None:
    found = stretch_at(evacuations.hard_kong(), at)  # dark at 15.1, drained at 23.1, going home from 61.0 to 70.2
    assert (found.name, found.failed, found.worst) == (name, 3, START + at)


def test_before_and_after_the_move_are_split_by_the_drain_and_by_the_return_where_it_never_drained() -> None:
    hard = evacuations.hard_kong()
    undrained = hard | {"moments": [each for each in hard["moments"] if each["name"] != "drained"]}
    assert stretch_at(undrained, 40.0).name == "dark until moved"
    assert stretch_at(undrained, 61.5).name == "coming home"


def arrived(at: float, answered: int, unanswered: int = 0, region: str = "east") -> Record:
    counts = {"answered": answered, "unanswered": unanswered}
    return {"at": START + at, "seconds": 1.0, "region": region, **counts}


BECAME: list[tuple[str, Record, Record, tuple[int, ...]]] = [
    ("served", second(1), arrived(1, 10), (10, 0, 0, 10, 0)),
    (
        "redirected, proxied, not answered",
        second(1, served={"east": 2, "west": 8}, ways={"direct": 3, "redirect": 4, "isthmus": 3}),
        arrived(1, 9, 5),
        (14, 4, 3, 2, 5),
    ),
    ("shed", second(1, served={"east": 2}, ways={"direct": 2}), arrived(1, 10), (10, 0, 0, 2, 8)),
    ("proxied into it", second(1, ways={"direct": 4, "isthmus": 6}), arrived(1, 4), (4, 0, 0, 4, 0)),
    ("nobody", second(1, served={"west": 10}, ways={"direct": 10}), arrived(1, 0), (0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("traffic", "came", "became"), [case[1:] for case in BECAME], ids=[case[0] for case in BECAME])
def test_the_drain_tells_what_became_of_those_who_arrived(
    traffic: Record, came: Record, became: tuple[int, ...]
) -> None:
    record = evacuations.planned_kong() | {"traffic": [traffic], "arrivals": [came, arrived(1, 99, region="west")]}
    (found,) = drain(read(record), "east")
    assert (found.arrived, found.redirected, found.proxied, found.served, found.failed) == became


def test_only_those_after_the_last_shift_and_before_the_return_are_late() -> None:
    came = [arrived(28.5, 50), arrived(29.2, 5), arrived(33.0, 2), arrived(34.0, 0), arrived(60.9, 70)]
    record = evacuations.planned_kong() | {"arrivals": came, "traffic": []}
    run, away = told(record)  # shifted at 29.1, returning at 61.2
    after = late(away, drain(run, "east"))
    assert (after.arrived, after.last) == (7, START + 33.0)
    assert "After the last shift, at 10:00:29, users still tried east 7 times" in story_of(record)
    nobody = story_of(record | {"arrivals": came[:1]})
    assert "After the last shift, at 10:00:29, nobody arrived in east any more." in nobody


def test_what_a_saviour_carried_at_most_is_a_rate_however_slices_are_cut() -> None:
    lengths = [(10.0, 1.8), (11.8, 0.7), (12.5, 0.1), (12.6, 2.9), (15.5, 2.5), (18.0, 2.0)]
    rows = [second(at, seconds=length_s, served={"west": round(100 * length_s)}) for at, length_s in lengths]
    run, away = told(evacuations.planned_kong() | {"traffic": rows})
    (west,) = carried(run, away)
    assert west.peak_rps == pytest.approx(100.0)
    assert west.before_rps == pytest.approx(100.0)
    assert west.used == pytest.approx(100 / 375)


def test_the_fullest_second_is_looked_for_while_users_are_away_or_on_their_way_only() -> None:
    rows = [second(at, served={"west": rps}) for at, rps in ((5, 900), (20, 300), (40, 320), (65, 310), (75, 950))]
    run, away = told(evacuations.planned_kong() | {"traffic": rows})
    (west,) = carried(run, away)
    assert (west.peak_rps, west.peak_at) == (320.0, START + 40)
    assert (west.before_rps, west.away_rps) == (900.0, 320.0)


def test_a_saviour_that_served_nobody_carried_nothing() -> None:
    run, away = told(evacuations.planned_kong() | {"traffic": [second(20)]})
    assert carried(run, away) == []
    assert "What west carried" not in story_of(evacuations.planned_kong() | {"traffic": [second(20)]})


def test_hit_rates_are_told_before_while_away_just_home_and_after() -> None:
    reads = [(10.0, 9, 1), (20.0, 0, 50), (40.0, 8, 2), (61.0, 1, 9), (65.5, 3, 7), (66.5, 10, 0)]
    rows = [{"at": START + at, "seconds": 1.0, "region": "west", "hits": h, "misses": m} for at, h, m in reads]
    rows += [{"at": START, "seconds": 1.0, "region": "east", "hits": 0, "misses": 0}]
    run, away = told(evacuations.planned_kong() | {"caches": rows})
    assert hit_rates(run, away) == {
        "east": {"before": None, "while away": None, "first 5 s home": None, "after that": None},
        "west": {"before": 0.9, "while away": 0.8, "first 5 s home": 0.2, "after that": 1.0},
    }


def test_users_of_two_homes_moved_in_one_stage_stand_in_one_line() -> None:
    kong = evacuations.planned_kong()
    other = kong["faults"][2] | {"id": 99, "target": "north"}
    other["fields"] = other["fields"] | {"home": "north"}
    words = " ".join(section(story_of(kong | {"faults": [*kong["faults"], other]}), "Evacuation of east").split())
    assert "shift to 75 % shift east -> 75 % east, 25 % west and north -> 75 % east, 25 % west" in words


@pytest.fixture(scope="module", params=[False, True], ids=["planned", "hard"])
def lived(request: pytest.FixtureRequest) -> Record:
    """The record of a whole Kong on the memory world."""
    options = {"region": "east", "hard": request.param}
    return Simulation.seeded(5).run(find_monkeys().get("kong"), options=options, for_s=20.0)


def test_of_a_kong_that_was_lived_every_arrival_is_accounted_for(lived: Record) -> None:
    run, away = told(lived)
    assert away.hard is lived["options"]["hard"]
    drained, returning = away.drained, away.returning
    assert drained is not None
    assert returning is not None
    seconds = drain(run, "east")
    after = late(away, seconds)
    assert after.arrived == sum((after.redirected, after.proxied, after.served, after.failed)) > 0
    assert bool(after.failed) is away.hard
    assert bool(after.redirected) is not away.hard
    assert not [each for each in seconds if drained <= each.at < returning - 1 and each.arrived]
    before = [each for each in seconds if each.at + each.seconds <= away.began]
    assert before
    assert all(each.served == each.arrived for each in before)


def test_of_a_kong_that_was_lived_the_saviour_carried_all(lived: Record) -> None:
    run, away = told(lived)
    (west,) = carried(run, away)
    assert west.before_rps is not None
    assert west.away_rps is not None
    assert west.away_rps == pytest.approx(2 * west.before_rps, rel=0.1)
    assert west.peak_rps >= west.away_rps * 0.99


def test_of_a_kong_that_was_lived_caches_are_cold_when_users_come_home(lived: Record) -> None:
    east = hit_rates(*told(lived))["east"]
    assert east["while away"] is None
    assert east["first 5 s home"] is not None
    assert east["before"] is not None
    assert east["first 5 s home"] < east["before"]
