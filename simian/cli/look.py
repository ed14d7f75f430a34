"""Commands that only look: status, topology, doctor."""

from collections.abc import Mapping
from typing import Any

import typer

from simian.cli.context import System, load_system, server_of
from simian.cli.output import print_json, print_table
from simian.cli.ways import ways_of_links
from simian.errors import JournalError, SimianError
from simian.guardian import is_dead
from simian.journal import OPEN_STATES
from simian.record import iso
from simian.snapshot import topology_of
from simian.topology import Node, Topology
from simian.verdict import UNKNOWN


def status(ctx: typer.Context) -> int:
    """Runs now, faults in place or doubtful, halted?"""
    told = status_told(server_of(ctx.obj).get("/status")) if ctx.obj.server else status_of(load_system(ctx.obj))
    if ctx.obj.json:
        print_json(told)
        return 0
    print(f"halted: {told['halted']}" if told["halted"] else "not halted")
    for run in told["runs"]:
        print(f"run {run['run']}: {run['monkey'] or run['experiment']}, {run['phase']}, {run['state']}")
    for fault in told["faults"]:
        print(f"  {fault['state']}: {fault['kind']} of {fault['target']} (run {fault['run']})")
    if not told["runs"] and not told["faults"]:
        print("no run, no fault in place")
    if told["recover"]:
        print('a dead run left faults in place; run "simian recover"')
    return 0


def status_of(system: System) -> dict[str, Any]:
    """Halt lever, runs that have not ended, faults in place."""
    import json

    journal = system.journal()
    runs, faults, left = [], [], False
    hurt = {row["run"]: row for row in journal.with_open_faults()}
    for row in [*journal.unfinished(), *(row for row in hurt.values() if row["ended"] is not None)]:
        request, dead = json.loads(row["request"]), row["ended"] is not None or is_dead(row)
        phases = journal.phases(row["run"])
        left = left or (dead and row["run"] in hurt)
        who = {"run": row["run"], "monkey": request["monkey"], "experiment": request["experiment"]}
        phase = phases[-1]["phase"] if phases else "starting"
        state = "stuck" if row["ended"] is not None else "dead" if dead else "alive"
        runs.append({**who, "phase": phase, "state": state, "started": iso(row["started"])})
        for entry in journal.still_open(row["run"]):
            assert entry.state in OPEN_STATES
            fault = {"id": entry.n, "kind": entry.fault.kind, "target": entry.fault.target, "state": entry.state}
            faults.append({"run": entry.run, **fault})
    return {"halted": system.lever.why_pulled() or None, "runs": runs, "faults": faults, "recover": left}


