"""Reading many items of a memcached at once, over the standard library, with one time limit for all of it."""

import socket
import time
from collections.abc import Sequence

from simian.errors import DriverError, TimedOut, Unreachable

_CHUNK_B = 256 << 10
_KEYS_A_LINE = 50  # a line that any memcached takes, whatever the keys


def items(address: tuple[str, int], keys: Sequence[str], *, limit_s: float, who: str) -> dict[str, bytes]:
    """Key -> value; what it lacks is left out. Raises Unreachable, TimedOut, DriverError for what is no memcached."""
    where, ends = f"{who} at {address[0]}:{address[1]}", time.monotonic() + limit_s
    try:
        with socket.create_connection(address, timeout=limit_s) as sock:
            conversation = _Conversation(sock, where, ends)
            found: dict[str, bytes] = {}
            for start in range(0, len(keys), _KEYS_A_LINE):
                found |= conversation.get(keys[start : start + _KEYS_A_LINE])
            return found
    except TimeoutError as error:
        raise TimedOut(f"{where} did not answer in {limit_s:g} s") from error
    except OSError as error:
        raise Unreachable(f"{where} does not answer ({type(error).__name__}: {error})") from error


class _Conversation:
    def __init__(self, sock: socket.socket, where: str, ends: float) -> None:
        self._sock, self._where, self._ends = sock, where, ends

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        self._limit()
        self._sock.sendall(f"get {' '.join(keys)}\r\n".encode())
        received = b""
        while (found := self._found(received)) is None:
            self._limit()
            if not (data := self._sock.recv(_CHUNK_B)):
                raise ConnectionResetError("it closed the connection before its answer")
            received += data
        return found

    def _limit(self) -> None:
        left_s = self._ends - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)

    def _found(self, received: bytes) -> dict[str, bytes] | None:
        """The items of a whole answer; ``None`` while some of it is still to come."""
        found: dict[str, bytes] = {}
        at = 0
        while (end := received.find(b"\r\n", at)) >= 0:
            words = received[at:end].split()
            if words == [b"END"]:
                return found
            if len(words) < 4 or words[0] != b"VALUE" or not words[3].isdigit():
                raise DriverError(f"{self._where} answered {received[at:end][:200]!r} to a get; is it a memcached?")
            start, length = end + 2, int(words[3])
            found[words[1].decode("latin-1")] = received[start : start + length]
            at = start + length + 2
        return None
