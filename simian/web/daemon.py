"""Asking the daemon, at its socket: a connection for each question, a JSON line each way (docs/wire.md)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from simian.errors import Refused, SimianError, Unreachable, UsageError

CONNECT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 15.0  # a plan asks every node of the system for its state
SILENCE_LIMIT_S = 15.0  # a daemon that lives says so every 5 s
LONGEST_LINE = 32 << 20  # the record of a run that lasted a day
Answer = Any
Event = dict[str, Any]
_KINDS: dict[str, type[SimianError]] = {"usage": UsageError, "refused": Refused, "unreachable": Unreachable}


class NoAnswer(Unreachable):
    """It was asked and did not say what came of it: it may have done it, or may still."""


class Daemon:
    """The daemon of one system. Raises what the daemon answers with, Unreachable when it does not answer."""

    def __init__(self, socket: str, *, answer_limit_s: float = ANSWER_LIMIT_S) -> None:
        self._socket = socket
        self._answer_limit_s = answer_limit_s

    async def ask(self, do: str, *, by: str = "web", **keys: object) -> Answer:
        """The ``ok`` of its answer. ``by``: who asks, for the audit. Raises NoAnswer where it may have been done."""
        asked = False
        try:
            async with asyncio.timeout(self._answer_limit_s):
                async with self._connection() as (reader, writer):
                    asked = True
                    await _say(writer, {"do": do, "by": by, **keys})
                    line = await reader.readline()
        except TimeoutError as error:
            late = f"gave no answer to {do!r} within {self._answer_limit_s:g} s"
            raise (NoAnswer if asked else Unreachable)(f"the daemon {late}; see its log, or 'simian status'") from error
        except (OSError, ValueError) as error:
            raise self._gone(error, NoAnswer if asked else Unreachable) from error
        return _told(line, do)

    async def events(self, after: int = 0) -> AsyncIterator[Event | None]:
        """Events after that number as they come; None for its sign of life. Raises Unreachable when they end."""
        try:
            async with self._connection() as (reader, writer):
                await _say(writer, {"do": "events", "by": "web", "after": after})
                while True:
                    async with asyncio.timeout(SILENCE_LIMIT_S):
                        line = await reader.readline()
                    if not line:
                        raise Unreachable("the daemon has ended its events; it is going down, or was started anew")
                    yield _told(line, "events") if line.strip() else None
        except TimeoutError as error:
            raise Unreachable(f"the daemon has said nothing for {SILENCE_LIMIT_S:g} s; see its log") from error
        except (OSError, ValueError) as error:
            raise self._gone(error) from error

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=LONGEST_LINE)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _gone(self, error: Exception, kind: type[Unreachable] = Unreachable) -> Unreachable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return kind(f"the daemon does not answer at {self._socket}: {why}; start it with 'simian serve'")


async def _say(writer: asyncio.StreamWriter, question: Mapping[str, object]) -> None:
    writer.write(json.dumps(question).encode() + b"\n")
    await writer.drain()


def _told(line: bytes, do: str) -> Answer:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        said = "nothing" if not line else "what is no JSON"
        raise NoAnswer(f"the daemon answered {do!r} with {said}; see its log") from error
    if isinstance(answer, dict) and "error" in answer:
        reasons = [str(reason) for reason in answer["error"].get("reasons") or ["it gave no reason"]]
        kind = _KINDS.get(str(answer["error"].get("kind")), SimianError)
        raise kind(reasons) if kind in (UsageError, Refused) else kind("\n".join(reasons))
    return answer["ok"] if isinstance(answer, dict) and "ok" in answer else answer
