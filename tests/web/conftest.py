"""A web process of its own for each test, beside a small daemon; both end with the test."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import httpx
import pytest

from .small_daemon import SmallDaemon, a_small_daemon

OPERATOR, READER = "an operator's token", "a reader's token"
TOKENS = [
    {"name": "anna", "role": "operator", "sha256": hashlib.sha256(OPERATOR.encode()).hexdigest()},
    {"name": "rob", "role": "reader", "sha256": hashlib.sha256(READER.encode()).hexdigest()},
]


class Web:
    """A web process that serves. ``daemon``: its neighbour."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", daemon: SmallDaemon, log: Path) -> None:
        self.url, self.process, self.daemon, self.log = url, process, daemon, log

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, **more)


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Web]:
    """Spawned as the daemon spawns it: its settings on stdin, nothing in its environment that it has no use for."""
    with a_small_daemon(folder) as daemon:
        told = {"port": 0, "socket": str(daemon.socket), "history": daemon.history, "system": "lab", "tokens": TOKENS}
        log = folder / "web.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "simian.web"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                env={"PATH": "/usr/bin:/bin"},
            )  # fmt: skip
        to, of = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        try:
            to.write(json.dumps(told | settings).encode() + b"\n")
            to.flush()
            answer = json.loads(of.readline() or b"{}")
            assert "listening" in answer, f"{answer} {log.read_text()}"
            yield Web(answer["listening"], process, daemon, log)
        finally:
            to.close()
            try:
                process.wait(60)
            finally:
                process.kill()  # one that does not end by itself fails its test, and is not left behind
                process.wait()
                of.close()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving(tmp_path_factory.mktemp("web")) as opened:
        yield opened


@pytest.fixture
def another_web(tmp_path: Path) -> Iterator[Callable[..., Web]]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(tmp_path, **settings))
