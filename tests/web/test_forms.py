"""Pages as a browser without a script asks for them: forms with the options of monkeys, and how runs ended of late."""

import re
from collections.abc import Iterator

import httpx
import pytest

from simian.history import open_history
from simian.report.model import read
from simian.web.hub import Going
from simian.web.series import series_of

from ..report import evacuations, records
from .conftest import OPERATOR, Web
from .small_daemon import MARKUP

ADD = {"name": "x", "what": "monkey:chaos", "kind": "every", "when": "6h", "zone": "", "for_s": "", "note": ""}


@pytest.fixture
def anna(web: Web) -> Iterator[httpx.Client]:
    """Signed in, with the mark that her forms carry."""
    with web.client(headers={"Origin": web.url}) as client:
        client.post("/login", data={"token": OPERATOR})
        yield client


def sent(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/schedules").text)
    assert csrf
    return client.post(path, data={"csrf": csrf[1], **fields})


@pytest.fixture
def kept(anna: httpx.Client) -> Iterator[str]:
    yield "chaos-often"
    sent(anna, "/schedules/chaos-often/remove")


def options_of(client: httpx.Client, name: str) -> object:
    return client.get(f"/api/v1/schedules/{name}").json()["options"]


def test_a_schedule_takes_the_options_of_its_monkey_as_values(anna: httpx.Client, kept: str) -> None:
    written = {"service": " members ", "count": "2", "node": "a, b", "how": "", "hard": "on", "notice": "off"}
    fields = {f"option.chaos.{name}": text for name, text in written.items()}
    answer = sent(anna, "/schedules/add", **{**ADD, "name": kept}, **fields, **{"option.gorilla.zone": ""})
    assert answer.status_code == 303, answer.text
    wanted = {"service": "members", "count": 2, "node": ["a", "b"], "hard": True, "notice": False}
    assert options_of(anna, kept) == wanted


def test_boxes_left_as_they_are_and_empty_fields_are_no_options(anna: httpx.Client, kept: str) -> None:
    fields = {"option.chaos.hard": "off", "option.chaos.notice": "on", "option.chaos.count": ""}
    assert sent(anna, "/schedules/add", **{**ADD, "name": kept}, **fields).status_code == 303
    assert options_of(anna, kept) == {}


def test_options_that_cannot_be_are_all_told_at_once_and_nothing_is_kept(anna: httpx.Client) -> None:
    wrong = {"option.chaos.count": "many", "option.gorilla.zone": "east-a"}
    answer = sent(anna, "/schedules/add", **{**ADD, "name": "wrong"}, **wrong)
    assert answer.status_code == 400
    assert "count: &#39;many&#39; is no number" in answer.text
    assert "zone: of gorilla, and chaos was chosen" in answer.text
    assert anna.get("/api/v1/schedules/wrong").status_code == 404


def test_the_form_offers_what_the_system_has(anna: httpx.Client) -> None:
    page = anna.get("/schedules?what=monkey:gorilla").text
    assert '<option value="monkey:gorilla" selected>' in page
    for option, name in (("service", "gateway"), ("zone", "west-b"), ("node", "members-east-a")):
        assert re.search(rf'<datalist id="known-{option}">.*<option value="{name}">.*</datalist>', page), option
    assert re.search(r'name="option\.chaos\.how"[^>]*><option value="">not given</option><option>kill<', page)
    assert MARKUP not in page


def test_experiments_and_monkeys_show_how_they_ended_of_late(web: Web, anna: httpx.Client) -> None:
    experiment = {"experiment": "members survive a lost node", "monkey": "chaos"}
    with open_history(web.daemon.history) as history:
        for number, verdict in enumerate(("held", "broken", "held")):
            run = records.held_gorilla() | experiment | {"run": f"late{number}", "verdict": verdict}
            history.store(run | {"started": records.moment(number * 60)})
    for path in ("/experiments", "/experiments/members-survive-a-lost-node", "/monkeys", "/monkeys/chaos"):
        found = re.findall(r'href="/runs/(late\d)"[^>]*><span class="badge (good|bad)">', anna.get(path).text)
        assert found == [("late2", "good"), ("late1", "bad"), ("late0", "good")], path
    assert "reaches a node at most" in anna.get("/experiments/members-survive-a-lost-node").text
    with open_history(web.daemon.history) as history:
        history.store(records.held_gorilla() | experiment | {"run": "later0", "started": records.moment(600)})
    page = anna.get("/runs/later0").text
    assert 'href="/compare?a=late2&amp;b=later0"' in page


def test_curves_come_with_what_they_must_keep() -> None:
    limits = series_of(read(evacuations.planned_kong()))["limits"]
    assert limits["success"] == {"check": "streams start", "text": ">= 99.5 %", "value": 0.995}
    assert limits["latency"]["value"] == 1000.0
    relative = series_of(read(records.held_gorilla()))["limits"]["latency"]
    assert relative["value"] == pytest.approx(3 * 9.42)
    assert series_of(read(records.unfelt_chaos()))["limits"] != limits


def test_faults_in_place_are_told_by_kind_each_target_once() -> None:
    going = Going()
    for number, (kind, target) in enumerate((("shift", "east"), ("shift", "east"), ("kill", "a"), ("kill", "b")), 1):
        going.take({"event": "fault", "id": number, "kind": kind, "target": target, "state": "injected"})
    going.take({"event": "evidence", "id": 3, "held": True})
    going.take({"event": "fault", "id": 4, "kind": "kill", "target": "b", "state": "undone"})
    assert [(each["kind"], each["number"], each["targets"], each["proven"]) for each in going.kinds] == [
        ("shift", 2, ["east"], 0),
        ("kill", 1, ["a"], 1),
    ]


def test_where_users_are_sent_is_a_page_of_its_own_and_says_what_cannot_be_seen(web: Web) -> None:
    with web.client() as client:
        page = client.get("/traffic").text
    assert re.search(r"<th scope=\"row\">east</th><td>east 100 %</td><td[^>]*>50.0 %</td><td[^>]*>-</td>", page)
