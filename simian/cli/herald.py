"""Who is told of runs: events are left in the spool, and a process that nobody waits for sends them."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simian.cli.spawn import spawn, talk
from simian.errors import SimianError
from simian.record import iso, record_of
from simian.request import RunRequest

if TYPE_CHECKING:
    from simian.cli.context import System
    from simian.notify import Event, Spool

_left: list["subprocess.Popen[bytes]"] = []  # they outlive us; nobody waits for them


class Herald:
    """Tells the channels of one system. Nothing here raises: what went wrong is in ``problems``, a line each."""

    def __init__(self, system: "System") -> None:
        self._system = system
        self._channels = system.config.notify_settings()
        self.problems = list(system.config.warnings())
        if self._channels and (waiting := self._spool.waiting()):
            why = self._spool.why_not or "who was to send them has ended"
            self.problems.append(f"{waiting} notifications were not sent yet: {why}; this run tries again")

    @property
    def _spool(self) -> "Spool":
        from simian.notify import Spool

        return Spool(self._system.state.path / "notify")

    def hear(self, request: RunRequest, event: Mapping[str, Any]) -> None:
        """An event of a runner: with its baseline a run has begun, as its preflight found nothing against it."""
        if self._channels and (event.get("event"), event.get("phase")) == ("phase", "baseline"):
            from simian.notify import started

            self._tell(
                started(
                    run=request.run,
                    system=request.system,
                    monkey=request.monkey,
                    experiment=request.experiment,
                    at=iso(self._system.clock.now()) or "",
                    seed=request.seed,
                    note=request.note,
                    leashed=request.leashed,
                )
            )

    def tell_ends(self) -> None:
        """Tell of all runs that have ended since anybody looked, those of commands that died too; once each."""
        if not self._channels:
            return
        from simian.notify import ended

        with self._told():
            journal = self._system.journal()
            for run in journal.unfed():
                record = record_of(journal, run)
                if any(phase["phase"] == "baseline" for phase in record["phases"]):
                    self._tell(ended(record))

    def hear_due(self, due: Mapping[str, Any]) -> None:
        """What became of a due time, as in docs/wire.md: who listens is told of what did not run."""
        from simian.notify import missed, refused

        about = {"system": self._system.name, "schedule": due["schedule"], "due": due["due"]}
        if self._channels and due["state"] == "missed":
            self._tell(missed(**about, reason=due["reason"]))
        elif self._channels and due["state"] in ("refused", "failed"):
            self._tell(refused(**about, reasons=[due["reason"]]))

    def again(self) -> None:
        """Have what was not sent yet tried again, by a process that nobody waits for."""
        if self._channels:
            with self._told():
                self._send()

    def _tell(self, event: "Event") -> None:
        with self._told():
            self._spool.put(event)
            self._send()

    def _send(self) -> None:
        told = {"spool": str(self._spool.folder), "history": self._system.history_place, "channels": self._channels}
        log = self._system.state.log("notify")
        process = spawn("simian.cli.notify_process", log=log, environment=os.environ)
        _left.append(process)
        with talk(process) as (to, _), contextlib.suppress(BrokenPipeError):
            to.write(json.dumps(told).encode() + b"\n")
            to.flush()

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except (OSError, SimianError) as error:
            self.problems.append(f"nobody could be told of this run: {error}")


def tell_of_ended_runs(system: "System") -> list[str]:
    """For commands that look back: runs whose own command died are told of. What went wrong, a line each."""
    herald = Herald(system)
    herald.tell_ends()
    return herald.problems
