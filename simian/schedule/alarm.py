"""The alarm clock: APScheduler with its memory store, one timer a schedule. It is told everything, and knows nothing.

A timer that is late, lost or too early does no harm: whoever is woken looks at the rows and the time, and looks every
few seconds in any case.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger


class _AtOnce(BaseExecutor):  # type: ignore[misc]
    """In the timer's own thread: all that a job does is to put a name into a queue."""

    def _do_submit_job(self, job: object, run_times: object) -> None:
        job.func(*job.args)  # type: ignore[attr-defined]
        self._run_job_success(job.id, [])  # type: ignore[attr-defined]


class Alarm:
    """Calls ``ring(name)``, in a thread of its own, when the time of that name has come."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._timers = BackgroundScheduler(timezone=UTC, executors={"default": _AtOnce()}, daemon=True)

    def start(self) -> None:
        """From now on."""
        self._timers.start()

    def set(self, name: str, at: float) -> None:
        """Ring at this second of the epoch, and at no other that was said before."""
        when = DateTrigger(datetime.fromtimestamp(at, UTC))
        given = {"misfire_grace_time": None, "replace_existing": True, "max_instances": 1_000}
        self._timers.add_job(self._rung, when, args=[name], id=name, **given)

    def _rung(self, name: str) -> None:
        # A function of Python's own: APScheduler reads the signature at each add, which takes long for a builtin.
        self._ring(name)

    def drop(self, name: str) -> None:
        """Do not ring for this one."""
        try:
            self._timers.remove_job(name)
        except JobLookupError:
            return

    def stop(self) -> None:
        """No more; does not wait."""
        if self._timers.running:
            self._timers.shutdown(wait=False)
