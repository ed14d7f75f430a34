"""Experiments and monkeys: what they say, how far they reach, how they ended of late; plan one, start it."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from simian.errors import UsageError
from simian.history.lately import Of
from simian.report.figures import fault_name
from simian.web.failures import Missing
from simian.web.pages.frame import Page, goto
from simian.web.pages.options import given_options, number_of, proposed
from simian.web.shapes import RunAsked, checked
from simian.web.tools import Tools

LATELY = 10
PREFIX = "option."
_SEEDS = 1 << 32
Known = Mapping[str, Any]


async def experiments(page: Page) -> Response:
    """All of them, with their last verdicts."""
    found = [await _reaching(page.tools, each) for each in await page.tools.seen("experiments")]
    lately = await _lately(page.tools, "experiment", [title_of(each) for each in found], 5)
    return page.show("experiments.html", experiments=found, lately=lately)


async def experiment(page: Page) -> Response:
    """One, with its file's text."""
    found = _named("experiment", page.path["name"], await page.tools.seen("experiments"))
    title = title_of(found)
    lately = await _lately(page.tools, "experiment", [title], LATELY)
    return page.show("experiment.html", one=await _reaching(page.tools, found), lately=lately[title])


def title_of(experiment: Known) -> str:
    """What records of its runs call it."""
    return str(experiment.get("title") or experiment["name"])


async def _reaching(tools: Tools, experiment: Known) -> Known:
    """With how far it may reach: it says so itself, or its monkey does."""
    radii = {each["name"]: each["radius"] for each in await tools.seen("monkeys")}
    reach = experiment.get("radius") or radii.get(experiment.get("monkey"))
    return {**experiment, "title": title_of(experiment), "reach": reach}


async def monkeys(page: Page) -> Response:
    """All of them, with their last verdicts."""
    found = await page.tools.seen("monkeys")
    lately = await _lately(page.tools, "monkey", [str(monkey["name"]) for monkey in found], 5)
    return page.show("monkeys.html", monkeys=found, lately=lately)


async def monkey(page: Page) -> Response:
    """One, with a form of its options."""
    found = _named("monkey", page.path["name"], await page.tools.seen("monkeys"))
    name = str(found["name"])
    lately = await _lately(page.tools, "monkey", [name], LATELY)
    return page.show("monkey.html", one=found, lately=lately[name], proposed=await proposed(page.tools))


async def _lately(tools: Tools, of: Of, names: Sequence[str], number: int) -> dict[str, list[dict[str, Any]]]:
    return await tools.books.look(lambda history: history.lately(of, names, number))


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
    """What it does to what, and the rest of what it says."""
    aim = next((key for key in ("target", "node", "link", "home", "region") if key in fault), "")
    name = fault_name(str(fault.get("kind")), str(fault.get(aim, "")), fault)
    left_out = ("kind", "version", "was", "target", "from_shares", "to_shares", "homes", "mode", aim)
    more = {
        key.replace("_", " "): ", ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in fault.items()
        if key not in left_out and value not in (None, "", [], {}, False)
    }
    return {"name": name, "more": more}


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
        asked["seed"] = number_of(given["seed"], "seed", int, problems)
    if "for_s" in given:
        asked["for_s"] = number_of(given["for_s"], "for", float, problems)
    if given.get("leashed") == "on":
        asked["leashed"] = True
    if "monkey" in asked:
        found = _named("monkey", asked["monkey"], await tools.seen("monkeys"))
        asked["options"] = given_options(found["options"], given, PREFIX, problems)
    if problems:
        raise UsageError(problems)
    checked(RunAsked, asked)
    return asked
