"""The process that sends notifications: ``python -m simian.cli.notify_process``, spawned by a command that goes on.

The first line on stdin says where: spool, history, channels. Nobody waits for it; what it leaves over is taken up by
the next.
"""

import json
import os
import sys
from pathlib import Path

from simian.clock import SystemClock
from simian.history import open_history
from simian.notify import Post, Spool, channels_of

FOR_S = 120.0


def main() -> None:
    """Work until all is sent or the time is up. Leaves by ``os._exit``, past a sender that hangs."""
    told = json.loads(sys.stdin.readline())
    spool, channels = Spool(Path(told["spool"])), channels_of(told["channels"])
    try:
        Post(spool, lambda: open_history(told["history"]), channels, SystemClock(), os.environ).work(FOR_S)
    except OSError as error:
        print(f"notifications: {error}", file=sys.stderr, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
