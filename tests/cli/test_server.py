"""Commands on a daemon elsewhere: the web process beside a small daemon, over real HTTP on loopback."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from simian.cli import server_events, server_watch
from simian.cli.globals import with_server
from simian.cli.look import topology_told
from simian.cli.main import HERE_ONLY
from simian.cli.monkeys import described
from simian.cli.serve_known import monkey_told
from simian.cli.server import Server, Token
from simian.cli.server_monkeys import monkeys_of
from simian.errors import UsageError
from simian.history import open_history, open_schedules
from simian.monkey import Monkey, find_monkeys
from simian.topology import Node, Topology

from ..report import records
from ..web.conftest import OPERATOR, READER, Web, serving
from .conftest import Answer, Call, Program

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving(tmp_path_factory.mktemp("there")) as opened:
        with open_history(opened.daemon.history) as history:
            history.store(records.held_gorilla())
            history.store(records.broken_chaos())
        yield opened


@pytest.fixture
def there(web: Web, call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """``there("status")``: asked of the daemon, with an operator's token from the environment."""
    monkeypatch.setenv("SIMIAN_SERVER", web.url)
    monkeypatch.setenv("SIMIAN_TOKEN", OPERATOR)
    monkeypatch.setattr(server_watch, "AGAIN_S", 0.05)
    (Path.cwd() / "simian.yaml").unlink()  # whatever is answered is not of here
    yield call
    for run in list(web.daemon.going):
        web.daemon.finish(run)


