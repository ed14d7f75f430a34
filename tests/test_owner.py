"""Which process: a pid together with its start time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from simian_lab.processes import start_time_of as lab_start_time_of

from simian.owner import Owner, start_time_of
from simian.platforms.process_identity import identity_of


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)


def test_a_signal_reaches_the_very_process_only() -> None:
    process = child()
    owner = Owner.of(process.pid)
    assert owner.alive
    assert Owner(process.pid, "another").send(signal.SIGKILL) is False, "a pid used again is left alone"
    assert process.poll() is None
    assert owner.send(signal.SIGKILL) is True
    assert process.wait(60) == -signal.SIGKILL
    assert not owner.alive
    assert owner.send(signal.SIGKILL) is False
    assert process.stdin
    process.stdin.close()


def test_start_times_stay_and_differ() -> None:
    mine = start_time_of(os.getpid())
    assert mine
    assert mine == start_time_of(os.getpid()) == Owner.me().start_time
    process = child()
    assert start_time_of(process.pid) not in (None, mine)
    assert process.stdin
    process.stdin.close()
    process.wait(60)
    assert start_time_of(process.pid) is None


def test_nobody_is_nobody() -> None:
    for pid in (0, -1, 2**22 + 1):
        assert not Owner(pid, "").alive
        assert Owner(pid, "").send(signal.SIGTERM) is False


FIRST_THREAD_ENDS = """
import ctypes, os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def _first_thread_has_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of threads in /proc")
@pytest.mark.parametrize(
    "alive", [lambda pid: start_time_of(pid) is not None, lambda pid: identity_of(pid) is not None, lab_start_time_of]
)
def test_a_process_lives_as_long_as_any_of_its_threads(alive: Callable[[int], object]) -> None:
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not _first_thread_has_ended(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert alive(process.pid)
        assert process.stdin
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(process.pid)
