"""Between a record's dicts and the rows of a table, without losing anything on the way."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, Integer, Row, String, Table

from simian.history.moment import to_us
from simian.history.tables import Document, Moment

Encode = Callable[[Any], Any]  # the value as the driver takes it; None: does not fit, goes into ``more``
Suits = Callable[[Sequence[Any]], bool]  # whether all values of a column can be stored as they are
BATCH = 500  # rows at once: quicker than 1,000, as the collector of garbage looks at every 700 new objects
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT[0-2]\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_OWN = ("number", "position", "more")


def as_text(value: Any) -> str | None:
    """PostgreSQL takes no NUL, and no engine half a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return None
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return None
    return value


def _count(value: Any) -> int | None:
    return value if type(value) is int and -(1 << 63) <= value < 1 << 63 else None


def _number(value: Any) -> float | None:
    """SQLite keeps not-a-number as NULL, so that goes elsewhere, as does an integer that no float equals."""
    if type(value) is int and abs(value) <= 1 << 53:
        return float(value)
    return value if type(value) is float and value == value else None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(value: Any) -> int | None:
    if not isinstance(value, str) or not _CANONICAL.fullmatch(value):
        return None
    try:
        return to_us(value)
    except ValueError:  # the 31st of February: kept as the text it is
        return None


def _document(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


_ENCODERS: tuple[tuple[type[Any], Encode], ...] = (
    (Document, _document),
    (Moment, _moment),
    (Boolean, _truth),
    (BigInteger, _count),
    (Integer, _count),
    (Float, _number),
    (String, as_text),
)


def _are_texts(values: Sequence[Any]) -> bool:
    """Told of the whole column at once, as below: a call for each value costs more than storing it."""
    if set(map(type, values)) != {str}:
        return False
    joined = "".join(values)
    return joined.isascii() and "\0" not in joined


def _are_counts(values: Sequence[Any]) -> bool:
    return set(map(type, values)) == {int} and min(values) >= -(1 << 63) and max(values) < 1 << 63


def _are_numbers(values: Sequence[Any]) -> bool:
    return set(map(type, values)) == {float} and not math.isnan(sum(values))  # one that is none makes the sum none


def _are_truths(values: Sequence[Any]) -> bool:
    return set(map(type, values)) == {bool}


_SUITS: dict[Encode, Suits] = {as_text: _are_texts, _count: _are_counts, _number: _are_numbers, _truth: _are_truths}


def _column(encode: Encode, values: Sequence[Any]) -> Sequence[Any] | None:
    """All values of a column as the driver takes them; None when one does not fit."""
    suits = _SUITS.get(encode)
    if suits is not None and suits(values):
        return values
    encoded = [encode(value) for value in values]
    return None if None in encoded else encoded


class Shape:
    """How items of one list of the record become rows of one table and back. ``head``: columns the store fills."""

    def __init__(self, table: Table, *head: str) -> None:
        self.table = table
        self.head = head
        self._encoders = {column.name: _encoder(column.type) for column in table.c if column.name not in _OWN}
        self._values = itemgetter(*self._encoders)
        self.columns = (*head, *self._encoders, "more")

    def row(self, item: Mapping[str, Any], *head: Any) -> tuple[Any, ...]:
        """One row as the driver takes it, in the order of ``columns``."""
        if item.keys() == self._encoders.keys():  # the usual reading: every key has a column, every value fits
            fitting = [encode(item[key]) for key, encode in self._encoders.items()]
            if None not in fitting:
                return (*head, *fitting, "{}")
        return self._odd_row(item, *head)

    def _odd_row(self, item: Mapping[str, Any], *head: Any) -> tuple[Any, ...]:
        row: list[Any] = list(head)
        more: dict[str, Any] = {}
        known = 0
        for key, encode in self._encoders.items():
            stored = None
            if key in item:
                known += 1
                stored = encode(item[key])
                if stored is None:  # also a null that was written out: it comes back as one
                    more[key] = item[key]
            row.append(stored)
        if known != len(item):
            more.update((key, value) for key, value in item.items() if key not in self._encoders)
        row.append(json.dumps(more, separators=(",", ":")) if more else "{}")
        return tuple(row)

    def batches(self, number: int, items: Sequence[Mapping[str, Any]]) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of a list, numbered in its order, so many at a time: a long run never stands in memory twice."""
        for first in range(0, len(items), BATCH):
            part = items[first : first + BATCH]
            columns = self._columns(part)
            if columns is None:
                yield [self.row(item, number, position) for position, item in enumerate(part, first)]
            else:
                yield list(zip(repeat(number, len(part)), range(first, first + len(part)), *columns, strict=True))

    def _columns(self, items: Sequence[Mapping[str, Any]]) -> list[Sequence[Any]] | None:
        """The rows' columns after the head; None unless every item has every key, no other, and all values fit."""
        if set(map(len, items)) != {len(self._encoders)}:
            return None
        try:
            values = zip(*map(self._values, items), strict=True)
        except KeyError:
            return None
        columns: list[Sequence[Any]] = []
        for encode, column in zip(self._encoders.values(), values, strict=True):
            encoded = _column(encode, column)
            if encoded is None:
                return None
            columns.append(encoded)
        return [*columns, ["{}"] * len(items)]

    def item(self, row: "Row[*tuple[Any, ...]]") -> dict[str, Any]:
        """The dict that was stored as this row."""
        item = {key: value for key, value in zip(row._fields, row, strict=True) if value is not None}
        more = item.pop("more")
        item.pop("number", None)
        item.pop("position", None)
        item.update(more)
        return item


def _encoder(kind: object) -> Encode:
    return next(encode for wanted, encode in _ENCODERS if isinstance(kind, wanted))
