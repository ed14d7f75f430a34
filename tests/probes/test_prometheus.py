"""The prometheus probe: against a server of the test that answers anything, and against a real Prometheus."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from simian.errors import PluginError, UsageError
from simian.guards import Guard
from simian.probe import CheckReading, Reading
from simian.probes import find_probe
from simian.probes.host import revealed

from ..real_parts import part_missing

PATIENCE_S = 60.0


def look(settings: dict[str, Any], environment: dict[str, str] | None = None) -> Reading:
    """As a probe's process does it."""
    found = find_probe(settings)
    return found.read(revealed(found, found.bind(settings), environment or {}))


@dataclass
class Site:
    """What is answered (status, headers, body), and what was asked."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    before: Callable[[str], None] = lambda path: None

    def answer(self, result: object, kind: str = "vector") -> None:
        self.body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, dict(self.headers)))
            made.before(self.path)
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(made.body)

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


def element(value: str, at_s: float | None = None, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [time.time() if at_s is None else at_s, value]}


def test_a_vector_of_one_and_a_scalar_are_a_number(site: Site) -> None:
    site.answer([element("12.5", instance="web-1", job="web")])
    assert look({"prometheus": "up", "url": site.url}) == Reading(12.5, "instance=web-1, job=web")
    site.answer([time.time(), "3"], "scalar")
    assert look({"prometheus": "scalar(up)", "url": f"{site.url}/behind/"}).value == 3.0
    path, headers = site.asked[-1]
    assert urlsplit(path).path == "/behind/api/v1/query"
    assert parse_qs(urlsplit(path).query) == {"query": ["scalar(up)"], "timeout": ["10s"]}
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("result", "kind", "said"),
    [
        (lambda: [], "vector", "gave nothing: no such series"),
        (lambda: [element("1"), element("2")], "vector", "gave 2 numbers; right would be one: put sum"),
        (lambda: [element("NaN")], "vector", "nan"),
        (lambda: [element("+Inf")], "vector", "inf"),
        (lambda: [element("much")], "vector", "no number with its time"),
        (lambda: [element("1", at_s=time.time() - 600)], "vector", "s old by this machine's clock"),
        (lambda: [{"metric": {}, "histogram": [0, {}]}], "vector", "a histogram"),
        (lambda: [{"metric": {}, "values": []}], "matrix", "gives a matrix"),
        (lambda: [0, "words"], "string", "gives a string"),
        (lambda: None, "scalar", "no number with its time"),
    ],
)
def test_anything_else_is_no_number_and_says_why(
    site: Site, result: Callable[[], object], kind: str, said: str
) -> None:
    site.answer(result(), kind)  # now: a list of cases is read long before its tests are run
    with pytest.raises(PluginError) as raised:
        look({"prometheus": "up", "url": site.url})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            400,
            b'{"status": "error", "errorType": "bad_data", "error": "parse error at 1"}',
            "bad_data: parse error at 1",
        ),
        (200, b"<html>welcome</html>", "none of Prometheus"),
        (502, b"", "none of Prometheus"),
        (200, b'{"data": "' + b"x" * (2 << 20), "larger than 1048576 bytes"),
        (200, b"[]", "none of Prometheus"),
    ],
)
def test_a_server_that_answers_otherwise_is_told(site: Site, status: int, body: bytes, said: str) -> None:
    site.status, site.body = status, body
    with pytest.raises(PluginError) as raised:
        look({"prometheus": "up", "url": site.url})
    assert said in str(raised.value)


def test_a_limit_of_age_is_asked_of_servers_that_know_it_and_never_left_out_in_silence(site: Site) -> None:
    settings = {"prometheus": "up", "url": site.url, "max_age": "30s"}
    site.answer([element("1")])
    with pytest.raises(PluginError, match="max_age: this server cannot limit it"):
        look(settings)

    def knows(path: str) -> None:
        limit = parse_qs(urlsplit(path).query)["lookback_delta"]
        site.status = 200 if limit == ["30s"] else 400

    site.before = knows
    assert look(settings).value == 1.0
    assert look(settings).value == 1.0
    limits = [parse_qs(urlsplit(path).query)["lookback_delta"][0] for path, _ in site.asked[1:]]
    assert limits == ["unlimited", "30s", "30s"], "that it knows the limit is asked once"


def test_the_token_goes_to_its_host_only_and_into_no_reading(site: Site) -> None:
    settings = {"prometheus": "up", "url": site.url, "token": {"env": "PROM_TOKEN"}}
    site.answer([element("1")])
    assert look(settings, {"PROM_TOKEN": "hunter2"}).value == 1.0
    assert site.asked[-1][1]["Authorization"] == "Bearer hunter2"
    site.status, site.headers = 302, {"Location": site.url.replace("127.0.0.1", "localhost") + "/elsewhere"}
    with pytest.raises(PluginError) as raised:
        look(settings, {"PROM_TOKEN": "hunter2"})
    assert "hunter2" not in str(raised.value)
    assert not any(path == "/elsewhere" for path, _ in site.asked)
    with pytest.raises(PluginError, match="cannot go into a header") as raised:
        look(settings, {"PROM_TOKEN": "hunter2\nHost: elsewhere"})
    assert "hunter2" not in str(raised.value)
    with pytest.raises(UsageError, match="PROM_TOKEN is not set"):
        look(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prometheus": "  "}, "an empty query"),
        ({"url": "ftp://127.0.0.1"}, "no address to ask"),
        ({"url": "http://me:hunter2@127.0.0.1"}, "password"),
        ({"url": "http://127.0.0.1:9090/?x=1"}, "goes on after its path"),
        ({"max_age": "long"}, "max_age"),
        ({"max_age": "0s"}, "no number is younger"),
        ({"token": "hunter2"}, "right would be {env: NAME} or {file: PATH}"),
        ({"tokn": {"env": "X"}}, "did you mean 'token'?"),
    ],
)
def test_wrong_settings_are_refused_before_any_look(settings: dict[str, Any], said: str) -> None:
    whole = {"prometheus": "up", "url": "http://127.0.0.1:9090", **settings}
    with pytest.raises(UsageError) as raised:
        find_probe(whole).bind(whole)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_link_local_addresses_are_not_asked() -> None:
    with pytest.raises(PluginError, match="do not ask"):
        look({"prometheus": "up", "url": "http://169.254.169.254"})


CONFIGURATION = """\
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
  - {job_name: web, static_configs: [{targets: ["TARGET"]}]}
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
def prometheus(tmp_path: Path, site: Site) -> Iterator[str]:
    """A real one that scrapes the site five times a second."""
    program = shutil.which("prometheus")
    if program is None:
        part_missing("prometheus", "it is not on PATH; install Debian's package prometheus")
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION.replace("TARGET", site.url.removeprefix("http://")))
    address = f"127.0.0.1:{free_port()}"
    words = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *words, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def within_patience(seen: Callable[[], object], told: object) -> None:
    until = time.monotonic() + PATIENCE_S
    found: object = None
    while time.monotonic() < until:
        try:
            if (found := seen()) == told:
                return
        except PluginError as error:
            if (found := str(error)) and isinstance(told, str) and told in found:
                return
        time.sleep(0.05)
    raise AssertionError(f"{found!r}, not {told!r}, for {PATIENCE_S:g} s")


