"""What only Toxiproxy has: servers that hang, wedge or restart, names in addresses, toxics instead of faults."""

import http.server
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import toxiproxy
from simian_filters.distribution import Distribution

from simian.errors import DriverError, TimedOut, Unreachable
from simian.networks.toxiproxy import from_settings
from simian.world import LinkReading, Network

LINK, MARK = "web-east--db-west", "simian.k7f3.1"
HUNDRED = Distribution.parse("constant:100ms")


def network_of(*urls: str, shared: dict[str, Any] | None = None, **settings: Any) -> Network:
    servers = dict(zip(("west", "east"), urls, strict=False))
    return from_settings({"driver": "toxiproxy", "servers": servers, **settings}, {} if shared is None else shared)


def add_proxy(api: Any, upstream: str, name: str = LINK) -> str:
    """Where it listens."""
    return str(api.ask("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream})["listen"])


# --- connections


def test_connections_live_through_a_delay_and_its_mending(toxiproxy_server: Any, upstream: str, wire: Any) -> None:
    listen, network = add_proxy(toxiproxy_server.api, upstream), network_of(toxiproxy_server.api.url)
    was = network.read(LINK)
    with wire(listen) as old:
        assert old.ask() is not None
        network.delay(LINK, MARK, by=HUNDRED, direction="backward")
        assert old.ask() > 90
        network.mend(LINK, MARK, was)
        assert min(old.ask() for _ in range(5)) < 50


def test_connections_live_through_a_throttle_that_is_mended_amid_a_transfer(
    toxiproxy_server: Any, upstream: str, wire: Any
) -> None:
    listen, network = add_proxy(toxiproxy_server.api, upstream), network_of(toxiproxy_server.api.url)
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


def test_a_black_hole_silences_open_connections_and_refuse_closes_them(
    toxiproxy_server: Any, upstream: str, wire: Any
) -> None:
    listen, network = add_proxy(toxiproxy_server.api, upstream), network_of(toxiproxy_server.api.url)
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


def test_nobody_there_is_unreachable_and_names_the_server(toxiproxy_server: Any) -> None:
    toxiproxy_server.end()
    network = network_of(toxiproxy_server.api.url)
    for act in (
        network.links,
        network.marks,
        lambda: network.read(LINK),
        lambda: network.delay(LINK, MARK, by=HUNDRED, direction="both"),
        lambda: network.mend(LINK, MARK, LinkReading(LINK, enabled=True)),
    ):
        with pytest.raises(Unreachable, match=re.escape(toxiproxy_server.api.url)):
            act()


def test_a_server_that_hangs_is_a_time_out_by_its_limit(
    toxiproxy_server: Any, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_proxy(toxiproxy_server.api, upstream)
    network = network_of(toxiproxy_server.api.url)
    home = network._servers["west"].within(0.3)  # type: ignore[attr-defined]
    monkeypatch.setattr(network, "_servers", {"west": home})
    toxiproxy_server._child.send_signal(signal.SIGSTOP)
    try:
        for act in (network.links, lambda: network.cut(LINK, MARK, how="refuse", direction="both")):
            with pytest.raises(TimedOut, match=re.escape(toxiproxy_server.api.url)):
                act()
    finally:
        toxiproxy_server._child.send_signal(signal.SIGCONT)


def test_one_server_that_fails_does_not_hide_the_links_of_another(toxiproxy_server: Any, upstream: str) -> None:
    add_proxy(toxiproxy_server.api, upstream, "a--b")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    network = network_of(gone, toxiproxy_server.api.url)
    network.delay("a--b", MARK, by=HUNDRED, direction="both")
    assert sorted(toxiproxy_server.api.toxics("a--b")) == [f"{MARK}.down", f"{MARK}.up"]
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


def test_the_library_is_left_as_it_was_for_others(toxiproxy_server: Any, upstream: str) -> None:
    network = network_of(toxiproxy_server.api.url)
    add_proxy(toxiproxy_server.api, upstream)
    assert network.read(LINK).enabled
    library = toxiproxy.Toxiproxy()
    library.update_api_consumer("127.0.0.1", toxiproxy_server.api.port)
    assert list(library.proxies()) == [LINK]
