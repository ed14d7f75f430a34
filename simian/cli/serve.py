"""``simian serve``: the daemon. Starts what is due, watches it, recovers what was left, answers who asks."""

import contextlib
import fcntl
import json
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import IO, Annotated, Any, NoReturn

import typer

from simian import __version__
from simian.cli.context import System, load_system
from simian.cli.herald import Herald
from simian.cli.mend import recover_all
from simian.cli.serve_answers import Answers
from simian.cli.serve_audit import Audit, unwritten
from simian.cli.serve_runs import Runs
from simian.cli.serve_web import Web, tokens_of
from simian.daemon.clockwork import Clockwork
from simian.daemon.desk import Desk
from simian.daemon.keeper import Keeper, Later, reconcile
from simian.daemon.news import News
from simian.daemon.owner import Daemon
from simian.errors import SimianError, UsageError
from simian.history import open_schedules
from simian.record import iso
from simian.schedule.when import moment_of
from simian.telemetry.metrics import Metrics
from simian.verdict import UNKNOWN

TICK_S = 5.0  # alarms may be late or lost, clocks may jump, rows may change: look this often in any case
BRISK_S = 1.0  # while runs go on, whose ends nobody announces
RECOVER_EVERY_S = 30.0
TELL_AGAIN_EVERY_S = 120.0
STOP_LIMIT_S = 90.0
BOOKS_LIMIT_S = 10.0  # for the database to take the last words


def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Where pages and API listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 is any that is free.")] = 8480,
    web: Annotated[bool, typer.Option("--web/--no-web", help="Pages and API, in a process of their own.")] = True,
    read_needs_token: Annotated[bool, typer.Option("--read-needs-token", help="To look needs a token, too.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A name browsers may call it by.")
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Its address from outside.")] = None,
) -> int:
    """The daemon: starts due runs, watches and recovers them; pages and API."""
    system = load_system(ctx.obj)
    with _alone(system):
        daemon = Service(system)
        given = {"host": host, "port": port, "read_needs_token": read_needs_token,
                 "allowed_hosts": list(allow_host or ()), "base_url": base_url}  # fmt: skip
        daemon.run(given if web else None)


@contextlib.contextmanager
def _alone(system: System) -> Any:
    """One daemon for a state folder: there is one socket, and one journal to recover. Raises UsageError."""
    path = system.state.path / "serve.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise UsageError(
                f"a daemon serves {system.name} already (pid {lock.read().strip() or 'unknown'}); end that one first"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


class Log:
    """Structured: a JSON object a line, on stderr."""

    def __init__(self, stream: IO[str], system: System) -> None:
        self._stream, self._system, self._lock = stream, system, threading.Lock()

    def __call__(self, level: str, what: str, **facts: Any) -> None:
        line = {"at": iso(self._system.clock.now()), "level": level, "what": what, **facts}
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(json.dumps(line, default=str) + "\n")
            self._stream.flush()


