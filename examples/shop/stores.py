"""Just enough of PostgreSQL's and Redis's protocols for a shop, in the standard library."""

import socket
import struct
from collections.abc import Iterator


def redis(address: tuple[str, int], *words: str, timeout_s: float | None = None) -> str | None:
    """One command on a connection of its own. Without ``timeout_s`` it waits for an answer as long as it takes."""
    command = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
    with socket.create_connection(address, timeout_s) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"*%d\r\n%s" % (len(words), command))
        line = answer.readline()
        if not line.startswith((b"$", b"+")):
            raise OSError(f"redis: {line!r}")
        if line.startswith(b"+") or line == b"$-1\r\n":
            return None
        return answer.read(int(line[1:]) + 2)[:-2].decode()


def postgres(address: tuple[str, int], sql: str, timeout_s: float = 3.0) -> list[list[str]]:
    """Rows of one query, every value a text; the database trusts us (``POSTGRES_HOST_AUTH_METHOD``)."""
    with socket.create_connection(address, timeout_s) as connection, connection.makefile("rb") as answer:
        words = struct.pack("!I", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
        connection.sendall(struct.pack("!I", len(words) + 4) + words)
        list(_messages(answer))
        query = sql.encode() + b"\0"
        connection.sendall(b"Q" + struct.pack("!I", len(query) + 4) + query)
        return [_row(body) for kind, body in _messages(answer) if kind == b"D"]


def _messages(answer: object) -> Iterator[tuple[bytes, bytes]]:
    """Until the server is ready for the next query."""
    kind = b""
    while kind != b"Z":
        head = answer.read(5)
        if len(head) < 5:
            raise OSError("postgres: the connection has ended")
        kind, body = head[:1], answer.read(struct.unpack("!I", head[1:])[0] - 4)
        if kind == b"E" or (kind == b"R" and body[:4] != b"\0\0\0\0"):
            raise OSError(f"postgres: {body!r}")
        yield kind, body


def _row(body: bytes) -> list[str]:
    values, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        (length,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        values.append(body[at : at + max(length, 0)].decode())
        at += max(length, 0)
    return values
