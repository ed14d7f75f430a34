"""What the lab in containers refuses before it touches an engine; the rest is in test_docker_lab.py."""

from pathlib import Path

import pytest
from simian_lab import control, docker_control
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


def test_a_weakness_that_cassandra_does_not_have_is_refused_not_left_out(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="quorum-in-one-zone cannot be planted in containers"):
        docker_control.up(tmp_path, NOBODY, weakness="quorum-in-one-zone")


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
