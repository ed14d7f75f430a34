"""Steering at the edge: the modes of the gateways through their admin API (docs/wire.md), and what they tell.

Settings: ``{driver: edge, token: TEXT, gateways: {NODE: {url: http://host:port/admin, region: east}},
members: {NODE: {url: http://host:port/headroom, region: east}}}``. Shares are none of a gateway's business.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, Unsupported
from simian.http_call import NobodyListens, Service, call
from simian.steering.none import NoSteering
from simian.steering.settings import Section
from simian.traffic import Load, Misroute, Modes

T = TypeVar("T")
LIMIT_S = 1.0
OURS = "simian."  # what marks begin with
NO_SHARES = "the driver edge moves no users between regions; choose driver: dns"


@dataclass(frozen=True, slots=True)
class Place:
    """One node: where it is asked, and whose region it is in."""

    service: Service
    region: str


class EdgeSteering(NoSteering):
    """Driver of the port ``Steering``; keeps nothing between calls, safe to use from many threads.

    Nodes are asked side by side, each within ``limit_s``: a dead one costs no more than that.
    """

    why = NO_SHARES

    def __init__(
        self, gateways: Mapping[str, Place], members: Mapping[str, Place], *, limit_s: float = LIMIT_S
    ) -> None:
        self._gateways, self._members, self._limit_s = dict(gateways), dict(members), limit_s

    def unsupported(self, what: str) -> str:
        """``modes`` and ``arrivals`` need gateways, ``load`` needs members."""
        known = {"modes": self._gateways, "arrivals": self._gateways, "load": self._members}
        if what not in known:
            return self.why
        part = "members" if what == "load" else "gateways"
        return "" if known[what] else f"no {part} are configured; name them under steering: (edge:) {part}:"

    def modes(self) -> Mapping[str, Modes]:
        """The modes of each gateway that answers."""
        return self._of_those_that_answer(self._gateways, self._modes_of)

    def set_failover(self, region: str, mark: str, homes: Sequence[str]) -> None:
        """All gateways are tried; raises naming each that could not be set."""
        patch = {"failover": {"regions": list(homes), "owner": mark}}
        self._of_all(region, lambda name, place: self._set(name, place, patch))

    def set_misrouted(self, region: str, mark: str, *, mode: Misroute, own: bool) -> None:
        """The same."""
        patch = {"misrouted": {"mode": mode, "own": own, "owner": mark}}
        self._of_all(region, lambda name, place: self._set(name, place, patch))

    def set_limit(self, region: str, mark: str, concurrency: int) -> None:
        """The same."""
        patch = {"limit": {"concurrency": concurrency, "owner": mark}}
        self._of_all(region, lambda name, place: self._set(name, place, patch))

    def unset(self, region: str, mark: str, was: Mapping[str, Modes]) -> None:
        """See ``Steering.unset``: only where this mark is the owner; who refuses connections has forgotten it."""
        if self._gateways:  # else nothing was ever in place
            self._of_all(region, lambda name, place: self._unset_one(name, place, mark, was.get(name, Modes())))

    def marks(self) -> Sequence[tuple[str, str]]:
        """Every (region, mark) of ours at a gateway that answers."""
        found = {(self._gateways[name].region, owner) for name, modes in self.modes().items() for owner in modes.owners}
        return sorted((region, owner) for region, owner in found if owner.startswith(OURS))

    def arrivals(self) -> Mapping[str, Mapping[str, int]]:
        """As each gateway that answers has counted them since it started."""

        def arrived(name: str, place: Place) -> Mapping[str, int]:
            told = self._ask(name, place, "GET", "/arrivals")["arrivals"]
            return {str(home): int(count) for home, count in told.items()}

        return self._of_those_that_answer(self._gateways, arrived)

    def load(self) -> Mapping[str, Load]:
        """Sums over the members of each region that answer."""

        def measured(name: str, place: Place) -> Load:
            told = self._ask(name, place, "GET", "")
            return Load(float(told["load_rps"]), float(told["capacity_rps"]))

        by_region = defaultdict(list)
        for name, load in self._of_those_that_answer(self._members, measured).items():
            by_region[self._members[name].region].append(load)
        return {
            region: Load(sum(each.load_rps for each in loads), sum(each.capacity_rps for each in loads))
            for region, loads in by_region.items()
        }

    def _modes_of(self, name: str, place: Place) -> Modes:
        told = self._ask(name, place, "GET", "/settings")
        failover, misrouted, limit = told["failover"], told["misrouted"], told["limit"]
        return Modes(
            tuple(failover["regions"]), failover["owner"], misrouted["mode"], misrouted["own"], misrouted["owner"],
            limit["concurrency"], limit["owner"],
        )  # fmt: skip

    def _set(self, name: str, place: Place, patch: Mapping[str, Any]) -> None:
        self._ask(name, place, "PATCH", "/settings", patch)
        shown = self._ask(name, place, "GET", "/settings")
        if {key: shown.get(key) for key in patch} != patch:
            raise DriverError(f"{name} shows {shown} after it was told {dict(patch)}; somebody else is changing it")

    def _unset_one(self, name: str, place: Place, mark: str, was: Modes) -> None:
        try:
            now = self._modes_of(name, place)
            patch: dict[str, Any] = {}
            if now.failover_owner == mark:
                patch["failover"] = {"regions": list(was.failover), "owner": was.failover_owner}
            if now.misrouted_owner == mark:
                patch["misrouted"] = {"mode": was.misrouted, "own": was.own, "owner": was.misrouted_owner}
            if now.limit_owner == mark:
                patch["limit"] = {"concurrency": was.limit, "owner": was.limit_owner}
            if patch:
                self._set(name, place, patch)
        except NobodyListens:
            return  # it is down: modes live in its memory

    def _of_all(self, region: str, act: Callable[[str, Place], None]) -> None:
        """Do it at every gateway of the region. Raises one error that names all who failed."""
        if why := self.unsupported("modes"):
            raise Unsupported(why)
        chosen = {name: place for name, place in self._gateways.items() if place.region == region}
        if not chosen:
            regions = sorted({place.region for place in self._gateways.values()})
            raise NoSuchTarget(
                f"no gateway of {region!r} is configured; the regions are: {', '.join(regions) or 'none'}"
            )
        errors = [error for error in _side_by_side(chosen, act).values() if isinstance(error, DriverError)]
        if errors:
            # The worst first: what timed out may still land, and has to be looked after.
            kind = next(
                (kind for kind in (TimedOut, Unreachable) if any(isinstance(e, kind) for e in errors)), DriverError
            )
            raise kind("; ".join(map(str, errors))) from errors[0]

    @staticmethod
    def _of_those_that_answer(places: Mapping[str, Place], act: Callable[[str, Place], T]) -> dict[str, T]:
        """By name; who does not answer is left out, any other error is raised."""
        found: dict[str, T] = {}
        for name, told in _side_by_side(places, act).items():
            if not isinstance(told, DriverError):
                found[name] = told
            elif not isinstance(told, Unreachable | TimedOut):
                raise told
        return found

    def _ask(self, name: str, place: Place, method: str, tail: str, body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        try:
            answer = call(place.service, method, tail, data, limit_s=self._limit_s, who=name)
        except TimedOut as error:
            if method == "GET":  # nothing that could land later
                raise Unreachable(str(error)) from error
            raise
        if answer.status == 401:
            raise DriverError(f"{name} refuses our token; give the same one in simian.yaml and to the gateway")
        if answer.status != 200:
            said = answer.content[:500].decode("utf-8", "replace")
            raise DriverError(f"{name} answered {answer.status} to {method} {place.service.path}{tail}: {said}")
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise DriverError(f"{name} answered no JSON at {place.service.path}{tail}; look at its url") from error


def _side_by_side(places: Mapping[str, Place], act: Callable[[str, Place], T]) -> dict[str, T | DriverError]:
    """What came of it at each place, by name."""

    def done(name: str, place: Place) -> T | DriverError:
        try:
            return act(name, place)
        except DriverError as error:
            return error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return DriverError(f"{name} answered in another form than docs/wire.md has it ({error!r}); look at its url")

    if not places:
        return {}
    with ThreadPoolExecutor(len(places)) as pool:
        return dict(zip(places, pool.map(done, places, places.values()), strict=True))


def edge_of(section: Section) -> EdgeSteering:
    """From the keys of a section; its problems are in ``section.problems``."""
    gateways, members = section.each("gateways"), section.each("members")
    token = section.text("token", None if gateways else "")
    headers = {"Authorization": f"Bearer {token}"} if gateways else {}
    made = [_places(gateways, headers), _places(members, {})]
    section.end(("token", "gateways", "members"))
    return EdgeSteering(*made)


def _places(sections: Mapping[str, Section], headers: Mapping[str, str]) -> dict[str, Place]:
    return {name: place for name, section in sections.items() if (place := _place(section, headers))}


def _place(section: Section, headers: Mapping[str, str]) -> Place | None:
    url, region = section.text("url"), section.text("region")
    section.end(("url", "region"))
    try:
        return Place(Service.at(url, headers), region)
    except ValueError as error:
        section.wrong("url", f"and token: {error}")
        return None


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> EdgeSteering:
    """The driver of the section ``steering:``. Raises UsageError with every problem at once."""
    section = Section({key: value for key, value in settings.items() if key != "driver"})
    made = edge_of(section)
    section.check()
    return made
