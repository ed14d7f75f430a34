"""What strangers try: each of these is refused, and the same without what makes it strange is served."""

import hashlib
import importlib
import inspect
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from simian.errors import UsageError
from simian.history import open_history
from simian.web.access import Keyring
from simian.web.bodies import DEEPEST, parse_json
from simian.web.fence import Fenced, hook
from simian.web.limits import Buckets
from simian.web.settings import Token, read_settings

from .. import test_house
from ..report import records
from .conftest import OPERATOR, READER, Web
from .small_daemon import MARKUP

PAGES = ("/", "/runs", "/experiments", "/monkeys", "/login")
RUN: dict[str, Any] = {"monkey": "chaos"}


@contextmanager
def signed_in(web: Web, token: str = OPERATOR) -> Iterator[httpx.Client]:
    with web.client(headers={"Origin": web.url}) as client:
        answer = client.post("/login", data={"token": token})
        assert answer.status_code == 303
        yield client


def mark_of(client: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def started(web: Web) -> int:
    return sum(each["do"] == "start" for each in web.daemon.asked)


# --- hosts, origins, forms


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@evil.example"]
)
def test_a_name_that_is_led_to_this_machine_by_somebody_else_gets_nothing(web: Web, host: str) -> None:
    with web.client() as client:
        assert client.get("/api/v1/status", headers={"Host": host}).status_code == 403
        assert client.get("/", headers={"Host": host}).status_code == 403
        assert client.get("/api/v1/status", headers={"Host": "localhost:1"}).status_code == 200


def test_a_page_elsewhere_can_change_nothing_even_with_the_cookie(web: Web) -> None:
    with signed_in(web) as client:
        form = {"csrf": mark_of(client), "reason": "x"}
        for origin in ("http://evil.example", "null", "http://localhost.evil.example", ""):
            assert client.post("/halt", data=form, headers={"Origin": origin}).status_code == 403
        assert web.daemon.halted is None
        assert client.post("/halt", data=form).status_code == 303
        assert web.daemon.halted == "x"
        assert client.post("/resume", data=form).status_code == 303


def test_a_form_without_the_mark_of_our_page_changes_nothing(web: Web) -> None:
    with signed_in(web) as client:
        for form in ({"reason": "x"}, {"reason": "x", "csrf": ""}, {"reason": "x", "csrf": "wrong"}):
            assert client.post("/halt", data=form).status_code == 403
        assert client.post("/api/v1/halt", json={"reason": "x"}).status_code == 403
        with signed_in(web) as other:
            assert client.post("/halt", data={"reason": "x", "csrf": mark_of(other)}).status_code == 403
        assert web.daemon.halted is None
        answer = client.post("/api/v1/halt", json={"reason": "x"}, headers={"X-CSRF-Token": mark_of(client)})
        assert answer.status_code == 200
        assert client.post("/resume", data={"csrf": mark_of(client)}).status_code == 303


def test_nothing_is_changed_by_get(web: Web) -> None:
    with signed_in(web) as client:
        before = started(web)
        for path in ("/halt", "/resume", "/runs/start", "/runs/x/abort", "/runs/k7f3m2qa9d/replay", "/logout"):
            assert client.get(path, params={"reason": "x", "csrf": mark_of(client)}).status_code in (404, 405)
        for path in ("/api/v1/halt", "/api/v1/resume", "/api/v1/runs/x/abort"):
            assert client.get(path).status_code == 405
        assert (started(web), web.daemon.halted) == (before, None)


def test_the_cookie_is_for_this_server_alone_and_no_script_reads_it(web: Web) -> None:
    with web.client(headers={"Origin": web.url}) as client:
        set_cookie = client.post("/login", data={"token": OPERATOR}).headers["set-cookie"]
    assert "HttpOnly" in set_cookie
    assert "samesite=strict" in set_cookie.lower()


def test_whoever_signs_out_is_nobody_again_and_the_cookie_opens_nothing_more(web: Web) -> None:
    with signed_in(web) as client:
        cookie = client.cookies["simian"]
        form = {"csrf": mark_of(client)}
        assert client.post("/logout", data=form).status_code == 303
        client.cookies.set("simian", cookie)
        assert client.post("/halt", data={**form, "reason": "x"}).status_code == 401
    assert web.daemon.halted is None


def test_a_link_to_the_login_page_leads_nowhere_else(web: Web) -> None:
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        with web.client(headers={"Origin": web.url}) as client:
            assert client.post("/login", data={"token": OPERATOR, "to": to}).headers["location"] == "/"


