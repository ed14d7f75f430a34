"""Real programs that some tests want: where they are, else why the test is skipped."""

import os
from typing import NoReturn

import pytest
from simian_lab.control import LabError, find_parts


def part_missing(part: str, why: str) -> NoReturn:
    """Skip, saying why, unless ``SIMIAN_REQUIRE`` names this real part: then it is a failure."""
    required = os.environ.get("SIMIAN_REQUIRE", "").replace(" ", "").split(",")
    if part in required:
        pytest.fail(f"{part} is required (SIMIAN_REQUIRE) and missing: {why}")
    pytest.skip(f"no {part}: {why}")


def real_part(part: str) -> str:
    """The path of the program."""
    try:
        return find_parts([part], os.environ)[part]
    except LabError as error:
        part_missing(part, str(error))
