"""Data of the lab: writes through its gateways, replicas and caches asked straight, never through a proxied link.

Settings: ``{driver: lab, write: {REGION: [http://gateway, …]}, stores: {NODE: http://host:port},
caches: {NODE: host:port}, members: {NODE: http://host:port}, queues: {NODE: http://host:port/ACCOUNT/NAME}}``.

A key is a member's name: what is written is how far that member is in what is playing, ``progress:<key>`` in stores
and caches, with the value as its title.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from simian.data.memcached import items
from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, UsageError
from simian.http_call import Service, call
from simian.world import Cell

WRITE_S = 0.5  # in all; a device gives one gateway as long
TRY_S = 0.3
READ_S = 3.0
BACKLOG_S = 0.8
BATCH = 500
VALUE_LIMIT = 4_000
PREFIX = "progress:"
_KEY = re.compile(r"[A-Za-z0-9._@-]{1,100}")
_DEPTHS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]  # taken is not yet done
_QUEUE_CALL = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.GetQueueAttributes"}
T = TypeVar("T")


class Store(Protocol):
    """A node that keeps a replica, asked by a monotonic time. Raises Unreachable, TimedOut, DriverError."""

    def rows(self, keys: Sequence[str], ends: float) -> Mapping[str, Cell]:
        """Its own rows of these keys (``progress:<key>`` of each); keys that it lacks are left out."""
        ...

    def hints(self, ends: float) -> int:
        """What it keeps for others who have not been told yet."""
        ...


class Refusal(DriverError):
    """An answer that is not 2xx."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node listens; ``url`` as it was configured."""

    name: str
    url: str
    service: Service

    def fetch(self, method: str, path: str, body: bytes | None = None, *, ends: float) -> bytes:
        """The content of a 2xx answer by a monotonic time. Raises Refusal for any other, TimedOut, Unreachable."""
        limit_s = max(ends - time.monotonic(), 0.001)
        answer = call(self.service, method, path, body, limit_s=limit_s, who=self.name)
        if answer.status // 100 != 2:
            text = answer.content[:300].decode("utf-8", "replace").strip()
            raise Refusal(f"{self.name} answered {answer.status}: {text or 'nothing'}", answer.status)
        return answer.content


@dataclass(frozen=True)
class Places:
    """Where everything is. The ``url`` of a queue is also its name in the protocol."""

    write: Mapping[str, Sequence[Place]]
    stores: Mapping[str, Store]
    caches: Mapping[str, Place]
    members: Mapping[str, Place]
    queues: Mapping[str, Place]


