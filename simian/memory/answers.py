"""What can become of a call, as a list of answers with their shares, and how such lists combine."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple

from simian_filters.distribution import Distribution

POINTS = 64  # a drawn delay is kept as so many of its quantiles
NEGLIGIBLE = 1e-6  # a way to end that one in a million calls goes is left out
NO_ANSWER = 0
MOST_GOOD, MOST_BAD = 48, 4  # ways that are told apart

Delays = tuple[float, ...]  # equally likely, in ms, in order of size; none: no delay


class Felt(NamedTuple):
    """A request went by a rule: whether it was hit, for the rule's own counts."""

    node: str
    mark: str
    hit: bool


class Answer(NamedTuple):
    """One thing that can become of a call.

    ``status`` 0: no answer. ``base_ms`` varies a little, ``wait_ms`` (time-outs) does not, and one of ``delay`` is
    added. ``marks``: what the answer says of faults. ``errors``: one for each try that failed. ``region`` and ``way``:
    who served a user and how, of good answers.
    """

    share: float
    status: int = 200
    base_ms: float = 0.0
    wait_ms: float = 0.0
    delay: Delays = ()
    hops: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    felt: tuple[Felt, ...] = ()
    errors: tuple[str, ...] = ()
    region: str = ""
    way: str = ""

    @property
    def ok(self) -> bool:
        """A good answer."""
        return 200 <= self.status < 400

    @property
    def final(self) -> bool:
        """Good, or bad in such a way that another node would say the same."""
        return 200 <= self.status < 500


Answers = list[Answer]


def after(first: Answer, second: Answer) -> Answer:
    """Both, one after the other; the second is what counts."""
    return Answer(
        first.share * second.share,
        second.status,
        first.base_ms + second.base_ms,
        first.wait_ms + second.wait_ms,
        added(first.delay, second.delay),
        first.hops + second.hops,
        first.marks + tuple(mark for mark in second.marks if mark not in first.marks),
        first.felt + second.felt,
        first.errors + second.errors,
        second.region,
        second.way,
    )


def both(first: Iterable[Answer], second: Sequence[Answer]) -> Answers:
    """Every pair of the two, without what is too rare to matter."""
    pairs = (after(one, two) for one in first for two in second)
    return [pair for pair in pairs if pair.share > NEGLIGIBLE]


def in_turn(tries: Iterable[Sequence[Answer]]) -> Answers:
    """Try after try, until one is final."""
    done: Answers = []
    pending = [Answer(1.0, NO_ANSWER)]
    for answers in tries:
        tried = both(pending, answers)
        done += [answer for answer in tried if answer.final]
        pending = thinned(answer for answer in tried if not answer.final)
        if not pending:
            break
    return thinned(done) + pending


def thinned(answers: Iterable[Answer]) -> Answers:
    """Of answers that differ only in the way that led to them, the most likely, with the share of all of them.

    Where everything fails, every order of failing is a way of its own: too many to tell apart.
    """
    alike: dict[tuple[object, ...], Answers] = {}
    for answer in answers:
        end = (answer.status, answer.region, answer.way, answer.marks, answer.felt, answer.errors)
        alike.setdefault(end, []).append(answer)
    return [kept for group in alike.values() for kept in _most_likely(group, MOST_GOOD if group[0].ok else MOST_BAD)]


def _most_likely(group: Answers, most: int) -> Answers:
    if len(group) <= most:
        return group
    kept = sorted(group, key=lambda answer: (-answer.share, answer.hops))[:most]
    scale = sum(answer.share for answer in group) / sum(answer.share for answer in kept)
    return [answer._replace(share=answer.share * scale) for answer in kept]


def mixed(parts: Iterable[tuple[float, Sequence[Answer]]]) -> Answers:
    """Lists of answers, each with the share of calls it stands for."""
    return [answer._replace(share=answer.share * share) for share, answers in parts if share > 0 for answer in answers]


def within(answers: Iterable[Answer], timeout_ms: float, given_up: Answer) -> Answers:
    """The answers that come in time; the others become ``given_up`` after the whole of it."""
    found: Answers = []
    for answer in answers:
        known_ms = answer.base_ms + answer.wait_ms
        late, delay = split(answer.delay, timeout_ms - known_ms) if answer.delay else (float(known_ms > timeout_ms), ())
        if late:
            found.append(given_up._replace(share=answer.share * late, wait_ms=timeout_ms, felt=answer.felt))
        if late < 1:
            found.append(answer._replace(share=answer.share * (1 - late), delay=delay))
    return found


@lru_cache(maxsize=4096)
def points(delays: tuple[Distribution, ...]) -> Delays:
    """The sum of a draw of each, as quantiles."""
    total: Delays = ()
    for delay in delays:
        total = added(total, tuple(delay.quantile((i + 0.5) / POINTS) for i in range(POINTS)))
    return total


@lru_cache(maxsize=4096)
def added(first: Delays, second: Delays) -> Delays:
    """The sum of two independent delays."""
    if not first or not second:
        return first or second
    # Each of one meets four of the other; which ones is drawn from a fixed seed, as all pairs would be too many.
    meetings = Random(0)
    sums = sorted(one + meetings.choice(second) for one in first for _ in range(4))
    step = max(1, len(sums) // POINTS)
    return tuple(sums[step // 2 :: step])


@lru_cache(maxsize=4096)
def split(delays: Delays, limit_ms: float) -> tuple[float, Delays]:
    """The share of the delays that are longer, and those that are not."""
    kept = tuple(delay for delay in delays if delay <= limit_ms)
    return 1 - len(kept) / len(delays), kept
