"""``$NAME`` and ``${NAME:-default}`` in the texts of a compose file, and files of such variables (``.env``): pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_LINE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)[ \t]*
    (?:[=:][ \t]*(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<bare>[^\n]*)))?
    (?P<rest>[^\n]*)(?:\n|$)""",
    re.VERBOSE | re.DOTALL,
)
_EMPTY = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}
MOST_NESTED = 10


@dataclass
class Variables:
    """Replaces variables by their values. ``unset``: names that had none, and no default; they count as empty."""

    values: Mapping[str, str]
    unset: dict[str, None] = field(default_factory=dict)

    def replaced(self, text: str, depth: int = 0) -> str:
        """The text with each variable replaced, ``$$`` by a dollar sign. Raises ValueError."""
        if depth > MOST_NESTED:
            raise ValueError(f"variables are nested deeper than {MOST_NESTED}")
        return "".join(self._pieces(text, depth))

    def _pieces(self, text: str, depth: int) -> Iterator[str]:
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            yield text[at:dollar]
            at = dollar + 1
            if text.startswith("$", at):
                yield "$"
                at += 1
            elif text.startswith("{", at):
                end = _closing(text, at)
                yield self._braced(text[at + 1 : end], depth)
                at = end + 1
            elif found := _NAME.match(text, at):
                yield self._value(found.group())
                at = found.end()
            else:
                raise ValueError(
                    f"{text[dollar : dollar + 20]!r} is no variable; right would be ${{NAME}}, or $$ for $"
                )
        yield text[at:]

    def _value(self, name: str) -> str:
        if name not in self.values:
            self.unset[name] = None
        return self.values.get(name, "")

    def _braced(self, inside: str, depth: int) -> str:
        found = _NAME.match(inside)
        if found is None or not (found.end() == len(inside) or _OPERATOR.match(inside, found.end())):
            forms = "${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+instead}"
            raise ValueError(f"'${{{inside:.40}}}' is no variable; right would be {forms}")
        name, rest = found.group(), inside[found.end() :]
        if not rest:
            return self._value(name)
        operator = _OPERATOR.match(rest)
        assert operator is not None
        there = bool(self.values.get(name)) if rest.startswith(":") else name in self.values
        return self._chosen(name, operator.group()[-1], there, rest[operator.end() :], depth)

    def _chosen(self, name: str, operator: str, there: bool, word: str, depth: int) -> str:
        if operator == "+":
            return self.replaced(word, depth + 1) if there else ""
        if there:
            return self.values[name]
        if operator == "?":
            raise ValueError(f"the variable {name} must be set: {self.replaced(word, depth + 1) or 'it has no value'}")
        return self.replaced(word, depth + 1)


def _closing(text: str, at: int) -> int:
    """Where the brace that opens at ``at`` is closed."""
    open_braces = 0
    for place in range(at, len(text)):
        open_braces += (text[place] == "{") - (text[place] == "}")
        if not open_braces:
            return place
    raise ValueError(f"'${text[at : at + 20]}' is never closed; right would be a }}")


def variables_in(text: str, name: str, known: Mapping[str, str]) -> tuple[dict[str, str | None], list[str]]:
    """Variables of such a file, and its problems. ``None``: only named there, so taken from outside.

    ``known``: variables that may be used in its values, besides its own earlier ones; these go before its own.
    """
    made: dict[str, str | None] = {}
    problems, at = [], 0
    text = text.replace("\r\n", "\n")
    while at < len(text):
        if empty := _EMPTY.match(text, at):
            at = empty.end()
            continue
        found, line = _LINE.match(text, at), text.count("\n", 0, at) + 1
        at = found.end() if found else text.find("\n", at) + 1 or len(text)
        try:
            if found is None or (found["rest"].strip() and not found["rest"].lstrip().startswith("#")):
                raise ValueError("this is no variable; right would be NAME=value")
            seen = {key: value for key, value in made.items() if value is not None}
            made[found["name"]] = _value_of(found, {**seen, **known})
        except ValueError as error:
            problems.append(f"{name}:{line}: {error}")
    return made, problems


def _value_of(found: "re.Match[str]", known: Mapping[str, str]) -> str | None:
    if found["single"] is not None:
        return found["single"]
    if found["double"] is not None:
        plain = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[0]), found["double"], flags=re.DOTALL)
        return Variables(known).replaced(plain)
    if found["bare"] is None:
        return None
    return Variables(known).replaced(re.sub(r"(^|[ \t]+)#.*", "", found["bare"]).strip())
