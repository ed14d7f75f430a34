"""What a switch in the DNS says in the words of steering: weights as shares, notes as layers, and back. Pure.

A note is a text, one for each shift in place, ``n`` in the order in which they were put there; weights are whole:
``simian-shift=1 n=1 mark=simian.k7f3.1 to=east:75,west:25 was=east:100,west:0``
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from simian.errors import DriverError, Unsupported
from simian.steering.layers import Answered, Layer, Row
from simian.steering.provider import Switch, Weights, note_name

_NOTE = re.compile(r"simian-shift=1 n=(\d+) mark=(\S+) to=(\S+) was=(\S+)")
_WEIGHT = re.compile(r"([^:,]+):(\d+)")
_NEARLY = 1e-6


@dataclass(frozen=True, slots=True)
class Note:
    """One shift in place: weights by region."""

    ordinal: int
    mark: str
    to: Weights
    was: Weights

    @classmethod
    def parse(cls, text: str) -> "Note":
        """Raises ValueError for a text that is none of ours."""
        match = _NOTE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no note of a shift")
        return cls(int(match[1]), match[2], _weights(match[3]), _weights(match[4]))

    def __str__(self) -> str:
        to, was = (",".join(f"{region}:{n}" for region, n in each.items()) for each in (self.to, self.was))
        return f"simian-shift=1 n={self.ordinal} mark={self.mark} to={to} was={was}"


def _weights(text: str) -> Weights:
    pairs = [_WEIGHT.fullmatch(part) for part in text.split(",")]
    weights = {pair[1]: int(pair[2]) for pair in pairs if pair is not None}
    if len(weights) < len(pairs) or not any(weights.values()):
        raise ValueError(f"{text!r} are no weights")
    return weights


def notes_of(switch: Switch) -> list[Note]:
    """The shifts in place, the first one first. Raises DriverError naming the record when one cannot be read."""
    try:
        notes = sorted((Note.parse(text) for text in switch.notes), key=lambda note: note.ordinal)
        if len({note.ordinal for note in notes}) < len(notes) or len({note.mark for note in notes}) < len(notes):
            raise ValueError("two notes have the same n or mark")
    except ValueError as error:
        record = note_name(switch.name)
        raise DriverError(
            f"the TXT record {record} cannot be read ({error}), so {switch.name} is left as it is; "
            f"set its weights by hand and take {record} out"
        ) from error
    return notes


def row_of(switch: Switch, targets: Mapping[str, str]) -> Row:
    """The shares that are answered now; ``targets``: region -> name it is led to. Raises DriverError."""
    return _row(_by_region(switch, targets))


def answered_of(switch: Switch, targets: Mapping[str, str]) -> Answered:
    """Shares and layers. Raises DriverError when either cannot be read."""
    layers = (Layer(note.mark, _row(note.was), _row(note.to)) for note in notes_of(switch))
    return Answered(row_of(switch, targets), tuple(layers))


def switch_of(switch: Switch, targets: Mapping[str, str], wanted: Answered) -> Switch:
    """The same switch set to what is wanted, names in the order they had.

    Weights that were there before come back as they were (3 to 1 and not 75 to 25), since the choice for each user
    depends on them. Raises Unsupported for other shares than whole percents, DriverError for an unknown region.
    """
    known = [_by_region(switch, targets)]
    known += [weights for note in notes_of(switch) for weights in (note.was, note.to)]
    weights = {_target(region, targets): n for region, n in _whole(wanted.now, known).items()}
    notes = [
        str(Note(at, layer.mark, _whole(layer.to, known), _whole(layer.was, known)))
        for at, layer in enumerate(wanted.layers, 1)
    ]
    return replace(switch, weights={**dict.fromkeys(switch.weights, 0), **weights}, notes=notes)


def _row(weights: Weights) -> Row:
    total = sum(weights.values())
    return {region: weight / total for region, weight in weights.items()}


def _by_region(switch: Switch, targets: Mapping[str, str]) -> Weights:
    regions = {target: region for region, target in targets.items()}
    strange = [name for name, weight in switch.weights.items() if weight and name not in regions]
    if strange or not any(switch.weights.values()):
        where = f"to {', '.join(strange)}, which is no region's target" if strange else "nowhere: every weight is 0"
        raise DriverError(f"{switch.name} leads {where}; the targets are {', '.join(regions)}")
    return {region: switch.weights.get(target, 0) for region, target in targets.items()}


def _target(region: str, targets: Mapping[str, str]) -> str:
    if region not in targets:
        raise DriverError(f"the region {region} has no target; the regions are {', '.join(targets)}")
    return targets[region]


def _whole(row: Row, known: list[Weights]) -> Weights:
    for weights in known:
        if _used(_row(weights)) == _used(row):
            return weights
    percents = {region: round(share * 100) for region, share in row.items()}
    exact = all(abs(percents[region] - share * 100) < _NEARLY and share >= 0 for region, share in row.items())
    if not exact or sum(percents.values()) != 100:
        raise Unsupported(f"shares are whole percents that make 100, not {dict(row)}")
    return percents


def _used(row: Row) -> Row:
    return {region: share for region, share in row.items() if share}
