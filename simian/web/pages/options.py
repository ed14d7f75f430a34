"""The options of monkeys as fields of a form, and what somebody wrote in them."""

from collections.abc import Iterable, Mapping
from typing import Any

from simian.errors import SimianError
from simian.web.tools import Tools

Option = Mapping[str, Any]
_ASK_FOR = {"region": "regions", "to": "regions", "zone": "zones", "service": "services", "node": "nodes",
            "link": "links"}  # fmt: skip


def given_options(
    options: Iterable[Option], texts: Mapping[str, str], prefix: str, problems: list[str]
) -> dict[str, Any]:
    """Of these options what the form's texts give, by name, as values.

    A box that nobody touched is left out; what was written is not, though it be the monkey's default: that of
    simian.yaml may be another.
    """
    found = {}
    for option in options:
        name, text = str(option["name"]), texts.get(f"{prefix}{option['name']}", "").strip()
        value = _value(text, option, problems)
        if value is not None and not (isinstance(value, bool) and value == option.get("default")):
            found[name] = value
    return found


def _value(text: str, option: Option, problems: list[str]) -> Any:
    """None: nothing was written. A list is written with commas; a box is on, or off."""
    kind, name = str(option.get("type") or ""), str(option["name"])
    if not text:
        return None
    if kind.startswith("bool"):
        return text == "on"
    if "list" in kind.lower():
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind.startswith("int"):
        return number_of(text, name, int, problems)
    return number_of(text, name, float, problems) if kind.startswith("float") else text


def number_of(text: str, name: str, kind: type[int] | type[float], problems: list[str]) -> float | int | None:
    """The number that was written; else what is wrong with it is one problem more."""
    try:
        return kind(text)
    except ValueError:
        problems.append(f"{name}: {text[:40]!r} is no number")
        return None


async def proposed(tools: Tools) -> dict[str, list[str]]:
    """By the name of an option, what the system has for it; nothing where the daemon is away: it may be written."""
    try:
        topology = await tools.seen("topology")
    except SimianError:
        return {}
    regions = topology.get("regions") or ()
    zones = [zone for region in regions for zone in region.get("zones") or ()]
    nodes = [node for each in zones for node in each["nodes"]]
    nodes += [node for region in regions for node in region.get("regional") or ()]
    nodes = [node for node in nodes if node.get("role") != "instrument"]
    names = {
        "regions": [str(region["name"]) for region in regions],
        "zones": [str(zone["name"]) for zone in zones],
        "services": sorted({str(node["service"]) for node in nodes}),
        "nodes": [str(node["name"]) for node in nodes],
        "links": [str(link["name"]) for link in topology.get("links") or ()],
    }
    return {option: names[kind] for option, kind in _ASK_FOR.items() if names[kind]}
