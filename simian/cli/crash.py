"""Crash points from the environment: ``SIMIAN_CRASH_AT=[guardian:|recover:]NAME[#K]``, for the runner by default."""

from collections.abc import Mapping

from simian.crash_points import CrashAt, CrashPoint, no_crash

ROLES = ("runner", "guardian", "recover")


def crash_point(environment: Mapping[str, str], role: str) -> CrashPoint:
    """The crash point of a process in this role; the null one where none is asked for."""
    asked = environment.get("SIMIAN_CRASH_AT", "")
    whose, colon, rest = asked.partition(":")
    if not colon or whose not in ROLES:
        whose, rest = "runner", asked
    return CrashAt(rest) if rest and whose == role else no_crash
