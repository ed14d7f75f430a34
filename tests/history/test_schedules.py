"""Schedules in the database: rows come back as they were, a due time is claimed once, whoever tries."""

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.errors import HistoryError, UsageError
from simian.history import Schedules, database, open_schedules
from simian.history.schedules import Due, RowsChanged, Settled
from simian.schedule.row import Schedule

from ..postgres import Postgres, place_of, postgres

NOON = 1_795_608_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind; the same tests hold for both."""
    return place_of(request, tmp_path)


@pytest.fixture
def store(place: str) -> Iterator[Schedules]:
    with open_schedules(place) as opened:
        yield opened


def row(name: str = "kong-tuesdays", **more: Any) -> dict[str, Any]:
    made = {"name": name, "monkey": "kong", "when": {"cron": "0 10 * * tue"}, "seed": 7}
    return Schedule.from_json({**made, "made": "2026-11-25T12:00:00.000000Z", **more}).to_json()


def settled(store: Schedules, *given: Any, **more: Any) -> Settled:
    """With nothing to wait for."""
    with store.settle(*given, **more) as made:
        return made


def due(at: int = NOON, schedule: str = "kong-tuesdays", state: str = "claimed", daemon: str = "d1") -> Due:
    return Due(schedule, at, state, "", "r1", daemon, NOON)


def test_a_schedule_comes_back_as_it_was_added(store: Schedules) -> None:
    whole = row(
        "née-7", options={"region": "east", "steps": [75, 50]}, for_s=60.0, zone="Europe/Berlin", paused=True,
        calendar={"hours": "09:00-15:00"}, misfire="late", expires="2027-01-01T00:00:00.000000Z", owner="anna",
        note="<b>", declared=True, jitter_s=5.5, overlap="queue", grace_s=1.0,
    )  # fmt: skip
    store.add(whole)
    store.add(row("a"))
    assert store.get("née-7") == whole
    assert store.all() == [row("a"), whole]
    assert store.kept()[0].looked == NOON


def test_a_name_is_taken_once_and_nothing_of_many_is_kept_then(store: Schedules) -> None:
    store.add(row("b"))
    with pytest.raises(UsageError, match="'b' is there already"):
        store.add_all([row("a"), row("b"), row("c")])
    assert [one["name"] for one in store.all()] == ["b"]


def test_what_is_not_there_is_told_with_what_is(store: Schedules) -> None:
    store.add(row("a"))
    for ask in (lambda: store.get("x"), lambda: store.remove("x"), lambda: store.change("x", {"paused": True})):
        with pytest.raises(UsageError, match="no schedule is called 'x'; there are: a"):
            ask()


def test_each_change_is_seen_by_a_number_that_grows(store: Schedules, place: str) -> None:
    seen = [store.version()]
    store.add(row("a"))
    seen.append(store.version())
    store.change("a", {"paused": True, "options": {"region": "west"}})
    with open_schedules(place) as other:
        seen.append(other.version())
        assert (other.get("a")["paused"], other.get("a")["options"]) == (True, {"region": "west"})
    store.remove("a")
    seen.append(store.version())
    assert seen == sorted(set(seen))
    assert store.all() == []


def test_a_due_time_is_claimed_once_and_everything_up_to_it_is_accounted_for(store: Schedules, place: str) -> None:
    store.add(row())
    first = [due(NOON + 1, state="missed"), due(NOON + 2)]
    with open_schedules(place) as other:
        assert settled(store, "kong-tuesdays", NOON + 2, first) == (first, [first[1]])
        theirs = [due(NOON + 2, daemon="d2"), due(NOON + 3, daemon="d2")]
        assert settled(other, "kong-tuesdays", NOON + 3, theirs) == ([theirs[1]], [first[1], theirs[1]])
        settled(other, "kong-tuesdays", NOON, [])
    assert store.kept()[0].looked == NOON + 3
    assert [(one.due - NOON, one.state, one.daemon) for one in store.dues()] == [
        (3, "claimed", "d2"), (2, "claimed", "d1"), (1, "missed", "d1"),
    ]  # fmt: skip
    assert [one.due - NOON for one in store.in_hand()] == [2, 3]
    assert [one.due - NOON for one in store.dues("kong-tuesdays", since=NOON + 2, until=NOON + 3)] == [2]
    assert store.dues("another") == []


def test_a_claim_holds_for_the_rows_as_they_were_read_or_not_at_all(store: Schedules) -> None:
    store.add(row())
    read = store.version()
    store.change("kong-tuesdays", {"paused": True})
    with pytest.raises(RowsChanged):
        settled(store, "kong-tuesdays", NOON + 1, [due()], version=read)
    assert (store.dues(), store.kept()[0].looked) == ([], NOON)
    assert settled(store, "kong-tuesdays", NOON + 1, [due()], version=store.version()).ours == [due()]


def test_who_changes_the_rows_waits_for_a_claim_that_waits_for_its_moment(store: Schedules, place: str) -> None:
    store.add(row())
    order: list[str] = []

    def pause() -> None:
        with open_schedules(place) as other:
            begun.set()
            other.change("kong-tuesdays", {"paused": True})
            order.append("paused")

    begun, person = threading.Event(), threading.Thread(target=pause)
    with store.settle("kong-tuesdays", NOON + 1, [due()], version=store.version()):
        person.start()
        assert begun.wait(60.0)
        person.join(0.5)  # were it not kept waiting, it would be done by then
        order.append("claimed")
    person.join()
    assert order == ["claimed", "paused"]
    assert [one.state for one in store.dues()] == ["claimed"]


def test_a_claim_that_sleeps_on_a_server_keeps_nobody_waiting_for_long(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE_TIMEOUT_S", 0.5)
    place = server.create("sleeps")
    with open_schedules(place) as store, open_schedules(place) as other:
        store.add(row())
        with (
            pytest.raises(HistoryError, match="idle-in-transaction"),
            store.settle("kong-tuesdays", NOON + 1, [due()], version=store.version()),
        ):
            other.change("kong-tuesdays", {"paused": True})  # waits until the server has ended the claim
        assert store.dues() == []
        assert store.get("kong-tuesdays")["paused"]


def test_a_claim_that_is_given_up_before_its_moment_never_was(store: Schedules) -> None:
    store.add(row())
    with pytest.raises(ZeroDivisionError), store.settle("kong-tuesdays", NOON + 1, [due()]):
        raise ZeroDivisionError
    assert (store.dues(), store.kept()[0].looked) == ([], NOON)


def test_what_is_in_hand_is_told_of_one_schedule_too(store: Schedules) -> None:
    settled(store, "a", NOON, [due(schedule="a"), due(NOON - 1, "a", state="missed")])
    settled(store, "b", NOON, [due(schedule="b")])
    assert [(one.schedule, one.due) for one in store.in_hand("a")] == [("a", NOON)]


def test_a_state_is_changed_by_who_saw_it_last_and_by_nobody_else(store: Schedules) -> None:
    store.add(row())
    (mine,) = settled(store, "kong-tuesdays", NOON, [due()]).ours
    started = store.tell(mine, "started", run="r2")
    assert started is not None
    assert store.tell(mine, "failed", "by somebody who slept") is None
    assert store.tell(started, "ended", "held") is not None
    assert [(one.state, one.reason, one.run) for one in store.dues()] == [("ended", "held", "r2")]
    assert store.in_hand() == []


def _claim(place: str, daemon: str, times: list[int], ready: Any, won: Any) -> None:
    with open_schedules(place) as store:
        ready.wait()
        ours = [at for at in times if settled(store, "kong-tuesdays", at, [due(at, daemon=daemon)]).ours]
        won.put(ours)


def test_of_many_who_claim_at_once_each_due_time_has_one(store: Schedules, place: str) -> None:
    store.add(row())
    times, spawn = [NOON + n for n in range(100)], multiprocessing.get_context("spawn")
    ready, won = spawn.Barrier(4), spawn.Queue()
    rivals = [spawn.Process(target=_claim, args=(place, f"d{n}", times, ready, won)) for n in range(4)]
    for rival in rivals:
        rival.start()
    claimed = [at for _ in rivals for at in won.get(timeout=120)]
    for rival in rivals:
        rival.join()
    assert sorted(claimed) == times


def test_daemons_beat_and_are_forgotten(store: Schedules) -> None:
    store.beat("d1", "here", NOON)
    store.beat("d2", "there", NOON)
    store.beat("d1", "here", NOON + 5)
    assert store.beats() == {"d1": ("here", NOON + 5), "d2": ("there", NOON)}
    store.forget("d1")
    assert list(store.beats()) == ["d2"]


def test_who_changed_what_is_kept_in_order(store: Schedules) -> None:
    for n in range(3):
        store.note(NOON + n, "anna", "127.0.0.1", "schedule add", {"name": f"s{n}"})
    assert [one["detail"]["name"] for one in store.notes(limit=2)] == ["s2", "s1"]
    assert [one["detail"]["name"] for one in store.notes(before=store.notes()[1]["number"])] == ["s0"]
    assert store.notes()[0]["at"] == "2026-11-25T12:00:00.000002Z"
