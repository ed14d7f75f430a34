"""The marks that the answer to the current request must tell: of faults on calls made for it, and behind those."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "x-simian-faults"

# The list, not its content, is what the context carries: tasks and threads started for a request add to the same one.
_marks: ContextVar[list[str] | None] = ContextVar("simian_marks", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """For the time of one request: the list that ``note`` and ``note_header`` fill."""
    marks: list[str] = []
    token = _marks.set(marks)
    try:
        yield marks
    finally:
        _marks.reset(token)


def note(marks: Iterable[str]) -> None:
    """Add marks to those of the current request; does nothing outside of one."""
    collected = _marks.get()
    if collected is not None:
        collected.extend(marks)


def note_header(value: str | None) -> None:
    """Pass on what a service behind answered in ``x-simian-faults``."""
    if value:
        note(marks_of(value))


def marks_of(value: str) -> tuple[str, ...]:
    """The marks of a header's value."""
    return tuple(mark for mark in (part.strip() for part in value.split(",")) if mark)


def header_value(marks: Iterable[str]) -> str:
    """The header's value: each mark once, in order of appearance."""
    return ",".join(dict.fromkeys(marks))
