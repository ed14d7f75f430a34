"""A daemon that keeps schedules and whose runs are files: ``python small_daemon.py PLACE FOLDER SPEED BEGIN UNTIL``.

Its clock runs SPEED times as fast as the machine's, from BEGIN (seconds since the epoch, both clocks); a claim waits
for its moment as long as on the machine's own, so that as many are killed amid it. It ends by itself when its clock
shows UNTIL and nothing is in hand.
"""

import sys
import time
from pathlib import Path

from simian.daemon import keeper as keepers
from simian.daemon.keeper import Keeper
from simian.daemon.owner import Daemon
from simian.errors import HistoryError
from simian.history import open_schedules

sys.path.insert(0, str(Path(__file__).parent))
from small_starter import Files


class FastClock:
    """See above."""

    def __init__(self, speed: float, begin: float) -> None:
        self.speed, self.begin = speed, begin

    def now(self) -> float:
        return self.begin + (time.time() - self.begin) * self.speed

    def elapsed(self) -> float:
        return time.monotonic() * self.speed

    def wait(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


def main() -> None:
    """Look again and again."""
    place, folder, speed, begin, until = sys.argv[1:]
    clock = FastClock(float(speed), float(begin))
    keepers.AHEAD_S *= clock.speed
    with open_schedules(place) as store:
        keeper = Keeper(store, Files(Path(folder) / "runs"), clock, Daemon.me(Path(folder)))
        while True:
            try:
                keeper.look()
                soon = clock.now() + keepers.AHEAD_S
                keeper.start_due([name for name, at in keeper.next_starts().items() if at <= soon])
                if clock.now() > float(until) and not store.in_hand():
                    return
            except HistoryError as error:
                print(error, flush=True)
            time.sleep(0.005)


if __name__ == "__main__":
    main()
