"""A gateway of a system that is not the lab, in a container with nothing but Python: what docs/wire.md asks of one.

It serves orders with the help of a web server of its region, counts who arrives, and can be told to serve users of
other homes or to send away those who are led elsewhere. Where users are led they tell it themselves. There is no
isthmus: who is mis-routed is sent home in either mode. Run as a program, with ``REGION``, ``TOKEN`` and ``PEERS``, JSON
of the addresses of gateways and web servers by region.
"""

import json
import os
import random
import threading
import time
import urllib.request
from collections import Counter, deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REGION, TOKEN = os.environ.get("REGION", ""), os.environ.get("TOKEN", "")
PEERS: dict[str, dict[str, list[str]]] = json.loads(os.environ.get("PEERS", "{}"))
CAPACITY_RPS = 26.0  # users of one home make 20 at most: a gateway carries its own region's, and a third of another's
WINDOW_S = 5.0
STARTED = f"{time.time():.6f}"


class Gate:
    """What one gateway remembers: a new incarnation begins anew."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.arrivals, self.served_at = Counter({region: 0 for region in PEERS}), deque[float](maxlen=10_000)
        self.settings: dict[str, dict[str, Any]] = {
            "failover": {"regions": [], "owner": ""},
            "misrouted": {"mode": "isthmus", "own": False, "owner": ""},
            "limit": {"concurrency": 256, "owner": ""},
        }

    def patch(self, told: dict[str, dict[str, Any]]) -> dict[str, Any]:
        with self.lock:
            for name, values in told.items():
                self.settings[name] = {**self.settings[name], "owner": "", **values}
            return self.settings

    def load(self) -> dict[str, float]:
        now = time.monotonic()
        with self.lock:
            lately = [at for at in self.served_at if at > now - WINDOW_S]
        # Of the time that it has served at all: else it would tell too little in its first seconds.
        span_s = max(1.0, now - lately[0]) if lately else WINDOW_S
        return {"load_rps": len(lately) / span_s, "capacity_rps": CAPACITY_RPS}

    def order(self, home: str, led: str | None) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to an order of a user of this home, whom the DNS led to ``led``."""
        with self.lock:
            self.arrivals[home] += 1
            failover, misrouted = self.settings["failover"], self.settings["misrouted"]
        if home == REGION and misrouted["mode"] == "redirect" and misrouted["own"] and led != REGION:
            there = led or random.choice(sorted({*PEERS} - {REGION}))  # who tells nothing counts as led away
            return _sent_to(there)
        if home not in (REGION, *failover["regions"]):
            return _sent_to(home)
        for address in random.sample(PEERS[REGION]["webs"], len(PEERS[REGION]["webs"])):
            with suppress(OSError), urllib.request.urlopen(f"http://{address}/cgi-bin/health", timeout=0.5):
                self.served_at.append(time.monotonic())
                return 200, {"x-lab-region": REGION, "x-lab-way": "direct"}
        return 503, {}


def _sent_to(region: str) -> tuple[int, dict[str, str]]:
    address = random.choice(PEERS[region]["gates"])
    return 307, {"location": f"http://{address}/order", "x-lab-way": "redirect"}


GATE = Gate()


class Handler(BaseHTTPRequestHandler):
    """The pages of a gateway."""

    def do_GET(self) -> None:
        counts = {"region": REGION, "arrivals": GATE.arrivals, "shed": 0, "in_flight": 0}
        pages = {"/admin/settings": lambda: GATE.settings, "/admin/arrivals": lambda: counts,
                 "/headroom": GATE.load, "/cgi-bin/health": dict}  # fmt: skip
        if self.path == "/order":
            self._answer(*GATE.order(self.headers["x-lab-home"] or REGION, self.headers["x-led"]), {})
        elif self.path.startswith("/admin") and not self._known():
            self._answer(401, {}, {})
        else:
            self._answer(200, {"x-lab-incarnation": STARTED}, pages[self.path]())

    def do_PATCH(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._answer(*((200, {}, GATE.patch(told)) if self._known() else (401, {}, {})))

    def _known(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *told: Any) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
