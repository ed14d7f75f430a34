"""What load generators tell of a server that stands still: ours at the rate of a plan, hey at the same rate.

A server is frozen for a known time while both ask it. The truth is that of users who come at the rate whatever the
server does: each waits from when it meant to begin until the server goes on. hey's workers wait with the server, so
that it leaves out most who would have waited.
"""

import asyncio
import math
import os
import random
import signal
import subprocess
import time
from collections.abc import Coroutine, Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple, TypeVar

from loopback import HOST, server, url
from peers import Goal, Report, alone, compared, interleaved, number, used

from simian.histogram import Histogram
from simian.load import dnswire
from simian.load.client import Pool
from simian.load.devices import Arrival, arrivals, devices
from simian.load.engine import Engine
from simian.load.journey import Means, Patience
from simian.load.loop import new_event_loop
from simian.load.resolver import Resolver
from simian.load.system import Gateway, System
from simian.load.tally import Tally

STALLS_S, QUICK_STALLS_S = (0.1, 0.5, 2.0, 10.0), (0.5,)
BEFORE_S, AROUND_S = 1.0, 3.0  # a run begins so long before its stall, and is so much longer than it
RATE = 200  # requests a second, as a lab's users have it
WORKERS = 4  # hey's
FAST, FAST_S, QUICK_FAST_S = 1_000, 5.0, 0.5  # the rate at which lateness is measured, and for how long
NAME = "api.geo.lab"
BURST = (
    "When the server goes on, those who waited are answered one after the other: two or three ms for twenty, more on a "
    "busy machine. The truth does not count them, and of a short stall they are much."
)
WITHIN = Goal(2.0, of="ours", why=BURST)  # % of the truth
SLICES = (
    "Timers are on time, as half of the starts show. Who else runs on the core when one ends is not stopped at once, "
    "be it the server: a slice of the scheduler is some ms. At real-time priority (`chrt -r 1`), where there are none, "
    "it was 1.2 ms on a machine that was busy."
)
PUNCTUAL = Goal(2.0, of="ours", why=SLICES)  # ms

T = TypeVar("T")


