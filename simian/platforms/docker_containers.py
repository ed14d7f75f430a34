"""The containers of one system: those of a compose project, or those labelled; each as the engine tells it.

Labels: ``simian.enabled`` (``true``: may be hurt), ``simian.region``, ``simian.zone``, ``simian.service``,
``simian.role`` (``instrument``), ``simian.production`` (``true``: refused; labels such as ``environment=production``
count as well), ``simian.calls`` (services that it asks for its answers, with commas between),
``simian.ask``, ``simian.ask_behind``, ``simian.visit`` (addresses; one without a host, ``http://:8000/health``, is
asked at the container's own).
"""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from simian.errors import NoSuchTarget, UsageError
from simian.platforms.docker_engine import Engine, engine_from
from simian.topology import Node, NodeState

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
ENVIRONMENT = ("environment", "env", "stage")  # labels by which people tell their production from the rest
OURS = "simian.side"  # what we start ourselves: never a node
_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_STATES: Mapping[str, NodeState] = {"running": "running", "paused": "paused"}
_MOUNTS = Path("/proc/self/mountinfo")
_OWN = re.compile(r"/containers/([0-9a-f]{64})/hostname /etc/hostname ")


@dataclass(frozen=True, slots=True)
class Container:
    """One container; ``shape`` is what the engine's inspection gives."""

    shape: Mapping[str, Any]

    @property
    def id(self) -> str:
        """64 hex digits: another container of the same name has others."""
        return str(self.shape["Id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.shape["Name"]).lstrip("/")

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.shape["Config"]["Labels"] or {}

    @property
    def state(self) -> NodeState:
        """``stopped`` also while it waits to be restarted."""
        return _STATES.get(str(self.shape["State"]["Status"]), "stopped")

    @property
    def restarting(self) -> bool:
        """Whether it is down and the engine is about to restart it."""
        return bool(self.shape["State"]["Status"] == "restarting")

    @property
    def incarnation(self) -> str | None:
        """``<id>@<start>``; ``None`` while it is down."""
        if self.state == "stopped":
            return None
        return f"{self.id[:12]}@{self.shape['State']['StartedAt']}"

    @property
    def endpoints(self) -> Mapping[str, Mapping[str, Any]]:
        """Its place in each network, by the network's name."""
        return self.shape["NetworkSettings"]["Networks"] or {}

    @property
    def address(self) -> str:
        """The address that it was given for good; empty when it gets one at each start."""
        return next(filter(None, (_fixed(end) for _, end in sorted(self.endpoints.items()))), "")

    def at(self, label: str, host: str = "") -> str:
        """The address in a label; where that has no host it gets this one, else the container's own."""
        ends = [end for _, end in sorted(self.endpoints.items())]
        hosts = [host, *(end["IPAddress"] for end in ends), self.address, self.name]
        return self.labels.get(label, "").replace("://:", f"://{next(filter(None, hosts))}:", 1)

    def node(self) -> Node:
        """As a node of the topology."""
        labels = self.labels
        return Node(
            name=self.name,
            service=labels.get("simian.service") or labels.get(SERVICE) or self.name,
            region=labels.get("simian.region", ""),
            zone=labels.get("simian.zone") or None,
            role="instrument" if labels.get("simian.role") == "instrument" else "service",
            state=self.state,
            address=self.address,
            ask=self.at("simian.ask"),
            ask_behind=self.at("simian.ask_behind"),
            visit=self.at("simian.visit"),
            calls=tuple(filter(None, labels.get("simian.calls", "").replace(" ", "").split(","))),
            since=moment(self.shape["State"]["StartedAt"]) if self.incarnation else None,
            enabled=labels.get("simian.enabled") == "true",
            production=production_mark(labels),
        )


def production_mark(labels: Mapping[str, str]) -> str:
    """The first label by which it is production's, as ``key=value``; empty where none says so."""
    marks = {"simian.production": ("true",), **dict.fromkeys(ENVIRONMENT, ("production", "prod", "live"))}
    said = (f"{key}={labels[key]}" for key, words in marks.items() if labels.get(key, "").strip().lower() in words)
    return next(said, "")


def _fixed(end: Mapping[str, Any]) -> str:
    return str((end.get("IPAMConfig") or {}).get("IPv4Address") or "")


def moment(text: str) -> float | None:
    """The engine's time (nanoseconds, UTC or with offset) in seconds since the epoch; ``None`` for its *never*."""
    if text.startswith("0001-"):
        return None
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


class Containers:
    """What an engine has of one system: the containers of ``project``, or, without one, all with ``simian.enabled``."""

    def __init__(self, engine: Engine, project: str = "") -> None:
        self.engine, self.project = engine, project
        found = _OWN.search(_MOUNTS.read_text()) if _MOUNTS.exists() else None
        self._own = found.group(1) if found else ""

    def all(self) -> list[Container]:
        """Every one, running or not, in order of name."""
        label = f"{PROJECT}={self.project}" if self.project else "simian.enabled"
        listed = self.engine.do("list containers", lambda api: api.containers(all=True, filters={"label": label}))
        seen = (self._inspected(str(each["Id"])) for each in listed)
        return sorted((one for one in seen if one and self._belongs(one)), key=lambda one: one.name)

    def named(self, name: str) -> Container:
        """The one of this name. Raises NoSuchTarget with the names there are."""
        one = self._inspected(name) if _NAME.fullmatch(name) else None
        if one is None or one.name != name or not self._belongs(one):  # the engine takes the beginning of an id, too
            names = ", ".join(each.name for each in self.all()) or "none"
            raise NoSuchTarget(f"no container of {self} is called {name!r}; there are: {names}")
        return one

    def again(self, one: Container) -> Container:
        """The same container as it is now. Raises NoSuchTarget when it is gone."""
        return Container(self.engine.do(f"inspect {one.name}", lambda api: api.inspect_container(one.id)))

    def __str__(self) -> str:
        return f"project {self.project}" if self.project else "those labelled simian.enabled"

    def _inspected(self, name: str) -> Container | None:
        try:
            return Container(self.engine.do(f"inspect {name}", lambda api: api.inspect_container(name)))
        except NoSuchTarget:
            return None

    def _belongs(self, one: Container) -> bool:
        labels = one.labels
        ours = OURS in labels or one.id == self._own
        return not ours and (labels.get(PROJECT) == self.project if self.project else "simian.enabled" in labels)


def containers_from(port: str, settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> Containers:
    """By ``url`` and ``project``, which the drivers made later share. Raises UsageError."""
    project = settings.get("project", shared.get("docker project", ""))
    if not isinstance(project, str):
        raise UsageError(f"{port}.project is {project!r}; right would be the name of a compose project")
    shared.setdefault("docker project", project)
    return Containers(engine_from(settings, shared), project)


def enabled(containers: Containers, one: Container) -> Container:
    """The same, if it may be touched. Raises NoSuchTarget: for whoever has not opted in there is nothing here."""
    if one.labels.get("simian.enabled") != "true":
        hint = "label it simian.enabled=true"
        raise NoSuchTarget(f"{one.name} of {containers} has not opted in, so it is never touched; {hint}")
    return one
