"""What whoever runs a system sees before any user has failed: that tries of theirs come to nothing."""

from simian.cusum import Cusum
from simian.probe import Slice
from simian.tally import USERS, Hops

_ALLOWED, _WRONG = 0.1, 0.5  # of all tries that go nowhere: some always do, and half are no accident


class Notice:
    """Users' tries that nobody answered; a user whom the DNS sends elsewhere in time waits, and has not failed.

    ``said`` is empty until too many of them came together.
    """

    def __init__(self) -> None:
        self.said = ""
        self._guard = Cusum(_ALLOWED, _WRONG)

    def take(self, seen: Slice) -> None:
        """Count a slice; a void one tells nothing of the system."""
        if seen.void or self.said:
            return
        hops = Hops()
        hops.take(seen.hops)
        failed, every = (sum(n for hop, n in of.items() if hop[0] == USERS) for of in (hops.failed, hops.taken))
        if self._guard.take(every - failed, failed):
            self.said = f"tries of users: {failed} of the last {every} were not answered"
