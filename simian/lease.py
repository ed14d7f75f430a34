"""A run's right to act: held by its runner, watched over by its guardian.

The runner renews the lease from its main loop and tells the guardian each intent before it acts; the guardian's
copy, in memory, is what undo falls back on when the disk is full or gone. Messages are JSON lines:
runner to guardian ``renew``, ``intend``, ``mark``, ``end``; guardian to runner ``ready``, ``ack``.
"""

import json
import os
import select
from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol

from simian.errors import LeaseLost
from simian.world import Clock

LEASE_S = 5.0
ACK_LIMIT_S = 5.0


class Lease(Protocol):
    """What the runner asks of its guardian."""

    def renew(self) -> None:
        """Say that the runner is alive."""
        ...

    def check(self) -> None:
        """Raise ``LeaseLost`` unless the lease is still ours."""
        ...

    def intend(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Tell intents and wait until they are held. Raises ``LeaseLost`` when nobody holds them."""
        ...

    def mark(self, n: int, state: str, doubtful_until: float | None = None) -> None:
        """Tell a fault's new state."""
        ...

    def end(self) -> None:
        """The run is closed; the guardian may go."""
        ...

    @property
    def alone(self) -> bool:
        """Whether the guardian is gone, so that nobody watches over this run."""
        ...


class NoGuardian:
    """The null lease, for simulation and leashed runs."""

    alone = False

    def renew(self) -> None:
        """Nothing to renew."""

    def check(self) -> None:
        """Always ours."""

    def intend(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Nobody to tell."""

    def mark(self, n: int, state: str, doubtful_until: float | None = None) -> None:
        """Nobody to tell."""

    def end(self) -> None:
        """Nobody to send away."""


class Lines:
    """JSON lines from a pipe, read without blocking beyond a time limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._buffer, self.ended = descriptor, b"", False

    def read(self, timeout_s: float) -> list[dict[str, Any]]:
        """The whole lines that are there, waiting up to ``timeout_s`` for a first; sets ``ended`` at the end."""
        if not select.select([self._descriptor], [], [], max(0.0, timeout_s))[0]:
            return []
        try:
            chunk = os.read(self._descriptor, 1 << 16)
        except OSError:
            chunk = b""
        if not chunk:
            self.ended = True
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]


def write_line(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """One JSON line, flushed. Raises OSError when nobody reads any more."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


class GuardianLease:
    """The lease over the two pipes of a guardian process."""

    def __init__(self, to_guardian: IO[bytes], from_guardian: IO[bytes], clock: Clock) -> None:
        self._out, self._lines, self._clock = to_guardian, Lines(from_guardian.fileno()), clock
        self._renewed_at, self.alone = clock.elapsed(), False

    def wait_until_ready(self, limit_s: float = 20.0) -> None:
        """Wait for the guardian's word that it watches. Raises LeaseLost."""
        self._await("ready", limit_s)
        self.renew()

    def renew(self) -> None:
        """See ``Lease.renew``."""
        now = self._clock.elapsed()
        if self._tell({"do": "renew", "at": now}):
            self._renewed_at = now

    def check(self) -> None:
        """See ``Lease.check``. With the guardian gone nobody else acts, so undo may go on."""
        if not self.alone and self._clock.elapsed() - self._renewed_at > LEASE_S:
            raise LeaseLost(f"the lease of {LEASE_S:g} s has run out; the guardian takes over")

    def intend(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """See ``Lease.intend``."""
        self._tell({"do": "intend", "entries": list(entries)})
        self._await("ack", ACK_LIMIT_S)

    def mark(self, n: int, state: str, doubtful_until: float | None = None) -> None:
        """See ``Lease.mark``."""
        self._tell({"do": "mark", "n": n, "state": state, "doubtful_until": doubtful_until})

    def end(self) -> None:
        """See ``Lease.end``."""
        self._tell({"do": "end"})

    def _tell(self, message: Mapping[str, Any]) -> bool:
        if self.alone:
            return False
        try:
            write_line(self._out, message)
        except OSError:
            self.alone = True
        return not self.alone

    def _await(self, word: str, limit_s: float) -> None:
        until = self._clock.elapsed() + limit_s
        while not self.alone and self._clock.elapsed() < until:
            if any(word in message for message in self._lines.read(0.2)):
                return
            self.alone = self.alone or self._lines.ended
        raise LeaseLost(f"the guardian did not say {word!r}: " + ("it is gone" if self.alone else "it does not answer"))
