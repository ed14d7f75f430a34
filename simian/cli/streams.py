"""stdout and stderr that cannot end a run: closed ones, and readers that leave before the end."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Patient:
    """A stream whose reader may leave: what is printed then is lost, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        """Flush, or lose it. Raises OSError where what was printed cannot be kept (a full disk)."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nowhere()
        except OSError:
            self._to_nowhere()  # else it fails again while the interpreter ends
            raise

    def _to_nowhere(self) -> None:
        with open(os.devnull, "wb") as nowhere, contextlib.suppress(io.UnsupportedOperation):
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def patient_streams() -> Iterator[None]:
    """stdout and stderr as above while this lasts."""
    _open_closed_ones()
    out, err = sys.stdout, sys.stderr
    for stream in (out, err):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only gets the rest in words
    sys.stdout, sys.stderr = cast(TextIO, Patient(out)), cast(TextIO, Patient(err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _open_closed_ones() -> None:
    """Whoever starts us with 0, 1 or 2 closed would have our files and pipes in their place, and be printed into."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
