"""CPU of the users' client a request, beside a client of plain asyncio streams, against one server in one run.

    python benchmarks/load.py [--requests 20000] [--together 8] [--rounds 5]

The server is a process of its own. The two clients take turns, ``rounds`` times; printed are the medians of the CPU
time that this process used for a request, and their ratio (below 1: ours needs less).
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from simian.load.client import Pool

HOST = "127.77.0.1"
SERVER = Path(__file__).parents[1] / "tests" / "load" / "small_server.py"
REQUEST = f"GET /play?member=east-1 HTTP/1.1\r\nhost: {HOST}\r\nx-lab-home: east\r\n\r\n".encode()
Client = Callable[[int, int], Awaitable[None]]


async def ours(port: int, count: int) -> None:
    """``count`` requests, one after the other, as a device makes them."""
    pool, loop = Pool(), asyncio.get_running_loop()
    for _ in range(count):
        response = await pool.fetch(HOST, port, REQUEST, loop.time() + 0.5)
        if response.status != 200:
            raise RuntimeError(f"the server said {response.status}")
    pool.close()


async def streams(port: int, count: int) -> None:
    """The same with asyncio's streams: the head line by line, the body by its length, the same deadline."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(HOST, port)
    for _ in range(count):
        async with asyncio.timeout_at(loop.time() + 0.5):
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


def cpu_us(client: Client, port: int, requests: int, together: int) -> float:
    """Microseconds of this process's CPU for each request."""

    async def run() -> None:
        await asyncio.gather(*(client(port, requests // together) for _ in range(together)))

    begin = time.process_time()
    asyncio.run(run())
    return 1e6 * (time.process_time() - begin) / requests


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-I", str(SERVER)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        rounds = [
            [cpu_us(client, port, options.requests, options.together) for client in (ours, streams)]
            for _ in range(options.rounds)
        ]
    finally:
        server.kill()
        server.wait()
    mine, theirs = (median(column) for column in zip(*rounds, strict=True))
    print(f"CPU us/request: simian.load {mine:.1f}, asyncio streams {theirs:.1f}, ratio {mine / theirs:.2f}")


if __name__ == "__main__":
    main()
