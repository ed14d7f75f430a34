"""When the next run of each schedule starts, and which of them are due: asked every few seconds of thousands."""

from heapq import heapify, heappop, heappush


class Starts:
    """Moments by name, seconds since the epoch. What is due stays so until it is set anew or dropped."""

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # may hold moments that are no longer, and those are passed over

    def set(self, name: str, at: float | None) -> None:
        """From now on it is this one; ``None``: there is none any more."""
        if at is None:
            self.drop(name)
        elif self._moments.get(name) != at:
            self._moments[name] = at
            heappush(self._heap, (at, name))
        if len(self._heap) > 2 * len(self._moments) + 100:
            self._heap = [(at, name) for name, at in self._moments.items()]
            heapify(self._heap)

    def drop(self, name: str) -> None:
        """There is none any more."""
        self._moments.pop(name, None)

    def of(self, name: str) -> float | None:
        """The one of this name."""
        return self._moments.get(name)

    def due(self, now: float) -> list[str]:
        """Names whose moment has come, the earliest first."""
        found: list[tuple[float, str]] = []
        while self._heap and self._heap[0][0] <= now:
            at, name = heappop(self._heap)
            if self._moments.get(name) == at and (not found or found[-1] != (at, name)):
                found.append((at, name))
        for one in found:
            heappush(self._heap, one)
        return [name for _, name in found]

    def all(self) -> dict[str, float]:
        """A copy."""
        return dict(self._moments)
