"""What can be changed at a gateway while it runs; it lives in memory only, and each setting names its owner."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .layout import REGIONS

MODES = ("isthmus", "redirect")
DEFAULT_CONCURRENCY = 256
MAX_CONCURRENCY = 100_000


class BadSettings(ValueError):
    """``problems`` holds a sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Failover:
    """Users of these regions are served here."""

    regions: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Misrouted:
    """What becomes of other users whose home is elsewhere: ``isthmus`` (proxied there) or ``redirect`` (sent there).

    ``own``: so do this region's own users whom the geo rules in force (the DNS's answers of this moment) send to
    another region, or of whom that cannot be told: the region is being left.
    """

    mode: str = "isthmus"
    own: bool = False
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests may be under way at once."""

    concurrency: int = DEFAULT_CONCURRENCY
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one gateway."""

    failover: Failover = field(default_factory=Failover)
    misrouted: Misrouted = field(default_factory=Misrouted)
    limit: Limit = field(default_factory=Limit)

    def to_json(self) -> dict[str, Any]:
        """As ``GET /admin/settings`` shows it."""
        return asdict(self)

    def changed(self, patch: object) -> "Settings":
        """With the fields that ``patch`` names set anew, and the owner it names. Raises BadSettings."""
        if problems := _problems(patch):
            raise BadSettings(problems)
        assert isinstance(patch, dict)
        return replace(self, **{name: replace(getattr(self, name), **_fields(patch[name])) for name in patch})


def _fields(shape: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples; whoever changes a setting without an owner's name leaves it without one."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in shape.items()}
    return {"owner": "", **fields}


_WANTED: dict[str, dict[str, tuple[Callable[[Any], bool], str]]] = {
    "failover": {"regions": (lambda v: isinstance(v, list) and all(r in REGIONS for r in v), f"a list of {REGIONS}")},
    "misrouted": {
        "mode": (lambda v: v in MODES, f"one of {MODES}"),
        "own": (lambda v: isinstance(v, bool), "true or false"),
    },
    "limit": {
        "concurrency": (
            lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 < v <= MAX_CONCURRENCY,
            f"a whole number from 1 to {MAX_CONCURRENCY}",
        )
    },
}
_OWNER = (lambda v: isinstance(v, str) and len(v) <= 200, "a text of at most 200 characters")


def _problems(patch: object) -> list[str]:
    """Every problem of what should be a change of settings."""
    if not isinstance(patch, dict):
        return ["settings are a JSON object"]
    found = []
    for name, shape in patch.items():
        if name not in _WANTED:
            found.append(f"there is no setting {name!r}; there are {', '.join(_WANTED)}")
        elif not isinstance(shape, dict):
            found.append(f"{name} must be a JSON object")
        else:
            found += [problem for field, value in shape.items() if (problem := _problem(name, field, value))]
    return found


def _problem(name: str, field_name: str, value: object) -> str:
    wanted = {**_WANTED[name], "owner": _OWNER}
    if field_name not in wanted:
        return f"{name} has no {field_name!r}; it has {', '.join(wanted)}"
    fits, words = wanted[field_name]
    return "" if fits(value) else f"{name}.{field_name} is {value!r}; it must be {words}"
