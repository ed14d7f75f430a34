"""Data as YAML that people like to read: plain words where they are safe, else in double quotes: pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

from simian.yamlfile import scalar

WIDTH = 116
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")


def flow(value: Any) -> str:
    """One line: ``{driver: docker, project: shop}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    safe = _PLAIN.fullmatch(value) and isinstance(scalar(value), str) and value.lower() not in _WORDS_OF_YAML_1_1
    return value if safe else json.dumps(value)


# Older readers of YAML take these for booleans.
_WORDS_OF_YAML_1_1 = ("y", "n", "yes", "no", "on", "off")


def comment(text: str, lead: str = "") -> str:
    """Lines of a comment, each ``# …``; those after the first are set in below ``lead``."""
    lines, line = [], ""
    for word in printable_words(text):
        if line and len(lead) + len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    leads = [lead, *[" " * len(lead)] * len(lines)]
    return "".join(f"# {before}{each}\n" for before, each in zip(leads, [*lines, line], strict=True))


def printable_words(text: str) -> list[str]:
    """Words without control characters: a name from somebody's file must not end a comment."""
    return ["".join(c if c.isprintable() else "?" for c in word) for word in text.split()]
