"""The dashboard in a browser without a head: what people do with it, on a desk, a phone, in the dark, by keyboard."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from simian.history import open_history

from ..real_parts import part_missing
from ..report import evacuations, records
from .conftest import OPERATOR, Web
from .small_daemon import MARKUP

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
PATIENCE_MS = 60_000  # on two busy cores
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        part_missing("chromium", "apt-get install chromium, or .ci/install-parts")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture(scope="module", autouse=True)
def _past_runs(web: Web) -> None:
    with open_history(web.daemon.history) as history:
        for make in records.ALL.values():
            history.store(make())
        history.store(evacuations.planned_kong())


@pytest.fixture
def kong_tuesdays(web: Web) -> Iterator[None]:
    asked = {"name": "kong-tuesdays", "monkey": "kong", "when": {"cron": "0 10 * * tue"}, "zone": "Europe/Berlin"}
    with web.client(OPERATOR) as client:
        assert client.post("/api/v1/schedules", json=asked).status_code == 201
        yield
        assert client.delete("/api/v1/schedules/kong-tuesdays").status_code == 200


def opened(browser: Browser, web: Web, **more: Any) -> tuple[BrowserContext, list[str]]:
    return window(browser, web.url, **more)


def window(browser: Browser, url: str, **more: Any) -> tuple[BrowserContext, list[str]]:
    """A window, and what goes wrong in it."""
    wrong: list[str] = []
    context = browser.new_context(base_url=url, **more)
    context.set_default_timeout(PATIENCE_MS)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda message: wrong.append(message.text) if _counts(message) else None)
    return context, wrong


def _counts(message: ConsoleMessage) -> bool:
    """An error; that somebody else's containers change this machine's networks is none of ours."""
    return message.type == "error" and "ERR_NETWORK_CHANGED" not in message.text


@pytest.fixture
def page(browser: Browser, web: Web) -> Iterator[Page]:
    """Nothing may go wrong in it: no script fails, the policy forbids nothing that we want."""
    context, wrong = opened(browser, web)
    yield context.new_page()
    context.close()
    assert not wrong


@pytest.fixture
def operator(page: Page) -> Page:
    sign_in(page, OPERATOR)
    expect(page.get_by_text("anna, operator")).to_be_visible()
    return page


def sign_in(page: Page, token: str) -> None:
    page.goto("/login")
    page.get_by_label("Token").fill(token)
    page.get_by_label("Token").press("Enter")


def test_a_run_is_started_watched_live_aborted_and_told(web: Web, operator: Page) -> None:
    page = operator
    page.get_by_role("link", name="Monkeys", exact=True).click()
    page.get_by_role("link", name="chaos", exact=True).click()
    page.get_by_label("count").fill("1")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Note").fill("from the dashboard")
    page.get_by_role("button", name="Plan").click()
    expect(page.get_by_text("members-east-a")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/run*")
    run = page.url.rpartition("/")[2]
    told = [each for each in web.daemon.asked if each["do"] == "start"][-1]
    assert (told["by"], told["seed"], told["options"]) == ("web:anna", 7, {"count": 1})

    page.goto("/")
    expect(page.locator("html[data-live=yes]")).to_be_attached()
    expect(page.get_by_text("Steady state")).to_be_visible()
    web.daemon.advance(run, "observe", for_s=120.0)
    expect(page.locator("#now .phase .badge")).to_have_text("observe")
    expect(page.locator("[data-until]")).to_contain_text("left")
    web.daemon.hurt(run, "members-east-a")
    expect(page.get_by_label("The system").get_by_text("ours: kill")).to_be_visible()
    web.daemon.emit("check", run, check="streams start", value=0.999, verdict="held", tolerance=">= 99 %")
    expect(page.locator(".checks")).to_contain_text("99.9 %")
    web.daemon.flow(run, 30)
    expect(page.locator("[data-live-traffic] canvas")).to_be_visible()
    expect(page.locator("[data-live-words]")).to_contain_text("east")

    page.get_by_role("button", name="Abort").click()
    page.wait_for_url(f"**/runs/{run}")
    expect(page.locator(".verdict .word")).to_be_visible()
    expect(page.get_by_text("aborted by anna in the dashboard")).to_be_visible()
    expect(page.get_by_role("button", name="Replay")).to_be_visible()


def test_the_page_of_a_run_tells_by_itself_that_it_has_ended(web: Web, operator: Page) -> None:
    web.daemon._do(web.daemon._start({"do": "start", "by": "api:rob", "monkey": "gorilla"}))
    run = next(iter(web.daemon.going))
    operator.goto(f"/runs/{run}")
    expect(operator.locator("html[data-live=yes]")).to_be_attached()
    expect(operator.get_by_role("button", name="Abort")).to_be_visible()
    web.daemon.finish(run)
    expect(operator.locator(".verdict .word")).to_have_text("HELD")


def test_halt_and_resume_by_keyboard_alone(web: Web, operator: Page) -> None:
    operator.goto("/")
    operator.keyboard.press("Tab")
    expect(operator.get_by_text("To the content")).to_be_focused()
    operator.get_by_label("Why").focus()
    operator.keyboard.type("release of the shop")
    operator.keyboard.press("Tab")
    expect(operator.get_by_role("button", name="Halt everything")).to_be_focused()
    operator.keyboard.press("Enter")
    expect(operator.get_by_role("heading", name="Halted: release of the shop")).to_be_visible()
    assert web.daemon.halted == "release of the shop"
    operator.get_by_role("button", name="Resume").click()
    expect(operator.get_by_role("heading", name="Halted")).to_have_count(0)


def test_a_wrong_token_opens_nothing_and_says_so(browser: Browser, web: Web) -> None:
    context, _ = opened(browser, web)  # the browser itself calls the 401 an error
    page = context.new_page()
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("none of this system's")
    page.goto("/")
    expect(page.get_by_role("button", name="Halt everything")).to_have_count(0)
    context.close()


def test_a_name_with_markup_in_it_runs_nothing(web: Web, page: Page) -> None:
    record = records.held_gorilla() | {"run": "markup1run", "monkey": MARKUP, "note": MARKUP}
    with open_history(web.daemon.history) as history:
        history.store(record | {"faults": [records.fault(1, "kill", MARKUP)]})
    for path in ("/runs", "/runs/markup1run", "/monkeys", "/runs/markup1run/log"):
        page.goto(path)
        expect(page.get_by_text("<img").first).to_be_visible()
        assert page.title() != "1"
        assert page.locator("img[src='x']").count() == 0


def test_charts_of_a_past_run_are_drawn(page: Page) -> None:
    page.goto("/runs/k7f3m2qa9d")
    expect(page.locator("[data-series][data-drawn=yes]")).to_be_visible()
    assert page.locator("[data-chart] canvas").count() == 3
    assert page.locator("[data-chart-drain]").is_hidden()


def test_charts_of_an_evacuation_show_who_still_arrived(page: Page) -> None:
    page.goto(f"/runs/{evacuations.planned_kong()['run']}")
    expect(page.locator("[data-series][data-drawn=yes]")).to_be_visible()
    assert page.locator("[data-chart] canvas").count() == 4


def test_the_history_is_filtered_and_goes_on(web: Web, page: Page) -> None:
    with open_history(web.daemon.history) as history:
        for number in range(70):
            started = records.moment(-number * 60)
            history.store({"run": f"many{number:03}", "monkey": "latency", "verdict": "held", "outcome": "completed",
                           "recovery": "clean", "seed": 1, "started": started})  # fmt: skip
    page.goto("/runs")
    page.get_by_label("Monkey").fill("latency")
    page.get_by_label("Verdict").select_option("held")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**verdict=held**")
    assert page.locator("#rows tr").count() == 51
    page.get_by_role("link", name="More", exact=True).click()
    expect(page.locator("#rows tr")).to_have_count(70)


def test_a_schedule_is_added_seen_in_the_calendar_paused_run_and_removed(web: Web, operator: Page) -> None:
    page = operator
    page.get_by_role("link", name="Schedules").click()
    page.get_by_label("Name").fill("chaos-daily")
    page.get_by_label("What").select_option(label="gorilla")
    expect(page.get_by_label("zone", exact=True)).to_be_visible()
    page.get_by_label("zone", exact=True).fill("east-a")
    page.get_by_label("What").select_option(label="chaos")
    expect(page.get_by_label("zone", exact=True)).to_be_hidden()
    page.get_by_label("service").fill("members")
    page.get_by_label("how").select_option("pause")
    page.get_by_label("When").fill("0 10 * * *")
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/schedules/chaos-daily")
    expect(page.get_by_text("cron 0 10 * * *")).to_be_visible()
    expect(page.get_by_text("chaos service=members how=pause")).to_be_visible()
    assert [each["do"] for each in web.daemon.asked if each["do"] == "schedules-changed"]
    page.goto("/schedules")
    expect(page.locator(".calendar").get_by_text("10:00 chaos-daily").first).to_be_visible()
    page.get_by_role("button", name="Pause chaos-daily").click()
    page.wait_for_url("**/schedules/chaos-daily")
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    page.get_by_role("button", name="Resume chaos-daily").click()
    expect(page.get_by_role("button", name="Pause chaos-daily")).to_be_visible()
    page.get_by_role("button", name="Run now chaos-daily").click()
    page.wait_for_url("**/runs/run*")
    web.daemon.finish(page.url.rpartition("/")[2])
    page.goto("/schedules/chaos-daily")
    page.get_by_role("button", name="Remove chaos-daily").click()
    page.wait_for_url("**/schedules")
    expect(page.get_by_text("There is none yet.")).to_be_visible()
    page.goto("/audit")
    expect(page.get_by_role("row", name="schedule remove")).to_contain_text("web:anna")


def test_a_run_is_replayed_unless_the_system_has_changed(web: Web, operator: Page) -> None:
    operator.goto("/runs/k7f3m2qa9d")
    operator.get_by_role("button", name="Replay").click()
    operator.wait_for_url("**/runs/run*")
    told = [each for each in web.daemon.asked if each["do"] == "start"][-1]
    assert (told["monkey"], told["seed"], told["options"]) == ("gorilla", 7, {"zone": "east-a"})
    web.daemon.finish(operator.url.rpartition("/")[2])
    with open_history(web.daemon.history) as history:
        history.store(records.held_gorilla() | {"run": "otherplan0", "plan_hash": "0123456789abcdef"})
    with web.client() as client:
        client.post("/login", data={"token": OPERATOR}, headers={"Origin": web.url})
        csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
        assert csrf
        answer = client.post("/runs/otherplan0/replay", data={"csrf": csrf[1]}, headers={"Origin": web.url})
    assert answer.status_code == 409
    assert "the system has changed" in answer.text


def test_two_runs_are_compared(page: Page) -> None:
    page.goto("/runs/k7f3m2qa9d")
    page.get_by_label("Compare with run").fill("p2x9c4w1ts")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="gorilla k7f3m2qa9d and")).to_be_visible()
    expect(page.get_by_role("heading", name="Steady state")).to_be_visible()


PATHS = [
    "/",
    "/runs",
    "/runs/k7f3m2qa9d",
    "/runs/p2x9c4w1ts",
    "/runs/st0ckdelay",
    "/runs/k7f3m2qa9d/log",
    "/experiments",
    "/experiments/members-survive-a-lost-node",
    "/monkeys",
    "/monkeys/chaos",
    "/plan?monkey=chaos&seed=7",
    "/login",
    "/schedules",
    "/schedules?what=monkey:chaos",
    "/traffic",
    "/schedules/kong-tuesdays",
    "/audit",
    "/compare?a=k7f3m2qa9d&b=p2x9c4w1ts",
]


@pytest.mark.parametrize("look", ["desk", "phone", "dark"])
def test_nobody_is_kept_out_by_how_a_page_is_made(browser: Browser, web: Web, kong_tuesdays: None, look: str) -> None:
    """axe-core finds nothing serious, and nothing is wider than the window."""
    size = {"width": 390, "height": 844} if look == "phone" else {"width": 1280, "height": 900}
    context, wrong = opened(browser, web, viewport=size, color_scheme="dark" if look == "dark" else "light")
    page = context.new_page()
    sign_in(page, OPERATOR)
    page.wait_for_url("**/")
    found = []
    for path in PATHS:
        page.goto(path)
        if page.locator("[data-series]").count():
            page.wait_for_selector("[data-series][data-drawn=yes]")
        page.evaluate(AXE)
        seen = page.evaluate("axe.run({resultTypes: ['violations']})")
        found += [
            (path, each["id"], each["impact"], [node["target"] for node in each["nodes"]][:3])
            for each in seen["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [(path, "wider than the window", wide)] if wide > 0 else []
    context.close()
    assert not found
    assert not wrong


def test_without_a_script_pages_say_the_same_and_forms_work(browser: Browser, web: Web) -> None:
    context, _ = opened(browser, web, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, OPERATOR)
    page.goto("/runs/k7f3m2qa9d")
    expect(page.locator(".verdict .word")).to_have_text("HELD")
    page.goto("/")
    page.get_by_label("Why").fill("by hand")
    page.get_by_role("button", name="Halt everything").click()
    expect(page.get_by_role("heading", name="Halted: by hand")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", name="Halted")).to_have_count(0)
    page.goto("/schedules")
    page.get_by_label("Name").fill("zone-daily")
    page.get_by_label("What").select_option(label="gorilla")
    page.get_by_label("When").fill("0 10 * * *")
    page.get_by_text("Options of gorilla").first.click()
    page.get_by_label("zone", exact=True).fill("west-b")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("gorilla zone=west-b")).to_be_visible()
    page.get_by_role("button", name="Remove zone-daily").click()
    page.wait_for_url("**/schedules")
    context.close()
