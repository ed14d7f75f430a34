"""A story as one HTML file: offline, no script, nothing loaded from anywhere, for a screen, a phone or paper."""

import base64
import hashlib
import re
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from simian.report.blocks import Block, Picture
from simian.report.clean import no_formula
from simian.report.story import Story
from simian.report.svg import TEMPLATES, style

_COLUMNS = 96
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|min|h)(?!\w))")
_MOODS = {
    "held": "good", "undone": "good", "better": "good", "still": "doubt", "unknown": "doubt", "refused": "doubt",
    "broken": "bad", "stuck": "bad", "doubtful": "bad", "worse": "bad", "crashed": "bad", "aborted": "doubt",
}  # fmt: skip


def html_of(told: Story) -> str:
    """The page of any story. Its policy for content allows the one style in it, and nothing else."""
    sheet = stylesheet()
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    lead = next((block for section in told.sections for block in section.blocks if _leads(block)), None)
    page = _environment().get_template("story.html")
    # The style sheet is a file of ours; the rest of the page is escaped.
    return page.render(told=told, lead=lead, style=Markup(sheet), digest=digest) + "\n"  # nosec B704


@cache
def stylesheet() -> str:
    """The style of page and charts; what is between <style> and </style> to the letter, as its hash is."""
    return (TEMPLATES / "page.css").read_text() + style()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"kind": _kind, "mood": _mood, "svg": _svg, "lines": _lines, "cell": _cell}
    return made


def _leads(block: Block) -> bool:
    return isinstance(block, Picture) and block.lead and block.chart is not None


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _cell(cell: str) -> str:
    """No formula, and no number apart from its unit."""
    return _UNIT.sub("\u00a0", no_formula(cell))


def _mood(cell: str) -> str:
    """The class of a cell that judges; empty for all others."""
    return _MOODS.get(cell, "")


def _svg(picture: Picture) -> Markup:
    """Markup of our own drawing, in which every text is escaped already."""
    # Each text in it was escaped as it was drawn.
    return Markup(picture.chart.svg()) if picture.chart else Markup()  # nosec B704


def _lines(picture: Picture) -> str:
    return "\n".join(picture.draw(_COLUMNS))
