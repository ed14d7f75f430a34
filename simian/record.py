"""The record of a run, told from the journal's rows alone: the document that history keeps and reports are made of."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from simian.fault import fault_from_json
from simian.journal import Journal
from simian.recover import MEND

ASKED = ("system", "monkey", "experiment", "hypothesis", "note", "seed", "for_s")
COUNTS = ("ended", "ok", "failed", "first_failed", "shed")  # of a row of the users' feed
BY_NAME = ("served", "ways", "latency")
ANSWERED = ("answered", "unanswered")  # tries of users at gateways
HIT = ("hits", "misses")


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
    figures = json.loads(row.get("figures") or "{}")
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
        "figures": figures,
        **_observed(journal.observations(run), figures.get("regions") or {}),
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


def _observed(
    observations: Iterable[tuple[float, str, Mapping[str, Any]]], regions: Mapping[str, str]
) -> dict[str, Any]:
    seconds, arrivals, caches = _Seconds(), _Counts(regions, ANSWERED), _Counts(regions, HIT)
    told: dict[str, list[dict[str, Any]]] = {"reading": [], "moment": [], "backlog": []}
    for at, kind, data in observations:
        if kind in told:
            told[kind].append({"at": at, **data})
        elif kind == "slice":
            seconds.add(at, data)
            arrivals.add(at, data["seconds"], data.get("arrived"))
            caches.add(at, data["seconds"], data.get("caches"))
    observed = {"traffic": seconds.rows(), "arrivals": arrivals.rows(), "caches": caches.rows()}
    return observed | {"readings": told["reading"], "moments": told["moment"], "backlog": told["backlog"]}


class _Seconds:
    """What users saw by second and home region; a slice longer than a second stays whole."""

    def __init__(self) -> None:
        self._rows: dict[tuple[float, str], dict[str, Any]] = {}

    def add(self, at: float, data: Mapping[str, Any]) -> None:
        """Fold a slice into its second."""
        for row in data["rows"]:
            self._add(float(int(at)), float(data["seconds"]), row)

    def _add(self, whole: float, length_s: float, row: Mapping[str, Any]) -> None:
        home = str(row["home"])
        fresh: dict[str, Any] = {"at": whole, "seconds": max(1.0, length_s), "home": home}
        fresh |= {name: Counter() for name in BY_NAME} | dict.fromkeys(COUNTS, 0)
        second = self._rows.setdefault((whole, home), fresh)
        second["seconds"] = max(second["seconds"], length_s)
        for name in BY_NAME:
            second[name].update(row.get(name) or {})
        for name in COUNTS:
            second[name] += row[name]

    def rows(self) -> list[dict[str, Any]]:
        """All of them, in order."""
        return [{**self._rows[key], "latency": _plain(self._rows[key]["latency"])} for key in sorted(self._rows)]


class _Counts:
    """Pairs of counts of nodes, added up by second and by the nodes' region; nodes of no known region are left out."""

    def __init__(self, regions: Mapping[str, str], names: tuple[str, str]) -> None:
        self._regions, self._names = regions, names
        self._rows: dict[tuple[float, str], dict[str, Any]] = {}

    def add(self, at: float, length_s: float, counts: Mapping[str, Sequence[int]] | None) -> None:
        """Fold the counts of a slice into its second."""
        for node, pair in (counts or {}).items():
            if node in self._regions:
                self._add(float(int(at)), float(length_s), self._regions[node], pair)

    def _add(self, whole: float, length_s: float, region: str, pair: Sequence[int]) -> None:
        fresh = {"at": whole, "seconds": max(1.0, length_s), "region": region, **dict.fromkeys(self._names, 0)}
        second = self._rows.setdefault((whole, region), fresh)
        second["seconds"] = max(second["seconds"], length_s)
        for name, count in zip(self._names, pair, strict=True):
            second[name] += count

    def rows(self) -> list[dict[str, Any]]:
        """All of them, in order."""
        return [self._rows[key] for key in sorted(self._rows)]


def _plain(counts: Counter[str]) -> dict[str, int]:
    return {index: counts[index] for index in sorted(counts, key=int)}
