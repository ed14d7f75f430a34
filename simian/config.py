"""simian.yaml: which system, through which drivers, within which limits."""

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from simian.drivers import PORTS, with_secrets
from simian.errors import UsageError
from simian.fields import AbortPart, CheckPart, Name, Part, Radius, check_problems, json_schema, validated
from simian.opening import why_closed
from simian.probe import nearest
from simian.yamlfile import Document, Path, load_yaml

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
    """What no run may exceed. ``never``: patterns of names that are never hit."""

    radius: Radius | None = None
    at_once: int | None = Field(None, ge=1)
    runs_per_day: int | None = Field(None, ge=0)
    never: Annotated[tuple[Name, ...], Many] = ()


class CalendarPart(Part):
    """When chaos is welcome."""

    zone: str = "UTC"
    hours: str | None = None
    days: str | None = None
    holidays: str | None = None
    closed: Annotated[tuple[str, ...], Many] = ()


class GuardPart(Part):
    """``{http: URL}`` must answer 200, ``{file: PATH}`` must not be there."""

    http: str | None = Field(None, pattern="^https?://")
    file: Name | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> "GuardPart":
        if (self.http is None) == (self.file is None):
            raise ValueError("is no guard; right would be {http: URL} or {file: PATH}")
        return self


class Config(Part):
    """The whole file. Relative paths in it are beside it."""

    system: Name
    history: Name | None = None
    platform: DriverPart
    network: DriverPart | None = None
    steering: DriverPart | None = None
    requests: DriverPart | None = None
    observer: DriverPart | None = None
    users: UsersPart | None = None
    limits: LimitsPart = LimitsPart()
    calendar: CalendarPart | None = None
    guards: Annotated[tuple[GuardPart, ...], Many] = ()
    plugins: Annotated[tuple[Name, ...], Many] = ()
    steady_state: Annotated[tuple[CheckPart, ...], Many] = ()
    abort: Annotated[tuple[AbortPart, ...], Many] = ()
    monkeys: dict[str, dict[str, Any]] = Field(default_factory=dict)
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
            "calendar": self.calendar.model_dump(mode="json", exclude_none=True) if self.calendar else None,
            "guards": [_absolute(guard.model_dump(exclude_none=True), self._folder) for guard in self.guards],
            "users_feed": self.users.feed if self.users else None,
            "plugins": list(self.plugins),
        }


def load_config(path: FilePath) -> Config:
    """simian.yaml. Raises UsageError with every problem, each with file, line and key."""
    document = load_yaml(path)
    folder = path.absolute().parent
    given = document.data.get("plugins")
    if isinstance(given, list):
        document.data["plugins"] = [str(folder / one) if isinstance(one, str) else one for one in given]
    if isinstance(history := document.data.get("history"), str) and "://" not in history:
        document.data["history"] = str(folder / history)
    made = validated(document, Config, lambda found: list(_problems(found, document)))
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


def _problems(made: Config, document: Document) -> Iterator[tuple[Path, str]]:
    missing = [(index, folder) for index, folder in enumerate(made.plugins) if not FilePath(folder).is_dir()]
    for index, folder in missing:
        yield ("plugins", index), f"{folder!r} is no folder; right would be one with .py files"
    plugins = [folder for index, folder in enumerate(made.plugins) if (index, folder) not in missing]
    yield from check_problems(made.steady_state, made.abort, plugins)
    for port, group in PORTS.items():
        part = getattr(made, port)
        known = {entry.name for entry in entry_points(group=group)}
        if part and part.driver not in known:
            yield (port, "driver"), f"no {port} driver is called {part.driver!r}; {nearest(part.driver, known)}"
    if made.calendar:
        said = why_closed(made.calendar.model_dump(mode="json", exclude_none=True), 0.0)
        if "cannot be read" in said:
            right = 'hours: "09:00-15:00", days: mon-fri, zone: Europe/Berlin, closed: [2026-12-20..2027-01-06]'
            yield ("calendar",), f"{said.partition(': ')[2]}; right would be like {right}"


def _absolute(value: Any, folder: FilePath) -> Any:
    """Paths of secrets and files made absolute, so that a run started elsewhere finds them."""
    if isinstance(value, Mapping):
        if set(value) == {"file"} and isinstance(value["file"], str):
            return {"file": str(folder / value["file"])}
        return {key: _path(key, inner, folder) for key, inner in value.items()}
    return [_absolute(inner, folder) for inner in value] if isinstance(value, list | tuple) else value


def _path(key: str, value: Any, folder: FilePath) -> Any:
    return str(folder / value) if key in PATHS and isinstance(value, str) else _absolute(value, folder)