@pytest.mark.slow
def test_a_real_prometheus_tells_what_it_scraped_and_nothing_of_what_is_stale_or_old(
    site: Site, prometheus: str
) -> None:
    now_ms = int(time.time() * 1000)
    old = f"old_total 9 {now_ms - 60_000}\nancient_total 9 {now_ms - 900_000}\n".encode()
    site.body = b'requests_total{way="a"} 40\nrequests_total{way="b"} 2\n' + old

    def value(query: str, **more: str) -> float:
        return look({"prometheus": query, "url": prometheus, **more}).value

    within_patience(lambda: value("sum(requests_total)"), 42.0)
    assert value("scalar(sum(requests_total)) / 2") == 21.0
    for query, said in [
        ("requests_total", "gave 2 numbers"),
        ("no_such_total", "gave nothing"),
        ("sum(requests_total) / 0 * 0", "nan"),
        ("requests_total[1m]", "gives a matrix"),
        ("sum(", "bad_data"),
    ]:
        with pytest.raises(PluginError) as raised:
            value(query)
        assert said in str(raised.value)
    assert value("old_total") == 9.0
    for query in ("last_over_time(old_total[30s])", "ancient_total"):
        with pytest.raises(PluginError, match="stale or too old"):
            value(query)
    with pytest.raises(PluginError, match=r"stale or too old|cannot limit it"):  # by its version
        value("old_total", max_age="30s")
    site.body = b'requests_total{way="a"} 50\n'
    within_patience(lambda: value("sum(requests_total)"), 50.0)
    site.status = 503  # a target that is gone: its series end at once
    within_patience(lambda: value("sum(requests_total)"), "gave nothing")


@pytest.mark.slow
def test_a_guard_over_a_real_prometheus_is_shut_by_a_number_by_doubt_and_by_silence(
    site: Site, prometheus: str
) -> None:
    site.body = b"errors 0\n"

    def said(query: str) -> str:
        guard = Guard.of({"prometheus": query, "url": prometheus, "tolerance": "<= 0"})
        try:
            value, detail = look(dict(guard.check.probe)).value, ""
        except PluginError as error:
            value, detail = None, str(error)
        return guard.why_not(CheckReading(guard.check.name, time.time(), value, detail=detail))

    within_patience(lambda: said("errors"), "")
    assert "could not be asked" in said("no_such_errors")
    assert "gave nothing" in said("no_such_errors")
    assert "nan" in said("errors / 0")
    site.body = b"errors 3\n"
    within_patience(lambda: said("errors"), "guard: errors is 3; right would be <= 0")
    site.status = 503  # the target is gone, and its series with it
    within_patience(lambda: "gave nothing" in said("errors"), True)
