"""From an event to its receivers: to each at least once, whatever dies or is away; and nobody is made to wait."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian.errors import HistoryError
from simian.hands import OneByOne
from simian.history import History, open_history
from simian.history.outbox import FAILED, SENT, WAITING
from simian.memory import SimulatedClock
from simian.notify import Channel, Event, Post, Spool, channels_of, deliver, ended, enqueue, missed, refused, started
from simian.notify.delivery import LONGEST_AFTER_S, LONGEST_WAIT_S, MOST_TRIES, wait_s
from simian.notify.parcel import NotSent, Parcel
from simian.report import render

from ..report import records
from .conftest import Receiver

NOW_S = 1_800_000_000.0
HELD = records.held_gorilla()


class Died(BaseException):
    """As a SIGKILL does: no code of ours runs after it."""


@dataclass
class Friend:
    """A receiver in this process: ``answers`` says what comes of each try, by its number."""

    name: str = "friend"
    answers: Callable[[int], None] = lambda tried: None
    got: list[Parcel] = field(default_factory=list)

    def send(self, parcel: Parcel, environment: Mapping[str, str], limit_s: float) -> None:
        self.got.append(parcel)
        self.answers(len(self.got))


@dataclass
class Scene:
    """A history, a simulated clock, and channels."""

    history: History
    channels: list[Channel]
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(start=NOW_S))

    def bring(self) -> float | None:
        hands, rng = OneByOne(Random(1)), Random(1)
        return deliver(self.history.outbox, self.channels, self.clock, {}, hands, rng)

    def states(self) -> list[tuple[str, int]]:
        return [(one.state, one.tries) for one in self.history.outbox.page()]


def fails(text: str = "answered 503", for_good: bool = False, until: int = 10_000) -> Callable[[int], None]:
    def answer(tried: int) -> None:
        if tried <= until:
            raise NotSent(text, for_good)

    return answer


# --- what is told


def test_an_end_is_told_in_the_words_of_its_report() -> None:
    event = ended(HELD, link="https://simian.example/runs/1")
    message = event.message
    assert event.names == ("verdict",)
    assert message["sentence"].startswith("HELD: gorilla on ")
    assert message["sentence"].partition(". ")[2].split(".")[0] in " ".join(render(HELD).split())
    for key in ("run", "system", "monkey", "seed", "outcome", "verdict", "recovery", "reasons"):
        assert message[key] == HELD[key]
    assert message["report"] == "https://simian.example/runs/1"
    assert json.loads(json.dumps(event.to_json())) == json.loads(json.dumps(Event.from_json(event.to_json()).to_json()))


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({}, ("verdict",)),
        ({"outcome": "aborted", "verdict": "unknown"}, ("aborted", "verdict")),
        ({"outcome": "crashed", "verdict": "unknown"}, ("aborted", "verdict")),
        ({"outcome": "aborted", "recovery": "stuck"}, ("stuck", "aborted", "verdict")),
        ({"outcome": "refused", "verdict": "unknown", "faults": []}, ("refused",)),
    ],
)
def test_an_end_has_the_gravest_name_first(facts: dict[str, Any], names: tuple[str, ...]) -> None:
    assert ended(HELD | facts).names == names


def test_names_that_would_steer_a_terminal_are_made_visible() -> None:
    nasty = "x\x1b[2J\u202e\nstuck"
    events = [
        ended(HELD | {"experiment": nasty, "reasons": [nasty], "note": nasty}),
        started(run="r", system=nasty, monkey=nasty, experiment=None, at="2026-11-22T10:00:00Z", note=nasty),
        missed(system="s", schedule=nasty, due="2026-11-22T10:00:00Z", reason=nasty),
        refused(system="s", schedule=nasty, due="2026-11-22T10:00:00Z", reasons=[nasty]),
    ]
    for event in events:
        told = json.dumps(event.message, ensure_ascii=False)
        assert "\x1b" not in told
        assert "\\u001b" not in told
        assert "\u202e" not in told
        assert "\n" not in event.message["sentence"]


def test_a_missed_due_time_and_a_refused_one_have_a_sentence_each() -> None:
    due = "2026-12-01T09:00:00Z"
    event = missed(system="shop", schedule="kong-tuesdays", due=due, reason="no daemon ran then")
    assert event.message["sentence"] == f"MISSED: kong-tuesdays on shop was due {due}: no daemon ran then."
    event = refused(system="shop", schedule="kong-tuesdays", due=due, reasons=["halted: incident 7", "closed"])
    assert event.message["sentence"] == f"REFUSED: kong-tuesdays on shop, due {due}: halted: incident 7."
    assert event.message["reasons"] == ["halted: incident 7", "closed"]


# --- who is told, and how often


def test_a_channel_is_told_an_end_once_by_the_gravest_name_it_listens_to(history: History) -> None:
    all_ears, calm, deaf = Friend("all ears"), Friend("calm"), Friend("deaf")
    channels = [Channel(all_ears), Channel(calm, on=("verdict",)), Channel(deaf, on=("missed",))]
    scene = Scene(history, channels)
    event = ended(HELD | {"outcome": "aborted", "recovery": "stuck", "verdict": "broken"})
    assert enqueue(history, event, channels, NOW_S) == 2
    assert enqueue(history, event, channels, NOW_S) == 0, "asked again, nothing is told twice"
    assert scene.bring() is None
    assert [one.event for one in all_ears.got] == ["stuck"]
    assert [one.event for one in calm.got] == ["verdict"]
    assert deaf.got == []
    assert all_ears.got[0].key != calm.got[0].key
    assert scene.states() == [(SENT, 1), (SENT, 1)]


def test_what_fails_is_tried_again_after_waits_that_grow(history: History) -> None:
    friend = Friend(answers=fails(until=5))
    scene = Scene(history, [Channel(friend)])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    waits = []
    while (wait := scene.bring()) is not None:
        waits.append(wait)
        assert scene.states() == [(WAITING, len(waits))]
        assert history.outbox.page()[0].error == "answered 503"
        scene.clock.wait(wait - 0.001)
        assert scene.bring() == pytest.approx(0.001, abs=1e-4), "not before its time"
        scene.clock.wait(0.001)
    assert len(waits) == 5
    assert all(later > 1.2 * earlier for earlier, later in pairwise(waits)), waits
    assert len({one.key for one in friend.got}) == 1
    assert scene.states() == [(SENT, 6)]


def test_after_the_last_try_and_when_no_try_can_help_it_is_given_up(history: History) -> None:
    stubborn, gone = Friend("stubborn", fails()), Friend("gone", fails("answered 410", for_good=True))
    scene = Scene(history, [Channel(stubborn), Channel(gone)])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    while (wait := scene.bring()) is not None:
        scene.clock.wait(wait)
    assert (len(stubborn.got), len(gone.got)) == (MOST_TRIES, 1)
    assert {(one.state, one.tries, one.error) for one in history.outbox.page()} == {
        (FAILED, MOST_TRIES, "answered 503"), (FAILED, 1, "answered 410"),
    }  # fmt: skip


def test_waits_have_a_limit_and_jitter() -> None:
    rng = Random(3)
    waits = [wait_s(tries, rng) for tries in range(1, 60)]
    assert max(waits) <= LONGEST_WAIT_S * 1.25
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize(("asked_s", "wait"), [(0.0, 2.0), (1.0, 2.0), (300.0, 300.0), (1e12, LONGEST_AFTER_S)])
def test_whoever_says_when_to_come_again_is_not_asked_sooner_but_within_an_hour(
    history: History, asked_s: float, wait: float
) -> None:
    def busy(tried: int) -> None:
        if tried == 1:
            raise NotSent("answered 429", after_s=asked_s)

    scene = Scene(history, [Channel(Friend(answers=busy))])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    found = scene.bring()
    assert found == pytest.approx(wait, rel=0.25)
    scene.clock.wait(found or 0.0)
    assert (scene.bring(), scene.states()) == (None, [(SENT, 2)])


def test_who_dies_between_sending_and_writing_that_down_has_it_sent_again_with_the_same_key(history: History) -> None:
    def dies(tried: int) -> None:
        if tried == 1:
            raise Died

    friend = Friend(answers=dies)
    scene = Scene(history, [Channel(friend)])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    with pytest.raises(Died):
        scene.bring()
    assert scene.states() == [(WAITING, 1)]
    wait = scene.bring()
    assert wait is not None
    assert len(friend.got) == 1, "for a while it might be still under way"
    scene.clock.wait(wait)
    assert scene.bring() is None
    assert len(friend.got) == 2
    assert friend.got[0].key == friend.got[1].key
    assert scene.states() == [(SENT, 2)]


def test_one_channel_in_trouble_holds_up_no_other(history: History) -> None:
    bad, good = Friend("bad", fails()), Friend("good")
    scene = Scene(history, [Channel(bad), Channel(good)])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    scene.bring()
    assert len(good.got) == 1


def test_a_channel_that_is_no_longer_configured_is_given_up(history: History) -> None:
    scene = Scene(history, [Channel(Friend())])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    scene.channels.clear()
    assert scene.bring() is None
    assert history.outbox.page()[0].error == "simian.yaml has no such channel any more"


def test_an_error_nobody_foresaw_shows_nothing_of_what_it_says(history: History) -> None:
    def slips(tried: int) -> None:
        raise RuntimeError("hunter2")

    scene = Scene(history, [Channel(Friend(answers=slips))])
    enqueue(history, ended(HELD), scene.channels, scene.clock.now())
    scene.bring()
    assert history.outbox.page()[0].error == "RuntimeError while sending"


# --- over real sockets, by way of the spool


def post(tmp_path: Path, url: str, clock: SimulatedClock, spool: Spool) -> Post:
    channels = channels_of([{"webhook": url, "secret": {"env": "S"}}])
    return Post(spool, lambda: open_history(tmp_path / "h.db"), channels, clock, {"S": "x"}, OneByOne(Random(1)))


def test_a_receiver_that_answers_500_and_then_200_gets_it_twice_with_one_key(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.statuses = [500, 200]
    spool, clock = Spool(tmp_path / "notify"), SimulatedClock(start=NOW_S)
    spool.put(ended(HELD))
    spool.put(ended(HELD))
    post(tmp_path, receiver.url, clock, spool).work(60.0)
    assert [headers["idempotency-key"] for _, headers, _ in receiver.got] == [receiver.got[0][1]["idempotency-key"]] * 2
    stamps = [int(headers["x-simian-timestamp"]) for _, headers, _ in receiver.got]
    assert stamps[1] > stamps[0], "signed anew, so that it is fresh"
    assert spool.waiting() == 0
    with open_history(tmp_path / "h.db") as history:
        assert history.outbox.page()[0].state == SENT


def test_who_works_leaves_what_takes_longer_to_the_next(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [500]
    spool, clock = Spool(tmp_path / "notify"), SimulatedClock(start=NOW_S)
    spool.put(ended(HELD))
    post(tmp_path, receiver.url, clock, spool).work(10.0)
    assert clock.elapsed() < 10
    assert len(receiver.got) > 1
    receiver.statuses = [204]
    clock.wait(60)
    post(tmp_path, receiver.url, clock, spool).work(10.0)
    with open_history(tmp_path / "h.db") as history:
        assert history.outbox.page()[0].state == SENT


def test_while_the_history_is_away_events_wait_in_the_spool_and_that_is_told(
    tmp_path: Path, receiver: Receiver
) -> None:
    spool, clock = Spool(tmp_path / "notify"), SimulatedClock(start=NOW_S)
    working = post(tmp_path, receiver.url, clock, spool)
    opened = working.open_history
    tries: list[float] = []

    def away() -> History:
        tries.append(clock.elapsed())
        if len(tries) < 4:
            raise HistoryError("history h cannot be opened: nobody listens")
        return opened()

    spool.put(ended(HELD))
    Post(spool, away, working.channels, clock, working.environment, working.hands).work(10.0)
    assert (spool.waiting(), receiver.got) == (1, [])
    assert spool.why_not == "history h cannot be opened: nobody listens"
    clock.wait(100)
    Post(spool, away, working.channels, clock, working.environment, working.hands).work(30.0)
    assert (spool.waiting(), spool.why_not, len(receiver.got)) == (0, "", 1)


def test_a_file_of_the_spool_that_is_damaged_keeps_no_other_from_going(tmp_path: Path, receiver: Receiver) -> None:
    spool = Spool(tmp_path / "notify")
    spool.put(ended(HELD))
    (spool.folder / "a.json").write_bytes(b"\xff{")
    (spool.folder / "b.json").write_text('{"names": []}')
    (spool.folder / "c.json").write_text("[]")
    post(tmp_path, receiver.url, SimulatedClock(start=NOW_S), spool).work(10.0)
    assert len(receiver.got) == 1
    assert spool.waiting() == 0
    assert len(list(spool.folder.glob("*.unreadable"))) == 3
