"""The record of a run, told from the journal's rows alone: the document that history keeps and reports are made of."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from simian.fault import fault_from_json
from simian.journal import Journal
from simian.recover import MEND

ASKED = ("system", "monkey", "experiment", "hypothesis", "note", "seed", "for_s")


def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC with microseconds; ``None`` stays."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def record_of(journal: Journal, run: str) -> dict[str, Any]:
    """The whole record of one run (the shape of docs/cli.md, JSON). Raises JournalError."""
    row = journal.run_row(run)
    request = json.loads(row["request"])
    plan = json.loads(row["plan"]) if row["plan"] else None
    checks = json.loads(row["steady_state"])
    asked = {name: request.get(name) for name in ASKED}
    return {
        "run": run,
        **asked,
        "options": plan["options"] if plan else request.get("options", {}),
        "simian": request.get("version", ""),
        "outcome": row["outcome"] or "running",
        "verdict": row["verdict"] or "unknown",
        "recovery": row["recovery"] or "clean",
        "reasons": json.loads(row["reasons"]),
        "notes": json.loads(row["notes"]),
        "started": iso(row["started"]),
        "ended": iso(row["ended"]),
        "topology_hash": plan["topology_hash"] if plan else None,
        "plan_hash": plan["hash"] if plan else None,
        "plan": {"stages": [_stage(stage) for stage in plan["stages"]] if plan else []},
        "exposure_assumed": request.get("exposure") == "assumed",
        "leashed": bool(request.get("leashed")),
        "phases": [
            {"phase": p["phase"], "started": iso(p["started"]), "ended": iso(p["ended"])} for p in journal.phases(run)
        ],
        "faults": [_fault(fault) for fault in journal.fault_rows(run)],
        "steady_state": [{key: value for key, value in c.items() if key not in ("where", "hint")} for c in checks],
        "weaknesses": [_weakness(check) for check in checks if check["verdict"] == "broken"],
        **_observed(journal.observations(run)),
    }


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    faults = [fault_from_json(data) for data in stage["faults"]]
    told = [{**f.to_json(), "target": f.target} for f in faults]
    return {"name": stage["name"], "faults": told, "settle_s": stage["settle_s"], "gate": stage["gate"]}


def _fault(row: Mapping[str, Any]) -> dict[str, Any]:
    fault = fault_from_json(json.loads(row["fault"]))
    evidence = json.loads(row["evidence"]) if row["evidence"] else None
    return {
        "id": row["n"],
        "kind": fault.kind,
        "target": fault.target,
        "stage": row["stage"],
        "injected": iso(row["injected"]),
        "undone": iso(row["undone"]),
        "state": row["state"],
        "evidence": evidence,
        "exposure": row["exposure"],
        "error": row["error"],
        "mend": MEND if row["state"] == "stuck" else None,
        "fields": fault.to_json(),
    }


def _weakness(check: Mapping[str, Any]) -> dict[str, Any]:
    return {"check": check["check"], "seen": check["seen"], "where": check.get("where"), "hint": check.get("hint")}


def _observed(observations: Iterable[tuple[float, str, Mapping[str, Any]]]) -> dict[str, Any]:
    seconds: dict[tuple[float, str], dict[str, Any]] = {}
    readings: list[dict[str, Any]] = []
    for at, kind, data in observations:
        if kind == "reading":
            readings.append({"at": at, **data})
        elif kind == "slice":
            for row in data["rows"]:
                _add(seconds, at, float(data["seconds"]), row)
    traffic = [seconds[key] for key in sorted(seconds)]
    return {"traffic": [{**second, "latency": _plain(second["latency"])} for second in traffic], "readings": readings}


def _plain(counts: Counter[str]) -> dict[str, int]:
    return {index: counts[index] for index in sorted(counts, key=int)}


def _add(seconds: dict[tuple[float, str], dict[str, Any]], at: float, length_s: float, row: Mapping[str, Any]) -> None:
    """Fold one row of a slice into its second and home region (a slice longer than a second stays whole)."""
    whole, home = float(int(at)), str(row["home"])
    counts = ("ended", "ok", "failed", "first_failed", "shed")
    fresh = {"at": whole, "seconds": max(1.0, length_s), "home": home, "served": Counter(), "latency": Counter()}
    second = seconds.setdefault((whole, home), fresh | dict.fromkeys(counts, 0))
    second["seconds"] = max(second["seconds"], length_s)
    second["served"].update(row["served"])
    second["latency"].update(row["latency"])
    for name in counts:
        second[name] += row[name]
