"""The way of one request, told in headers (docs/wire.md): which calls were made for it and which faults it met."""

from collections.abc import Iterable, Mapping

TRACE = "x-lab-trace"
FAULTS = "x-simian-faults"
SERVED_BY = "x-lab-served-by"
REGION = "x-lab-region"
WAY = "x-lab-way"
HOME = "x-lab-home"
SESSION = "x-lab-session"  # where sessions are opened, a device sends back what it was told last
SUBNET = "x-lab-subnet"  # in place of the source address, which everybody shares on loopback
INCARNATION = "x-lab-incarnation"
MAX_HOPS = 256


class Trace:
    """Collects, in order, the hops made by ``node`` for one request, those of its callees, and marks of faults."""

    __slots__ = ("hops", "marks", "node")

    def __init__(self, node: str) -> None:
        self.node = node
        self.hops: list[str] = []
        self.marks: list[str] = []

    def called(self, callee: str, answer: Mapping[str, str] | None = None) -> None:
        """A call that was answered; ``answer``: its headers, whose own hops and marks are taken over."""
        self._add(callee, "")
        self.absorb(answer or {})

    def failed(self, callee: str, answer: Mapping[str, str] | None = None) -> None:
        """A call that was not answered, or with an error."""
        self._add(callee, "!")
        self.absorb(answer or {})

    def looked(self, cache: str, had: bool) -> None:
        """A look-aside read of a cache that was answered: it had what was asked for, or had not."""
        self._add(cache, "+" if had else "-")

    def started(self, callee: str) -> None:
        """A call that was begun and is not waited for."""
        self._add(callee, "~")

    def spared(self, callee: str) -> None:
        """A call that was not made, as too many before it failed."""
        self._add(callee, "^")

    def handed_on(self, caller: str, callees: Iterable[str]) -> None:
        """Calls that one who tells no trace of its own begins for this request, and does not wait for."""
        self.hops.extend(f"{caller}>{callee}~" for callee in callees if len(self.hops) < MAX_HOPS)

    def absorb(self, answer: Mapping[str, str]) -> None:
        """Take over the hops and marks told in the headers of an answer."""
        if (hops := answer.get(TRACE)) and len(self.hops) < MAX_HOPS:
            self.hops.extend(hops.split(","))
        if marks := answer.get(FAULTS):
            self.mark(marks.split(","))

    def mark(self, marks: Iterable[str]) -> None:
        """Note faults that touched this request, each once."""
        self.marks.extend(mark for mark in marks if mark not in self.marks)

    def headers(self) -> dict[str, str]:
        """What to add to the answer."""
        told = {TRACE: ",".join(self.hops)}
        if self.marks:
            told[FAULTS] = ",".join(self.marks)
        return told

    def _add(self, callee: str, ending: str) -> None:
        if len(self.hops) < MAX_HOPS:
            self.hops.append(f"{self.node}>{callee}{ending}")
