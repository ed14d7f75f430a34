"""The keys of one service, each in one long form: mappings all the way, so that files can be laid on one another."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from simian.probe import nearest
from simian.yamlfile import Document, Path, Tagged

Form = Callable[["Source", Path, Any], Any]
MOST_PORTS = 1_000
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


@dataclass
class Source:
    """One file while it is read; relative paths in it are below ``folder``.

    ``problems`` and ``remarks`` are shared by all files of a project.
    """

    document: Document
    folder: FilePath
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def problem(self, path: Path, what: str) -> None:
        """Note what is wrong at this key."""
        self.problems.append(self.document.problem(path, what))

    def remark(self, path: Path, what: str) -> None:
        """Note what is left alone at this key."""
        self.remarks.append(self.document.problem(path, what))

    def wrong(self, path: Path, value: object, right: str) -> None:
        """Note a value that should have been something else."""
        given = repr(value.value if isinstance(value, Tagged) else value)
        self.problem(path, f"{given:.60} is wrong; right would be {right}")


def service_of(source: Source, name: str, given: object) -> dict[str, Any]:
    """The service's keys that we read, each in its long form; ``at``: where it stands."""
    path: Path = ("services", name)
    made: dict[str, Any] = {"at": f"{source.document.name}:{source.document.line(path)}"}
    if not isinstance(given, Mapping):
        source.wrong(path, given, "a mapping, such as {image: NAME}")
        return made
    for key, value in given.items():
        if key in FORMS:
            made[key] = _with_tag(FORMS[key], source, (*path, key), value)
        elif key not in LEFT_ALONE and not key.startswith("x-"):
            known = nearest(key, [*FORMS, *LEFT_ALONE])
            source.remark((*path, key), f"no key of a service that is known here, left alone{_meant(known)}")
    return made


def _meant(known: str) -> str:
    return f"; {known}" if known.startswith("did you mean") else ""


def _with_tag(form: Form, source: Source, path: Path, value: Any) -> Any:
    if not isinstance(value, Tagged):
        return form(source, path, value)
    inner = value.value
    return Tagged(value.tag, {} if inner is None or inner == "" else form(source, path, inner))


def _text(source: Source, path: Path, value: object) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if value is not None:
        source.wrong(path, value, "a text")
    return ""


def _there(source: Source, path: Path, value: object) -> bool:
    return value is not None


