"""Where a system's books are, remembered: to read a page of past runs, simian.yaml need not be read and checked anew.

That takes many times longer than the page. What the same text in the same place said to the same simian, it says
still; whatever else is found, or not found, is as if nothing had been remembered.
"""

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simian import __version__

if TYPE_CHECKING:
    from simian.config import Config


class Books(NamedTuple):
    """What of simian.yaml says where journal and history are; see ``simian.cli.state.state_folder``."""

    system: str
    driver: str
    project: str = ""
    history: str = ""  # empty: in the state folder

    @classmethod
    def of(cls, config: "Config") -> "Books":
        """Those of this configuration."""
        platform = config.world_settings()["platform"]
        return cls(config.system, platform["driver"], str(platform.get("project", "")), config.history or "")


def remember(root: Path, path: Path, text: str, books: Books) -> None:
    """Keep what the file at this path, with this text, says. Where that cannot be, the file is read the next time."""
    if "://" in books.history:  # has a password, it may be; and such a history takes long to reach anyway
        return
    kept = _kept(root, path)
    new = kept.with_suffix(f".{os.getpid()}.new")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(json.dumps([__version__, str(path.absolute()), text, *books]))
        new.replace(kept)


def recall(root: Path, path: Path) -> Books | None:
    """What was kept of this file as it is now."""
    try:
        version, place, text, *books = json.loads(_kept(root, path).read_bytes())
        known = (version, place) == (__version__, str(path.absolute())) and all(isinstance(one, str) for one in books)
        same = known and path.is_file() and path.read_bytes().decode("utf-8-sig") == text
        return Books(*books) if same else None
    except (OSError, ValueError, TypeError):
        return None


def _kept(root: Path, path: Path) -> Path:
    return root / "books" / f"{zlib.crc32(bytes(path.absolute())):08x}.json"
