"""Which way a caller's connections go, read from its own tables: through a proxy, or past it. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Iterator

from simian.world import Way

_LISTENS = "0A"
# A reader with only busybox: the tables of its network, then what the name leads to.
LOOK = 'cat /proc/net/tcp /proc/net/tcp6; echo; nslookup "$1" 127.0.0.11 2>&1'


def way_of(text: str, proxies: Iterable[str], port: int, targets: Iterable[str]) -> Way:
    """What the output of ``LOOK`` tells, for a proxy at these addresses that listens on ``port``."""
    tables, _, names = text.partition("\n\n")
    ours, theirs = set(proxies), set(targets)
    opened = list(_opened(tables))
    through = sum(address in ours and at == port for address, at in opened)
    past = sum(address in theirs - ours for address, _ in opened)
    return Way(through, past, tuple(_led_to(names)), tuple(sorted(ours)))


def _opened(tables: str) -> Iterator[tuple[str, int]]:
    """Address and port of each connection that was opened here, not accepted."""
    rows = [line.split()[1:4] for line in tables.splitlines() if re.match(r"\s*\d+: ", line)]
    listens = {local.partition(":")[2] for local, _, state in rows if state == _LISTENS}
    for local, remote, state in rows:
        if state != _LISTENS and local.partition(":")[2] not in listens:
            address, _, port = remote.partition(":")
            yield _address(address), int(port, 16)


def _address(digits: str) -> str:
    """The kernel writes each 32 bits of an address as the machine (little-endian) has them."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    found = ipaddress.ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found)


def _led_to(answer: str) -> Iterator[str]:
    """The addresses after the first ``Name:``; those before are the server's."""
    for line in answer.partition("Name:")[2].splitlines():
        if found := re.match(r"Address(?: \d+)?:\s+(\S+)", line):
            yield found[1]
