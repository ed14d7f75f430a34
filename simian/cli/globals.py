"""The options for all commands, wherever they stand on the line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from simian.errors import UsageError

SERVER = "SIMIAN_SERVER"
ACT_HERE = f"leave --server out (and unset {SERVER})"


@dataclass
class Globals:
    """``--config``, ``--json``, ``-q``, ``-v``; ``--server`` with ``--token-file`` and ``--insecure``."""

    config: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    server: str | None = None
    token_file: str | None = None
    insecure: bool = False


FLAGS = {
    "--json": "json", "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose",
    "--insecure": "insecure",
}  # fmt: skip
VALUES = {
    "--config": ("config", "a file: --config simian.yaml"),
    "--server": ("server", "an address: --server https://chaos.example"),
    "--token-file": ("token_file", "a file that holds a token: --token-file chaos.token"),
}


def split_globals(arguments: Sequence[str]) -> tuple[Globals, list[str]]:
    """The options for all, and the rest of the line as it was. After ``--`` nothing is taken."""
    found, rest, left = Globals(), [], list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *left]
            break
        if word in FLAGS:
            setattr(found, FLAGS[word], True)
        elif name in VALUES:
            _set(found, name, value if equals else left.pop(0) if left else "")
        else:
            rest.append(word)
    return found, rest


def _set(found: Globals, name: str, value: str) -> None:
    key, wanted = VALUES[name]
    if not value:
        raise UsageError(f"{name} needs {wanted}")
    setattr(found, key, value)


def with_server(settings: Globals, environment: Mapping[str, str]) -> Globals:
    """The same, with ``SIMIAN_SERVER`` where the line names no server. Raises UsageError for what contradicts it."""
    settings = replace(settings, server=settings.server or environment.get(SERVER) or None)
    if settings.server and settings.config:
        raise UsageError(
            f"--config {settings.config} names a system here, and {settings.server} is a daemon elsewhere; "
            f"leave --config out, or {ACT_HERE}"
        )
    if not settings.server and (settings.token_file or settings.insecure):
        word = "--token-file" if settings.token_file else "--insecure"
        raise UsageError(f"{word} is about a daemon elsewhere, and none is named; name it with --server URL")
    return settings


def only_here(settings: Globals, what: str, instead: str) -> None:
    """For what no daemon elsewhere can be asked for. Raises UsageError, which says what to do instead."""
    if settings.server:
        raise UsageError(f"{what} cannot be asked of {settings.server}: {instead}; to act on this machine, {ACT_HERE}")
