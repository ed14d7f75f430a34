"""What can be told of a history without the library that keeps it: its file, and its schema."""

from pathlib import Path

VERSION_TABLE = "simian_version"
NEWEST = "0007"  # the schema this code reads and writes: the id of the last migration


def file_of(where: str | Path) -> Path | None:
    """The file that this names; ``None``: it is the address of a database."""
    return Path(where).expanduser().absolute() if isinstance(where, Path) or "://" not in where else None