def _count(source: Source, path: Path, value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdigit():
        source.wrong(path, value, "a whole number")
        return 1
    return int(text)


def _texts(source: Source, path: Path, value: object) -> dict[str, Any]:
    items = _items(source, path, [value] if isinstance(value, str) else value)
    return {_text(source, (*path, index), item): True for index, item in enumerate(items)}


def _items(source: Source, path: Path, value: object) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    if value is not None:
        source.wrong(path, value, "a list")
    return ()


def _pairs(source: Source, path: Path, value: object) -> dict[str, Any]:
    """``{KEY: value}`` or ``[KEY=value]``; ``None``: only named, the value comes from outside."""
    if isinstance(value, Mapping):
        return {str(key): _pair(source, (*path, key), inner) for key, inner in value.items()}
    made: dict[str, Any] = {}
    for index, item in enumerate(_items(source, path, value)):
        key, given, inner = _text(source, (*path, index), item).partition("=")
        made[key] = inner if given else None
    return made


def _pair(source: Source, path: Path, value: object) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None or isinstance(value, Tagged) else _text(source, path, value)


def _depends_on(source: Source, path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        value = {name: {} for name in _texts(source, path, value)}
    made: dict[str, Any] = {}
    for name, how in value.items():
        here = (*path, name)
        said = how if isinstance(how, Mapping) else {}
        condition = said.get("condition", "service_started")
        if isinstance(how, Tagged):
            made[name] = how
            continue
        if condition not in CONDITIONS or not (how is None or isinstance(how, Mapping)):
            source.wrong(here, how, f"{{condition: {' or '.join(CONDITIONS)}}}")
        made[name] = {"condition": str(condition), "required": said.get("required", True) is not False}
        made[name]["at"] = source.document.problem(here, "")
    return made


def _links(source: Source, path: Path, value: object) -> dict[str, Any]:
    made = {}
    for text in _texts(source, path, value):
        service, _, alias = text.partition(":")
        made[alias or service] = {"service": service, "at": source.document.problem(path, "")}
    return made


def _networks(source: Source, path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: {} for name in _texts(source, path, value)}
    made: dict[str, Any] = {}
    for name, how in value.items():
        if isinstance(how, Tagged):
            made[name] = how
        elif how is None or isinstance(how, Mapping):
            made[name] = {"aliases": _texts(source, (*path, name, "aliases"), (how or {}).get("aliases"))}
        else:
            source.wrong((*path, name), how, "nothing, or {aliases: [NAME]}")
    return made


def _health(source: Source, path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        source.wrong(path, value, 'a mapping, such as {test: ["CMD", "true"]}')
        return {}
    if value.get("disable") is True:
        return {"test": ["NONE"]}
    test = value.get("test")
    if isinstance(test, Tagged):
        return {"test": test}
    if isinstance(test, list) and test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        source.wrong((*path, "test"), test, "a list that begins with CMD, CMD-SHELL or NONE")
        return {}
    given = ["CMD-SHELL", test] if isinstance(test, str) else _items(source, (*path, "test"), test)
    return {"test": [str(word) for word in given]} if test is not None else {}


def _deploy(source: Source, path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        source.wrong(path, value, "a mapping, such as {replicas: 2}")
        return {}
    return {"replicas": _count(source, (*path, "replicas"), value["replicas"])} if "replicas" in value else {}


def _extends(source: Source, path: Path, value: object) -> dict[str, Any]:
    said = {"service": value} if isinstance(value, str) else value
    if not isinstance(said, Mapping) or not isinstance(said.get("service"), str):
        source.wrong(path, value, "the name of a service, or {service: NAME, file: FILE}")
        return {}
    return {"service": said["service"], "file": _text(source, (*path, "file"), said.get("file")), "path": path}


def _env_files(source: Source, path: Path, value: object) -> dict[str, Any]:
    """``FILE``, ``[FILE]`` or ``[{path: FILE, required: false}]`` -> by file whether it must be there."""
    made = {}
    items = [value] if isinstance(value, str | Mapping) else _items(source, path, value)
    for index, item in enumerate(items):
        said = {"path": item} if isinstance(item, str) else item
        if not isinstance(said, Mapping) or not isinstance(said.get("path"), str):
            source.wrong((*path, index), item, "a file, or {path: FILE, required: false}")
            continue
        required = said.get("required", True) is not False
        made[str(source.folder / said["path"])] = {"required": required, "at": source.document.problem(path, "")}
    return made


def _expose(source: Source, path: Path, value: object) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for index, item in enumerate(_items(source, path, value)):
        text, _, protocol = _text(source, (*path, index), item).partition("/")
        try:
            made |= dict.fromkeys(map(str, _range(text)), protocol in ("", "tcp"))
        except ValueError as error:
            source.problem((*path, index), str(error))
    return {port: True for port, is_tcp in made.items() if is_tcp}


def _ports(source: Source, path: Path, value: object) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for index, item in enumerate(_items(source, path, value)):
        try:
            found = _long_port(item) if isinstance(item, Mapping) else _short_port(str(item))
        except ValueError as error:
            source.problem((*path, index), str(error))
            continue
        for port in found:
            made["{host}:{published}:{target}/{protocol}".format(**port)] = port
    return made


def _long_port(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "target" not in item:
        raise ValueError("a port without a target; right would be {target: 80, published: 8080}")
    published = item.get("published")
    text = f":{item['target']}" if published in (None, "") else f"{published}:{item['target']}"
    found = _short_port(f"{text.lstrip(':')}/{item.get('protocol', 'tcp')}")
    return [{**port, "host": str(item.get("host_ip") or "")} for port in found]


def _short_port(text: str) -> list[dict[str, Any]]:
    """``[[HOST:]PUBLISHED:]TARGET[/PROTOCOL]``, both of them single or ranges."""
    spec, _, protocol = text.partition("/")
    outer, _, inner = spec.rpartition(":")
    host, _, published = ("", "", outer) if ":" not in outer else outer.rpartition(":")
    targets = _range(inner)
    outside: Sequence[int | None] = list(_range(published)) if published else [None] * len(targets)
    if len(outside) != len(targets):
        if len(targets) > 1:
            raise ValueError(f"{text!r:.60}: the two ranges are not of one length; right would be 8000-8002:80-82")
        outside = [None]  # any of the range: only the engine knows which
    protocol = protocol or "tcp"
    return [
        {"host": host.strip("[]"), "published": one, "target": target, "protocol": protocol}
        for one, target in zip(outside, targets, strict=True)
    ]


def _range(text: str) -> range:
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 0 < first <= last < 65536 or last - first >= MOST_PORTS:
        raise ValueError(f"{text!r:.60} is no port; right would be like 80, 8080:80, 127.0.0.1:8080:80/tcp, 8000-8002")
    return range(first, last + 1)


FORMS: Mapping[str, Form] = {
    "image": _text,
    "build": _there,
    "container_name": _text,
    "scale": _count,
    "deploy": _deploy,
    "ports": _ports,
    "expose": _expose,
    "environment": _pairs,
    "env_file": _env_files,
    "labels": _pairs,
    "depends_on": _depends_on,
    "links": _links,
    "networks": _networks,
    "network_mode": _text,
    "healthcheck": _health,
    "profiles": _texts,
    "extends": _extends,
}
# What compose knows and simian has no use for.
_NO_USE = """
annotations attach blkio_config cap_add cap_drop cgroup cgroup_parent command configs cpu_count cpu_percent cpu_period
cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec develop device_cgroup_rules devices dns
dns_opt dns_search domainname entrypoint external_links extra_hosts gpus group_add hostname init ipc isolation
label_file logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models oom_kill_disable
oom_score_adj pid pids_limit platform post_start pre_stop privileged provider pull_policy read_only restart runtime
secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
LEFT_ALONE = frozenset(_NO_USE.split())
