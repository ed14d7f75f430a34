"""Reading a YAML file (1.2) of ours: limits first, then every problem at once, each with file, line, key and remedy.

Only what we use is read: texts, numbers, true, false, null, lists and mappings with text keys. Words of YAML 1.1
(``on``, ``NO``, ``1:30``, dates) stay text. The parser's events are put together here rather than by its own
constructor, so that a file which would blow up is left as soon as that shows.
"""

import math
import re
import stat
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from simian.errors import UsageError

MOST_BYTES = 128 * 1024  # half a second of the parser's work at worst; nobody writes more by hand
MOST_VALUES = 8_000  # aliases count as often as they are used
MOST_DEPTH = 32

Path = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(frozen=True)
class Dialect:
    """What a file may have beyond plain YAML: these tags (a value is then ``Tagged``), and merge keys (``<<``)."""

    tags: frozenset[str] = frozenset()
    merges: bool = False


@dataclass(frozen=True)
class Tagged:
    """A value that stood under a tag of the dialect."""

    tag: str
    value: Any


PLAIN = Dialect()

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,14}|0o[0-7]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """A file's data, and the line and column (from 1) of each key and item by its path."""

    name: str
    data: dict[str, Any]
    places: Mapping[Path, Place]

    def line(self, path: Path) -> int:
        """The line of what is there; of what is missing, that of the nearest part around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))[0]

    def problem(self, path: Path, what: str) -> str:
        """``file:line: key: what``."""
        key = ".".join(map(str, path))
        return f"{self.name}:{self.line(path)}: {key}: {what}" if key else f"{self.name}:{self.line(path)}: {what}"


def load_yaml(path: FilePath, dialect: Dialect = PLAIN) -> Document:
    """The file's mapping. Raises UsageError with every problem."""
    return parse_yaml(load_text(path), str(path), dialect)


