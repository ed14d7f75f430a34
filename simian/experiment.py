"""An experiment's file as a frozen, validated model; and the experiments that come with simian, found by name."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simian.errors import UsageError
from simian.fault import fault_from_words
from simian.fields import (
    AbortPart,
    CheckPart,
    Duration,
    ExposureField,
    MaybeNone,
    Name,
    Part,
    Problem,
    Radius,
    anchor,
    check_problems,
    json_schema,
    parts,
    validated,
)
from simian.monkey import Monkey
from simian.probe import AbortCondition, Check, nearest
from simian.yamlfile import load_yaml

PACKAGE = "simian_experiments"
MOST_STAGES = 100

Many = Field(strict=False)  # a list in the file, a tuple in the model


class StagePart(Part):
    """``{stage: slow link, faults: [{delay: LINK, by: "normal:100ms,20ms"}], settle: 5s}``."""

    stage: Name
    faults: Annotated[tuple[dict[str, Any], ...], Many] = Field(min_length=1)
    settle_s: MaybeNone = Field(1.0, alias="settle")
    gate: bool = True


class Experiment(Part):
    """One experiment: a hypothesis, what is done to the system, and the steady state that should hold meanwhile."""

    experiment: Name
    hypothesis: str = ""
    monkey: Name | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    stages: Annotated[tuple[StagePart, ...], Many] = Field((), max_length=MOST_STAGES)
    for_s: Duration = Field(30.0, alias="for")
    baseline_s: Duration = Field(15.0, alias="baseline")
    steady_state: Annotated[tuple[CheckPart, ...], Many] = ()
    abort: Annotated[tuple[AbortPart, ...], Many] = ()
    recover_within_s: Duration | None = Field(None, alias="recover_within")  # else the configuration's
    radius: Radius | None = None
    verify: Annotated[tuple[Literal["nothing lost", "nothing stale", "converged"], ...], Many] = ()
    exposure: ExposureField = "required"
    tags: Annotated[tuple[Name, ...], Many] = ()

    @model_validator(mode="after")
    def _has_something_to_do(self) -> "Experiment":
        if (self.monkey is None) == (not self.stages):
            raise ValueError("has neither a monkey nor stages, or both; right would be monkey: NAME or stages: […]")
        if self.options and self.monkey is None:
            raise ValueError("has options but no monkey that they are for; right would be monkey: NAME")
        return self

    @property
    def checks(self) -> list[Check]:
        """The checks as values."""
        return [check.made() for check in self.steady_state]

    @property
    def aborts(self) -> list[AbortCondition]:
        """The abort conditions as values."""
        return [abort.made() for abort in self.abort]

    @property
    def stage_list(self) -> list[dict[str, Any]]:
        """Hand-written stages as ``simian.plan.by_hand`` takes them, faults as they are written."""
        return [{**stage.model_dump(), "faults": [dict(fault) for fault in stage.faults]} for stage in self.stages]

    def for_request(self, checks: Sequence[Mapping[str, Any]] = (), for_s: float | None = None) -> dict[str, Any]:
        """What of a ``RunRequest`` the experiment says, as data.

        ``checks`` are those of the configuration (JSON): they go on, but for those whose name the experiment takes.
        Abort conditions and exposure that it does not tell of are the configuration's.
        """
        own = [check.to_json() for check in self.checks]
        named = {check["name"] for check in own}
        said: dict[str, Any] = {
            "experiment": self.experiment,
            "hypothesis": self.hypothesis,
            "stages": self.stage_list,
            "for_s": for_s or self.for_s,
            "baseline_s": self.baseline_s,
            "radius": self.radius or "system",
            "verify": list(self.verify),
            "checks": [*own, *(check for check in checks if check["name"] not in named)],
        }
        if self.recover_within_s is not None:
            said["recover_within_s"] = self.recover_within_s
        said |= {"exposure": self.exposure} if "exposure" in self.model_fields_set else {}
        return said | ({"aborts": [abort.to_json() for abort in self.aborts]} if self.abort else {})


def load_experiment(
    wanted: str | FilePath,
    *,
    plugins: Sequence[str] = (),
    monkeys: Mapping[str, Monkey] | None = None,
    checks: Sequence[str] | None = None,
) -> Experiment:
    """An experiment by its file, or by the name of one that comes with simian. Raises UsageError with every problem.

    ``plugins``: folders whose probes it may use. ``monkeys``: where given, its monkey and options are checked, too.
    ``checks``: names of the configuration's checks, for abort conditions on them.
    """

    def further(data: Mapping[str, Any]) -> Iterator[Problem]:
        elsewhere = checks if checks is not None else _aborted(data)
        yield from check_problems(data, plugins, elsewhere)
        yield from _fault_problems(data)
        yield from _monkey_problems(data, monkeys)

    document = load_yaml(file := experiment_file(wanted))
    anchor(document.data, file.absolute().parent, plugins)
    return validated(document, Experiment, further)


def _aborted(data: Mapping[str, Any]) -> list[str]:
    """An experiment without checks of its own lives by the configuration's, which are not known here."""
    return [] if data.get("steady_state") else [abort.check for _, abort in parts(data, "abort", AbortPart)]


def _fault_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    for number, stage in parts(data, "stages", StagePart):
        for index, words in enumerate(stage.faults):
            try:
                fault_from_words(words)
            except (ValueError, TypeError) as error:
                yield ("stages", number, "faults", index), str(error)


def _monkey_problems(data: Mapping[str, Any], monkeys: Mapping[str, Monkey] | None) -> Iterator[Problem]:
    name, options = data.get("monkey"), data.get("options", {})
    if monkeys is None or not isinstance(name, str) or not isinstance(options, Mapping):
        return
    if name not in monkeys:
        yield ("monkey",), f"no monkey is called {name!r:.80}; {nearest(name, monkeys)}"
        return
    try:
        monkeys[name].checked(options)
    except UsageError as error:
        yield from ((("options",), what) for what in error.problems)


def find_experiments() -> dict[str, FilePath]:
    """The experiments that come with simian: name (that of the file) -> file."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    files = [path for folder in folders or () for path in FilePath(folder).glob("*.yaml")]
    return {path.stem: path for path in sorted(files)}


def experiment_file(wanted: str | FilePath) -> FilePath:
    """An experiment's file: the one named, or of one that comes with simian, by name or title. Raises UsageError."""
    path = FilePath(wanted)
    if isinstance(wanted, FilePath) or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    shipped = find_experiments()
    if str(wanted) in shipped:
        return shipped[str(wanted)]
    if path.exists():
        return path
    titled = [file for file in shipped.values() if _title(file) == str(wanted)]
    if titled:
        return titled[0]
    raise UsageError(f"no experiment is called {str(wanted)!r:.80}; {nearest(str(wanted), shipped)}; or name a file")


def _title(file: FilePath) -> str:
    """What an experiment calls itself, as reports name it: its first line says so. Empty: none of ours."""
    with file.open(encoding="utf-8") as lines:
        key, _, title = next(lines, "").partition(":")
    return title.strip() if key == "experiment" else ""


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment's file."""
    return json_schema(Experiment, "An experiment of simian")
