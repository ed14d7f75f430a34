"""Small servers on loopback that the suites of Requests and Observer talk to; each test starts its own."""

import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from simian_filters.admin import Admin
from simian_filters.client import InjectedFault, before_call
from simian_filters.context import HEADER, collecting, header_value
from simian_filters.rules import Rules

TOKEN = "s3cret"
Talk = Callable[[socket.socket], None]


class Service:
    """An HTTP service that mounts the filter: ``/health``, and ``/deep``, which calls ``store`` for its answer.

    Its rules go by a clock set by hand (``now``); the delays they decide on are not waited for.
    """

    def __init__(self, *, token: str | None = TOKEN) -> None:
        self.token, self.now, self.host, self.port = token, 1_000.0, "127.0.0.1", 0
        self.thawed = threading.Event()
        self.thawed.set()
        self._starts = itertools.count(1)
        self.start()

    def start(self) -> None:
        """Listen, as a new incarnation with no rules; on the port it had before."""
        self.incarnation = f"{next(self._starts)}-77"
        self.rules = Rules(lambda: self.now)
        self.admin = Admin(self.rules, self.token)
        self._server = ThreadingHTTPServer((self.host, self.port), self._handler())
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """End: from now on connections are refused."""
        self.thawed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                service.thawed.wait(30)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if service.admin.owns(self.path):
                    self._send(*service.admin.handle(self.command, self.path, dict(self.headers), body))
                else:
                    self._send(*service.answer(self.path))

            do_GET = do_PUT = do_DELETE = handle_any  # noqa: N815

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                with contextlib.suppress(ConnectionError):  # nobody waits for it any more
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Tests print what matters."""

        return Handler

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        """What the service itself answers, faults included."""
        parts = urlsplit(target)
        decision = self.rules.decide("server")
        with collecting() as marks:
            marks.extend(decision.marks)
            status = decision.status or self._serve(parts.path)
        body = b"x" * int(parse_qs(parts.query).get("size_b", ["2"])[0])
        headers = {"content-length": str(len(body)), "x-lab-incarnation": self.incarnation}
        return status, headers | ({HEADER: header_value(marks)} if marks else {}), body

    def _serve(self, path: str) -> int:
        try:
            if path == "/deep":
                before_call(self.rules, "store", sleep=lambda _: None)
        except InjectedFault:
            return 502
        return 200 if path in ("/health", "/deep") else 404


class Listener:
    """A TCP server on loopback that hands each connection to ``talk``; a connection ends when it returns."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed by stop
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def adopt(self, connection: socket.socket) -> None:
        """End this one, too, on ``stop``."""
        self._open.append(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._talk(connection)

    def stop(self) -> None:
        """Refuse from now on, and end what is open."""
        for one in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()


class Way:
    """A proxy to ``port``: it forwards, after ``delay_s``; or it is silent; or, once stopped, it refuses."""

    def __init__(self, port: int) -> None:
        self._upstream, self.delay_s = port, 0.0
        self.mode: Literal["forward", "silent"] = "forward"
        self._gone = threading.Event()
        self._listener = Listener(self._talk)
        self.port = self._listener.port

    def stop(self) -> None:
        self._gone.set()
        self._listener.stop()

    def _talk(self, near: socket.socket) -> None:
        if self.mode == "silent":
            self._gone.wait(30)
            return
        with socket.create_connection(("127.0.0.1", self._upstream)) as far:
            self._listener.adopt(far)
            back = threading.Thread(target=self._pump, args=(far, near))
            back.start()
            self._pump(near, far)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._gone.wait(self.delay_s)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")


def over_tls(folder: Path, talk: Talk) -> tuple[str, Talk]:
    """The file of a certificate made for 127.0.0.1, and ``talk`` behind it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def wrapped(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            talk(secure)

    return str(certificate), wrapped


@pytest.fixture(name="stack")
def stack_fixture() -> Iterator[contextlib.ExitStack]:
    """What a test starts ends with it."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(name="new_service")
def new_service_fixture(stack: contextlib.ExitStack) -> Callable[..., Service]:
    def start(**options: Any) -> Service:
        service = Service(**options)
        stack.callback(service.stop)
        return service

    return start


@pytest.fixture(name="new_listener")
def new_listener_fixture(stack: contextlib.ExitStack) -> Callable[[Talk], Listener]:
    def start(talk: Talk) -> Listener:
        listener = Listener(talk)
        stack.callback(listener.stop)
        return listener

    return start


@pytest.fixture(name="new_way")
def new_way_fixture(stack: contextlib.ExitStack) -> Callable[[int], Way]:
    def start(port: int) -> Way:
        way = Way(port)
        stack.callback(way.stop)
        return way

    return start


@pytest.fixture(name="nobody")
def nobody_fixture() -> Iterator[int]:
    """A port on which nobody listens, kept from others: bound, and never told to listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