def wait_for(what: Any) -> Any:
    until = time.monotonic() + LIMIT_S
    while not (found := what()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return found


def meanwhile(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def finishing(web: Web, **facts: Any) -> threading.Thread:
    """Whatever run begins goes through a phase and a fault, and ends."""

    def work() -> None:
        run = wait_for(lambda: next(iter(web.daemon.going), None))
        web.daemon.advance(run, "baseline", 2.0)
        web.daemon.hurt(run, "members-east-a")
        web.daemon.finish(run, **facts)

    return meanwhile(work)


# --- looking


def test_status_is_told_in_the_shape_of_a_system_here(there: Call, web: Web) -> None:
    told = there("status", "--json")
    assert told.code == 0
    assert told.document == {"halted": None, "runs": [], "faults": [], "recover": False}
    assert there("status").out == "not halted\nno run, no fault in place\n"


def test_the_line_goes_before_the_environment(call: Call, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMIAN_SERVER", "http://127.0.0.1:9")
    assert call("status", "--server", web.url, "--json").code == 0
    assert call("status", f"--server={web.url}").out.startswith("not halted")


def test_topology_looks_the_same_from_here_and_from_there(
    call: Call, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one shape there is one picture: what the daemon says is what the command here would have said."""
    here, document = call("topology").out, call("topology", "--json").document
    monkeypatch.setattr(web.daemon, "_topology", _answering(document))
    time.sleep(2.1)  # the web process keeps one for two seconds
    assert call("topology", "--server", web.url).out == here
    assert call("topology", "--server", web.url, "--json").document == document


def _answering(document: Any) -> Any:
    async def answer(question: Any) -> Any:
        return document

    return answer


def test_a_node_of_no_region_is_told_as_well() -> None:
    nodes = (Node("web-a", "web", "east", "east-a"), Node("queue", "queue", "east"), Node("lost", "web", ""),
             Node("proxy", "proxy", "east", "east-z", role="instrument"))  # fmt: skip
    told = topology_told(Topology("shop", nodes))
    assert [zone["nodes"][0]["name"] for zone in told["regions"][0]["zones"]] == ["web-a"]
    assert [node["name"] for node in told["regions"][0]["regional"]] == ["queue"]
    assert {(node["name"], node["region"], node["zone"]) for node in told["elsewhere"]} == {
        ("lost", "", None),
        ("proxy", "east", "east-z"),
    }


@pytest.mark.parametrize("format", ["text", "md", "json", "junit"])
def test_a_report_is_that_of_the_history_there(
    format: str, there: Call, web: Web, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = records.held_gorilla()["run"]
    told = there("report", run, "--format", format)
    assert told.code == 0, told.err
    config = tmp_path / "simian.yaml"
    config.write_text(f"system: lab\nhistory: {web.daemon.history}\nplatform: {{driver: memory}}\n")
    monkeypatch.delenv("SIMIAN_SERVER")
    assert told.out == call("report", run, "--format", format, "--config", str(config)).out


def test_a_report_is_written_here(there: Call, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert there("report", "last", "-o", str(file), "--json").document == {"written": str(file)}
    assert file.read_text().startswith("<!doctype html>")


def test_two_runs_are_compared(there: Call) -> None:
    first, second = records.held_gorilla()["run"], records.broken_chaos()["run"]
    told = there("compare", first, second, "--json").document
    assert (told["first"]["run"], told["second"]["run"], told["change"]) == (first, second, "worse")


def test_history_has_its_filters_and_its_cursor(there: Call) -> None:
    told = there("history", "--json", "--limit", "1").document
    assert set(told["runs"][0]) == {"run", "monkey", "started", "outcome", "verdict", "recovery", "seed"}
    following = there("history", "--json", "--limit", "1", "--after", told["next"]).document
    assert following["runs"] != told["runs"]
    broken = there("history", "--json", "--verdict", "broken").document["runs"]
    assert {run["verdict"] for run in broken} == {"broken"}
    assert there("history", "--json", "--since", "2100-01-01").document["runs"] == []


def test_experiments_are_those_there(there: Call) -> None:
    told = there("experiments", "--json").document["experiments"]
    assert [set(one) for one in told] == [{"name", "monkey", "hypothesis"}]
    assert there("experiments", "show", told[0]["name"]).out.startswith("experiment: members survive")
    missing = there("experiments", "show", "nothing")
    assert (missing.code, "it has: members-survive-a-lost-node" in missing.err) == (2, True)


def test_monkeys_there_are_commands_with_their_options(there: Call, web: Web) -> None:
    told = there("monkeys", "--json").document
    assert [one["name"] for one in told["monkeys"]][:2] == ['<img src=x onerror="document.title=1">', "chaos"]
    assert told["broken"] == [{"origin": "chaos/broken.py", "why": "NameError: name 'topolgy' is not defined"}]
    shown = there("chaos", "--help").out
    assert [option for option in ("--service", "--count", "--node", "--hard", "--how") if option not in shown] == []
    assert "no command or monkey is called 'chaoss'" in there("chaoss").err


def test_a_monkey_is_described_from_there_as_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_monkeys().monkeys
    told = {"monkeys": [json.loads(json.dumps(monkey_told(monkey))) for monkey in found.values()], "broken": []}
    server = Server("http://127.0.0.1:9")
    monkeypatch.setattr(server, "get", lambda tail: told)
    again = monkeys_of(server).monkeys
    for name, monkey in found.items():
        assert described(again[name]) == described(monkey)
        assert kinds_of(again[name]) == kinds_of(monkey)


def kinds_of(monkey: Monkey) -> dict[str, Any]:
    """Of each option, what its value is when it is given."""
    told = {}
    for name, option in monkey.options.items():
        parts = [part for part in get_args(option.annotation) if part is not type(None)]
        optional = type(None) in get_args(option.annotation)
        told[name] = parts[0] if optional else option.annotation
    return told


# --- runs


def test_a_plan_is_made_there_and_nothing_is_started(there: Call, web: Web) -> None:
    told = there("chaos", "--plan", "--json", "--seed", "7").document["plan"]
    assert (told["seed"], told["hash"]) == (7, "90ab6b1fb2d34c77")
    text = there("chaos", "--plan", "--for", "5s").out
    assert text.startswith("chaos with seed")
    assert "kill members-east-a" in text
    assert "for 5 s; plan 90ab6b1fb2d34c77" in text
    assert web.daemon.going == {}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, 0),
        ({"verdict": "broken"}, 1),
        ({"outcome": "aborted", "verdict": "unknown"}, 4),
        ({"outcome": "refused", "verdict": "unknown", "reasons": ["outside the calendar"]}, 3),
        ({"recovery": "stuck"}, 5),
    ],
)
def test_a_run_is_watched_to_its_end_and_the_exit_code_says_how(
    facts: dict[str, Any], code: int, there: Call, web: Web
) -> None:
    end = finishing(web, **facts)
    told = there("chaos", "--count", "2", "--seed", "7", "--note", "from elsewhere", "--for", "5s")
    end.join(LIMIT_S)
    assert told.code == code, told.err
    asked = next(each for each in reversed(web.daemon.asked) if each["do"] == "start")
    assert (asked["monkey"], asked["options"], asked["seed"], asked["for_s"]) == ("chaos", {"count": 2}, 7, 5.0)
    assert (asked["by"], asked["note"], asked["plan_hash"]) == ("api:anna", "from elsewhere", "90ab6b1fb2d34c77")
    assert "baseline" in told.err
    assert "kill members-east-a: injected" in told.err


def test_a_run_tells_its_record_to_programs(there: Call, web: Web) -> None:
    end = finishing(web)
    told = there("chaos", "--json")
    end.join(LIMIT_S)
    assert (told.code, told.document["verdict"], told.err) == (0, "held", "")
    assert told.document == there("report", told.document["run"], "--json").document


def test_a_run_that_was_refused_before_it_began_exits_as_here(there: Call, web: Web) -> None:
    def refuse() -> None:
        run = wait_for(lambda: next(iter(web.daemon.going), None))
        web.daemon.emit("refused", run, kind="usage", reasons=["streams start: the variable PROM_TOKEN is not set"])
        web.daemon.emit("ended", run, exit=2)

    thread = meanwhile(refuse)
    told = there("chaos")
    thread.join(LIMIT_S)
    assert told.code == 2
    assert "error: streams start: the variable PROM_TOKEN is not set" in told.err


def test_a_halted_system_refuses(there: Call) -> None:
    assert there("halt", "release", "--json").document == {"halted": "release", "ended": [], "stuck": []}
    told = there("chaos", "--json")
    assert (told.code, told.document["error"]["kind"]) == (3, "refused")
    assert there("resume", "--json").document == {"resumed": True}
    assert there("resume").out == "nothing was halted\n"


def test_a_region_of_a_system_elsewhere_is_not_taken_without_asking(
    there: Call, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = web.daemon._plan

    async def wide(question: Any) -> Any:
        told = await plan(question)
        return {**told, "plan": {**told["plan"], "radius": "region"}}

    monkeypatch.setattr(web.daemon, "_plan", wide)
    told = there("chaos")
    assert told.code == 3
    assert "there is nobody to ask, so say --yes" in told.err
    assert web.daemon.going == {}


def test_abort_waits_for_the_end(there: Call, web: Web) -> None:
    with web.client(OPERATOR) as client:
        run = client.post("/api/v1/runs", json={"monkey": "chaos"}).json()["run"]
    told = there("abort", run[:6] if len(web.daemon.going) == 1 else run, "--json")
    assert (told.code, told.document) == (0, {"run": run, "ended": True})
    missing = there("abort", "nothing")
    assert (missing.code, "no run that goes on is called 'nothing'" in missing.err) == (2, True)


def process(shop: Program, web: Web, *line: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "simian", *line],
        cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        env=shop.environment | {"SIMIAN_SERVER": web.url, "SIMIAN_TOKEN": OPERATOR} | environment,
    )  # fmt: skip


def test_ctrl_c_asks_for_the_end_there_and_waits_for_the_story(shop: Program, web: Web) -> None:
    started = process(shop, web, "chaos", "--json")
    run = wait_for(lambda: next(iter(web.daemon.going), None))
    wait_for(lambda: any(each["do"] == "start" for each in web.daemon.asked))
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 4, err
    assert json.loads(out)["outcome"] == "aborted"
    assert f"SIGINT: the end of run {run} was asked for at {web.url}" in err
    asked = next(each for each in reversed(web.daemon.asked) if each["do"] == "abort")
    assert asked["reason"] == "SIGINT at the command"


def test_a_daemon_that_dies_amid_a_watch_is_looked_for_and_then_given_up(
    shop: Program, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_watch, "LOST_LIMIT_S", 0.5)
    monkeypatch.setattr(server_watch, "AGAIN_S", 0.05)
    monkeypatch.setenv("SIMIAN_TOKEN", OPERATOR)
    folder = tmp_path / "dies"
    folder.mkdir()
    real, watched = server_events.events, threading.Event()

    def heard(*given: Any) -> Iterator[Any]:
        for event in real(*given):
            watched.set()
            yield event

    monkeypatch.setattr(server_events, "events", heard)
    with serving(folder) as web:

        def die() -> None:
            assert watched.wait(LIMIT_S)
            web.process.kill()

        thread = meanwhile(die)
        told = call("chaos", "--server", web.url)
        thread.join(LIMIT_S)
        run = next(iter(web.daemon.going))
    assert told.code == 4
    assert "the run is looked for again" in told.err
    assert f"nothing was heard of run {run}" in told.err
    assert f"simian report {run} --server {web.url}" in told.err


def test_a_watch_that_was_cut_goes_on_where_it_was(there: Call, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stream ends after one event; the next begins after it, and nothing is told twice."""
    real, afters = server_events.events, []

    def cut(service: Any, tail: str, refused: Any) -> Iterator[Any]:
        afters.append(int(tail.rpartition("after=")[2]))
        for event in real(service, tail, refused):
            yield event
            if event is not None and len(afters) == 1:
                raise server_events.Unreachable("cut")

    monkeypatch.setattr(server_events, "events", cut)

    def end() -> None:
        run = wait_for(lambda: next(iter(web.daemon.going), None))
        wait_for(lambda: len(afters) > 1)
        web.daemon.hurt(run, "members-east-a")
        web.daemon.finish(run)

    thread = meanwhile(end)
    told = there("chaos")
    thread.join(LIMIT_S)
    assert told.code == 0, told.err
    assert afters[0] == 0 < afters[1]
    assert told.err.count("kill members-east-a: injected") == 1


# --- schedules


def test_a_schedule_is_added_shown_paused_and_removed(there: Call, web: Web) -> None:
    line = ("schedule", "add", "chaos", "--count", "2", "--cron", "0 10 * * tue", "--seed", "7", "--json")
    added = there(*line).document["schedule"]
    assert (added["name"], added["options"], added["zone"]) == ("chaos-1", {"count": 2}, "UTC")
    assert added["owner"] == "anna"
    assert added["next"] is not None
    assert there("schedule", "list", "--json").document == {"schedules": [added]}
    assert there("schedule", "show", "chaos-1", "--json").document == {"schedule": added, "dues": []}
    assert there("schedule", "pause", "chaos-1").out == "schedule chaos-1 is paused\n"
    assert there("schedule", "resume", "chaos-1", "--json").document["schedule"]["paused"] is False
    assert there("schedule", "remove", "chaos-1", "--json").document == {"removed": "chaos-1"}
    missing = there("schedule", "show", "chaos-1")
    assert (missing.code, "chaos-1" in missing.err) == (2, True)
    with open_schedules(web.daemon.history) as store:
        noted = [note["what"] for note in store.notes(before=None, limit=4)]
    assert noted == ["schedule remove", "schedule resume", "schedule pause", "schedule add"]


def test_a_preview_has_targets(there: Call) -> None:
    told = there("schedule", "preview", "--days", "7", "--json").document
    assert set(told) == {"topology_hash", "days", "coming", "more"}
    assert told["coming"][0]["targets"] == ["members-east-a"]


# --- what cannot be, and who may not


@pytest.mark.parametrize("name", sorted(HERE_ONLY))
def test_what_makes_no_sense_elsewhere_says_what_to_do(name: str, there: Call) -> None:
    told = there(name)
    assert told.code == 2
    assert f"error: simian {name} cannot be asked of http://" in told.err
    assert "leave --server out (and unset SIMIAN_SERVER)" in told.err
    assert there(name, "--help").code == 0


@pytest.mark.parametrize(
    "line",
    [("history", "prune", "--keep", "1d"), ("report", "--week"), ("experiments", "schema"),
     ("traffic", "show", "--for", "9s"),
     ("status", "--config", "simian.yaml"), ("schedule", "add", "chaos", "--every", "6h", "--owner", "bob")],
    ids=" ".join,
)  # fmt: skip
def test_parts_of_commands_that_are_of_here_are_refused(line: tuple[str, ...], there: Call) -> None:
    told = there(*line, "--json")
    assert (told.code, told.document["error"]["kind"]) == (2, "usage")


def test_a_file_of_this_machine_is_not_run_there(there: Call, web: Web) -> None:
    Path("mine.yaml").write_text("experiment: mine\n")
    told = there("run", "mine.yaml")
    assert (told.code, "is a file of this machine" in told.err) == (2, True)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "SIMIAN_TOKEN"),
        ("wrong one of nobody", "the token is none of this system's"),
        (READER, "takes an operator"),
    ],
    ids=["none", "wrong", "reader"],
)
def test_who_may_not_is_told_why_and_where_the_token_came_from(
    token: str, said: str, there: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMIAN_TOKEN", token)
    told = there("halt", "because")
    assert told.code == 2
    assert said in told.err
    assert "SIMIAN_TOKEN" in told.err
    assert not token or token not in told.err


def test_a_token_may_be_in_a_file(there: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SIMIAN_TOKEN")
    (file := tmp_path / "token").write_text(f"{OPERATOR}\n")
    assert there("resume", "--token-file", str(file)).code == 0
    assert there("resume", "--token-file", str(tmp_path / "none")).code == 2


def test_nobody_there_is_unreachable(call: Call) -> None:
    told = call("status", "--server", "http://127.0.0.1:9", "--json")
    assert (told.code, told.document["error"]["kind"]) == (4, "unreachable")


def test_a_daemon_that_is_away_is_unreachable(there: Call, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(question: Any) -> Any:
        raise OSError("gone")

    monkeypatch.setattr(web.daemon, "_status", away)
    assert there("status").code == 4


@pytest.mark.parametrize(
    "url",
    [
        "chaos.example",
        "ftp://chaos.example",
        "http://anna:secret-word@127.0.0.1:1",
        "http://127.0.0.1:1/?x=1",
        "http://[::1",
    ],
)
def test_an_address_that_will_not_do_is_usage(url: str, call: Call) -> None:
    told = call("status", "--server", url)
    assert told.code == 2
    assert "secret-word" not in told.err


def test_a_token_does_not_travel_in_clear_unless_it_may() -> None:
    token = Token("sesame", "SIMIAN_TOKEN")
    with pytest.raises(UsageError, match="would travel in clear"):
        Server("http://chaos.example:8480", token)
    for url in ("https://chaos.example", "http://127.0.0.1:8480", "http://localhost:8480", "http://[::1]:8480"):
        assert Server(url, token).url == url
    assert Server("http://chaos.example:8480", token, insecure=True)
    assert Server("http://chaos.example:8480"), "who only looks shows no token"
    assert "sesame" not in repr(token)


def test_options_about_a_server_need_one() -> None:
    from simian.cli.globals import Globals

    for settings in (Globals(insecure=True), Globals(token_file="token")):
        with pytest.raises(UsageError, match="none is named"):
            with_server(settings, {})
    assert with_server(Globals(insecure=True), {"SIMIAN_SERVER": "http://x"}).server == "http://x"
    assert with_server(Globals(config="simian.yaml"), {"SIMIAN_SERVER": ""}).server is None


def test_help_loads_no_client(nowhere: Program) -> None:
    answer: Answer = nowhere("--help", python=("-X", "importtime"), SIMIAN_SERVER="http://127.0.0.1:9")
    assert answer.code == 0
    assert "http.client" not in answer.err
