"""What guards are asked by: alerts that fire, from a small server that speaks Alertmanager's API v2; and a path."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from simian.errors import PluginError, UsageError
from simian.probe import Reading
from simian.probes import find_probe
from simian.probes.host import revealed


def look(settings: dict[str, Any], environment: dict[str, str] | None = None) -> Reading:
    """As a probe's process does it."""
    found = find_probe(settings)
    return found.read(revealed(found, found.bind(settings), environment or {}))


def alert(name: str, *, silenced: bool = False, inhibited: bool = False, **labels: str) -> dict[str, Any]:
    """As ``gettableAlert`` of the documented API: what is hushed names by what."""
    return {
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "…"},
        "receivers": [{"name": "on-call"}],
        "startsAt": "2026-11-22T10:00:00.000Z",
        "updatedAt": "2026-11-22T10:00:00.000Z",
        "endsAt": "2026-11-22T10:05:00.000Z",
        "fingerprint": name.ljust(16, "0"),
        "generatorURL": "http://prometheus/graph",
        "status": {
            "state": "suppressed" if silenced or inhibited else "active",
            "silencedBy": ["6a0b"] if silenced else [],
            "inhibitedBy": ["77aa"] if inhibited else [],
        },
    }


@dataclass
class Manager:
    """What is answered, and what was asked (path, query, headers)."""

    alerts: list[Any] = field(default_factory=list)
    status: int = 200
    body: bytes | None = None
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def manager() -> Iterator[Manager]:
    made = Manager()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((urlsplit(self.path).path, parse_qs(urlsplit(self.path).query), dict(self.headers)))
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(json.dumps(made.alerts).encode() if made.body is None else made.body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_alerts_that_fire_are_counted_and_named(manager: Manager) -> None:
    assert look({"alertmanager": manager.url}) == Reading(0.0, "no such alert fires")
    manager.alerts = [alert("Errors", severity="critical", job="web"), alert("Slow", severity="warning")]
    seen = look({"alertmanager": f"{manager.url}/behind/"})
    assert seen == Reading(2.0, "Errors (job=web, severity=critical), Slow (severity=warning)")
    path, query, headers = manager.asked[-1]
    assert path == "/behind/api/v2/alerts"
    assert query == {"active": ["true"], "silenced": ["false"], "inhibited": ["false"]}
    assert "Authorization" not in headers
    manager.alerts = [alert(f"A{number}") for number in range(9)]
    assert look({"alertmanager": manager.url}) == Reading(9.0, "A0, A1, A2 and 6 more")


def test_only_those_with_all_labels_count_whatever_the_server_makes_of_the_filter(manager: Manager) -> None:
    manager.alerts = [
        alert("Errors", severity="critical", team="web"),
        alert("Errors", severity="critical", team="db"),
        alert("Slow", severity="warning", team="web"),
    ]
    matching = {"severity": "critical", "team": "web"}
    assert look({"alertmanager": manager.url, "matching": matching}).value == 1.0
    assert manager.asked[-1][1]["filter"] == ['severity="critical"', 'team="web"']
    assert look({"alertmanager": manager.url, "matching": {"team": 'say "no"'}}).value == 0.0
    assert manager.asked[-1][1]["filter"] == ['team="say \\"no\\""']


def test_silenced_and_inhibited_alerts_do_not_count_and_one_nobody_looked_at_yet_does(manager: Manager) -> None:
    fresh = alert("Fresh")
    fresh["status"] = {"state": "unprocessed", "silencedBy": [], "inhibitedBy": []}
    manager.alerts = [alert("Hushed", silenced=True), alert("Implied", inhibited=True)]
    assert look({"alertmanager": manager.url}).value == 0.0
    manager.alerts.append(fresh)
    assert look({"alertmanager": manager.url}) == Reading(1.0, "Fresh")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>welcome</html>", "none of Alertmanager"),
        (200, b'{"status": "success", "data": []}', "none of Alertmanager"),
        (400, b'"bad matcher format"', "bad matcher format"),
        (503, b"[]", "none of Alertmanager"),
        (302, b"[]", "none of Alertmanager"),
        (200, b'[{"labels": {}}]', "no alert of API v2"),
        (200, b"[7]", "no alert of API v2"),
        (200, b"[" + b" " * (2 << 20) + b"]", "ask for fewer with matching"),
    ],
)
def test_anything_else_is_doubt(manager: Manager, status: int, body: bytes, said: str) -> None:
    manager.status, manager.body = status, body
    with pytest.raises(PluginError) as raised:
        look({"alertmanager": manager.url})
    assert said in str(raised.value)


def test_the_token_is_sent_and_never_told(manager: Manager) -> None:
    settings = {"alertmanager": manager.url, "token": {"env": "AM_TOKEN"}}
    assert look(settings, {"AM_TOKEN": "hunter2"}).value == 0.0
    assert manager.asked[-1][2]["Authorization"] == "Bearer hunter2"
    with pytest.raises(PluginError, match="cannot go into a header") as raised:
        look(settings, {"AM_TOKEN": "hunter2\nHost: elsewhere"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alertmanager": "ftp://127.0.0.1"}, "no address to ask"),
        ({"alertmanager": "http://me:hunter2@127.0.0.1"}, "password"),
        ({"alertmanager": "http://127.0.0.1:9093/?x=1"}, "goes on after its path"),
        ({"matching": {"1st": "x"}}, "'1st' is no label"),
        ({"matching": {"severity": 1}}, "1 is no text; put it in quotes"),
        ({"token": "hunter2"}, "a secret is never written down"),
    ],
)
def test_wrong_settings_are_refused_before_any_look(settings: dict[str, Any], said: str) -> None:
    whole = {"alertmanager": "http://127.0.0.1:9093", **settings}
    with pytest.raises(UsageError) as raised:
        find_probe(whole).bind(whole)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_link_local_addresses_are_not_asked() -> None:
    with pytest.raises(PluginError, match="do not ask"):
        look({"alertmanager": "http://169.254.169.254"})


def test_a_path_is_free_until_anything_is_there(tmp_path: Path) -> None:
    path = tmp_path / "no-chaos"
    assert look({"absent": str(path)}).value == 1.0
    path.symlink_to("nowhere")
    assert look({"absent": str(path)}).value == 0.0
    path.unlink()
    path.mkdir()
    assert look({"absent": str(path)}).value == 0.0
    with pytest.raises(PluginError, match="is not there either; make it, or mount it"):
        look({"absent": str(tmp_path / "not-mounted" / "no-chaos")})
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="Not a directory"):
        look({"absent": str(tmp_path / "file" / "no-chaos")})
