"""Observations as they come: from the users' feed, and from each check's probe in a process of its own.

Threads at the edge bring them into one queue that the runner waits on; nothing here judges them.
"""

import json
import math
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from simian.probe import Check, CheckReading, FeedLost, Observation, Slice
from simian.world import Clock

Spawn = Callable[[list[str]], "subprocess.Popen[bytes]"]

START_WITHIN_S = 15.0  # a probe's process imports plug-ins of strangers before it is ready
RESTART_EVERY_S = 0.5
SILENT_FEED_S = 2.0
RECONNECT_EVERY_S = 0.5
MOST_LINE_B = 4 << 20


def spawn(arguments: list[str]) -> "subprocess.Popen[bytes]":
    """Start a probe's process afresh, in a session of its own, with no descriptor of ours but its pipes."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "simian.cli.probe_process", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
    )


class Watch:
    """Watches ``checks`` and the users' feed (``host:port``) from ``start`` to ``stop``.

    ``plugins`` are the folders in which probes may be; ``spawn`` starts a probe's process with these arguments.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        users_feed: str | None,
        plugins: Sequence[str],
        clock: Clock,
        spawn: Spawn = spawn,
    ) -> None:
        self._seen: queue.SimpleQueue[Observation] = queue.SimpleQueue()
        self._stopping = threading.Event()
        common = (clock, self._seen, self._stopping)
        self._watchers: list[_Watcher] = [
            _ProbeWatcher(check, plugins, spawn, *common) for check in checks if not check.on_users
        ]
        if users_feed is not None:
            self._watchers.append(_FeedWatcher(users_feed, *common))

    def start(self) -> None:
        """Begin; returns at once."""
        for watcher in self._watchers:
            watcher.start()

    def wait(self, seconds: float) -> list[Observation]:
        """What was seen since the last call, as soon as there is something; empty when ``seconds`` have passed."""
        try:
            seen = [self._seen.get(timeout=max(0.0, seconds))]
        except queue.Empty:
            return []
        with suppress(queue.Empty):
            while True:
                seen.append(self._seen.get_nowait())
        return seen

    def stop(self) -> None:
        """End every probe's process and thread; may be called twice."""
        self._stopping.set()
        for watcher in self._watchers:
            watcher.end()
        for watcher in self._watchers:
            if watcher.is_alive():
                watcher.join(RECONNECT_EVERY_S + SILENT_FEED_S)


class _Watcher(threading.Thread):
    """One thread that brings observations of one origin."""

    def __init__(self, clock: Clock, seen: "queue.SimpleQueue[Observation]", stopping: threading.Event) -> None:
        super().__init__(daemon=True, name=type(self).__name__)
        self._clock, self._seen, self._stopping = clock, seen, stopping

    def end(self) -> None:
        """Cut short whatever it waits for."""


class _ProbeWatcher(_Watcher):
    """Asks one check's probe on schedule, ends it when it hangs, starts it again when it died."""

    def __init__(self, check: Check, plugins: Sequence[str], spawn: Spawn, *common: Any) -> None:
        super().__init__(*common)
        self._check, self._spawn = check, spawn
        self._arguments = [json.dumps(check.to_json()), json.dumps([os.path.abspath(folder) for folder in plugins])]
        self._host: _Host | None = None
        self._ending = threading.Lock()  # so that no process starts once we have stopped
        self._last_start_s = -RESTART_EVERY_S

    def run(self) -> None:
        due = self._clock.elapsed()
        while not self._stopping.is_set():
            reading = self._read()
            if self._stopping.is_set():
                break
            self._seen.put(reading)
            late = (self._clock.elapsed() - due) / self._check.every_s
            due += self._check.every_s * max(1, math.ceil(late))  # what was missed is not made up for in a burst
            self._stopping.wait(due - self._clock.elapsed())
        self._drop()

    def end(self) -> None:
        with self._ending:
            if self._host:
                self._host.kill()

    def _read(self) -> CheckReading:
        try:
            host = self._ready_host()
            answer = host.ask(self._check.deadline_s)
        except _Crashed as crashed:
            self._drop()
            return self._reading(None, str(crashed))
        if answer is None:
            return self._reading(None, f"no answer within {self._check.deadline_s:g} s", silent=True)
        return self._reading(answer.get("value"), str(answer.get("detail", "")))

    def _reading(self, value: Any, detail: str, silent: bool = False) -> CheckReading:
        if isinstance(value, bool) or not isinstance(value, int | float):
            value = None
        return CheckReading(self._check.name, self._clock.now(), value, silent, detail)

    def _ready_host(self) -> "_Host":
        if self._host and self._host.busy():
            self._drop()  # it hangs: it had its deadline and the time until now
        if self._host is None:
            self._stopping.wait(self._last_start_s + RESTART_EVERY_S - self._clock.elapsed())
            self._last_start_s = self._clock.elapsed()
            with self._ending:
                if self._stopping.is_set():
                    raise _Crashed("stopped")
                self._host = _Host(self._spawn, self._arguments)
            self._host.wait_until_ready()
        return self._host

    def _drop(self) -> None:
        with self._ending:
            host, self._host = self._host, None
        if host:
            host.close()


