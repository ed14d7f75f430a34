"""Experiments and monkeys: what they say, how far they reach, how they ended of late; plan one, start it."""

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from simian.errors import UsageError
from simian.web.failures import Missing
from simian.web.pages.frame import Page, goto
from simian.web.shapes import RunAsked, checked
from simian.web.tools import Tools

LATELY = 10
PREFIX = "option."
_SEEDS = 1 << 32
Known = Mapping[str, Any]


async def experiments(page: Page) -> Response:
    """All of them."""
    return page.show("experiments.html", experiments=await page.tools.seen("experiments"))


async def experiment(page: Page) -> Response:
    """One, with its file's text."""
    found = _named("experiment", page.path["name"], await page.tools.seen("experiments"))
    return page.show("experiment.html", one=found)


async def monkeys(page: Page) -> Response:
    """All of them, with their last verdicts."""
    found = await page.tools.seen("monkeys")
    lately = {str(monkey["name"]): await _lately(page.tools, str(monkey["name"]), 5) for monkey in found}
    return page.show("monkeys.html", monkeys=found, lately=lately)


async def monkey(page: Page) -> Response:
    """One, with a form of its options."""
    found = _named("monkey", page.path["name"], await page.tools.seen("monkeys"))
    return page.show("monkey.html", one=found, lately=await _lately(page.tools, found["name"], LATELY))


async def _lately(tools: Tools, name: str, number: int) -> list[dict[str, Any]]:
    return (await tools.books.look(lambda history: history.page(monkey=name, limit=number))).rows


def _named(kind: str, name: str, found: Iterable[Known]) -> Known:
    for each in found:
        if each["name"] == name:
            return each
    raise Missing(f"no {kind} is called {name[:60]!r}; see the list of all")


async def plan(page: Page) -> Response:
    """What a run would do. Nothing is touched, so it may be asked for by GET."""
    asked = await _asked(page.tools, page.query)
    asked.setdefault("seed", secrets.randbelow(_SEEDS))  # fixed here, so that what is agreed to is what is run
    answer = await page.tools.daemon.ask("plan", by=page.visitor.who, **_of_a_plan(asked))
    found = answer.get("plan", answer)
    stages = [{**stage, "told": [_fault(fault) for fault in stage["faults"]]} for stage in found["stages"]]
    return page.show(
        "plan.html", plan=found, stages=stages, asked=asked, sent=json.dumps(asked), key=secrets.token_hex(16)
    )


def _of_a_plan(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if key not in ("note", "leashed")}


def _fault(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Its kind, what it hits, and the rest of what it says."""
    aim = next((key for key in ("target", "node", "link", "home", "region") if key in fault), "")
    left_out = ("kind", "version", "was", "target", aim)
    more = {key: value for key, value in fault.items() if key not in left_out and value not in (None, "", [], {})}
    return {"kind": fault.get("kind"), "target": fault.get(aim, ""), "more": more}


async def start(page: Page) -> Response:
    """What was planned and agreed to."""
    try:
        given = json.loads(page.form.get("asked", ""))
    except ValueError as error:
        raise UsageError("this form is none of simian's; plan the run anew") from error
    asked = checked(RunAsked, given).model_dump()

    async def begin() -> Any:
        return await page.tools.change(page.visitor, "start", **asked)

    answer = await page.tools.once(page.visitor.who, page.form.get("key"), asked, begin)
    return goto(f"/runs/{answer['run']}", page.request)


async def _asked(tools: Tools, given: Mapping[str, str]) -> dict[str, Any]:
    """Of a form's texts the values that the API takes. Raises UsageError with every problem."""
    asked: dict[str, Any] = {key: given[key].strip() for key in ("monkey", "experiment", "note") if key in given}
    problems: list[str] = []
    if "seed" in given:
        asked["seed"] = _number(given["seed"], "seed", int, problems)
    if "for_s" in given:
        asked["for_s"] = _number(given["for_s"], "for", float, problems)
    if given.get("leashed") == "on":
        asked["leashed"] = True
    if "monkey" in asked:
        found = _named("monkey", asked["monkey"], await tools.seen("monkeys"))
        types = {str(option["name"]): str(option.get("type") or "") for option in found["options"]}
        texts = {key.removeprefix(PREFIX): text for key, text in given.items() if key.startswith(PREFIX)}
        asked["options"] = {name: _value(text, types.get(name, ""), name, problems) for name, text in texts.items()}
    if problems:
        raise UsageError(problems)
    checked(RunAsked, asked)
    return asked


def _value(text: str, kind: str, name: str, problems: list[str]) -> Any:
    """A list is written with commas; a switch is on."""
    if "list" in kind.lower():
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind.startswith("bool"):
        return text == "on"
    if kind.startswith("int"):
        return _number(text, name, int, problems)
    return _number(text, name, float, problems) if kind.startswith("float") else text


def _number(text: str, name: str, kind: type[int] | type[float], problems: list[str]) -> float | int | None:
    try:
        return kind(text)
    except ValueError:
        problems.append(f"{name}: {text[:40]!r} is no number")
        return None
