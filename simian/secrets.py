"""Secrets by reference: ``{env: NAME}`` and ``{file: PATH}`` stand for a text that is never written down."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from simian.errors import UsageError

RIGHT = "{env: NAME} or {file: PATH}"


class Secret(str):
    """The type of a probe's option that is a secret: a reference in files, its text when the probe is called."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "…"


def is_reference(value: object) -> bool:
    """Whether this is ``{env: NAME}`` or ``{file: PATH}``."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    [(kind, named)] = value.items()
    return kind in ("env", "file") and isinstance(named, str) and bool(named)


def with_secrets(value: Any, environment: Mapping[str, str]) -> Any:
    """The same settings with each ``{env: NAME}`` and ``{file: PATH}`` replaced by the text it refers to."""
    if isinstance(value, Mapping):
        if set(value) == {"env"}:
            return _from_environment(str(value["env"]), environment)
        if set(value) == {"file"}:
            return _from_file(Path(str(value["file"])))
        return {key: with_secrets(inner, environment) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [with_secrets(inner, environment) for inner in value]
    return value


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text without any of these secrets, however they got into it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _from_environment(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise UsageError(f"the environment variable {name} is not set; set it to the secret")
    return environment[name]


def _from_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the secret's file {path} cannot be read: {error}") from error
