"""Makes the pictures of the docs anew: ``.venv/bin/python docs/pictures/make.py``, some seven minutes.

The lab comes up in a folder of its own with ``simian serve`` beside it; Kong is started from its page and looked at
while it goes on; its reports are those of that run. The past that the history shows, and the schedules, are made up
here. Needs chromium; ImageMagick's ``convert`` makes the files small, where it is there. ``--mermaid FILE`` (its
``mermaid.min.js``) makes the picture of the Markdown report, too, whose charts GitHub draws by that.
"""

import argparse
import html
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from simian.history import open_history  # noqa: E402
from simian.report import render, render_comparison, render_week  # noqa: E402
from tests.report import records, weeks  # noqa: E402

HERE = Path(__file__).parent
PATIENCE_MS = 300_000
expect.set_options(timeout=PATIENCE_MS)
DESK, PHONE = {"width": 1180, "height": 900}, {"width": 390, "height": 844}
LARGEST = 200_000  # bytes of a picture
BEFORE = ("kong", "--region", "east", "--for", "15s", "--seed", "4", "--note", "as it was", "--no-progress")
SCHEDULES = (
    ("kong", "--region", "east", "--cron", "0 10 * * tue", "--name", "kong-tuesdays"),
    ("gorilla", "--cron", "30 14 * * thu", "--name", "gorilla-thursdays"),
    ("chaos", "--service", "store", "--chance", "mean 2d, min 1d", "--name", "chaos-store"),
)
# How often each held in twelve weeks, oldest first: the last of them got worse.
PAST = {
    "kong": ("users survive the loss of a region", [0.4, 0.6, 0.8, 1.0]),
    "gorilla": ("a region serves on without a zone", [1.0, 1.0, 1.0, 1.0]),
    "chaos": ("members survive a lost store node", [0.7, 0.9, 1.0, 1.0]),
    "split-brain": ("no write is lost between regions", [0.5, 0.5, 0.9, 1.0]),
    "latency": ("members bear a slow store", [1.0, 1.0, 1.0, 0.3]),
}


