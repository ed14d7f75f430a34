"""The override file of an adopted project (labels, proxies, links to them), and the proxies' own file: pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from simian.adopt.places import REGION, ZONE
from simian.adopt.plan import Adoption
from simian.adopt.questions import question_of
from simian.adopt.routes import API_PORT, IMAGE, NAME, ProxyService
from simian.adopt.writing import comment, flow

INSIDE = "/etc/simian-proxies.json"
_WHY_IN = "%s: the others are internal, where no port is published"


def override_text(plan: Adoption, command: str, up: str, files: Mapping[str, str]) -> str:
    """The file's text. ``up``: the line that starts the project with it. ``files``: the file of each proxy."""
    head = comment(f"What simian adds to {plan.project.name}, by `{command}`; your own files stay as they are. Use it:")
    head += f"#   {up}\n" + comment("Away with it, and all its traces: the same without it, and with --remove-orphans.")
    own = sorted({proxy.way_in for proxy in plan.proxies} & {NAME})
    for net in own:
        head += comment(
            f"Then `docker network rm {plan.project.name}_{net}`, as compose leaves networks where they are."
        )
    proxies = [line for proxy in plan.proxies for line in _proxy(proxy, files[proxy.name])]
    networks = ["networks:", *(f"  {net}: {{}}" for net in own)] if own else []
    return "\n".join([head, "services:", *_services(plan), *proxies, *networks, ""])


def proxies_text(proxy: ProxyService) -> str:
    """What one Toxiproxy starts with."""
    return json.dumps(proxy.config, indent=2) + "\n"


def _services(plan: Adoption) -> Iterator[str]:
    links: dict[str, list[str]] = {}
    for proxy in plan.proxies:
        for route in proxy.routes:
            links.setdefault(route.call.source, []).extend(f"{proxy.name}:{name}" for name in route.names)
    for name in plan.project.services:
        labels = _labels(plan, name)
        if labels or name in links:
            yield f"  {flow(name)}:"
        if labels:
            yield f"    labels: {flow(_kept(labels))}"
        if name in links:
            yield f"    links: {flow(_kept(list(dict.fromkeys(links[name]))))}"


def _labels(plan: Adoption, name: str) -> dict[str, str]:
    """Those that the user's own file does not have."""
    service, place, question = plan.project.services[name], plan.places[name], None
    if name in plan.enabled:
        question = question_of(service)
    wanted = {"simian.enabled": "true" if name in plan.enabled else "false"}
    wanted |= {REGION: place.region} | ({ZONE: place.zone} if place.zone else {})
    if question is not None and question.scheme:
        wanted["simian.ask"] = question.at("")
    return {key: value for key, value in wanted.items() if key not in service.labels}


def _proxy(proxy: ProxyService, file: str) -> Iterator[str]:
    labels = {"simian.role": "instrument", "simian.enabled": "true"}
    yield f"  {proxy.name}:"
    yield f"    image: {flow(IMAGE)}"
    yield f"    command: {flow(['-host=0.0.0.0', f'-config={INSIDE}'])}"
    yield "    environment: {LOG_LEVEL: info}"  # else it tells of every byte
    yield f"    volumes: {flow(_kept([f'./{file}:{INSIDE}:ro']))}"
    yield f"    ports: {flow([f'127.0.0.1:{proxy.api_port}:{API_PORT}'])}"
    yield f"    networks: {flow(_kept(list(proxy.networks)))}" + (
        f"  # {_WHY_IN % proxy.way_in}" if proxy.way_in else ""
    )
    yield f"    labels: {flow(labels)}"
    yield "    restart: unless-stopped"


def _kept(value: Any) -> Any:
    """Dollar signs doubled: compose would take them for variables."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: _kept(inner) for key, inner in value.items()}
    return [_kept(one) for one in value]
