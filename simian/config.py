"""simian.yaml: which system, through which drivers, within which limits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from simian.drivers import PORTS
from simian.errors import UsageError
from simian.fields import (
    AbortPart,
    CheckPart,
    Duration,
    ExposureField,
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
from simian.guards import DEADLINE_S, EVERY_S, FORMS, LONGEST_S, RIGHT, Guard
from simian.notify.settings import NotifyPart, notify_problems
from simian.opening import why_closed
from simian.probe import Tolerance, nearest
from simian.probes import find_probe
from simian.schedule.declared import HoursPart, SchedulePart
from simian.schedule.row import Schedule
from simian.secrets import with_secrets
from simian.yamlfile import load_text, parse_yaml

Many = Field(strict=False)  # a list in the file, a tuple in the model
PATHS = ("manifest",)  # settings of drivers that are files: relative ones are beside simian.yaml
_ADDRESS = r"^.+:[0-9]{1,5}$"


class DriverPart(BaseModel):
    """``{driver: toxiproxy, …}``: the other keys are the driver's own, which it checks itself."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    driver: Name


class UsersPart(Part):
    """``{feed: 127.0.0.1:9900}``: where the users tell what they see (docs/wire.md)."""

    feed: str = Field(pattern=_ADDRESS)


class LimitsPart(Part):
    """What no run may exceed. ``never``: patterns of names that are never hit; ``production``: what is marked so."""

    radius: Radius | None = None
    at_once: int | None = Field(None, ge=1)
    runs_per_day: int | None = Field(None, ge=0)
    runs_per_week: int | None = Field(None, ge=0)
    never: Annotated[tuple[Name, ...], Many] = ()
    production: Literal["refused", "allowed"] | None = None  # refused


class GuardPart(Part):
    """What has a say in whether chaos is welcome (docs/guards.md); one of the first five keys says what is asked."""

    http: str | None = Field(None, pattern="^https?://")
    prometheus: str | None = Field(None, min_length=1)
    alertmanager: str | None = Field(None, pattern="^https?://")
    file: Name | None = None
    command: Annotated[tuple[str, ...] | None, Many] = None
    expect: int | None = Field(None, ge=100, le=599)
    url: str | None = None
    tolerance: str | None = None
    matching: dict[str, str] | None = None
    token: Any = None  # a reference; what was written instead of one is not shown
    max_age: str | None = None
    every_s: Duration = Field(EVERY_S, alias="every", le=LONGEST_S)
    deadline_s: Duration = Field(DEADLINE_S, alias="deadline", le=LONGEST_S)

    @model_validator(mode="after")
    def _is_one_thing(self) -> "GuardPart":
        if len(self._kinds) != 1:
            raise ValueError(
                f"a guard asks one thing; right would be one of {RIGHT}"
            )  # shows no token that was written
        return self

    @property
    def _kinds(self) -> list[str]:
        return [kind for kind in FORMS if getattr(self, kind) is not None]

    def problems(self) -> Iterator[Problem]:
        """What is wrong with keys that are right in themselves, by their place in the guard."""
        [kind] = self._kinds
        form, given = FORMS[kind], self.model_dump(exclude_none=True)
        for key in sorted(given.keys() - {kind, "every_s", "deadline_s", *form.may}):
            yield (key,), f"does not go with {kind}; right would be {form.right}"
        if self.command == ():
            yield ("command",), f"is empty; right would be {form.right}"
            return
        missing = [key for key in form.must if key not in given]
        if missing:
            yield (), f"needs {' and '.join(missing)}; right would be {form.right}"
            return
        try:
            if Tolerance.parse(form.tolerance(given)).kind == "relative":
                yield ("tolerance",), f"{self.tolerance!r} has no baseline before a run; right would be like '<= 0'"
        except ValueError as error:
            yield ("tolerance",), str(error)
        try:
            find_probe(form.probe(given)).bind(form.probe(given))
        except UsageError as error:
            yield from (((), what) for what in error.problems)

    def made(self, folder: FilePath) -> dict[str, Any]:
        """The guard as data, its paths absolute: those that are relative stand beside the file."""
        given = self.model_dump(exclude_none=True)
        if self.file is not None:
            given["file"] = str(folder / self.file)
        if self.command is not None:
            program, *arguments = self.command
            given["command"] = [str(folder / program) if "/" in program else program, *arguments]
        return given | ({"token": _absolute(self.token, folder)} if self.token is not None else {})


