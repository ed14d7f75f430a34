"""Build the images of the lab from packages, under their official names, where no image registry can be reached.

    lab/docker/make-images [--force] [--jobs N] [NAME …]

Each folder of ``images/`` is one image. Its ``Dockerfile`` begins with ``# image: NAME``, may go on with
``# with: PATTERN …`` (files of this project that it needs beside it), and names what it stands on in ``FROM`` and
``COPY --from``. A script ``prepare`` beside it brings what containers are not to fetch: it runs on this machine, in a
copy of the folder. A ``host-ca.crt`` that the Dockerfile mentions is this machine's file of certificates.

An image carries, as a label, a hash of its files and of the images that it stands on: it is built again when that is no
longer what it would be. One of the same name without that label is somebody else's, official or not, and left alone.
Needs the standard library and a ``docker`` client, heeds ``DOCKER_HOST``, and wants nothing of the engine's BuildKit.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

LABEL = "simian.image.content"
PROJECT = Path(__file__).resolve().parents[2]
CERTIFICATES = "host-ca.crt"
# Where the machine's certificates are, by what programs are told and by what distributions have agreed on.
_CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_CERTIFICATE_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_NO_SOURCE = {"__pycache__", "build", "dist"}
_HEADER = re.compile(r"^# (image|with): *(.+)$", re.MULTILINE)
_BASE = re.compile(r"^(?:FROM|COPY +--from=) *(\S+)", re.MULTILINE)
_SHOWN_LINES = 40


class ImagesError(Exception):
    """What is wrong, what would be right, what to do."""


@dataclass(frozen=True)
class Recipe:
    """How one image is built: its official name, the folder it is told in, and all that goes into it."""

    name: str
    folder: Path
    project: Path
    with_: tuple[str, ...] = ()
    text: str = ""

    @property
    def stands_on(self) -> tuple[str, ...]:
        """Images named in the Dockerfile, and its own stages among them."""
        return tuple(dict.fromkeys(_BASE.findall(self.text)))

    @cached_property
    def files(self) -> dict[str, Path]:
        """What the build is given: path there -> path here. Raises ``ImagesError`` for a pattern that finds nothing."""
        own = {str(path.relative_to(self.folder)): path for path in _sources(self.folder.rglob("*"))}
        for pattern in self.with_:
            found = _sources(self._matching(pattern))
            if not found:
                raise ImagesError(f"{self.folder / 'Dockerfile'}: nothing in {self.project} is called {pattern}")
            own |= {str(path.relative_to(self.project)): path for path in found}
        return own

    def _matching(self, pattern: str) -> Iterable[Path]:
        for path in self.project.glob(pattern):
            yield from path.rglob("*") if path.is_dir() else [path]

    def content(self, base_ids: Iterable[str]) -> str:
        """A hash of all that makes this image."""
        made = hashlib.sha256()
        for part in (*sorted(base_ids), *(line for name in sorted(self.files) for line in self._told(name))):
            made.update(len(part).to_bytes(8, "big") + (part if isinstance(part, bytes) else part.encode()))
        return made.hexdigest()

    def _told(self, name: str) -> tuple[str, str, bytes]:
        path = self.files[name]
        return name, "program" if os.access(path, os.X_OK) else "file", path.read_bytes()


def _sources(paths: Iterable[Path]) -> list[Path]:
    """The files among these, without what building and running leaves behind."""
    return [
        path
        for path in paths
        if path.is_file() and not _NO_SOURCE.intersection(path.parts) and ".egg-info" not in str(path)
    ]


def read_recipes(folder: Path, project: Path) -> dict[str, Recipe]:
    """Image's name -> how it is built. ``{version}`` in a name is that of the project. Raises ``ImagesError``."""
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    found = {}
    for path in sorted(folder.glob("*/Dockerfile")):
        text = path.read_text()
        header = dict(_HEADER.findall(text))
        if "image" not in header:
            raise ImagesError(f"{path}: no name; right would be a line '# image: redis:7'; add it at the top")
        name = header["image"].strip().replace("{version}", version)
        found[name] = Recipe(name, path.parent, project, tuple(header.get("with", "").split()), text)
    return found


def wanted(recipes: Mapping[str, Recipe], names: Sequence[str]) -> dict[str, Recipe]:
    """These, or all, and those they stand on. Raises ``ImagesError`` for names that nobody knows, all at once."""
    unknown = [f"{name} is no image; {_nearest(name, recipes)}" for name in names if name not in recipes]
    if unknown:
        raise ImagesError("\n".join(unknown))
    found: dict[str, Recipe] = {}
    waiting = list(names or recipes)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = recipes[name]
            waiting += [base for base in recipes[name].stands_on if base in recipes]
    return found


def _nearest(name: str, recipes: Mapping[str, Recipe]) -> str:
    near = difflib.get_close_matches(name, recipes, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(recipes))}"


@dataclass(frozen=True)
class Image:
    """One that the engine has. ``content`` is empty when it was not built here."""

    id: str
    content: str
    size_mb: float


