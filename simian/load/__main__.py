"""``python -m simian.load --manifest PATH``: the always-on users of a lab, until SIGTERM."""

import argparse
import asyncio
import contextlib
import gc
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from simian.load.client import Pool
from simian.load.devices import arrivals, devices
from simian.load.engine import Engine
from simian.load.feed import Feed
from simian.load.journey import Means
from simian.load.loop import new_event_loop
from simian.load.resolver import Resolver, Wire
from simian.load.slices import cut_slices
from simian.load.system import NoManifest, System
from simian.load.tally import Tally

BOUND_S = 20  # so many seconds' worth of requests may be under way
WARM_UP_WITHIN_S = 90.0
MANIFEST_WITHIN_S = 10.0  # the users are started while the manifest is being written
_REAP_EVERY_S = 1.0
Amount = TypeVar("Amount", int, float)


def main() -> int:
    """Run until told to end; exit code 2 when there is no manifest to go by."""
    options = _options()
    try:
        system = _system(options.manifest)
    except NoManifest as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _raise_descriptors()
    with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_live(system, options))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simian.load", description="The always-on users of a lab.")
    parser.add_argument("--manifest", type=Path, required=True, help="the lab's manifest.json")
    parser.add_argument("--rate", type=_positive(float), help="requests a second in all (the manifest's, or 200)")
    parser.add_argument("--seed", type=int, help="of arrivals, devices and kinds (the manifest's)")
    parser.add_argument("--devices", type=_positive(int), default=600, help="how many there are (600)")
    parser.add_argument("--warm-up", type=int, default=0, help="so many requests one after another at first (0)")
    return parser.parse_args()


def _positive(kind: Callable[[str], Amount]) -> Callable[[str], Amount]:
    def number(text: str) -> Amount:
        value = kind(text)
        if not 0 < value < 1_000_000:
            raise argparse.ArgumentTypeError(f"a number above 0 and below a million, not {text}")
        return value

    return number


def _system(path: Path) -> System:
    deadline = time.monotonic() + MANIFEST_WITHIN_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return System.read(path)


def _raise_descriptors() -> None:
    """As many connections as the system lets us have: in a stall each request needs one of its own."""
    try:
        import resource  # not there on Windows
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # refused: then what exceeds is told as no_descriptors
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _live(system: System, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    tally, feed, pool = Tally(), Feed(), Pool()
    await feed.open(*system.feed)
    wire = await Wire.open(*system.dns)
    means = Means(system, Resolver(wire, loop.time, system.sticky_share, system.sticky_s), pool)
    dice = random.Random(system.seed if options.seed is None else options.seed)
    crowd = devices(system.homes, options.devices)
    rate = options.rate or system.rate
    engine = Engine(means, tally, bound=max(1, round(BOUND_S * rate)))
    _calm_collector()
    async with asyncio.TaskGroup() as group:
        group.create_task(cut_slices(tally, feed.publish))
        group.create_task(_reap(pool))
        await engine.warm_up(arrivals(crowd, rate, dice), options.warm_up, WARM_UP_WITHIN_S)
        group.create_task(engine.run(arrivals(crowd, rate, dice)))


def _calm_collector() -> None:
    """What lives now lives for good: not looked at again, so that no collection holds a request up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1000)


async def _reap(pool: Pool) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_REAP_EVERY_S)
        pool.reap(loop.time())


if __name__ == "__main__":
    sys.exit(main())
