"""What the lab in containers refuses before it touches an engine; the rest is in test_docker_lab.py."""

import json
import socket
import threading
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import pytest
from simian_lab import container, control, docker_control
from simian_lab.manifest import LabError

NOBODY = {"PATH": "/nonexistent"}


def test_without_docker_compose_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"compose plug-in is on PATH; install it .*--flavour process"):
        docker_control.up(tmp_path, NOBODY)
    assert not any(tmp_path.iterdir())


def test_a_docker_without_the_plugin_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(LabError, match="compose plug-in"):
        docker_control.Engine.by({"PATH": str(tmp_path)})


def test_a_lab_of_processes_leaves_one_in_containers_alone(tmp_path: Path) -> None:
    made = docker_control.Told("secret").manifest(docker_control.Files.inside(tmp_path))
    made.files.root.mkdir(parents=True)
    made.write()
    assert control.flavour(tmp_path) == "docker"
    with pytest.raises(LabError, match="up in containers"):
        control.up(tmp_path)
    assert made.files.manifest.exists()


def test_what_a_container_is_told_makes_the_manifest_of_its_lab(tmp_path: Path) -> None:
    told = docker_control.Told.by(
        {"SIMIAN_LAB_TOKEN": "secret", "SIMIAN_LAB_STORES": "1", "SIMIAN_LAB_WEAKNESS": "single-instance"}
    )
    made = told.manifest(docker_control.Files.inside(tmp_path), seen_from="west")
    assert [node.name for node in made.layout.nodes_of("store")] == ["store-east-a", "store-west-a"]
    assert made.changes == {"gateway-east": {"members_zones": "a"}}
    assert sorted(name for name, one in made.processes.items() if one.held) == ["members-east-b", "members-east-c"]
    assert made.layout.node("dns").host.startswith("198.18.4.")


@pytest.mark.parametrize(
    ("told", "said"),
    [({}, "SIMIAN_LAB_TOKEN is not set"), ({"SIMIAN_LAB_TOKEN": "x", "SIMIAN_LAB_RATE": "many"}, "are numbers")],
)
def test_a_container_that_is_told_nonsense_says_so(told: dict[str, str], said: str) -> None:
    with pytest.raises(LabError, match=said):
        docker_control.Told.by(told)


def test_a_node_in_a_container_listens_everywhere_and_sees_what_stands_in_its_own_edge(tmp_path: Path) -> None:
    told = container.Told("secret", seed=3, weakness="gateway-pinned-to-zone")
    east, west = (container.context_of(told, f"gateway-{region}-a", tmp_path) for region in ("east", "west"))
    assert (east.spec.host, east.token, east.folder) == ("0.0.0.0", "secret", tmp_path)
    assert (east.options.members_zones, west.options.members_zones) == ("a", "")
    assert east.seed != west.seed
    assert (east.layout.node("dns").host, west.layout.node("dns").host) == ("198.18.3.53", "198.18.4.53")
    assert east.real["store"] == "cassandra"


def test_a_container_that_is_no_node_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no node is called gateway-north-a; there are gateway-east-a"):
        container.context_of(container.Told("secret"), "gateway-north-a", tmp_path)


def feed(*slices: dict[str, object]) -> tuple[str, threading.Thread]:
    """The address of a users' feed that tells the last of these slices over and over, to one reader."""
    listener = socket.create_server(("127.0.0.1", 0))
    told = [json.dumps({"type": "slice", "seconds": 0.2, **one}).encode() + b"\n" for one in slices]

    def tell() -> None:
        with listener, listener.accept()[0] as reader, suppress(OSError):
            for line in chain(told, repeat(told[-1])):
                reader.sendall(line)

    thread = threading.Thread(target=tell)
    thread.start()
    return f"127.0.0.1:{listener.getsockname()[1]}", thread


def row(ended: int, ok: int) -> dict[str, object]:
    return {"home": "east", "kind": "play", "ended": ended, "ok": ok, "failed": ended - ok}


def test_users_are_served_once_nearly_all_of_the_full_rate_are_answered() -> None:
    cold = [{"sent": 2, "rows": [row(2, 2)]}] * 20 + [{"sent": 10, "rows": [row(10, 3)]}] * 20
    address, thread = feed(*cold, {"sent": 10, "rows": [row(5, 5), row(5, 5)]})
    docker_control.wait_until_served(address, 50.0, limit_s=60.0)
    thread.join()


@pytest.mark.parametrize(("sent", "ok"), [(10, 9), (9, 9), (0, 0)])
def test_users_who_are_not_served_in_time_are_told_with_what_to_try(sent: int, ok: int) -> None:
    address, thread = feed({"sent": sent, "rows": [row(sent, ok)]})
    with pytest.raises(LabError, match=rf"not served.*{docker_control._SLICES * ok} were.*--rate 25"):
        docker_control.wait_until_served(address, 50.0, limit_s=0.1)
    thread.join()


def test_a_feed_that_nobody_tells_is_named() -> None:
    with pytest.raises(LabError, match=r"feed at 127.0.0.1:1 cannot be read"):
        docker_control.wait_until_served("127.0.0.1:1", 50.0)
