"""Commands that end runs and put things back: abort, recover, halt, resume."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from simian.cli.context import System, load_system, server_of
from simian.cli.crash import crash_point
from simian.cli.herald import tell_of_ended_runs
from simian.cli.output import print_json
from simian.cli.server_mend import abort_there, halt_there, resume_there
from simian.drivers import build_world
from simian.errors import DriverError, JournalError, UsageError
from simian.faults.steering import not_alive
from simian.guardian import close_harmless, is_dead, recover_each, take_over
from simian.hands import Threads
from simian.journal import Journal
from simian.owner import Owner
from simian.verdict import STUCK, UNKNOWN

END_LIMIT_S = 90.0


def _runner(row: Mapping[str, Any]) -> Owner:
    return Owner(row["pid"], row["start_time"])


def abort(ctx: typer.Context, run: Annotated[str, typer.Argument(help="A run, or a unique beginning of one.")]) -> int:
    """End a run now; everything it did is undone."""
    told = abort_there(server_of(ctx.obj), run) if ctx.obj.server else _abort_here(load_system(ctx.obj), run)
    _tell(ctx, told, f"run {told['run']} " + ("has ended" if told["ended"] else "goes on"))
    return 0 if told["ended"] else UNKNOWN


def _abort_here(system: System, run: str) -> dict[str, Any]:
    row = _running(system, run)
    _runner(row).send(signal.SIGTERM)
    return {"run": row["run"], "ended": _wait_for_end(system, [row["run"]])}


def _running(system: System, wanted: str) -> dict[str, Any]:
    rows = [row for row in system.journal().unfinished() if row["run"].startswith(wanted)]
    if len(rows) == 1:
        return rows[0]
    names = ", ".join(row["run"] for row in system.journal().unfinished()) or "none"
    raise UsageError(f"{wanted!r} is the beginning of {len(rows)} runs that go on; there are: {names}")


def _wait_for_end(system: System, runs: Sequence[str]) -> bool:
    """Wait until these runs have ended, by themselves or by their guardians."""
    until = system.clock.elapsed() + END_LIMIT_S
    while system.clock.elapsed() < until:
        left = [row for row in system.journal().unfinished() if row["run"] in runs]
        if not left or all(is_dead(row) for row in left):
            return not left
        system.clock.wait(0.1)
    return False


def recover(
    ctx: typer.Context,
    orphans: Annotated[bool, typer.Option("--orphans", help="Also what no journal knows of, by its mark.")] = False,
) -> int:
    """Put back whatever a dead run left."""
    system = load_system(ctx.obj)
    undone, stuck = recover_all(system) if not orphans else recover_orphans(system)
    tell_of_ended_runs(system)
    system.feed_history()
    text = f"{len(undone)} put back" if undone else "nothing was left behind"
    _tell(ctx, {"undone": undone, "stuck": stuck}, "\n".join([text, *(f"stuck: {line}" for line in stuck)]))
    return STUCK if stuck else 0


def recover_all(system: System) -> tuple[list[str], list[str]]:
    """Recover every dead run of the journal: what was put back, and what is stuck."""
    journal, crash = system.journal(), crash_point(os.environ, "recover")

    def dead() -> list[Mapping[str, Any]]:
        """Not those whose runner or guardian lives: they have it in hand."""
        return [row for row in journal.with_open_faults() if row["ended"] is not None or is_dead(row)]

    entries = [entry for row in dead() for entry in journal.still_open(row["run"])]
    stuck = recover_each(dead, lambda row: _recover_run(system, journal, row, crash))
    close_harmless(journal, system.clock)
    undone = [f"{entry.fault.kind} of {entry.fault.target}" for entry in entries]
    return [line for line in undone if not any(line in each for each in stuck)], stuck


def _recover_run(system: System, journal: Journal, row: Mapping[str, Any], crash: Any) -> list[str]:
    """With the world settings of that run, not today's file."""
    world = build_world(json.loads(row["world"]), clock=system.clock, environment=os.environ)
    entries, hands = journal.still_open(row["run"]), Threads(system.clock)
    why = "the runner and its guardian died; recovered by hand"
    return take_over(row["run"], why, entries, world=world, hands=hands, journal=journal, crash=crash)


