"""A daemon of a small system that speaks docs/wire.md at its socket, in a thread: what it was asked is kept.

A run goes on until it is told to (``advance``, ``finish``) or is aborted; its record then goes into the history, as the
daemon's does. It is the web's neighbour in tests, no model of a run.
"""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simian.history import open_history, open_schedules

from ..report import records

Answer = dict[str, Any]
MARKUP = '<img src=x onerror="document.title=1">'
ZONES = {"east": ("east-a", "east-b"), "west": ("west-a", "west-b")}


def iso_now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def nodes(zone: str) -> list[Answer]:
    return [
        {
            "name": f"{service}-{zone}",
            "service": service,
            "role": "service",
            "state": "running",
            "address": "127.1.1.20:80",
        }
        for service in ("gateway", "members", "store")
    ]


def topology() -> Answer:
    regions = [
        {"name": region, "zones": [{"name": zone, "nodes": nodes(zone)} for zone in zones], "regional": []}
        for region, zones in ZONES.items()
    ]
    links = [
        {"name": f"store-{a}--store-{b}-a", "from": f"store-{a}", "to": f"store-{b}-a", "state": "open"}
        for a, b in (("east", "west"), ("west", "east"))
    ]
    return {"regions": regions, "elsewhere": [], "links": links, "hash": "5f0cbb6f2c1e9a41"}


def monkey(name: str, radius: str, text: str, *options: Answer) -> Answer:
    return {"name": name, "radius": radius, "help": text, "text": text, "options": list(options), "origin": "small"}


def option(name: str, kind: str, default: Any, text: str, choices: tuple[str, ...] = ()) -> Answer:
    known = {"name": name, "type": kind, "default": default, "choices": list(choices), "required": False}
    return {**known, "help": text, "text": text}


MONKEYS = [
    monkey(
        "chaos",
        "node",
        "Kill nodes.\n\nAny of them.",
        option("service", "str | None", None, "Only nodes of this service."),
        option("count", "int", 1, "How many."),
        option("node", "list[str]", [], "These."),
        option("hard", "bool", False, "At once."),
        option("how", "Optional[Literal['kill', 'pause']]", None, "What happens to them.", ("kill", "pause")),
        option("notice", "bool", True, "Wait until somebody has noticed."),
    ),
    monkey(
        "gorilla",
        "zone",
        "Take a zone down.",
        option("zone", "str | None", None, "The zone; else the die chooses."),
    ),
    monkey(MARKUP, "node", f"A monkey of {MARKUP}."),
]
EXPERIMENTS = [
    {
        "name": "members-survive-a-lost-node",
        "title": "members survive a lost node",
        "hypothesis": "When a members node dies, members keep starting streams.",
        "monkey": "chaos",
        "radius": None,
        "tags": ["members", "weekly"],
        "text": "experiment: members survive a lost node\nmonkey: chaos\n",
        "document": {"experiment": "members survive a lost node", "monkey": "chaos"},
    }
]


