"""The users' client beside wrk and hey: requests a second of one core, CPU a request, and the truth about stalls.

    python benchmarks/load.py [--rounds 5] [--json FILE] [--quick]

The peers are the programs on PATH (apt install wrk; go install github.com/rakyll/hey@v0.1.5). All ask one server, a
process of its own, over so many kept connections, each as fast as it is answered; ours as the users ask, with a
deadline for each request. Bare asyncio, a protocol that only looks where answers end, is the floor of what Python can
do here. The CPU is that of the client alone. Stalls: see stalls.py.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import NamedTuple, cast

import stalls
from loopback import HOST, PATH, server, url
from peers import Goal, Report, Row, compared, interleaved, number, run, used

from simian.load.client import Pool

TOGETHER = 32  # connections
REQUESTS, QUICK_REQUESTS = 40_000, 320
SECONDS, QUICK_SECONDS = 2, 1  # of wrk, which knows no count
DEADLINE_S = 10.0
LENGTH = b"content-length: "
REQUEST = f"GET {PATH} HTTP/1.1\r\nhost: {HOST}\r\nx-lab-home: east\r\n\r\n".encode()
BARE = "bare asyncio"
WHY = (
    "Bare asyncio alone takes 1.2 to 1.5 times wrk's CPU; with a task that waits for each answer, as a device does, it "
    "is 1.5 to 1.7, so that asyncio leaves nothing of 1.4 to its client. The deadline, the pool and the headers are "
    "0.3. On uvloop the same client took 1.5."
)
BARE_WHY = (
    "Of what it may take beyond bare asyncio, a third is the task that waits for each answer, which asyncio wakes in a "
    "turn of its own; then the deadline, the pool and the headers, which are looked up and not read again."
)
GOALS = {
    "wrk": (Goal(0.8, most=False, why=WHY), Goal(1.4, why=WHY)),
    BARE: (None, Goal(1.5, why=BARE_WHY)),
}
WRK, HEY = "apt install wrk", "go install github.com/rakyll/hey@v0.1.5"
Client = Callable[[int, int], Awaitable[None]]


class Cost(NamedTuple):
    """Of one client in one round."""

    per_second: float
    cpu_us: float  # a request


async def ours(port: int, count: int) -> None:
    """``count`` requests, one after the other, as a device makes them."""
    pool, loop = Pool(), asyncio.get_running_loop()
    for _ in range(count):
        response = await pool.fetch(HOST, port, REQUEST, loop.time() + DEADLINE_S)
        if response.status != 200:
            raise RuntimeError(f"the server said {response.status}")
    pool.close()


async def streams(port: int, count: int) -> None:
    """The same with asyncio's streams: the head line by line, the body by its length, the same deadline."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(HOST, port)
    for _ in range(count):
        async with asyncio.timeout_at(loop.time() + DEADLINE_S):
            writer.write(REQUEST)
            status = int((await reader.readline()).split()[1])
            headers = {}
            while line := (await reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            await reader.readexactly(int(headers["content-length"]))
        if status != 200:
            raise RuntimeError(f"the server said {status}")
    writer.close()


class Bare(asyncio.BufferedProtocol):
    """Asks again as soon as an answer has ended: no deadline, no task, nothing read but where that is."""

    def __init__(self, count: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left, self._filled = count, 0
        self._buffer = bytearray(16 * 1024)
        self._view = memoryview(self._buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(REQUEST)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        at = self._buffer.find(LENGTH, 0, end) + len(LENGTH)
        if end < 0 or self._filled < end + 4 + int(self._buffer[at : self._buffer.find(b"\r", at)]):
            return
        self._filled = 0
        self._left -= 1
        if self._left:
            self._transport.write(REQUEST)
        else:
            self._transport.close()
            self.done.set_result(None)


async def bare(port: int, count: int) -> None:
    """The least that asyncio can do: the same requests from a protocol's callbacks."""
    _, protocol = await asyncio.get_running_loop().create_connection(lambda: Bare(count), HOST, port)
    await protocol.done


def in_here(client: Client, port: int, requests: int) -> Cost:
    """A client that is a coroutine, by the time of this process."""

    async def together() -> None:
        await asyncio.gather(*(client(port, requests // TOGETHER) for _ in range(TOGETHER)))

    begin, cpu = time.perf_counter(), time.process_time()
    asyncio.run(together())
    taken_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    return Cost(requests / taken_s, 1e6 * cpu_s / requests)


def wrk(program: str, port: int, seconds: int) -> Cost:
    """One thread, so many connections."""
    taken = used(program, "-t1", f"-c{TOGETHER}", f"-d{seconds}s", url(port))
    requests = number(r"(\d+) requests in", taken.text)
    return Cost(number(r"Requests/sec: +([\d.]+)", taken.text), 1000 * taken.cpu_ms / requests)


def hey(program: str, port: int, requests: int) -> Cost:
    """The same of hey, on one core."""
    taken = used(program, "-n", str(requests), "-c", str(TOGETHER), "-cpus", "1", url(port))
    answered = number(r"\[200\]\s+(\d+) responses", taken.text)
    return Cost(number(r"Requests/sec:\s+([\d.]+)", taken.text), 1000 * taken.cpu_ms / answered)


def costs(report: Report, port: int, hey_program: str | None) -> dict[str, list[Cost]]:
    """Each client's cost in each round, by name; only of those that are there."""
    requests, seconds = (QUICK_REQUESTS, QUICK_SECONDS) if report.quick else (REQUESTS, SECONDS)
    measures: dict[str, Callable[[], Cost]] = {
        "ours": lambda: in_here(ours, port, requests),
        "asyncio streams": lambda: in_here(streams, port, requests),
        BARE: lambda: in_here(bare, port, requests),
    }
    if program := report.program("wrk", WRK, "--version"):
        measures["wrk"] = lambda: wrk(program, port, seconds)
    if hey_program:
        measures["hey"] = lambda: hey(hey_program, port, requests)
    return dict(zip(measures, interleaved(report.rounds, *measures.values()), strict=True))


def rows(ours: list[Cost], name: str, peer: list[Cost] | None) -> list[Row]:
    """Both figures beside that peer."""
    per_second, cpu_us = GOALS.get(name, (None, None))
    return [
        compared(what, unit, list(map(take, ours)), list(map(take, peer)) if peer else None, name, goal)
        for what, unit, take, goal in (
            ("requests a second of one core", "", attrgetter("per_second"), per_second),
            ("CPU a request", "us", attrgetter("cpu_us"), cpu_us),
        )
    ]


def measure(report: Report) -> None:
    """Costs first, then stalls."""
    gc.collect()
    gc.freeze()  # as the users' process does
    program = report.program("hey", HEY)
    if program:
        report.peers["hey"] = "v0.1.5"  # it does not tell it
    with server() as (_, port):
        by_name = costs(report, port, program)
    for name in ("wrk", "hey", BARE, "asyncio streams"):
        report.rows += rows(by_name["ours"], name, by_name.get(name))
    stalls.measure(report, program)
    gc.unfreeze()


if __name__ == "__main__":
    run("load", __doc__, measure)
