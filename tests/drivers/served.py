"""A daemon somewhere on the engine, and a run of it that goes on: what is asked of it wherever it lives."""

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simian_lab.docker_control import Engine

from .conftest import until
from .shop import Shop

PROJECT = Path(__file__).parents[2]
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
PATIENCE_S = 120.0
WHOLE = "running"
READY = "import urllib.request as u; u.urlopen('http://127.0.0.1:8480/readyz', timeout=2)"


class Served:
    """The daemon of a shop, in ``container``: by ``docker``, and by commands that know its address only."""

    container = ""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.engine = Engine.by({**os.environ, "DOCKER_HOST": shop.containers.engine.url})

    def sections(self) -> Mapping[str, Any]:
        """Its ``simian.yaml``, for one that finds the engine where it usually is."""
        settings = {**self.shop.containers.settings, "url": "unix:///var/run/docker.sock"}
        return {**self.shop.sections(), "platform": settings}

    def state(self, *path: str) -> Any:
        """What the engine tells of the daemon's container."""
        told = self.shop.containers.engine.inspect(self.container)["State"]
        for key in path:
            told = told[key]
        return told

    def serves(self) -> bool:
        """Its pages answer, the daemon behind them too: the image's own health check, asked at once."""
        command = ["docker", "exec", self.container, "/opt/simian/bin/python", "-c", READY]
        return not subprocess.run(command, env=self.engine.environment, capture_output=True, timeout=60).returncode

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """A command that asks the daemon."""
        raise NotImplementedError

    def told(self, *words: str) -> Any:
        """What a command says as JSON."""
        with self.begin(*words, "--json") as command:
            said, complained = command.communicate(timeout=PATIENCE_S)
        assert said, complained
        return json.loads(said)

    def history(self) -> list[tuple[str, str]]:
        """Outcome and recovery of each run, newest first."""
        return [(row["outcome"], row["recovery"]) for row in self.told("history")["runs"]]

    def paused(self) -> str:
        """A run of the daemon that goes on; the node that it has paused, by the engine."""
        node = self.shop.containers.name("web-east-b")
        command = self.begin("chaos", "--node", node, "--how", "pause", "--for", "120s", "--yes")
        try:
            until(lambda: self.is_(node, "paused") or command.poll() is not None, "it is paused", PATIENCE_S)
            assert command.poll() is None, command.communicate()
        finally:
            command.send_signal(signal.SIGKILL)  # who asked may go: the run is the daemon's
            command.communicate()
        return node

    def is_(self, node: str, status: str) -> bool:
        """Whether the engine says so of the node."""
        return str(self.shop.containers.engine.inspect(node)["State"]["Status"]) == status

    def ends_whole(self, known: list[tuple[str, str]], outcome: str, before: Mapping[str, Any]) -> None:
        """It serves, one more run is known, which ended so, and everything is as it was ``before``."""
        until(self.serves, "it serves again", PATIENCE_S)
        until(lambda: self.history() != known, "the run is in the history", PATIENCE_S)
        assert self.history() == [(outcome, "clean"), *known]
        assert self.shop.seen() == before
        status = self.told("status")
        assert (status["runs"], status["recover"]) == ([], False), status
