"""What stands in our YAML files: field types, the parts both kinds of file have, and pydantic's errors in our words."""

import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import ErrorDetails
from simian_filters.units import parse_duration_s

from simian.errors import UsageError
from simian.exposure import COUNTER
from simian.probe import AbortCondition, Check, Option, Tolerance, nearest
from simian.probes import find_probe
from simian.probes.users import UsersMetric, users_metric
from simian.secrets import is_reference
from simian.yamlfile import Document, Path

LONGEST_NAME = 200
RADII = ("node", "zone", "region", "system")


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError("is no duration; right would be a number with its unit, such as 500ms, 30s, 5m, 24h")
    return parse_duration_s(value)


def _positive(value: object) -> float:
    seconds = _seconds(value)
    if seconds < 0.01:
        raise ValueError("is too short; right would be 10ms or more")
    return seconds


def _limit(value: object) -> float:
    """A number in the check's own unit: a share (0..1), milliseconds, or plain."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return Tolerance.parse(f"== {value}").value
    except ValueError:
        raise ValueError("is no limit; right would be '95 %', '500 ms' or a number") from None


EXPOSURES = ("required", "assumed")


def _exposure(value: object) -> object:
    if value in EXPOSURES or isinstance(value, dict):
        return value
    wanted = "'required' or 'assumed', or the probe of a counter, such as {prometheus: QUERY, url: ADDRESS}"
    raise ValueError(f"is no exposure; right would be {wanted}")


_DURATION = {"type": "string", "pattern": r"^[0-9.]+\s*(ms|s|m|h)$", "examples": ["500ms", "30s", "5m", "24h"]}
Duration = Annotated[float, BeforeValidator(_positive), WithJsonSchema(_DURATION)]
MaybeNone = Annotated[float, BeforeValidator(_seconds), WithJsonSchema(_DURATION)]
Limit = Annotated[float, BeforeValidator(_limit), WithJsonSchema({"type": ["string", "number"]})]
ExposureField = Annotated[
    str | dict[str, Any],
    BeforeValidator(_exposure),
    WithJsonSchema({"anyOf": [{"enum": list(EXPOSURES)}, {"type": "object", "minProperties": 1}]}),
]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Radius = Literal["node", "zone", "region", "system"]


class Part(BaseModel):
    """A part of a file: frozen, no unknown keys, nothing turned into what it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)


class CheckPart(Part):
    """``{check: streams start, probe: {users: success_share, kind: play}, tolerance: ">= 99.9 %"}``."""

    check: Name
    probe: dict[str, Any] = Field(min_length=1)
    tolerance: str
    every_s: Duration = Field(1.0, alias="every")
    deadline_s: Duration = Field(0.5, alias="deadline")
    misses: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _is_given_its_time(self) -> "CheckPart":
        try:
            within_s = parse_duration_s(self.probe.get("within", "0s"))
        except (TypeError, ValueError, AttributeError):
            return self  # the probe itself tells of it
        if within_s >= self.deadline_s:
            raise ValueError(f"its deadline, {self.deadline_s:g} s, is not after `within`; give it twice as much")
        return self

    def made(self) -> Check:
        """The check as a value."""
        tolerance = Tolerance.parse(self.tolerance)
        return Check(self.check, self.probe, tolerance, self.every_s, self.deadline_s, self.misses)


class AbortPart(Part):
    """``{check: streams start, below: "95 %"}``."""

    check: Name
    below: Limit | None = None
    above: Limit | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> "AbortPart":
        if self.below is None and self.above is None:
            raise ValueError("has no limit; right would be below: or above:")
        return self

    def made(self) -> AbortCondition:
        """The condition as a value."""
        return AbortCondition(self.check, self.below, self.above)


M = TypeVar("M", bound=BaseModel)
Problem = tuple[Path, str]


def validated(document: Document, model: type[M], further: Callable[[Mapping[str, Any]], Iterable[Problem]]) -> M:
    """The document as this model. Raises UsageError with every problem, in the order of their lines.

    ``further`` finds in the bare data what the model itself cannot see; it must take data of any shape.
    """
    problems = [(document.line(path), document.problem(path, what)) for path, what in further(document.data)]
    made = None
    try:
        made = model.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += [(document.line(one["loc"]), _told(document, model, one)) for one in found]
    if problems or made is None:
        raise UsageError(list(dict.fromkeys(text for _, text in sorted(problems, key=lambda one: one[0]))))
    return made


def parts(data: Mapping[str, Any], key: str, model: type[M]) -> Iterator[tuple[int, M]]:
    """Those items of a list that are right in themselves, with their index."""
    items = data.get(key)
    for index, item in enumerate(items if isinstance(items, list) else []):
        with suppress(ValidationError):  # the whole file's validation tells of it
            yield index, model.model_validate(item)


_RELATIVE = re.compile(r"(sqlite(?:\+\w+)?:///)((?!/|file:|:memory:).+)")
_KINDS = {
    "string_type": "a text; put it in quotes if it looks like a number",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
}


def _told(document: Document, model: type[BaseModel], error: ErrorDetails) -> str:
    path, given = error["loc"], repr(error["input"])
    shown = given if len(given) <= 60 else given[:60] + "…"
    kind = error["type"]
    if kind == "extra_forbidden":
        return document.problem(path, f"unknown key; {nearest(str(path[-1]), keys_at(model, path[:-1]))}")
    if kind == "missing":
        return document.problem(path, "is missing")
    if kind in _KINDS:
        return document.problem(path, f"{shown} is wrong; right would be {_KINDS[kind]}")
    if kind == "value_error":
        reason = str(error.get("ctx", {}).get("error", error["msg"]))
        return document.problem(path, f"{shown} {reason}" if reason.startswith(("is ", "has ")) else reason)
    return document.problem(path, f"{shown} is wrong; {error['msg'][:1].lower()}{error['msg'][1:200]}")


