"""The watch: each probe in a process of its own; one that hangs, lies or dies hurts no other."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simian.clock import SystemClock
from simian.probe import Check, CheckReading, FeedLost, Observation, Slice, Tolerance
from simian.watch import Watch, spawn

PATIENCE_S = 60.0
PROBES = """
import os, time
from simian import Reading, Secret, probe

@probe("fine")
def fine(value: float = 1.0) -> Reading:
    return Reading(value, "fine")

@probe("hangs")
def hangs(mark: str) -> Reading:
    open(mark, "a").write(f"{os.getpid()}\\n")
    time.sleep(600)
    return Reading(1.0)

@probe("liar")
def liar() -> Reading:
    print("{\\"value\\": 1.0}")
    return "all is well"

@probe("tells")
def tells(secret: Secret, fail: bool = False) -> Reading:
    if fail:
        raise ValueError(f"{secret} is wrong")
    return Reading(float(len(secret)), f"with {secret}")

@probe("dies")
def dies(mark: str) -> Reading:
    if not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), 9)
    return Reading(1.0)
"""


@pytest.fixture
def plugins(tmp_path: Path) -> list[str]:
    folder = tmp_path / "chaos"
    folder.mkdir()
    (folder / "some.py").write_text(PROBES)
    return [str(folder)]


def check(name: str, probe: dict[str, object], every_s: float = 0.05, deadline_s: float = 30.0) -> Check:
    return Check(name, probe, Tolerance.parse(">= 99 %"), every_s, deadline_s)


class Watching:
    """A watch whose observations are kept, waited for by condition."""

    def __init__(self, checks: list[Check], feed: str | None = None, plugins: list[str] | None = None) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.seen: list[Observation] = []
        self.watch = Watch(checks, feed, plugins or [], SystemClock(), spawn=self._spawn)

    def _spawn(self, arguments: list[str]) -> "subprocess.Popen[bytes]":
        self.processes.append(spawn(arguments))
        return self.processes[-1]

    def __enter__(self) -> "Watching":
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.stop()

    def until(self, enough: Callable[[], object]) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not enough():
            assert time.monotonic() < limit, f"not seen in {PATIENCE_S} s: {self.seen}"
            self.seen += self.watch.wait(1.0)

    def of(self, name: str) -> list[CheckReading]:
        return [one for one in self.seen if isinstance(one, CheckReading) and one.check == name]

    def slices(self) -> list[Slice]:
        return [one for one in self.seen if isinstance(one, Slice)]

    def losses(self) -> list[FeedLost]:
        return [one for one in self.seen if isinstance(one, FeedLost)]


def wait_for(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_hung_probe_is_silent_at_its_deadline_and_the_others_go_on(plugins: list[str], tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    checks = [check("hung", {"hangs": str(mark)}, deadline_s=0.2), check("good", {"fine": 1.0})]
    with Watching(checks, plugins=plugins) as watching:
        watching.until(lambda: len(watching.of("hung")) >= 3 and len(watching.of("good")) >= 5)
    assert all(one.silent and one.value is None for one in watching.of("hung"))
    assert all(one.value == 1.0 and not one.silent for one in watching.of("good"))
    assert len(set(mark.read_text().split())) >= 2, "a probe that hangs is started afresh"


def test_a_lying_probe_is_a_failed_reading_whatever_it_prints(plugins: list[str]) -> None:
    with Watching([check("lies", {"liar": None})], plugins=plugins) as watching:
        watching.until(lambda: len(watching.of("lies")) >= 2)
    for one in watching.of("lies"):
        assert (one.value, one.silent) == (None, False)
        assert "finite number" in one.detail


def test_a_probe_whose_process_dies_is_a_failed_reading_and_starts_again(plugins: list[str], tmp_path: Path) -> None:
    with Watching([check("mortal", {"dies": str(tmp_path / "mark")})], plugins=plugins) as watching:
        watching.until(lambda: any(one.value == 1.0 for one in watching.of("mortal")))
    first = watching.of("mortal")[0]
    assert (first.value, first.silent) == (None, False)
    assert "SIGKILL" in first.detail


def test_a_probe_that_does_not_exist_is_a_failed_reading_that_says_so() -> None:
    with Watching([check("nothing", {"htp": "x"})]) as watching:
        watching.until(lambda: watching.of("nothing"))
    assert "did you mean 'http'?" in watching.of("nothing")[0].detail


def test_a_process_that_cannot_be_started_is_a_failed_reading() -> None:
    def refuse(arguments: list[str]) -> "subprocess.Popen[bytes]":
        raise OSError("no more processes")

    watch = Watch([check("none", {"fine": 1.0})], None, [], SystemClock(), spawn=refuse)
    watch.start()
    (first, *_) = watch.wait(PATIENCE_S)
    watch.stop()
    assert isinstance(first, CheckReading)
    assert "no more processes" in first.detail


def test_stopping_leaves_no_process_behind_not_even_a_command_that_hangs(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    command = {"command": [sys.executable, "-c", code]}
    with Watching([check("hung", command, deadline_s=600.0)]) as watching:
        wait_for(lambda: mark.exists() and mark.read_text())
    assert all(process.poll() is not None for process in watching.processes)
    wait_for(lambda: not alive(int(mark.read_text())))
    watching.watch.stop()


def test_a_probe_ends_with_its_parent_even_while_it_hangs(plugins: list[str], tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    arguments = [json.dumps(check("hung", {"hangs": str(mark)}).to_json()), json.dumps(plugins)]
    process = spawn(arguments)
    assert process.stdin
    assert process.stdout
    assert json.loads(process.stdout.readline()) == {"ready": True}
    process.stdin.write(b"\n")
    process.stdin.flush()
    wait_for(mark.exists)
    process.stdin.close()
    process.wait(PATIENCE_S)
    process.stdout.close()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    except OSError:
        os.kill(pid, 0)
        return True
    return state not in ("Z", "X")


# --- the users' feed

SLICE = {"type": "slice", "start": 1.0, "seconds": 0.2, "late_ms": {"p99": 1.0}, "sent": 1, "rows": []}


class Server:
    """A feed that says what it is told to."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.clients.append(client)

    def say(self, line: bytes) -> None:
        wait_for(lambda: self.clients)
        self.clients[-1].sendall(line)

    def drop(self) -> None:
        wait_for(lambda: self.clients)
        while self.clients:
            self.clients.pop().close()

    def close(self) -> None:
        self.socket.close()
        while self.clients:
            self.clients.pop().close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_slices_come_as_they_are_sent_and_a_lost_feed_is_told_and_found_again(server: Server) -> None:
    line = json.dumps(SLICE).encode() + b"\n"
    with Watching([], server.address) as watching:
        server.say(line + line[:20])
        watching.until(lambda: len(watching.slices()) == 1)
        server.say(line[20:])
        watching.until(lambda: len(watching.slices()) == 2)
        server.drop()
        watching.until(watching.losses)
        server.say(line)
        watching.until(lambda: len(watching.slices()) == 3)
    assert server.address in watching.losses()[0].detail


