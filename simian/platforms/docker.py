"""Nodes that are containers of a Docker engine.

Settings: ``{driver: docker, project: shop, url: unix:///var/run/docker.sock}``. With ``project`` the nodes are the
containers of that compose project, else those that have the label ``simian.enabled``; only where it is ``true`` is
anything ever touched. Labels: see ``docker_containers``.

``kill`` and ``stop`` are the engine's own, which then leaves its restart policy alone; ``crash`` ends the process
behind its back, so that the policy acts. What was done is told by looking again, never by a status: the engine says
"already so" with 304, 409 and 500 alike.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unsupported
from simian.platforms.docker_containers import Container, Containers, containers_from, enabled, moment
from simian.platforms.docker_engine import EngineRefused, check_keys
from simian.platforms.process_readiness import says_ready
from simian.topology import Node

GRACE_S = 5  # what ``stop`` grants a container between asking and making it end; the engine wants whole seconds
LOOK_EVERY_S = 0.02
KEPT = 1_000
Act = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Blow:
    """When something was done: by our clock when it was asked for and acknowledged, by the engine's its effect.

    Seconds since the epoch. The acknowledgement comes up to a second after the effect. ``effect``: ``None`` where the
    engine keeps no time of it.
    """

    node: str
    verb: str
    asked: float
    effect: float | None
    acknowledged: float


class DockerPlatform:
    """Driver of the port ``Platform``. ``blows`` has the latest things done, for measurements."""

    def __init__(self, containers: Containers, *, grace_s: int = GRACE_S, now: Callable[[], float] = time.time) -> None:
        self._containers, self._engine = containers, containers.engine
        self._grace_s, self._now = grace_s, now
        self._first: dict[str, Container] = {}  # those that the topology was told of, by name, as they were then
        self.blows: deque[Blow] = deque(maxlen=KEPT)

    def nodes(self) -> Sequence[Node]:
        """Every container of the project, or with the label, as it is now."""
        found = self._containers.all()
        for one in found:
            self._first.setdefault(one.name, one)
        return [one.node() for one in found]

    def start(self, node: str) -> None:
        """Ensure that it runs. Raises DriverError when the engine cannot start it."""
        one = self._target(node)
        if one.state == "stopped" and not one.restarting:
            self._act(
                one, "start", lambda api: api.start(one.id), lambda now: now.state != "stopped" or _began(now, one)
            )

    def stop(self, node: str) -> None:
        """SIGTERM, and after the grace SIGKILL, by the engine."""
        one = self._target(node)
        self._end(one, "stop", lambda api: api.stop(one.id, timeout=self._grace_s))

    def kill(self, node: str) -> None:
        """SIGKILL by the engine.

        At once to the one that the topology was told of, by its id, and looked at only afterwards: where many are
        killed together, a look before each would wait for the deaths of others. Its labels are as they were for good.
        """
        first = self._first.get(node)
        if first is None or not self._struck(enabled(self._containers, self._returning(first))):
            one = self._target(node)
            self._end(one, "kill", partial(_kill, one))

    def crash(self, node: str) -> None:
        """SIGKILL to its process, where that is one of this machine; else SIGTERM from inside, if it heeds that."""
        one = self._returning(self._target(node))
        if one.state != "stopped":
            self._act(one, "crash", partial(_strike, one), lambda now: now.incarnation != one.incarnation)

    def pause(self, node: str) -> None:
        """Freeze it. Raises NoSuchTarget when it is down."""
        one = self._target(node)
        if one.state == "stopped":
            raise NoSuchTarget(f"{node} is down: there is nothing to pause; start it first")
        if one.state == "running":
            self._act(one, "pause", lambda api: api.pause(one.id), lambda now: now.state == "paused")

    def resume(self, node: str) -> None:
        """Thaw it."""
        one = self._target(node)
        if one.state == "paused":
            self._act(one, "unpause", lambda api: api.unpause(one.id), lambda now: now.state != "paused")

    def ready(self, node: str) -> bool:
        """Whether it runs, is not paused, and says so by its health check; before its first word, and without one, at
        its ``ask``: a check that looks each ten seconds is no reason to wait. After a pause, too: until the next look
        the engine calls it unhealthy, though no look has failed.
        """
        one = self._containers.named(node)
        if one.state != "running":
            return False
        told = one.shape["State"].get("Health") or {}
        health, ask = told.get("Status"), one.at("simian.ask")
        silent = health == "starting" or (health == "unhealthy" and not told.get("FailingStreak"))
        if health and not (silent and ask):
            return bool(health == "healthy")
        try:
            return says_ready(ask) if ask else True
        except ValueError as error:
            raise DriverError(f"{node}, label simian.ask: {error}") from error

    def incarnation(self, node: str) -> str | None:
        """``<id>@<start>``."""
        return self._containers.named(node).incarnation

    def _target(self, node: str) -> Container:
        """The container that the topology was told of. Raises NoSuchTarget when another has its name now."""
        one = enabled(self._containers, self._containers.named(node))
        first = self._first.setdefault(node, one).id
        if one.id != first:
            raise NoSuchTarget(f"{node} is gone: {first[:12]} was removed, and {one.id[:12]} that has its name is new")
        return one

    def _struck(self, one: Container) -> bool:
        """Whether it was killed now; no: it was down, is about to be restarted, or is gone."""
        try:
            self._act(one, "kill", partial(_kill, one), _ended)
        except (EngineRefused, NoSuchTarget):
            return False
        return True

    def _end(self, one: Container, verb: str, call: Act) -> None:
        self._returning(one)
        if one.restarting:  # nothing to signal, but somebody to tell
            call = lambda api: api.stop(one.id, timeout=0)  # noqa: E731
        elif one.state == "stopped":
            return
        self._act(one, verb, call, _ended)

    def _returning(self, one: Container) -> Container:
        """The same. Raises Unsupported for one that nobody could start again."""
        if one.shape["HostConfig"].get("AutoRemove"):
            raise Unsupported(f"{one.name} is removed when it ends (--rm); start it without, or pause it")
        return one

    def _act(self, one: Container, verb: str, call: Act, done: Callable[[Container], bool]) -> None:
        """Do it, see that it is so, and keep the times. An error is none when it is so all the same."""
        asked, ended_before = self._now(), one.shape["State"]["FinishedAt"]
        refused: EngineRefused | None = None
        try:
            self._engine.do(f"{verb} {one.name}", call)
        except EngineRefused as error:
            refused = error
        acknowledged, now = self._now(), self._seen(one, verb, done, refused)
        ended = now.shape["State"]["FinishedAt"]
        effect = moment(ended) if ended != ended_before and refused is None else None
        self.blows.append(Blow(one.name, verb, asked, effect, acknowledged))

    def _seen(
        self, one: Container, verb: str, done: Callable[[Container], bool], refused: EngineRefused | None
    ) -> Container:
        until = time.monotonic() + self._engine.limit_s
        while not done(now := self._containers.again(one)):
            if refused is not None:
                raise refused
            if time.monotonic() >= until:
                text = f"{verb} of {one.name} was acknowledged, but it is {now.state} {self._engine.limit_s:g} s later"
                raise TimedOut(f"{text}{_DEAF if verb == 'crash' else ''}")
            time.sleep(LOOK_EVERY_S)
        return now


_DEAF = "; its process is none of this machine and ignores SIGTERM: run simian beside the engine, or kill it"


def _kill(one: Container, api: Any) -> None:
    api.kill(one.id, "SIGKILL")


def _ended(now: Container) -> bool:
    return now.state == "stopped" and not now.restarting


def _began(now: Container, before: Container) -> bool:
    return bool(now.shape["State"]["StartedAt"] != before.shape["State"]["StartedAt"])


def _strike(one: Container, api: Any) -> None:
    """End the container's first process as if by itself. A frozen one dies when it is thawed."""
    struck = _kill_process(int(one.shape["State"]["Pid"]), one.id)
    if one.state == "paused":
        api.unpause(one.id)
    if not struck:
        inside = api.exec_create(one.id, ["kill", "-TERM", "1"], stdout=False, stderr=False)
        api.exec_start(inside["Id"], detach=True)


def _kill_process(pid: int, container: str) -> bool:
    """Whether it was a process of this container on this machine that we may signal, and got SIGKILL."""
    try:
        held = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Looked at after the pid is held: nobody else can have it from here on.
        if container not in Path(f"/proc/{pid}/cgroup").read_text():
            return False
        signal.pidfd_send_signal(held, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(held)
    return True


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> DockerPlatform:
    """The driver of ``{driver: docker, project: NAME, url: URL}``. Raises UsageError."""
    check_keys("platform", "docker", settings, ("project", "url", "limit_s"))
    return DockerPlatform(containers_from("platform", settings, shared))
