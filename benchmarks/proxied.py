"""A Toxiproxy of one proxy, with a latency on the way back: the peer of what simian's rules hold back."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HOST = "127.0.0.1"
WITHIN_S = 20.0
PROGRAM = "toxiproxy-server"
REMEDY = "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0, named toxiproxy-server"


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=WITHIN_S).close()


def _wait(url: str) -> None:
    until = time.monotonic() + WITHIN_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=WITHIN_S).close()
            return
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


@contextmanager
def latency(program: str, toxicity: float, latency_ms: int, jitter_ms: int, upstream: int) -> Iterator[int]:
    """The port at which ``upstream`` is reached through it. Raises URLError when it does not come up."""
    api, port = free_port(), free_port()
    words = [program, "-host", HOST, "-port", str(api)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base = f"http://{HOST}:{api}"
        _wait(f"{base}/version")
        proxy = {"name": "echo", "listen": f"{HOST}:{port}", "upstream": f"{HOST}:{upstream}", "enabled": True}
        _post(f"{base}/proxies", proxy)
        attributes = {"latency": latency_ms, "jitter": jitter_ms}
        toxic = {"type": "latency", "stream": "downstream", "toxicity": toxicity, "attributes": attributes}
        _post(f"{base}/proxies/echo/toxics", toxic)
        yield port
    finally:
        process.kill()
        process.wait()
