"""The unit in examples/serve is one that systemd takes as it is meant."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ..real_parts import part_missing

UNIT = Path(__file__).parent.parent.parent / "examples" / "serve" / "simian.service"
PROGRAM = "/opt/simian/bin/simian"


def verified(folder: Path, text: str) -> tuple[int, str]:
    """What systemd says of a unit with this text, its program being one that is there."""
    if shutil.which("systemd-analyze") is None:
        part_missing("systemd", "no systemd-analyze is found; install systemd")
    assert f"ExecStart={PROGRAM} serve" in text
    unit = folder / "simian.service"
    unit.write_text(text.replace(PROGRAM, str(Path("/bin/true").resolve())))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    assert verified(tmp_path, UNIT.read_text()) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [("KillMode=", "KillMod=", "Unknown key 'KillMod'"), ("=process", "=only-me", "only-me")],
)
def test_a_unit_with_a_mistake_would_be_told(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    code, told = verified(tmp_path, UNIT.read_text().replace(right, wrong))
    assert said in told, (code, told)


def test_the_unit_gives_the_daemon_the_time_that_its_own_end_may_take() -> None:
    from simian.cli.serve import BOOKS_LIMIT_S, STOP_LIMIT_S

    told = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    assert float(told["TimeoutStopSec"]) > STOP_LIMIT_S + BOOKS_LIMIT_S + 5.0  # and for the web process
    assert told["KillMode"] == "process"  # a guardian outlives a daemon that is killed
