"""Events on their way to the outbox: files in the state folder, which cost whoever writes them no time and no database.

A file is there until its event is in the outbox. So a history that is out of reach, or a process that died, loses none.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from simian.errors import SimianError
from simian.hands import Hands
from simian.notify.channels import Channel
from simian.notify.delivery import deliver, enqueue
from simian.notify.event import Event
from simian.world import Clock

if TYPE_CHECKING:
    from simian.history import History

HISTORY_AGAIN_S = 5.0
WHY = "why-not"  # the file that says what kept events from the outbox


class Spool:
    """The folder of these files. Methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, event: Event) -> None:
        """Keep an event, whole or not at all; one that is here already is kept once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(json.dumps([event.about, event.names]).encode()).hexdigest()[:32]
        self._write(f"{name}.json", json.dumps(event.to_json()))

    def events(self) -> Iterator[tuple[Path, Event]]:
        """Those that wait, oldest first; what cannot be read is set aside."""
        for path in sorted(self.folder.glob("*.json"), key=_age):
            try:
                yield path, Event.from_json(json.loads(path.read_text()))
            except FileNotFoundError:  # another process was quicker
                continue
            except (ValueError, KeyError, TypeError):
                path.replace(path.with_suffix(".unreadable"))

    def waiting(self) -> int:
        """How many wait."""
        return len(list(self.folder.glob("*.json")))

    @property
    def why_not(self) -> str:
        """What kept events from the outbox last; empty: nothing."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.folder / WHY).read_text()
        return ""

    def note(self, why: str) -> None:
        """What keeps events from the outbox; empty: nothing any more."""
        if why:
            self._write(WHY, why)
        else:
            (self.folder / WHY).unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        fresh = self.folder / f".{name}.{os.getpid()}"
        fresh.write_text(text)
        fresh.replace(self.folder / name)


def _age(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


@dataclass(frozen=True)
class Post:
    """What the process beside a command does: spool to outbox, outbox to channels, until all is sent or time is up."""

    spool: Spool
    open_history: Callable[[], "History"]
    channels: Sequence[Channel]
    clock: Clock
    environment: Mapping[str, str]
    hands: Hands | None = None
    rng: Random = field(default_factory=Random)

    def work(self, for_s: float) -> None:
        """Work for at most about this long; what is left over is taken up by whoever works next. Raises OSError."""
        until_s = self.clock.elapsed() + for_s
        while (wait_s := self._round()) is not None and self.clock.elapsed() + wait_s < until_s:
            self.clock.wait(wait_s)

    def _round(self) -> float | None:
        """In how many seconds there is more to do; ``None``: nothing is left."""
        try:
            with self.open_history() as history:
                for path, event in self.spool.events():
                    enqueue(history, event, self.channels, self.clock.now())
                    path.unlink(missing_ok=True)
                wait_s = deliver(history.outbox, self.channels, self.clock, self.environment, self.hands, self.rng)
        except SimianError as error:
            self.spool.note(str(error))
            return HISTORY_AGAIN_S
        self.spool.note("")
        return wait_s