def as_users(body: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop as the users' process has it."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(body)


class _Names:
    async def ask(self, name: str, subnet: str) -> dnswire.Answer:
        return dnswire.Answer(1, name, 0, (dnswire.Record(name, dnswire.TYPE_A, 3600, HOST),))


def plan_of(rate: float, seconds: float, seed: int) -> list[Arrival]:
    """What the users' die makes of it."""
    endless = arrivals(devices({"east": "198.18", "west": "198.19"}, 20), rate, random.Random(seed))
    return list(takewhile(lambda arrival: arrival.at_s < seconds, endless))


async def follow(plan: Sequence[Arrival], port: int) -> Tally:
    """The users on that plan, with patience for any stall."""
    here = System(("", 0), NAME, ("", 0), {HOST: Gateway("server", HOST, port)}, {}, 0)
    tally, pool, patience = Tally(), Pool(), Patience(deadline_s=60.0, try_s=60.0)
    resolver = Resolver(_Names(), asyncio.get_running_loop().time)
    await Engine(Means(here, resolver, pool, patience), tally, bound=len(plan)).run(iter(plan))
    pool.close()
    return tally


async def freeze(process: subprocess.Popen[str], seconds: float) -> tuple[float, float]:
    """Stop the server in a while for so long; when that was, in the loop's time."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(BEFORE_S)
    os.kill(process.pid, signal.SIGSTOP)
    begin = loop.time()
    await asyncio.sleep(seconds)
    os.kill(process.pid, signal.SIGCONT)
    return begin, loop.time()


def hey_words(port: int, rate: int, seconds: float) -> list[str]:
    """The options of hey for that rate in all."""
    return f"-z {seconds:g}s -c {WORKERS} -q {rate / WORKERS:g} -t 60 {url(port)}".split()


async def hey_ms(program: str | None, port: int, seconds: float) -> float | None:
    """The p99 that hey tells of the same time, at the same rate."""
    if program is None:
        return None
    words = hey_words(port, RATE, seconds)
    process = await asyncio.create_subprocess_exec(program, *words, stdout=subprocess.PIPE)
    printed, _ = await process.communicate()
    lines = [line.split() for line in printed.decode().splitlines() if line.strip().startswith("99%")]
    return 1000 * float(lines[0][2])  # 99% in 0.0123 secs


def truth_ms(intended_s: Sequence[float], begin_s: float, end_s: float) -> tuple[float, float]:
    """p99 (nearest rank) of the waits of users who mean to begin then, by a server that answers in no time.

    It is known to one request, least and greatest: one that came right at the stall may have been answered or not.
    """
    waits = sorted(1000 * (end_s - at) if begin_s <= at < end_s else 0.0 for at in intended_s)
    rank = math.ceil(0.99 * len(waits))
    return waits[rank - 2], waits[rank]


def told_ms(tally: Tally) -> float:
    """The p99 of all that a tally holds."""
    whole = Histogram()
    for row in tally.cut(0.0, 1.0)["rows"]:
        whole.merge(Histogram.from_json(row["latency"]))
    return whole.quantile(0.99)


def off_percent(told: float, least: float, greatest: float) -> float:
    """How far from the truth, which is between these."""
    nearest = min(max(told, least), greatest)
    return 100 * abs(told - nearest) / nearest


async def one_stall(program: str | None, stall_s: float, seed: int) -> tuple[float, float | None]:
    """How far ours and hey are off the truth, in %, about the same stall of one server."""
    seconds = stall_s + AROUND_S
    plan = plan_of(RATE, seconds, seed)
    with server() as (process, port):
        zero = asyncio.get_running_loop().time()
        window, tally, hey = await asyncio.gather(
            freeze(process, stall_s), follow(plan, port), hey_ms(program, port, seconds)
        )
    begin_s, end_s = (edge - zero for edge in window)
    evenly = [index / RATE for index in range(int(seconds * RATE))]
    ours = off_percent(told_ms(tally), *truth_ms([each.at_s for each in plan], begin_s, end_s))
    return ours, hey if hey is None else off_percent(hey, *truth_ms(evenly, begin_s, end_s))


class Beat(NamedTuple):
    """Of a plan at ``FAST``: how much longer than it the whole took; how late starts were; CPU a request."""

    longer_percent: float
    half_ms: float
    late_ms: float
    cpu_us: float


async def beat(seconds: float, seed: int) -> Beat:
    """The users as they are, at a higher rate."""
    plan, loop = plan_of(FAST, seconds, seed), asyncio.get_running_loop()
    with server() as (_, port):
        begin, cpu = loop.time(), time.process_time()
        tally = await follow(plan, port)
        taken_s, cpu_s = loop.time() - begin, time.process_time() - cpu
    late_ms = tally.cut(begin, taken_s)["late_ms"]
    longer_percent = off_percent(taken_s, plan[-1].at_s, plan[-1].at_s)
    return Beat(longer_percent, late_ms["p50"], late_ms["p99"], 1e6 * cpu_s / len(plan))


def hey_cpu_us(program: str, seconds: float) -> float:
    """What hey takes for a request at that rate."""
    with server() as (_, port):
        taken = used(program, *hey_words(port, FAST, seconds))
    return 1000 * taken.cpu_ms / number(r"\[200\]\s+(\d+) responses", taken.text)


def measure(report: Report, program: str | None) -> None:
    """Stalls, shortest first, then the beat at a higher rate. ``program``: hey, where it is."""
    for stall_s in QUICK_STALLS_S if report.quick else STALLS_S:
        pairs = [as_users(one_stall(program, stall_s, seed)) for seed in range(report.rounds)]
        ours, hey = ([pair[0] for pair in pairs], [pair[1] for pair in pairs if pair[1] is not None])
        report.rows.append(
            compared(f"p99 off the truth, stall of {stall_s:g} s", "%", ours, hey or None, "hey", WITHIN)
        )
    at_rate(report, program, QUICK_FAST_S if report.quick else FAST_S)


def at_rate(report: Report, program: str | None, seconds: float) -> None:
    """Rows of the beat."""
    seeds = count()
    others = [lambda: hey_cpu_us(str(program), seconds)] if program else []
    beats, *hey = interleaved(report.rounds, lambda: as_users(beat(seconds, next(seeds))), *others)
    late, cpu_us = f"users at {FAST}/s: starts later than meant", [each.cpu_us for each in beats]
    report.rows += [
        alone(f"users at {FAST}/s: longer than the plan", "%", [each.longer_percent for each in beats], 0.1),
        compared(f"{late}, half of them at most", "ms", [each.half_ms for each in beats], None, "", None),
        compared(f"{late}, p99", "ms", [each.late_ms for each in beats], None, "", PUNCTUAL),
        compared(f"users at {FAST}/s: CPU a request", "us", cpu_us, hey[0] if hey else None, "hey", None),
    ]
