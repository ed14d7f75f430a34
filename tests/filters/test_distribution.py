"""Distributions: their texts, and that what is drawn is what was asked for."""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simian_filters.distribution import LONGEST_MS, MOST_VALUES, Distribution, no_files

SEED = 20_261_122
DRAWS = 2_000
KS_LIMIT = 1.628 / math.sqrt(DRAWS)  # p = 0.01

Cdf = Callable[[float], float]


def phi(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


# Each shape's textbook CDF, written down apart from the code under test; the second is P(X < x) where that differs.
SHAPES: dict[str, tuple[Cdf, Cdf | None]] = {
    "uniform:50ms..150ms": (lambda x: min(1, max(0, (x - 50) / 100)), None),
    "normal:100ms,20ms": (lambda x: phi((x - 100) / 20), None),
    "normal:10ms,20ms": (lambda x: phi((x - 10) / 20) if x >= 0 else 0, lambda x: phi((x - 10) / 20) if x > 0 else 0),
    "exponential:100ms": (lambda x: 1 - math.exp(-x / 100), None),
    "lognormal:p50=80ms,p99=400ms": (lambda x: phi(math.log(x / 80) / (math.log(5) / 2.326348)), None),
    "pareto:min=50ms,alpha=1.5": (lambda x: 1 - (50 / x) ** 1.5 if x >= 50 else 0, None),
    "empirical:[1,2,2,10]": (
        lambda x: sum(v <= x for v in (1, 2, 2, 10)) / 4,
        lambda x: sum(v < x for v in (1, 2, 2, 10)) / 4,
    ),
    "constant:100ms": (lambda x: float(x >= 100), lambda x: float(x > 100)),
}


def ks_distance(draws: Sequence[float], cdf: Cdf, cdf_left: Cdf) -> float:
    """The largest gap between the share drawn and the share due, on both sides of every step."""
    count, worst, below = len(draws), 0.0, 0
    for value in sorted(set(draws)):
        upto = sum(draw <= value for draw in draws)
        worst = max(worst, abs(upto / count - cdf(value)), abs(below / count - cdf_left(value)))
        below = upto
    return worst


@pytest.mark.parametrize("text", SHAPES)
def test_draws_follow_the_shape_asked_for(text: str) -> None:
    print(f"seed {SEED}")
    rng, distribution = random.Random(SEED), Distribution.parse(text)
    cdf, left = SHAPES[text]
    assert ks_distance([distribution.draw(rng) for _ in range(DRAWS)], cdf, left or cdf) < KS_LIMIT


def test_the_ks_distance_notices_a_wrong_shape() -> None:
    print(f"seed {SEED}")
    rng, uniform = random.Random(SEED), Distribution.parse("uniform:65ms..135ms")
    cdf = SHAPES["normal:100ms,20ms"][0]
    assert ks_distance([uniform.draw(rng) for _ in range(DRAWS)], cdf, cdf) > KS_LIMIT


@pytest.mark.parametrize("text", SHAPES)
def test_median_and_tails_agree_with_the_draws(text: str) -> None:
    print(f"seed {SEED}")
    rng, distribution = random.Random(SEED), Distribution.parse(text)
    draws = sorted(distribution.draw(rng) for _ in range(20_000))
    assert distribution.median_ms == pytest.approx(draws[len(draws) // 2], rel=0.05, abs=0.5)
    for x in (-1.0, 0.0, 2.0, 60.0, 99.9, 100.0, 200.0, LONGEST_MS):
        assert distribution.exceeds(x) == pytest.approx(sum(d > x for d in draws) / len(draws), abs=0.015)


@pytest.mark.parametrize("text", [*(text for text in SHAPES if "1.5" not in text), "pareto:min=50ms,alpha=4"])
def test_the_mean_agrees_with_the_draws(text: str) -> None:
    """Not for a Pareto of alpha 1.5: its variance is infinite, so the mean of its draws does not settle."""
    print(f"seed {SEED}")
    rng, distribution = random.Random(SEED), Distribution.parse(text)
    assert distribution.mean_ms == pytest.approx(sum(distribution.draw(rng) for _ in range(20_000)) / 20_000, rel=0.03)


def test_the_mean_of_a_heavy_tail_is_the_textbook_one() -> None:
    assert Distribution.parse("pareto:min=50ms,alpha=1.5").mean_ms == pytest.approx(1.5 * 50 / 0.5)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("100ms", "constant:100ms"),
        ("1.5s", "constant:1500ms"),
        ("constant: 0ms", "constant:0ms"),
        (" uniform:0s..1s", "uniform:0ms..1000ms"),
        ("normal: 0.1s , 20ms", "normal:100ms,20ms"),
        ("exponential:1m", "exponential:60000ms"),
        ("lognormal:p50=80ms, p99=0.4s", "lognormal:p50=80ms,p99=400ms"),
        ("pareto:min=50ms,alpha=2", "pareto:min=50ms,alpha=2"),
        ("empirical:[3, 1,2.5]", "empirical:[1,2.5,3]"),
    ],
)
def test_the_canonical_text_reads_back_as_the_same(text: str, canonical: str) -> None:
    distribution = Distribution.parse(text)
    assert distribution.text == str(distribution) == canonical
    assert Distribution.parse(distribution.text) == distribution


times_ms = st.floats(min_value=0.001, max_value=1e7)


@given(times_ms, times_ms, st.floats(min_value=1.001, max_value=1000), st.floats(0, 1, exclude_max=True))
def test_any_parameters_read_back_and_give_a_delay_that_can_be_waited_for(
    one: float, other: float, alpha: float, share: float
) -> None:
    low, high = sorted((one, other))
    texts = [f"constant:{low!r}ms", f"normal:{low!r}ms,{high!r}ms", f"exponential:{low!r}ms"]
    texts += [f"pareto:min={low!r}ms,alpha={alpha!r}", f"empirical:[{high!r},{low!r}]"]
    if low < high:
        texts += [f"uniform:{low!r}ms..{high!r}ms", f"lognormal:p50={low!r}ms,p99={high!r}ms"]
    for distribution in map(Distribution.parse, texts):
        assert Distribution.parse(distribution.text) == distribution
        assert 0 <= distribution.quantile(share) <= LONGEST_MS
        assert math.isfinite(distribution.mean_ms)
        assert 0 <= distribution.exceeds(low) <= 1
        assert distribution.exceeds(low) >= distribution.exceeds(high)


class ExtremeDie(random.Random):
    """Rolls what a fair die rolls once in 2^53."""

    def __init__(self, roll: float) -> None:
        self.roll = roll
        super().__init__()

    def random(self) -> float:
        return self.roll


@pytest.mark.parametrize("roll", [0.0, math.nextafter(1, 0)])
@pytest.mark.parametrize("text", [*SHAPES, "lognormal:p50=0.001ms,p99=24h", "pareto:min=24h,alpha=1.001"])
def test_the_most_extreme_roll_is_still_a_delay(text: str, roll: float) -> None:
    assert 0 <= Distribution.parse(text).draw(ExtremeDie(roll)) <= LONGEST_MS


@pytest.mark.parametrize("text", SHAPES)
def test_each_draw_takes_one_number_of_the_die(text: str) -> None:
    die, beside = random.Random(SEED), random.Random(SEED)
    Distribution.parse(text).draw(die)
    beside.random()
    assert die.getstate() == beside.getstate()


def test_a_file_is_read_when_parsed_and_its_numbers_stay_in_the_text(tmp_path: Path) -> None:
    file = tmp_path / "delays: measured"
    file.write_text("12.5\n\n# a remark\n3\n 7 \n")
    distribution = Distribution.parse(f"empirical:{file}")
    file.unlink()
    assert distribution.text == "empirical:[3,7,12.5]"
    assert Distribution.parse(distribution.text, files=no_files) == distribution


def test_a_text_from_a_wire_reads_no_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("42\n")
    with pytest.raises(ValueError, match="files are not read here"):
        Distribution.parse(f"empirical:{file}", files=no_files)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"1\nfast\n", "value 2 is 'fast'"),
        (b"1\nnan\n", "value 2 is 'nan'"),
        (b"-1\n", "value 1 is '-1'"),
        (b"1e9\n", "value 1 is '1e9'"),
        (b"", "0 values"),
        (b"1\n" * (MOST_VALUES + 1), "10001 values"),
        (b"1" * (1 << 21), "larger than 1 MiB"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "delays"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        Distribution.parse(f"empirical:{file}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no duration"),
        ("5", "write it like constant:100ms"),
        ("poisson:5ms", "no distribution is called 'poisson'; there are: constant, uniform"),
        ("constant:-1ms", "is negative"),
        ("25h", "at most 24h"),
        ("uniform:5ms", "write it like uniform:50ms..150ms"),
        ("uniform:5ms..5ms", "must be less than the second"),
        ("normal:100ms,0ms", "too short"),
        ("normal:nan,20ms", "is no duration"),
        ("exponential:0ms", "too short"),
        ("lognormal:p50=80ms,p95=400ms", "should be p99=…"),
        ("lognormal:p50=80ms,p99=80ms", "p50 must be less than p99"),
        ("pareto:min=50ms,alpha=1", "over 1"),
        ("pareto:min=50ms,alpha=inf", "over 1"),
        ("pareto:min=50ms,alpha=nan", "over 1"),
        ("pareto:min=50ms,alpha=x", "must be a number"),
        ("empirical:[]", "value 1 is ''"),
        ("empirical:/no/such/file", "cannot be read"),
    ],
)
def test_a_bad_text_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        Distribution.parse(text)
    assert says in str(refused.value)


@given(st.sampled_from(["", *(text.partition(":")[0] + ":" for text in SHAPES)]), st.text(max_size=40))
def test_any_text_is_a_distribution_or_a_value_error(kind: str, rest: str) -> None:
    try:
        distribution = Distribution.parse(kind + rest, files=no_files)
    except ValueError:
        return
    assert Distribution.parse(distribution.text) == distribution