def test_a_feed_that_talks_nonsense_is_a_lost_feed(server: Server) -> None:
    with Watching([], server.address) as watching:
        server.say(b'{"type": "slice"}\n')
        watching.until(watching.losses)
    assert not watching.slices()


def test_a_feed_that_falls_silent_is_a_lost_feed(server: Server) -> None:
    with Watching([], server.address) as watching:
        watching.until(watching.losses)
    assert "no slice" in watching.losses()[0].detail


def test_a_feed_that_is_not_there_is_told_again_and_again() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else's
    with Watching([], f"127.0.0.1:{taken.getsockname()[1]}") as watching:
        watching.until(lambda: len(watching.losses()) >= 2)
    taken.close()


def test_waiting_ends_when_the_time_has_passed() -> None:
    watch = Watch([], None, [], SystemClock())
    watch.start()
    assert watch.wait(0.01) == []
    watch.stop()


def test_a_secret_is_looked_up_in_the_probes_process_and_no_reading_carries_it_out(
    plugins: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("hunter22\n")
    monkeypatch.setenv("SIMIAN_TEST_SECRET", "hunter2")
    checks = [
        check("told", {"tells": {"env": "SIMIAN_TEST_SECRET"}}),
        check("filed", {"tells": {"file": str(tmp_path / "secret")}}),
        check("failed", {"tells": {"env": "SIMIAN_TEST_SECRET"}, "fail": True}),
        check("missing", {"tells": {"env": "SIMIAN_TEST_MISSING"}}),
    ]
    with Watching(checks, plugins=plugins) as watching:
        watching.until(lambda: all(watching.of(one.name) for one in checks))
        told = {one.name: watching.of(one.name)[0] for one in checks}
        for process in watching.processes:
            assert "hunter2" not in str(process.args)
    assert (told["told"].value, told["told"].detail) == (7.0, "with …")
    assert (told["filed"].value, told["filed"].detail) == (8.0, "with …")
    assert told["failed"].value is None
    assert "… is wrong" in told["failed"].detail
    assert "SIMIAN_TEST_MISSING is not set" in told["missing"].detail
    assert "hunter2" not in str(watching.seen)


def test_a_database_is_asked_only_once_its_process_has_imported_what_that_takes(tmp_path: Path) -> None:
    settings = {"sql": "SELECT 1", "url": f"sqlite:///{tmp_path / 'shop.db'}"}
    arguments = [json.dumps(check("orders", settings).to_json()), "[]"]
    code = "import sys\nfrom simian.probes import host\nsay = host._say\n"
    code += "host._say = lambda out, data: say(out, {**data, 'there': 'sqlalchemy.dialects.sqlite' in sys.modules})\n"
    code += "host.main(sys.argv[1:], {})"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert json.loads(process.stdout.readline()) == {"ready": True, "there": True}
        process.stdin.close()  # its end is the process's, too


def test_what_stands_in_the_way_of_a_first_look_is_told() -> None:
    with Watching([check("missing", {"sql": "SELECT 1", "url": "nosuch://db/shop"})]) as watching:
        watching.until(lambda: watching.of("missing"))
    assert watching.of("missing")[0].value is None
    assert "no address that SQLAlchemy knows" in watching.of("missing")[0].detail