def keys_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Names of the keys that may stand at this place of a model."""
    here: Any = model
    for part in path:
        if isinstance(part, str) and _is_model(here):
            fields = {field.alias or name: field.annotation for name, field in here.model_fields.items()}
            here = _inner(fields.get(part))
    return [field.alias or name for name, field in here.model_fields.items()] if _is_model(here) else []


def _inner(annotation: Any) -> Any:
    """The model inside ``tuple[Model, ...]``, ``Model | None`` and the like."""
    if _is_model(annotation):
        return annotation
    return next((found for one in typing.get_args(annotation) if (found := _inner(one)) is not None), None)


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and not isinstance(thing, types.GenericAlias) and issubclass(thing, BaseModel)


def check_problems(data: Mapping[str, Any], plugins: Sequence[str], known: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with ``steady_state``, ``abort``, ``exposure``. ``known``: names of checks that stand elsewhere."""
    checks: dict[str, CheckPart] = {}
    for index, check in parts(data, "steady_state", CheckPart):
        place: Path = ("steady_state", index)
        if check.check == COUNTER:
            yield (*place, "check"), f"{COUNTER!r} is what `exposure` is read under; give the check another name"
        if check.check in checks:
            yield (*place, "check"), f"{check.check!r} is there twice; give each check a name of its own"
        checks[check.check] = check
        yield from (((*place, *key), what) for key, what in _check(check, plugins))
    yield from _exposure_problems(data.get("exposure"), plugins)
    names = {*known, *_names(data.get("steady_state"))}
    for index, abort in parts(data, "abort", AbortPart):
        if abort.check not in names:
            yield ("abort", index, "check"), f"no check is called {abort.check!r}; {nearest(abort.check, names)}"
        yield from ((("abort", index), what) for what in _abort(abort, checks.get(abort.check)))


def _exposure_problems(exposure: object, plugins: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(exposure, Mapping):
        return
    if "users" in exposure:
        yield (
            ("exposure",),
            "users' requests are counted for each fault without this; right would be exposure: required",
        )
        return
    try:
        find_probe(exposure, plugins).bind(exposure)
    except UsageError as error:
        yield from ((("exposure",), what) for what in error.problems)


def anchor(data: Mapping[str, Any], folder: FilePath, plugins: Sequence[str] = ()) -> None:
    """Make files that probes name, a secret's or a database's, stand beside the file that names them: in place."""
    rows = data.get("steady_state")
    probes = [row.get("probe") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    for settings in [*probes, data.get("exposure")]:
        if isinstance(settings, dict):
            with suppress(UsageError):  # validation tells of it
                options = {option.name: option for option in find_probe(settings, plugins).options}
                settings.update({key: _anchored(key, settings[key], folder, options.get(key)) for key in settings})


def _anchored(key: object, value: Any, folder: FilePath, option: Option | None) -> Any:
    if option is not None and option.secret and is_reference(value) and "file" in value:
        return {"file": str(folder / value["file"])}
    if key == "absent" and isinstance(value, str):
        return str(folder / value)
    if key == "url" and isinstance(value, str) and (found := _RELATIVE.fullmatch(value)):
        return f"{found[1]}{folder / found[2]}"
    return value


def _names(checks: object) -> list[str]:
    """Names of all checks, those that are wrong otherwise included."""
    rows = checks if isinstance(checks, list) else []
    return [str(row["check"]) for row in rows if isinstance(row, Mapping) and "check" in row]


def _check(check: CheckPart, plugins: Sequence[str]) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    metric, tolerance = None, None
    try:
        if "users" in check.probe:
            metric = users_metric(check.probe)
        else:
            find_probe(check.probe, plugins).bind(check.probe)
    except UsageError as error:
        found += [(("probe",), what) for what in error.problems]
    try:
        tolerance = Tolerance.parse(check.tolerance)
    except ValueError as error:
        found.append((("tolerance",), str(error)))
    if metric and tolerance:
        found += [(("tolerance",), what) for what in _units(metric, tolerance)]
    return found


_EXAMPLES = {"share": "'>= 99.9 %'", "ms": "'<= 250 ms'", "plain": "'<= 2 x baseline'"}


def _units(metric: UsersMetric, tolerance: Tolerance) -> list[str]:
    """``success_share >= 99.9`` forgets a sign; ``p99_ms <= 10 %`` means nothing."""
    right = metric.unit
    wrong = tolerance.kind not in (right, "plain", "relative")
    if wrong or (right == "share" and tolerance.kind == "plain" and not 0 <= tolerance.value <= 1):
        return [f"{tolerance.text!r} does not go with {metric.name}; right would be like {_EXAMPLES[right]}"]
    return []


def _abort(abort: AbortPart, check: CheckPart | None) -> list[str]:
    shares = check and ("%" in check.tolerance or str(check.probe.get("users", "")).endswith("_share"))
    limits = [limit for limit in (abort.below, abort.above) if limit is not None]
    if shares and any(not 0 <= limit <= 1 for limit in limits):
        return [f"a share lies between 0 % and 100 %, not at {limits[0]:g}; right would be like '95 %'"]
    return []


def json_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """The JSON Schema of a file."""
    dialect: Mapping[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**model.model_json_schema(by_alias=True), **dialect}
