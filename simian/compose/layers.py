"""Laying one description of a service on another, and the finished one as a ``Service``: pure."""

from collections.abc import Mapping
from typing import Any

from simian.compose.model import Port, Service
from simian.yamlfile import Tagged

RESET, OVERRIDE = "!reset", "!override"


def laid_on(below: Any, above: Any) -> Any:
    """Mappings are joined key by key, all else is replaced; ``!reset`` takes away, ``!override`` replaces whole."""
    if isinstance(above, Tagged):
        return bare(above)
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return bare(above)
    taken = {key for key, value in above.items() if isinstance(value, Tagged) and value.tag == RESET}
    made = {key: bare(value) for key, value in below.items() if key not in above}
    return made | {key: laid_on(below.get(key), value) for key, value in above.items() if key not in taken}


def bare(value: Any) -> Any:
    """The same without tags."""
    if isinstance(value, Tagged):
        return bare(value.value)
    if isinstance(value, Mapping):
        return {k: bare(v) for k, v in value.items() if not (isinstance(v, Tagged) and v.tag == RESET)}
    return value


def finished(name: str, made: Mapping[str, Any], environment: Mapping[str, str]) -> Service:
    """The service that this long form describes; ``environment`` is its own, files and all."""
    ports = [Port(**port) for port in made.get("ports", {}).values()]
    networks = {net: tuple(how.get("aliases", {})) for net, how in made.get("networks", {}).items()}
    mode = made.get("network_mode", "")
    replicas = made.get("deploy", {}).get("replicas", made.get("scale", 1))
    return Service(
        name=name,
        where=made["at"],
        image=made.get("image", ""),
        container_name=made.get("container_name", ""),
        replicas=replicas,
        ports=tuple(ports),
        expose=tuple(int(port) for port in made.get("expose", {})),
        environment=environment,
        labels={key: value or "" for key, value in made.get("labels", {}).items()},
        depends_on={other: how["condition"] for other, how in made.get("depends_on", {}).items()},
        links={alias: how["service"] for alias, how in made.get("links", {}).items()},
        networks={} if mode else networks or {"default": ()},
        network_mode=mode,
        test=_test(made.get("healthcheck", {}).get("test", [])),
    )


def _test(words: list[str]) -> tuple[str, ...]:
    return () if words[:1] == ["NONE"] else tuple(words)
