"""The keeper of schedules: what it starts, what it records, and what it inherits."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simian.daemon.keeper import AHEAD_S, Later, reconcile
from simian.daemon.owner import Daemon
from simian.errors import HistoryError, UsageError
from simian.history.schedules import Due, Settled
from simian.schedule.row import Schedule

from .conftest import NINE, Stage

HOUR_S = 3600.0


def gone(me: Daemon) -> Daemon:
    """One on this machine that lives no more."""
    return dataclasses.replace(me, pid=2**22 + 1, start_time="1")


def test_nothing_is_started_before_its_time_and_each_due_time_once(stage: Stage) -> None:
    schedule = stage.add()
    assert stage.at(NINE - 0.001) == []
    assert stage.at(NINE) == [("s", "started", "")]
    assert stage.at(NINE + 1) == [("s", "started", "")]
    assert list(stage.starter.begun().values()) == [("s", schedule.die_of(NINE))]
    assert stage.keeper.next_starts() == {"s": NINE + HOUR_S}


def test_the_end_of_a_run_is_the_end_of_its_due_time(stage: Stage) -> None:
    stage.add()
    stage.at(NINE)
    stage.starter.last = False
    assert stage.at(NINE + 5) == [("s", "ended", "held")]
    assert [event["state"] for event in stage.told] == ["started", "ended"]


@pytest.mark.parametrize(
    ("overlap", "state", "said"), [("skip", "skipped", "overlap: run"), ("queue", "queued", "waits for the end of run")]
)
def test_while_its_last_run_goes_on_the_next_is_skipped_or_waits(
    stage: Stage, overlap: str, state: str, said: str
) -> None:
    stage.add(overlap=overlap)
    stage.at(NINE)
    rows = stage.at(NINE + HOUR_S)
    assert rows[1][1] == state
    assert rows[1][2].startswith(said)
    assert len(stage.starter.begun()) == 1
    rows = stage.at(NINE + 2 * HOUR_S)
    assert rows[2][1] == "skipped"  # one may wait, not a line of them
    stage.starter.last = False
    stage.at(NINE + 2 * HOUR_S + 5)
    assert len(stage.starter.begun()) == (2 if overlap == "queue" else 1)


def test_while_halted_due_times_are_skipped_with_the_reason(stage: Stage) -> None:
    stage.add()
    stage.halted = "an outage"
    assert stage.at(NINE) == [("s", "skipped", "halted: an outage")]
    stage.halted = ""
    assert stage.at(NINE + HOUR_S)[1] == ("s", "started", "")


def test_changes_of_the_rows_are_seen(stage: Stage) -> None:
    stage.add()
    stage.at(NINE - 30)
    stage.store.change("s", {"paused": True})
    assert stage.at(NINE) == [("s", "skipped", "paused")]
    stage.store.remove("s")
    stage.add("t", when={"every_s": 60.0, "from": "2026-11-25T09:01:00Z"})
    assert stage.at(NINE + 60)[1] == ("t", "started", "")
    assert "s" in stage.keeper.reset


def test_a_schedule_that_cannot_be_read_is_told_and_stops_no_other(stage: Stage) -> None:
    stage.add("good")
    stage.add("bad")
    stage.store.change("bad", {"calendar": {"freezes": "/not/there.ics"}, "when": {"chance": {"mean_days": 1.0}}})
    assert stage.at(NINE) == [("good", "started", "")]
    (told,) = [event for event in stage.told if event["event"] == "unreadable"]
    assert (told["schedule"], "/not/there.ics" in told["reason"]) == ("bad", True)
    stage.store.change("bad", {"calendar": None, "when": {"cron": "0 * * * *"}})
    assert ("bad", "started", "") in stage.at(NINE + 20)


def test_a_file_of_freezes_that_goes_away_stops_its_schedule_and_no_other(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "freezes.ics"
    file.write_text("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n")
    stage.add("chance", when={"chance": {"mean_days": 1.0}}, calendar={"hours": "09:00-09:01", "freezes": str(file)})
    stage.add("good")
    stage.at(NINE - 60)
    file.unlink()
    assert stage.at(NINE) == [("good", "started", "")]
    assert [event["schedule"] for event in stage.told if event["event"] == "unreadable"] == ["chance"]


def test_a_clock_that_is_put_back_starts_nothing_again(stage: Stage) -> None:
    stage.add()
    stage.at(NINE)
    stage.at(NINE - HOUR_S)
    assert stage.at(NINE + 1) == [("s", "started", "")]


def test_a_clock_that_jumps_ahead_misses_and_says_so(stage: Stage) -> None:
    stage.add()
    stage.at(NINE - 60)
    rows = stage.at(NINE + 3 * HOUR_S)
    assert [row[1] for row in rows] == ["missed", "missed", "missed", "started"]


def test_a_start_that_fails_is_recorded_with_its_reason(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise UsageError("no monkey is called 'chaos'")

    stage.add()
    monkeypatch.setattr(stage.starter, "start", broken)
    assert stage.at(NINE) == [("s", "failed", "no monkey is called 'chaos'")]


@pytest.mark.parametrize("when", ["claimed", "told"])
def test_a_database_that_goes_away_amid_a_start_neither_doubles_nor_loses_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise HistoryError("away")

    stage.add()
    stage.at(NINE - 60)
    whose, name = {"claimed": (stage.starter, "start"), "told": (stage.store, "tell")}[when]
    monkeypatch.setattr(whose, name, away)
    with pytest.raises(HistoryError):
        stage.at(NINE)
    assert stage.rows() == [("s", "claimed", "")]
    monkeypatch.undo()
    rows = stage.at(NINE + 10)
    assert [row[:2] for row in rows] == [("s", "started")]
    assert len(stage.starter.begun()) == 1
    assert not [event for event in stage.told if "died" in event["reason"]]  # nobody did


def test_what_was_paused_since_the_last_look_is_not_started(stage: Stage) -> None:
    stage.add()
    stage.at(NINE - 1)
    stage.store.change("s", {"paused": True})
    stage.clock.at = NINE
    stage.keeper.start_due(["s"])
    assert stage.rows() == [("s", "skipped", "paused")]
    assert stage.starter.begun() == {}


def test_a_claim_is_made_a_little_ahead_and_the_run_started_at_its_moment(stage: Stage) -> None:
    stage.add()
    stage.at(NINE - 2 * AHEAD_S)
    stage.keeper.start_due(["s"])
    assert stage.rows() == []
    stage.clock.at = NINE - AHEAD_S / 2
    stage.keeper.start_due(["s"])
    assert (stage.clock.at, [row[1] for row in stage.rows()]) == (NINE, ["started"])
    assert stage.keeper.next_starts() == {"s": NINE + HOUR_S}


def test_a_clock_that_is_put_back_while_a_claim_waits_undoes_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.add()
    stage.at(NINE - 60)
    stage.keeper.reset.clear()
    monkeypatch.setattr(stage.clock, "wait", lambda _: setattr(stage.clock, "at", NINE - 30))
    stage.clock.at = NINE - AHEAD_S / 2
    stage.keeper.start_due(["s"])
    assert (stage.rows(), stage.keeper.reset) == ([], ["s"])  # its alarm is to be set anew
    assert [row[1] for row in stage.at(NINE)] == ["started"]


def test_what_was_put_off_or_removed_since_the_last_look_is_not_due(stage: Stage) -> None:
    stage.add("later")
    stage.add("gone")
    stage.at(NINE - 1)
    stage.store.change("later", {"when": {"cron": "30 9 * * *"}})
    stage.store.remove("gone")
    stage.clock.at = NINE
    stage.keeper.start_due(["later", "gone", "never was"])
    assert stage.rows() == []
    assert stage.keeper.next_starts() == {"later": NINE + 1800}


def test_a_run_that_ended_since_the_last_look_is_in_nobody_s_way(stage: Stage) -> None:
    stage.add()
    stage.at(NINE)
    stage.starter.last, stage.clock.at = False, NINE + HOUR_S
    stage.keeper.start_due(["s"])
    assert [row[1] for row in stage.rows()] == ["ended", "started"]


def test_of_many_schedules_those_that_changed_are_read_anew(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        stage.add(name)
    stage.add("hours", calendar={"hours": "09:00-15:00"})  # its calendar could be a file, which tells nobody
    stage.at(NINE - 60)
    stage.keeper.reset.clear()
    stage.store.change("b", {"note": "x"})
    stage.store.remove("c")
    stage.at(NINE - 50)
    assert sorted(stage.keeper.reset) == ["b", "c", "hours"]
    assert sorted(stage.keeper.next_starts()) == ["a", "b", "hours"]


def test_whoever_slept_says_that_he_lives_before_he_claims(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.add()
    stage.at(NINE - 300)
    order: list[str] = []

    def note(name: str) -> None:
        real = getattr(stage.store, name)
        monkeypatch.setattr(stage.store, name, lambda *args, **more: (order.append(name), real(*args, **more))[1])

    note("beat")
    note("settle")
    stage.clock.at = NINE
    stage.keeper.start_due(["s"])
    assert order == ["beat", "settle"]


def claim(stage: Stage, daemon: Daemon, state: str = "claimed", run: str = "r1") -> Due:
    due = Due("s", round(NINE * 1e6), state, "", run, daemon.name, round(NINE * 1e6))
    with stage.store.settle("s", due.due, [due]) as settled:
        assert settled == ([due], [due])
    return due


def test_a_claim_of_a_dead_daemon_runs_under_another_name_while_there_is_time(stage: Stage) -> None:
    stage.add()
    claim(stage, gone(stage.keeper.me))
    assert [row[1] for row in stage.at(NINE + 10)] == ["started"]
    assert stage.starter.fence("r1")
    assert len(stage.starter.begun()) == 1
    assert stage.store.dues()[0].run in stage.starter.begun()


def test_a_claim_of_a_dead_daemon_is_missed_when_it_is_too_late(stage: Stage) -> None:
    stage.add()
    claim(stage, gone(stage.keeper.me))
    ((_, state, reason),) = stage.at(NINE + 600)
    assert state == "missed"
    assert "died before the run began; no daemon looked until 10 min later" in reason
    assert stage.starter.begun() == {}


def test_a_run_that_a_dead_daemon_began_is_seen_to_its_end_and_not_started_again(stage: Stage) -> None:
    schedule = stage.add()
    stage.starter.start("r1", schedule, 1)
    claim(stage, gone(stage.keeper.me))
    assert [row[1] for row in stage.at(NINE + 10)] == ["started"]
    stage.starter.last = False
    assert [row[1] for row in stage.at(NINE + 20)] == ["ended"]
    assert list(stage.starter.begun()) == ["r1"]


def test_what_a_living_daemon_has_in_hand_is_left_to_it(stage: Stage) -> None:
    stage.add()
    other = Daemon.me(stage.folder, pid=1)
    claim(stage, other)
    assert [row[1] for row in stage.at(NINE + 10)] == ["claimed"]


def test_a_daemon_on_another_machine_is_waited_for_and_then_told_as_gone(stage: Stage) -> None:
    stage.add()
    far = dataclasses.replace(stage.keeper.me, host="far")
    stage.store.beat(far.name, "far", round(NINE * 1e6))
    claim(stage, far)
    assert [row[1] for row in watched(stage, NINE, NINE + 100)] == ["claimed"]
    ((_, state, reason),) = watched(stage, NINE + 100, NINE + 300)
    assert state == "failed"
    assert "its daemon on far is gone; what became of run r1" in reason
    assert stage.starter.begun() == {}


def watched(stage: Stage, begin: float, end: float, beating: Daemon | None = None) -> list[tuple[str, str, str]]:
    """What has become of all due times after looks every few seconds, as a daemon makes them."""
    for second in range(0, round(end - begin), 5):
        if beating is not None:
            stage.store.beat(beating.name, beating.host, round((begin + second) * 1e6))
        stage.at(begin + second)
    return stage.rows()


@pytest.mark.parametrize("ahead_s", [2 * HOUR_S, -2 * HOUR_S])
def test_neither_a_jump_of_the_clock_nor_its_own_sleep_makes_another_machines_daemon_gone(
    stage: Stage, ahead_s: float
) -> None:
    stage.add()
    far = dataclasses.replace(stage.keeper.me, host="far")
    claim(stage, far)
    watched(stage, NINE, NINE + 60, beating=far)
    stage.at(NINE + 60 + ahead_s)  # all that it knows of the other is hours old, or to come
    assert stage.rows()[0][1] == "claimed"
    assert watched(stage, NINE + 60 + ahead_s, NINE + 360 + ahead_s, beating=far)[0][1] == "claimed"


@pytest.mark.parametrize(("misfire", "ends"), [("skip", "missed"), ("late", "started")])
def test_a_claim_that_took_the_database_an_hour_is_late_by_its_rule(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, misfire: str, ends: str
) -> None:
    stage.add(misfire=misfire, grace_s=2 * HOUR_S, when={"cron": "0 9 * * *"})
    stage.at(NINE - 60)
    settle = stage.store.settle

    @contextmanager
    def slowly(*given: Any, **more: Any) -> Iterator[Settled]:
        with settle(*given, **more) as settled:
            stage.clock.at += HOUR_S
            yield settled

    monkeypatch.setattr(stage.store, "settle", slowly)
    ((_, state, reason),) = stage.at(NINE)
    assert (state, "before the run began" in reason or state == "started") == (ends, True)
    assert len(stage.starter.begun()) == (state == "started")


def test_a_daemon_that_stops_keeps_its_claim_for_the_next(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: Any) -> None:
        raise Later("the daemon stops")

    stage.add()
    monkeypatch.setattr(stage.starter, "start", stops)
    with pytest.raises(Later):
        stage.at(NINE)
    assert stage.rows() == [("s", "claimed", "")]


def test_a_daemon_is_known_by_machine_boot_pid_and_start(tmp_path: Path) -> None:
    me = Daemon.me(tmp_path)
    assert Daemon.named(me.name) == me
    assert me.alive
    assert not gone(me).alive
    assert not dataclasses.replace(me, boot="another").alive
    assert not Daemon.named("who knows").alive


def declared(name: str, **more: Any) -> Schedule:
    base = {"name": name, "monkey": "chaos", "when": {"cron": "0 * * * *"}, "seed": 7, "made": "2026-11-25T08:30:00Z"}
    return Schedule.from_json(base | {"declared": True} | more)


def test_declared_schedules_are_reconciled_and_those_made_by_hand_left_alone(stage: Stage) -> None:
    by_hand = stage.add("by-hand")
    assert reconcile(stage.store, [declared("a"), declared("b")]) == ["added a", "added b"]
    stage.store.change("a", {"paused": True})
    later = [declared("a", when={"cron": "5 * * * *"}, made="2026-11-26T00:00:00Z"), declared("c")]
    assert reconcile(stage.store, later) == ["removed b", "changed a: when", "added c"]
    assert reconcile(stage.store, later) == []
    assert [row["name"] for row in stage.store.all()] == ["a", "by-hand", "c"]
    assert stage.store.get("a")["paused"]  # who paused it by hand did not mean until the next start
    assert stage.store.get("by-hand")["when"] == by_hand.when
    with pytest.raises(UsageError, match="'by-hand' was made by hand"):
        reconcile(stage.store, [declared("by-hand")])