# --- tokens and roles


@pytest.mark.parametrize("token", [None, READER, "wrong", OPERATOR[:-1], OPERATOR + " x", "", "é"])
def test_only_an_operators_token_starts_a_run(web: Web, token: str | None) -> None:
    before = started(web)
    with web.client() as client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}".strip().encode()}
        answer = client.post("/api/v1/runs", json=RUN, headers={**headers, "Origin": web.url})
    assert answer.status_code == (403 if token == READER else 401)
    assert started(web) == before


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
def test_a_token_in_another_scheme_is_none(web: Web, scheme: str) -> None:
    with web.client() as client:
        headers = {"Authorization": f"{scheme} {OPERATOR}".strip(), "Origin": web.url}
        assert client.post("/api/v1/runs", json=RUN, headers=headers).status_code == 401


def test_a_reader_sees_no_button_and_its_form_is_refused(web: Web) -> None:
    with signed_in(web, READER) as client:
        page = client.get("/").text
        assert "Halt everything" not in page
        assert client.post("/halt", data={"reason": "x", "csrf": mark_of(client)}).status_code == 403
    assert web.daemon.halted is None


def test_where_reading_needs_a_token_nothing_is_read_without(another_web: Callable[..., Web]) -> None:
    web = another_web(read_needs_token=True)
    with web.client() as client:
        for path in ("status", "topology", "runs", "runs/x", "events", "monkeys", "openapi.json", "rates"):
            assert client.get(f"/api/v1/{path}").status_code == 401
        for path in PAGES[:-1]:
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/login")
    with web.client(READER) as client:
        assert client.get("/api/v1/status").status_code == 200


def test_a_token_that_is_nearly_right_takes_as_long_as_any_other() -> None:
    """Each is compared with all, by its digest, whose bytes say nothing of how near it was."""
    compared: list[str] = []

    class Watched(str):
        """Notes that it was compared."""

        def encode(self, *given: Any) -> bytes:  # type: ignore[override]
            compared.append(str(self))
            return super().encode(*given)

    tokens = [Token(name, "operator", hashlib.sha256(name.encode()).hexdigest()) for name in ("one", "two", "three")]
    ring = Keyring(tokens)
    assert ring.holder("one") == tokens[0]
    assert ring.holder("three") == tokens[2]
    assert ring.holder("on") is None
    source = Path(__import__("simian.web.access", fromlist=["x"]).__file__).read_text()
    assert "compare_digest" in source
    assert "== token.sha256" not in source


