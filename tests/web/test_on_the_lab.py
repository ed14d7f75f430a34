"""The dashboard of ``simian serve`` on the lab, in a browser: what the small daemon of the other tests cannot show."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from simian_lab import control

from .test_dashboard import browser, sign_in, window

__all__ = ["browser"]  # a fixture
PATIENCE_S = 120.0
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]


class Served:
    """A lab with few users, and its daemon. ``simian``: as people call it."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "lab"
        self._given: dict[str, Any] = {"env": {**os.environ, "SIMIAN_STATE": str(state)}, "cwd": state}
        control.up(self.folder, seed=3, rate=50.0)
        words = [sys.executable, "-m", "simian", "serve", "--port", "0"]
        self.process = subprocess.Popen(
            words, **self._given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        assert " at http" in told, told + self.end()
        self.url = told.partition(" at ")[2].partition(";")[0]

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE_S)[1]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    try:
        opened = Served(tmp_path)
        yield opened
        opened.end()
        assert opened.process.returncode == 0
    finally:
        control.down(tmp_path / "lab")


def test_a_run_that_is_started_in_a_browser_is_seen_there_as_it_is(browser: Browser, served: Served) -> None:
    context, wrong = window(browser, served.url)
    page = context.new_page()
    sign_in(page, served.token)
    page.get_by_role("link", name="Monkeys", exact=True).click()
    page.get_by_role("link", name="chaos", exact=True).click()
    page.get_by_label("node", exact=True).fill("members-east-b")
    page.get_by_label("how").select_option("pause")
    page.get_by_label("For, seconds").fill("8")
    page.get_by_role("button", name="Plan").click()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*")
    run = page.url.rpartition("/")[2]

    page.goto("/")
    expect(page.locator("#sent-to")).to_contain_text("east 100 %")
    hurt = page.locator(".zones .spot.ours")
    expect(hurt).to_contain_text("members-east-b")
    expect(hurt).to_contain_text("ours: pause")
    expect(page.locator("[data-live-words]")).to_contain_text("a second")
    expect(page.locator("[data-live-traffic] canvas")).to_be_visible()
    expect(page.locator(".checks li").first).to_be_visible()
    expect(page.get_by_text("No run goes on.")).to_be_visible()
    expect(page.locator(".zones .spot.ours")).to_have_count(0)

    page.goto(f"/runs/{run}")
    expect(page.locator(".verdict .word")).to_be_visible()
    expect(page.locator("[data-series][data-drawn=yes]")).to_be_visible()
    expect(page.get_by_role("cell", name="pause members-east-b", exact=True)).to_be_visible()
    page.goto("/monkeys")
    expect(page.locator(f'a[href="/runs/{run}"]')).to_be_visible()
    context.close()
    assert not wrong
