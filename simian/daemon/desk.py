"""The daemon's socket (docs/wire.md): a connection, a question, an answer; or events for whoever listens."""

import contextlib
import json
import os
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simian.daemon.news import News
from simian.errors import DriverError, Refused, SimianError, UsageError

LONGEST_QUESTION = 1 << 20
SILENCE_LIMIT_S = 10.0  # whoever connects and says nothing
Question = Mapping[str, Any]
Answers = Mapping[str, Callable[[Question], Any]]
KINDS: list[tuple[type[SimianError], str]] = [
    (UsageError, "usage"), (Refused, "refused"), (DriverError, "unreachable"), (SimianError, "failed"),
]  # fmt: skip


class Desk:
    """Answers at a Unix socket that its owner alone may open. Each question has a thread of its own."""

    def __init__(self, path: Path, answers: Answers, news: News) -> None:
        self._path = path
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # left by one that is no more; who may hold it is decided by the daemon's lock
        before = os.umask(0o177)
        try:
            self._server = _Server(str(path), _Handler)
        except OSError as error:
            raise UsageError(f"the socket {path} cannot be opened: {error}; choose a shorter SIMIAN_STATE") from error
        finally:
            os.umask(before)
        self._server.answers, self._server.news = answers, news

    def open(self) -> None:
        """From now on."""
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    def close(self) -> None:
        """No more; does not wait for answers on their way."""
        self._server.shutdown()
        self._server.server_close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    answers: Answers
    news: News


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = SILENCE_LIMIT_S

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever asked is gone
            question = self._question()
            if isinstance(question, dict) and question.get("do") == "events":
                self._pass_on(question)
            else:
                self._say(self._answer(question))

    def _question(self) -> Any:
        line = self.rfile.readline(LONGEST_QUESTION + 1)
        try:
            return json.loads(line) if len(line) <= LONGEST_QUESTION else None
        except (ValueError, RecursionError):
            return None

    def _answer(self, question: Any) -> dict[str, Any]:
        known = self.server.answers
        do = question.get("do") if isinstance(question, dict) else None
        try:
            if not isinstance(do, str) or do not in known:
                raise UsageError(f"do {do!r:.80} is not known; right would be one of {', '.join([*known, 'events'])}")
            return {"ok": known[do](question)}
        except SimianError as error:
            kind = next(word for cls, word in KINDS if isinstance(error, cls))
            reasons = getattr(error, "problems", None) or getattr(error, "reasons", None) or str(error).splitlines()
            return {"error": {"kind": kind, "reasons": list(reasons)}}
        except Exception as error:  # a defect of ours ends one answer, not the daemon
            return {"error": {"kind": "failed", "reasons": [f"{type(error).__name__}: {error}"]}}

    def _pass_on(self, question: Mapping[str, Any]) -> None:
        after = question.get("after", 0)
        for event in self.server.news.after(after if isinstance(after, int) else 0):
            self.wfile.write(b"\n" if event is None else json.dumps(event, default=str).encode() + b"\n")

    def _say(self, answer: Mapping[str, Any]) -> None:
        self.wfile.write(json.dumps(answer, default=str).encode() + b"\n")
