"""What strangers write into names, files and settings, and what is nowhere in the code. The table: docs/security.md."""

import ast
import inspect
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from simian.cli.serve import serve
from simian.cli.serve_web import tokens_of
from simian.cli.show import write_report
from simian.cli.state import StateFolder, state_folder
from simian.daemon.desk import Desk
from simian.daemon.news import News
from simian.errors import UsageError
from simian.experiment import load_experiment
from simian.halt import HaltLever
from simian.history.database import address, shown
from simian.monkey import find_monkeys
from simian.platforms.docker_containers import Containers
from simian.probes.http import MOST_BYTES, fetch
from simian.simulation import Simulation
from simian.web.settings import Settings

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for part in ("simian", "monkeys", "lab", "filters") for path in (ROOT / part).rglob("*.py"))
ENGINE_CALLS = {
    # looking
    "containers", "inspect_container", "inspect_network", "networks", "volumes",
    # nodes, and what is run inside of one
    "exec_create", "exec_start", "kill", "pause", "start", "stop", "unpause",
    # links, their marks, and side containers, which are ours
    "connect_container_to_network", "create_container", "create_host_config", "create_volume",
    "disconnect_container_from_network", "remove_container", "remove_volume",
    "close",
}  # fmt: skip


@cache
def _all_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, Any]]:
    for path in SOURCES:
        yield from ((path, node) for node in _all_of(path) if isinstance(node, kinds))


# --- the engine


def test_no_call_of_the_engine_is_made_but_those_that_are_needed() -> None:
    """None of them builds, pulls, mounts, commits or reads a file out of a container."""
    made = {
        node.attr
        for path, node in nodes(ast.Attribute)
        if path.is_relative_to(ROOT / "simian") and isinstance(node.value, ast.Name) and node.value.id == "api"
    }
    assert made == ENGINE_CALLS


@pytest.mark.parametrize("word", ["privileged", "binds", "mounts", "volumes_from", "devices", "pid_mode"])
def test_a_side_container_gets_nothing_of_the_machine(word: str) -> None:
    given = {
        keyword.arg
        for path, node in nodes(ast.Call)
        if path.is_relative_to(ROOT / "simian") and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("create_container", "create_host_config", "exec_create")
        for keyword in node.keywords
    }
    assert "network_mode" in given
    assert word not in given


class Engine:
    """One that has these containers, and does nothing."""

    def __init__(self, *found: Mapping[str, Any]) -> None:
        self.found = {shape["Id"]: shape for shape in found}

    def do(self, what: str, call: Any) -> Any:
        return call(self)

    def containers(self, **_: Any) -> list[Any]:
        return list(self.found.values())

    def inspect_container(self, name: str) -> Any:
        return next(shape for shape in self.found.values() if name in (shape["Id"], shape["Name"].lstrip("/")))


def container(name: str, **labels: str) -> dict[str, Any]:
    return {"Id": name * 64, "Name": f"/{name}", "Config": {"Labels": {"simian.enabled": "true", **labels}}}


def test_we_are_no_node_of_the_system_and_nor_is_what_we_started() -> None:
    engine: Any = Engine(container("a"), container("b"), container("c", **{"simian.side": "a"}))
    found = Containers(engine)
    found._own = "b" * 64
    assert [one.name for one in found.all()] == ["a"]


# --- where it listens, and what lies in its folder


def test_pages_and_api_listen_on_loopback_unless_they_are_told_otherwise() -> None:
    assert Settings(socket="s", history="h", system="x").host == "127.0.0.1"
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"


def test_token_and_socket_are_for_their_owner_alone(tmp_path: Path) -> None:
    class System:
        state = StateFolder(tmp_path)

    before = os.umask(0)
    try:
        [told] = tokens_of(System())  # type: ignore[arg-type]
        desk = Desk(tmp_path / "s", {}, News())
        modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("token", "s")]
        assert os.umask(0) == 0, "the mask is put back"
    finally:
        os.umask(before)
    desk.open()
    desk.close()
    assert modes == [0o600, 0o600]
    assert (tmp_path / "token").read_text().strip() not in str(told)


# --- names


