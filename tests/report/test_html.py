"""HTML: one file that opens offline, on a phone and on paper, and begins with the verdict."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest

from simian.monkey import find_monkeys
from simian.report import render, render_comparison, render_week
from simian.simulation import Simulation

from . import evacuations, records, weeks
from .records import Record, check, fault, moment, phases, traffic

ALL = {**records.ALL, **evacuations.ALL}
VOID = {"meta", "br", "path", "rect"}
LARGEST = 400_000
SPELL = "<script>alert(1)</script><b onclick='x'>&\"]]>-->${{7*7}}{% x %}"


class Page(HTMLParser):
    """What a browser would make of it; fails on a tag that is closed by another."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.words.append((self.open[-1], data))

    def text_in(self, tag: str) -> list[str]:
        return [" ".join(words.split()) for inside, words in self.words if inside == tag]


def pages() -> dict[str, str]:
    made = {name: render(make(), "html") for name, make in ALL.items()}
    made["comparison"] = render_comparison(records.held_gorilla(), records.broken_chaos(), "html")
    made["week"] = render_week(weeks.a_week(), "html", system="shop")
    return made


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


NAMES = [*ALL, "comparison", "week"]


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_well_formed_and_every_id_is_there_once(name: str, made: dict[str, str]) -> None:
    ids = [attributes["id"] for _, attributes in Page(made[name]).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [a["aria-labelledby"] for tag, a in Page(made[name]).tags if tag == "svg"]
    assert {part for names in named for part in str(names).split()} <= set(ids)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_and_nothing_runs(name: str, made: dict[str, str]) -> None:
    page = Page(made[name])
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "image"} & {
        tag for tag, _ in page.tags
    }
    loads = ("src", "href", "xlink:href", "action", "style", "srcset", "background")
    assert not [(tag, key) for tag, attributes in page.tags for key in attributes if key in loads or key[:2] == "on"]
    assert not re.search(r"url\(|@import", made[name])
    assert {url for url in re.findall(r"https?://[^\s\"<]+", made[name]) if "w3.org/2000/svg" not in url} <= {
        "http://127.9.0.53:8053", "http://127.1.0.50:8474",  # words of an error
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_for_content_allows_the_one_style_and_nothing_else(name: str, made: dict[str, str]) -> None:
    style = re.findall("<style>(.*?)</style>", made[name], re.S)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(a["content"] for tag, a in Page(made[name]).tags if "http-equiv" in a)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_it_opens_with_the_verdict_in_one_sentence_and_one_picture(made: dict[str, str]) -> None:
    page = made["broken chaos"]
    heading = re.search("<h1>(.*?)</h1>", page, re.S)
    assert heading is not None
    told = " ".join(re.sub("<[^>]+>", "", heading[1]).split())
    assert told == (
        "BROKEN A weakness was found: streams start: 69.12 % of stream starts succeeded, and at least 99.9 % must."
    )
    assert page.index("</h1>") < page.index("<figure>") < page.index("<h2>")
    between = page[page.index("</h1>") : page.index("<figure>")]
    assert not re.sub("<[^>]+>", "", between).strip()


def test_its_sections_are_all_there_in_order(made: dict[str, str]) -> None:
    titles = [title for title in Page(made["broken chaos"]).text_in("h2")]
    assert titles == [
        "What was done", "What users saw", "Error budget", "Steady state", "Weakness: streams start", "Faults",
        "What to look at", "How to see it again",
    ]  # fmt: skip
    kong = Page(made["planned kong"]).text_in("h2")
    assert kong[3:5] == ["Evacuation of east", "Who still arrived in east"]
    captions = Page(made["planned kong"]).text_in("figcaption")
    assert captions == [
        "Requests served per second, by region",
        "Users who still arrived in east, tries per second",
        "Requests that succeeded, by home region of the users",
        "Latency that 99 % of requests stayed within, by home region",
    ]


@pytest.mark.parametrize("name", ["planned kong", "broken chaos", "week", "comparison"])
def test_every_chart_has_words_and_numbers_for_those_who_cannot_see_it(name: str, made: dict[str, str]) -> None:
    figures = re.findall("<figure>.*?</figure>", made[name], re.S)
    assert figures
    for figure in figures:
        assert figure.count("<svg ") == figure.count('role="img"') == 2  # a wide one and a narrow one
        assert len(re.findall(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]+</desc>", figure)) == 2
        assert re.search("<details><summary>.*?<table>.*?<td", figure, re.S)


def test_a_stuck_run_says_so_first_and_last(made: dict[str, str]) -> None:
    page = made["stuck latency"]
    assert page.index("STUCK: ") < page.index("<h1>")
    assert page.count("mend it with &#39;simian recover&#39;") == 2
    assert page.rindex("mend it with") > page.rindex("</section>")


def test_there_is_a_style_for_the_dark_for_paper_and_for_phones(made: dict[str, str]) -> None:
    page = made["held gorilla"]
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page
    assert "max-width:640px" in page
    assert 'name="viewport"' in page


def ten_minutes() -> Record:
    """As the lab leaves it: two homes, a row a second each, checks with probes of their own, forty faults."""
    die = Random(3)

    def hurt(at: float, home: str) -> tuple[float, float, float]:
        return (0.02, 0.1, 3.0) if home == "east" and 20 <= at < 600 else (0.001, 0.01, 1.0)

    checks = [check(f"check {n}", "held", "<= 3 x baseline", 9.4, 14.1, 9.3) for n in range(6)]
    readings = [
        {
            "check": f"check {n}",
            "at": records.START + at + 0.1,
            "value": die.random(),
            "silent": False,
            "detail": "x" * 80,
        }
        for n in range(6)
        for at in range(640)
    ]
    faults = [fault(n, "kill", f"members-east-{n}", stage=f"stage {n % 12}", undone=moment(600)) for n in range(1, 41)]
    spans = phases(baseline=(0, 15), inject=(15, 20), observe=(20, 600), recover=(600, 610), verify=(610, 640))
    return records.held_gorilla() | {
        "traffic": traffic(die, 640, hurt), "readings": readings, "faults": faults, "ended": moment(640),
        "steady_state": [*records.held_gorilla()["steady_state"], *checks], "phases": spans,
    }  # fmt: skip


def test_a_ten_minute_run_is_no_larger_than_400_kb_with_the_week_before() -> None:
    record = ten_minutes()
    rows = [row | {"at": row["at"] - 7 * 86400 + 60} for row in traffic(Random(4), 640)]
    page = render(record, "html", before={"run": "before", "traffic": rows})
    assert len(page.encode()) <= LARGEST
    assert "all regions, a week before" in page
    assert "and 15 faults of 5 more stages" in page


def test_a_simulated_kong_of_ten_minutes_is_no_larger_either() -> None:
    options = {"region": "east", "steps": "75,50,25,0"}
    record = Simulation.seeded(5).run(find_monkeys().get("kong"), options=options, for_s=600.0)
    page = render(record, "html")
    Page(page)
    assert record["verdict"] == "held"
    assert len(page.encode()) <= LARGEST
    assert "streams start &gt;= 99.5 %" in page  # the tolerance stands in the picture of what users saw
    assert "streams start is judged of requests of kind play only" in page


def spelt(value: Any) -> Any:
    """Markup in every text that is free."""
    free = {"note", "hypothesis", "experiment", "system", "seen", "before", "hint", "where", "error", "target", "check",
            "home", "reasons", "notes", "stage", "simian", "detail"}  # fmt: skip
    if isinstance(value, dict):
        return {
            key: SPELL
            if key in free and isinstance(item, str)
            else [SPELL]
            if key in ("reasons", "notes")
            else spelt(item)
            for key, item in value.items()
        }
    return [spelt(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ALL)
def test_a_name_with_markup_in_it_is_text_in_every_place(name: str) -> None:
    record = spelt(ALL[name]())
    for row in record["traffic"]:
        row["served"] = {SPELL: sum(row["served"].values())}
    page = render(record, "html")
    tags = {tag for tag, _ in Page(page).tags}
    assert "script" not in tags
    assert "b" not in tags
    assert not [a for _, a in Page(page).tags if any(key.startswith("on") for key in a)]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "${{7*7}}{% x %}" in page  # nothing was made of it


def test_without_a_run_of_a_week_before_the_page_says_so(made: dict[str, str]) -> None:
    assert "No line of the week before: no run of this system" in made["planned kong"]


@pytest.mark.parametrize(
    ("late_s", "told"),
    [
        (0.0, "The week before is run before of 14 Nov 2026, 10:00:00 UTC, moved by seven days."),
        (720.0, "it began 12 min later in its day, and is drawn as if both had begun together."),
        (-720.0, "it began 12 min earlier in its day, and is drawn as if both had begun together."),
    ],
)
def test_the_week_before_is_told_with_how_it_was_moved(late_s: float, told: str) -> None:
    rows = [row | {"at": row["at"] - 7 * 86400 + late_s} for row in evacuations.planned_kong()["traffic"]]
    page = render(evacuations.planned_kong(), "html", before={"run": "before", "traffic": rows})
    assert told in page
    assert 'class="line week"' in page
