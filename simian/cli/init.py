"""``simian init``: a compose project described for simian, and an override that opts it in."""

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simian.cli.output import print_json, printable
from simian.errors import UsageError

if TYPE_CHECKING:
    from simian.adopt.places import Place
    from simian.adopt.plan import Adoption
    from simian.compose import Project

USUAL = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
OVERRIDE = "compose.simian.yaml"


def init(
    ctx: typer.Context,
    compose: Annotated[
        list[str] | None,
        typer.Option("--compose", help="A compose file, or several. [default: as compose]"),
    ] = None,
    profile: Annotated[list[str] | None, typer.Option("--profile", help="Take in services of this profile.")] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", help="Lead this link (SOURCE--TARGET[:PORT]), or `all`, through Toxiproxy."),
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="The configuration to write.")] = "simian.yaml",
    api_port: Annotated[
        int, typer.Option("--api-port", min=1, max=65535, help="Where on loopback Toxiproxy is steered.")
    ] = 8474,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: one region, one zone.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> int:
    """Describe a compose project: write simian.yaml, and an override file that opts its services in."""
    from simian.adopt.plan import adopted
    from simian.compose import read_project

    files = [Path(one) for one in compose or _usual()]
    project = read_project(files, os.environ, profile or ())
    asking = not (yes or ctx.obj.json) and sys.stdin.isatty() and sys.stderr.isatty()
    answers = ask_places(project) if asking else {}
    plan = adopted(project, answers, proxy or (), api_port)
    texts = written(plan, files, Path(output))
    write_all(texts, force)
    _tell(plan, [str(path) for path in texts], _next(files, plan), ctx.obj.json)
    return 0


def _usual() -> list[str]:
    """What compose itself would read here, the usual override included."""
    found = next((name for name in USUAL if Path(name).is_file()), None)
    if found is None:
        raise UsageError(f"no compose file is here ({', '.join(USUAL)}); name yours with --compose FILE")
    stem, _, ending = found.rpartition(".")
    beside = (f"{stem}.override.{end}" for end in (ending, "yaml" if ending == "yml" else "yml"))
    return [found, *[name for name in beside if Path(name).is_file()][:1]]


def ask_places(project: "Project") -> "dict[str, Place]":
    """Region and zone of each service that has no labels, from a person; the last answer is the next one's default."""
    from simian.adopt.places import Place, labelled

    answers: dict[str, Place] = {}
    last = Place()
    print("Where does each service run? REGION/ZONE, or REGION/ for a part without a zone.", file=sys.stderr)
    for name, service in project.services.items():
        if not labelled(service):
            answers[name] = last = _ask_place(name, last)
    return answers


def _ask_place(name: str, last: "Place") -> "Place":
    from simian.adopt.places import Place

    while True:
        print(f"  {printable(name)} [{last}]: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line.strip():
            return last
        try:
            return Place.of(line)
        except ValueError as error:
            print(f"  {error}", file=sys.stderr)


def written(plan: "Adoption", files: Sequence[Path], output: Path) -> dict[Path, str]:
    """Every file to write, with its text. The override lies beside the first compose file: its paths start there."""
    from simian.adopt.config_text import config_text
    from simian.adopt.override_text import override_text, proxies_text

    folder = files[0].parent
    if any(one.name == OVERRIDE for one in files):
        raise UsageError(f"{OVERRIDE} is what this command writes; name your own files alone")
    named = (word for one in files for word in ("--compose", one.name))
    command = shlex.join(["simian", "init", *named, *_chosen(plan)])
    names = {proxy.name: f"compose.{proxy.name}.json" for proxy in plan.proxies}
    texts = {
        output: config_text(plan, command, os.environ.get("DOCKER_HOST", "")),
        folder / OVERRIDE: override_text(plan, command, _up(files), names),
    }
    return texts | {folder / names[proxy.name]: proxies_text(proxy) for proxy in plan.proxies}


def _chosen(plan: "Adoption") -> list[str]:
    from simian.adopt.calls import NAMED

    seen = [call.name for call in plan.calls if call.why != NAMED]
    named = [f"{call.name}:{call.port}" for call in plan.calls if call.why == NAMED]
    routed = [name for name in seen if name in plan.routed]
    names = ["all"] if routed and routed == seen else routed
    return [word for name in [*names, *named] for word in ("--proxy", name)]


def _up(files: Sequence[Path]) -> str:
    folder = files[0].parent
    named = [str(one) for one in files] + [str(folder / OVERRIDE)]
    return shlex.join(["docker", "compose", *(word for one in named for word in ("-f", one)), "up", "-d"])


def write_all(texts: Mapping[Path, str], force: bool) -> None:
    """Write them, but nothing if one is there already. Raises UsageError, naming each such."""
    there = [path for path in texts if path.exists() or path.is_symlink()]
    if there and not force:
        raise UsageError(f"{path} is there already; move it away, or say --force to overwrite it" for path in there)
    for path, text in texts.items():
        try:
            _write(path, text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}; choose another place with -o") from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)  # an engine's container may read it as another user
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def _next(files: Sequence[Path], plan: "Adoption") -> list[str]:
    from simian.adopt.config_text import SIDECAR

    return [_up(files), f"docker pull {SIDECAR}", "simian doctor", "simian chaos --plan", "simian chaos"]


def told(plan: "Adoption", files: Sequence[str], commands: Sequence[str]) -> dict[str, Any]:
    """The JSON shape of docs/cli.md."""
    services = [
        {"name": name, "region": place.region, "zone": place.zone or None, "enabled": name in plan.enabled}
        for name, place in plan.places.items()
    ]
    links = [
        {"name": call.name, "source": call.source, "target": call.target, "port": call.port, "why": call.why}
        | {"proxied": call.name in plan.routed}
        for call in plan.calls
    ]
    checks = [{"check": one.name, one.kind: one.address, "guessed": one.guessed} for one in plan.checks]
    found = {"system": plan.project.name, "services": services, "links": links, "checks": checks}
    return {"written": list(files), **found, "remarks": list(plan.remarks), "next": list(commands)}


def _tell(plan: "Adoption", files: Sequence[str], commands: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json(told(plan, files, commands))
        return
    proxied = sum(call.name in plan.routed for call in plan.calls)
    links = f"{len(plan.calls)} links" + (f", {proxied} of them through Toxiproxy" if proxied else "")
    print(f"{plan.project.name}: {len(plan.places)} services, {links}, {len(plan.checks)} published ports")
    for path in files:
        print(f"wrote {path}")
    for remark in plan.remarks:
        print(f"note: {printable(remark)}", file=sys.stderr)
    print("next:")
    for command in commands:
        print(f"  {command}")
