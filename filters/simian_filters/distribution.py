"""Distributions of delays: a value with a text, a die and a known shape.

=================================  =============================================================================
``constant:100ms`` (or ``100ms``)  always the same
``uniform:50ms..150ms``            anything between, evenly
``normal:100ms,20ms``              mean and standard deviation; what would be negative is 0
``exponential:100ms``              its mean
``lognormal:p50=80ms,p99=400ms``   two of its quantiles
``pareto:min=50ms,alpha=1.5``      ``P(draw > x) = (min / x) ** alpha``; alpha over 1, so that there is a mean
``empirical:FILE``                 one of the numbers of the file, one a line, in ms, each as likely
``empirical:[1,2.5,80]``           the same with the numbers at hand, in ms
=================================  =============================================================================

A file is read when the text is parsed, and ``text`` then holds the numbers themselves, in order of size: so a plan or
journal can be replayed with the file changed, gone, or on another machine. No draw is longer than ``LONGEST_MS``
(24 h), so that it can always be waited for.

Every draw takes exactly one number of the die, whatever the kind, and is that quantile of the distribution.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from simian_filters.units import number_text, parse_duration_ms, shown

if TYPE_CHECKING:
    from random import Random

LONGEST_MS = 86_400_000.0
SHORTEST_MS = 0.001  # the least scale of a shape that needs one: keeps every moment of it a finite number
MOST_VALUES = 10_000
_MOST_FILE_B = 1 << 20
_Z99 = 2.3263478740408408

Parameters = tuple[float, ...]
ReadFile = Callable[[str], str]


def read_file(path: str) -> str:
    """The text of a file of measured delays. Raises ValueError, also for one that is too large to be that."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST_FILE_B + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{shown(path)} cannot be read ({error}); give a file with one number of ms a line") from error
    if len(text) > _MOST_FILE_B:
        raise ValueError(f"{shown(path)} is larger than 1 MiB; keep at most {MOST_VALUES} numbers, one a line")
    return text


def no_files(path: str) -> str:
    """For texts that come from elsewhere: what arrives over a wire never makes this machine read a file of its own."""
    raise ValueError(f"{shown(path)}: files are not read here; send the numbers: empirical:[1,2.5,80]")


class _Shape(Protocol):
    form: str  # an example, for messages

    def read(self, body: str, files: ReadFile) -> Parameters: ...
    def write(self, p: Parameters) -> str: ...
    def quantile(self, p: Parameters, u: float) -> float: ...
    def exceeds(self, p: Parameters, x: float) -> float: ...
    def mean(self, p: Parameters) -> float: ...


def _delay(text: str, *, positive: bool = False) -> float:
    value = parse_duration_ms(text)
    if value > LONGEST_MS:
        raise ValueError(f"{shown(text)} is too long; a delay is at most 24h")
    if positive and value < SHORTEST_MS:
        raise ValueError(f"{shown(text)} is too short; it must be at least {SHORTEST_MS}ms here")
    return value


def _pair(body: str, between: str) -> tuple[str, str]:
    first, found, second = body.partition(between)
    if not found:
        raise ValueError(f"two values with {between!r} between them are needed")
    return first, second


def _named(text: str, name: str) -> str:
    key, _, value = text.partition("=")
    if key.strip() != name or not value:
        raise ValueError(f"{shown(text)} should be {name}=…")
    return value


def _ms(value: float) -> str:
    return number_text(value) + "ms"


def _z(u: float) -> float:
    from statistics import NormalDist  # here, because few commands draw and the import is slow

    return NormalDist().inv_cdf(u)


