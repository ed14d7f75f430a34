"""The daemon as a unit of systemd, as ``examples/serve/simian.service`` has it, with an engine's containers to break.

systemd is the first process of a container that stands for a machine. The unit is the one that people install; what its
comment tells those to add whose system is in containers is added beside it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..real_parts import part_missing
from .conftest import until
from .docker_engine import RealEngine, SmallContainers, real_engine_fixture  # noqa: F401
from .served import PATIENCE_S, VERSION, WHOLE, Served
from .shop import Shop

IMAGE = f"simian-systemd:{VERSION}"
STATE = "/var/lib/simian"  # of the unit's StateDirectory
# What systemd needs for groups of processes and for places of their own, short of all that the engine may do.
AS_A_MACHINE = [
    "--cap-add=SYS_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
    *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp"),
]


class UnderSystemd(Served):
    """A machine with the unit; commands are given on it, by its user."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        super().__init__(shop)
        self.container = f"machine-{shop.containers.project}"
        socket = shop.containers.engine.url.removeprefix("unix://")
        (folder / "simian.yaml").write_text(json.dumps(self.sections()))
        (folder / "containers.conf").write_text("[Service]\nSupplementaryGroups=docker\n")
        folder.chmod(0o755)
        places = {
            folder / "simian.yaml": "/etc/simian/simian.yaml",
            folder / "containers.conf": "/etc/systemd/system/simian.service.d/containers.conf",
        }
        mounts = [f"--volume={here}:{there}:ro" for here, there in places.items()]
        mounts.append(f"--volume={socket}:/var/run/docker.sock")
        named = [f"--name={self.container}", f"--network={shop.containers.networks['east']}"]
        group = f"groupadd --non-unique --gid {os.stat(socket).st_gid} docker"
        boot = ["sh", "-c", f"{group} && exec /lib/systemd/systemd"]
        self.engine.run("run", "-d", *named, *AS_A_MACHINE, *mounts, IMAGE, *boot)

    def inside(self, *command: str) -> str:
        return str(self.engine.run("exec", self.container, *command, limit_s=PATIENCE_S))

    def shown(self, key: str) -> str:
        """What systemd tells of the unit."""
        return self.inside("systemctl", "show", "--value", f"--property={key}", "simian").strip()

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        token = self.inside("sh", "-c", f"cat $(find {STATE} -name token)").strip()
        told = ["-e", "SIMIAN_SERVER=http://127.0.0.1:8480", "-e", f"SIMIAN_TOKEN={token}", "-w", "/tmp"]
        command = ["docker", "exec", *told, "-u", "simian", self.container, "/opt/simian/bin/simian", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.engine.environment, text=True, stdout=pipe, stderr=pipe)


@pytest.fixture(scope="module")
def served(real_engine: RealEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnderSystemd]:
    if not real_engine.api.images(name=IMAGE):
        part_missing("images", f"make images IMAGES={IMAGE}")
    containers = SmallContainers(real_engine)
    try:
        shop = Shop(containers, tmp_path_factory.mktemp("shop"), services=("web",))
        made = UnderSystemd(shop, tmp_path_factory.mktemp("machine"))
        try:
            until(made.serves, "the daemon serves", PATIENCE_S)
            yield made
        finally:
            print(made.inside("journalctl", "--no-pager", "--lines=60"))  # shown where a test fails
            made.engine.run("rm", "--force", "--volumes", made.container)
    finally:
        containers.close()


def test_it_runs_as_its_own_user_and_may_write_its_state_alone(served: UnderSystemd) -> None:
    pid = served.shown("MainPID")
    assert served.inside("stat", "-c", "%U", f"/proc/{pid}").strip() == "simian"
    mounts = [line.split() for line in served.inside("cat", f"/proc/{pid}/mountinfo").splitlines()]
    options = {fields[4]: set(fields[5].split(",")) for fields in mounts}
    assert "ro" in options["/"]
    assert "rw" in options[STATE]
    assert served.inside("stat", "-c", "%a %U", STATE).split() == ["700", "simian"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("whom", "outcome"),
    [("main", "aborted"), ("all", "crashed")],  # the run notices that its daemon died; nobody is left to notice
)
def test_a_daemon_that_is_killed_amid_a_run_is_started_again_and_all_is_put_back(
    served: UnderSystemd, whom: str, outcome: str
) -> None:
    before, known, starts = served.shop.seen(), served.history(), int(served.shown("NRestarts"))
    node = served.paused()
    served.inside("systemctl", "kill", "--signal=KILL", f"--kill-whom={whom}", "simian")
    until(lambda: served.is_(node, WHOLE), "it is put back", PATIENCE_S)
    until(lambda: int(served.shown("NRestarts")) == starts + 1, "systemd starts it again", PATIENCE_S)
    served.ends_whole(known, outcome, before)


@pytest.mark.timeout(600)
def test_a_daemon_that_is_stopped_amid_a_run_has_it_undone_and_leaves_no_process(served: UnderSystemd) -> None:
    before, known = served.shop.seen(), served.history()
    node = served.paused()
    served.inside("systemctl", "stop", "simian")
    assert served.is_(node, WHOLE), "systemd was told that it had stopped while its run was in place"
    assert (served.shown("ActiveState"), served.shown("Result")) == ("inactive", "success")
    until(lambda: not served.inside("sh", "-c", "pgrep -u simian || true").split(), "no process is left", PATIENCE_S)
    served.inside("systemctl", "start", "simian")
    served.ends_whole(known, "aborted", before)
