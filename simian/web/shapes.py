"""What may be sent: bodies and queries, each a model that takes nothing it does not know and guesses nothing."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simian.errors import UsageError

LONGEST_RUN_S = 7 * 86400.0
NAME = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NAME)]
Words = Annotated[str, Field(max_length=1000)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
Scalar = Annotated[str, Field(max_length=1000)] | int | float | bool | None
Value = Scalar | Annotated[list[Scalar], Field(max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]


class Body(BaseModel):
    """Numbers are numbers here, not texts of them."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Body):
    """An empty object."""


class PlanAsked(Body):
    """A monkey, or an experiment by its name."""

    monkey: Name | None = None
    experiment: Name | None = None
    options: Annotated[dict[Name, Value], Field(max_length=50)] = {}
    seed: Seed | None = None
    for_s: Annotated[float, Field(gt=0, le=LONGEST_RUN_S)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "PlanAsked":
        if (self.monkey is None) == (self.experiment is None):
            raise ValueError("give monkey or experiment, one of them")
        return self


class RunAsked(PlanAsked):
    """What is to be run now. ``plan_hash``: of the plan that was agreed to; if it were another, the run is refused."""

    note: Words = ""
    leashed: bool = False
    force_headroom: bool = False
    plan_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None


class AbortAsked(Body):
    """Why; the report says it."""

    reason: Reason = "asked for by the API"


class HaltAsked(Body):
    """Why; every refusal says it."""

    reason: Reason


class ScheduleAsked(PlanAsked):
    """One more schedule; docs/wire.md says what its fields mean. ``zone``: the system's, if it is not given."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    when: Annotated[dict[str, Any], Field(min_length=1, max_length=2)]
    zone: Name | None = None
    calendar: Annotated[dict[str, Any], Field(max_length=6)] | None = None
    misfire: Literal["skip", "late"] = "skip"
    grace_s: Annotated[float, Field(ge=0, le=LONGEST_RUN_S)] = 600.0
    jitter_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    overlap: Literal["skip", "queue"] = "skip"
    paused: bool = False
    expires: Annotated[str, Field(max_length=40)] | None = None
    note: Words = ""


class Query(BaseModel):
    """All of a query is text; so numbers are read from it."""

    model_config = ConfigDict(extra="forbid")


class NoQuery(Query):
    """Nothing is asked."""


Moment = Annotated[str, Field(max_length=40, examples=["2026-11-22", "2026-11-22T10:00:00Z"])]


class RunsWanted(Query):
    """Which past runs. ``after``: the ``next`` of the page before."""

    monkey: Name | None = None
    verdict: Literal["held", "broken", "unknown"] | None = None
    outcome: Literal["refused", "aborted", "completed", "crashed"] | None = None
    region: Name | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    after: Annotated[str, Field(max_length=500)] | None = None


class CompareWanted(Query):
    """Two runs."""

    first: Name
    second: Name


class RatesWanted(Query):
    """``since``: from that day on; the last 90 days, if it is not given."""

    since: Moment | None = None
    experiment: Name | None = None


class ReportWanted(Query):
    """In which form."""

    format: Literal["text", "md", "json", "junit", "html"] = "json"


class PreviewWanted(Query):
    """``seed``: as if each schedule had this one."""

    days: Annotated[float, Field(gt=0, le=400)] = 30.0
    seed: Seed | None = None


class AuditWanted(Query):
    """``before``: the number of the last row that is known already."""

    before: Annotated[int, Field(ge=0, lt=1 << 53)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class EventsWanted(Query):
    """``after``: the number of the last event that is known; those after it come first. ``run``: of that one only."""

    run: Name | None = None
    after: Annotated[int, Field(ge=0, lt=1 << 53)] | None = None


def checked(model: type[BaseModel], given: Any) -> Any:
    """An instance. Raises UsageError with every problem, each with the key it is about."""
    if not isinstance(given, Mapping):
        raise UsageError("the body must be a JSON object")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise UsageError([_problem(each) for each in error.errors(include_url=False, include_input=False)]) from error


def _problem(each: Any) -> str:
    where = ".".join(str(part) for part in each["loc"])
    said = str(each["msg"]).removeprefix("Value error, ")
    return f"{where}: {said[:1].lower()}{said[1:]}" if where else said
