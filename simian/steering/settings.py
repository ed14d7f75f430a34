"""Reading nested settings key by key, so that every problem is told at once and no key is overlooked."""

from collections.abc import Iterable, Mapping
from typing import Any

from simian.errors import UsageError


class Section:
    """One mapping of the settings; ``problems`` are shared with the sections inside it."""

    def __init__(self, value: object, where: str = "", problems: list[str] | None = None) -> None:
        self._where, self.problems = where, [] if problems is None else problems
        if not isinstance(value, Mapping):
            self.problems.append(f"{where.rstrip('.')} is {value!r:.80}; it must be keys and values")
        self._left: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}

    def wrong(self, key: str, text: str) -> None:
        """Tell of a problem with a key."""
        self.problems.append(f"{self._where}{key} {text}")

    def text(self, key: str, otherwise: str | None = None) -> str:
        """A text; a problem when it is missing and there is no other."""
        value = self._left.pop(key, otherwise)
        if not isinstance(value, str) or (not value and otherwise is None):
            self.wrong(key, "is missing; it must be a text" if value is None else f"is {value!r:.80}, not a text")
            return ""
        return value

    def number(self, key: str) -> float | None:
        """A number of at least 0, or none."""
        value = self._left.pop(key, None)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0):
            return value
        self.wrong(key, f"is {value!r:.80}; it must be a number of at least 0")
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of at least one text."""
        value = self._left.pop(key, None)
        if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) for each in value):
            self.wrong(key, f"is {value!r:.80}; it must be a list of texts")
            return ()
        return tuple(value)

    def inside(self, key: str) -> "Section":
        """The section under a key; an empty one when it is not there."""
        return Section(self._left.pop(key, None) or {}, f"{self._where}{key}.", self.problems)

    def each(self, key: str) -> dict[str, "Section"]:
        """The sections under a key by name."""
        within = self.inside(key)
        return {str(name): within.inside(name) for name in list(within._left)}

    def rest(self) -> dict[str, Any]:
        """What nobody has asked for: for somebody else to read."""
        left, self._left = self._left, {}
        return left

    def end(self, known: Iterable[str]) -> None:
        """Nothing may be left: a key that nobody asked for is a problem."""
        for key in self.rest():
            self.wrong(key, f"is unknown; there are: {', '.join(known)}")

    def check(self) -> None:
        """Raises UsageError with every problem found."""
        if self.problems:
            raise UsageError(self.problems)
