"""What decides whether an image of the lab is built, and in which order: on small images, of one file each."""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from simian_lab.docker.make_images import (
    LABEL,
    PROJECT,
    ImagesError,
    Recipe,
    certificates,
    main,
    make_all,
    read_recipes,
    wanted,
)

from .containers import images_engine

IMAGES = PROJECT / "lab/docker/images"


class Folder:
    """Recipes of one's own: ``lower`` is made of one file, ``upper`` stands on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.prefix = f"simian-test-{uuid.uuid4().hex[:8]}"
        (folder / "pyproject.toml").write_text('[project]\nversion = "7.1"\n')
        self.add("lower", "FROM scratch\nCOPY told /\n", told="1")
        self.add("upper", f"FROM {self.name('lower')}\nCOPY told /also\n", told="1")

    def name(self, image: str) -> str:
        return f"{self.prefix}-{image}:1"

    def add(self, image: str, dockerfile: str, prepare: str = "", **files: str) -> None:
        folder = self.path / "images" / image
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text(f"# image: {self.name(image)}\n{dockerfile}")
        for name, text in files.items():
            (folder / name).write_text(text)
        if prepare:
            (folder / "prepare").write_text(f"#!/bin/sh\n{prepare}\n")
            (folder / "prepare").chmod(0o755)

    def make(self, *arguments: str) -> int:
        """The program, on these recipes."""
        return main(arguments, self.path / "images", self.path)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    api = images_engine()
    monkeypatch.setenv("DOCKER_HOST", os.environ["SIMIAN_DOCKER"])
    yield api
    api.close()


@pytest.fixture
def folder(engine: Any, tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for image in ("upper", "lower"):  # what others stand on cannot be removed before them
        with suppress(docker.errors.ImageNotFound):
            engine.remove_image(made.name(image), force=True)


def identities(engine: Any, folder: Folder) -> dict[str, str]:
    """What stands under each name."""
    return {image: str(engine.inspect_image(folder.name(image))["Id"]) for image in ("lower", "upper")}


def test_what_is_as_it_should_be_is_not_built_again(
    folder: Folder, engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.make() == 0
    assert "2 built, 0 up to date, 0 left alone" in capsys.readouterr().out
    before = identities(engine, folder)
    assert folder.make() == 0
    assert "0 built, 2 up to date, 0 left alone" in capsys.readouterr().out
    assert identities(engine, folder) == before


def test_a_changed_file_has_its_image_built_again_and_those_that_stand_on_it(
    folder: Folder, engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.make()
    before = identities(engine, folder)
    folder.add("lower", "FROM scratch\nCOPY told /\n", told="2")
    folder.make(folder.name("upper"))
    assert "2 built" in capsys.readouterr().out
    after = identities(engine, folder)
    assert not set(before.values()) & set(after.values())
    assert set(engine.inspect_image(after["lower"])["RootFS"]["Layers"]) < set(
        engine.inspect_image(after["upper"])["RootFS"]["Layers"]
    )


def test_with_force_everything_is_built_again(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.make()
    folder.make("--force")
    assert "2 built, 0 up to date, 0 left alone" in capsys.readouterr().out


def test_an_image_that_was_not_built_here_is_left_alone_and_stood_on(
    folder: Folder, engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, _, tag = folder.name("lower").partition(":")
    official = engine.import_image_from_data(b"\0" * 1024, repository=repository, tag=tag)
    assert "sha256:" in official
    before = engine.inspect_image(folder.name("lower"))["Id"]
    assert folder.make("--force") == 0
    told = capsys.readouterr().out
    assert f"{folder.name('lower')}: not built here, left alone" in told
    assert "1 built, 0 up to date, 1 left alone" in told
    assert engine.inspect_image(folder.name("lower"))["Id"] == before
    assert LABEL in engine.inspect_image(folder.name("upper"))["Config"]["Labels"]


def test_what_a_script_prepares_is_in_the_image_and_not_in_the_folder(folder: Folder, engine: Any) -> None:
    folder.add("lower", "FROM scratch\nCOPY made /\n", prepare="echo prepared > made")
    assert folder.make() == 0
    assert not list(folder.path.rglob("made"))
    assert LABEL in engine.inspect_image(folder.name("lower"))["Config"]["Labels"]


@pytest.mark.parametrize(
    ("dockerfile", "prepare", "step"),
    [
        ("FROM scratch\nCOPY nowhere /\n", "", "the engine's build"),
        ("FROM scratch\nCOPY Dockerfile /\nRUN nowhere\n", "", "the engine's build"),
        ("FROM scratch\n", "echo nowhere >&2; exit 1", "prepare"),
    ],
)
def test_what_went_wrong_is_told_and_nothing_is_built_on_it(
    folder: Folder, engine: Any, capsys: pytest.CaptureFixture[str], dockerfile: str, prepare: str, step: str
) -> None:
    folder.add("lower", dockerfile, prepare)
    assert folder.make("--jobs", "1") == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {folder.name('lower')} could not be built; ")
    assert step in told.err
    assert "nowhere" in told.err
    assert folder.name("upper") not in told.out
    with pytest.raises(docker.errors.ImageNotFound):
        engine.inspect_image(folder.name("lower"))
    assert not [left for left in engine.containers(all=True) if "nowhere" in left["Command"]]


def test_an_engine_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    assert Folder(tmp_path).make() == 1
    told = capsys.readouterr().err
    assert "nobody.sock" in told
    assert "start it, or set DOCKER_HOST" in told


# --- without an engine ---


def recipe(name: str, *bases: str) -> Recipe:
    return Recipe(name, Path(), Path(), text="".join(f"FROM {base}\n" for base in bases))


def test_every_name_that_nobody_knows_is_told_with_the_nearest_one() -> None:
    with pytest.raises(ImagesError) as raised:
        wanted({"redis:7": recipe("redis:7")}, ["redis:6", "oracle:19"])
    assert "redis:6 is no image; did you mean redis:7?" in str(raised.value)
    assert "oracle:19 is no image; there are redis:7" in str(raised.value)


def test_an_image_brings_those_that_it_stands_on_and_no_others() -> None:
    recipes = {r.name: r for r in (recipe("a"), recipe("b", "a"), recipe("c", "b", "elsewhere:1"), recipe("d", "a"))}
    assert set(wanted(recipes, ["c"])) == {"a", "b", "c"}
    assert set(wanted(recipes, [])) == {"a", "b", "c", "d"}


def test_what_others_stand_on_is_made_first_and_the_rest_side_by_side() -> None:
    recipes = {r.name: r for r in (recipe("left", "base"), recipe("right", "base"), recipe("base"))}
    together = threading.Barrier(2, timeout=30)
    begun: list[str] = []

    def make(one: Recipe) -> str:
        begun.append(one.name)
        if one.name != "base":
            together.wait()
        return "built"

    assert make_all(recipes, make, 2) == (["built"] * 3, [])
    assert begun[0] == "base"


def test_images_that_stand_on_each_other_are_told_and_not_begun() -> None:
    with pytest.raises(ImagesError, match=r"stand on each other: (a -> b -> a|b -> a -> b)"):
        make_all({"a": recipe("a", "b"), "b": recipe("b", "a")}, lambda one: pytest.fail(one.name), 1)


def test_what_an_image_is_made_of_decides_on_its_content(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    def now(*bases: str) -> str:
        return read_recipes(tmp_path / "images", tmp_path)[folder.name("lower")].content(bases)

    first = now("base")
    assert now("base") == first
    (tmp_path / "images/lower/__pycache__").mkdir()
    (tmp_path / "images/lower/__pycache__/left.pyc").write_text("behind")
    assert now("base") == first
    assert now("another") != first
    (tmp_path / "images/lower/told").chmod(0o755)
    assert now("base") != first


def test_a_recipe_without_a_name_and_files_that_are_nowhere_are_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "images/lower/Dockerfile").write_text("# with: nowhere/*.py\nFROM scratch\n")
    with pytest.raises(ImagesError, match="no name; right would be a line '# image: redis:7'"):
        read_recipes(tmp_path / "images", tmp_path)
    folder.add("lower", "# with: nowhere/*.py\nFROM scratch\n")
    with pytest.raises(ImagesError, match=r"is called nowhere/\*\.py"):
        _ = read_recipes(tmp_path / "images", tmp_path)[folder.name("lower")].files


def test_certificates_are_those_the_machine_is_told_of(tmp_path: Path) -> None:
    own = tmp_path / "own.crt"
    own.write_text("of a company")
    assert certificates({"SSL_CERT_FILE": str(own), "PIP_CERT": str(tmp_path / "gone")}) == own


def test_the_images_of_the_lab_are_there_under_the_names_that_its_parts_have() -> None:
    recipes = read_recipes(IMAGES, PROJECT)
    assert set(recipes) >= {"cassandra:5.0", "memcached:1.6", "redis:7", "postgres:15", "python:3.11-slim"}
    strangers = {
        base
        for one in recipes.values()
        for base in one.stands_on
        if base not in {*recipes, "scratch", "build", "packages"}
    }
    assert not strangers, "these would have to be pulled"
    assert all(one.files for one in recipes.values())
