"""An independent recorder of DNS answers: where users of each home are sent, and whether that serves them."""

import random
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rdatatype

NETWORKS = {"east": "198.18", "west": "198.19"}
PATIENCE_S = 10.0  # of a busy machine; whether it is quick is not what is asked here


@dataclass(frozen=True)
class Look:
    """One question as a user of a home: the addresses answered, and the region that served, if any."""

    at: float
    home: str
    addresses: tuple[str, ...]
    region: str | None
    said: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


@dataclass
class Recorder:
    """Asks all the while, in a thread of its own, with dnspython and urllib: nothing of simian's is used."""

    manifest: dict[str, Any]
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        nodes = {node["name"]: node for node in self.manifest["nodes"]}
        host, _, port = nodes["dns"]["ask"].removeprefix("dns://").partition("/")[0].rpartition(":")
        self._server, self._name = (host, int(port)), nodes["dns"]["ask"].rpartition("/")[2]
        self._port = nodes["gateway-east-a"]["address"].rpartition(":")[2]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ends.set()
        self._thread.join()

    def _record(self) -> None:
        rng = random.Random(1)
        while not self._ends.wait(0.05):
            for home, network in NETWORKS.items():
                self.looks.append(self._look(home, f"{network}.{rng.randrange(256)}.0"))

    def _look(self, home: str, subnet: str) -> Look:
        """One that finds its region gone may have been answered just before: so it asks once more, as devices do."""
        made = self._asked(home, subnet)
        return made if made.region else self._asked(home, subnet)

    def _asked(self, home: str, subnet: str) -> Look:
        addresses = self._resolve(subnet)
        said = ["no address was answered"]
        for address in addresses:
            region, said_now = self._served(address, home, subnet)
            if region:
                return Look(time.time(), home, addresses, region, "")
            said.append(f"{address}: {said_now}")
        return Look(time.time(), home, addresses, None, "; ".join(said))

    def _resolve(self, subnet: str) -> tuple[str, ...]:
        question = dns.message.make_query(self._name, "A", use_edns=0, options=[dns.edns.ECSOption(subnet, 24)])
        try:
            answer = dns.query.udp(question, self._server[0], timeout=PATIENCE_S, port=self._server[1])
        except (OSError, dns.exception.DNSException):
            return ()
        return tuple(record.address for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for record in rrset)

    def _served(self, address: str, home: str, subnet: str) -> tuple[str | None, str]:
        url = f"http://{address}:{self._port}/profile?member=recorder"
        for _ in range(2):
            request = urllib.request.Request(url, headers={"x-lab-home": home, "x-lab-subnet": f"{subnet}/24"})
            try:
                with _OPENER.open(request, timeout=PATIENCE_S) as answer:
                    return answer.headers.get("x-lab-region"), ""
            except urllib.error.HTTPError as error:
                if error.code != 307:
                    return None, f"status {error.code}"
                url = error.headers["location"]
            except OSError as error:
                return None, str(error)
        return None, "redirected twice"

    def unserved(self, since: float = 0.0) -> list[Look]:
        """Looks that found nobody who served."""
        return [look for look in self.looks if look.region is None and look.at >= since]