def test_whoever_guesses_is_told_to_wait_and_a_right_token_is_still_heard(another_web: Callable[..., Web]) -> None:
    web = another_web()
    with web.client() as client:
        answers = [
            client.get("/api/v1/status", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(20)
        ]
        assert answers[0] == 401
        assert answers[-1] == 429
        assert client.get("/api/v1/status", headers={"Authorization": f"Bearer {OPERATOR}"}).status_code == 200
        page = client.post("/login", data={"token": "wrong"}, headers={"Origin": web.url})
        assert page.status_code == 429


def test_secrets_are_in_no_page_and_in_no_log(web: Web) -> None:
    with signed_in(web) as client:
        cookie = client.cookies["simian"]
        told = "".join(client.get(path).text for path in (*PAGES, "/api/v1/openapi.json", "/no/such", "/runs/nothing"))
    told += web.log.read_text()
    for secret in (OPERATOR, READER, cookie, hashlib.sha256(OPERATOR.encode()).hexdigest()):
        assert secret not in told


# --- markup, and what browsers may do


def test_a_name_with_markup_in_it_is_shown_as_text(web: Web) -> None:
    record = records.held_gorilla() | {"run": "markup0run", "monkey": MARKUP, "experiment": MARKUP, "note": MARKUP}
    record["faults"] = [records.fault(1, "kill", MARKUP, stage=MARKUP)]
    record["options"] = {MARKUP: MARKUP}
    with open_history(web.daemon.history) as history:
        history.store(record)
    with web.client(OPERATOR) as client:
        run = client.post("/api/v1/runs", json={"monkey": MARKUP, "note": MARKUP}).json()["run"]
    web.daemon.hurt(run, MARKUP)
    with signed_in(web) as client:
        paths = [
            "/",
            "/now",
            "/runs",
            "/monkeys",
            "/runs/markup0run",
            "/runs/markup0run/log",
            f"/runs/{run}",
            "/runs/<b>",
        ]
        paths += [
            f"/runs?monkey={MARKUP}",
            "/compare?a=markup0run&b=<script>",
            "/monkeys/" + MARKUP,
            f"/login?to={MARKUP}",
        ]
        for path in paths:
            page = client.get(path)
            assert MARKUP not in page.text, path
            assert "<script>" not in page.text, path
            assert "<b>" not in page.text or path in ("/", "/now", "/plan") or "<b>" not in path
    web.daemon.finish(run)


@pytest.mark.parametrize("path", [*PAGES, "/no/such", "/api/v1/status", "/static/live.js", "/runs/nothing"])
def test_every_answer_forbids_what_no_page_of_ours_needs(web: Web, path: str) -> None:
    with web.client() as client:
        answer = client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", PAGES)
def test_pages_hold_no_script_and_no_style_of_their_own_and_ask_nobody_else(web: Web, path: str) -> None:
    with signed_in(web) as client:
        page = client.get(path).text
    parser = Tags()
    parser.feed(page)
    for tag, attributes in parser.found:
        assert tag != "style"
        assert not [name for name in attributes if name == "style" or name.startswith("on")], (tag, attributes)
        assert tag != "script" or attributes.get("src", "").startswith("/static/")
        for name in ("src", "href", "action"):
            assert attributes.get(name, "/").startswith(("/", "#"))
            assert not attributes.get(name, "/").startswith("//")


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


# --- bodies, verbs, shapes


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'"chaos"', 400),
        (b"\xff\xfe", 400),
        (b'{"monkey": "chaos", "monkey": "kong"}', 400),
        (b'{"monkey": "chaos", "seed": "7"}', 400),
        (b'{"monkey": "chaos", "seed": 7.5}', 400),
        (b'{"monkey": "chaos", "seed": true}', 400),
        (b'{"monkey": "chaos", "seed": -1}', 400),
        (b'{"monkey": "chaos", "seed": 99999999999999999999}', 400),
        (b'{"monkey": "chaos", "for_s": "30"}', 400),
        (b'{"monkey": "chaos", "for_s": NaN}', 400),
        (b'{"monkey": "chaos", "for_s": 1e999}', 400),
        (b'{"monkey": "chaos", "for_s": 0}', 400),
        (b'{"monkey": 7}', 400),
        (b'{"monkey": ""}', 400),
        (b'{"monkey": "a\\u0000b"}', 400),
        (b'{"monkey": "chaos", "leashed": "no"}', 400),
        (b'{"monkey": "chaos", "experiment": "both"}', 400),
        (b'{"monkey": "chaos", "shell": "rm"}', 400),
        (b'{"monkey": "chaos", "options": {"x": {"deep": 1}}}', 400),
        (b'{"monkey": "chaos", "seed": ' + b"9" * 10_000 + b"}", 400),
        (b"[" * 30_000 + b"]" * 30_000, 400),
        (b'{"monkey": "chaos", "note": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_a_wrong_body_starts_nothing_and_is_told_why(web: Web, body: bytes, status: int) -> None:
    before = started(web)
    with web.client(OPERATOR) as client:
        answer = client.post("/api/v1/runs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]["kind"] == "usage"
    assert answer.json()["error"]["reasons"]
    assert started(web) == before


def test_what_is_nested_deeper_than_any_of_ours_is_not_read() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST)
    for depth in (DEEPEST + 1, 500, 100_000):
        with pytest.raises(UsageError, match="nested"):
            parse_json(b'{"x":' * depth + b"1" + b"}" * depth)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_calls_itself_something_else_is_not_read(web: Web, kind: str) -> None:
    with web.client(OPERATOR) as client:
        answer = client.post("/api/v1/runs", content=b'{"monkey": "chaos"}', headers={"Content-Type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_verbs_are_told_which_there_are(web: Web, verb: str) -> None:
    with web.client(OPERATOR) as client:
        answer = client.request(verb, "/api/v1/runs")
    assert answer.status_code == 405
    assert {each.strip() for each in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    "run", ["nothing", "../../etc/passwd", "%2e%2e%2fetc%2fpasswd", "%00", "a" * 500, "'; DROP TABLE runs;--"]
)
def test_a_run_that_is_not_there_is_not_there(web: Web, run: str) -> None:
    with web.client() as client:
        for path in (f"/api/v1/runs/{run}", f"/runs/{run}"):
            answer = client.get(path)
            assert answer.status_code in (404, 405), path
            assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path", ["/static/../__main__.py", "/static/%2e%2e/settings.py", "/static//etc/passwd", "/static/vendor/"]
)
def test_only_what_is_meant_to_be_served_is_served(web: Web, path: str) -> None:
    with socket.create_connection(web.place, 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in answered(connection).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=0", "limit=1e9", "verdict=good", "since=yesterday", "after=made-up", "x=1"]
)
def test_a_wrong_query_is_told_why(web: Web, query: str) -> None:
    with web.client() as client:
        answer = client.get(f"/api/v1/runs?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["kind"] == "usage"


# --- sizes and times, byte by byte


def answered(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    connection.settimeout(60)
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:  # it was closed with something of ours still unread
        pass
    return found


HEAD = "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n"


def head() -> bytes:
    return HEAD.format(OPERATOR).encode()


def test_a_body_of_100_megabytes_is_refused_before_it_is_sent(web: Web) -> None:
    with socket.create_connection(web.place, 10) as connection:
        connection.sendall(head() + b"Content-Length: 104857600\r\n\r\n")
        assert b" 413 " in answered(connection).split(b"\r\n")[0]


def test_chunks_without_end_are_cut_off(web: Web) -> None:
    sent = 0
    with socket.create_connection(web.place, 10) as connection:
        connection.sendall(head() + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < 100 << 20:
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
        except OSError:
            pass  # it no longer listens, as it should
    assert sent < 20 << 20
    with web.client() as client:
        assert client.get("/api/v1/status").status_code == 200


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(web: Web) -> None:
    with socket.create_connection(web.place, 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert answered(connection).startswith(b"HTTP/1.1 408 ")


def test_a_second_head_that_comes_byte_by_byte_is_not_waited_for_either(web: Web) -> None:
    with socket.create_connection(web.place, 10) as connection:
        connection.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHo")
        assert b"HTTP/1.1 408 " in answered(connection)


@pytest.mark.parametrize("lines", [b"x-more: y\r\n" * 8000, b"x-more: " + b"y" * 80_000 + b"\r\n"])
@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_a_head_that_is_too_long_is_cut_off(web: Web, lines: bytes, end: bytes) -> None:
    with socket.create_connection(web.place, 10) as connection:
        start = b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        with suppress(OSError):  # it no longer listens, as it should
            connection.sendall(start + lines + end)
        assert answered(connection).partition(b"\r\n")[0] in (b"HTTP/1.1 431 Request Header Fields Too Large", b"")
    with web.client() as client:
        assert client.get("/api/v1/status").status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(web: Web) -> None:
    with socket.create_connection(web.place, 10) as connection:
        connection.sendall(head() + b"Content-Length: 20\r\n\r\n{")
        assert b" 408 " in answered(connection).split(b"\r\n")[0]


def test_many_that_send_nothing_keep_nobody_out(web: Web) -> None:
    idle = [socket.create_connection(web.place, 10) for _ in range(100)]
    try:
        with web.client() as client:
            assert client.get("/api/v1/status").status_code == 200
    finally:
        for connection in idle:
            connection.close()


# --- rates


def test_a_bucket_gives_a_burst_and_then_a_steady_rate() -> None:
    now = [0.0]
    buckets = Buckets(a_second=2.0, burst=3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b") == 0.0
    now[0] += 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == 0.5


def test_changes_are_taken_so_often_and_no_more_and_strangers_keep_no_operator_out(
    another_web: Callable[..., Web],
) -> None:
    web = another_web()
    with web.client(headers={"Origin": web.url}) as stranger:
        answers = {stranger.post("/api/v1/halt", json={"reason": "x"}).status_code for _ in range(150)}
        assert answers == {401, 429}
        assert int(stranger.post("/api/v1/halt", json={"reason": "x"}).headers["retry-after"]) >= 1
    with web.client(OPERATOR) as client:
        assert client.post("/api/v1/halt", json={"reason": "x"}).status_code == 200


# --- the process


def test_the_process_holds_no_socket_of_an_engine_and_has_no_word_of_one(web: Web) -> None:
    process = Path("/proc") / str(web.process.pid)
    assert b"DOCKER" not in (process / "environ").read_bytes()
    targets = [link.readlink() for link in (process / "fd").iterdir()]
    assert not [target for target in targets if "docker" in str(target)]
    inodes = {match[1] for target in targets if (match := re.fullmatch(r"socket:\[(\d+)\]", str(target)))}
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    assert not [line for line in sockets if line[6] in inodes and len(line) > 7 and "docker" in line[7]]


def test_no_other_unix_socket_can_be_reached_and_no_program_started() -> None:
    decide = hook("/run/serve.sock", "/var/history.db")
    decide("socket.connect", (None, "/run/serve.sock"))
    decide("socket.sendmsg", (None, None))
    decide("open", ("/etc/passwd", "r", 0))
    for event, arguments in (
        ("socket.connect", (None, "/var/run/docker.sock")),
        ("socket.connect", (None, b"/var/run/docker.sock")),
        ("socket.connect", (None, "\0abstract")),
        ("socket.connect", (None, ("127.0.0.1", 2375))),
        ("socket.connect", (None, ("::1", 2375, 0, 0))),
        ("socket.sendto", (None, ("127.0.0.1", 53))),
        ("socket.sendmsg", (None, "/var/run/docker.sock")),
        ("subprocess.Popen", ("docker", ["docker"], None, None)),
        ("os.system", (b"docker ps",)),
        ("os.exec", ("docker", [], None)),
        ("os.posix_spawn", ("docker", [], None)),
    ):
        with pytest.raises(Fenced):
            decide(event, arguments)


FENCED = """
import sys
from simian.errors import SimianError
from simian.history import open_history
from simian.web.fence import Fenced, fence

ours, sockets, others = sys.argv[1], sys.argv[2], sys.argv[3:]
fence(sockets, ours)
try:
    open_history(ours).close()
except SimianError:
    pass  # nobody listens there; but it was tried
for other in others:
    try:
        open_history(other)
    except Fenced:
        continue
    sys.exit(f"it opened {other}")
"""


@pytest.mark.parametrize("kind", ["file", "server"])
def test_no_database_but_its_own_is_opened_in_c_or_otherwise(kind: str, tmp_path: Path) -> None:
    """libpq connects where no hook of the interpreter sees it; so it is asked before."""
    file, server = str(tmp_path / "h.db"), f"postgresql+psycopg://simian:hunter2@/h?host={tmp_path}"
    ours = file if kind == "file" else server
    others = [
        str(tmp_path / "other.db"),
        "postgresql+psycopg://simian@127.0.0.1:1/h",
        server.replace("/h?", "/other?"),
        f"postgresql+psycopg://simian@/h?host={tmp_path}/elsewhere",
        server if kind == "file" else file,
    ]
    words = [sys.executable, "-c", FENCED, ours, str(tmp_path / "s"), *others]
    told = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_nothing_of_the_web_process_opens_a_database_in_another_way() -> None:
    openers = {"create_engine", "psycopg", "aiosqlite"}
    found = {
        (name, word)
        for name in test_house.reached_from("simian.web")
        for word in openers
        if re.search(rf"\b{word}\b(?!\])", re.sub(r"#.*|\"[^\"]*\"", "", _source(name)))
    }
    assert found == {("simian.history.database", "create_engine")}


def _source(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


def test_it_ends_when_the_daemon_does(another_web: Callable[..., Web]) -> None:
    web = another_web()
    with web.client() as client, client.stream("GET", "/api/v1/events") as stream:
        next(stream.iter_lines())
        assert web.process.stdin
        web.process.stdin.close()
        until = time.monotonic() + 60
        while web.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
    assert web.process.poll() == 0


def test_it_leaves_when_it_cannot_listen_and_says_why(another_web: Callable[..., Web]) -> None:
    web = another_web()
    with pytest.raises(AssertionError, match="nobody can listen"):
        another_web(port=web.place[1])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("", "no JSON"),
        ("[]", "no JSON object"),
        ('{"socket": "s", "history": "h"}', "system: it is needed"),
        ('{"socket": "s", "history": "h", "system": 7}', "system: 7 is no str"),
        ('{"socket": "s", "history": "h", "system": "x", "port": true}', "port: True is no int"),
        ('{"socket": "s", "history": "h", "system": "x", "port": 99999}', "0 to 65535"),
        ('{"socket": "s", "history": "h", "system": "x", "prot": 1}', "prot: there is no such setting"),
        ('{"socket": "s", "history": "h", "system": "x", "tokens": [{"name": "a"}]}', "name, role and sha256"),
        (
            '{"socket": "s", "history": "h", "system": "x", "tokens": [{"name": "a", "role": "king", "sha256": "00"}]}',
            "one of reader, operator",
        ),
    ],
)
def test_wrong_settings_are_told_all_at_once(settings: str, problem: str) -> None:
    with pytest.raises(UsageError, match=re.escape(problem)):
        read_settings(settings)
