"""Notifications as people meet them: in simian.yaml, and beside a run that does not wait for them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from simian.cli import herald as heralds
from simian.cli.context import load_system
from simian.cli.globals import Globals
from simian.cli.herald import Herald
from simian.history import open_history
from simian.history.outbox import SENT
from simian.monkey import find_monkeys
from simian.request import RunRequest
from simian.simulation import Simulation

from .conftest import MEMORY, Call, Program

PATIENCE_S = 120.0
GOOD = """\
notify:
  - {webhook: https://hooks.example/x, secret: {env: HOOK_SECRET}, on: [verdict, stuck, missed], deadline: 5s}
  - {webhook: {file: hook}}
  - {command: [./tell, --loud]}
  - {apprise: {env: APPRISE_URL}}
"""
BASELINE = {"event": "phase", "phase": "baseline", "for_s": 15.0}


@pytest.fixture
def system(shop: Program, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("SIMIAN_STATE", shop.environment["SIMIAN_STATE"])
    return lambda: load_system(Globals())


def test_channels_are_read_with_paths_beside_the_file(shop: Program, call: Call, system: Any) -> None:
    shop.file("simian.yaml", MEMORY + GOOD)
    assert call("validate", "simian.yaml").code == 0
    made = json.loads(json.dumps(system().config.notify_settings()))
    folder = os.path.realpath(shop.folder)
    assert [sorted(one.keys() - {"on", "deadline_s"}) for one in made] == [
        ["secret", "webhook"], ["webhook"], ["command"], ["apprise"],
    ]  # fmt: skip
    assert (made[0]["on"], made[0]["deadline_s"]) == (["verdict", "stuck", "missed"], 5.0)
    assert made[1]["webhook"] == {"file": f"{folder}/hook"}
    assert made[2]["command"] == [f"{folder}/tell", "--loud"]
    assert "started" in made[3]["on"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{}", "notify.0: a channel is one thing; right would be {webhook: URL}"),
        ("{webhook: 'http://x/', command: [a]}", "notify.0: a channel is one thing"),
        ("{webhok: 'http://hunter2/'}", "notify.0.webhok: unknown key; did you mean 'webhook'?"),
        ("{webhook: 'ftp://hunter2/'}", "notify.0.webhook: is no address; right would be https://host/path"),
        ("{webhook: 'http://me:hunter2@x/'}", "notify.0.webhook: is no address, or has a password in it"),
        ("{webhook: 'http://x/', secret: hunter2}", "notify.0.secret: a secret is never written down"),
        ("{webhook: 'http://x/', secret: [hunter2]}", "notify.0.secret: a secret is never written down"),
        ("{command: [a], secret: {env: A}}", "notify.0.secret: signs webhooks only"),
        ("{command: []}", "notify.0.command: is empty"),
        ("{command: a}", "notify.0.command: 'a' is wrong; right would be a list"),
        ("{apprise: hunter2}", "notify.0.apprise: is no address"),
        ("{command: [a], on: []}", "notify.0.on: is empty, so that nothing would be told; there are: started"),
        ("{command: [a], on: [verdicts]}", "notify.0.on.0"),
        ("{command: [a], deadline: 10m}", "notify.0.deadline"),
        ("{command: [a]}, {command: [a], on: [stuck]}", "notify.1: is there twice"),
    ],
)
def test_a_wrong_channel_says_where_and_shows_no_secret(wrong: str, said: str, shop: Program, call: Call) -> None:
    shop.file("simian.yaml", f"{MEMORY}notify: [{wrong}]\n")
    answer = call("validate", "simian.yaml")
    assert answer.code == 2
    assert said in answer.err
    assert f"simian.yaml:{MEMORY.count(chr(10)) + 1}: " in answer.err
    assert "hunter2" not in answer.err


def test_the_schema_knows_channels(call: Call) -> None:
    channel = json.loads(call("experiments", "schema", "config").out)["$defs"]["NotifyPart"]["properties"]
    assert set(channel) == {"webhook", "command", "apprise", "secret", "on", "deadline"}
    assert channel["on"]["items"]["enum"] == ["started", "aborted", "verdict", "stuck", "refused", "missed"]


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x", got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    while heralds._left:
        process = heralds._left.pop()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def until(seen: Any) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_start_is_told_by_a_process_that_nobody_waits_for(
    shop: Program, system: Any, receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = receiver
    shop.file("simian.yaml", f"{MEMORY}notify: [{{webhook: '{url}'}}]\n")
    here = system()
    herald = Herald(here)
    request = RunRequest("r1", "shop", 7, {}, str(here.state.path), monkey="gorilla")
    herald.hear(request, {"event": "phase", "phase": "preflight", "for_s": None})
    assert not heralds._left, "nothing has begun yet"
    herald.hear(request, BASELINE)
    herald.hear(request, BASELINE)  # begun anew: told once
    until(lambda: got)
    assert [process.wait(PATIENCE_S) for process in heralds._left] == [0, 0]
    assert [one["sentence"] for one in got] == ["STARTED: gorilla on shop, run r1."]
    assert herald.problems == []
    with open_history(here.history_place) as history:
        assert [(one.state, one.run, one.event) for one in history.outbox.page()] == [(SENT, "r1", "started")]


def test_without_channels_nothing_is_started(shop: Program, system: Any) -> None:
    herald = Herald(system())
    herald.hear(RunRequest("r1", "shop", 7, {}, "x"), BASELINE)
    herald.tell_ends()
    assert (heralds._left, herald.problems) == ([], [])


def test_a_history_that_is_away_delays_nothing_and_is_told_by_the_next_run(
    shop: Program, system: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no-folder").write_text("")
    shop.file("simian.yaml", f"{MEMORY}history: {tmp_path}/no-folder/h.db\nnotify: [{{command: ['true']}}]\n")
    here = system()
    herald = Herald(here)
    herald.hear(RunRequest("r1", "shop", 7, {}, str(here.state.path), monkey="gorilla"), BASELINE)
    assert herald.problems == []
    spool = herald._spool
    until(lambda: spool.why_not)
    for process in heralds._left:
        process.kill()
    [warning] = Herald(here).problems
    assert warning.startswith("1 notifications were not sent yet: history ")
    assert warning.endswith("; this run tries again")


def test_a_spool_that_cannot_be_written_is_a_warning(shop: Program, system: Any) -> None:
    shop.file("simian.yaml", f"{MEMORY}notify: [{{command: ['true']}}]\n")
    here = system()
    here.state.path.mkdir(parents=True, exist_ok=True)
    (here.state.path / "notify").write_text("no folder")
    herald = Herald(here)
    herald.hear(RunRequest("r1", "shop", 7, {}, str(here.state.path), monkey="gorilla"), BASELINE)
    assert "nobody could be told of this run" in herald.problems[0]


def test_an_address_of_apprise_in_the_clear_is_a_warning_that_does_not_show_it(shop: Program, system: Any) -> None:
    shop.file("simian.yaml", f"{MEMORY}notify: [{{apprise: 'slack://hunter2/x'}}]\n")
    [warning] = Herald(system()).problems
    assert "notify.0.apprise holds its secrets in the clear; right would be {env: NAME}" in warning
    assert "hunter2" not in warning


def test_a_run_does_not_import_what_sends(shop: Program) -> None:
    program = "import sys, simian.cli.start; sys.exit('apprise' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_end_is_told_once_in_the_words_of_its_report_also_by_a_later_command(
    shop: Program, system: Any, receiver: tuple[str, list[dict[str, Any]]], call: Call
) -> None:
    url, got = receiver
    shop.file("simian.yaml", f"{MEMORY}notify: [{{webhook: '{url}', on: [verdict, refused]}}]\n")
    here = system()
    gorilla = find_monkeys().get("gorilla")
    for run, asked in {"r1": {}, "r2": {"limits": {"radius": "node"}}}.items():  # the second is refused: not begun
        Simulation.seeded(3, journal=here.journal()).run(gorilla, run=run, baseline_s=5.0, for_s=6.0, **asked)
    herald = Herald(here)
    herald.tell_ends()
    herald.tell_ends()
    until(lambda: got)
    assert {process.wait(PATIENCE_S) for process in heralds._left} == {0}
    assert [(one["run"], one["event"], one["recovery"]) for one in got] == [("r1", "verdict", "clean")]
    assert got[0]["sentence"].startswith(("HELD: gorilla on memory. ", "UNKNOWN: gorilla on memory. "))
    assert call("history").code == 0, "whose command died is told of by the next that looks back"
    assert len(got) == 1
    assert here.journal().unfed() == []
