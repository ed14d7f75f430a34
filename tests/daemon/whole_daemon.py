"""The daemon itself, as ``simian serve`` starts it, for a system of three small processes that count how often they
were started: once more for each run that killed them, whatever our own books say.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simian.cli.state import state_folder
from simian.history import open_history, open_schedules
from simian.history.schedules import Due
from simian.schedule.row import Schedule
from simian.schedule.when import text_of

from ..databases import rows_of
from ..drivers.conftest import SmallSystem

PATIENCE_S = 200.0
WATCHED = "web-west-a"
FINAL = ("ended", "missed", "skipped", "refused", "failed")


def until(condition: Callable[[], Any], what: str, seen: Callable[[], Any] = str) -> Any:
    """Wait for a condition; the value that it became. ``seen``: what there is to see, should it come to nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain: {what} {seen()}"
        time.sleep(0.05)
    return value


class Nodes(SmallSystem):
    """Processes, each with a file that gets a line whenever it is started."""

    NAMES = ("web-east-a", "web-east-b", WATCHED)

    def _node(self, name: str) -> dict[str, Any]:
        shape = super()._node(name)
        counted = ["sh", "-c", 'echo >> "$0"; exec "$@"', str(self._starts(name))]
        return {**shape, "command": [*counted, *shape["command"]]}

    def _starts(self, name: str) -> Path:
        return self.folder / f"{name}.starts"

    def hits(self, name: str) -> int:
        """How often it was started after the first time."""
        return self._starts(name).read_text().count("\n") - 1


class Daemon:
    """One daemon with a state folder of its own, as on a machine of its own."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = {**os.environ, **environment, "SIMIAN_STATE": str(folder / name)}
        self.state = state_folder(folder / name, "small", {"driver": "process"})
        self._log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "simian", "serve", "--no-web"],
                cwd=self.folder, env=self._environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def up(self) -> None:
        self.start()
        assert self.process is not None
        until(
            lambda: self.process.poll() is not None or self.asked("status"), "the daemon answers", self._log.read_text
        )
        assert self.process.poll() is None, self._log.read_text()

    def asked(self, do: str, **keys: Any) -> Any:
        """The ``ok`` of its answer, or None where nobody listens."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            try:
                connection.connect(str(self.state.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            connection.sendall(json.dumps({"do": do, "by": "test", **keys}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
        assert "ok" in answer, answer
        return answer["ok"]

    def said(self, words: str) -> int:
        """How often it has said this in its log."""
        return self._log.read_text().count(words)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, patience_s: float = 120.0) -> int:
        """Ask it to stop; its exit code."""
        assert self.process is not None
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.process.wait(patience_s)

    def kill(self) -> None:
        """Whatever it does; its runs notice."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def runs(self) -> dict[str, dict[str, Any]]:
        """The runs that began here."""
        return {row["run"]: row for row in rows_of(self.state.journal, "SELECT * FROM runs WHERE pid > 0")}


class Whole:
    """Nodes, a database with schedules in it, and daemons that share it."""

    def __init__(self, folder: Path, place: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.place = folder, place
        self._environment = environment or {}
        self.nodes, self.daemons = Nodes(folder), list[Daemon]()
        self.schedules = list[Schedule]()
        self.nodes.start()
        self._configure()

    def _configure(self) -> None:
        check = {
            "check": "the other answers", "probe": {"http": self.nodes.shape(WATCHED)["ask"]}, "every": "200ms",
            "deadline": "20s", "tolerance": ">= 50 %",
        }  # fmt: skip
        config = {
            "system": "small", "platform": {"driver": "process", "manifest": str(self.nodes.manifest)},
            "history": self.place, "exposure": "assumed", "steady_state": [check],
        }  # fmt: skip
        (self.folder / "simian.yaml").write_text(json.dumps(config))
        for name in self.nodes.NAMES:
            experiment = {
                "experiment": name, "monkey": "chaos", "options": {"node": [name], "how": "kill"},
                "baseline": "1s", "for": "1s", "recover_within": "60s",
            }  # fmt: skip
            (self.folder / f"{name}.yaml").write_text(json.dumps(experiment))

    def daemon(self, name: str = "one") -> Daemon:
        """One more, which is up."""
        made = Daemon(name, self.folder, self._environment)
        self.daemons.append(made)
        made.up()
        return made

    def schedule(self, name: str, node: str, every_s: float, first_in_s: float, **more: Any) -> Schedule:
        """One more row, as by hand; ``first_in_s`` from now, by this machine's clock."""
        now = time.time()
        made = Schedule.from_json(
            {"name": name, "experiment": str(self.folder / f"{node}.yaml"), "made": text_of(now), "seed": 7,
             "when": {"every_s": every_s, "from": text_of(now + first_in_s)}, **more}
        )  # fmt: skip
        with open_schedules(self.place) as store:
            store.add(made.to_json())
        self.schedules.append(made)
        return made

    def dues(self, name: str) -> list[Due]:
        """What became of its due times, oldest first."""
        with open_schedules(self.place) as store:
            return store.dues(name, limit=10_000)[::-1]

    def states(self, name: str) -> list[str]:
        return [due.state for due in self.dues(name)]

    def in_state(self, name: str, state: str, more_than: int = 0) -> list[Due]:
        """Wait until more than so many of its due times are in this state."""

        def there() -> list[Due]:
            found = [due for due in self.dues(name) if due.state == state]
            return found if len(found) > more_than else []

        what = f"more than {more_than} due times of {name} are {state}"
        found: list[Due] = until(there, what, lambda: (self.dues(name), self.logs()))
        return found

    def logs(self) -> str:
        """The last of what all that was started has written, for whoever wonders."""
        files = [*self.folder.glob("*.log"), *self.folder.rglob("logs/*.log")]
        return "\n".join(f"--- {file.name}\n{file.read_text()[-1500:]}" for file in files)

    def at_rest(self) -> None:
        """Nothing new is started, and all that was is over."""
        with open_schedules(self.place) as store:
            for schedule in self.schedules:
                store.change(schedule.name, {"paused": True})
            until(lambda: not store.in_hand(), "all is told")

    def all_is_told_once(self) -> None:
        """Each due time has one row with its end and reason; each run that began has one, and hit its node once."""
        with open_schedules(self.place) as store:
            looked = {kept.schedule["name"]: kept.looked for kept in store.kept()}
        begun = {run: row for daemon in self.daemons for run, row in daemon.runs().items()}
        rows = [due for schedule in self.schedules for due in self.dues(schedule.name)]
        for schedule in self.schedules:
            due_times = {round(at * 1e6) for at in schedule.dues(0.0, looked[schedule.name] / 1e6)}
            assert due_times == {due.due for due in rows if due.schedule == schedule.name}
        assert all(due.state in FINAL and due.reason for due in rows), rows
        ran = [due.run for due in rows if due.state == "ended"]
        assert Counter(ran) == Counter(run for run, row in begun.items() if row["outcome"] != "refused")
        self._hit_as_told(rows)
        with open_history(self.place) as history:
            until(lambda: all(history.has(str(run)) for run in ran), "what runs left is in the history")

    def _hit_as_told(self, rows: Sequence[Due]) -> None:
        hits = {name: self.nodes.hits(name) for name in self.nodes.NAMES}
        told = Counter(due.schedule for due in rows if due.state == "ended")
        nodes = {one.name: Path(str(one.experiment)).stem for one in self.schedules}
        assert hits == {name: sum(told[one] for one in nodes if nodes[one] == name) for name in hits}, (hits, rows)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
        self.nodes.close()