class LabData:
    """Driver of the port ``Data``; safe to use from many threads (a connection a call)."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._turn = count()

    def regions(self) -> Sequence[str]:
        """Those with a gateway to write at."""
        return list(self._places.write)

    def write(self, region: str, key: str, value: str, at_us: int) -> None:
        """Note a member's progress at one gateway of the region, and at the next when that does not serve.

        Harmless to do twice, as the time is the writer's. Raises TimedOut when an answer is out, Unreachable when
        none was connected to, DriverError for another answer than 2xx or a key or value that cannot be written.
        """
        gateways = self._places.write.get(region)
        if not gateways:
            raise NoSuchTarget(f"no gateway of {region!r} is configured; there are: {', '.join(self.regions())}")
        path = f"/progress?{_query(key, value, at_us)}"
        first, until = next(self._turn), time.monotonic() + WRITE_S
        errors: list[DriverError] = []
        for offset in range(len(gateways)):
            gateway, ends = gateways[(first + offset) % len(gateways)], min(until, time.monotonic() + TRY_S)
            try:
                gateway.fetch("POST", path, ends=ends)
                return
            except DriverError as error:
                errors.append(error)
                if _is_final(error) or time.monotonic() >= until:
                    break
        raise _worst(errors)

    def replicas(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Every store node's own rows, side by side. Raises Unreachable or TimedOut for one that is silent."""
        return self._each(self._places.stores, lambda store, ends: store.rows(keys, ends))

    def caches(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Every cache's own items, side by side. Raises Unreachable or TimedOut for one that is silent."""
        return self._each(self._places.caches, lambda place, ends: _items(place, keys, ends))

    def backlog(self) -> Mapping[str, int]:
        """Hints of stores, announcements of members, messages of queues; silent nodes are left out. Bounded."""
        ends = time.monotonic() + BACKLOG_S
        places = self._places
        looks = {f"hints {name}": partial(store.hints, ends) for name, store in places.stores.items()}
        looks |= {f"announcements {name}": partial(_announcements, at, ends) for name, at in places.members.items()}
        looks |= {f"messages {name}": partial(_depth, at, ends) for name, at in places.queues.items()}
        return {name: told for name, told in _side_by_side(looks).items() if not isinstance(told, DriverError)}

    @staticmethod
    def _each(
        places: Mapping[str, T], look: Callable[[T, float], Mapping[str, Cell]]
    ) -> Mapping[str, Mapping[str, Cell]]:
        ends = time.monotonic() + READ_S
        found = _side_by_side({name: partial(look, place, ends) for name, place in places.items()})
        if errors := [told for told in found.values() if isinstance(told, DriverError)]:
            raise _worst(errors)
        return {name: told for name, told in found.items() if not isinstance(told, DriverError)}


def _side_by_side(looks: Mapping[str, Callable[[], T]]) -> dict[str, T | DriverError]:
    """What each found, or its error."""

    def do(look: Callable[[], T]) -> T | DriverError:
        try:
            return look()
        except DriverError as error:
            return error

    with ThreadPoolExecutor(max(1, len(looks)), "data") as pool:
        return dict(zip(looks, pool.map(do, looks.values()), strict=True))


def _is_final(error: DriverError) -> bool:
    """Whether the next gateway would say the same."""
    return isinstance(error, Refusal) and error.status < 500


def _worst(errors: Sequence[DriverError]) -> DriverError:
    """One error with the words of all: of a call that may still land, if there is one, else of one that answered."""
    text = "; ".join(map(str, errors))
    if any(isinstance(error, TimedOut) for error in errors):
        return TimedOut(text)
    return (Unreachable if all(isinstance(error, Unreachable) for error in errors) else DriverError)(text)


# --- writing --------------------------------------------------------------------------------------------------------


def _query(key: str, value: str, at_us: int) -> str:
    if not _KEY.fullmatch(key):
        raise DriverError(f"{key!r:.120} cannot be written; a key is 1 to 100 letters, digits and . _ @ -")
    if not 0 < len(value) <= VALUE_LIMIT:
        raise DriverError(f"a value has 1 to {VALUE_LIMIT} characters, this one {len(value)}")
    try:
        title = quote(value, safe="")
    except UnicodeEncodeError as error:
        raise DriverError(f"the value is no text that can be sent: {error}") from error
    return f"member={quote(key, safe='')}&title={title}&position_s=0&at_us={at_us}"


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpStore:
    """A node of our stand-in."""

    place: Place

    def rows(self, keys: Sequence[str], ends: float) -> Mapping[str, Cell]:
        """As its replica has them."""
        found: dict[str, Cell] = {}
        for start in range(0, len(keys), BATCH):
            batch = [PREFIX + key for key in keys[start : start + BATCH]]
            body = json.dumps({"get": batch, "put": []}).encode()
            with understood(self.place.name):
                rows = json.loads(self.place.fetch("POST", "/replicas", body, ends=ends))["got"]
                found |= {row[0].removeprefix(PREFIX): cell(row[1], row[2]) for row in rows if row is not None}
        return found

    def hints(self, ends: float) -> int:
        """Rows that its peers have not been told of."""
        with understood(self.place.name):
            return sum(json.loads(self.place.fetch("GET", "/admin/hints", ends=ends))["hints"].values())


def cell(text: str | None, at_us: int) -> Cell:
    """Of a row's value, which is JSON text. Raises ValueError."""
    return Cell(None if text is None else _title(json.loads(text)), at_us)


def _title(value: Any) -> str | None:
    """The value as it was written; what somebody else wrote as JSON text."""
    if value is None:
        return None
    return str(value["title"]) if isinstance(value, dict) and "title" in value else json.dumps(value, sort_keys=True)


def _items(place: Place, keys: Sequence[str], ends: float) -> dict[str, Cell]:
    address, limit_s = (place.service.host, place.service.port), max(ends - time.monotonic(), 0.001)
    found = items(address, [PREFIX + key for key in keys], limit_s=limit_s, who=place.name)
    return {key.removeprefix(PREFIX): _item(value) for key, value in found.items()}


def _item(value: bytes) -> Cell:
    """What members keep in a cache: value and time. Anything else is older than everything."""
    with suppress(ValueError, KeyError, TypeError):
        shape = json.loads(value)
        return Cell(_title(shape["value"]), int(shape["timestamp_us"]))
    return Cell(value.decode("utf-8", "replace"), 0)


# --- what waits -----------------------------------------------------------------------------------------------------


def _announcements(place: Place, ends: float) -> int:
    with understood(place.name):
        return int(json.loads(place.fetch("GET", "/headroom", ends=ends))["announcements_waiting"])


def _depth(place: Place, ends: float) -> int:
    body = json.dumps({"QueueUrl": place.url, "AttributeNames": _DEPTHS}).encode()
    try:
        with understood(place.name):
            told = json.loads(place.fetch("POST", "/", body, ends=ends))["Attributes"]
            return sum(int(told[name]) for name in _DEPTHS)
    except Refusal as error:
        if "QueueDoesNotExist" in str(error):
            return 0  # it is made when there is something to put into it
        raise


@contextmanager
def understood(who: str) -> Iterator[None]:
    """Turns what an answer that makes no sense leads to into a DriverError."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        text = f"{who} answered what makes no sense here ({error!r}); is it what the configuration says?"
        raise DriverError(text) from error


# --- settings -------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads the section ``data:``; what is wrong with it comes together in ``problems``."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def mapping(self, settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = settings.get(key) or {}
        if isinstance(value, Mapping):
            return value
        self.problems.append(f"data.{key} is {value!r:.80}; it must map names to addresses")
        return {}

    def places(self, settings: Mapping[str, Any], key: str, read: Callable[[str, str], T]) -> dict[str, T]:
        """The places of one key by name, each address read by ``read``."""
        named = self.mapping(settings, key).items()
        found = {name: self.place(f"data.{key}.{name}", str(name), at, read) for name, at in named}
        return {name: place for name, place in found.items() if place is not None}

    def gateways(self, settings: Mapping[str, Any]) -> dict[str, list[Place]]:
        """Those of each region."""
        found: dict[str, list[Place]] = {}
        for region, urls in self.mapping(settings, "write").items():
            where, home = f"data.write.{region}", {"x-lab-home": str(region)}
            if not isinstance(urls, list | tuple) or not urls:
                self.problems.append(
                    f"{where} is {urls!r:.80}; it must be a list of gateways, like [http://127.1.1.80:8080]"
                )
                continue
            places = [
                self.place(where, f"a gateway of {region}", url, partial(_over_http, headers=home)) for url in urls
            ]
            found[region] = [place for place in places if place is not None]
        return found

    def place(self, where: str, name: str, at: object, read: Callable[[str, str], T]) -> T | None:
        """The place at an address; ``None``, and a problem more, when it is none."""
        try:
            return read(name, at if isinstance(at, str) else repr(at))
        except ValueError as error:
            self.problems.append(f"{where}: {error}")
            return None


def _over_http(name: str, url: str, headers: Mapping[str, str] | None = None) -> Place:
    return Place(name, url, Service.at(url, headers or {}))


def _queue(name: str, url: str) -> Place:
    return Place(name, url, replace(Service.at(url, _QUEUE_CALL), path=""))  # its calls go to the root


def _memcached(name: str, address: str) -> Place:
    return Place(name, address, Service(*host_and_port(address, "127.0.0.1:11211")))


def host_and_port(address: str, like: str) -> tuple[str, int]:
    """Of ``host:port``. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is no address; it must be like {like}")
    return host, int(port)


def data_from(settings: Mapping[str, Any], store_at: Callable[[str, str], Store], own: Sequence[str] = ()) -> LabData:
    """The driver of a section ``data:`` whose stores ``store_at`` makes, of name and address (ValueError: none).

    ``own``: keys that are not common to such drivers. Raises UsageError with every problem at once.
    """
    reader = _Reader()
    places = Places(
        write=reader.gateways(settings),
        stores=reader.places(settings, "stores", store_at),
        caches=reader.places(settings, "caches", _memcached),
        members=reader.places(settings, "members", _over_http),
        queues=reader.places(settings, "queues", _queue),
    )
    known = ["driver", *Places.__dataclass_fields__, *own]
    unknown = [key for key in settings if key not in known]
    reader.problems += [f"data.{key} is unknown; there are: {', '.join(known)}" for key in unknown]
    missing = [key for key in ("write", "stores") if not settings.get(key)]
    reader.problems += [f"data.{key} is missing; the lab's own simian.yaml shows how it looks" for key in missing]
    if reader.problems:
        raise UsageError(reader.problems)
    return LabData(places)


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> LabData:
    """The driver of the section ``data:``. Raises UsageError with every problem at once."""
    return data_from(settings, lambda name, url: HttpStore(_over_http(name, url)))
