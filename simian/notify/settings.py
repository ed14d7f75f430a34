"""``notify:`` in simian.yaml: who is told what, and through which channel."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from simian.fields import Duration, Part, Problem, parts
from simian.notify.parcel import DEADLINE_S, EVENTS, LONGEST_S
from simian.probes.http import allowed
from simian.secrets import RIGHT, is_reference

_FORMS = "{webhook: URL}, {command: [PROGRAM, ARGUMENT, …]} or {apprise: {env: NAME}}"
_REFERENCE = {"type": "object", "minProperties": 1, "maxProperties": 1}
_TextOrReference = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, _REFERENCE]})]
_Reference = Annotated[Any, WithJsonSchema(_REFERENCE)]


class NotifyPart(Part):
    """One channel. What may be a secret is of any type here, so that no error of a type shows what was written."""

    webhook: _TextOrReference = None
    command: Annotated[tuple[str, ...] | None, Field(strict=False)] = None
    apprise: _TextOrReference = None
    secret: _Reference = None
    on: Annotated[
        tuple[Literal["started", "aborted", "verdict", "stuck", "refused", "missed"], ...], Field(strict=False)
    ] = EVENTS  # type: ignore[assignment]
    deadline_s: Duration = Field(DEADLINE_S, alias="deadline", le=LONGEST_S)

    @model_validator(mode="after")
    def _is_one_thing(self) -> "NotifyPart":
        if len([one for one in (self.webhook, self.command, self.apprise) if one is not None]) != 1:
            raise ValueError(f"a channel is one thing; right would be {_FORMS}")
        return self

    def problems(self) -> Iterator[Problem]:
        """What is wrong with its keys, each by its name; no text that may be a secret is shown."""
        if self.secret is not None and self.webhook is None:
            yield ("secret",), "signs webhooks only; leave it out"
        if self.secret is not None and not is_reference(self.secret):
            yield ("secret",), f"a secret is never written down; right would be {RIGHT}"
        if self.command == ():
            yield ("command",), "is empty; right would be [PROGRAM, ARGUMENT, …]"
        if not self.on:
            yield ("on",), f"is empty, so that nothing would be told; there are: {', '.join(EVENTS)}"
        if self.webhook is not None and not is_reference(self.webhook):
            yield from ((("webhook",), what) for what in _wrong_address(self.webhook))
        if self.apprise is not None and not (is_reference(self.apprise) or "://" in str(self.apprise)):
            yield ("apprise",), f"is no address; right would be {RIGHT}, which holds one like slack://…"


def _wrong_address(url: object) -> Iterator[str]:
    right = f"right would be https://host/path, or {RIGHT} where the address is a secret"
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        yield f"is no address; {right}"
        return
    try:
        allowed(url)
    except ValueError:
        yield f"is no address, or has a password in it; {right}"


def notify_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the channels of a file, by their places in it."""
    names: set[str] = set()
    for index, part in parts(data, "notify", NotifyPart):
        found = list(part.problems())
        yield from ((("notify", index, *key), what) for key, what in found)
        name = "" if found else _name(part)
        if name and name in names:
            yield ("notify", index), "is there twice; name all its events under one on:"
        names.add(name)


def _name(part: NotifyPart) -> str:
    from simian.notify.channels import channels_of  # what sends is not needed where there is no channel

    return channels_of([part.model_dump(exclude_none=True)])[0].name
