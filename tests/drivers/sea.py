"""The sea: where users of three regions are led by a real DNS, and users who follow it."""

import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rdatatype
from simian_lab.layout import Layout

from simian.steering.powerdns import write_weights

from .small_lab import KEY, RealPowerDns, ask_dns_api

HOMES = {"north": "198.18.0.0/17", "south": "198.18.128.0/17", "isle": "198.19.0.0/16"}
ZONE = "sea."


class SeaDns:
    """A real PowerDNS that leads the users of each region to a switch of its own, and that to the region's servers."""

    def __init__(self, folder: Path, servers: Mapping[str, Sequence[str]]) -> None:
        """``servers``: the addresses of each region that users are led to."""
        self.dns = RealPowerDns(folder, Layout.compute(0))
        self._servers = {region: list(servers[region]) for region in HOMES}
        geo = "".join(f"if netmask({{'{net}'}}) then return '{home}.switch.sea.' end " for home, net in HOMES.items())
        records = [("app", "LUA", [f"CNAME \";{geo}return 'north.switch.sea.'\""])]
        for home in HOMES:
            weights = write_weights({f"{each}.web.sea.": 100 * (each == home) for each in HOMES})
            records += [(f"{home}.switch", "LUA", [weights]), (f"{home}.web", "A", self._servers[home])]
        sets = [
            {"name": f"{name}.{ZONE}", "type": kind, "ttl": 1, "changetype": "REPLACE",
             "records": [{"content": content, "disabled": False} for content in contents]}
            for name, kind, contents in records
        ]  # fmt: skip
        zone = {"name": ZONE, "kind": "Native", "nameservers": [], "soa_edit_api": "", "rrsets": sets}
        status, answer = ask_dns_api(self.dns.api, "POST", "", zone)
        assert status == 201, answer

    @property
    def settings(self) -> dict[str, Any]:
        """The section ``steering:``."""
        return {
            "driver": "dns", "provider": "powerdns", "url": f"http://127.0.0.1:{self.dns.api}", "key": KEY,
            "ask": f"127.0.0.1:{self.dns.udp}", "name": "app.sea", "zone": ZONE,
            "homes": {home: {"switch": f"{home}.switch.sea.", "subnets": [net]} for home, net in HOMES.items()},
            "regions": {
                region: {"target": f"{region}.web.sea.", "addresses": its} for region, its in self._servers.items()
            },
        }  # fmt: skip

    def records(self) -> list[Any]:
        """The zone as the server has it, without its serial number."""
        _, zone = ask_dns_api(self.dns.api, "GET", f"/{ZONE}")
        return sorted(
            (each["name"], each["type"], str(each["records"])) for each in zone["rrsets"] if each["type"] != "SOA"
        )


class Users:
    """Users of each home, a few orders a second: they ask the DNS before each, and follow where they are sent.

    Pages on loopback tell what they saw, as a metrics store would: ``/orders`` how many were served since the start,
    ``/ok`` the percentage of those that ended in the last two seconds.
    """

    EVERY_S, PATIENCE_S, WINDOW_S = 0.1, 2.5, 2.0

    def __init__(self, dns_port: int, port: int, seed: int) -> None:
        self.served: Counter[tuple[str, str]] = Counter()  # by home and the region that served
        self.failed: Counter[str] = Counter()
        self._dns_port, self._rng, self._port = dns_port, random.Random(seed), port
        self._ended: deque[tuple[float, bool]] = deque(maxlen=10_000)
        self._over = threading.Event()
        self._pages = ThreadingHTTPServer(("127.0.0.1", 0), self._page())
        self.url = f"http://127.0.0.1:{self._pages.server_port}"
        walks = [threading.Thread(target=self._walk, args=(home,), daemon=True) for home in HOMES for _ in range(2)]
        self._threads = [threading.Thread(target=self._pages.serve_forever, daemon=True), *walks]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        self._pages.shutdown()
        for thread in self._threads:
            thread.join()
        self._pages.server_close()

    def wait_for(self, orders: int) -> None:
        """Return once so many were served. Raises AssertionError when that takes a minute."""
        deadline = time.monotonic() + 60.0
        while self.served.total() < orders:
            assert time.monotonic() < deadline, f"{self.served.total()} orders were served, {self.failed} failed"
            time.sleep(0.1)

    def ok_percent(self) -> float:
        """Of the orders that ended lately; 0.0 where none did."""
        since = time.monotonic() - self.WINDOW_S
        lately = [ok for at, ok in list(self._ended) if at > since]
        return 100.0 * sum(lately) / len(lately) if lately else 0.0

    def _page(self) -> type[BaseHTTPRequestHandler]:
        users = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told = users.ok_percent() if self.path == "/ok" else users.served.total()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(f"{told:g}".encode())

            def log_message(self, *said: Any) -> None:
                """Nobody reads it."""

        return Page

    def _walk(self, home: str) -> None:
        while not self._over.wait(self.EVERY_S):
            region = self._order(home)
            self._ended.append((time.monotonic(), bool(region)))
            if region:
                self.served[home, region] += 1
            else:
                self.failed[home] += 1

    def _order(self, home: str) -> str:
        """The region that served; empty where none did. Once more where the first address does not: as devices do."""
        until_s = time.monotonic() + self.PATIENCE_S
        for _ in range(2):
            led, addresses = self._resolve(home)
            url = f"http://{self._rng.choice(addresses)}:{self._port}/order" if addresses else ""
            while url and time.monotonic() < until_s:
                request = urllib.request.Request(url, headers={"x-lab-home": home, "x-led": led})
                try:
                    with _OPENER.open(request, timeout=1.0) as answer:
                        return str(answer.headers["x-lab-region"])
                except urllib.error.HTTPError as error:
                    url = error.headers["location"] if error.code == 307 else ""
                except OSError:
                    break
        return ""

    def _resolve(self, home: str) -> tuple[str, list[str]]:
        """The region that the DNS leads one of the home's subnets to, and its addresses."""
        first, _, length = HOMES[home].partition("/")
        parts = [int(part) for part in first.split(".")]
        subnet = f"{parts[0]}.{parts[1]}.{parts[2] + self._rng.randrange(2 ** (24 - int(length)))}.0"
        option = dns.edns.ECSOption(subnet, 24)
        question = dns.message.make_query("app.sea", "A", use_edns=0, options=[option])
        with suppress(OSError, dns.exception.DNSException):
            answer = dns.query.udp(question, "127.0.0.1", timeout=1.0, port=self._dns_port)
            sets = [rrset for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A]
            if sets:
                return str(sets[0].name).partition(".")[0], [record.address for record in sets[0]]
        return "", []


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
