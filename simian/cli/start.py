"""Start a run: plan it, ask where asking is due, spawn the runner, show what happens, tell the story."""

import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from simian import __version__
from simian.cli.context import System, load_system
from simian.cli.globals import Globals
from simian.cli.herald import Herald
from simian.cli.live import View
from simian.cli.options import RunOptions
from simian.cli.report import of_ended_run
from simian.cli.show import Made, add_to_summary, check_report, tell, view_for, write_report
from simian.cli.spawn import spawn, talk
from simian.errors import JournalError, Refused, SimianError, UsageError
from simian.fault import fault_from_words
from simian.guardian import close_harmless
from simian.guards import Guards
from simian.monkey import Radius
from simian.plan import Plan, by_hand, plan_from_json, propose
from simian.probes import find_probe
from simian.probes.host import revealed
from simian.record import record_of
from simian.request import RunRequest
from simian.snapshot import topology_of
from simian.topology import Topology
from simian.verdict import exit_code

if TYPE_CHECKING:
    from simian.schedule.row import Schedule

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
DEFAULT_FOR_S = 30.0


def new_run() -> str:
    """A name for a run: ten letters and digits that cannot be mistaken for one another."""
    return "".join(secrets.choice(ALPHABET) for _ in range(10))


def run_monkey(name: str, given: Mapping[str, Any], options: RunOptions, settings: Globals) -> int:
    """One run of a monkey, with the configuration's checks. Returns the exit code."""
    system = load_system(settings)
    return start(system, monkey_request(system, name, given, options), options, settings)


def run_experiment(wanted: str, options: RunOptions, settings: Globals) -> int:
    """One run of an experiment, by file or name. Returns the exit code."""
    system = load_system(settings)
    return start(system, experiment_request(system, wanted, options), options, settings)


def monkey_request(system: System, name: str, given: Mapping[str, Any], options: RunOptions) -> RunRequest:
    """The request of one run of a monkey; what is not given is as simian.yaml would have it."""
    chosen = {**system.config.monkeys.get(name, {}), **given}
    return request_of(system, options, monkey=name, options_of=chosen)


def experiment_request(system: System, wanted: str | Path, options: RunOptions) -> RunRequest:
    """The request of one run of an experiment, by file or name. Raises UsageError with every problem."""
    from simian.experiment import experiment_file, load_experiment

    file = experiment_file(wanted)
    experiment = load_experiment(
        file,
        plugins=system.config.plugins,
        monkeys=system.monkeys().monkeys,
        checks=[check.check for check in system.config.steady_state],
    )
    request = request_of(system, options, monkey=experiment.monkey, options_of=experiment.options)
    told = experiment.for_request(request.checks, options.for_s)
    return replace(request, **told, experiment_file=str(file.absolute()))


def request_for(system: System, schedule: "Schedule", seed: int) -> RunRequest:
    """The request of one run of a schedule. Raises UsageError for what could never be run."""
    options = RunOptions(for_s=schedule.for_s, seed=seed, note=schedule.note)
    if schedule.experiment is not None:
        return experiment_request(system, schedule.experiment, options)
    assert schedule.monkey is not None
    request = monkey_request(system, schedule.monkey, schedule.options, options)
    return replace(request, options=system.monkeys().get(schedule.monkey).checked(request.options))


def planned_for(system: System, schedule: "Schedule", seed: int, topology: Topology) -> Plan:
    """The plan of one run of a schedule in this topology."""
    request = request_for(system, schedule, seed)
    if request.monkey is None:
        return by_hand(request.stages, topology, seed)
    return propose(system.monkeys().get(request.monkey), topology, seed, request.options)


def request_of(system: System, options: RunOptions, *, monkey: str | None, options_of: Mapping[str, Any]) -> RunRequest:
    """The request of a run as the configuration would have it."""
    return RunRequest(
        run=new_run(),
        system=system.name,
        seed=options.seed if options.seed is not None else secrets.randbits(32),
        settings=system.settings,
        state_folder=str(system.state.path),
        monkey=monkey,
        options=dict(options_of),
        for_s=options.for_s or DEFAULT_FOR_S,
        leashed=options.leashed,
        note=options.note,
        force_headroom=options.force_headroom,
        version=__version__,
        **system.for_request(),
    )