def parse_yaml(text: str, name: str, dialect: Dialect = PLAIN) -> Document:
    """The mapping in this text; ``name`` is said in problems. Raises UsageError with every problem."""
    reading = _Reading(name, dialect)
    try:
        with warnings.catch_warnings():  # the parser warns of what is a problem, or nothing, here
            warnings.simplefilter("ignore")
            root = reading.read(YAML(typ="rt", pure=True).parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{mark.line + 1}" if mark else "1"
        said = " ".join(filter(None, (error.context, error.problem)))
        raise UsageError([*reading.problems, f"{name}:{line}: {said}; right would be YAML 1.2"]) from error
    except (YAMLError, ValueError, OverflowError, LookupError, RecursionError, TypeError, AttributeError) as error:
        # The parser itself breaks on some input that is not YAML; whatever it says, the file is at fault.
        said = " ".join(str(error).split())[:200]
        raise UsageError([*reading.problems, f"{name}:1: this cannot be read as YAML 1.2: {said}"]) from error
    if not reading.problems and not isinstance(root, dict):
        reading.problems.append(f"{name}:1: {_empty_or_not(root)}; right would be `key: value` lines")
    if reading.problems:
        raise UsageError(reading.problems)
    return Document(name, root, reading.places)


def _empty_or_not(root: object) -> str:
    return "the file is empty" if root is None else f"the file is a {_word(root)}, not a mapping"


def _word(value: object) -> str:
    return "list" if isinstance(value, list) else "single value"


def load_text(path: FilePath) -> str:
    """A text file of ours or an operator's, within the limits. Raises UsageError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path}: this is no file; name a text file")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}; name a text file") from error
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{path}: larger than {MOST_BYTES // 1024} KiB; that much is not written by hand, split it")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError(f"{path}: this is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}:{line}: this is not UTF-8 (byte {raw[error.start]:#04x}); save it as UTF-8"
        ) from error
    strange = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if strange:
        line = text.count("\n", 0, strange.start()) + 1
        raise UsageError(f"{path}:{line}: the control character {strange.group()!r}; is this a text file?")
    return text


@dataclass
class _Reading:
    """One pass over the parser's events. ``_weight`` of an anchor: how many values it stands for."""

    name: str
    dialect: Dialect = PLAIN
    problems: list[str] = field(default_factory=list)
    places: dict[Path, Place] = field(default_factory=dict)
    _count: int = 0
    _anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)

    def read(self, events: Iterator[Any]) -> Any:
        root = None
        for number, document in enumerate(event for event in events if type(event).__name__ == "DocumentStartEvent"):
            if number:
                self._problem(document, "a second document begins; right would be one")
            found = self._node(next(events), events, ())
            root = root if number else found
        return root

    def _problem(self, event: Any, what: str) -> None:
        self.problems.append(f"{self.name}:{event.start_mark.line + 1}: {what}")

    def _weigh(self, event: Any, weight: int = 1) -> None:
        self._count += weight
        if self._count > MOST_VALUES:
            line = event.start_mark.line + 1
            raise YAMLError(f"more than {MOST_VALUES} values (aliases counted as often as used) by line {line}")

    def _node(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event)
        before = self._count
        self._weigh(event)
        if len(path) >= MOST_DEPTH:
            raise YAMLError(f"nested deeper than {MOST_DEPTH} at line {event.start_mark.line + 1}")
        tag = str(getattr(event, "tag", None) or "")
        known = tag in self.dialect.tags
        if tag and not known and tag not in ("!", "tag:yaml.org,2002:str"):
            self._problem(event, f"the tag {tag:.60} is not read; right would be the value without it")
        if kind == "ScalarEvent":
            value: Any = scalar(event.value) if known and not event.style else self._scalar(event, tag)
        else:
            read = self._mapping if kind == "MappingStartEvent" else self._list
            value = read(events, path)
        value = Tagged(tag, value) if known else value
        if event.anchor:
            self._anchors[event.anchor] = (value, self._count - before)
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._problem(event, f"*{event.anchor:.60} stands for nothing; there must be an &{event.anchor:.60} before")
            return None
        value, weight = self._anchors[event.anchor]
        self._weigh(event, weight)
        return value

    def _list(self, events: Iterator[Any], path: Path) -> list[Any]:
        made: list[Any] = []
        while type(event := next(events)).__name__ != "SequenceEndEvent":
            here = (*path, len(made))
            self.places[here] = _place(event)
            made.append(self._node(event, events, here))
        return made

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while type(event := next(events)).__name__ != "MappingEndEvent":
            key = self._key(event, events, path)
            here = (*path, key)
            if key in made:
                first = self.places[here][0]
                self._problem(
                    event, f"{'.'.join(map(str, here))}: this key is there already, in line {first}; keep one"
                )
            self.places.setdefault(here, _place(event))
            value = self._node(next(events), events, here)
            if key == "<<" and self.dialect.merges:
                merged |= self._merged(event, value)
            else:
                made[key] = value
        for key in merged:  # what the mapping says itself goes before what it takes over, wherever that stands
            self.places.setdefault((*path, key), self.places[(*path, "<<")])
        return {**merged, **made}

    def _merged(self, event: Any, value: object) -> dict[str, Any]:
        """What ``<<`` brings: a mapping, or several of which the first goes before the later ones."""
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._problem(event, "<< takes over mappings; right would be *NAME of one, or a list of such")
            return {}
        return {key: inner for source in reversed(sources) for key, inner in source.items()}

    def _key(self, event: Any, events: Iterator[Any], path: Path) -> str:
        if type(event).__name__ == "ScalarEvent":
            self._weigh(event)
            if event.anchor:
                self._anchors[event.anchor] = (event.value, 1)
            return str(event.value)
        found = self._node(event, events, (*path, "?"))
        if not isinstance(found, str):
            self._problem(event, "a key that is no text; right would be a name")
        return str(found)

    def _scalar(self, event: Any, tag: str) -> object:
        if tag or event.style or not event.implicit[0]:
            return str(event.value)
        value = scalar(event.value)
        if isinstance(value, float) and not math.isfinite(value):
            self._problem(event, f"{event.value:.40} is no number to work with; right would be a finite one")
        return value


def scalar(text: str) -> object:
    """A bare word as YAML 1.2's core schema has it."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if _is_float(text) else text


def _is_float(text: str) -> bool:
    return len(text) <= sys.float_info.max_10_exp and _FLOAT.fullmatch(text) is not None


def _place(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1
