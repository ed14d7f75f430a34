"""A compose project as simian needs to know it: frozen values, every short form made long."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a container, and where it is published: ``published`` is ``None`` for one that the engine chooses."""

    target: int
    published: int | None = None
    host: str = ""
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the project.

    ``where``: ``file:line`` of its name. ``depends_on``: service -> condition. ``links``: name it is called by here ->
    service. ``networks``: network -> further names it has there. ``test``: the health check's command, empty without
    one; its first word is ``CMD`` or ``CMD-SHELL``.
    """

    name: str
    where: str = ""
    image: str = ""
    container_name: str = ""
    replicas: int = 1
    ports: tuple[Port, ...] = ()
    expose: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    depends_on: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"default": ()})
    network_mode: str = ""
    test: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which others may call it: its own, its container's, those in its networks."""
        own = [self.name, self.container_name, *(alias for aliases in self.networks.values() for alias in aliases)]
        return tuple(dict.fromkeys(filter(None, own)))

    @property
    def inner_ports(self) -> tuple[int, ...]:
        """TCP ports that it is known to listen on."""
        return tuple(dict.fromkeys([*(port.target for port in self.ports if port.protocol == "tcp"), *self.expose]))


@dataclass(frozen=True)
class Project:
    """The services that would run. ``folder``: that of the first file. ``remarks``: what was left out or assumed.

    ``internal``: networks that nothing outside reaches; what is in no other publishes no port.
    """

    name: str
    folder: Path
    services: Mapping[str, Service]
    remarks: tuple[str, ...] = ()
    internal: frozenset[str] = frozenset()

    def container(self, service: Service) -> str:
        """The name of its (first) container, as ``docker compose`` gives it."""
        return service.container_name or f"{self.name}-{service.name}-1"

    def finishes(self, service: Service) -> bool:
        """Whether others wait for its end: it does its work once, and is no part of the system that runs."""
        waits = (other.depends_on.get(service.name) for other in self.services.values())
        return "service_completed_successfully" in waits
