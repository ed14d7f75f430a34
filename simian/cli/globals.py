"""The options for all commands, wherever they stand on the line."""

from collections.abc import Sequence
from dataclasses import dataclass

from simian.errors import UsageError


@dataclass
class Globals:
    """``--config``, ``--json``, ``-q``, ``-v``."""

    config: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False


FLAGS = {"--json": "json", "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}


def split_globals(arguments: Sequence[str]) -> tuple[Globals, list[str]]:
    """The options for all, and the rest of the line as it was. After ``--`` nothing is taken."""
    found, rest, left = Globals(), [], list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        if word in FLAGS:
            setattr(found, FLAGS[word], True)
        elif word == "--config":
            found.config = _file(left.pop(0) if left else "")
        elif word.startswith("--config="):
            found.config = _file(word.partition("=")[2])
        else:
            rest.append(word)
    return found, rest


def _file(word: str) -> str:
    if not word:
        raise UsageError("--config needs a file: --config simian.yaml")
    return word
