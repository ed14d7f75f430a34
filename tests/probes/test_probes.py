"""The probes that come with simian."""

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import NormalDist

import pytest

from simian.errors import PluginError, UsageError
from simian.probe import Reading
from simian.probes import built_in, find_probe, find_probes
from simian.probes.command import run
from simian.probes.dns import query, resolves
from simian.probes.http import ask, connect
from simian.probes.python import call
from simian.probes.tcp import accepts
from simian.probes.users import users, users_metric


class Handler(BaseHTTPRequestHandler):
    elsewhere = ""
    body = b"all is well"
    late = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/late":
            self.late.wait(60.0)
            return
        status, _, where = self.path.strip("/").partition("/")
        self.send_response(int(status))
        if where:
            self.send_header("Location", self.elsewhere if where == "elsewhere" else f"/{where}")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Handler.elsewhere = f"http://localhost:{made.server_port}/200"
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("path", "options", "value"),
    [
        ("/200", {}, 1.0),
        ("/503", {}, 0.0),
        ("/503", {"expect": 503}, 1.0),
        ("/200", {"contains": "well"}, 1.0),
        ("/200", {"contains": "ill"}, 0.0),
        ("/302/200", {}, 1.0),
        ("/302/200", {"expect": 302}, 1.0),
        ("/302/503", {}, 0.0),
    ],
)
def test_http_is_good_when_status_and_words_are_as_expected(
    server: str, path: str, options: dict[str, object], value: float
) -> None:
    assert ask(server + path, **options).value == value


def test_http_that_answers_too_late_is_not_good_rather_than_unknown(server: str) -> None:
    assert ask(f"{server}/200", within="10s").value == 1.0
    seen = ask(f"{server}/late", within="50ms")
    Handler.late.set()
    assert seen == Reading(0.0, "no answer within 50ms")


@pytest.mark.parametrize("within", ["0s", "11s", "soon"])
def test_http_is_given_a_time_that_it_can_keep(within: str) -> None:
    found = list(find_probe({"http": "x"}).wrong(url="http://127.0.0.1/", within=within))
    assert [line.partition(":")[0] for line in found] == ["within"]


def test_http_follows_no_redirect_to_another_host(server: str) -> None:
    assert ask(f"{server}/302/elsewhere") == Reading(0.0, "302")


def test_http_gives_up_on_a_circle_of_redirects(server: str) -> None:
    assert ask(f"{server}/302/302/302/302/302/200").value == 0.0


def test_http_that_is_refused_is_not_good(closed_port: int) -> None:
    seen = ask(f"http://127.0.0.1:{closed_port}/")
    assert seen.value == 0.0
    assert "refused" in seen.detail.lower()


def test_http_can_tell_how_long_an_answer_took_but_not_that_of_a_failure(server: str) -> None:
    assert 0 < ask(f"{server}/200", measure="latency_ms").value < 60_000
    with pytest.raises(ValueError, match="503"):
        ask(f"{server}/503", measure="latency_ms")


