"""From compose files to a project: variables, ``extends``, ``include``, several files, profiles, environment files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from simian.compose.forms import Source, service_of
from simian.compose.layers import OVERRIDE, RESET, bare, finished, laid_on
from simian.compose.model import Project, Service
from simian.compose.variables import Variables, variables_in
from simian.errors import UsageError
from simian.probe import nearest
from simian.yamlfile import Dialect, Document, Path, Tagged, load_text, load_yaml

COMPOSE = Dialect(frozenset({RESET, OVERRIDE}), merges=True)
MOST_FILES = 100  # an include of an include that leads back would never end
TOP = ("services", "include", "name", "networks")
TOP_LEFT_ALONE = ("version", "volumes", "configs", "secrets", "models")


def read_project(files: Sequence[FilePath], environment: Mapping[str, str], profiles: Sequence[str] = ()) -> Project:
    """The project that these files, laid on one another, describe. Raises UsageError with every problem.

    ``environment`` goes before the file ``.env`` beside the first one; it may name profiles (``COMPOSE_PROFILES``)
    and the project (``COMPOSE_PROJECT_NAME``).
    """
    folder = files[0].parent
    reading = _Reading(dict(environment))
    reading.take_env(folder / ".env")
    services = reading.project(files, folder)
    wanted = [*profiles, *filter(None, reading.values.get("COMPOSE_PROFILES", "").split(","))]
    active = {name: made for name, made in services.items() if _is_active(made, wanted)}
    active = {name: _without_optional(made, active) for name, made in active.items()}
    reading.check(active, services)
    found = {name: reading.service(name, made) for name, made in sorted(active.items())}
    if not found and not reading.problems:
        reading.problems.append(
            f"{files[0]}: there is no service in it, or none without a profile{_profiled(services)}"
        )
    if reading.problems:
        raise UsageError(list(dict.fromkeys(reading.problems)))
    reading.tell(services, active)
    name = reading.values.get("COMPOSE_PROJECT_NAME") or reading.name or folder.absolute().name
    internal = frozenset(name for name, closed in reading.internal.items() if closed)
    return Project(project_name(name), folder.absolute(), found, tuple(dict.fromkeys(reading.remarks)), internal)


def project_name(text: str) -> str:
    """As compose makes one of a folder's name: lower case, letters, digits, ``-`` and ``_``."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-") or "project"


def _is_active(made: Mapping[str, Any], wanted: Sequence[str]) -> bool:
    own = made.get("profiles") or {}
    return not own or "*" in wanted or any(profile in own for profile in wanted)


def _without_optional(made: Mapping[str, Any], active: Mapping[str, Any]) -> dict[str, Any]:
    """The service without those it can do without, of which there is none."""
    depends_on = made.get("depends_on", {})
    return {**made, "depends_on": {o: how for o, how in depends_on.items() if o in active or how["required"]}}


def _profiled(services: Mapping[str, Any]) -> str:
    names = sorted({str(profile) for made in services.values() for profile in made.get("profiles") or {}})
    return f"; choose with --profile: {', '.join(names)}" if names else ""


