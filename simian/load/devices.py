"""Devices and their habits, and the schedule by which they ask: pure but for a device's memory of what failed."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

AVOID_S = 30.0  # a gateway that did not answer is left alone so long; then its devices come back to it
MIX: Mapping[str, int] = {"play": 25, "profile": 35, "continue": 25, "progress": 15}  # percent of all requests
WRITES = frozenset({"progress"})
_SUBNETS = 256


@dataclass(slots=True)
class Device:
    """A user's device. ``number`` counts the devices of its home region; ``subnet`` is that of its resolver.

    It always prefers the same gateway of an answer (its session is there) and leaves it only while it fails.
    ``session``: what the system calls it, sent back with each request; empty where none was opened.
    """

    number: int
    home: str
    subnet: str
    member: str
    session: str = ""
    _avoided: dict[str, float] = field(default_factory=dict)

    def order(self, addresses: Sequence[str], now: float) -> list[str]:
        """The addresses in the order in which it tries them: its own first, those that failed lately last."""
        ranked = sorted(addresses)  # servers turn the order round; a session must not turn with it
        turn = self.number % len(ranked)
        ranked = ranked[turn:] + ranked[:turn]
        if self._avoided:
            self._avoided = {address: until for address, until in self._avoided.items() if until > now}
            ranked.sort(key=lambda address: self._avoided.get(address, 0.0))
        return ranked

    def avoid(self, address: str, until: float) -> None:
        """Leave this gateway alone until then, as long as there are others."""
        self._avoided[address] = until

    def target(self, kind: str, at_us: int) -> str:
        """Path and query of a request; ``at_us``: the device's clock, microseconds since the epoch."""
        path = f"/{kind}?member={self.member}"
        return f"{path}&at_us={at_us}" if kind in WRITES else path

    def request(self, kind: str, target: str, authority: str) -> bytes:
        """The packet that asks ``authority`` for this target."""
        session = f"x-lab-session: {self.session}\r\n" if self.session else ""
        verb, length = ("POST", "content-length: 0\r\n") if kind in WRITES else ("GET", "")
        return (
            f"{verb} {target} HTTP/1.1\r\nhost: {authority}\r\nx-lab-home: {self.home}\r\n"
            f"x-lab-subnet: {self.subnet}\r\nx-lab-member: {self.member}\r\n{session}{length}\r\n"
        ).encode("latin-1")


def devices(networks: Mapping[str, str], count: int) -> list[Device]:
    """``count`` devices, as many from each home; ``networks``: home region -> first two bytes (``198.18``)."""
    homes = list(networks)
    made = []
    for index in range(count):
        home, number = homes[index % len(homes)], index // len(homes)
        subnet = f"{networks[home]}.{number % _SUBNETS}.0/24"
        made.append(Device(number, home, subnet, f"{home}-{number}"))
    return made


class Arrival(NamedTuple):
    """One request that is meant to start ``at_s`` seconds after the users did."""

    at_s: float
    device: Device
    kind: str


def arrivals(crowd: Sequence[Device], rate: float, dice: random.Random) -> Iterator[Arrival]:
    """Requests without end, ``rate`` a second in all, homes by turns.

    Each second is cut into ``rate`` equal slots and one request starts at a random moment of each. Unlike an even
    beat this cannot march in step with anything periodic in the system; unlike Poisson arrivals every second has
    the same number of requests, so that shares and quantiles are judged from equal counts and dips in starts per
    second come from the system, not from the die.
    """
    homes = list(dict.fromkeys(device.home for device in crowd))
    by_home = [[device for device in crowd if device.home == home] for home in homes]
    kinds, weights = list(MIX), list(MIX.values())
    slot = 0
    while True:
        device = dice.choice(by_home[slot % len(by_home)])
        yield Arrival((slot + dice.random()) / rate, device, dice.choices(kinds, weights)[0])
        slot += 1
