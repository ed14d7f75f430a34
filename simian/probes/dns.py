"""One DNS question, to one server or to the machine's own resolver."""

import secrets
import socket
import struct

from simian.probe import Reading, probe

TIMEOUT_S = 5.0
_TYPES = {"A": 1, "AAAA": 28}
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}


@probe("dns")
def resolves(name: str, server: str | None = None, expect: list[str] | None = None, record: str = "A") -> Reading:
    """1.0 when the name has an address, and one of ``expect`` where given, else 0.0. ``server`` is host:port."""
    if record not in _TYPES:
        raise ValueError(f"record: {record!r:.20}; right would be A or AAAA")
    try:
        found = query(name, server, record) if server else _system(name, record)
    except (OSError, ValueError) as error:
        return Reading(0.0, f"{type(error).__name__}: {error}")
    good = bool(set(found) & set(expect)) if expect else bool(found)
    return Reading(float(good), ", ".join(found) or "no address")


def _system(name: str, record: str) -> list[str]:
    found = socket.getaddrinfo(name, None, _FAMILIES[record], socket.SOCK_DGRAM)
    return sorted({str(address[0]) for *_, address in found})


def query(name: str, server: str, record: str) -> list[str]:
    """Addresses that one server answers over UDP. Raises OSError, or ValueError for a malformed answer."""
    host, _, port = server.rpartition(":") if ":" in server else (server, "", "53")
    labels = b"".join(bytes([len(part)]) + part.encode("idna") for part in name.rstrip(".").split("."))
    number = secrets.randbits(16)
    question = (
        struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", _TYPES[record], 1)
    )
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(address)
        connection.send(question)
        answer = connection.recv(65535)
        while answer[:2] != question[:2]:  # a late answer to somebody else's question
            answer = connection.recv(65535)
    return _addresses(answer, record)


def _addresses(answer: bytes, record: str) -> list[str]:
    try:
        _, flags, questions, answers, _, _ = struct.unpack_from(">HHHHHH", answer)
        if flags & 0xF:
            raise ValueError(f"the server answered with code {flags & 0xF}")
        at, found = 12, []
        for _ in range(questions):
            at = _skip_name(answer, at) + 4
        for _ in range(answers):
            at = _skip_name(answer, at)
            kind, _, _, size = struct.unpack_from(">HHIH", answer, at)
            if kind == _TYPES[record]:
                found.append(socket.inet_ntop(_FAMILIES[record], answer[at + 10 : at + 10 + size]))
            at += 10 + size
    except (struct.error, IndexError) as error:
        raise ValueError(f"a malformed answer: {error}") from error
    return sorted(found)


def _skip_name(answer: bytes, at: int) -> int:
    while answer[at]:
        if answer[at] & 0xC0:
            return at + 2
        at += answer[at] + 1
    return at + 1
