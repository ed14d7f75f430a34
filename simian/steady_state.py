"""The steady state: every check judged from baseline to verify, and the guard that ends a run which does harm.

``alarm`` is for safety: it rings on doubt (a silent probe, nobody watching). ``verdicts`` are for honesty: doubt is
*unknown* there. A broken verdict says what was seen, where, and where to look.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from simian.blame import Blame
from simian.judge import Judge, Phase, Verdict, shown
from simian.judge_readings import ReadingsJudge
from simian.judge_users import UsersJudge
from simian.notice import Notice
from simian.probe import AbortCondition, Check, FeedLost, Observation, Slice
from simian.tally import Coverage, Exposure
from simian.topology import Node

__all__ = ["CheckVerdict", "Exposure", "Phase", "SteadyState", "Verdict"]

ABORT_WINDOW_S = 5.0
AFTER_WINDOW_S = 30.0
VOID_WINDOW_S = 5.0
MOST_VOID = 0.2  # of a phase, before the users' word is worth nothing


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """One check's verdict. Values are shares (0..1), milliseconds or plain, ``readings`` those of ``during``."""

    check: str
    verdict: Verdict
    tolerance: str
    baseline: float | None
    during: float | None
    after: float | None
    readings: int
    seen: str = ""
    where: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data, fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class SteadyState:
    """Judges ``checks`` from what ``take`` is given; ``aborts`` are limits that end a run at once."""

    def __init__(self, checks: Sequence[Check], aborts: Sequence[AbortCondition] = ()) -> None:
        self._judges: dict[str, Judge] = {
            check.name: UsersJudge(check) if check.on_users else ReadingsJudge(check) for check in checks
        }
        unknown = [abort.check for abort in aborts if abort.check not in self._judges]
        if unknown or len(self._judges) != len(checks):
            raise ValueError(f"checks need names of their own, and abort conditions one of them: {unknown}")
        self._aborts = tuple(aborts)
        self._phase: Phase = "baseline"
        self._blame = Blame()
        self._notice = Notice()
        self._coverage = Coverage()
        self._during: tuple[float, float] | None = None
        self._after_since: float | None = None
        self._lost_at = float("-inf")
        self._alarm: str | None = None

    def enter(self, phase: Phase) -> None:
        """From now on what is taken belongs to this phase."""
        self._phase = phase

    def place(self, nodes: Iterable[Node]) -> None:
        """Tell which node is where, so that calls across regions are known as such."""
        self._blame.place(nodes)

    def again(self, phase: Phase) -> None:
        """Begin this phase anew: what was seen in it so far is forgotten."""
        self.enter(phase)
        for judge in self._judges.values():
            judge.forget(phase)

    def take(self, seen: Observation) -> None:
        """Count an observation."""
        if isinstance(seen, Slice):
            self._coverage.take(seen)
            if self._phase in ("baseline", "during"):
                self._blame.take(self._phase, seen)
            if self._phase == "moving":
                self._notice.take(seen)
            if self._phase == "after" and self._after_since is None:
                self._after_since = seen.start
            if self._phase == "during":
                self._during = (self._during[0] if self._during else seen.start, seen.end)
        elif isinstance(seen, FeedLost):
            self._lost_at = max(self._lost_at, seen.at)
            if self._phase == "during":
                self._during = (self._during[0], max(self._during[1], seen.at)) if self._during else None
        for judge in self._judges.values():
            judge.take(self._phase, seen)

    def alarm(self) -> str | None:
        """Why the run must end now, beginning with the condition; ``None`` while all is well. Once rung, it stays."""
        if self._alarm is None and self._phase == "during":
            self._alarm = next((judge.alarmed for judge in self._judges.values() if judge.alarmed), None)
            self._alarm = self._alarm or next(filter(None, map(self._aborted, self._aborts)), None)
        return self._alarm

    def noticed(self) -> str:
        """What was wrong while users were being moved: what the guard would have ended the run for, or failing tries.

        Empty: nothing yet.
        """
        return next((judge.noticed for judge in self._judges.values() if judge.noticed), self._notice.said)

    def _aborted(self, abort: AbortCondition) -> str | None:
        judge = self._judges[abort.check]
        value = judge.recent(ABORT_WINDOW_S)
        if value is None or not abort.violated(value):
            return None
        below = abort.below is not None and value < abort.below
        limit = f"below {shown(abort.below, judge.unit)}" if below else f"above {shown(abort.above, judge.unit)}"
        return f"{abort.check} {limit}: {shown(value, judge.unit)} in the last {ABORT_WINDOW_S:g} s"

    def holds_now(self, phase: Phase) -> bool | None:
        """Whether every check holds now; ``None``: too little was seen to say. Without checks there is no doubt."""
        held = [judge.holds_now(phase) for judge in self._judges.values()]
        if False in held:
            return None if self._blind_since_recovery else False
        return None if None in held else True

    def why_not(self, phase: Phase) -> list[str]:
        """A line for each check that does not hold now, or of which too little was seen to say."""
        return [_shortfall(judge, phase) for judge in self._judges.values() if judge.holds_now(phase) is not True]

    def now(self) -> list[dict[str, Any]]:
        """Each check as it stands in this phase, for people who watch: check, value, tolerance, verdict so far."""
        words = {True: "held", False: "broken", None: "unknown"}
        return [
            {
                "check": name,
                "value": judge.value(self._phase),
                "tolerance": judge.check.tolerance.text,
                "verdict": words[judge.holds_now(self._phase)],
            }
            for name, judge in self._judges.items()
        ]

    def void_share(self, window_s: float = VOID_WINDOW_S, *, since_s: float | None = None) -> float:
        """Which share of the seconds after a moment the users could not tell about: themselves late, or not heard.

        ``since_s`` is in seconds since the epoch; by default the beginning of ``during``. Of a window that is not
        over yet it is the part seen so far; 1.0 when nothing was seen since.
        """
        since = since_s if since_s is not None else (self._during[0] if self._during else math.inf)
        return self._coverage.void_share(since, min(since + window_s, max(self._coverage.until, self._lost_at)))

    @property
    def _blind(self) -> bool:
        return self._during is not None and self._coverage.void_share(*self._during) > MOST_VOID

    @property
    def _blind_since_recovery(self) -> bool:
        """After the recovery, too, users that were late or not heard say little: what they saw then is unknown."""
        if self._after_since is None:
            return False
        until = self._coverage.until
        return self._coverage.void_share(max(self._after_since, until - AFTER_WINDOW_S), until) > MOST_VOID

    def verdicts(self) -> list[CheckVerdict]:
        """One for each check, in the order given; with no check at all the steady state is unknown."""
        if not self._judges:
            return [CheckVerdict("steady state", "unknown", "", None, None, None, 0, "nothing was checked")]
        return [self._verdict(judge) for judge in self._judges.values()]

    def _verdict(self, judge: Judge) -> CheckVerdict:
        judged = judge.judge(self._blind, self._blind_since_recovery)
        broken = judged.verdict == "broken"
        values = {phase: judge.value(phase) for phase in ("baseline", "during", "after")}
        return CheckVerdict(
            check=judge.check.name,
            verdict=judged.verdict,
            tolerance=judge.check.tolerance.text,
            **values,
            readings=judge.count("during"),
            seen=judged.seen,
            where=self._where(judge) if broken else "",
            hint=self._hint(judge) if broken else "",
        )

    def _where(self, judge: Judge) -> str:
        places = [judge.where()]
        if isinstance(judge, UsersJudge):
            places += self._blame.places()
        return "; ".join(filter(None, places))

    def _hint(self, judge: Judge) -> str:
        if not isinstance(judge, UsersJudge):
            return f"ask the same by hand ({judge.where()}) and read the log of what answers there"
        return self._blame.hint(judge.metric.name)


def _shortfall(judge: Judge, phase: Phase) -> str:
    told = f"{judge.check.name}: {shown(judge.value(phase), judge.unit)}, {judge.count(phase)} seen"
    wanted = judge.check.tolerance.text
    return f"{told}; right would be {wanted}" if judge.holds_now(phase) is False else f"{told}, too few for {wanted}"
