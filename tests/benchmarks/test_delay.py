"""What is told of delays: distances that are known, and delays that are felt through sockets."""

from functools import partial

import pytest
from simian_filters.distribution import Distribution
from simian_filters.rules import Rules

from ..real_parts import real_part

COUNT = 1_000


def perfect(asked: Distribution) -> list[float]:
    """As evenly drawn as can be."""
    return [asked.quantile((number + 0.5) / COUNT) for number in range(COUNT)]


def test_what_is_drawn_evenly_of_a_distribution_is_no_distance_from_it() -> None:
    import delay

    for asked in delay.ASKED.values():
        wanted = Distribution.parse(asked.text)
        assert delay.distance(perfect(wanted), wanted) <= 1 / COUNT + 1e-9, asked.text


def test_a_shift_by_a_tenth_of_an_even_draw_is_a_distance_of_a_tenth() -> None:
    import delay

    even = Distribution.parse("uniform:0ms..100ms")
    assert delay.distance([ms + 10 for ms in perfect(even)], even) == pytest.approx(0.1, abs=1e-3)


def test_a_distribution_that_is_another_is_far() -> None:
    import delay

    normal, even = Distribution.parse("normal:100ms,20ms"), Distribution.parse("uniform:80ms..120ms")
    assert delay.distance(perfect(even), normal) == pytest.approx(0.16, abs=0.01)


def test_the_chance_of_a_distance_is_that_of_the_tables() -> None:
    import delay

    for critical, p in ((1.22, 0.10), (1.36, 0.05), (1.63, 0.01)):
        assert delay.chance(critical / COUNT**0.5, COUNT) == pytest.approx(p, rel=0.1)
    assert delay.chance(0.0, COUNT) == 1.0


def test_few_values_are_told_apart_by_what_they_are_near_to_and_what_is_near_to_none_counts_as_itself() -> None:
    import delay

    assert delay.near([20.4, 43.0, 50.0], Distribution.parse("empirical:[20,40]")) == [20.0, 40.0, 50.0]
    even = Distribution.parse("uniform:20ms..40ms")
    assert delay.near([20.4], even) == [20.4]


def test_shares_are_told_in_deviations_of_a_fair_die() -> None:
    import delay

    assert delay.deviations([60.0] * 50 + [0.2] * 50, 0.5) == 0.0
    assert delay.deviations([60.0] * 100, 0.5) == 10.0


def test_a_delay_is_felt_and_no_rule_is_no_delay() -> None:
    import delay
    import felt

    held = felt.felt_ms(delay.rules_of(1.0, "constant:200ms", 1), 5, 2)
    assert len(held) == 10
    assert min(held) >= 200
    assert min(felt.felt_ms(Rules(), 5, 2)) < 200


def test_toxiproxy_holds_back_every_request_of_a_connection() -> None:
    import delay
    import felt
    import proxied

    between = partial(proxied.latency, real_part("toxiproxy"), 1.0, 200, 0)
    held = felt.felt_ms(Rules(), 5, 2, between)
    assert min(held) >= 195  # it counts whole milliseconds from when the bytes came
    assert delay.deviations([60.0 if ms >= 195 else 0.0 for ms in held], 0.5) > 3
