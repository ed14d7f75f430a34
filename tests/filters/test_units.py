"""Durations and shares, as tables."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simian_filters.units import number_text, parse_duration_ms, parse_duration_s, parse_share


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("24h", 86_400), ("0s", 0), ("1.5s", 1.5), (" 2 s ", 2), ("1e3ms", 1)],
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds
    assert parse_duration_ms(text) == seconds * 1000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no duration"),
        ("5", "is no duration"),
        ("5 days", "is no duration"),
        ("nanms", "is no duration"),
        ("infs", "is no duration"),
        ("0x10s", "is no duration"),
        ("٣s", "is no duration"),
        ("1s\n2s", "is no duration"),
        ("-5ms", "is negative"),
        ("1e999s", "is too long"),
        ("9" * 400 + "h", "is too long"),
        ("367000h", "is too long"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse_duration_s(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("text", "share"), [("10%", 0.1), ("0.1", 0.1), ("100%", 1), ("1", 1), ("0", 0), ("0.1 %", 0.001), (".5", 0.5)]
)
def test_a_share_is_read_in_either_form(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no share"),
        ("ten", "is no share"),
        ("nan", "is no share"),
        ("inf%", "is no share"),
        ("-1%", "is negative"),
        ("101%", "over 100 %"),
        ("50", "over 100 %"),
        ("1e999", "over 100 %"),
    ],
)
def test_what_is_no_share_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_share(text)


@given(st.floats(min_value=0, max_value=1e9))
def test_a_number_is_written_so_that_it_reads_back(value: float) -> None:
    assert parse_duration_ms(number_text(value) + "ms") == value


@given(st.text())
def test_any_text_is_a_duration_and_a_share_or_a_value_error(text: str) -> None:
    for parse, top in ((parse_duration_s, 1e8), (parse_share, 1.0)):
        with contextlib.suppress(ValueError):
            assert 0 <= parse(text) <= top
