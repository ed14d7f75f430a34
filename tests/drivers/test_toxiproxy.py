"""What only Toxiproxy has: servers that hang, wedge or restart, names in addresses, toxics instead of faults."""

import http.server
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import toxiproxy
from simian_filters.distribution import Distribution

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable
from simian.networks import toxiproxy_mending
from simian.networks.toxiproxy import from_settings
from simian.world import LinkReading, Network

LINK, MARK, NOTE = "web-east--db-west", "simian.k7f3.1", "simian.k7f3.1.anew.web-east--db-west"
HUNDRED = Distribution.parse("constant:100ms")
Until = Callable[..., Any]


def network_of(*urls: str, shared: dict[str, Any] | None = None, **settings: Any) -> Network:
    servers = dict(zip(("west", "east"), urls, strict=False))
    return from_settings({"driver": "toxiproxy", "servers": servers, **settings}, {} if shared is None else shared)


def add_proxy(api: Any, upstream: str, name: str = LINK) -> str:
    """Where it listens."""
    return str(api.ask("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream})["listen"])


def add_foreign(api: Any) -> None:
    toxic = {"name": "theirs", "type": "latency", "attributes": {"latency": 30}}
    api.ask("POST", f"/proxies/{LINK}/toxics", toxic)


@pytest.fixture(params=["stand-in", "toxiproxy"])
def server(request: pytest.FixtureRequest, start_toxiproxies: Any) -> Iterator[Any]:
    with start_toxiproxies(request.param) as servers:
        yield servers["west"]


class Wedged:
    """Toxiproxy's API over plain dictionaries, that never answers what ``hangs`` matches (``DELETE /proxies/…``)."""

    def __init__(self) -> None:
        self.proxies: dict[str, Any] = {}
        self.hangs = re.compile("(?!)")
        self.calls: list[str] = []
        self.closing = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                api.calls.append(f"{self.command} {self.path}")
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                if api.hangs.fullmatch(api.calls[-1]):
                    api.closing.wait()
                    return
                status, shape = api.answer(self.command, self.path.strip("/").split("/"), body)
                answer = b"" if shape is None else json.dumps(shape).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        name, toxic = ([*parts, "", "", "", ""][at] for at in (1, 3))
        if parts == ["version"]:
            return 200, {"version": "2.12.0"}
        if method == "POST" and parts == ["proxies"]:
            self.proxies[body["name"]] = {"toxics": [], **body}
            return 201, self.proxies[body["name"]]
        if parts == ["proxies"]:
            return 200, self.proxies
        if name not in self.proxies:
            return 404, {"error": "proxy not found", "status": 404}
        return self.answer_proxy(method, self.proxies[name], len(parts), toxic, body)

    def answer_proxy(self, method: str, proxy: Any, depth: int, toxic: str, body: Any) -> tuple[int, Any]:
        known = {each["name"]: each for each in proxy["toxics"]}
        if depth > 3 and toxic not in known:
            return 404, {"error": "toxic not found", "status": 404}
        if method == "DELETE" and depth == 2:
            return 204, self.proxies.pop(proxy["name"]) and None
        if method == "DELETE":
            return 204, proxy["toxics"].remove(known[toxic])
        if method == "POST":
            return 200, proxy["toxics"].append(body) or body
        if method == "PATCH":
            (known[toxic] if depth > 3 else proxy).update(body)
        return 200, proxy

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def wedged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wedged]:
    monkeypatch.setattr(toxiproxy_mending, "REMOVE_LIMIT_S", 0.3)
    made = Wedged()
    proxy = {"name": LINK, "listen": "127.0.0.1:7", "upstream": "127.0.0.1:8", "enabled": True}
    made.answer("POST", ["proxies"], proxy)
    yield made
    made.close()


def theirs(wedged: Wedged, link: str) -> None:
    toxic = {"name": "theirs", "type": "slicer", "stream": "downstream", "toxicity": 0.5, "attributes": {"delay": 7}}
    wedged.proxies[link]["toxics"].append(toxic)


class Restarts:
    """A platform that only knows how to restart one node."""

    def __init__(self, wedged: Wedged, node: str = "proxy-west") -> None:
        self.wedged, self.node = wedged, node
        self.calls: list[str] = []

    def crash(self, node: str) -> None:
        if node != self.node:
            raise NoSuchTarget(f"no node is called {node}")
        self.calls.append(f"crash {node}")
        self.wedged.hangs = re.compile("(?!)")
        self.wedged.proxies.clear()

    def start(self, node: str) -> None:
        self.calls.append(f"start {node}")


# --- mending when the server does not do as told


def test_a_toxic_whose_removal_is_never_answered_has_its_proxy_made_anew(wedged: Wedged) -> None:
    network = network_of(wedged.url)
    theirs(wedged, LINK)
    was = network.read(LINK)
    network.delay(LINK, MARK, by=HUNDRED, direction="both")
    wedged.hangs = re.compile("DELETE /proxies/[^/]*/toxics/.*")
    began = time.monotonic()
    network.mend(LINK, MARK, was)
    assert time.monotonic() - began < 5 * toxiproxy_mending.REMOVE_LIMIT_S
    assert f"DELETE /proxies/{LINK}" in wedged.calls
    proxy = wedged.proxies[LINK]
    assert (proxy["listen"], proxy["upstream"], proxy["enabled"]) == ("127.0.0.1:7", "127.0.0.1:8", True)
    assert [(t["name"], t["toxicity"], t["attributes"]) for t in proxy["toxics"]] == [("theirs", 0.5, {"delay": 7})]
    assert list(wedged.proxies) == [LINK]
    assert not any("reset" in call for call in wedged.calls)


def test_a_delay_is_set_to_nothing_before_it_is_removed_and_a_cut_is_closed_first(wedged: Wedged) -> None:
    network = network_of(wedged.url)
    was = network.read(LINK)
    for put, first in ((lambda: network.delay(LINK, MARK, by=HUNDRED, direction="forward"), f"/toxics/{MARK}"),
                       (lambda: network.throttle(LINK, MARK, rate_kb_s=9, direction="forward"), f"/toxics/{MARK}"),
                       (lambda: network.cut(LINK, MARK, how="blackhole", direction="forward"), "")):
        put()
        wedged.calls.clear()
        network.mend(LINK, MARK, was)
        writes = [call for call in wedged.calls if not call.startswith("GET")]
        assert writes[:2] == [f"PATCH /proxies/{LINK}{first}", f"DELETE /proxies/{LINK}/toxics/{MARK}"]
        assert wedged.proxies[LINK]["enabled"]


def test_a_server_that_answers_nothing_of_a_proxy_is_restarted_and_the_proxy_put_back(wedged: Wedged) -> None:
    platform = Restarts(wedged)
    network = network_of(wedged.url, shared={"platform": platform})
    was = network.read(LINK)
    network.delay(LINK, MARK, by=HUNDRED, direction="forward")
    wedged.hangs = re.compile(r"\w+ /proxies.*")
    network.mend(LINK, MARK, was)
    assert platform.calls == ["crash proxy-west", "start proxy-west"]
    assert wedged.proxies[LINK]["upstream"] == "127.0.0.1:8"
    assert wedged.proxies[LINK]["enabled"]


def test_a_server_with_somebody_elses_toxics_is_not_restarted(wedged: Wedged) -> None:
    platform = Restarts(wedged)
    network = network_of(wedged.url, shared={"platform": platform})
    wedged.proxies["a--b"] = {**wedged.proxies[LINK], "name": "a--b", "toxics": []}
    theirs(wedged, "a--b")
    was = network.read(LINK)
    network.delay(LINK, MARK, by=HUNDRED, direction="forward")
    wedged.hangs = re.compile(f"(DELETE|PATCH) .*|POST /proxies|GET /proxies/{LINK}")
    with pytest.raises(DriverError, match="theirs"):
        network.mend(LINK, MARK, was)
    assert platform.calls == []


@pytest.mark.parametrize("shared", [{}, {"platform": Restarts(None, "another")}])  # type: ignore[arg-type]
def test_a_server_that_cannot_be_restarted_is_named_with_what_to_do(wedged: Wedged, shared: dict[str, Any]) -> None:
    network = network_of(wedged.url, shared=shared)
    was = network.read(LINK)
    wedged.hangs = re.compile(".*")
    with pytest.raises(DriverError, match=re.escape(wedged.url) + ".*by hand"):
        network.mend(LINK, MARK, was)


def test_the_node_of_a_server_can_be_named_in_the_settings(wedged: Wedged) -> None:
    platform = Restarts(wedged, "toxi-1")
    network = network_of(wedged.url, shared={"platform": platform}, nodes={"west": "toxi-1"})
    was = network.read(LINK)
    wedged.hangs = re.compile(r"\w+ /proxies.*")
    network.mend(LINK, MARK, was)
    assert platform.calls[0] == "crash toxi-1"


def test_without_a_reading_of_before_a_wedged_proxy_is_not_touched(wedged: Wedged) -> None:
    network = network_of(wedged.url)
    network.delay(LINK, MARK, by=HUNDRED, direction="forward")
    wedged.hangs = re.compile("DELETE .*")
    with pytest.raises(DriverError, match="not known"):
        network.mend(LINK, MARK, LinkReading(LINK, enabled=True))
    assert LINK in wedged.proxies


def test_a_change_that_is_not_there_when_read_back_is_an_error(wedged: Wedged, monkeypatch: pytest.MonkeyPatch) -> None:
    network, honest = network_of(wedged.url), wedged.answer

    def forgetful(method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        return (200, {}) if method in ("POST", "PATCH", "DELETE") else honest(method, parts, body)

    was = network.read(LINK)
    theirs(wedged, LINK)
    wedged.proxies[LINK]["toxics"][0]["name"] = MARK
    monkeypatch.setattr(wedged, "answer", forgetful)
    for act in (lambda: network.delay(LINK, "simian.k7f3.2", by=HUNDRED, direction="both"),
                lambda: network.cut(LINK, "simian.k7f3.2", how="refuse", direction="both"),
                lambda: network.mend(LINK, MARK, was)):
        with pytest.raises(DriverError, match="but"):
            act()


def test_dying_between_taking_a_proxy_away_and_making_it_again_is_mended_later(server: Any, upstream: str) -> None:
    listen, network = add_proxy(server.api, upstream), network_of(server.api.url)
    was = network.read(LINK)
    server.api.ask("POST", "/proxies", {"name": NOTE, "listen": listen, "upstream": upstream, "enabled": False})
    server.api.ask("DELETE", f"/proxies/{LINK}")
    assert list(network.marks()) == [(LINK, MARK)]
    assert [link.name for link in network.links()] == []
    for reading in (was, LinkReading(LINK, enabled=True)):
        network.mend(LINK, MARK, reading)
        proxies = server.api.proxies()
        assert list(proxies) == [LINK]
        assert (proxies[LINK]["listen"], proxies[LINK]["enabled"]) == (listen, True)


@pytest.mark.parametrize("kind", ["delay", "throttle", "blackhole"])
def test_a_client_that_does_not_read_cannot_keep_a_link_from_being_mended(
    server: Any, upstream: str, wire: Any, until: Until, kind: str
) -> None:
    listen = add_proxy(server.api, upstream)
    platform = ToxiproxyPlatform(server)
    network = network_of(server.api.url, shared={"platform": platform})
    was = network.read(LINK)
    {"delay": lambda: network.delay(LINK, MARK, by=HUNDRED, direction="both"),
     "throttle": lambda: network.throttle(LINK, MARK, rate_kb_s=90_000, direction="both"),
     "blackhole": lambda: network.cut(LINK, MARK, how="blackhole", direction="forward")}[kind]()
    with wire(listen) as greedy:
        greedy.sock.sendall(b"90000000\n")
        time.sleep(0.5)  # let every buffer on the way fill up: there is nothing to be seen that says so
        network.mend(LINK, MARK, was)
    with wire(listen) as other:
        assert other.ask() is not None
    assert network.read(LINK).marks == ()


class ToxiproxyPlatform:
    """Restarts a Toxiproxy that has no file of its proxies."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def crash(self, node: str) -> None:
        self.server.end()

    def start(self, node: str) -> None:
        self.server.start()


# --- connections


def test_connections_live_through_a_delay_and_its_mending(server: Any, upstream: str, wire: Any) -> None:
    listen, network = add_proxy(server.api, upstream), network_of(server.api.url)
    was = network.read(LINK)
    with wire(listen) as old:
        assert old.ask() is not None
        network.delay(LINK, MARK, by=HUNDRED, direction="backward")
        assert old.ask() > 90
        network.mend(LINK, MARK, was)
        assert min(old.ask() for _ in range(5)) < 50


def test_connections_live_through_a_throttle_that_is_mended_amid_a_transfer(
    server: Any, upstream: str, wire: Any
) -> None:
    listen, network = add_proxy(server.api, upstream), network_of(server.api.url)
    was = network.read(LINK)
    network.throttle(LINK, MARK, rate_kb_s=50, direction="both")
    with wire(listen) as old:
        old.sock.sendall(b"1000000\n")  # would take 20 s
        left = 1_000_000 - len(old.sock.recv(65536))
        network.mend(LINK, MARK, was)
        began = time.monotonic()
        while left > 0:
            left -= len(old.sock.recv(65536))
        assert time.monotonic() - began < 8
        assert old.ask() is not None


def test_a_black_hole_silences_open_connections_and_refuse_closes_them(server: Any, upstream: str, wire: Any) -> None:
    listen, network = add_proxy(server.api, upstream), network_of(server.api.url)
    was = network.read(LINK)
    for how, ended in (("blackhole", False), ("refuse", True)):
        with wire(listen) as old:
            assert old.ask() is not None
            network.cut(LINK, MARK, how=how, direction="both")  # type: ignore[arg-type]
            old.sock.settimeout(0.3)
            if ended:
                assert _ends(old.sock)
            else:
                with pytest.raises(TimeoutError):
                    old.sock.recv(1)
        network.mend(LINK, MARK, was)


def _ends(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


# --- servers that are not there


def test_nobody_there_is_unreachable_and_names_the_server(server: Any) -> None:
    server.end()
    network = network_of(server.api.url)
    for act in (network.links, network.marks, lambda: network.read(LINK),
                lambda: network.delay(LINK, MARK, by=HUNDRED, direction="both"),
                lambda: network.mend(LINK, MARK, LinkReading(LINK, enabled=True))):
        with pytest.raises(Unreachable, match=re.escape(server.api.url)):
            act()


def test_a_server_that_hangs_is_a_time_out_by_its_limit(
    server: Any, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_proxy(server.api, upstream)
    network = network_of(server.api.url)
    home = network._servers["west"].within(0.3)  # type: ignore[attr-defined]
    monkeypatch.setattr(network, "_servers", {"west": home})
    server._child.send_signal(signal.SIGSTOP)
    try:
        for act in (network.links, lambda: network.cut(LINK, MARK, how="refuse", direction="both")):
            with pytest.raises(TimedOut, match=re.escape(server.api.url)):
                act()
    finally:
        server._child.send_signal(signal.SIGCONT)


def test_one_server_that_fails_does_not_hide_the_links_of_another(server: Any, upstream: str, wedged: Wedged) -> None:
    add_proxy(server.api, upstream, "a--b")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    network = network_of(gone, server.api.url)
    network.delay("a--b", MARK, by=HUNDRED, direction="both")
    assert sorted(server.api.toxics("a--b")) == [f"{MARK}.down", f"{MARK}.up"]
    with pytest.raises(Unreachable):
        network.read(LINK)


def test_what_is_no_toxiproxy_is_told_so(saying_http: str) -> None:
    with pytest.raises(DriverError, match="is it a Toxiproxy"):
        network_of(saying_http).links()


@pytest.fixture
def saying_http() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_the_library_is_left_as_it_was_for_others(server: Any, upstream: str) -> None:
    network = network_of(server.api.url)
    add_proxy(server.api, upstream)
    assert network.read(LINK).enabled
    library = toxiproxy.Toxiproxy()
    library.update_api_consumer("127.0.0.1", server.api.port)
    assert list(library.proxies()) == [LINK]
