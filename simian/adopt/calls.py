"""Who calls whom in a compose project, found in environment values, ``links`` and ``depends_on``: pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from simian.adopt.questions import PORTS_OF_SCHEMES, Question, listens_on, question_of
from simian.compose import Project, Service
from simian.probe import nearest

HOST_KEYS = re.compile(r"(^|_)(HOST|HOSTNAME|HOSTS|SERVER|SERVERS|ADDR|ADDRESS|ENDPOINT|BROKER|BROKERS|URL|URI)$", re.I)

ALL = "all"
NAMED = "named by --proxy"


@dataclass(frozen=True, slots=True)
class Call:
    """One service calls another on a port. ``why``: what told so. ``name``: ``<source>--<target>``."""

    name: str
    source: str
    target: str
    port: int
    why: str
    question: Question | None = None


def calls_of(project: Project) -> tuple[list[Call], list[str]]:
    """Every call that shows, and a line for each that shows without its port."""
    found: dict[tuple[str, str, int], str] = {}
    unclear: dict[tuple[str, str], str] = {}
    for source in project.services.values():
        for target, port, why in _told(source, project):
            if port is not None:
                found.setdefault((source.name, target.name, port), why)
            else:
                unclear.setdefault((source.name, target.name), why)
    known = {(source, target) for source, target, _ in found}
    lines = [
        f"{project.services[source].where}: {source} calls {target} ({why}), on which port nothing tells; "
        f"`expose` the port of {target}, or write its address into the environment of {source}"
        for (source, target), why in unclear.items()
        if (source, target) not in known
    ]
    return [_called(key, why, list(found), project) for key, why in found.items()], lines


def calls_named(chosen: Sequence[str], known: Sequence[Call], project: Project) -> tuple[list[Call], list[str]]:
    """Calls that a person names and nothing tells of (``worker--redis``, ``worker--redis:6379``); what is wrong."""
    names = {call.name: call.port for call in known} | {ALL: 0}
    found: dict[str, Call] = {}
    problems = []
    for one in chosen:
        name, _, port = one.partition(":")
        if name in names and port in ("", str(names[name])):
            continue
        made = _from_name(name, port, project) if name not in names else f"is seen at port {names[name]}, not {port}"
        if isinstance(made, Call):
            found[name] = made
        else:
            unknown = f"--proxy: no link is called {name!r:.80}; {nearest(name, names)}"
            problems.append(f"--proxy {one:.80}: {made}" if made else unknown)
    return list(found.values()), problems


def _from_name(name: str, port: str, project: Project) -> Call | str:
    """The call; else why not, empty where it names no two services."""
    services = project.services
    ways = ((name[:at], name[at + 2 :]) for at in range(len(name)) if name.startswith("--", at))
    source, target = next((way for way in ways if way[0] != way[1] and {*way} <= {*services}), ("", ""))
    if not source:
        return ""
    number = int(port) if port.isdigit() else listens_on(services[target]) if not port else None
    if not number or number > 65535:
        return f"on which port nothing tells; right would be {name}:PORT" if not port else f"{port!r} is no port"
    return _called((source, target, number), NAMED, [(source, target, number)], project)


def _called(key: tuple[str, str, int], why: str, keys: list[tuple[str, str, int]], project: Project) -> Call:
    source, target, port = key
    several = len([one for one in keys if one[:2] == key[:2]]) > 1
    question = question_of(project.services[target])
    same = question if question is not None and question.port == port and question.scheme else None
    return Call(f"{source}--{target}" + (f"-{port}" if several else ""), source, target, port, why, same)


def _told(source: Service, project: Project) -> Iterator[tuple[Service, int | None, str]]:
    """What one service tells of its calls, the surest first; no port where only the target itself could say."""
    named: set[str] = set()
    for target in project.services.values():
        if target.name == source.name or project.finishes(target):
            continue
        names = [*target.names, *(alias for alias, service in source.links.items() if service == target.name)]
        for key, value in source.environment.items():
            for port in _ports_in(key, value, names, source.environment):
                named.add(target.name)
                yield target, port or listens_on(target), key
    for other in dict.fromkeys([*source.links.values(), *source.depends_on]):
        target = project.services[other]
        if other not in named and other != source.name and not project.finishes(target):
            yield target, listens_on(target), "links" if other in source.links.values() else "depends_on"


def _ports_in(key: str, value: str, names: list[str], environment: Mapping[str, str]) -> Iterator[int | None]:
    """Ports at which a value names one of these; ``None``: it names it without one."""
    if len(value) > 10_000:
        return
    for name in names:
        here = rf"(?<![\w.-]){re.escape(name)}(?![\w.-])(?![^\s/,]*@)"  # before an @ it is a user, with a password
        for found in re.finditer(rf"([a-z][a-z0-9+.]*)://(?:[^\s/@,]*@)?{here}(?::(\d{{1,5}}))?", value, re.I):
            yield int(found[2]) if found[2] else PORTS_OF_SCHEMES.get(found[1].lower().partition("+")[0])
        for found in re.finditer(rf"{here}:(\d{{1,5}})\b", value):
            yield int(found[1])
        if value == name and HOST_KEYS.search(key):
            beside = environment.get(HOST_KEYS.sub(lambda one: f"{one[1]}PORT", key), "")
            yield int(beside) if beside.isdigit() else None