class Config(Part):
    """The whole file. Relative paths in it are beside it."""

    system: Name
    history: Name | None = None
    platform: DriverPart
    network: DriverPart | None = None
    steering: DriverPart | None = None
    requests: DriverPart | None = None
    data: DriverPart | None = None
    observer: DriverPart | None = None
    users: UsersPart | None = None
    limits: LimitsPart = Field(default_factory=LimitsPart.model_construct)
    calendar: HoursPart | None = None
    guards: Annotated[tuple[GuardPart, ...], Many] = ()
    schedules: Annotated[tuple[SchedulePart, ...], Many] = ()
    notify: Annotated[tuple[NotifyPart, ...], Many] = ()
    plugins: Annotated[tuple[Name, ...], Many] = ()
    steady_state: Annotated[tuple[CheckPart, ...], Many] = ()
    abort: Annotated[tuple[AbortPart, ...], Many] = ()
    exposure: ExposureField = "required"
    monkeys: dict[str, dict[str, Any]] = Field(default_factory=dict)
    recover_within_s: Duration = Field(60.0, alias="recover_within")
    _folder: FilePath = PrivateAttr(default=FilePath("."))

    def world_settings(self) -> dict[str, Any]:
        """One section a port, as data for ``simian.drivers.build_world``: paths absolute, secrets by reference."""
        sections = {port: getattr(self, port) for port in PORTS}
        return {port: _absolute(part.model_dump(), self._folder) for port, part in sections.items() if part}

    def for_request(self) -> dict[str, Any]:
        """The configuration's part of a ``RunRequest``, as data."""
        return {
            "checks": [check.made().to_json() for check in self.steady_state],
            "aborts": [abort.made().to_json() for abort in self.abort],
            "limits": self.limits.model_dump(mode="json", exclude_none=True),
            "calendar": self.opening_hours(),
            "guards": [guard.made(self._folder) for guard in self.guards],
            "exposure": self.exposure,
            "users_feed": self.users.feed if self.users else None,
            "plugins": list(self.plugins),
            "recover_within_s": self.recover_within_s,
        }

    def declared(self, at: float) -> list[Schedule]:
        """The schedules of the file, as if made at this second of the epoch; files of freezes with whole paths."""
        calendar, found = self.opening_hours(), []
        for part in self.schedules:
            schedule = part.made(calendar, at)
            own = None if schedule.calendar is None else self._with_whole_paths(dict(schedule.calendar))
            found.append(replace(schedule, calendar=own))
        return found

    def opening_hours(self) -> dict[str, Any] | None:
        """The calendar's section as data, files of freezes with whole paths."""
        if self.calendar is None:
            return None
        return self._with_whole_paths(self.calendar.model_dump(mode="json", exclude_none=True))

    def _with_whole_paths(self, words: dict[str, Any]) -> dict[str, Any]:
        if "freezes" in words:
            files = [words["freezes"]] if isinstance(words["freezes"], str) else words["freezes"]
            words["freezes"] = [str(self._folder / file) for file in files]
        return words

    def notify_settings(self) -> list[dict[str, Any]]:
        """The channels as data, for ``simian.notify.channels_of``: secrets by reference."""
        given = [part.model_dump(exclude_none=True) for part in self.notify]
        found = [{key: _absolute(value, self._folder) for key, value in one.items()} for one in given]
        return [one | {"command": self._program(one["command"])} if "command" in one else one for one in found]

    def _program(self, command: Sequence[str]) -> list[str]:
        program, *arguments = command
        return [str(self._folder / program) if "/" in program else program, *arguments]

    def warnings(self) -> list[str]:
        """What is right and still unwise, a line each."""
        literal = "holds its secrets in the clear; right would be {env: NAME} or {file: PATH}"
        return [f"notify.{n}.apprise {literal}" for n, part in enumerate(self.notify) if isinstance(part.apprise, str)]


def load_config(path: FilePath) -> Config:
    """simian.yaml. Raises UsageError with every problem, each with file, line and key."""
    return parse_config(load_text(path), path)


def parse_config(text: str, path: FilePath) -> Config:
    """The same from its text."""
    document = parse_yaml(text, str(path))
    folder = path.absolute().parent
    given = document.data.get("plugins")
    if isinstance(given, list):
        document.data["plugins"] = [str(folder / one) if isinstance(one, str) else one for one in given]
    if isinstance(history := document.data.get("history"), str) and "://" not in history:
        document.data["history"] = str(folder / history)
    anchor(document.data, folder, _folders(document.data))
    made = validated(document, Config, _problems)
    made._folder = folder
    return made


