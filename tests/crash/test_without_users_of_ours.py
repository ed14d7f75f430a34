"""A run by the real program on a system that has no users' feed: checks by probes, exposure by a table of orders."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simian_lab import control

from .conftest import until

NOT_NEEDED = frozenset({"dns", "users"})
PARTS = ("platform", "network", "requests", "observer", "limits")  # of the lab's own configuration


class Shop:
    """The lab's nodes under a configuration that knows of no users, and somebody's client that keeps a table."""

    def __init__(self, state: Path) -> None:
        self.state, self.table = state, state / "shop.db"
        manifest = control.up(state / "lab", held=NOT_NEEDED)
        self.gateway = manifest.layout.node("gateway-east-a").address
        self._known = json.loads(
            json.dumps(dict(line.split(": ", 1) for line in manifest.files.configuration.read_text().splitlines()[1:]))
        )
        with sqlite3.connect(self.table) as database:
            database.execute("CREATE TABLE orders (n integer PRIMARY KEY)")
        database.close()
        self._ended = threading.Event()
        self._client = threading.Thread(target=self._order)

    def _order(self) -> None:
        database = sqlite3.connect(self.table, isolation_level=None)
        while not self._ended.wait(0.05):
            with urllib.request.urlopen(f"http://{self.gateway}/health", timeout=30) as answer:
                answer.read()
            database.execute("INSERT INTO orders DEFAULT VALUES")
        database.close()

    def open(self) -> None:
        """Orders come in from now on."""
        self._client.start()
        until(lambda: self.orders() > 0, "an order")

    def close(self) -> None:
        """No more orders."""
        self._ended.set()
        if self._client.ident:
            self._client.join()

    def orders(self) -> int:
        with sqlite3.connect(self.table) as database:
            [count] = database.execute("SELECT count(*) FROM orders").fetchone()
        database.close()
        return int(count)

    def run(self) -> dict[str, Any]:
        """The record of one run of chaos."""
        text = "".join(f"{key}: {self._known[key]}\n" for key in PARTS)
        probe = f"{{http: 'http://{self.gateway}/health'}}"
        checks = (
            f"steady_state: [{{check: answers, probe: {probe}, every: 500ms, deadline: 10s, tolerance: '>= 99 %'}}]\n"
        )
        counter = "exposure: {sql: 'SELECT count(*) FROM orders', url: 'sqlite:///shop.db'}\n"
        (self.state / "simian.yaml").write_text(f"system: shop\n{text}{checks}{counter}")
        what = "experiment: a lost cache\nmonkey: chaos\noptions: {node: [cache-east-a], how: kill}\n"
        (self.state / "lost.yaml").write_text(f"{what}baseline: 4s\nfor: 10s\nrecover_within: 120s\n")
        done = subprocess.run(
            [sys.executable, "-m", "simian", "run", "lost.yaml", "--json"],
            cwd=self.state,
            env={**os.environ, "SIMIAN_STATE": str(self.state / "kept")},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return dict(json.loads(done.stdout)) | {"code": done.returncode}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    try:
        yield made
    finally:
        made.close()
        control.down(tmp_path / "lab")


@pytest.mark.lab
@pytest.mark.slow
def test_its_own_numbers_are_enough_and_a_shop_that_sells_nothing_proves_nothing(shop: Shop) -> None:
    quiet = shop.run()
    assert (quiet["outcome"], quiet["verdict"], quiet["code"]) == ("completed", "unknown", 4), quiet["reasons"]
    assert any("the counter of `exposure` stood still at 0" in reason for reason in quiet["reasons"]), quiet["reasons"]
    shop.open()
    busy = shop.run()
    assert (busy["outcome"], busy["verdict"], busy["code"]) == ("completed", "held", 0), busy["reasons"]
    assert 0 < busy["faults"][0]["exposure"] <= shop.orders()
    assert busy["traffic"] == []