@pytest.mark.parametrize("name", ["..", "../..", "/etc", "a/../../b", "C:\\windows", "a\0b", ".", "\u202e"])
@pytest.mark.parametrize("driver", ["docker", "", ".."])
def test_no_name_of_a_system_leads_out_of_the_state_folder(name: str, driver: str, tmp_path: Path) -> None:
    found = state_folder(tmp_path, name, {"driver": driver, "project": name}).path
    assert found.parent == tmp_path
    assert found.name not in ("", ".", "..")
    assert found.resolve().parent == tmp_path.resolve()


def test_a_report_is_written_through_no_link_that_somebody_else_laid(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    for name in (".run.md.new", "run.md"):
        (tmp_path / name).symlink_to(theirs)
    write_report(lambda format: "a report", tmp_path / "run.md")
    assert theirs.read_text() == "precious"
    assert (tmp_path / "run.md").read_text() == "a report\n"
    assert not (tmp_path / "run.md").is_symlink()


def test_a_report_that_cannot_be_written_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "run.md").write_text("before")
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(lambda format: "\ud800", tmp_path / "run.md")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.md", "before")]


# --- plug-ins, and what is code


@pytest.mark.parametrize(
    "words",
    ["plugins: [./evil]", "monkey: ./evil.py", "monkey: evil:chaos", "probes: [./evil]", "driver: ./evil.py"],
)
def test_an_experiment_names_no_code(words: str, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')\n")
    given = {"monkey": "monkey: chaos"} | {words.partition(":")[0]: words}
    (tmp_path / "x.yaml").write_text("\n".join(["experiment: x", "hypothesis: y", *given.values(), ""]))
    try:
        found = load_experiment(tmp_path / "x.yaml")
    except UsageError:
        return
    assert found.monkey not in find_monkeys().monkeys  # so that it is refused as unknown, and nothing is imported


@pytest.mark.parametrize("module", ["pickle", "marshal", "shelve", "dill", "yaml", "cloudpickle"])
def test_nothing_is_read_that_could_be_code(module: str) -> None:
    imported = {
        alias.name.split(".")[0] for _, node in nodes(ast.Import) for alias in node.names
    } | {(node.module or "").split(".")[0] for _, node in nodes(ast.ImportFrom) if not node.level}  # fmt: skip
    assert "json" in imported
    assert module not in imported


def test_nothing_calls_a_shell_and_nothing_evaluates_text() -> None:
    calls = [(path, node) for path, node in nodes(ast.Call)]
    named = {node.func.id for _, node in calls if isinstance(node.func, ast.Name)}
    assert not named & {"eval", "exec", "__import__"}
    assert not [
        path.name
        for path, node in calls
        for keyword in node.keywords
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
    ]
    methods = {node.func.attr for _, node in calls if isinstance(node.func, ast.Attribute)}
    assert not methods & {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}


# --- probes, secrets, the lever


def test_no_more_is_read_of_an_answer_than_there_is_use_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(64):
                try:
                    self.wfile.write(b"x" * 65536)
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            status, body = fetch(f"http://127.0.0.1:{server.server_port}/")
        finally:
            server.shutdown()
            thread.join()
    assert (status, len(body)) == (200, MOST_BYTES)


@pytest.mark.parametrize(
    "where",
    ["postgresql+psycopg://u:hunter2@h/d", "postgresql+psycopg://u@h/d?password=hunter2&sslpassword=hunter2"],
)
def test_no_password_of_the_history_is_shown(where: str) -> None:
    assert "hunter2" not in shown(address(where))
    assert "@h/d" in shown(address(where))


def test_the_lever_is_read_before_every_injection() -> None:
    sim = Simulation.seeded(8)
    lever = HaltLever(sim.folder / "halt")

    def pull(event: Mapping[str, Any]) -> None:
        if event["event"] == "phase" and event["phase"] == "inject":
            lever.pull("incident 7")

    sim.emit = pull
    record = sim.run(find_monkeys().get("gorilla"), baseline_s=5.0, for_s=6.0)
    assert record["reasons"][0] == "aborted: halted: incident 7"
    assert not [fault for fault in record["faults"] if fault["injected"]]
