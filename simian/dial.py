"""Connecting to an address that was written by hand: it is looked at after its name was resolved, and then used.

Link-local addresses are where clouds answer anybody on a machine with its credentials; no probe and no webhook has
business there. The address that was looked at is the one that is connected to: a name cannot change in between.
"""

import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Where clouds answer with credentials, or rule their machines, at addresses that are not link-local.
METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)  # fmt: skip
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last four bytes are an address of IPv4


def why_not(text: str) -> str:
    """Why this address, as the resolver gives it, is not connected to; empty: it may be."""
    known = meant(ipaddress.ip_address(text.partition("%")[0]))
    for kind, is_so in (
        ("link-local", known.is_link_local), ("multicast", known.is_multicast), ("nobody's", known.is_unspecified),
        ("a cloud's own", known in METADATA),
    ):  # fmt: skip
        if is_so:
            return kind
    return ""


def meant(address: Address) -> Address:
    """Of an IPv6 address that stands for one of IPv4, that one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def connect(host: str, port: int, timeout_s: float, who: str) -> socket.socket:
    """A TCP connection. ``who`` (in the plural) does not ask some addresses: raises ValueError. And OSError."""
    error: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if why := why_not(str(address[0])):
            raise ValueError(f"{host} is {address[0]} ({why}), an address that {who} do not ask")
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout_s)
        try:
            connection.connect(address)
        except OSError as failed:
            connection.close()
            error = failed
        else:
            return connection
    raise error or OSError(f"{host} has no address")