@dataclass
class _Reading:
    """All files of one project; ``values`` are its variables, those of ``.env`` included.

    ``internal``: of each network that says so, whether it is closed to the outside.
    """

    values: dict[str, str]
    name: str = ""
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    internal: dict[str, bool] = field(default_factory=dict)
    _files: int = 0
    _env: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def take_env(self, path: FilePath) -> None:
        """The variables of this file, if it is there; those that are known already stay."""
        if path.is_file():
            made, problems = variables_in(load_text(path), str(path), self.values)
            self.problems += problems
            self.values = {key: value for key, value in made.items() if value is not None} | self.values

    def project(self, files: Sequence[FilePath], folder: FilePath) -> dict[str, dict[str, Any]]:
        """Every service of these files in its long form, without ``extends``."""
        services: dict[str, dict[str, Any]] = {}
        for path in files:
            if source := self._source(path, folder):
                self.name = str(source.document.data.get("name") or self.name)
                self.internal |= _internal(source.document.data.get("networks"))
                for name, made in self._included(source).items():
                    services.setdefault(name, made)
                for name, made in self._own(source).items():
                    services[name] = laid_on(services.get(name, {}), made)
        return {name: made for name, made in services.items() if made}

    def _source(self, path: FilePath, folder: FilePath) -> Source | None:
        self._files += 1
        if self._files > MOST_FILES:
            raise UsageError(f"{path}: more than {MOST_FILES} files are read; does one lead back to itself?")
        try:
            document = self._replaced(load_yaml(path, COMPOSE))
        except UsageError as error:
            self.problems += error.problems
            return None
        source = Source(document, folder, self.problems, self.remarks)
        for key in document.data:
            if key not in (*TOP, *TOP_LEFT_ALONE) and not key.startswith("x-"):
                source.remark((key,), f"no key of a compose file that is known here, left alone; {nearest(key, TOP)}")
        return source

    def _replaced(self, document: Document) -> Document:
        """The same with every variable in it replaced."""
        variables = Variables(self.values)

        def replaced(value: Any, path: Path) -> Any:
            if isinstance(value, Tagged):
                return Tagged(value.tag, replaced(value.value, path))
            if isinstance(value, dict):
                return {key: replaced(inner, (*path, key)) for key, inner in value.items()}
            if isinstance(value, list):
                return [replaced(inner, (*path, index)) for index, inner in enumerate(value)]
            try:
                return variables.replaced(value) if isinstance(value, str) else value
            except ValueError as error:
                self.problems.append(document.problem(path, str(error)))
                return value

        made = {key: replaced(value, (key,)) if key in TOP else value for key, value in document.data.items()}
        if variables.unset:
            self.remarks.append(f"{document.name}: not set, so taken as empty: {', '.join(variables.unset)}")
        return replace(document, data=made)

    def _included(self, source: Source) -> dict[str, dict[str, Any]]:
        services: dict[str, dict[str, Any]] = {}
        given = source.document.data.get("include")
        if given is not None and not isinstance(given, list):
            source.wrong(("include",), given, "a list of files")
        for index, item in enumerate(given if isinstance(given, list) else ()):
            said = item if isinstance(item, Mapping) else {"path": item}
            paths = [said["path"]] if isinstance(said.get("path"), str) else said.get("path")
            if not isinstance(paths, list) or not paths or not all(isinstance(one, str) for one in paths):
                source.wrong(("include", index), item, "a file, or {path: FILE}")
                continue
            files = [source.folder / one for one in paths]
            folder = source.folder / str(said["project_directory"]) if "project_directory" in said else files[0].parent
            kept = self.name, self.values
            self.take_env(folder / ".env")
            services |= self.project(files, folder)
            self.name, self.values = kept
        return services

    def _own(self, source: Source) -> dict[str, dict[str, Any]]:
        given = source.document.data.get("services")
        if given is not None and not isinstance(given, Mapping):
            source.wrong(("services",), given, "a mapping of names to services")
            return {}
        made: dict[str, dict[str, Any]] = {}
        for name, one in (given or {}).items():
            made[name] = (
                {} if isinstance(one, Tagged) and one.tag == RESET else service_of(source, name, _untagged(one))
            )
        return {name: self._extended(source, name, made, ()) for name in made}

    def _extended(
        self, source: Source, name: str, services: Mapping[str, dict[str, Any]], chain: tuple[str, ...]
    ) -> dict[str, Any]:
        """The service laid on what it extends, and that on what it extends."""
        own = services[name]
        how = bare(own.get("extends"))
        if not how:
            return own
        here, step = ("services", name, "extends"), f"{source.document.name}: {name}"
        if step in chain:
            source.problem(here, f"a circle: {' -> '.join([*chain, step])}; a service cannot extend itself")
            return {key: value for key, value in own.items() if key != "extends"}
        elsewhere = self._elsewhere(source, how["file"]) if how["file"] else (source, services)
        if elsewhere is None:
            return own
        other, there = elsewhere
        if how["service"] not in there:
            hint = nearest(how["service"], there)
            source.problem(here, f"no service of {other.document.name} is called {how['service']!r:.60}; {hint}")
            return own
        base = self._extended(other, how["service"], there, (*chain, step))
        return {**laid_on(base, {**own, "extends": Tagged(RESET, None)}), "at": own["at"]}

    def _elsewhere(self, source: Source, file: str) -> tuple[Source, dict[str, dict[str, Any]]] | None:
        path = source.folder / file
        other = self._source(path, path.parent)
        given = other.document.data.get("services") if other else None
        if other is None or not isinstance(given, Mapping):
            return None
        return other, {name: service_of(other, name, _untagged(one)) for name, one in given.items()}

    def check(self, active: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """What services say of each other, and that each has something to run."""
        for made in active.values():
            if not made.get("image") and not made.get("build"):
                self.problems.append(f"{made['at']}: the service has neither an image nor a build; give it one")
            for other, how in made.get("depends_on", {}).items():
                if other not in active:
                    self.problems.append(f"{how['at']}{_not_there('service', other, active, known)}")
            for how in made.get("links", {}).values():
                if how["service"] not in active:
                    self.problems.append(f"{how['at']}{_not_there('service', how['service'], active, known)}")

    def service(self, name: str, made: Mapping[str, Any]) -> Service:
        """The finished service, its environment put together."""
        values: dict[str, str | None] = {}
        for path, how in made.get("env_file", {}).items():
            values |= self._environment_file(path, how)
        values |= made.get("environment", {})
        full = {key: self.values.get(key) if value is None else value for key, value in values.items()}
        return finished(name, made, {key: value for key, value in full.items() if value is not None})

    def _environment_file(self, path: str, how: Mapping[str, Any]) -> dict[str, str | None]:
        if path not in self._env:
            self._env[path] = {}
            if FilePath(path).is_file():
                self._env[path], problems = variables_in(load_text(FilePath(path)), path, self.values)
                self.problems += problems
            elif how["required"]:
                self.remarks.append(f"{how['at']}{path} is not there; links that only it tells of are not found")
        return self._env[path]

    def tell(self, known: Mapping[str, Any], active: Mapping[str, Any]) -> None:
        """What profiles left out."""
        out = sorted(set(known) - set(active))
        if out:
            self.remarks.append(f"left out, their profiles are not chosen: {', '.join(out)}{_profiled(known)}")


def _internal(given: object) -> dict[str, bool]:
    """Of each network that says whether it is internal, what it says."""
    networks = bare(given)
    return {
        str(name): one["internal"] in (True, "true")
        for name, one in (networks.items() if isinstance(networks, Mapping) else ())
        if isinstance(one, Mapping) and "internal" in one
    }


def _untagged(one: Any) -> Any:
    """A service under a tag of its own, without it."""
    return one.value if isinstance(one, Tagged) else one


def _not_there(kind: str, name: str, active: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if name in known:
        profiles = " or ".join(f"--profile {one}" for one in known[name]["profiles"])
        return f"{name!r} is left out as its profile is not chosen; add {profiles}"
    return f"no {kind} is called {name!r:.60}; {nearest(name, active)}"
