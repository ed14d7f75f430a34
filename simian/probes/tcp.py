"""One TCP connection."""

from simian.probe import Reading, probe
from simian.probes.http import connect


@probe("tcp")
def accepts(address: str) -> Reading:
    """1.0 when ``host:port`` accepts a connection, else 0.0. Through a proxy this says nothing of what is behind."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r:.80} is no address; right would be host:port")
    try:
        connect(host.strip("[]"), int(port)).close()
    except OSError as error:
        return Reading(0.0, f"{type(error).__name__}: {error}")
    return Reading(1.0, "accepted")
