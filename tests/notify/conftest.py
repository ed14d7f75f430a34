"""A receiver on loopback that does what a test says, and a history."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from simian.history import History, open_history

LIMIT_S = 60.0


@dataclass
class Receiver:
    """Answers the statuses given, the last one for ever; ``hanging``: nothing, ``dripping``: a byte at a time."""

    statuses: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    retry_after: str = ""
    hanging: bool = False
    dripping: bool = False
    over: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            if made.hanging:
                made.over.wait(LIMIT_S)
                return
            if made.dripping:
                self.drip()
                return
            self.send_response(made.statuses.pop(0) if len(made.statuses) > 1 else made.statuses[0])
            self.send_header("Location", made.url + "/elsewhere")
            if made.retry_after:
                self.send_header("Retry-After", made.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def drip(self) -> None:
            try:
                while not made.over.wait(0.05):
                    self.wfile.write(b"H")
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    made.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "history.db") as opened:
        yield opened