def recover_orphans(system: System) -> tuple[list[str], list[str]]:
    """What the journal knows, then every mark of ours, wherever, whose run is not alive."""
    try:
        undone, stuck = recover_all(system)
        alive = {row["run"] for row in system.journal().unfinished() if not is_dead(row)}
    except JournalError as error:
        undone, stuck, alive = [], [f"{error}"], set()
    world = system.world()
    found = [(f"{mark} on {link}", partial(_mend, world, link, mark)) for link, mark in world.network.marks()]
    for node in world.requests.nodes():
        found += [(f"{m} in {node}", partial(world.requests.remove, node, m)) for m in _marks_in(world, node)]
    found += [(f"{mark} on {at}", partial(_steer_back, world, at, mark)) for at, mark in world.steering.marks()]
    for name, undo in found:
        if name.split(".")[1] in alive:
            continue
        try:
            undo()
            undone.append(name)
        except DriverError as error:
            stuck.append(f"{name}: {error}")
    return undone, stuck


def _mend(world: Any, link: str, mark: str) -> None:
    # A cut disables its proxy and carries our mark, so an orphaned mark on a disabled one means: enable it again.
    world.network.mend(link, mark, replace(world.network.read(link), enabled=True))


def _steer_back(world: Any, at: str, mark: str) -> None:
    """Of an orphaned mark nobody knows where its users return to: so every region must be able to serve them."""
    why = not_alive(world, [node.name for node in world.platform.nodes() if node.role == "service"])
    if why:
        raise DriverError(f"users are not moved while a region may be dead: {why}")
    if at in world.steering.shares():
        world.steering.unshift(at, mark)
    if any(mark in modes.owners for modes in world.steering.modes().values()):
        world.steering.unset(at, mark, {})


def _marks_in(world: Any, node: str) -> list[str]:
    try:
        return [r.rule.mark for r in world.requests.rules(node) if r.rule.mark.startswith("simian.")]
    except DriverError:
        return []  # a service that is down has no rules in place: they live in its memory


def halt(ctx: typer.Context, reason: Annotated[str, typer.Argument(help="Why; every refusal will say it.")]) -> int:
    """End every run now and forbid new ones until `simian resume`."""
    require_reason(reason)
    if ctx.obj.server:
        ended, left, stuck = halt_there(server_of(ctx.obj), reason)
    else:
        system = load_system(ctx.obj)
        runs = pull_lever(system, reason)
        left, stuck = end_halted(system, runs)
        ended = [run for run in runs if run not in left]
    lines = [f"halted: {reason}; {len(ended)} runs ended"]
    lines += [f"goes on: {run}" for run in sorted(left)] + [f"stuck: {line}" for line in stuck]
    _tell(ctx, {"halted": reason, "ended": ended, "stuck": stuck}, "\n".join(lines))
    return STUCK if stuck else UNKNOWN if left else 0


def require_reason(reason: str) -> None:
    """Raises UsageError without a reason."""
    if not reason.strip():
        raise UsageError("a halt needs a reason, as every refusal will say it; simian halt 'release of the shop'")


def pull_lever(system: System, reason: str) -> list[str]:
    """Tell every run to end, then forbid new ones; the runs that were told. Raises UsageError without a reason."""
    require_reason(reason)
    rows = system.journal().unfinished()
    for row in rows:
        end_runner(row)
    system.lever.pull(reason)
    return [row["run"] for row in rows]


def end_halted(system: System, runs: Sequence[str]) -> tuple[set[str], list[str]]:
    """Wait for these runs to end, by force in the end, and put back what they left: those that go on, what is stuck."""
    if not _wait_for_end(system, runs):
        for row in (row for row in system.journal().unfinished() if row["run"] in runs):
            _runner(row).send(signal.SIGKILL)  # its guardian recovers at once
        _wait_for_end(system, runs)
    _, stuck = recover_all(system)
    return {row["run"] for row in system.journal().unfinished()} & set(runs), stuck


def end_runner(row: Mapping[str, Any]) -> None:
    """Ask the runner of this run to end it with everything undone."""
    _runner(row).send(signal.SIGTERM)


def resume(ctx: typer.Context) -> int:
    """Allow runs again."""
    pulled = resume_there(server_of(ctx.obj)) if ctx.obj.server else load_system(ctx.obj).lever.release()
    _tell(ctx, {"resumed": pulled}, "runs are allowed again" if pulled else "nothing was halted")
    return 0


def _tell(ctx: typer.Context, data: Mapping[str, Any], text: str) -> None:
    if ctx.obj.json:
        print_json(data)
    elif not ctx.obj.quiet:
        print(text)