class SmallDaemon:
    """``asked``: every question, in order. ``events``: every event that was told."""

    def __init__(self, socket: Path, history: str) -> None:
        self.socket, self.history = socket, history
        self.asked: list[Answer] = []
        self.events: list[Answer] = []
        self.halted: str | None = None
        self.going: dict[str, Answer] = {}
        self.silent = False  # takes questions, and answers none
        self._names = (f"run{number:07}" for number in itertools.count(1))
        self._loop = asyncio.new_event_loop()
        self._listeners: set[asyncio.Queue[Answer]] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    # --- what a test does to it

    def open(self) -> None:
        self._thread.start()
        self._do(self._listen())

    def close(self) -> None:
        self._do(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def emit(self, event: str, run: str | None = None, **more: Any) -> None:
        self._do(self._emit(event, run, more))

    def advance(self, run: str, phase: str, for_s: float | None = None) -> None:
        self.going[run]["phase"] = phase
        self.emit("phase", run, phase=phase, for_s=for_s)

    def hurt(self, run: str, *targets: str) -> None:
        """Faults are in place, and users see it."""
        for number, target in enumerate(targets, 1):
            self.going[run]["faults"].append({"id": number, "kind": "kill", "target": target, "state": "injected"})
            self.emit("fault", run, id=number, kind="kill", target=target, state="injected")
            self.emit("evidence", run, id=number, held=True)

    def flow(self, run: str, seconds: int, start: float | None = None) -> None:
        """That much traffic, as if it had just been."""
        start = time.time() - seconds if start is None else start
        for second in range(seconds):
            rows = [
                {"home": home, "kind": "play", "ended": 40, "ok": 40, "failed": 0, "first_failed": 0, "shed": 0,
                 "served": {home: 38 + (second * 7) % 5}, "ways": {"direct": 40}, "latency": {"231": 40}}
                for home in ("east", "west")
            ]  # fmt: skip
            self.emit("slice", run, start=start + second, seconds=1.0, rows=rows)

    def finish(self, run: str, **facts: Any) -> None:
        self._do(self._end(run, facts))

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # --- the socket

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._answer, str(self.socket))

    async def _leave(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(await reader.readline())
            self.asked.append(question)
            if self.silent:
                await reader.read()
            elif question["do"] == "events":
                await self._tell_events(writer, int(question.get("after") or 0))
            else:
                writer.write(json.dumps(await self._answered(question)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _tell_events(self, writer: asyncio.StreamWriter, after: int) -> None:
        queue: asyncio.Queue[Answer] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            for event in [each for each in self.events if each["n"] > after]:
                queue.put_nowait(event)
            writer.write(b"\n")
            while True:
                writer.write(json.dumps(await queue.get()).encode() + b"\n")
                await writer.drain()
        finally:
            self._listeners.discard(queue)

    async def _answered(self, question: Answer) -> Answer:
        handler = getattr(self, "_" + question["do"].replace("-", "_"), None)
        if handler is None:
            return refusal("usage", f"there is no {question['do']!r}")
        try:
            return {"ok": await handler(question)}
        except PermissionError as error:
            return refusal("refused", str(error))
        except KeyError as error:
            return refusal("usage", f"no run is called {error.args[0]!r}")
        except LookupError as error:
            return refusal("usage", str(error))

    async def _emit(self, event: str, run: str | None, more: Answer) -> None:
        told = {"n": len(self.events) + 1, "at": iso_now(), "run": run, "event": event, **more}
        self.events.append(told)
        for queue in self._listeners:
            queue.put_nowait(told)

    # --- questions

    async def _metrics(self, question: Answer) -> str:  # type: ignore[return]
        return "# TYPE simian_halted gauge\nsimian_halted 0.0\n"

    async def _status(self, question: Answer) -> Answer:
        keys = ("run", "monkey", "experiment", "schedule", "phase", "started", "seed", "for_s", "note", "state")
        faults = [{"run": run, **fault} for run, going in self.going.items() for fault in going["faults"]]
        return {
            "system": "lab",
            "version": "0.1.0",
            "pid": 1,
            "since": records.moment(0),
            "halted": self.halted,
            "runs": [{key: going[key] for key in keys} for going in self.going.values()],
            "open": faults,
            "recover": False,
            "lab": False,
            "next": [{"schedule": "kong-tuesdays", "due": records.moment(86400), "opens": None}],
        }

    async def _topology(self, question: Answer) -> Answer:
        return topology()

    async def _traffic(self, question: Answer) -> Answer:
        return {"homes": {"east": {"east": 1.0}, "west": {"west": 1.0}}, "regions": {"east": {"weight": 50}}}

    async def _monkeys(self, question: Answer) -> list[Answer]:
        return MONKEYS

    async def _broken(self, question: Answer) -> list[Answer]:
        return [{"origin": "chaos/broken.py", "why": "NameError: name 'topolgy' is not defined"}]

    async def _preview(self, question: Answer) -> Answer:
        row = {"schedule": "kong-tuesdays", "due": records.moment(86400), "starts": records.moment(86400), "seed": 7}
        coming = [{**row, "targets": ["members-east-a"], "plan_hash": "90ab6b1fb2d34c77", "why_not": None}]
        return {"topology_hash": topology()["hash"], "days": question["days"], "coming": coming, "more": False}

    async def _experiments(self, question: Answer) -> list[Answer]:
        return EXPERIMENTS

    async def _plan(self, question: Answer) -> Answer:
        known = [monkey["name"] for monkey in MONKEYS]
        if question["monkey"] not in (*known, "kong", None):
            raise LookupError(f"no monkey is called {question['monkey']!r}; there are {', '.join(known)}")
        faults = [{"kind": "kill", "version": 1, "node": "members-east-a"}]
        return {
            "plan": {
                "monkey": question["monkey"] or "chaos",
                "options": question.get("options") or {},
                "seed": question.get("seed") or 7,
                "radius": "node",
                "may_reach": "node",
                "stages": [{"name": "blow", "settle_s": 1.0, "gate": True, "faults": faults}],
                "topology_hash": "5f0cbb6f2c1e9a41",
                "hash": "90ab6b1fb2d34c77",
            },
            "experiment": question.get("experiment"),
            "for_s": question.get("for_s") or 30.0,
        }

    async def _start(self, question: Answer) -> Answer:
        if self.halted:
            raise PermissionError(f"halted: {self.halted}; run 'simian resume'")
        run = next(self._names)
        started = iso_now()
        known = {key: question.get(key) for key in ("monkey", "experiment", "seed", "for_s", "note")}
        self.going[run] = {
            **known,
            "run": run,
            "schedule": None,
            "state": "alive",
            "phase": "starting",
            "started": started,
            "faults": [],
        }
        await self._emit("started", run, {"monkey": known["monkey"], "experiment": known["experiment"]})
        self._note(question, "run start", {"monkey": known["monkey"], "run": run})
        return {"run": run}

    async def _run(self, question: Answer) -> Answer:
        return self._record(question["run"])

    def _record(self, run: str) -> Answer:
        going = self.going[run]
        known = {key: going[key] for key in ("run", "monkey", "experiment", "seed", "for_s", "note", "started")}
        phases = [{"phase": going["phase"], "started": going["started"], "ended": None}]
        faults = [
            records.fault(each["id"], "kill", each["target"], undone=None, state="injected") for each in going["faults"]
        ]
        whole = records.record(run, "chaos", 7, outcome="running", verdict="unknown", ended=None)
        return {**whole, **known, "phases": phases, "faults": faults}

    async def _abort(self, question: Answer) -> Answer:
        run = question["run"]
        self._note(question, "run abort", {"run": run})
        reason = f"aborted: {question['reason']}"
        await self._end(run, {"outcome": "aborted", "verdict": "unknown", "reasons": [reason]})
        return {"run": run}

    async def _end(self, run: str, facts: Answer) -> None:
        whole = {"outcome": "completed", "verdict": "held", "recovery": "clean", **facts}
        record = {**self._record(run), "ended": iso_now(), **whole}
        for fault in record["faults"]:
            fault |= {"state": "undone", "undone": iso_now()}
        with open_history(self.history) as history:
            history.store(record)
        del self.going[run]
        await self._emit("end", run, whole)
        await self._emit("ended", run, whole)

    def _note(self, question: Answer, what: str, detail: Answer) -> None:
        with open_schedules(self.history) as store:
            store.note(round(time.time() * 1e6), question["by"], question.get("origin", "socket"), what, detail)

    async def _halt(self, question: Answer) -> Answer:
        self._note(question, "halt", {"reason": question["reason"]})
        self.halted = question["reason"]
        runs = list(self.going)
        for run in runs:
            await self._end(
                run, {"outcome": "aborted", "verdict": "unknown", "reasons": [f"aborted: halted: {self.halted}"]}
            )
        await self._emit("halted", None, {"reason": self.halted})
        return {"halted": self.halted, "runs": runs}

    async def _resume(self, question: Answer) -> Answer:
        self._note(question, "resume", {})
        was, self.halted = self.halted, None
        await self._emit("resumed", None, {})
        return {"halted": None, "resumed": was is not None}

    async def _schedules_changed(self, question: Answer) -> Answer:
        await self._emit("schedules", None, {})
        return {}


def refusal(kind: str, *reasons: str) -> Answer:
    return {"error": {"kind": kind, "reasons": list(reasons)}}


@contextmanager
def a_small_daemon(folder: Path) -> Iterator[SmallDaemon]:
    daemon = SmallDaemon(folder / "serve.sock", str(folder / "history.db"))
    daemon.open()
    try:
        yield daemon
    finally:
        daemon.close()