class _Crashed(Exception):
    """The probe's process ended, or never became ready."""


class _Host:
    """A probe's process as its parent sees it: asked by a line, answers by a line."""

    def __init__(self, spawn: Spawn, arguments: list[str]) -> None:
        try:
            self._process = spawn(arguments)
        except OSError as error:
            raise _Crashed(f"the probe's process could not be started: {error}") from error
        self._buffer = b""
        self._asked = 0

    def wait_until_ready(self) -> None:
        """Return once it can be asked. Raises _Crashed."""
        answer = self._line(START_WITHIN_S)
        if answer is None or not answer.get("ready"):
            raise _Crashed(f"did not start within {START_WITHIN_S:g} s" if answer is None else str(answer["detail"]))

    def ask(self, deadline_s: float) -> dict[str, Any] | None:
        """One reading's JSON, or ``None`` when there was none by the deadline. Raises _Crashed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except OSError:
            raise _Crashed(self._epitaph()) from None
        self._asked += 1
        return self._answer(deadline_s)

    def busy(self) -> bool:
        """Whether an earlier question is not answered even now; a late answer is thrown away."""
        try:
            while self._asked and self._answer(0.0) is not None:
                pass
        except _Crashed:
            return True
        return self._asked > 0

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        answer = self._line(seconds)
        self._asked -= answer is not None
        return answer

    def _line(self, seconds: float) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        poll = select.poll()  # not select(), which knows descriptors below 1024 only
        poll.register(fd, select.POLLIN)
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return None
            data = os.read(fd, 65536)
            if not data or len(self._buffer) > MOST_LINE_B:
                raise _Crashed(self._epitaph())
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise _Crashed(f"the probe's process wrote what is no reading: {line!r:.80}")
        return answer

    def _epitaph(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the probe's process closed its pipe"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return f"the probe's process ended {how}"

    def kill(self) -> None:
        """End it with all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None and os.getpgid(self._process.pid) == self._process.pid:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def close(self) -> None:
        """End it, reap it, close its pipes."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()


class _FeedWatcher(_Watcher):
    """Subscribes to the users' feed, again and again, and says each time that it is lost."""

    def __init__(self, address: str, *common: Any) -> None:
        super().__init__(*common)
        self._address = address
        self._connection: socket.socket | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (OSError, ValueError) as error:
                if not self._stopping.is_set():
                    self._seen.put(FeedLost(f"users' feed {self._address}: {_why(error)}", self._clock.now()))
            self._stopping.wait(RECONNECT_EVERY_S)

    def end(self) -> None:
        connection = self._connection
        if connection:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        host, _, port = self._address.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), SILENT_FEED_S) as connection:
            self._connection = connection
            with connection.makefile("rb") as lines:
                while line := lines.readline(MOST_LINE_B):
                    if self._stopping.is_set():
                        return
                    self._seen.put(Slice.from_json(json.loads(line)))
        raise ConnectionError("it ended")


def _why(error: Exception) -> str:
    return f"no slice for {SILENT_FEED_S:g} s" if isinstance(error, TimeoutError) else str(error)
