"""The system a command is about: its configuration, state folder, journal, world and monkeys."""

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from simian.cli.books import Books, recall, remember
from simian.cli.globals import Globals, only_here
from simian.cli.state import StateFolder, state_folder, state_root
from simian.clock import SystemClock
from simian.errors import JournalError, SimianError, UsageError
from simian.halt import HaltLever
from simian.journal import Journal

if TYPE_CHECKING:  # each is imported when it is asked for: a command that only looks back asks for none
    from simian.cli.server import Server
    from simian.config import Config
    from simian.history import History
    from simian.monkey import Found
    from simian.world import World

CONFIG = "simian.yaml"


def config_path(settings: Globals) -> Path | None:
    """``--config``, else simian.yaml in this folder or above, else that of the lab which is up; ``None``: neither."""
    if settings.config:
        return Path(settings.config)
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the working folder is gone; go to one that is there") from None
    for folder in (here, *here.parents):
        if (folder / CONFIG).is_file():
            return folder / CONFIG
    return lab_config() if lab_config().is_file() else None


def lab_state() -> StateFolder:
    """The state folder of the embedded lab."""
    return StateFolder(state_root(os.environ) / "lab")


def lab_config() -> Path:
    """The simian.yaml that the lab writes when it comes up."""
    return lab_state().lab / CONFIG


def found_monkeys(settings: Globals) -> "Found":
    """Every monkey that can be found with what configuration there is; a wrong one is not this question's affair.

    With ``--server`` those of the daemon there. Raises SimianError where it cannot be asked.
    """
    from simian.monkey import find_monkeys

    if settings.server:
        from simian.cli.server_monkeys import monkeys_of

        return monkeys_of(server_of(settings))
    path = config_path(settings)
    if path is None:
        return find_monkeys()
    try:
        return load_system(settings).monkeys()
    except UsageError as error:
        found = find_monkeys()
        found.broken += [(str(path), problem) for problem in error.problems]
        return found


def server_of(settings: Globals) -> "Server":
    """The daemon elsewhere that is to be asked. Raises UsageError where it may not be spoken to so."""
    from simian.cli.server import Server, token_of

    assert settings.server, "commands ask for this where there is one"
    return Server(settings.server, token_of(settings, os.environ), insecure=settings.insecure)


def path_of(*parts: str) -> str:
    """``/runs/k7f3`` of its parts, whatever letters they have."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def load_system(settings: Globals) -> "System":
    """The system of the configuration in force. Raises UsageError with every problem of its file."""
    return System(_config_in_force(settings))


def system_looked_back_on(settings: Globals) -> "System":
    """The same for a command that asks for its journal and history only: the file is read if it is not known."""
    path, root = _config_in_force(settings), state_root(os.environ)
    books = recall(root, path)
    if books is None:
        from simian.config import parse_config
        from simian.yamlfile import load_text

        text = load_text(path)
        books = Books.of(parse_config(text, path))
        remember(root, path, text, books)
    return System(path, books)


def _config_in_force(settings: Globals) -> Path:
    only_here(settings, "this", "it needs the system itself")  # whatever a command forgot: never the wrong system
    path = config_path(settings)
    if path is None:
        raise UsageError(
            "no simian.yaml in this folder or above, and no lab is up; "
            'run "simian lab up", write one, or name one with --config FILE'
        )
    if settings.verbose:
        print(f"configuration: {path}", file=sys.stderr)
    return path


class System:
    """One system under simian. With its ``books`` known, its file is not read before something else is asked for."""

    def __init__(self, path: Path, books: Books | None = None) -> None:
        self.path = path
        self.clock = SystemClock()
        self.books = books or Books.of(self.config)

    @cached_property
    def config(self) -> "Config":
        """Its simian.yaml. Raises UsageError with every problem of it."""
        from simian.config import load_config

        return load_config(self.path)

    @property
    def name(self) -> str:
        """What simian.yaml calls it."""
        return self.books.system

    @property
    def is_lab(self) -> bool:
        """Whether it is our own lab, where nobody is asked before anything."""
        return self.path.resolve() == lab_config().resolve()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The world's settings, secrets by reference, paths absolute."""
        return self.config.world_settings()

    @cached_property
    def state(self) -> StateFolder:
        """Where its things are kept."""
        platform = {"driver": self.books.driver, "project": self.books.project}
        return state_folder(state_root(os.environ), self.name, platform)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self.state.journal)

    def journal(self) -> Journal:
        """Its journal, created when it is not there. Raises JournalError."""
        return self._journal

    @property
    def lever(self) -> HaltLever:
        """Its halt lever. Raises JournalError where there can be no state folder."""
        try:
            self.state.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"the state folder {self.state.path} cannot be used: {error.strerror}; "
                "free the way, or name another with SIMIAN_STATE"
            ) from error
        return HaltLever(self.state.lever)

    def world(self) -> "World":
        """Its world, drivers and all. Raises UsageError."""
        from simian.drivers import build_world

        return build_world(self.settings, clock=self.clock, environment=os.environ)

    def monkeys(self) -> "Found":
        """Every monkey, those of the operator's folders too."""
        from simian.monkey import find_monkeys

        return find_monkeys([Path(folder) for folder in self.config.plugins])

    def for_request(self) -> dict[str, Any]:
        """The configuration's part of a run's request."""
        return self.config.for_request()

    @property
    def history_place(self) -> str:
        """Where its history is: a file or an address."""
        return self.books.history or str(self.state.history)

    def history(self) -> "History":
        """Its history. Raises SimianError where it cannot be opened."""
        from simian.history import open_history

        return open_history(self.history_place)

    def feed_history(self, *runs: str) -> list[str]:
        """Bring ended runs from the journal into the history; returns what went wrong, which harms no run."""
        journal = self.journal()
        try:
            ended = runs or journal.unfed()
            if not ended:
                return []
            from simian.record import record_of

            history = self.history()
            for run in ended:
                if journal.run_row(run)["ended"] is not None:
                    history.store(record_of(journal, run))
                    journal.mark_fed(run)
        except SimianError as error:
            return [f"the history was not written: {error}; it will be when the next command can"]
        return []
