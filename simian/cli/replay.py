"""``simian replay``: a past run again, with its seed, options, monkey or experiment; refused where it would differ."""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from simian.cli.context import System, load_system
from simian.cli.history import fed
from simian.cli.options import RUN_OPTIONS, RunOptions
from simian.cli.start import experiment_request, request_of, start
from simian.errors import Refused, UsageError
from simian.plan import Plan
from simian.report.clean import plain
from simian.report.figures import fault_name
from simian.report.words import grouped
from simian.request import RunRequest

RECORDED = ("for_", "seed")  # what the run itself says


def replay(**given: Any) -> int:
    """Run a past run again: the same monkey or experiment, options, seed and time in place.

    It is refused where the plan or the checks would not be the same as then, since that would be another run; with
    --yes it goes ahead all the same. --plan only tells.
    """
    ctx, wanted, file = given.pop("ctx"), given.pop("wanted"), given.pop("file")
    options = RunOptions.take_from(given)
    system = load_system(ctx.obj)
    fed(system)
    with system.history() as history:
        record = history.get(wanted)
    options = replace(options, seed=record.get("seed"), for_s=record.get("for_s"))
    options = replace(options, leashed=options.leashed or bool(record.get("leashed")))
    request = _request(system, record, options, file)

    def look(request: RunRequest, plan: Plan) -> None:
        _require_the_same(record, request, plan, options)

    return start(system, request, options, ctx.obj, look)


def _request(system: System, record: Mapping[str, Any], options: RunOptions, file: Path | None) -> RunRequest:
    """What was asked for then, as far as the record tells. Raises UsageError."""
    if record.get("system") != system.name:
        of = plain(record.get("system") or "no system")
        raise UsageError(f"run {record['run']} was on {of}, and this is {system.name}; name the other with --config")
    if record.get("experiment"):
        return experiment_request(system, file or _experiment(record), options)
    if file is not None:
        raise UsageError(f"run {record['run']} was of a monkey, not of an experiment; leave --file out")
    if not record.get("monkey"):
        raise UsageError(f"run {record['run']} names no monkey and no experiment, so it cannot be run again")
    return request_of(system, options, monkey=record["monkey"], options_of=record.get("options") or {})


def _experiment(record: Mapping[str, Any]) -> str | Path:
    """Where its experiment is: the file it was read from, else one of ours that has its title. Raises UsageError."""
    from simian.experiment import experiment_file

    known = record.get("experiment_file")
    if known and Path(known).is_file():
        return Path(known)
    try:
        return experiment_file(str(record["experiment"]))
    except UsageError:
        was = f"it was read from {plain(known)}, which is gone" if known else "where it was read from is not known"
        raise UsageError(
            f"the experiment {plain(record['experiment'])!r} of run {record['run']} cannot be found: {was}; "
            "name its file with --file"
        ) from None


def _require_the_same(record: Mapping[str, Any], request: RunRequest, plan: Plan, options: RunOptions) -> None:
    """Raises Refused with every difference, unless nothing is touched or it was agreed to."""
    differences = list(_differences(record, request, plan))
    if not differences:
        return
    if not options.yes and not options.plan:
        told = [f"this would not be run {record['run']} again: {difference}" for difference in differences]
        raise Refused([*told, "nothing was touched; say --yes to run it as it would be now, or --plan to see that"])
    for difference in differences:
        print(f"warning: not as in run {record['run']}: {difference}", file=sys.stderr)


def _differences(record: Mapping[str, Any], request: RunRequest, plan: Plan) -> Iterator[str]:
    if record.get("experiment") != request.experiment:
        yield f"the experiment in that file is {request.experiment!r}, not {plain(record.get('experiment'))!r}"
    if record.get("plan_hash") is None:
        yield "it ended before it had a plan, so there is nothing to compare with"
    elif record["plan_hash"] != plan.hash:
        yield from _other_plan(record, plan)
    was, now = _checks(record.get("steady_state") or ()), _checks(request.checks)
    if was and was != now:
        changed = sorted({name for name, _ in was ^ now})
        yield f"the checks have changed since: {', '.join(changed)}"


def _other_plan(record: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    if record.get("topology_hash") != plan.topology_hash:
        was = plain(record.get("topology_hash"))
        yield f"the topology is {plan.topology_hash} now and was {was}; see simian topology"
    planned = [fault for stage in (record.get("plan") or {}).get("stages") or () for fault in stage["faults"]]
    then, now = _named(planned), _named([{**fault.to_json(), "target": fault.target} for fault in plan.faults])
    if then != now:
        yield f"the plan would be {now}, and was {then}"
    elif record.get("topology_hash") == plan.topology_hash:
        yield f"the plan is {plan.hash} now and was {plain(record['plan_hash'])}: options, or the monkey, have changed"


def _named(faults: Sequence[Mapping[str, Any]]) -> str:
    return grouped([fault_name(str(fault["kind"]), str(fault["target"]), fault) for fault in faults])


def _checks(checks: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Name and tolerance of each, whether from a record or from a request."""
    return {(plain(check.get("check") or check.get("name")), plain(check["tolerance"])) for check in checks}


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_WANTED = Annotated[str, typer.Argument(metavar="RUN", help="A run, a unique beginning of one, or `last`.")]
_FILE = Annotated[Path | None, typer.Option("--file", help="The experiment's file, where it has been moved since.")]
_OWN = [
    inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context),
    inspect.Parameter("wanted", _KEYWORD, annotation=_WANTED),
    inspect.Parameter("file", _KEYWORD, default=None, annotation=_FILE),
]
_LEFT = [option for option in RUN_OPTIONS if option.name not in RECORDED]
replay.__signature__ = inspect.Signature([*_OWN, *_LEFT])  # type: ignore[attr-defined]
replay.__annotations__ = {p.name: p.annotation for p in [*_OWN, *_LEFT]} | {"return": int}
