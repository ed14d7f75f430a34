"""The API: what is asked, what is answered."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simian.history import open_history

from ..report import records
from .conftest import OPERATOR, READER, Web


@pytest.fixture(scope="module", autouse=True)
def _past_runs(web: Web) -> None:
    with open_history(web.daemon.history) as history:
        for make in records.ALL.values():
            history.store(make())


@pytest.fixture
def operator(web: Web) -> Iterator[httpx.Client]:
    with web.client(OPERATOR) as client:
        yield client


def test_anybody_on_this_machine_may_look(web: Web) -> None:
    with web.client() as client:
        assert client.get("/api/v1/status").json()["system"] == "lab"
        assert [region["name"] for region in client.get("/api/v1/topology").json()["regions"]] == ["east", "west"]
        assert client.get("/api/v1/monkeys").json()["monkeys"][0]["name"] == "chaos"
        assert client.get("/api/v1/experiments").json()["experiments"][0]["monkey"] == "chaos"


def test_past_runs_come_in_pages_as_the_command_line_tells_them(web: Web) -> None:
    with web.client() as client:
        first = client.get("/api/v1/runs", params={"limit": 3}).json()
        rest = client.get("/api/v1/runs", params={"limit": 1000, "after": first["next"]}).json()
    names = [run["run"] for run in first["runs"] + rest["runs"]]
    assert set(first["runs"][0]) == {"run", "monkey", "started", "outcome", "verdict", "recovery", "seed"}
    assert len(first["runs"]) == 3
    assert len(names) == len(set(names)) >= len(records.ALL)


def test_a_run_is_found_by_the_beginning_of_its_name(web: Web) -> None:
    with web.client() as client:
        found = client.get("/api/v1/runs/k7f3").json()
    assert found["run"] == "k7f3m2qa9d"
    assert found == json.loads(json.dumps(records.held_gorilla()))


def test_its_report_comes_in_each_form(web: Web) -> None:
    with web.client() as client:
        assert "HELD" in client.get("/api/v1/runs/k7f3m2qa9d/report?format=text").text
        assert client.get("/api/v1/runs/k7f3m2qa9d/report?format=md").text.startswith("# gorilla")
        assert client.get("/api/v1/runs/k7f3m2qa9d/report").json()["seed"] == 7
        assert client.get("/api/v1/runs/k7f3m2qa9d/report?format=junit").text.startswith("<?xml")
        page = client.get("/api/v1/runs/k7f3m2qa9d/report?format=html")
        assert page.headers["content-disposition"] == 'attachment; filename="k7f3m2qa9d.html"'


def test_two_runs_are_compared(web: Web) -> None:
    with web.client() as client:
        told = client.get("/api/v1/compare", params={"first": "k7f3m2qa9d", "second": "p2x9c4w1ts"})
        assert told.status_code == 200
        assert client.get("/api/v1/compare", params={"first": "k7f3m2qa9d", "second": "nothing"}).status_code == 404
        assert client.get("/api/v1/compare", params={"first": "k7f3m2qa9d"}).status_code == 400


def test_charts_have_as_many_numbers_as_moments(web: Web) -> None:
    with web.client() as client:
        series = client.get("/api/v1/runs/k7f3m2qa9d/series").json()
    many = len(series["at"])
    assert many == 56
    assert {len(rates) for rates in series["served"].values()} == {many}
    assert len(series["success"]) == len(series["p50"]) == len(series["p99"]) == many
    assert [phase["name"] for phase in series["phases"]] == ["baseline", "inject", "observe", "recover", "verify"]
    assert len(series["faults"]) == 4


def test_a_run_is_started_watched_and_aborted(web: Web, operator: httpx.Client) -> None:
    asked = {"monkey": "chaos", "options": {"count": 1}, "seed": 7, "for_s": 30.0, "note": "by the API"}
    answer = operator.post("/api/v1/runs", json=asked)
    assert answer.status_code == 202
    run = answer.json()["run"]
    told = next(each for each in web.daemon.asked if each["do"] == "start" and each["note"] == "by the API")
    assert {key: told[key] for key in asked} == asked
    assert told["by"] == "api:anna"
    web.daemon.advance(run, "observe")
    assert operator.get(f"/api/v1/runs/{run}").json()["outcome"] == "running"
    assert operator.get(f"/api/v1/runs/{run}/end").json()["ended"] is None
    aborted = operator.post(f"/api/v1/runs/{run}/abort", json={"reason": "enough"})
    assert (aborted.status_code, aborted.json()) == (202, {"run": run})
    assert operator.get(f"/api/v1/runs/{run}").json()["reasons"] == ["aborted: enough"]
    assert operator.get(f"/api/v1/runs/{run}/end").json()["outcome"] == "aborted"


def test_halt_and_resume(web: Web, operator: httpx.Client) -> None:
    assert operator.post("/api/v1/halt", json={"reason": "release"}).json() == {"halted": "release", "runs": []}
    refused = operator.post("/api/v1/runs", json={"monkey": "chaos"})
    assert refused.status_code == 409
    assert refused.json()["error"]["kind"] == "refused"
    assert "release" in refused.json()["error"]["reasons"][0]
    assert operator.post("/api/v1/resume", json={}).json() == {"halted": None, "resumed": True}


def test_events_come_as_they_happen_and_those_that_were_missed_first(web: Web) -> None:
    web.daemon.emit("note", text="before")
    missed = web.daemon.events[-1]["n"] - 1
    got: list[dict[str, Any]] = []
    with web.client() as client, client.stream("GET", f"/api/v1/events?after={missed}") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        got.append(json.loads(next(lines).removeprefix("data: ")))
        web.daemon.emit("note", text="after")
        got.append(json.loads(next(lines).removeprefix("data: ")))
    assert [event["text"] for event in got] == ["before", "after"]


def test_the_same_key_starts_one_run_however_often_it_is_sent_and_by_how_many(web: Web) -> None:
    answers: list[httpx.Response] = []

    def post() -> None:
        with web.client(OPERATOR) as client:
            headers = {"Idempotency-Key": "only-once"}
            answers.append(client.post("/api/v1/runs", json={"monkey": "gorilla", "note": "once"}, headers=headers))

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    post()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run"] for answer in answers}) == 1
    assert len([each for each in web.daemon.asked if each.get("note") == "once"]) == 1
    with web.client(OPERATOR) as client:
        other = client.post("/api/v1/runs", json={"monkey": "chaos"}, headers={"Idempotency-Key": "only-once"})
    assert other.status_code == 422
    web.daemon.finish(answers[0].json()["run"])


def test_what_is_kept_of_a_refused_post_is_nothing(web: Web, operator: httpx.Client) -> None:
    operator.post("/api/v1/halt", json={"reason": "x"})
    headers = {"Idempotency-Key": "try-again"}
    assert operator.post("/api/v1/runs", json={"monkey": "chaos"}, headers=headers).status_code == 409
    operator.post("/api/v1/resume", json={})
    answer = operator.post("/api/v1/runs", json={"monkey": "chaos"}, headers=headers)
    assert answer.status_code == 202
    web.daemon.finish(answer.json()["run"])


def test_a_daemon_that_is_silent_is_told_as_such_and_past_runs_are_still_read(web: Web) -> None:
    with web.client() as client:
        web.daemon.silent = True
        try:
            answer = client.get("/api/v1/status")
            assert answer.status_code == 503
            assert "no answer" in answer.json()["error"]["reasons"][0]
        finally:
            web.daemon.silent = False
        assert client.get("/api/v1/runs").status_code == 200


def test_a_plan_is_made_and_nothing_started(web: Web) -> None:
    with web.client(READER) as client:
        plan = client.post("/api/v1/plan", json={"monkey": "chaos", "seed": 7}).json()["plan"]
    assert plan["stages"][0]["faults"][0]["node"] == "members-east-a"
    assert not web.daemon.going


# --- schedules

TUESDAYS: dict[str, Any] = {
    "name": "tuesdays",
    "monkey": "kong",
    "when": {"cron": "0 10 * * tue"},
    "zone": "Europe/Berlin",
}


def test_a_schedule_is_added_paused_resumed_run_and_removed_and_each_is_in_the_audit(
    web: Web, operator: httpx.Client
) -> None:
    added = operator.post("/api/v1/schedules", json={**TUESDAYS, "options": {"region": "east"}, "for_s": 60.0})
    assert added.status_code == 201
    row = added.json()
    assert (row["owner"], row["declared"], row["paused"], row["options"]) == ("anna", False, False, {"region": "east"})
    assert row["next"].endswith(":00:00.000000Z")
    assert operator.get("/api/v1/schedules").json()["schedules"] == [row]
    done = [each["do"] for each in web.daemon.asked if each["do"] != "events"]  # which are asked for anew as it pleases
    assert done[-1] == "schedules-changed"

    paused = operator.post("/api/v1/schedules/tuesdays/pause", json={}).json()
    assert (paused["paused"], paused["next"]) == (True, None)
    assert operator.post("/api/v1/schedules/tuesdays/resume", json={}).json() == row

    run = operator.post("/api/v1/schedules/tuesdays/run", json={}).json()["run"]
    told = [each for each in web.daemon.asked if each["do"] == "start"][-1]
    assert (told["monkey"], told["options"], told["for_s"]) == ("kong", {"region": "east"}, 60.0)
    web.daemon.finish(run)
    assert operator.get("/api/v1/schedules/tuesdays/dues").json() == {"dues": []}

    assert operator.delete("/api/v1/schedules/tuesdays").json() == {"removed": "tuesdays"}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/run")):
        body = {"json": {}} if method == "POST" else {}
        assert operator.request(method, f"/api/v1/schedules/tuesdays{path}", **body).status_code == 404
    audit = operator.get("/api/v1/audit", params={"limit": 9}).json()["audit"]
    told_in_audit = [(row["what"], row["who"], row["origin"]) for row in audit][:5]
    wanted = ["schedule remove", "run start", "schedule resume", "schedule pause", "schedule add"]
    assert told_in_audit == [(what, "api:anna", "127.0.0.1") for what in wanted]


def test_what_is_coming_is_told_with_its_die(operator: httpx.Client) -> None:
    operator.post("/api/v1/schedules", json=TUESDAYS)
    first = operator.get("/api/v1/coming", params={"days": 28}).json()
    again = operator.get("/api/v1/coming", params={"days": 28}).json()
    operator.delete("/api/v1/schedules/tuesdays")
    assert len(first["coming"]) == 4
    assert first == again
    assert {each["schedule"] for each in first["coming"]} == {"tuesdays"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"when": {"cron": "0 10 * *"}}, "cron"),
        ({"when": {"cron": 7}}, "cron"),
        ({"when": {"every_s": "60"}}, "every"),
        ({"when": {"every_s": -1}}, ""),
        ({"when": {"chance": {"mean_days": 0}}}, ""),
        ({"when": {"chance": "often"}}, ""),
        ({"when": {"at": "tomorrow"}}, ""),
        ({"when": {"never": 1}}, ""),
        ({"when": {}}, ""),
        ({"when": "daily"}, "when"),
        ({"zone": "Europe/Nowhere"}, ""),
        ({"zone": "../../etc/passwd"}, ""),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"calendar": {"hours": "25:00-26:00"}}, "calendar"),
        ({"calendar": {"days": ["mon"]}}, "calendar"),
        ({"calendar": {"holidays": "XX-YY"}}, "calendar"),
        ({"calendar": {"freezes": "/etc/passwd"}}, "freezes"),
        ({"calendar": {"moon": "full"}}, "moon"),
        ({"jitter_s": 1e9}, "jitter_s"),
        ({"misfire": "sometimes"}, "misfire"),
        ({"expires": "later"}, ""),
        ({"owner": "somebody else"}, "owner"),
        ({"declared": True}, "declared"),
        ({"experiment": "both"}, "monkey or experiment"),
    ],
)
def test_a_wrong_schedule_is_not_kept_and_told_why(operator: httpx.Client, wrong: dict[str, Any], told: str) -> None:
    answer = operator.post("/api/v1/schedules", json=TUESDAYS | wrong)
    assert answer.status_code == 400, answer.text
    assert told in " ".join(answer.json()["error"]["reasons"])
    assert operator.get("/api/v1/schedules").json() == {"schedules": [], "zone": "UTC"}


def test_a_name_that_is_taken_is_not_taken_again(operator: httpx.Client) -> None:
    assert operator.post("/api/v1/schedules", json=TUESDAYS).status_code == 201
    assert operator.post("/api/v1/schedules", json=TUESDAYS).status_code == 400
    operator.delete("/api/v1/schedules/tuesdays")


def test_rates_and_what_got_worse_are_told(web: Web, operator: httpx.Client) -> None:
    with open_history(web.daemon.history) as history:
        for day, verdict in enumerate(("held", "held", "broken")):
            at = records.moment(day * 86400.0)
            run = {"run": f"worse{day}", "monkey": "gorilla", "experiment": "a zone is lost", "verdict": verdict}
            history.store({**run, "started": at})
    rates = operator.get("/api/v1/rates", params={"since": "2026-11-01", "experiment": "a zone is lost"}).json()[
        "rates"
    ]
    assert [(rate["day"], rate["held"], rate["broken"], rate["share"]) for rate in rates] == [
        ("2026-11-21", 1, 0, 1.0),
        ("2026-11-22", 1, 0, 1.0),
        ("2026-11-23", 0, 1, 0.0),
    ]
    (worse,) = operator.get("/api/v1/worse").json()["worse"]
    assert (worse["experiment"], worse["held"], worse["broke"]) == ("a zone is lost", "worse1", "worse2")
