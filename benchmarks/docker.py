"""Killing 20 containers at once, and starting them again: beside one `docker kill` of all, and beside a row of calls.

    SIMIAN_DOCKER=unix:///path/docker.sock python benchmarks/docker.py [--rounds 5] [--json FILE] [--quick]

Ours is the platform driver for containers through the runner's hands, and `simian.recover` to start them. "All dead"
is the latest end that the engine itself notes, "acknowledged" is when the caller knows. Containers are of one busybox
without a network, made for this and removed at the end.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(sys.path.pop(0))  # the SDK has our name, and must be found first

from docker import APIClient
from peers import Goal, Report, compared, interleaved, run

from simian.clock import SystemClock
from simian.drivers import build_world
from simian.faults.node import Kill
from simian.hands import Threads
from simian.journal import Entry
from simian.platforms.docker_containers import moment
from simian.recover import Recovery

IMAGE, OWNER = "simian-benchmark:1", "simian.benchmark"
MANY, QUICK_MANY = 20, 3
DEADLINE_S = 120.0
SIDE_BY_SIDE = (
    "All are asked for within 20 ms of each other; from then on the engine ends them, and one `docker kill` of all "
    "is not much quicker beside a row of calls either."
)
LIMIT_S = 60.0
WAIT = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'
REMEDY = "install the Debian package docker-cli"


class Took(NamedTuple):
    """Seconds from when it was asked: until the last one was dead, until that was known; until all ran again."""

    dead_s: float
    told_s: float
    started_s: float


class Unwritten:
    """What recovery tells of each fault goes nowhere: no journal is measured here."""

    def mark(self, entry: Entry, state: str, **facts: object) -> None:
        """Nothing."""


class Herd:
    """The containers of one benchmark, and three ways to kill them all."""

    def __init__(self, url: str, api: Any, names: Sequence[str], project: str) -> None:
        self.url, self.api, self.names = url, api, names
        clock, platform = SystemClock(), {"driver": "docker", "url": url, "project": project, "limit_s": LIMIT_S}
        self.hands, self.world = Threads(clock), build_world({"platform": platform}, clock=clock, environment={})
        self.world.platform.nodes()
        self.clients = [self._client() for _ in names]

    def _client(self) -> Any:
        return APIClient(base_url=self.url, version="auto", timeout=LIMIT_S)

    def ours(self) -> Took:
        """The driver in threads, then recovery as a run does it."""
        return self._took(self._kill_by_hands, self._recover)

    def _kill_by_hands(self) -> None:
        done = self.hands.each([partial(self.world.platform.kill, name) for name in self.names], deadline_s=DEADLINE_S)
        errors = [each.error for each in done if each.error]
        if errors:
            raise RuntimeError(f"{len(errors)} of {len(done)} kills failed: {errors[0]}")

    def _recover(self) -> None:
        entries = [Entry("benchmark", n, "kill", Kill(name), "injected") for n, name in enumerate(self.names, 1)]
        stuck = Recovery(self.world, self.hands, Unwritten()).undo_all(entries)
        if stuck:
            raise RuntimeError("; ".join(stuck))

    def by_command(self) -> Took:
        """One `docker kill` with all their names, then a start of each in a thread of its own."""
        command = ["docker", "--host", self.url, "kill", *self.names]
        return self._took(partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL), self._start_at_once)

    def in_series(self) -> Took:
        """One call to the engine after the other."""
        return self._took(lambda: [self.api.kill(name) for name in self.names], self._start_at_once)

    def _start_at_once(self) -> None:
        with ThreadPoolExecutor(len(self.names)) as pool:
            list(pool.map(lambda pair: pair[0].start(pair[1]), zip(self.clients, self.names, strict=True)))

    def _took(self, kill: Callable[[], object], start: Callable[[], object]) -> Took:
        asked, began = time.time(), time.perf_counter()
        kill()
        told_s = time.perf_counter() - began
        ends = [moment(self._state(name)["FinishedAt"]) or 0.0 for name in self.names]
        again = time.perf_counter()
        start()
        started_s = time.perf_counter() - again
        if min(ends) < asked or not all(self._state(name)["Running"] for name in self.names):
            raise RuntimeError("not all were killed and started again: the figures would mean nothing")
        return Took(max(ends) - asked, told_s, started_s)

    def _state(self, name: str) -> dict[str, Any]:
        return dict(self.api.inspect_container(name)["State"])


def image() -> bytes:
    """A tar of one static busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("error: no busybox on PATH; the containers are made of it: install busybox-static")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, Path(busybox).stat().st_size
        tar.addfile(program, io.BytesIO(Path(busybox).read_bytes()))
        for name in ("sh", "sleep"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()


@contextmanager
def herd(url: str, many: int) -> Iterator[Herd]:
    """So many running containers; removed at the end, the image with them."""
    project = f"benchmark{uuid.uuid4().hex[:8]}"
    labels = {"com.docker.compose.project": project, "simian.enabled": "true", OWNER: "1"}
    with closing(APIClient(base_url=url, version="auto", timeout=LIMIT_S)) as api:
        api.import_image_from_data(image(), *IMAGE.split(":"))
        names = [f"{project}-{number}" for number in range(many)]
        try:
            for name in names:
                host = api.create_host_config(network_mode="none", restart_policy={"Name": "always"})
                api.create_container(IMAGE, ["sh", "-c", WAIT], name=name, labels=labels, host_config=host)
                api.start(name)
            yield Herd(url, api, names, project)
        finally:
            for one in api.containers(all=True, filters={"label": f"com.docker.compose.project={project}"}):
                api.remove_container(one["Id"], force=True, v=True)
            api.remove_image(IMAGE)


def measure(report: Report) -> None:
    """All three in turns, on the same containers."""
    if report.program("docker", REMEDY, "--version") is None:
        raise SystemExit(f"error: {report.missing[0]}")
    many = QUICK_MANY if report.quick else MANY
    with herd(os.environ.get("SIMIAN_DOCKER", "unix:///var/run/docker.sock"), many) as beasts:
        report.peers["engine"] = str(beasts.api.version()["Version"])
        interleaved(1, beasts.ours, beasts.by_command)  # the first of all is slower
        ours, command, series = interleaved(report.rounds, beasts.ours, beasts.by_command, beasts.in_series)
    seen = [
        (f"kill of {many}, all dead", "dead_s", command, "one docker kill", Goal(1.3)),
        ("the same, beside a row of calls", "dead_s", series, "row of calls", Goal(0.25, why=SIDE_BY_SIDE)),
        (f"kill of {many}, acknowledged", "told_s", command, "one docker kill", None),
        ("the same, beside a row of calls", "told_s", series, "row of calls", None),
        (f"recovery of {many}, all ready", "started_s", command, "parallel start", Goal(1.3)),
    ]
    for what, name, peer, called, goal in seen:
        mine, theirs = ([getattr(took, name) for took in taken] for taken in (ours, peer))
        report.rows.append(compared(what, "s", mine, theirs, called, goal))


if __name__ == "__main__":
    run("docker", __doc__, measure, disturbed=False)  # the engine is another process, and is what is measured
