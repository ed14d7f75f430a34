"""Making text from elsewhere (names, details, notes) safe to show: nothing in it may steer a terminal."""

import re

LONGEST = 400  # a detail of a page's length hides the story
# C0 and C1 controls, DEL, bidirectional overrides, zero-width and line separators, halves of surrogate pairs, tags
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\t\n\r":
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain(value: object, longest: int = LONGEST) -> str:
    """One line of visible text: white space becomes spaces, whatever else steers is shown as its escape."""
    text = _UNSAFE.sub(_visible, str(value)).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


_FORMULA = re.compile(r"[=@]|[+-](?=[^\d\s.])")


def no_formula(cell: str) -> str:
    """A cell of a table that people copy into a spreadsheet: text there, too, whatever it begins with."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
