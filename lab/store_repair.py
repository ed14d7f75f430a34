"""Anti-entropy: what neither quorum nor hints brought over is found by comparing digests, and pulled.

A node that dies with a write on its way to the other region, or that dropped hints, leaves replicas that differ with
nobody to know. Each node looks at one peer after the other; a bucket that differs twice in a row, and did not change
in between on either side, is not merely a write under way.
"""

import asyncio
import logging
from collections.abc import Sequence
from random import Random

from .calls import Callee, Caller
from .http import HttpError, Malformed
from .store_data import BUCKETS, Replica, row_of
from .trace import Trace

PATH = "/replica-digest"
ROUND_S = 2.0
_TIMEOUT_S = 2.0
_BUCKETS_A_ROUND = 16
_log = logging.getLogger(__name__)


class Repair:
    """Pulls what peers have and this replica lacks."""

    def __init__(self, caller: Caller, node: str, replica: Replica, peers: Sequence[Callee], rng: Random) -> None:
        self._caller, self._node, self._replica, self._peers, self._rng = caller, node, replica, peers, rng
        self._before: dict[str, dict[int, tuple[int, int]]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for peer in self._peers:
                await asyncio.sleep(ROUND_S * self._rng.uniform(0.8, 1.2))
                try:
                    await self.compare(peer)
                except HttpError as error:
                    _log.debug("%s cannot be compared with: %s", peer.name, error)

    async def compare(self, peer: Callee) -> int:
        """One look at one peer; how many rows were pulled. Raises HttpError when it does not answer."""
        theirs = [int(part, 16) for part in str(await self._ask(peer, PATH, "buckets")).split(",")]
        if len(theirs) != BUCKETS:
            raise Malformed(f"{peer.name} has {len(theirs)} buckets, not {BUCKETS}")
        ours = self._replica.digest
        differ = {at: (ours[at], theirs[at]) for at in range(BUCKETS) if ours[at] != theirs[at]}
        before = self._before.get(peer.name, {})
        self._before[peer.name] = differ
        settled = [at for at, pair in differ.items() if before.get(at) == pair]
        return sum([await self._pull(peer, bucket) for bucket in settled[:_BUCKETS_A_ROUND]])

    async def _pull(self, peer: Callee, bucket: int) -> int:
        shapes = await self._ask(peer, f"{PATH}?bucket={bucket}", "rows")
        try:
            rows = [row_of(shape) for shape in shapes]  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise Malformed(f"{peer.name} answered with no rows: {error}") from None
        self._replica.apply(rows)
        return len(rows)

    async def _ask(self, peer: Callee, path: str, field: str) -> object:
        answer = await self._caller.call(Trace(self._node), peer, "GET", path, timeout_s=_TIMEOUT_S)
        try:
            if answer.status == 200:
                found: object = answer.json()[field]
                return found
        except (ValueError, KeyError, TypeError):
            pass
        raise Malformed(f"{peer.name} answered {answer.status} without {field}")
