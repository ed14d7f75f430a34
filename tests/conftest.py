"""Who may run beside whom: labs one by one in one worker, beside what has the Docker engine in the other.

Only ``--dist loadgroup`` looks at it (the Makefile).
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ON_THE_ENGINE = "drivers"


@pytest.hookimpl(tryfirst=True)  # before xdist looks at it
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        item.add_marker(pytest.mark.xdist_group("engine" if folder == ON_THE_ENGINE else "lab"))
