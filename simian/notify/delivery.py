"""Into the outbox, and from there to the channels: each at least once, however often it takes.

A receiver may see a message again, where its sender died after it was sent and before that was written down; it has
the same key then.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from simian.errors import SimianError
from simian.hands import Done, Hands, Threads
from simian.notify.channels import Channel
from simian.notify.event import Event
from simian.notify.parcel import NotSent, Parcel
from simian.world import Clock

if TYPE_CHECKING:  # SQLAlchemy takes half a second; whoever has a history has paid for it
    from simian.history import History
    from simian.history.outbox import Notification, Outbox

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 900.0
LONGEST_AFTER_S = 3600.0  # whoever asks for more than an hour is asked again after one
MOST_TRIES = 12  # about an hour and a half
SPARE_S = 5.0  # beside the longest deadline: before nobody else may take up what is being sent


def enqueue(history: "History", event: Event, channels: Sequence[Channel], now_s: float) -> int:
    """Have an event told to every channel that listens to it; once only, however often this is called. How many.

    Raises HistoryError. ``now_s``: seconds since the epoch.
    """
    from simian.history.outbox import Notification

    notes = []
    for channel in channels:
        wanted = next((name for name in event.names if name in channel.on), None)
        if wanted is not None:
            key = key_of(event, channel)
            notes.append(Notification(key, channel.name, wanted, event.message, event.run))
    return history.outbox.add(notes, now_s)


def key_of(event: Event, channel: Channel) -> str:
    """The same for the same event and channel, whoever asks: 32 digits."""
    system = str(event.message.get("system") or "")
    whole = "\n".join([system, event.about, event.names[-1] if event.names else "", channel.name])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Courier:
    """Brings what is due. ``hands`` does the sending, side by side, each within its deadline."""

    outbox: "Outbox"
    channels: Sequence[Channel]
    clock: Clock
    hands: Hands
    environment: Mapping[str, str]
    rng: Random
    stopped: Callable[[], bool] = lambda: False

    def bring(self) -> float | None:
        """Send all that is due now; in how many seconds the next is, ``None``: nothing waits. Raises HistoryError."""
        lease_s = max((one.deadline_s for one in self.channels), default=0.0) + SPARE_S
        while not self.stopped() and (notes := self.outbox.take(self.clock.now(), lease_s)):
            self._send(notes, lease_s - SPARE_S)
        due_s = self.outbox.next_due_s()
        return None if due_s is None else max(0.0, due_s - self.clock.now())

    def _send(self, notes: Sequence["Notification"], deadline_s: float) -> None:
        calls = [partial(self._one, note) for note in notes]
        for note, done in zip(notes, self.hands.each(calls, deadline_s=deadline_s + SPARE_S / 2), strict=True):
            self._settle(note, done)

    def _one(self, note: "Notification") -> None:
        channel = next((one for one in self.channels if one.name == note.channel), None)
        if channel is None:
            raise NotSent("simian.yaml has no such channel any more", for_good=True)
        parcel = Parcel(note.key, note.event, note.message, self.clock.now())
        channel.way.send(parcel, self.environment, channel.deadline_s)

    def _settle(self, note: "Notification", done: Done) -> None:
        if done.error is None:
            self.outbox.sent(note.key, self.clock.now())
            return
        text = str(done.error) if isinstance(done.error, SimianError) else f"{type(done.error).__name__} while sending"
        if (isinstance(done.error, NotSent) and done.error.for_good) or note.tries >= MOST_TRIES:
            self.outbox.failed(note.key, text)
        else:
            asked_s = done.error.after_s if isinstance(done.error, NotSent) else 0.0
            pause_s = max(wait_s(note.tries, self.rng), min(asked_s, LONGEST_AFTER_S))
            self.outbox.again(note.key, text, self.clock.now() + pause_s)


def wait_s(tries: int, rng: Random) -> float:
    """How long after so many tries: twice as long each time, and up to a quarter more or less, so that none meet."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (tries - 1)) * rng.uniform(0.75, 1.25)


def deliver(
    outbox: "Outbox",
    channels: Sequence[Channel],
    clock: Clock,
    environment: Mapping[str, str],
    hands: Hands | None = None,
    rng: Random | None = None,
) -> float | None:
    """Send all that is due; in how many seconds the next is (``None``: nothing waits). Raises HistoryError.

    Takes as long as the slowest channel's deadline for each twenty: call it where nobody waits. Any number of
    processes may do so at once.
    """
    return Courier(outbox, channels, clock, hands or Threads(clock), environment, rng or Random()).bring()
