"""The outbox: each notification waits until it is sent or given up, and is one process's alone while that tries."""

import threading

import pytest

from simian.errors import HistoryError
from simian.history import History, open_history
from simian.history.outbox import FAILED, SENT, WAITING, Notification

NOW_S = 1_800_000_000.0


def note(key: str, channel: str = "command told", run: str | None = "r1") -> Notification:
    return Notification(key, channel, "verdict", {"sentence": "HELD: ï", "reasons": []}, run)


def test_what_is_added_waits_and_is_added_once(history: History) -> None:
    outbox = history.outbox
    assert outbox.next_due_s() is None
    assert outbox.add([note("a"), note("b", run=None)], NOW_S) == 2
    assert outbox.add([note("a", channel="another")], NOW_S + 5) == 0
    assert outbox.add([], NOW_S) == 0
    assert outbox.next_due_s() == NOW_S
    [b, a] = outbox.page()
    assert (a.key, a.channel, a.event, a.run, a.state, a.tries) == ("a", "command told", "verdict", "r1", WAITING, 0)
    assert a.message == {"sentence": "HELD: ï", "reasons": []}
    assert (a.made_s, a.due_s, b.run) == (NOW_S, NOW_S, None)
    assert [one.key for one in outbox.page(run="r1")] == ["a"]


def test_what_is_taken_is_nobody_elses_until_its_time_is_over(history: History) -> None:
    outbox = history.outbox
    outbox.add([note("a")], NOW_S)
    assert outbox.take(NOW_S - 1, 15.0) == []
    assert [(one.key, one.tries) for one in outbox.take(NOW_S, 15.0)] == [("a", 1)]
    assert outbox.take(NOW_S + 14, 15.0) == []
    assert [(one.key, one.tries) for one in outbox.take(NOW_S + 15, 15.0)] == [("a", 2)], "who took it has died"


def test_it_is_sent_or_tried_again_or_given_up(history: History) -> None:
    outbox = history.outbox
    outbox.add([note("sent"), note("again"), note("failed")], NOW_S)
    assert len(outbox.take(NOW_S, 15.0)) == 3
    outbox.sent("sent", NOW_S + 1)
    outbox.again("again", "answered 503", NOW_S + 60)
    outbox.failed("failed", "x" * 9_000)
    assert {one.key: (one.state, one.error and one.error[:12]) for one in outbox.page()} == {
        "sent": (SENT, None), "again": (WAITING, "answered 503"), "failed": (FAILED, "x" * 12),
    }  # fmt: skip
    assert len(outbox.page(state=FAILED)[0].error or "") == 500
    assert outbox.next_due_s() == NOW_S + 60
    outbox.again("sent", "a slow one's word", NOW_S)
    assert outbox.page(state=SENT)[0].key == "sent", "what has arrived stays so"


def test_many_who_take_at_once_take_each_once(tmp_path: object) -> None:
    where, taken, start = f"{tmp_path}/h.db", [], threading.Barrier(4)
    with open_history(where) as history:
        history.outbox.add([note(str(number)) for number in range(40)], NOW_S)

    def take() -> None:
        with open_history(where) as mine:
            start.wait(60)
            while found := mine.outbox.take(NOW_S, 15.0, most=3):
                taken.extend(one.key for one in found)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(taken) == sorted(str(number) for number in range(40))


def test_a_history_that_is_gone_is_told(history: History) -> None:
    with history._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE notifications")
    with pytest.raises(HistoryError, match="cannot be written"):
        history.outbox.add([note("a")], NOW_S)