def test_http_can_tell_the_number_that_an_answer_ends_with(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="last word is no number: 'all is well'"):
        ask(f"{server}/200", measure="number")
    monkeypatch.setattr(Handler, "body", b"orders 1205\n")
    assert ask(f"{server}/200", measure="number") == Reading(1205.0, "orders 1205")
    with pytest.raises(ValueError, match="no number to tell, the answer was 503"):
        ask(f"{server}/503", measure="number")
    for empty in (b"", b"orders nan"):
        monkeypatch.setattr(Handler, "body", empty)
        with pytest.raises(ValueError, match="no number"):
            ask(f"{server}/200", measure="number")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://", "x", "http://me:secret@127.0.0.1/"]
)
def test_http_asks_no_other_schemes_and_shows_no_passwords(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        ask(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254"])
def test_probes_ask_no_link_local_and_no_multicast_address(host: str) -> None:
    with pytest.raises(ValueError, match="do not ask"):
        connect(host, 80)


def test_tcp_is_good_when_something_accepts(server: str, closed_port: int) -> None:
    assert accepts(server.removeprefix("http://")).value == 1.0
    assert accepts(f"127.0.0.1:{closed_port}").value == 0.0
    for wrong in ("127.0.0.1", "127.0.0.1:http", ":80", "127.0.0.1:99999"):
        with pytest.raises(ValueError, match="host:port"):
            accepts(wrong)


def test_a_command_is_good_when_it_ends_as_expected() -> None:
    assert run([sys.executable, "-c", "raise SystemExit(0)"]).value == 1.0
    assert run([sys.executable, "-c", "raise SystemExit(3)"]) == Reading(0.0, "exit code 3")
    assert run([sys.executable, "-c", "raise SystemExit(3)"], expect=3).value == 1.0


def test_a_command_can_print_a_number() -> None:
    assert run([sys.executable, "-c", "print('depth', 12.5)"], measure="number").value == 12.5
    with pytest.raises(ValueError, match="nothing"):
        run([sys.executable, "-c", ""], measure="number")
    with pytest.raises(ValueError, match="exit code 1"):
        run([sys.executable, "-c", "print(5); raise SystemExit(1)"], measure="number")


def test_a_command_sees_no_shell_and_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMIAN_TEST_SECRET", "secret")
    code = "import os, sys; raise SystemExit('SIMIAN_TEST_SECRET' in os.environ or os.environ.get('A') != sys.argv[1])"
    assert run([sys.executable, "-c", code, "$HOME;ls"], environment={"A": "$HOME;ls"}).value == 1.0
    assert "SIMIAN_TEST_SECRET" in os.environ


def test_a_command_that_prints_without_end_is_cut_short() -> None:
    code = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    assert run([sys.executable, "-c", code]).value == 0.0


def test_python_calls_an_installed_function() -> None:
    assert call("time:time").value > 0
    assert call("statistics:NormalDist.inv_cdf", {"self": NormalDist(), "p": 0.5}).value == 0.0
    for wrong in ("time", ":time", "time:"):
        with pytest.raises(ValueError, match="module:function"):
            call(wrong)


class Nameserver:
    """Answers every question with these addresses and this code."""

    def __init__(self, addresses: list[str], code: int = 0) -> None:
        self.addresses, self.code = addresses, code
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            asked, sender = self.socket.recvfrom(512)
            if asked == b"stop":
                return
            flags = struct.pack(
                ">HHHHHH", int.from_bytes(asked[:2], "big"), 0x8180 | self.code, 1, len(self.addresses), 0, 0
            )
            records = [struct.pack(">HHHIH", 0xC00C, 1, 1, 30, 4) + socket.inet_aton(one) for one in self.addresses]
            self.socket.sendto(b"\0\0late" + asked, sender)  # somebody else's answer comes first
            self.socket.sendto(flags + asked[12:] + b"".join(records), sender)

    def close(self) -> None:
        self.socket.sendto(b"stop", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


@pytest.mark.parametrize(
    ("addresses", "code", "expect", "value"),
    [
        (["127.0.0.1", "127.0.0.2"], 0, None, 1.0),
        (["127.0.0.1", "127.0.0.2"], 0, ["127.0.0.2"], 1.0),
        (["127.0.0.1"], 0, ["127.0.0.2"], 0.0),
        ([], 0, None, 0.0),
        ([], 3, None, 0.0),
    ],
)
def test_dns_is_good_when_the_server_knows_the_name(
    addresses: list[str], code: int, expect: list[str] | None, value: float
) -> None:
    server = Nameserver(addresses, code)
    try:
        assert resolves("api.lab.", server.address, expect).value == value
    finally:
        server.close()


def test_dns_reads_every_address_and_refuses_a_malformed_answer() -> None:
    server = Nameserver(["127.0.0.9", "127.0.0.3"])
    try:
        assert query("api.lab", server.address, "A") == ["127.0.0.3", "127.0.0.9"]
    finally:
        server.close()
    with pytest.raises(ValueError, match="A or AAAA"):
        resolves("api.lab", record="MX")


# --- finding them


def test_every_built_in_probe_is_found_under_the_name_of_its_file() -> None:
    found, broken = find_probes()
    assert set(built_in()) <= set(found)
    assert {"users", "http", "tcp", "dns", "command", "python"} <= set(found)
    assert all(found[name].doc for name in built_in())
    assert broken == []


def test_a_probe_in_a_plugin_folder_is_found_by_its_name_and_a_broken_file_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from simian import probe\n@probe('mine')\ndef look(url: str): return 1.0\n")
    (tmp_path / "bad.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "taken.py").write_text("from simian import probe\n@probe('http')\ndef look(): return 1.0\n")
    found, broken = find_probes([str(tmp_path)])
    assert found["mine"].read({"url": "x"}).value == 1.0
    assert len(broken) == 2
    assert any("bad.py" in line and "SystemExit" in line for line in broken)
    assert any("taken.py" in line and "'http' is taken" in line for line in broken)
    assert find_probe({"mine": "x"}, [str(tmp_path)]) is found["mine"]


def test_what_is_no_probe_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'http'"):
        find_probe({"htpp": "x"})
    with pytest.raises(UsageError, match="did you mean 'prometheus'"):
        find_probe({"promtheus": "up"})
    with pytest.raises(UsageError, match="no folder"):
        find_probe({"mine": 1}, ["/nowhere/at/all"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"users": "succes_share"}, "did you mean 'success_share'?"),
        ({"users": "p0_ms"}, "no metric"),
        ({"users": "served_share"}, "region"),
        ({"users": "success_share", "region": "east"}, "region"),
        ({"users": "calls_per_request", "kind": "play"}, "over all users"),
        ({"users": "success_share", "knd": "play"}, "did you mean 'kind'?"),
        ({"users": 5}, "no text"),
    ],
)
def test_a_wrong_metric_of_users_says_what_would_be_right(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        users_metric(settings)
    assert said in str(raised.value)


def test_quantiles_of_users_are_read_from_their_names() -> None:
    assert users_metric({"users": "p50_ms"}).quantile == 0.5
    assert users_metric({"users": "p999_ms", "kind": "play"}).quantile == 0.999
    with pytest.raises(PluginError, match="feed"):
        users.read({"metric": "p50_ms"})