def resolved(config: Config, environment: Mapping[str, str]) -> dict[str, Any]:
    """The world's settings, every secret shown to be there but kept by reference. Raises UsageError."""
    settings = config.world_settings()
    problems = []
    for port, section in settings.items():
        try:
            with_secrets(section, environment)
        except UsageError as error:
            problems += [f"{port}: {line}" for line in error.problems]
    if problems:
        raise UsageError(problems)
    return settings


def config_schema() -> dict[str, Any]:
    """The JSON Schema of simian.yaml."""
    return json_schema(Config, "simian.yaml")


def _problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    yield from check_problems(data, [folder for folder in _folders(data) if FilePath(folder).is_dir()], ())
    for index, folder in enumerate(_folders(data)):
        if not FilePath(folder).is_dir():
            yield ("plugins", index), f"{folder!r} is no folder; right would be one with .py files"
    for port, group in PORTS.items():
        yield from _driver_problems(port, group, data.get(port))
    yield from _calendar_problems(data.get("calendar"))
    yield from _schedule_problems(data)
    yield from _guard_problems(data)
    yield from notify_problems(data)


def _guard_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    names: set[str] = set()
    for index, guard in parts(data, "guards", GuardPart):
        found = list(guard.problems())
        yield from ((("guards", index, *key), what) for key, what in found)
        name = "" if found else Guard.of(guard.model_dump(exclude_none=True)).check.name
        if name and name in names:
            yield ("guards", index), f"{name.removeprefix('guard: ')!r} is there twice; once is enough"
        names.add(name)


def _folders(data: Mapping[str, Any]) -> list[str]:
    given = data.get("plugins")
    return [folder for folder in given if isinstance(folder, str)] if isinstance(given, list) else []


def _driver_problems(port: str, group: str, section: object) -> Iterator[Problem]:
    name = section.get("driver") if isinstance(section, Mapping) else None
    if isinstance(name, str) and name not in _drivers(group):
        yield (port, "driver"), f"no {port} driver is called {name!r:.80}; {nearest(name, _drivers(group))}"


@cache
def _drivers(group: str) -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group=group))


def _calendar_problems(section: object) -> Iterator[Problem]:
    with suppress(ValidationError):  # the whole file's validation tells of it
        calendar = HoursPart.model_validate(section or {}).model_dump(mode="json", exclude_none=True)
        # One thing at a time, as the first that is closed hides what comes after it.
        cases: list[dict[str, Any]] = [{}]
        cases += [{key: calendar[key]} for key in ("hours", "days", "holidays") if key in calendar]
        cases += [{"closed": [span]} for span in calendar.get("closed", ())]
        for one in cases:
            said = why_closed({"zone": calendar["zone"], **one}, 0.0)
            if "cannot be read" in said:
                yield ("calendar", *list(one)[:1]), f"{said.partition(': ')[2]}; right would be like {_CALENDAR}"
                break


def _schedule_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    calendar = data.get("calendar") if isinstance(data.get("calendar"), Mapping) else None
    names: set[str] = set()
    for index, one in parts(data, "schedules", SchedulePart):
        if one.name in names:
            yield ("schedules", index, "name"), f"{one.name!r} is there twice; give each schedule a name of its own"
        names.add(one.name)
        try:
            one.made(calendar, 0.0)
        except UsageError as error:
            yield from ((("schedules", index), what) for what in error.problems)


_CALENDAR = (
    'zone: Europe/Berlin, hours: "09:00-15:00", days: mon-fri, holidays: DE-BY, closed: [2026-12-20..2027-01-06]'
)


def _absolute(value: Any, folder: FilePath) -> Any:
    """Paths of secrets and files made absolute, so that a run started elsewhere finds them."""
    if isinstance(value, Mapping):
        if set(value) == {"file"} and isinstance(value["file"], str):
            return {"file": str(folder / value["file"])}
        return {key: _path(key, inner, folder) for key, inner in value.items()}
    return [_absolute(inner, folder) for inner in value] if isinstance(value, list | tuple) else value


def _path(key: str, value: Any, folder: FilePath) -> Any:
    return str(folder / value) if key in PATHS and isinstance(value, str) else _absolute(value, folder)
