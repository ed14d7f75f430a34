"""Finding a run: in the history, or, while it goes on, at the daemon."""

import re
from typing import Any

from simian.errors import Refused, SimianError, UsageError
from simian.web.failures import Missing
from simian.web.tools import Tools

Record = dict[str, Any]
_RUN = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def is_name(text: str) -> bool:
    """Whether a run could be called that."""
    return _RUN.fullmatch(text) is not None


async def record_of(tools: Tools, wanted: str) -> Record:
    """Of an id, a beginning of one only, or ``last``; its name first at the daemon. Raises Missing, HistoryError."""
    if not is_name(wanted):
        raise Missing(f"no run is called {wanted[:60]!r}; the history lists them")
    going = await _going(tools)
    name = next((each for each in going if each == wanted or (wanted != "last" and each.startswith(wanted))), None)
    try:
        if name is None:
            return await tools.books.look(lambda history: history.get(wanted))
        record: Record = await tools.daemon.ask("run", run=name)
        return record
    except UsageError as error:
        return await _just_ended(tools, wanted, error)


async def _just_ended(tools: Tools, wanted: str, error: UsageError) -> Record:
    """Between its end and its place in the history the daemon alone knows it."""
    try:
        record: Record = await tools.daemon.ask("run", run=wanted)
        return record
    except SimianError:
        raise Missing(str(error)) from error


async def _going(tools: Tools) -> list[str]:
    """Names of the runs that go on; none where the daemon is away: past runs can be read all the same."""
    try:
        return [str(each["run"]) for each in (await tools.daemon.ask("status"))["runs"]]
    except SimianError:
        return []


async def running(tools: Tools, wanted: str) -> str:
    """The run that goes on and is called so, or begins so. Raises Missing, Refused, Unreachable."""
    going = [str(each["run"]) for each in (await tools.daemon.ask("status"))["runs"]]
    found = [name for name in going if name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(f"{wanted!r} may be {' or '.join(found)}; write more of it")
    names = ", ".join(going) or "none"
    raise Missing(f"no run that goes on is called {wanted[:60]!r}; those that go on: {names}")


async def week_before(tools: Tools, record: Record) -> Record | None:
    """The traffic of a run of the same system a week before; None where there is none. Raises HistoryError."""
    if not record.get("started"):
        return None  # it never began
    return await tools.books.look(lambda history: history.week_before(record))


async def end_of(tools: Tools, wanted: str) -> Record:
    """``{"ended", "outcome", "verdict", "recovery"}``; the last three null while it goes on.

    One that was refused before it began has an outcome, and no time at which it ended.
    """
    record = await record_of(tools, wanted)
    over = record.get("ended") is not None or (not record.get("started") and record.get("outcome") != "running")
    facts = {name: record.get(name) if over else None for name in ("outcome", "verdict", "recovery")}
    return {"run": record["run"], "ended": record.get("ended"), **facts}
