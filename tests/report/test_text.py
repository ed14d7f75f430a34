"""What a person reads: the story of each kind of run, at any width."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simian.errors import UsageError
from simian.report import FORMATS, render

from . import evacuations, records

ALL = {**records.ALL, **evacuations.ALL}


def text_of(name: str, width: int = 100) -> str:
    return render(ALL[name](), "text", width=width)


def section(text: str, title: str) -> str:
    """The lines under a title, up to the next empty one."""
    return text.partition(f"\n{title}\n")[2].partition("\n\n")[0]


# Each line must stand in the report as it is, spaces aside: the golden pieces of each story.
PIECES = {
    "held gorilla": [
        "gorilla on lab",
        "21 Nov 2026, 09:59:59 to 10:00:56 UTC (57 s)",
        "run k7f3m2qa9d, seed 7, simian 0.1.0",
        "HELD Users did not notice: all 6,386 requests made while the faults were in place were answered,",
        "133 (2.08 %) of them at another try.",
        "completed; recovery clean; 3 of 3 checks held; 4 of 4 faults proven and felt, 4 undone",
        "10:00:15 inject 0.9 s lights-out: kill gateway-east-a, members-east-a, cache-east-a and store-east-a",
        "10:00:45 recover 1.5 s 4 of 4 faults undone",
        "east before 1,468 0 0 0 0 3.6 ms 7.7 ms",
        "during 3,183 0 133 0 0 5.8 ms 13 ms",
        "Worst second: 10:00:15, home east: 0 of 99 requests failed, 41 needed another try.",
        "first tries held >= 90 % 100 % 97.12 % 100 % 11,203",
        "2 kill members-east-a 10:00:15 30 s undone 402 no answer on 2 of 2 exchanges; before:",
        "- east: 4.18 % of requests needed another try; have the tries left room for more?",
        "simian gorilla --zone east-a --seed 7",
        "- node users: restarted by itself during the run; that was not ours",
    ],
    "broken chaos": [
        "members survive a lost node on lab",
        "Hypothesis: When a members node of a region dies, members keep starting streams, because two are left.",
        "Note: after the retry change of Thursday",
        "BROKEN A weakness was found: streams start: 69.12 % of stream starts succeeded, and at least 99.9 % must.",
        "Of users' requests 230 of 1,624 (14.16 %) failed. The run was aborted: streams start fell below 95 %.",
        "aborted; recovery clean; 1 of 2 checks held; 1 of 1 fault proven and felt, 1 undone",
        "streams start broken >= 99.9 % 100 % 69.12 % 100 % 2,901",
        "Weakness: streams start",
        "where home east, way direct, 10:00:15 to 10:00:21; all through gateway-east-b",
        "where to look does gateway-east-b try the next members node when one refuses?",
        "simian run 'members survive a lost node' --seed 2026",
    ],
    "refused latency": [
        "REFUSED Nothing was touched, for 2 reasons.",
        "- members-east-a already carries a fault of run k7f3m2qa9d; run 'simian recover' first",
        "- the radius is a region, and at most a zone is allowed (limits.radius in simian.yaml)",
        "Planned, and not done: - slow: delay members-east-a--cache-east-a",
        "simian latency --link members-east-a--cache-east-a --delay normal:100ms,20ms --seed 3",
    ],
    "crashed gorilla": [
        "UNKNOWN The run itself died: the runner (process 4711) died in observe; its guardian recovered.",
        "What it had broken was put back. Whether users were harmed cannot be told.",
        "crashed; recovery clean; 4 of 4 faults proven and felt, 4 undone",
        "10:00:15 observe - the run died here",
        "- this run could not be judged: run it again",
    ],
    "stuck latency": [
        "STUCK: something that was broken may still be in place",
        "#1 delay members-east-a--cache-east-a is stuck: Toxiproxy http://127.1.0.50:8474 does not answer",
        "mend it with 'simian recover'",
        "BROKEN A weakness was found: latency: 912 ms.",
        "recovery stuck",
        "10:00:45 recover 1.5 s 1 of 2 faults undone",
        "latency broken <= 250 ms 9.4 ms 912 ms 640 ms 62",
        "- delay members-east-a--cache-east-a is stuck: run 'simian recover'",
        "simian latency --share 10% --delay normal:100ms,20ms --hard --seed 5",
        "- Toxiproxy rolls dice of its own for the spread of a delay: the same seed will not give the same delays",
    ],
    "unfelt chaos": [
        "UNKNOWN Whether users were harmed cannot be told: pause cache-west-c was met by no user's request,",
        "and 1 more. completed; recovery clean; 0 of 1 check held;",
        "0 of 1 fault proven and felt, 1 undone",
        "- pause cache-west-c: met by no user's request; choose a target in use, or run longer",
        "- streams start: could not be judged from 412 readings, 1 of them without an answer",
    ],
    "leashed chaos": [
        "LEASHED The steady state held, and nothing was touched: the run was to go no further than that.",
        "completed; verdict unknown; recovery clean",
        "Planned, and not done: - blow: kill members-west-b",
    ],
}


@pytest.mark.parametrize("name", records.ALL)
def test_the_story_of_each_kind_of_run_says_what_matters(name: str) -> None:
    words = " ".join(text_of(name).split())
    for piece in PIECES[name]:
        assert piece in words


def test_a_stuck_fault_is_the_first_and_the_last_thing_read() -> None:
    lines = [line for line in text_of("stuck latency").splitlines() if line]
    assert lines[1] == "STUCK: something that was broken may still be in place"
    assert lines[-2].strip() == "mend it with 'simian recover'"
    assert "STUCK" not in text_of("held gorilla")


def test_the_picture_shows_who_served_when_it_hurt_and_the_phases() -> None:
    lines = section(text_of("broken chaos"), "What users saw").splitlines()
    row = {line.split()[0]: line for line in lines if "█" in line}
    assert set(row) == {"east", "west", "another", "failed"}
    marks = lines[-4]
    inject = marks.index("╵", marks.index("╵") + 1)
    assert row["failed"].index("█") == inject == lines[-3].index("inject")
    assert "█" in row["east"][:inject]
    assert "█" not in row["east"][inject : inject + 7]  # a third of east's users is not served
    assert lines[-1].strip() == "each column 1 s from 10:00:00; a full block is 106 requests a second"


def test_a_run_of_a_day_still_fits_the_picture() -> None:
    day = records.held_gorilla()
    day["traffic"] = [row | {"at": records.START + hour * 3600.0} for hour, row in enumerate(day["traffic"][:24])]
    assert max(map(len, render(day, width=80).splitlines())) <= 80


@pytest.mark.parametrize("width", [1, 20, 21, 33, 40, 60, 79, 80, 120, 400])
@pytest.mark.parametrize("name", ALL)
def test_no_line_is_wider_than_the_terminal_commands_aside(name: str, width: int) -> None:
    lines = text_of(name, width).splitlines()
    assert all(len(line) <= max(20, width) for line in lines if not line.startswith("  simian "))


def test_what_does_not_fit_side_by_side_stands_one_below_the_other() -> None:
    narrow = section(text_of("held gorilla", 30), "Steady state").splitlines()
    assert narrow[:3] == ["  check streams start", "    verdict held", "    must be >= 99.9 %"]


@pytest.mark.parametrize("width", range(20, 60))
def test_a_number_and_its_unit_are_never_on_two_lines(width: int) -> None:
    note = "it took 30 s, then 12 ms; 5 sheep ate 99.9 % of 4 h of grass within 100 min"
    shown = render(records.leashed_chaos() | {"notes": [note]}, width=width)
    lines = section(shown, "Notes").splitlines()
    assert all(any(piece in line for line in lines) for piece in ("30 s", "12 ms", "99.9 %", "4 h", "100 min"))
    assert "\u00a0" not in shown


def test_without_being_asked_there_are_no_colours() -> None:
    assert "\x1b" not in text_of("broken chaos")
    coloured = render(records.broken_chaos(), colour=True)
    assert "\x1b[1;31mBROKEN\x1b[0m" in coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == render(records.broken_chaos())


@pytest.mark.parametrize("format", ["pdf", "HTML", ""])
def test_a_format_that_is_not_there_is_an_error_that_names_those_that_are(format: str) -> None:
    with pytest.raises(UsageError, match="choose one of text, md, json, junit, html"):
        render(records.held_gorilla(), format)


@pytest.mark.parametrize("record", [{}, {"run": "a"}, {"run": 1, "outcome": "x", "verdict": "y", "recovery": "z"}])
def test_what_is_no_record_is_an_error(record: records.Record) -> None:
    with pytest.raises(UsageError, match="no record of a run"):
        render(record)


def test_a_damaged_record_is_an_error_that_says_how_to_look_at_it() -> None:
    with pytest.raises(UsageError, match=r"damaged.*--format json"):
        render(records.held_gorilla() | {"faults": ["kill"]})


@pytest.mark.parametrize("format", FORMATS)
def test_a_record_with_nothing_but_its_facts_can_be_reported(format: str) -> None:
    bare = {"run": "b4re", "outcome": "refused", "verdict": "unknown", "recovery": "clean"}
    assert "b4re" in render(bare, format)


def changed(**other: object) -> records.Record:
    return records.held_gorilla() | other


JUDGED: list[tuple[records.Record, str]] = [
    (changed(traffic=[]), "HELD All 3 checks stayed within tolerance."),
    (changed(outcome="running", ended=None), "RUNNING The run is still going on"),
    (changed(verdict="unknown", reasons=["unknown: nobody looked."]), "cannot be told: nobody looked."),
    (changed(outcome="crashed", verdict="unknown", faults=[]), "UNKNOWN The run itself died. Whether users"),
    (
        changed(outcome="aborted", reasons=["aborted: halt asked: by me"]),
        "HELD The run was aborted: halt asked: by me.",
    ),
    (changed(verdict="broken", weaknesses=[]), "BROKEN A weakness was found."),
    (changed(exposure_assumed=True), "4 of 4 faults proven, 4 undone"),
    (changed(exposure_assumed=True), "That users met the faults is assumed by the experiment, not measured."),
    (changed(outcome="refused", reasons=["the lever is pulled"]), "REFUSED Nothing was touched: the lever is pulled."),
]


@pytest.mark.parametrize(("record", "piece"), JUDGED, ids=[piece[:30] for _, piece in JUDGED])
def test_the_verdict_line_fits_the_facts(record: records.Record, piece: str) -> None:
    assert piece in " ".join(render(record, width=200).split())


def test_held_with_failed_requests_does_not_say_that_nobody_noticed() -> None:
    record = records.held_gorilla()
    record["traffic"][60] |= {"failed": 3, "first_failed": 9}
    told = " ".join(render(record).split())
    assert "Users were served within tolerance: 3 of 6,386 (0.05 %) of their requests failed" in told
    assert "did not notice" not in told


def test_a_fault_without_evidence_is_not_counted_as_proven() -> None:
    record = records.held_gorilla()
    record["faults"][0]["evidence"] = {"held": False, "before": "", "seen": "it still answers"}
    record["faults"][1]["evidence"] = None
    told = " ".join(render(record).split())
    assert "2 of 4 faults proven and felt, 4 undone" in told
    assert "NOT proven: it still answers" in told
    assert "- kill gateway-east-a: not proven to have been there" in told


SPELLS = ["\x1b[2J\x1b]0;owned\x07", "\x9b31m", "a\rb", "a\nb", "\u202eevil", "\0", "\ud800"]
HOSTILE = st.text(max_size=30) | st.sampled_from(SPELLS)
SPOILT = [
    records.stuck_latency, records.broken_chaos, records.refused_latency, evacuations.hard_kong, evacuations.torn_brain,
]  # fmt: skip
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_nothing_in_a_record_can_steer_a_terminal(data: st.DataObject) -> None:
    def spoilt(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(r"\d{4}-.*Z", value):
            return data.draw(HOSTILE) if data.draw(st.integers(0, 3)) == 0 else value
        if isinstance(value, dict):
            return {key: item if key in ("latency", "outcome") else spoilt(item) for key, item in value.items()}
        return [spoilt(item) for item in value] if isinstance(value, list) else value

    record = data.draw(st.sampled_from(SPOILT))()
    record = {**record, **{key: record[key][:6] for key in ("traffic", "arrivals", "caches", "backlog", "moments")}}
    record = spoilt(record) | {"options": {data.draw(HOSTILE): data.draw(HOSTILE)}}  # type: ignore[operator]
    for format in FORMATS:
        shown = render(record, format, width=data.draw(st.sampled_from([20, 80])))
        assert not STEERING.search(shown)
        shown.encode()


def test_what_nobody_counted_is_not_told_as_met_by_nobody() -> None:
    record = records.unfelt_chaos()
    record["faults"][0]["exposure"] = None  # the runner died before it could tell
    told = " ".join(render(record, "text").split())
    assert "met by no user's request" not in told
    assert "- pause cache-west-c: who met it is not known, as the count is missing; run it again" in told
    assert "pause cache-west-c: it is not known whether anybody met it" in told
    assert "not known whether a user's request met it" in render(record, "junit")