def status_told(told: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON shape of docs/cli.md, of what a daemon says, which is more."""
    keys = ("run", "monkey", "experiment", "phase", "state", "started")
    runs = [{key: run.get(key) for key in keys} for run in told["runs"]]
    return {"halted": told["halted"], "runs": runs, "faults": told["open"], "recover": bool(told.get("recover"))}


def topology(ctx: typer.Context) -> int:
    """Regions, zones, nodes and links as seen now."""
    told = server_of(ctx.obj).get("/topology") if ctx.obj.server else _topology_here(load_system(ctx.obj))
    if ctx.obj.json:
        print_json(told)
        return 0
    print_table(("REGION", "ZONE", "NODE", "SERVICE", "ROLE", "STATE", "ADDRESS"), _rows(told))
    if told["links"]:
        print()
        rows = [[link[key] for key in ("name", "from", "to", "state")] for link in told["links"]]
        print_table(("LINK", "FROM", "TO", "STATE"), rows)
    return 0


def _topology_here(system: System) -> dict[str, Any]:
    return topology_told(topology_of(system.world(), system.name))


def _rows(told: Mapping[str, Any]) -> list[list[str]]:
    """Of each node what the table has, in its order: instruments last."""
    found = [(node.get("region"), node.get("zone"), node) for node in told.get("elsewhere", ())]
    for region in told["regions"]:
        found += [(region["name"], zone["name"], node) for zone in region["zones"] for node in zone["nodes"]]
        found += [(region["name"], None, node) for node in region["regional"]]
    found.sort(key=lambda each: (each[2]["role"] == "instrument", each[0] or "", each[1] or "", each[2]["name"]))
    keys = ("name", "service", "role", "state", "address")
    return [[region or "-", zone or "-", *(node[key] for key in keys)] for region, zone, node in found]


def _ordered(seen: Topology) -> list[Node]:
    return sorted(seen.nodes, key=lambda n: (n.role == "instrument", n.region, n.zone or "", n.name))


def _node_told(node: Node) -> dict[str, Any]:
    return {name: getattr(node, name) for name in ("name", "service", "role", "state", "address")}


def topology_told(seen: Topology) -> dict[str, Any]:
    """The JSON shape of docs/cli.md."""
    regions = []
    for region in seen.regions:
        zones = [
            {
                "name": z.name,
                "nodes": [_node_told(n) for n in _ordered(seen) if (n.zone, n.region) == (z.name, z.region)],
            }
            for z in region.zones
        ]
        regional = [_node_told(n) for n in _ordered(seen) if n.region == region.name and n.zone is None]
        regions.append({"name": region.name, "zones": zones, "regional": regional})
    links = [{"name": k.name, "from": k.source, "to": k.target, "state": k.state} for k in seen.links]
    placed = {(zone.name, zone.region) for zone in seen.zones} | {(None, region.name) for region in seen.regions}
    others = [node for node in _ordered(seen) if (node.zone, node.region) not in placed]
    elsewhere = [{**_node_told(node), "region": node.region, "zone": node.zone} for node in others]
    return {"regions": regions, "elsewhere": elsewhere, "links": links, "hash": seen.hash}


def doctor(ctx: typer.Context) -> int:
    """Is everything reachable, safe, marked; where things are kept."""
    system = load_system(ctx.obj)
    findings = [*_kept(system), *_reached(system)]
    if ctx.obj.json:
        print_json({"findings": findings})
    else:
        print_table(("", "WHAT", "FINDING"), [("ok" if f["ok"] else "!!", f["what"], f["finding"]) for f in findings])
    return 0 if all(f["ok"] for f in findings) else UNKNOWN


def _finding(what: str, finding: object, ok: bool = True) -> dict[str, Any]:
    return {"what": what, "finding": str(finding), "ok": ok}


def _kept(system: System) -> list[Mapping[str, Any]]:
    state = system.state
    try:
        pulled = system.lever.why_pulled()
        lever = _finding("halt lever", (pulled and f"pulled: {pulled}") or "not pulled", not pulled)
    except JournalError as error:
        lever = _finding("halt lever", error, ok=False)
    return [
        _finding("configuration", system.path),
        _finding("state folder", state.path),
        _finding("journal", state.journal),
        _finding("history", system.history_place),
        lever,
    ]


def unasked(seen: Topology) -> str:
    """Those that cannot be asked, so that nobody takes them for well; instruments aside."""
    names = sorted(node.name for node in seen.nodes if not node.ask and node.role == "service")
    return f", but for {', '.join(names)}, which cannot be asked" if names else ""


def _reached(system: System) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    try:
        world = system.world()
        seen = topology_of(world, system.name)
        answers = {node.name: world.observer.ask(node) for node in seen.nodes if node.ask}
        silent = sorted(name for name, answer in answers.items() if not answer.ok)
        heard = f"all of them{unasked(seen)}" if not silent else f"silent: {', '.join(silent)}"
        ours = [f"{mark} on {at}" for at, mark in [*world.network.marks(), *world.steering.marks()]]
        found.append(_finding("nodes", f"{len(seen.nodes)} in {len(seen.regions)} regions"))
        found.append(_finding("answer", heard, not silent))
        found.append(_finding("links", f"{len(seen.links)}"))
        for name, text, ok in ways_of_links(world, system.settings.get("network") or {}):
            found.append(_finding(f"link {name}", text, ok))
        found.append(_finding("request filters", f"{len(world.requests.nodes())} services"))
        found.append(_finding("steering", world.steering.unsupported("shift") or f"homes: {', '.join(seen.shares)}"))
        regions = world.data.regions()
        found.append(
            _finding("data", f"written to in {', '.join(regions)}" if regions else "nothing can be said of it")
        )
        found.append(_finding("faults of ours", ", ".join(ours) or "none in place", not ours))
    except SimianError as error:
        found.append(_finding("reached", error, ok=False))
    for origin, why in system.monkeys().broken:
        found.append(_finding("plug-in", f"{origin}: {why}", ok=False))
    try:
        told = status_of(system)
        text = 'a dead run left faults in place; run "simian recover"' if told["recover"] else "nothing left behind"
        found.append(_finding("runs", text, not told["recover"]))
    except SimianError as error:
        found.append(_finding("journal", error, ok=False))
    return found
