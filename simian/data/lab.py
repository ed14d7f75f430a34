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
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from simian.data.lab_talk import Place, Refusal, cached, fetch
from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, UsageError
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


@dataclass(frozen=True)
class Places:
    """Where everything is. ``queues`` holds the whole address of each queue, which is also its name in the protocol."""

    write: Mapping[str, Sequence[Place]]
    stores: Mapping[str, Place]
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
                fetch(gateway, "POST", path, headers={"x-lab-home": region}, ends=ends)
                return
            except DriverError as error:
                errors.append(error)
                if _is_final(error) or time.monotonic() >= until:
                    break
        raise _worst(errors)

    def replicas(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Every store node's own rows, side by side. Raises Unreachable or TimedOut for one that is silent."""
        return self._each(self._places.stores, lambda place, ends: _rows(place, keys, ends))

    def caches(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Every cache's own items, side by side. Raises Unreachable or TimedOut for one that is silent."""
        return self._each(self._places.caches, lambda place, ends: _items(place, keys, ends))

    def backlog(self) -> Mapping[str, int]:
        """Hints of stores, announcements of members, messages of queues; silent nodes are left out. Bounded."""
        ends = time.monotonic() + BACKLOG_S
        kinds = (("hints", self._places.stores, _hints), ("announcements", self._places.members, _announcements))
        looks = {
            f"{kind} {name}": partial(look, place, ends)
            for kind, places, look in (*kinds, ("messages", self._places.queues, _depth))
            for name, place in places.items()
        }
        return {name: told for name, told in _side_by_side(looks).items() if not isinstance(told, DriverError)}

    @staticmethod
    def _each(
        places: Mapping[str, Place], look: Callable[[Place, float], Mapping[str, Cell]]
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
    kinds = [type(error) for error in errors]
    text = "; ".join(map(str, errors))
    if TimedOut in kinds:
        return TimedOut(text)
    return Unreachable(text) if set(kinds) == {Unreachable} else DriverError(text)


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


def _rows(place: Place, keys: Sequence[str], ends: float) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for start in range(0, len(keys), BATCH):
        batch = [PREFIX + key for key in keys[start : start + BATCH]]
        body = json.dumps({"get": batch, "put": []}).encode()
        with _understood(place):
            rows = json.loads(fetch(place, "POST", "/replicas", body, ends=ends))["got"]
            found |= {row[0].removeprefix(PREFIX): _cell(row[1], row[2]) for row in rows if row is not None}
    return found


def _cell(text: str | None, at_us: int) -> Cell:
    return Cell(None if text is None else _title(json.loads(text)), at_us)


def _title(value: Any) -> str | None:
    """The value as it was written; what somebody else wrote as JSON text."""
    if value is None:
        return None
    return str(value["title"]) if isinstance(value, dict) and "title" in value else json.dumps(value, sort_keys=True)


def _items(place: Place, keys: Sequence[str], ends: float) -> dict[str, Cell]:
    items = cached(place, [PREFIX + key for key in keys], ends=ends)
    return {key.removeprefix(PREFIX): _item(value) for key, value in items.items()}


def _item(value: bytes) -> Cell:
    """What members keep in a cache: value and time. Anything else is older than everything."""
    with suppress(ValueError, KeyError, TypeError):
        shape = json.loads(value)
        return Cell(_title(shape["value"]), int(shape["timestamp_us"]))
    return Cell(value.decode("utf-8", "replace"), 0)


# --- what waits -----------------------------------------------------------------------------------------------------


def _hints(place: Place, ends: float) -> int:
    with _understood(place):
        return sum(json.loads(fetch(place, "GET", "/admin/hints", ends=ends))["hints"].values())


def _announcements(place: Place, ends: float) -> int:
    with _understood(place):
        return int(json.loads(fetch(place, "GET", "/headroom", ends=ends))["announcements_waiting"])


def _depth(place: Place, ends: float) -> int:
    body = json.dumps({"QueueUrl": place.url, "AttributeNames": _DEPTHS}).encode()
    try:
        with _understood(place):
            told = json.loads(fetch(place, "POST", "/", body, headers=_QUEUE_CALL, ends=ends))["Attributes"]
            return sum(int(told[name]) for name in _DEPTHS)
    except Refusal as error:
        if "QueueDoesNotExist" in str(error):
            return 0  # it is made when there is something to put into it
        raise


@contextmanager
def _understood(place: Place) -> Iterator[None]:
    """Turns what an answer that makes no sense leads to into a DriverError."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        text = f"{place.name} answered what makes no sense here ({error!r}); is it what the configuration says?"
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

    def places(self, settings: Mapping[str, Any], key: str, scheme: str = "http") -> dict[str, Place]:
        found = {
            name: self.place(f"data.{key}.{name}", name, at, scheme) for name, at in self.mapping(settings, key).items()
        }
        return {name: place for name, place in found.items() if place is not None}

    def gateways(self, settings: Mapping[str, Any]) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for region, urls in self.mapping(settings, "write").items():
            where = f"data.write.{region}"
            if not isinstance(urls, list | tuple) or not urls:
                self.problems.append(
                    f"{where} is {urls!r:.80}; it must be a list of gateways, like [http://127.1.1.80:8080]"
                )
                continue
            places = [self.place(where, f"a gateway of {region}", url, "http") for url in urls]
            found[region] = [place for place in places if place is not None]
        return found

    def place(self, where: str, name: str, at: object, scheme: str) -> Place | None:
        """The place of ``http://host:port[/path]``, or of ``host:port`` where the scheme is ``memcached``."""
        text = at if isinstance(at, str) else ""
        whole = text if scheme == "http" else f"{scheme}://{text}"
        try:
            parts = urlsplit(whole)
            if parts.scheme == scheme and parts.hostname and parts.port:
                return Place(name, text, parts.hostname, parts.port)
        except ValueError:
            pass
        right = "http://127.1.1.30:9042" if scheme == "http" else "127.1.1.11:11211"
        self.problems.append(f"{where} is {at!r:.80}; it must be like {right}")
        return None


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> LabData:
    """The driver of the section ``data:``. Raises UsageError with every problem at once."""
    reader = _Reader()
    places = Places(
        write=reader.gateways(settings),
        stores=reader.places(settings, "stores"),
        caches=reader.places(settings, "caches", "memcached"),
        members=reader.places(settings, "members"),
        queues=reader.places(settings, "queues"),
    )
    known = {"driver", *Places.__dataclass_fields__}
    reader.problems += [
        f"data.{key} is unknown; there are: {', '.join(sorted(known))}" for key in settings if key not in known
    ]
    if not places.write or not places.stores:
        reader.problems.append("data needs write (gateways of each region) and stores")
    if reader.problems:
        raise UsageError(reader.problems)
    return LabData(places)
