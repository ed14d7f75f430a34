"""Which process: a pid together with its start time."""

import os
import signal
import subprocess
import sys

from simian.owner import Owner, start_time_of


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
