"""One attempt to talk to something over a socket, all of it within one time limit, and what became of it."""

import http.client
import io
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import SplitResult

CHUNK_B = 64 * 1024
PORTS = {"http": 80, "https": 443, "memcached": 11211, "dns": 53, "redis": 6379, "postgres": 5432, "mysql": 3306}


class Closed(Exception):
    """The other side ended the connection amid or before its answer."""


class Garbled(Exception):
    """Bytes came that are no answer of the protocol asked for."""


@dataclass
class Attempt(io.RawIOBase):
    """One attempt: a socket whose reads and writes all end at one deadline, and what was seen so far."""

    url: SplitResult
    timeout_s: float
    size_b: int
    clock: Callable[[], float]
    headers: Mapping[str, str] = field(default_factory=dict)
    connected: bool = False
    answered: bool = False
    answered_ms: float | None = None
    transferred_b: int = 0
    seen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.sock: socket.socket | None = None

    def elapsed_ms(self) -> float:
        return (self.clock() - self.started) * 1_000

    def left_s(self) -> float:
        left = self.started + self.timeout_s - self.clock()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def host(self) -> str:
        return self.url.hostname or ""

    @property
    def port(self) -> int:
        return self.url.port or PORTS[self.url.scheme]

    def connect(self) -> None:
        self.sock = socket.create_connection((self.host, self.port), timeout=self.left_s())
        self.connected = True

    def send(self, data: bytes) -> None:
        assert self.sock is not None
        self.sock.settimeout(self.left_s())  # of sendall as a whole
        self.sock.sendall(data)

    def answer(self) -> None:
        """An application answer is here; what comes after it does not change that."""
        self.answered, self.answered_ms = True, self.elapsed_ms()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self.sock is not None
        self.sock.settimeout(self.left_s())
        return self.sock.recv_into(buffer)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        super().close()


Reader: TypeAlias = "io.BufferedReader[Attempt]"


_CLOSED = "closed without an answer"


def told(attempt: Attempt, ask: Callable[[Attempt], str]) -> str:
    """Do it, and say in words what happened."""
    within = f"in {attempt.timeout_s * 1000:.0f} ms"
    try:
        return ask(attempt)
    except TimeoutError:
        if attempt.answered:
            return f"not all of the answer {within}: {attempt.transferred_b} bytes"
        nothing = "answer" if attempt.connected or attempt.url.scheme == "dns" else "connection"
        return f"no {nothing} {within}"
    except ConnectionRefusedError:
        return "refused"
    except (Closed, http.client.IncompleteRead):
        return f"closed amid its answer, after {attempt.transferred_b} bytes" if attempt.answered else _CLOSED
    except http.client.RemoteDisconnected:
        return _CLOSED
    except (ConnectionResetError, BrokenPipeError):
        return "reset amid its answer" if attempt.answered else "reset without an answer"
    except (Garbled, http.client.HTTPException) as error:
        return f"no {attempt.url.scheme} answer: {str(error)[:200]!r}"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
