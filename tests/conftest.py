"""Who may run beside whom under ``--dist loadgroup`` (the Makefile): labs one by one in one worker, beside what has the
Docker engine in the other.

By a scheduler of our own, as pytest-xdist 3.8 does not see its own marks of groups under pytest 9.2.
"""

from collections import Counter
from itertools import chain
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ON_THE_ENGINE = "tests/drivers/"


class TwoGroups(LoadScopeScheduling):
    """All tests of a group go to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return "engine" if nodeid.startswith(ON_THE_ENGINE) else "lab"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return TwoGroups(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """With ``--durations`` also what each folder took in all: short forms are to stay short."""
    if not terminalreporter.config.getoption("durations"):
        return
    spent = Counter[str]()
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            spent["/".join(report.nodeid.partition("::")[0].split("/")[1:-1])] += report.duration
    told = ", ".join(f"{folder or 'tests'} {seconds:.0f}" for folder, seconds in spent.most_common())
    terminalreporter.write_line(f"seconds in all: {told}")