class Engine:
    """The Docker engine, by its client's command line: nothing else is needed before anything is installed."""

    def __init__(self, program: str = "docker") -> None:
        self._program = program
        # The classic builder does all that is needed, and every engine has it.
        self._environment = {"DOCKER_BUILDKIT": "0"} | dict(os.environ)

    def check(self) -> None:
        """Raises ``ImagesError`` when it does not answer."""
        if shutil.which(self._program) is None:
            raise ImagesError(f"no program {self._program}; install Docker's client (Debian: docker.io or docker-cli)")
        done = self._do("version", "--format", "{{.Server.Version}}")
        if done.returncode:
            where = os.environ.get("DOCKER_HOST", "the client's own context")
            raise ImagesError(
                f"no Docker engine answers ({where}): {done.stderr.strip()}; start it, or set DOCKER_HOST"
            )

    def image(self, name: str) -> Image | None:
        """The image of this name, if there is one."""
        done = self._do("image", "inspect", name)
        if done.returncode:
            if "no such image" in done.stderr.lower():
                return None
            raise ImagesError(f"{name} could not be looked at: {done.stderr.strip()}")
        told = json.loads(done.stdout)[0]
        labels = told["Config"].get("Labels") or {}
        return Image(told["Id"], labels.get(LABEL, ""), told["Size"] / 1e6)

    def build(self, name: str, context: Path, content: str, log: Path, anew: bool) -> bool:
        """Whether it could be built; what the engine said is added to the log."""
        # Containers of an engine without a bridge have no network of their own, so the build borrows the machine's.
        options = ["--force-rm", "--network=host", f"--label={LABEL}={content}", *(["--no-cache"] if anew else [])]
        return run([self._program, "build", *options, "-t", name, str(context)], context, log, self._environment)

    def _do(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([self._program, *words], capture_output=True, text=True, env=self._environment)


def run(command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a command ended well in this folder; what it said is added to the log."""
    with log.open("ab") as out:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    return done.returncode == 0


class Builder:
    """Builds what is not as it should be. ``say`` is told what happens, a line each."""

    def __init__(self, engine: Engine, say: Callable[[str], None], force: bool = False) -> None:
        self._engine, self._say, self._force = engine, say, force

    def make(self, recipe: Recipe) -> str:
        """Have this image as it should be: ``built``, ``up to date`` or ``left alone``. Raises ``ImagesError``."""
        there = self._engine.image(recipe.name)
        if there and not there.content:
            self._say(f"{recipe.name}: not built here, left alone")
            return "left alone"
        bases = [found.id for base in recipe.stands_on if (found := self._engine.image(base))]
        content = recipe.content(bases)
        if there and there.content == content and not self._force:
            self._say(f"{recipe.name}: up to date")
            return "up to date"
        began = time.monotonic()
        self._say(f"{recipe.name}: building …")
        self._build(recipe, content)
        made = self._engine.image(recipe.name)
        size_mb = made.size_mb if made else 0.0
        self._say(f"{recipe.name}: built in {time.monotonic() - began:.0f} s, {size_mb:.0f} MB")
        return "built"

    def _build(self, recipe: Recipe, content: str) -> None:
        with tempfile.TemporaryDirectory(prefix="simian-image-") as folder:
            context, log = Path(folder) / "context", Path(folder) / "log"
            fill(context, recipe)
            prepare = context / "prepare"
            prepared = not prepare.exists() or run([str(prepare)], context, log)
            if not prepared or not self._engine.build(recipe.name, context, content, log, self._force):
                last = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
                step = "the engine's build" if prepared else f"{recipe.folder / 'prepare'}"
                raise ImagesError(f"{recipe.name} could not be built; {step} ended with:\n{last}")


def fill(context: Path, recipe: Recipe) -> None:
    """A folder with all that the build is given."""
    for name, path in recipe.files.items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, context / name)
    if CERTIFICATES in recipe.text:
        shutil.copy(certificates(os.environ), context / CERTIFICATES)


def certificates(environment: Mapping[str, str]) -> Path:
    """The file of certificates by which this machine knows its package index; what it is told goes first."""
    told = [environment[name] for name in _CERTIFICATE_VARIABLES if environment.get(name)]
    for path in map(Path, (*told, *_CERTIFICATE_FILES)):
        if path.is_file():
            return path
    raise ImagesError("no file of certificates on this machine; install ca-certificates, or set SSL_CERT_FILE to one")


def make_all(recipes: Mapping[str, Recipe], make: Callable[[Recipe], str], jobs: int) -> tuple[list[str], list[str]]:
    """Make all of them, those that others stand on first, ``jobs`` at once: what became of them, and what went wrong.

    After the first that fails none is begun any more.
    """
    order = TopologicalSorter({name: {base for base in r.stands_on if base in recipes} for name, r in recipes.items()})
    try:
        order.prepare()
    except CycleError as error:
        raise ImagesError(f"images that stand on each other: {' -> '.join(error.args[1])}") from error
    ended: list[str] = []
    wrong: list[str] = []
    running: dict[Future[str], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while order.is_active() and (running or not wrong):
            if not wrong:
                running |= {pool.submit(make, recipes[name]): name for name in order.get_ready()}
            for one in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(one)
                if isinstance(why := one.exception(), ImagesError | OSError):
                    wrong.append(str(why))
                else:
                    ended.append(one.result())
                    order.done(name)
    return ended, wrong


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="make-images", description="Build the lab's images from packages: docs/images.md."
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="such as redis:7; all, where none is given")
    made.add_argument("--force", action="store_true", help="build also what is up to date")
    made.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="how many at once")
    return made


def main(arguments: Sequence[str], folder: Path = PROJECT / "lab/docker/images", project: Path = PROJECT) -> int:
    """Build them: 0, or 1 when something went wrong."""
    options = parser().parse_args(arguments)
    began = time.monotonic()
    try:
        recipes = wanted(read_recipes(folder, project), options.names)
        engine = Engine()
        engine.check()
        builder = Builder(engine, lambda line: print(line, flush=True), options.force)
        ended, wrong = make_all(recipes, builder.make, max(1, options.jobs))
    except ImagesError as error:
        ended, wrong = [], str(error).splitlines()
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if not wrong:
        counts = ", ".join(f"{ended.count(each)} {each}" for each in ("built", "up to date", "left alone"))
        print(f"{len(ended)} images: {counts}; {time.monotonic() - began:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