Look = Callable[[RunRequest, Plan], None]  # raises Refused where this is not what was meant


def anything(request: RunRequest, plan: Plan) -> None:
    """Whatever the plan is, it is meant."""


def start(system: System, request: RunRequest, options: RunOptions, settings: Globals, look: Look = anything) -> int:
    """From the request to the exit code. ``look`` sees the plan before anything is touched."""
    if options.report:
        check_report(Path(options.report))
    request, plan = planned(system, request)
    look(request, plan)
    if options.plan:
        show_plan({**plan.to_json(), "hash": plan.hash}, request.experiment, request.for_s, settings)
        return 0
    require_secrets(request)
    refuse_a_world_in_memory(system)
    agree(system.name, plan, options, is_lab=system.is_lab)
    try:
        close_harmless(system.journal(), system.clock)
    except JournalError as error:
        raise Refused(f"{error}; nothing was touched") from error
    herald = Herald(system)
    with view_for(settings, options) as view:
        live(system, replace(request, confirmed_plan_hash=plan.hash), view, herald)
    record = record_of(system.journal(), request.run)
    herald.tell_ends()
    for problem in [*herald.problems, *system.feed_history()]:
        print(f"warning: {problem}", file=sys.stderr)
    tell_all(of_ended_run(system, record), options, settings)
    return exit_code(record["outcome"], record["verdict"], record["recovery"], leashed=request.leashed)


def planned(system: System, request: RunRequest) -> tuple[RunRequest, Plan]:
    """The plan, made here so that it can be shown and agreed to; the runner makes it again and compares."""
    topology = topology_of(system.world(), system.name)
    if request.monkey is None:
        for stage in request.stages:
            for words in stage["faults"]:
                fault_from_words_or_usage(words)
        return request, by_hand(request.stages, topology, request.seed)
    monkey = system.monkeys().get(request.monkey)
    given = monkey.checked(request.options)
    request = replace(request, options=given)
    return request, propose(monkey, topology, request.seed, given)


def refuse_a_world_in_memory(system: System) -> None:
    """Its clock stands still unless it is told to go on, so a run of several processes would wait for ever."""
    if system.world().clock is not system.clock:
        raise Refused(
            f"the world of {system.name} is in memory, which can be planned for, not run on from here; "
            "add --plan, or simulate whole runs in a test (simian.simulation)"
        )


def require_secrets(request: RunRequest) -> None:
    """A probe without its secret would only fail once the run has begun. Raises UsageError, names and all."""
    problems = []
    probes = {check["name"]: check["probe"] for check in request.checks}
    probes |= {check.name: dict(check.probe) for check in Guards(request.guards).checks}
    if isinstance(request.exposure, Mapping):
        probes["exposure"] = request.exposure
    for name, settings in probes.items():
        found = find_probe(settings, request.plugins)
        try:
            revealed(found, found.bind(settings), os.environ)
        except UsageError as error:
            problems += [f"{name}: {what}" for what in error.problems]
    if problems:
        raise UsageError(problems)


def fault_from_words_or_usage(words: Mapping[str, Any]) -> None:
    """Check one hand-written fault. Raises UsageError."""
    try:
        fault_from_words(words)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


