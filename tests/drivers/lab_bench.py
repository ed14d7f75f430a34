"""The lab as a bench for the suite of ``Data``: nodes that are processes, hurt through the drivers of other ports."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from simian_lab import control as lab_control
from simian_lab.layout import REGIONS, Layout

from simian.clock import SystemClock
from simian.config import load_config
from simian.drivers import build_world
from simian.errors import DriverError
from simian.world import World

from .conftest import PATIENCE_S, until

MARK = "simian.k7f3.1"
NOT_NEEDED = frozenset({"dns", "users"})


class Lab(Protocol):
    """One for all tests, and the world that its own simian.yaml tells of."""

    layout: Layout
    world: World
    patience_s: float
    is_slow: bool  # so that its front door may not acknowledge at the first try, though all is well


class RunningLab:
    """One of processes and stand-ins."""

    patience_s = PATIENCE_S
    is_slow = False

    def __init__(self, folder: Path) -> None:
        manifest = lab_control.up(folder, held=NOT_NEEDED)
        self.layout = manifest.layout
        self.world = build_world(
            load_config(manifest.files.configuration).world_settings(), clock=SystemClock(), environment={}
        )


class LabBench:
    """The lab, whole before and after."""

    def __init__(self, lab: Lab) -> None:
        self._world, self.data = lab.world, lab.world.data
        self._patience_s, self._is_slow = lab.patience_s, lab.is_slow
        self.stores = {region: [node.name for node in lab.layout.nodes_of("store", region)] for region in REGIONS}
        self.caches = {region: [node.name for node in lab.layout.nodes_of("cache", region)] for region in REGIONS}
        crossing = [link.name for link in lab.layout.links if link.source_region != link.target_region]
        self._readings = {link: lab.world.network.read(link) for link in crossing}
        self._hurt: set[str] = set()

    def now_us(self) -> int:
        return int(self._world.clock.now() * 1e6)

    def write(self, region: str, key: str, value: str, at_us: int) -> None:
        if not self._is_slow:
            self.data.write(region, key, value, at_us)
            return
        self.until(lambda: self._acknowledged(region, key, value, at_us), f"{region} acknowledges {value}")

    def _acknowledged(self, region: str, key: str, value: str, at_us: int) -> bool:
        try:
            self.data.write(region, key, value, at_us)
        except DriverError:
            return False
        return True

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return until(condition, what, self._patience_s)

    def cut(self) -> None:
        for link in self._readings:
            self._world.network.cut(link, MARK, how="refuse", direction="both")

    def mend(self) -> None:
        for link, was in self._readings.items():
            self._world.network.mend(link, MARK, was)

    def kill(self, node: str) -> None:
        self._hurt.add(node)
        self._world.platform.kill(node)

    def freeze(self, node: str) -> None:
        self._hurt.add(node)
        self._world.platform.pause(node)

    def start(self, node: str) -> None:
        self._world.platform.resume(node)
        self._world.platform.start(node)
        self.until(lambda: self._world.platform.ready(node), f"{node} is ready")

    def restore(self) -> None:
        """Make all whole again, nothing waiting."""
        self.mend()
        for node in self._hurt:
            self.start(node)
        self.until(lambda: not any(self.data.backlog().values()), "nothing waits")


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The lab, brought up by the first of a module who needs it; one left up would take a core from all others."""
    folder = tmp_path_factory.mktemp("lab")
    try:
        yield RunningLab(folder)
    finally:
        lab_control.down(folder)
