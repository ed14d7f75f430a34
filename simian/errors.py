"""Every error simian raises on purpose, and what each means for a run.

SimianError
├── UsageError            the words or files given are wrong (exit 2); carries every problem at once
├── Refused               a plan or run must not go ahead (exit 3); carries every reason at once
├── DriverError           the world outside did not do as asked
│   ├── Unreachable       nothing answers there
│   ├── NoSuchTarget      the node, link or service is not there (undo: content)
│   ├── Unsupported       this driver cannot do that, and says what it can
│   └── TimedOut          no answer by the deadline: the call may still land ("doubtful")
├── LeaseLost             this process no longer owns its run and must not touch the world
├── JournalError          the journal cannot be read or written
├── HistoryError          the history of past runs cannot be read or written (a run goes on without it)
└── PluginError           somebody's monkey, probe or driver raised or is malformed
"""

from collections.abc import Iterable


class SimianError(Exception):
    """Base of all errors raised on purpose; its text is fit to be shown to a person."""


class UsageError(SimianError):
    """Wrong words or a wrong file. ``problems`` holds one line each, with file, line and key where known."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class Refused(SimianError):
    """The run must not go ahead. ``reasons`` holds every reason found, not only the first."""

    def __init__(self, reasons: str | Iterable[str]) -> None:
        self.reasons = [reasons] if isinstance(reasons, str) else list(reasons)
        super().__init__("\n".join(self.reasons))


class DriverError(SimianError):
    """The world outside did not do as asked."""


class Unreachable(DriverError):
    """Nothing answers there."""


class NoSuchTarget(DriverError):
    """The node, link or service named is not there."""


class Unsupported(DriverError):
    """This driver cannot do what was asked; the text says what it can do."""


class TimedOut(DriverError):
    """No answer by the deadline; the call may still land later."""


class LeaseLost(SimianError):
    """This process no longer owns its run; it must not touch the world."""


class JournalError(SimianError):
    """The journal cannot be read or written."""


class HistoryError(SimianError):
    """The history of past runs cannot be read or written; the text names the file or database, never its password."""


class PluginError(SimianError):
    """A monkey, probe or driver that is not ours raised, or is malformed."""