class Service:
    """One daemon of one system, from its start to its end."""

    def __init__(self, system: System) -> None:
        self.system, self.news, self.log = system, News(), Log(sys.stderr, system)
        self._wake_keeper: Callable[[], None] = lambda: None  # there is none yet, and a signal may come at any time
        self._call: SimpleQueue[str] = SimpleQueue()  # wakes the main thread
        self._stopping, self._defect, self._told_again = "", False, system.clock.elapsed()
        self._recovering, self._undone = threading.Lock(), threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._recover()  # first of all: what was left behind does not wait for a database that may be away
        self.me = Daemon.me(system.state.path)
        self.store = open_schedules(system.history_place)
        self.metrics, self.herald = Metrics(), Herald(system)
        self.runs = Runs(system, self.news, self.metrics)
        self.keeper = Keeper(
            self.store,
            self.runs,
            system.clock,
            self.me,
            calendar=system.config.opening_hours(),
            halted=system.lever.why_pulled,
            tell=self._told,
        )
        self.clockwork = Clockwork(self.keeper, system.clock)
        self._wake_keeper = self.clockwork.wake
        self.audit = Audit(system, self._unwritten)

    def run(self, web: Mapping[str, Any] | None) -> NoReturn:
        """Until a signal says to stop; leaves with the exit code."""
        for line in reconcile(self.store, self.system.config.declared(self.system.clock.now())):
            self.log("info", "schedules of simian.yaml", done=line)
        facts = {"version": __version__, "pid": os.getpid(), "since": iso(self.system.clock.now()),
                 "host": platform.node()}  # fmt: skip
        answers = Answers(self.system, self.runs, self.keeper, facts, self.clockwork.wake, self.audit).table()
        answers["metrics"] = lambda question: self.metrics.text(bool(self.system.lever.why_pulled()))
        desk = Desk(self.system.state.socket, answers, self.news)
        desk.open()
        pages = self._pages(web) if web is not None else None
        self.clockwork.start()
        self.log("info", "serving", system=self.system.name, pid=os.getpid())
        keeping = threading.Thread(target=self._keep, daemon=True)
        keeping.start()
        self._loop(pages)
        self._end(desk, pages, keeping)

    def _pages(self, given: Mapping[str, Any]) -> Web:
        settings = {
            "socket": str(self.system.state.socket), "history": self.system.history_place,
            "system": self.system.name, "calendar": self.system.config.opening_hours(),
            "tokens": tokens_of(self.system), **given,
        }  # fmt: skip
        pages = Web(self.system, settings)
        print(
            f"simian serves {self.system.name} at {pages.start()}; token: {self.system.state.path / 'token'}",
            flush=True,
        )
        return pages

    def _keep(self) -> None:
        """The schedules have a thread of their own: a database that hangs holds up neither recovery nor the end."""
        try:
            while not self._stopping:
                self._looked_at(self.keeper.look)
                self._looked_at(partial(self.clockwork.wait, self._pause_s))
            self._undone.wait()
            with contextlib.suppress(SimianError):  # the next daemon tells it then
                self.keeper.look_at_ends()
                if not self.runs.going_on():
                    self.keeper.leave()
        except Exception:  # a defect of ours: better no daemon than one that starts nothing
            self.log("error", "a defect: the daemon stops", why=traceback.format_exc())
            self._defect = True
            self._stop(signal.SIGTERM, None)

    def _loop(self, pages: Web | None) -> None:
        while not self._stopping:
            if pages is not None and (why := pages.again()):
                self.log("error", "the web process had ended; it is started anew", why=why)
            self._now_and_then()
            with contextlib.suppress(Empty):
                self._call.get(timeout=self._pause_s)

    @property
    def _pause_s(self) -> float:
        return BRISK_S if self.runs.going_on() else TICK_S

    def _looked_at(self, look: Callable[[], None]) -> None:
        try:
            look()
        except Later:  # the daemon ends
            return
        except SimianError as error:  # a database that is away: nothing is started without a claim
            self.log("error", "schedules cannot be looked at; nothing is started until they can", why=str(error))

    def _told(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "unreadable":
            self.log("error", "a schedule cannot be read, and nothing of it is started", **event)
            return
        kind = event["state"] if event["state"] in ("missed", "skipped") else "due"
        self.news.tell(iso(self.system.clock.now()) or "", event.get("run"), {**event, "event": kind})
        self.herald.hear_due(event)
        self.metrics.due(event, self._late_s(event))
        self.log("info", "due", **{key: event[key] for key in ("schedule", "due", "state", "reason", "run")})

    def _unwritten(self, row: Mapping[str, Any], why: str) -> None:
        self.runs.tell(None, {"event": "note", "text": unwritten(row, why)})
        self.log("error", "done, and not in the audit yet", row=row, why=why)

    def _late_s(self, event: Mapping[str, Any]) -> float | None:
        schedule = self.keeper.schedule(event["schedule"])
        if event["state"] != "started" or schedule is None:
            return None
        return self.system.clock.now() - schedule.starts(moment_of(event["due"]))

    # --- what was left behind

    def _recover(self) -> None:
        with self._recovering:
            try:
                undone, stuck = recover_all(self.system)
                problems = self.system.feed_history()
            except SimianError as error:
                undone, stuck, problems = [], [], [str(error)]
            self._recovered = self.system.clock.elapsed()
        for line in undone:
            self.log("warning", "put back", fault=line)
        for line in [*stuck, *problems]:
            self.log("error", "stuck, or not recovered", why=line)

    def _now_and_then(self) -> None:
        """What has no time of its own. Recovery has a thread, as a driver may hang and what is due must not wait."""
        now = self.system.clock.elapsed()
        if now - self._recovered >= RECOVER_EVERY_S and not self._recovering.locked():
            self._recovered = now
            threading.Thread(target=self._recover, daemon=True).start()
            threading.Thread(target=self.audit.write, daemon=True).start()
        if now - self._told_again >= TELL_AGAIN_EVERY_S:
            self._told_again = now
            self.herald.again()

    # --- the end

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = signal.Signals(number).name
        self._call.put("")
        self._wake_keeper()

    def _end(self, desk: Desk, pages: Web | None, keeping: threading.Thread) -> NoReturn:
        """All runs undone, within a bound."""
        self.clockwork.stop()
        self.log("info", "stopping", why=self._stopping)
        for run in self.runs.close():
            self.runs.abort(run, "the daemon stops")
        until = self.system.clock.elapsed() + STOP_LIMIT_S
        while (left := self.runs.going_on()) and self.system.clock.elapsed() < until:
            self.system.clock.wait(0.1)
        self._undone.set()
        keeping.join(BOOKS_LIMIT_S)
        if keeping.is_alive():
            self.log("error", "the database takes nothing; how the last runs ended is told by the next daemon")
        if pages is not None:
            pages.stop()
        self.news.close()
        desk.close()
        for run in left:
            self.log("error", "a run goes on undoing; its guardian sees to it", run=run)
        self.log("info", "stopped")
        sys.stdout.flush()
        os._exit(
            UNKNOWN if left or self._defect else 0
        )  # threads that wait for a driver or a client are not waited for
