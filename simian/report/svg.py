"""Charts of a run for a page of somebody else's: a record (dict) in, the text of <svg> elements out. Pure, no state.

Each text has a drawing for a wide page and one for a narrow one; ``style()`` is the style sheet that shows the right
one and gives both their colours, light, dark and on paper. ``name`` begins their ids: there once in a page. All text
is escaped, nothing is loaded, nothing runs. Empty where a record has nothing of the kind. Each raises UsageError for
what is no record of a run; one of a run that is still going on is drawn as far as it has come.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from simian.report.blocks import Chart
from simian.report.charts import drain_chart, steady_charts, traffic_chart
from simian.report.model import read
from simian.report.weekbefore import with_week_before

Record = Mapping[str, Any]
TEMPLATES = Path(__file__).parent / "templates"


@cache
def style() -> str:
    """The style sheet of all charts; its rules touch nothing but ``svg.chart``, ``svg.wide`` and ``svg.narrow``."""
    return (TEMPLATES / "chart.css").read_text()


def traffic(record: Record, before: Record | None = None, name: str = "traffic") -> str:
    """Requests served per second by region, the faults over them; ``before`` as ``render`` has it."""
    return _drawn(traffic_chart(with_week_before(read(record), before), name))


def drain(record: Record, name: str = "drain") -> str:
    """Tries of users in the region that they left, by what became of them."""
    return _drawn(drain_chart(read(record), name))


def steady_state(record: Record, name: str = "steady") -> dict[str, str]:
    """By title: success and latency of users by home, beside what the checks must keep; readings of other checks."""
    return {chart.title: chart.svg() for chart in steady_charts(read(record), name)}


def _drawn(chart: Chart | None) -> str:
    return chart.svg() if chart is not None else ""