def _above(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


class _Constant:
    form = "constant:100ms"

    def read(self, body: str, files: ReadFile) -> Parameters:
        return (_delay(body),)

    def write(self, p: Parameters) -> str:
        return _ms(p[0])

    def quantile(self, p: Parameters, u: float) -> float:
        return p[0]

    def exceeds(self, p: Parameters, x: float) -> float:
        return float(p[0] > x)

    def mean(self, p: Parameters) -> float:
        return p[0]


class _Uniform:
    form = "uniform:50ms..150ms"

    def read(self, body: str, files: ReadFile) -> Parameters:
        first, second = _pair(body, "..")
        low, high = _delay(first), _delay(second)
        if not low < high:
            raise ValueError("the first value must be less than the second")
        return low, high

    def write(self, p: Parameters) -> str:
        return f"{_ms(p[0])}..{_ms(p[1])}"

    def quantile(self, p: Parameters, u: float) -> float:
        return p[0] + u * (p[1] - p[0])

    def exceeds(self, p: Parameters, x: float) -> float:
        return min(1.0, max(0.0, (p[1] - x) / (p[1] - p[0])))

    def mean(self, p: Parameters) -> float:
        return (p[0] + p[1]) / 2


class _Normal:
    form = "normal:100ms,20ms"

    def read(self, body: str, files: ReadFile) -> Parameters:
        mean, spread = _pair(body, ",")
        return _delay(mean), _delay(spread, positive=True)

    def write(self, p: Parameters) -> str:
        return f"{_ms(p[0])},{_ms(p[1])}"

    def quantile(self, p: Parameters, u: float) -> float:
        return max(0.0, p[0] + p[1] * _z(u))

    def exceeds(self, p: Parameters, x: float) -> float:
        return _above((x - p[0]) / p[1])

    def mean(self, p: Parameters) -> float:
        z = p[0] / p[1]
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return p[0] * _above(-z) + p[1] * density  # of what is 0 where it would be negative


class _Exponential:
    form = "exponential:100ms"

    def read(self, body: str, files: ReadFile) -> Parameters:
        return (_delay(body, positive=True),)

    def write(self, p: Parameters) -> str:
        return _ms(p[0])

    def quantile(self, p: Parameters, u: float) -> float:
        return -p[0] * math.log1p(-u)

    def exceeds(self, p: Parameters, x: float) -> float:
        return math.exp(-x / p[0])

    def mean(self, p: Parameters) -> float:
        return p[0]


class _Lognormal:
    form = "lognormal:p50=80ms,p99=400ms"

    def read(self, body: str, files: ReadFile) -> Parameters:
        first, second = _pair(body, ",")
        p50 = _delay(_named(first, "p50"), positive=True)
        p99 = _delay(_named(second, "p99"), positive=True)
        if not p50 < p99:
            raise ValueError("p50 must be less than p99")
        return p50, p99

    def write(self, p: Parameters) -> str:
        return f"p50={_ms(p[0])},p99={_ms(p[1])}"

    def _sigma(self, p: Parameters) -> float:
        return math.log(p[1] / p[0]) / _Z99

    def quantile(self, p: Parameters, u: float) -> float:
        return p[0] * math.exp(self._sigma(p) * _z(u))

    def exceeds(self, p: Parameters, x: float) -> float:
        return _above(math.log(x / p[0]) / self._sigma(p)) if x > 0 else 1.0

    def mean(self, p: Parameters) -> float:
        return p[0] * math.exp(self._sigma(p) ** 2 / 2)


class _Pareto:
    form = "pareto:min=50ms,alpha=1.5"

    def read(self, body: str, files: ReadFile) -> Parameters:
        first, second = _pair(body, ",")
        least, written = _delay(_named(first, "min"), positive=True), _named(second, "alpha")
        try:
            alpha = float(written)
        except ValueError:
            raise ValueError(f"alpha is {shown(written)}; it must be a number") from None
        if not 1 < alpha <= 1000:
            raise ValueError(f"alpha is {shown(written)}; it must be over 1 (else there is no mean) and at most 1000")
        return least, alpha

    def write(self, p: Parameters) -> str:
        return f"min={_ms(p[0])},alpha={number_text(p[1])}"

    def quantile(self, p: Parameters, u: float) -> float:
        return float(p[0] * (1 - u) ** (-1 / p[1]))

    def exceeds(self, p: Parameters, x: float) -> float:
        return float((p[0] / x) ** p[1]) if x > p[0] else 1.0

    def mean(self, p: Parameters) -> float:
        return p[0] * p[1] / (p[1] - 1)


class _Empirical:
    form = "empirical:FILE"

    def read(self, body: str, files: ReadFile) -> Parameters:
        if body.startswith("[") and body.endswith("]"):
            texts = body[1:-1].split(",")
        else:
            texts = [line for line in files(body).splitlines() if line.strip() and not line.startswith("#")]
        if not texts or len(texts) > MOST_VALUES:
            raise ValueError(f"{len(texts)} values; between 1 and {MOST_VALUES} are needed")
        return tuple(sorted(self._value(number, text) for number, text in enumerate(texts, 1)))

    def _value(self, number: int, text: str) -> float:
        try:
            value = float(text) + 0.0  # + 0.0: no negative zero
        except ValueError:
            value = math.nan
        if not 0 <= value <= LONGEST_MS:
            raise ValueError(f"value {number} is {shown(text.strip())}; each is a number of ms, 0 to {LONGEST_MS:.0f}")
        return value

    def write(self, p: Parameters) -> str:
        return "[" + ",".join(map(number_text, p)) + "]"

    def quantile(self, p: Parameters, u: float) -> float:
        return p[int(u * len(p))]

    def exceeds(self, p: Parameters, x: float) -> float:
        return 1 - bisect_right(p, x) / len(p)

    def mean(self, p: Parameters) -> float:
        return math.fsum(p) / len(p)


_SHAPES: dict[str, _Shape] = {
    "constant": _Constant(),
    "uniform": _Uniform(),
    "normal": _Normal(),
    "exponential": _Exponential(),
    "lognormal": _Lognormal(),
    "pareto": _Pareto(),
    "empirical": _Empirical(),
}
KINDS: Sequence[str] = tuple(_SHAPES)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of delays in ms; made by ``parse``.

    ``parameters``, in ms (``alpha`` bare): constant (value,), uniform (low, high), normal (mean, deviation),
    exponential (mean,), lognormal (p50, p99), pareto (min, alpha), empirical: the values in order of size.
    """

    kind: str
    parameters: Parameters

    @classmethod
    def parse(cls, text: str, *, files: ReadFile = read_file) -> Distribution:
        """The distribution of that text. Raises ValueError with what would be right.

        ``files`` reads the file of ``empirical:FILE``; pass ``no_files`` for a text that came over a wire.
        """
        kind, found, body = text.strip().partition(":")
        if not found:
            kind, body = "constant", kind
        shape = _SHAPES.get(kind.strip())
        if shape is None:
            raise ValueError(f"{shown(text)}: no distribution is called {shown(kind)}; there are: {', '.join(KINDS)}")
        try:
            return cls(kind.strip(), shape.read(body.strip(), files))
        except ValueError as error:
            raise ValueError(f"{shown(text)}: {error}; write it like {shape.form}") from error

    @property
    def text(self) -> str:
        """The canonical text: ``Distribution.parse(d.text) == d``, on any machine."""
        return f"{self.kind}:{_SHAPES[self.kind].write(self.parameters)}"

    def __str__(self) -> str:
        return self.text

    def quantile(self, share: float) -> float:
        """The delay in ms that ``share`` (0 <= share < 1) of the draws do not exceed."""
        return min(LONGEST_MS, _SHAPES[self.kind].quantile(self.parameters, share or 2.0**-54))

    def draw(self, rng: Random) -> float:
        """One delay in ms, never negative; takes exactly one number from the die."""
        return self.quantile(rng.random())

    def exceeds(self, x_ms: float) -> float:
        """The probability that a draw is longer than ``x_ms``."""
        if x_ms < 0:
            return 1.0
        return 0.0 if x_ms >= LONGEST_MS else _SHAPES[self.kind].exceeds(self.parameters, x_ms)

    @property
    def median_ms(self) -> float:
        """Half of the draws are no longer than this."""
        return self.quantile(0.5)

    @property
    def mean_ms(self) -> float:
        """The mean of the shape (draws cut at ``LONGEST_MS`` are left out of account)."""
        return _SHAPES[self.kind].mean(self.parameters)
