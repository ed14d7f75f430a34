"""The record of a run, told from the journal's rows alone: the document that history keeps and reports are made of."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simian.fault import fault_from_json
from simian.journal import Journal
from simian.recover import MEND

ASKED = ("system", "monkey", "experiment", "experiment_file", "hypothesis", "note", "seed", "for_s", "schedule")
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
        "steady_state": [_check(check, _of_users(request)) for check in checks],
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


def _check(check: Mapping[str, Any], of_users: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    told = {key: value for key, value in check.items() if key not in ("where", "hint")}
    return {**told, **of_users.get(str(check["check"]), {})}


def _of_users(request: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By check: which of the users' numbers it judged, and of whom; so that a picture can be drawn of it."""
    probes = {check["name"]: check["probe"] for check in request.get("checks") or ()}
    return {
        name: {key: probe[key] for key in ("users", "kind", "home", "region") if key in probe}
        for name, probe in probes.items()
        if "users" in probe
    }


def _weakness(check: Mapping[str, Any]) -> dict[str, Any]:
    return {"check": check["check"], "seen": check["seen"], "where": check.get("where"), "hint": check.get("hint")}


def _observed(
    observations: Iterable[tuple[float, str, Mapping[str, Any]]], regions: Mapping[str, str]
) -> dict[str, Any]:
    seconds: dict[int, _Second] = {}
    told: dict[str, list[dict[str, Any]]] = {"reading": [], "moment": [], "backlog": []}
    for at, kind, data in observations:
        if kind in told:
            told[kind].append({"at": at, **data})
        elif kind == "slice":
            seconds.setdefault(int(at), _Second(at, at)).add(at, data, regions)
    ordered = [seconds[number] for number in sorted(seconds)]
    observed = {
        "traffic": [row for second in ordered for row in second.traffic()],
        "arrivals": [row for second in ordered for row in second.told(second.arrived, ANSWERED)],
        "caches": [row for second in ordered for row in second.told(second.read, HIT)],
    }
    return observed | {"readings": told["reading"], "moments": told["moment"], "backlog": told["backlog"]}


@dataclass
class _Second:
    """The slices that began in one second, from the first one's start to the last one's end, so that rates are exact.

    A slice longer than a second stays whole.
    """

    start: float
    end: float
    homes: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrived: dict[str, list[int]] = field(default_factory=dict)  # by region
    read: dict[str, list[int]] = field(default_factory=dict)

    def add(self, at: float, data: Mapping[str, Any], regions: Mapping[str, str]) -> None:
        """Fold a slice in; nodes of no known region are left out."""
        self.start, self.end = min(self.start, at), max(self.end, at + float(data["seconds"]))
        for row in data["rows"]:
            self._add(row)
        for sums, name in ((self.arrived, "arrived"), (self.read, "caches")):
            for node, pair in (data.get(name) or {}).items():
                if node in regions:
                    known = sums.get(regions[node], [0, 0])
                    sums[regions[node]] = [one + more for one, more in zip(known, pair, strict=True)]

    def _add(self, row: Mapping[str, Any]) -> None:
        home = str(row["home"])
        fresh: dict[str, Any] = {name: Counter() for name in BY_NAME} | dict.fromkeys(COUNTS, 0)
        sums = self.homes.setdefault(home, fresh)
        for name in BY_NAME:
            sums[name].update(row.get(name) or {})
        for name in COUNTS:
            sums[name] += row[name]

    @property
    def _when(self) -> dict[str, float]:
        return {"at": self.start, "seconds": round(self.end - self.start, 6)}

    def traffic(self) -> list[dict[str, Any]]:
        """A row for each home."""
        return [
            {**self._when, "home": home, **sums, "latency": _plain(sums["latency"])}
            for home, sums in sorted(self.homes.items())
        ]

    def told(self, sums: Mapping[str, Sequence[int]], names: tuple[str, str]) -> list[dict[str, Any]]:
        """A row for each region."""
        return [
            {**self._when, "region": region, **dict(zip(names, sums[region], strict=True))} for region in sorted(sums)
        ]


def _plain(counts: Counter[str]) -> dict[str, int]:
    return {index: counts[index] for index in sorted(counts, key=int)}
