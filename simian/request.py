"""What was asked of one run, as data: the command writes it, the runner reads it, the journal keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class RunRequest:
    """One run, wholly described.

    ``stages`` are the hand-written ones of an experiment (else ``monkey`` chooses); ``checks`` and ``aborts`` are
    JSON of ``Check`` and ``AbortCondition``; ``settings`` is the world (secrets by reference); ``limits``,
    ``calendar`` and ``guards`` are those sections of simian.yaml; ``confirmed_plan_hash`` is what a person agreed to.
    ``exposure`` is required, assumed, or the probe of a counter that grows while users are served.
    ``schedule``: the one whose due time this is.
    ``experiment_file`` is where its experiment was read from, so that it can be replayed.
    ``verify`` names data checks; ``force_headroom``: move users although the saviour lacks room.
    """

    run: str
    system: str
    seed: int
    settings: Mapping[str, Any]
    state_folder: str
    monkey: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] = ()
    experiment: str | None = None
    experiment_file: str | None = None
    hypothesis: str | None = None
    radius: str = "system"
    for_s: float = 30.0
    baseline_s: float = 15.0
    recover_within_s: float = 60.0
    exposure: str | Mapping[str, Any] = "required"
    checks: Sequence[Mapping[str, Any]] = ()
    aborts: Sequence[Mapping[str, Any]] = ()
    verify: Sequence[str] = ()
    force_headroom: bool = False
    leashed: bool = False
    note: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)
    calendar: Mapping[str, Any] | None = None
    guards: Sequence[Mapping[str, Any]] = ()
    users_feed: str | None = None
    plugins: Sequence[str] = ()
    confirmed_plan_hash: str | None = None
    version: str = ""
    schedule: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The request as data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunRequest":
        """The request that ``to_json`` wrote; unknown keys of a newer version are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})