def agree(system: str, plan: Plan, options: RunOptions, *, is_lab: bool) -> None:
    """Ask before a region or more of somebody's own system is hit; without a terminal, refuse."""
    if plan.radius < Radius.REGION or is_lab or options.yes or options.leashed:
        return
    reach = f"this run reaches a {plan.radius.name.lower()} of {system}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(f"{reach}; there is nobody to ask, so say --yes if that is meant")
    print(f"{reach}: {', '.join(fault.target for fault in plan.faults)}", file=sys.stderr)
    print("Go ahead? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("you did not agree; nothing was touched")


def show_plan(told: Mapping[str, Any], experiment: str | None, for_s: float, settings: Globals) -> None:
    """Print a plan, as data with its hash."""
    if settings.json:
        print(json.dumps({"plan": told}))
        return
    plan = plan_from_json(told)
    print(f"{plan.monkey or experiment} with seed {plan.seed} would reach a {plan.radius.name.lower()}:")
    for stage in plan.stages:
        print(f"  stage {stage.name} (settles {stage.settle_s:g} s)")
        for fault in stage.faults:
            fields = {k: v for k, v in fault.to_json().items() if k not in ("kind", "version", "was", fault.aim) and v}
            print(f"    {fault.kind} {fault.target}", *(f"{k}={v}" for k, v in fields.items()))
    print(f"for {for_s:g} s; plan {told['hash']}, topology {plan.topology_hash}; nothing was touched")


def live(
    system: System,
    request: RunRequest,
    view: View,
    herald: Herald,
    also: Callable[[IO[bytes]], None] = lambda to_runner: None,
) -> None:
    """Spawn the runner and follow its events to their end; Ctrl-C asks it to stop, and waits until all is undone.

    ``also`` gets the runner's stdin once it has its request: a line ``{"reason": …}`` there asks it to stop, too.
    """
    process = spawn("simian.cli.runner_process", log=system.state.log("runner"), environment=os.environ)
    failed: list[str] = []
    with talk(process) as (to_runner, from_runner):
        ask(to_runner, request)
        also(to_runner)
        for line in from_runner:
            event = json.loads(line)
            failed += event["reasons"] if event["event"] == "failed" else []
            view.feed(event)
            herald.hear(request, event)
        process.wait()
    if failed:
        raise SimianError("\n".join(failed))
    require_that_it_began(system, request.run, process.returncode)
    wait_for_guardian(system, request.run)


def ask(to_runner: IO[bytes], request: RunRequest) -> None:
    """For this run, and at a signal from now on, to stop."""

    def to_stop(number: int, frame: object) -> None:
        line = json.dumps({"reason": f"{signal.Signals(number).name} at the command"}) + "\n"
        with contextlib.suppress(OSError, ValueError):  # the runner is gone, or its pipe closed already
            os.write(to_runner.fileno(), line.encode())  # a buffer cannot be entered twice, and signals come in pairs

    with contextlib.suppress(BrokenPipeError):  # of a runner that is dead already; it never begins, which is told below
        to_runner.write(json.dumps(request.to_json()).encode() + b"\n")
        to_runner.flush()  # the first line is the request: only then may a signal add its own
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, to_stop)


def require_that_it_began(system: System, run: str, status: int) -> None:
    """A runner that died before its run was in the journal has touched nothing. Raises SimianError."""
    try:
        system.journal().run_row(run)
    except JournalError:
        log = system.state.log("runner")
        raise SimianError(
            f"the runner ended (status {status}) before the run began, so nothing was touched; "
            f"its last words are in {log}"
        ) from None


def wait_for_guardian(system: System, run: str) -> None:
    """A runner that died is recovered by its guardian: wait for its end, so that the story is whole."""
    from simian.owner import Owner

    row = system.journal().run_row(run)
    guardian = Owner(row["guardian_pid"] or -1, row["guardian_start_time"] or "-")
    while row["ended"] is None and guardian.alive:
        system.clock.wait(0.2)
        row = system.journal().run_row(run)
    if row["ended"] is None:
        close_harmless(system.journal(), system.clock)


def tell_all(made: Made, options: RunOptions, settings: Globals) -> None:
    """The story on stdout (or the one JSON document), the report's file, and the summary of GitHub's job."""
    problems = [add_to_summary(made)]
    if options.report:
        try:
            write_report(made, Path(options.report))
        except UsageError as error:  # the run is over: its exit code must still say how it went
            problems.append(str(error))
    for problem in filter(None, problems):
        print(f"warning: {problem}", file=sys.stderr)
    if settings.json:
        tell(made, "json")
    elif not settings.quiet:
        tell(made, "text")
