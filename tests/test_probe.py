"""Probes, tolerances, checks and slices as values."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simian.errors import PluginError, UsageError
from simian.probe import AbortCondition, Check, Reading, Slice, Tolerance, probe

SLICE = {
    "type": "slice", "start": 1700000000.2, "seconds": 0.2, "late_ms": {"p50": 0.1, "p99": 1.1, "max": 3.0}, "sent": 41,
    "rows": [{"home": "east", "kind": "play", "ended": 20, "ok": 19, "failed": 1, "first_failed": 2, "shed": 0,
              "served": {"east": 20}, "ways": {"direct": 20}, "latency": {"231": 3, "240": 17}}],
    "hops": {"users>gateway-east-a": 7}, "faults": {"simian.k.1": 2}, "errors": {"refused": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (">= 99.9 %", "share", 0.999),
        (">=99.9%", "share", 0.999),
        ("<= 250 ms", "ms", 250.0),
        ("< 2 s", "ms", 2000.0),
        ("<= 1.5 x baseline", "relative", 1.5),
        ("<= 1.5  x  baseline", "relative", 1.5),
        ("== 0", "plain", 0.0),
        (">= -3.5", "plain", -3.5),
        ("!= 1e3", "plain", 1000.0),
    ],
)
def test_a_tolerance_is_read_from_its_text(text: str, kind: str, value: float) -> None:
    tolerance = Tolerance.parse(text)
    assert (tolerance.kind, tolerance.value) == (kind, pytest.approx(value))
    assert Tolerance.parse(tolerance.text) == tolerance


@pytest.mark.parametrize(
    "text",
    ["", "99.9 %", ">= ", ">= 101 %", ">= -1 %", "<= 5 parsecs", "=> 3", "<= nan", "<= 1e999", "<= 0 ms", ">= 1 2",
     "<= 1.5 x", "<= 9" * 60, "<= 0 x baseline"],
)  # fmt: skip
def test_what_is_no_tolerance_says_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="right would be"):
        Tolerance.parse(text)


@pytest.mark.parametrize(
    ("text", "value", "baseline", "holds"),
    [
        (">= 99.9 %", 0.999, None, True),
        (">= 99.9 %", 0.9989, None, False),
        ("<= 1.5 x baseline", 149.0, 100.0, True),
        ("<= 1.5 x baseline", 151.0, 100.0, False),
        ("<= 1.5 x baseline", 100.0, None, None),
        ("== 0", None, None, None),
        ("== 0", math.nan, None, None),
        ("!= 0", 1.0, None, True),
    ],
)
def test_a_tolerance_holds_or_not_or_cannot_be_told(
    text: str, value: float | None, baseline: float | None, holds: bool | None
) -> None:
    assert Tolerance.parse(text).holds(value, baseline) is holds


@pytest.mark.parametrize(
    ("text", "needed"), [(">= 99.9 %", 3000), (">= 99 %", 300), (">= 50 %", 30), ("<= 1 %", 300), (">= 100 %", 500)]
)
def test_a_share_needs_as_many_requests_as_the_rule_of_three_says(text: str, needed: int) -> None:
    assert Tolerance.parse(text).needed() == needed


@given(st.text(max_size=200))
def test_no_text_breaks_the_parsing_of_tolerances(text: str) -> None:
    try:
        Tolerance.parse(text)
    except ValueError:
        return


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, [1]])
def test_a_reading_that_is_no_finite_number_is_a_lie(value: object) -> None:
    with pytest.raises(ValueError, match="finite number"):
        Reading(value)  # type: ignore[arg-type]


def test_a_decorated_function_is_a_probe_with_its_options_and_help() -> None:
    @probe("queue depth")
    def depth(url: str, most: int = 3) -> Reading:
        """Messages waiting."""
        return Reading(len(url) + most)

    assert depth.name == "queue depth"
    assert depth.doc == "Messages waiting."
    assert [(option.name, option.required) for option in depth.options] == [("url", True), ("most", False)]
    assert depth.read(depth.bind({"queue depth": "abc", "most": 1})).value == 4.0
    assert depth.read(depth.bind({"queue depth": {"url": "abcd"}})).value == 7.0


def test_every_wrong_option_of_a_probe_is_named_at_once() -> None:
    @probe("p")
    def look(url: str, most: int = 3, among: list[str] | None = None) -> float:
        return 1.0

    with pytest.raises(UsageError) as raised:
        look.bind({"p": 5, "mosst": 1, "most": True, "among": ["a", 1]})
    told = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 4
    assert "url: 5 is no text" in told
    assert "did you mean 'most'?" in told


@pytest.mark.parametrize("answer", ["fine", None, math.inf])
def test_a_probe_that_returns_no_number_is_an_error(answer: object) -> None:
    lying = probe("liar")(lambda: answer)
    with pytest.raises(PluginError, match="liar"):
        lying.read({})


def test_a_probe_that_raises_says_so_with_its_name() -> None:
    def broken() -> Reading:
        raise KeyError("depth")

    with pytest.raises(PluginError, match="'broken one': KeyError"):
        probe("broken one")(broken).read({})


def test_a_check_survives_the_way_through_json() -> None:
    check = Check("latency", {"users": "p99_ms", "home": "east"}, Tolerance.parse("<= 1.5 x baseline"), 0.3, 0.2, 4)
    assert Check.from_json(json.loads(json.dumps(check.to_json()))) == check
    abort = AbortCondition("latency", above=500.0)
    assert AbortCondition.from_json(json.loads(json.dumps(abort.to_json()))) == abort
    assert abort.violated(501.0)
    assert not abort.violated(500.0)


def test_a_slice_is_read_from_the_wire_format() -> None:
    seen = Slice.from_json(json.loads(json.dumps(SLICE)))
    assert seen.end == pytest.approx(1700000000.4)
    assert seen.rows[0].latency == {231: 3, 240: 17}
    assert seen.select(kind="play", home="east") == list(seen.rows)
    assert seen.select(kind="profile") == []
    assert not seen.void
    assert Slice.from_json({**SLICE, "late_ms": {"p99": 101.0}}).void


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "row"}, {"start": "now"}, {"seconds": 0}, {"seconds": math.nan}, {"sent": -1}, {"sent": True},
        {"late_ms": [1]}, {"late_ms": {"p99": "much"}}, {"rows": {}}, {"rows": [1]}, {"hops": {"a>b": 1.5}},
        {"rows": [{**SLICE["rows"][0], "ok": 25}]}, {"rows": [{**SLICE["rows"][0], "latency": {"fast": 1}}]},
    ],
)  # fmt: skip
def test_a_slice_that_breaks_the_contract_is_a_value_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Slice.from_json({**SLICE, **wrong})
