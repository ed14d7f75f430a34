"""What the web process is told when it begins: one JSON object, as docs/wire.md has it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from simian.errors import UsageError

Role = Literal["reader", "operator"]
ROLES: tuple[Role, ...] = ("reader", "operator")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_KINDS: dict[str, tuple[type, ...]] = {
    "host": (str,),
    "port": (int,),
    "socket": (str,),
    "history": (str,),
    "system": (str,),
    "tokens": (list,),
    "read_needs_token": (bool,),
    "allowed_hosts": (list,),
    "base_url": (str, type(None)),
    "calendar": (dict, type(None)),
}
_NEEDED = ("socket", "history", "system")


@dataclass(frozen=True)
class Token:
    """Whose it is and what it opens. ``sha256``: of the token's text, hexadecimal; the text itself is known nowhere."""

    name: str
    role: Role
    sha256: str


@dataclass(frozen=True)
class Settings:
    """``port`` 0: any that is free. ``allowed_hosts``: names by which browsers may call it, beside ``host`` and this
    machine's own. ``base_url``: its address from outside, where something stands in front of it. ``calendar``: the
    system's, as in simian.yaml.
    """

    socket: str
    history: str
    system: str
    host: str = "127.0.0.1"
    port: int = 8480
    tokens: tuple[Token, ...] = ()
    read_needs_token: bool = False
    allowed_hosts: tuple[str, ...] = ()
    base_url: str | None = None
    calendar: Mapping[str, Any] | None = field(default=None)

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by HTTPS, so that its cookie may ask for that."""
        return (self.base_url or "").startswith("https://")


def read_settings(line: str) -> Settings:
    """Of the line on stdin. Raises UsageError with every problem."""
    try:
        given = json.loads(line)
    except ValueError as error:
        raise UsageError(f"the web process was told no JSON ({error}); it is spawned by simian serve") from error
    if not isinstance(given, dict):
        raise UsageError("the web process was told no JSON object; it is spawned by simian serve")
    problems = [*_problems(given)]
    if problems:
        raise UsageError(problems)
    tokens = tuple(Token(each["name"], each["role"], each["sha256"]) for each in given.get("tokens", ()))
    hosts = tuple(host.lower() for host in given.get("allowed_hosts", ()))
    return Settings(**{**given, "tokens": tokens, "allowed_hosts": hosts})


def _problems(given: Mapping[str, Any]) -> list[str]:
    found = [f"{key}: there is no such setting; there are {', '.join(_KINDS)}" for key in given if key not in _KINDS]
    found += [f"{key}: it is needed" for key in _NEEDED if key not in given]
    for key, kinds in _KINDS.items():
        if key in given and (not isinstance(given[key], kinds) or (isinstance(given[key], bool) and bool not in kinds)):
            names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            found.append(f"{key}: {given[key]!r} is no {names}")
    if found:
        return found
    if not 0 <= given.get("port", 0) <= 65535:
        found.append(f"port: {given['port']} is none; it is 0 to 65535")
    hosts = given.get("allowed_hosts", [])
    found += [
        f"allowed_hosts: {host!r} is no name of a host" for host in hosts if not isinstance(host, str) or not host
    ]
    return found + [problem for each in given.get("tokens", []) for problem in _token_problems(each)]


def _token_problems(each: Any) -> list[str]:
    if not isinstance(each, dict) or set(each) != {"name", "role", "sha256"}:
        return ["tokens: each has name, role and sha256, and nothing else"]
    found = []
    if not isinstance(each["name"], str) or not _NAME.fullmatch(each["name"]):
        found.append(f"tokens: the name {each['name']!r} must be letters, digits and ._@+-")
    if each["role"] not in ROLES:
        found.append(f"tokens: the role of {each['name']!r} is {each['role']!r}; it is one of {', '.join(ROLES)}")
    if not isinstance(each["sha256"], str) or not _SHA256.fullmatch(each["sha256"]):
        found.append(f"tokens: the sha256 of {each['name']!r} must be 64 hexadecimal digits in lower case")
    return found
