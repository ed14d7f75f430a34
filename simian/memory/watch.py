"""What a runner waits on in the memory world: the users' slices, and checks that are Python callables."""

from collections.abc import Callable, Mapping, Sequence

from simian.errors import UsageError
from simian.memory.clock import SimulatedClock
from simian.memory.users import Users
from simian.probe import Check, CheckReading, Observation, Slice

Look = Callable[[], float | None]


class MemoryWatch:
    """The same interface as ``simian.watch.Watch``, on a simulated clock.

    ``looks``: check's name -> a callable that gives the value; one that returns ``None`` gave no answer by its
    deadline, one that raises has crashed. Raises UsageError for a check that has neither a callable nor users.
    ``users``: ``None`` where there is no users' feed.
    """

    def __init__(
        self,
        users: Users | None,
        clock: SimulatedClock,
        checks: Sequence[Check] = (),
        looks: Mapping[str, Look] | None = None,
    ) -> None:
        self._users, self._clock, self._looks = users, clock, dict(looks or {})
        self._checks = [check for check in checks if not check.on_users]
        missing = [check.name for check in self._checks if check.name not in self._looks]
        if missing:
            raise UsageError([f"check {name!r} has no callable; pass watch(looks={{{name!r}: …}})" for name in missing])
        self._seen: list[Observation] = []
        self._on = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._on = True
        if self._users:
            self._users.subscribe(self._note)
        for check in self._checks:
            self._clock.at(self._clock.elapsed(), lambda check=check: self._look(check))  # type: ignore[misc]

    def wait(self, seconds: float) -> list[Observation]:
        """Let simulated time pass until something was seen, at most so long; what was seen since the last call."""
        until = self._clock.elapsed() + max(0.0, seconds)
        if self._users and not self._seen and seconds > 0:
            self._users.settle()  # a long interval is told in parts to who looks often, as users tell all the time
        while not self._seen and self._clock.step(until):
            pass
        seen, self._seen = self._seen, []
        return seen

    def stop(self) -> None:
        """No more observations; may be called twice."""
        if self._on:
            self._on = False
            if self._users:
                self._users.unsubscribe(self._note)

    def _note(self, made: Slice) -> None:
        self._seen.append(made)

    def _look(self, check: Check) -> None:
        if not self._on:
            return
        name, now = check.name, self._clock.now()
        self._clock.at(self._clock.elapsed() + check.every_s, lambda: self._look(check))
        try:
            value = self._looks[name]()
        except Exception as error:
            self._seen.append(CheckReading(name, now, None, detail=f"{type(error).__name__}: {error}"))
            return
        if value is not None:
            self._seen.append(CheckReading(name, now, float(value)))
            return
        late = CheckReading(name, now + check.deadline_s, None, True, f"no answer within {check.deadline_s:g} s")
        self._clock.at(self._clock.elapsed() + check.deadline_s, lambda: self._seen.append(late))
