"""Charts for a page of somebody else's: a record in, the text of <svg> out."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from simian.report import svg
from simian.report.drawing import NARROW, WIDE, draw, time_step
from simian.report.lanes import MOST_LANES, faults
from simian.report.model import read
from simian.report.picture import Axis
from simian.report.plot import Limit, Plot, Series, nice_step, scale_of, shown
from simian.report.plots import success_beside, success_plot, traffic_plot

from . import evacuations, records

ALL = {**records.ALL, **evacuations.ALL}
SVG = "{http://www.w3.org/2000/svg}"


def trees(text: str) -> list[Any]:
    return list(ElementTree.fromstring(f"<all>{text}</all>"))


def texts(text: str) -> list[str]:
    return [str(each.text) for each in ElementTree.fromstring(f"<all>{text}</all>").iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ALL)
def test_every_chart_is_xml_in_two_widths_with_a_title_and_a_description(name: str) -> None:
    record = ALL[name]()
    drawn = [svg.traffic(record), svg.drain(record), *svg.steady_state(record).values()]
    for text in filter(None, drawn):
        wide, narrow = trees(text)
        assert (wide.get("class"), narrow.get("class")) == ("chart wide", "chart narrow")
        for each in (wide, narrow):
            assert [child.tag for child in each[:2]] == [f"{SVG}title", f"{SVG}desc"]
            assert each[1].text.endswith(".")


def test_a_record_without_traffic_has_no_chart_of_it() -> None:
    record = records.refused_latency()
    assert svg.traffic(record) == svg.drain(record) == ""
    assert svg.steady_state(record) == {}
    assert svg.drain(records.held_gorilla()) == ""


def test_the_lines_of_kong_are_where_its_users_were_served() -> None:
    plot = traffic_plot(read(evacuations.planned_kong()), 300)
    lines = {each.name: each.values for each in plot.series}
    assert lines["east"][5] == lines["west"][5] == 100
    assert (lines["east"][45], lines["west"][45], lines["all regions"][45]) == (0, 200, 200)
    assert (lines["east"][-1], lines["west"][-1]) == (100, 100)
    assert "failed" not in lines


def test_the_faults_stand_over_the_traffic_stage_by_stage_with_their_names() -> None:
    told = texts(svg.traffic(evacuations.planned_kong()))
    assert "shift east -> 50 % east, 50 % west" in told
    assert any(text.startswith("lights-out: kill members-east-a") for text in told)
    assert {"baseline", "inject", "observe", "recover", "verify"} <= set(told)


def test_a_fault_that_is_still_in_place_has_no_end() -> None:
    assert any(text.endswith("(still in place)") for text in texts(svg.traffic(records.stuck_latency())))
    (slow,) = faults(read(records.stuck_latency()))
    assert slow.end is None


def test_more_stages_than_there_is_room_for_share_the_last_lane() -> None:
    many = [records.fault(n, "kill", f"node-{n}", stage=f"stage {n}") for n in range(1, 31)]
    lanes = faults(read(records.held_gorilla() | {"faults": many}))
    assert len(lanes) == MOST_LANES
    assert lanes[-1].name == "and 23 faults of 23 more stages"


def test_a_tolerance_and_a_baseline_are_levels_of_what_users_saw() -> None:
    plot = success_plot(read(records.broken_chaos()), 300)
    assert [(limit.name, limit.value, limit.bad) for limit in plot.limits] == [
        ("streams start >= 99.9 %", 0.999, "below"), ("baseline", 1.0, ""),
    ]  # fmt: skip
    east = next(each for each in plot.series if each.name == "east")
    assert min(value for value in east.values if value is not None) < 0.7
    assert "streams start must be >= 99.9 % and did not hold." in plot.about


def test_a_check_with_a_probe_of_its_own_has_a_chart_of_its_readings() -> None:
    record = records.held_gorilla()
    record["steady_state"][0] = {**record["steady_state"][0], "check": "orders", "tolerance": ">= 0.5"}
    for reading in record["readings"]:
        reading["check"] = "orders"
    record["readings"][3] |= {"value": float("nan")}
    record["readings"][4] |= {"value": None, "silent": True}
    drawn = svg.steady_state(record)["orders: must be >= 0.5"]
    assert drawn.count('class="line r0"') == 2 * 2  # legend and line, wide and narrow
    line = re.findall(r'd="([^"]+)" class="line r0"', drawn)[1]
    assert line.count("M") == 2  # a gap where nothing was read


def test_two_runs_are_laid_over_each_other_at_their_first_blow() -> None:
    plot = success_beside(read(records.held_gorilla()), read(records.broken_chaos()), 300)
    first, second = plot.series
    assert set(first.values[:56]) == {1.0}
    column = plot.axis.column(plot.marks[0][0])
    assert second.values[column - 2] == 1.0
    assert (second.values[column + 1] or 1.0) < 0.9


@pytest.mark.parametrize("name", ["traffic", "drain", "steady_state"])
def test_a_run_that_is_still_going_on_is_drawn_as_far_as_it_has_come(name: str) -> None:
    record = evacuations.planned_kong() | {"outcome": "running", "ended": None}
    record["traffic"] = record["traffic"][:50]
    record["arrivals"] = record["arrivals"][:50]
    record["phases"] = [*record["phases"][:3], record["phases"][3] | {"ended": None}]
    assert getattr(svg, name)(record)


def test_the_same_record_is_the_same_text() -> None:
    assert svg.traffic(evacuations.hard_kong()) == svg.traffic(evacuations.hard_kong())


def test_names_with_markup_and_with_control_characters_are_text() -> None:
    evil = "<script>x</script>\"'&\x1b\x00"
    record = records.broken_chaos()
    record["faults"][0]["target"] = evil
    for row in record["traffic"]:
        row["served"], row["home"] = {evil: 50}, evil
    for text in (svg.traffic(record), *svg.steady_state(record).values()):
        assert "<script" not in text
        assert "\x1b" not in text
        assert trees(text)


def test_the_style_touches_charts_only() -> None:
    selectors = re.findall(r"(?:^|[{}])\s*([^{}@]+)\{", svg.style())
    assert selectors
    assert all(part.strip().startswith("svg.") for each in selectors for part in each.split(","))


def plot_of(*values: float, unit: Any = "rate", limits: tuple[Limit, ...] = ()) -> Plot:
    axis = Axis(0.0, float(len(values)), len(values))
    return Plot("title", "about.", unit, axis, [Series("one", values, "r0")], limits)


SCALES = [
    (plot_of(0, 100, 213), (0, 250, 6)),
    (plot_of(0, 0, 0), (0, 1.2, 7)),
    (plot_of(1.0, 0.9995, unit="share"), (0.998, 1.0, 5)),
    (plot_of(1.0, 0.93, unit="share"), (0.9, 1.0, 5)),
    (plot_of(1.0, 0.0, unit="share"), (0, 1, 5)),
    (plot_of(4.0, 9.0, unit="ms"), (0, 10, 6)),
    (plot_of(4.0, 9.0, unit="ms", limits=(Limit("limit", 1000.0, "above"),)), (1, 10000, 5)),
    (plot_of(-3.0, 9.0, unit="plain"), (-5, 10, 7)),
]


@pytest.mark.parametrize(("plot", "right"), SCALES)
def test_a_scale_shows_all_values_and_levels_and_no_more(plot: Plot, right: tuple[float, float, int]) -> None:
    scale = scale_of(plot)
    assert (scale.low, scale.high, len(scale.ticks)) == pytest.approx(right)
    assert all(0.0 <= scale.part(value) <= 1.0 for value in plot.values)


def test_a_chart_of_one_point_and_one_of_nothing_can_be_drawn() -> None:
    for plot in (plot_of(5.0), plot_of()):
        for size in (WIDE, NARROW):
            assert trees(draw(plot, size))


@pytest.mark.parametrize(
    ("seconds", "width", "right"), [(82, 900, 10), (82, 300, 30), (640, 900, 60), (86400, 900, 10800)]
)
def test_times_on_the_axis_do_not_touch(seconds: float, width: float, right: float) -> None:
    assert time_step(seconds, width) == right


@pytest.mark.parametrize(("least", "right"), [(1, 1), (1.1, 2), (2.1, 2.5), (30, 50), (0.07, 0.1), (600, 1000)])
def test_steps_are_numbers_people_count_in(least: float, right: float) -> None:
    assert nice_step(least) == pytest.approx(right)


@pytest.mark.parametrize(
    ("value", "unit", "right"),
    [
        (None, "rate", "-"),
        (0.0, "ms", "0"),
        (0.9995, "share", "99.95 %"),
        (4.2, "ms", "4.2 ms"),
        (1234.0, "rate", "1,234"),
    ],
)
def test_values_are_shown_in_their_unit(value: float | None, unit: Any, right: str) -> None:
    assert shown(value, unit) == right