def made_up(die: Random) -> Iterator[dict[str, Any]]:
    """Some three runs a week and monkey."""
    now = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    for monkey, (experiment, shares) in PAST.items():
        for day in range(83, 0, -1):
            if die.random() < 0.45:
                held = die.random() < shares[(83 - day) * len(shares) // 84]
                started = now - timedelta(days=day, minutes=die.randrange(-150, 150))
                yield {
                    "run": "".join(die.choices("abcdefghjkmnpqrstuvwxyz23456789", k=10)),
                    "monkey": monkey,
                    "experiment": die.choice((experiment, None)),
                    "system": "lab",
                    "seed": die.randrange(10_000),
                    "started": started.isoformat(),
                    "ended": (started + timedelta(seconds=140)).isoformat(),
                    "outcome": "completed" if held or die.random() < 0.5 else "aborted",
                    "verdict": "held" if held else die.choice(("broken", "broken", "unknown")),
                    "recovery": "clean",
                    "figures": {"left": die.choice(("east", "west"))},
                }


def closed() -> list[str]:
    """The weekends of the coming weeks, and a freeze; never today, as then nothing would run."""
    today = datetime.now(UTC).date()
    coming = [today + timedelta(days=day) for day in range(1, 36)]
    freeze = f"{today + timedelta(days=9)}..{today + timedelta(days=12)}"
    return [freeze, *(str(day) for day in coming if day.weekday() > 4)]


class Lab:
    """The lab that comes up, and its daemon."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "lab"
        self._environment = {**os.environ, "SIMIAN_STATE": str(state)}

    def simian(self, *words: str, check: bool = True) -> None:
        words = (sys.executable, "-m", "simian", *words)
        subprocess.run(words, env=self._environment, check=check, timeout=600, stdin=subprocess.DEVNULL)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """With a past, schedules and a calendar; its address."""
        self.simian("lab", "up")
        try:
            with open_history(self.folder / "history.db") as history:
                for run in made_up(Random(11)):
                    history.store(run)
            with (self.folder / "lab" / "simian.yaml").open("a") as config:
                config.write(f"\ncalendar: {{zone: Europe/Berlin, closed: {closed()}}}\n")
            for words in SCHEDULES:
                self.simian("schedule", "add", *words)
            self.simian(*BEFORE, check=False)  # however it ends: to compare with
            serve = [sys.executable, "-m", "simian", "serve", "--port", "0"]
            with subprocess.Popen(serve, env=self._environment, stdout=subprocess.PIPE, text=True) as daemon:
                try:
                    assert daemon.stdout is not None
                    yield daemon.stdout.readline().partition(" at ")[2].partition(";")[0]
                finally:
                    daemon.terminate()
        finally:
            self.simian("lab", "down")

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()


class Camera:
    """Windows of one browser, and where pictures go."""

    def __init__(self, browser: Browser, url: str | None = None) -> None:
        self._browser, self._url = browser, url
        self._signed_in: Any = None

    @contextmanager
    def window(self, size: Any = None, dark: bool = False) -> Iterator[Page]:
        look: Any = {"viewport": size or DESK, "color_scheme": "dark" if dark else "light"}
        context = self._browser.new_context(base_url=self._url, storage_state=self._signed_in, **look)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        yield page
        self._signed_in = context.storage_state()
        context.close()

    def take(self, page: Page, name: str, height: int = 900) -> None:
        """Of the page from its top, as much as there is of it up to that height."""
        page.wait_for_timeout(400)  # charts are drawn in the next frame
        there = min(height, page.evaluate("document.documentElement.scrollHeight"))
        size = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": there}  # type: ignore[index]
        file = HERE / f"{name}.png"
        page.screenshot(path=file, full_page=True, clip=size)  # type: ignore[arg-type]
        small(file)

    def visit(self, path: str, name: str, height: int = 900, **window: Any) -> None:
        with self.window(**window) as page:
            page.goto(path)
            if page.locator("[data-series]").count():
                page.wait_for_selector("[data-series][data-drawn=yes]")
            self.take(page, name, height)

    def show(self, text: str, name: str, height: int = 1000, **window: Any) -> None:
        """A page of our own making, from a file."""
        with tempfile.TemporaryDirectory() as folder, self.window(**window) as page:
            file = Path(folder) / "page.html"
            file.write_text(text)
            page.goto(file.as_uri())
            self.take(page, name, height)


def small(file: Path) -> None:
    """A palette is enough for pages."""
    if convert := shutil.which("convert"):
        words = [convert, str(file), "-strip", "-dither", "None", "-colors", "96", "-define", "png:compression-level=9"]
        subprocess.run([*words, f"png8:{file}"], check=True)
    size = file.stat().st_size
    print(f"{file.name}: {size / 1000:.0f} kB{', TOO LARGE' if size > LARGEST else ''}")


def dashboard(camera: Camera, lab: Lab) -> str:
    """Every page; what the run is called that was started from its page."""
    with camera.window() as page:
        page.goto("/login")
        camera.take(page, "web-sign-in", 420)
        page.get_by_label("Token").fill(lab.token)
        page.get_by_label("Token").press("Enter")
        expect(page.get_by_text(", operator")).to_be_visible()
    run = started(camera)
    for path, name, height in (
        (f"/runs/{run}/log", "web-log", 700),
        ("/runs", "web-history", 1000),
        ("/schedules", "web-schedules", 1150),
        ("/schedules/kong-tuesdays", "web-schedule", 620),
        ("/experiments", "web-experiments", 620),
        ("/experiments/users-survive-the-loss-of-a-region", "web-experiment", 900),
        ("/monkeys", "web-monkeys", 560),
        ("/monkeys/kong", "web-monkey", 800),
        ("/audit", "web-audit", 420),
    ):
        camera.visit(path, name, height)
    halted(camera)
    return run


def started(camera: Camera) -> str:
    """Kong from its page, watched until it is told."""
    with camera.window() as page:
        page.goto("/monkeys/kong")
        page.get_by_label("region").fill("east")
        page.get_by_label("For, seconds").fill("45")
        page.get_by_label("Seed").fill("5")
        page.get_by_label("Note").fill("before the release")
        page.get_by_role("button", name="Plan").click()
        page.wait_for_url("**/plan?**")
        camera.take(page, "web-plan", 900)
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/runs/*")
        run = page.url.rpartition("/")[2]
        page.goto("/")
        expect(page.locator("#now .phase .badge")).to_have_text("observe")
        time.sleep(8)  # for the curves to show what it means
        expect(page.locator("#sent-to td").first).to_be_visible()
        camera.take(page, "web-now", 1150)
    camera.visit("/", "web-now-dark", 1150, dark=True)
    camera.visit("/", "web-now-phone", 1700, size=PHONE)
    with camera.window() as page:
        page.goto(f"/runs/{run}")
        expect(page.locator(".verdict .word")).to_be_visible()
        page.wait_for_selector("[data-series][data-drawn=yes]")
        camera.take(page, "web-run", 1500)
    camera.visit(f"/runs/{run}", "web-run-phone", 1700, size=PHONE, dark=True)
    with camera.window() as page:
        page.goto(f"/runs/{run}")
        page.get_by_role("link", name="Compare with the one before").click()
        page.wait_for_url("**/compare?**")
        camera.take(page, "web-compare", 900)
    return run


def halted(camera: Camera) -> None:
    with camera.window() as page:
        page.goto("/")
        page.get_by_label("Why").fill("release of the shop")
        page.get_by_role("button", name="Halt everything").click()
        expect(page.get_by_role("heading", name="Halted")).to_be_visible()
        camera.take(page, "web-halted", 620)
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("heading", name="Halted")).to_have_count(0)


def reports(camera: Camera, record: dict[str, Any], mermaid: Path | None) -> None:
    """Of the run that was just looked at, in each form; of a week and of two runs, those of our tests."""
    page = render(record, "html")
    camera.show(page, "report-html", 1010)
    camera.show(page, "report-phone", 900, size=PHONE, dark=True)
    camera.show(in_a_terminal(render(record, "text"), dark=True), "report-text", 1010, size={**DESK, "width": 960})
    camera.show(in_a_terminal(render(record, "junit")), "report-junit", 640)
    camera.show(render_week(weeks.a_week(), "html", system="shop"), "report-week")
    camera.show(render_comparison(records.held_gorilla(), records.broken_chaos(), "html"), "compare")
    if mermaid is not None:
        camera.show(as_github_shows(render(record, "md"), mermaid), "report-markdown", 900, size={**DESK, "width": 960})


def in_a_terminal(text: str, dark: bool = False) -> str:
    colours = "background: #0d1117; color: #e6edf3" if dark else "background: #fff; color: #111"
    font = "font: 13px/1.25 'DejaVu Sans Mono', monospace; white-space: pre-wrap"
    style = f"body {{ margin: 8px; {colours} }} pre {{ {font} }}"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><pre>{html.escape(text)}</pre>"


def as_github_shows(markdown: str, mermaid: Path) -> str:
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    body = body.replace('<pre><code class="language-mermaid">', '<pre class="mermaid"><code>')
    style = (
        "body { font: 16px/1.5 system-ui, 'DejaVu Sans', sans-serif; margin: 20px; color: #1f2328 } "
        "h1, h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em } table { border-collapse: collapse } "
        "td, th { border: 1px solid #d1d9e0; padding: 6px 13px }"
    )
    script = f"<script>{mermaid.read_text()}</script><script>mermaid.initialize({{startOnLoad: true}})</script>"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}{script}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mermaid", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        lab = Lab(Path(state))
        with lab.serving() as url:
            run = dashboard(Camera(browser, url), lab)
            with open_history(lab.folder / "history.db") as history:
                record = history.get(run)
        reports(Camera(browser), record, given.mermaid)
        browser.close()


if __name__ == "__main__":
    main()
