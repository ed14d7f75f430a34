"""Mending links whose Toxiproxy does not do as told: it hangs, wedges, forgets, or we died in between."""

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from simian_filters.distribution import Distribution

from simian.errors import DriverError, NoSuchTarget
from simian.networks import toxiproxy_mending
from simian.networks.toxiproxy import from_settings
from simian.world import LinkReading, Network

LINK, MARK, NOTE = "web-east--db-west", "simian.k7f3.1", "simian.k7f3.1.anew.web-east--db-west"
HUNDRED = Distribution.parse("constant:100ms")


def network_of(*urls: str, shared: dict[str, Any] | None = None, **settings: Any) -> Network:
    servers = dict(zip(("west", "east"), urls, strict=False))
    return from_settings({"driver": "toxiproxy", "servers": servers, **settings}, {} if shared is None else shared)


def add_proxy(api: Any, upstream: str, name: str = LINK) -> str:
    """Where it listens."""
    return str(api.ask("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream})["listen"])


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
    for put, first in (
        (lambda: network.delay(LINK, MARK, by=HUNDRED, direction="forward"), f"/toxics/{MARK}"),
        (lambda: network.throttle(LINK, MARK, rate_kb_s=9, direction="forward"), f"/toxics/{MARK}"),
        (lambda: network.cut(LINK, MARK, how="blackhole", direction="forward"), ""),
    ):
        put()
        wedged.calls.clear()
        network.mend(LINK, MARK, was)
        writes = [call for call in wedged.calls if not call.startswith("GET")]
        assert writes[:2] == [f"PATCH /proxies/{LINK}{first}", f"DELETE /proxies/{LINK}/toxics/{MARK}"]
        assert wedged.proxies[LINK]["enabled"]


def test_what_cannot_be_removed_is_at_least_without_effect(wedged: Wedged) -> None:
    network = network_of(wedged.url)
    was = network.read(LINK)
    network.throttle(LINK, MARK, rate_kb_s=9, direction="forward")
    wedged.hangs = re.compile("DELETE .*")
    with pytest.raises(DriverError):
        network.mend(LINK, MARK, was)
    (toxic,) = wedged.proxies[LINK]["toxics"]
    assert (toxic["toxicity"], toxic["attributes"]) == (0.0, {"rate": 9})


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
    for act in (
        lambda: network.delay(LINK, "simian.k7f3.2", by=HUNDRED, direction="both"),
        lambda: network.cut(LINK, "simian.k7f3.2", how="refuse", direction="both"),
        lambda: network.mend(LINK, MARK, was),
    ):
        with pytest.raises(DriverError, match="but"):
            act()


def test_dying_between_taking_a_proxy_away_and_making_it_again_is_mended_later(
    toxiproxy_server: Any, upstream: str
) -> None:
    api = toxiproxy_server.api
    listen, network = add_proxy(api, upstream), network_of(api.url)
    was = network.read(LINK)
    api.ask("POST", "/proxies", {"name": NOTE, "listen": listen, "upstream": upstream, "enabled": False})
    api.ask("DELETE", f"/proxies/{LINK}")
    assert list(network.marks()) == [(LINK, MARK)]
    assert [link.name for link in network.links()] == []
    for reading in (was, LinkReading(LINK, enabled=True)):
        network.mend(LINK, MARK, reading)
        proxies = api.proxies()
        assert list(proxies) == [LINK]
        assert (proxies[LINK]["listen"], proxies[LINK]["enabled"]) == (listen, True)


@contextmanager
def users_keep_coming(listen: str) -> Iterator[None]:
    """A server that is changing a proxy may accept none of its connections, and then stop none either."""
    host, _, port = listen.rpartition(":")
    enough = threading.Event()

    def come() -> None:
        while not enough.wait(0.05):
            with suppress(OSError), socket.create_connection((host, int(port)), 1.0) as user:
                user.sendall(b"1\n")

    thread = threading.Thread(target=come)
    thread.start()
    yield
    enough.set()
    thread.join()


@pytest.mark.parametrize("busy", [False, True], ids=["alone", "busy"])
@pytest.mark.parametrize("kind", ["delay", "throttle", "blackhole"])
def test_a_client_that_does_not_read_cannot_keep_a_link_from_being_mended(
    toxiproxy_server: Any, upstream: str, wire: Any, kind: str, busy: bool
) -> None:
    listen = add_proxy(toxiproxy_server.api, upstream)
    network = network_of(toxiproxy_server.api.url, shared={"platform": ToxiproxyPlatform(toxiproxy_server)})
    was = network.read(LINK)
    {
        "delay": lambda: network.delay(LINK, MARK, by=HUNDRED, direction="both"),
        "throttle": lambda: network.throttle(LINK, MARK, rate_kb_s=90_000, direction="both"),
        "blackhole": lambda: network.cut(LINK, MARK, how="blackhole", direction="forward"),
    }[kind]()
    with wire(listen) as greedy:
        greedy.sock.sendall(b"90000000\n")
        time.sleep(0.5)  # let every buffer on the way fill up: there is nothing to be seen that says so
        with users_keep_coming(listen) if busy else nullcontext():
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
