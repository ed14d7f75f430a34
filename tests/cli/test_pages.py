"""What the front pages show works as they show it."""

import re
from pathlib import Path

import pytest

from .conftest import MEMORY, Call, Program
from .test_commands import BELOW, COMMANDS

ROOT = Path(__file__).parents[2]
README, CONTRACT = (ROOT / "README.md").read_text(), (ROOT / "docs" / "cli.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_readme_opens_with_two_commands() -> None:
    lines = blocks(README, "sh")[0].splitlines()
    assert [line.partition("#")[0].strip() for line in lines] == ["make demo", "make test"]
    assert README.startswith("# simian\n\n```sh\n")


def test_the_readmes_monkey_works_as_it_stands(shop: Program, call: Call) -> None:
    shop.file("chaos/oldest_first.py", blocks(README, "python")[0])
    shop.file("simian.yaml", MEMORY + "plugins: [./chaos]\n")
    answer = call("oldest-first", "--service", "store", "--plan")
    assert answer.code == 0, answer.err
    assert "kill store-" in answer.out


@pytest.mark.parametrize("line", [line for line in blocks(README, "sh")[1].splitlines() if line.startswith("simian ")])
def test_the_readmes_commands_exist(line: str, call: Call) -> None:
    words = line.partition("#")[0].split()[1:]
    first = next(at for at, word in enumerate(words) if word in COMMANDS)
    command = words[first : first + 2] if tuple(words[first : first + 2]) in BELOW else words[first : first + 1]
    assert call(*command, "--help").code == 0


def test_the_contracts_files_are_valid(shop: Program, call: Call) -> None:
    config, experiment = blocks(CONTRACT, "yaml")
    shop.file("chaos/.keep", "")
    shop.file("simian.yaml", config)
    shop.file("mine.yaml", experiment)
    answer = call("validate", "simian.yaml", "mine.yaml")
    assert (answer.code, answer.err) == (0, "")


def test_the_contract_names_every_command() -> None:
    first = blocks(CONTRACT, "")[0]
    assert [name for name in COMMANDS if not re.search(rf"[ |]{name}\b", first)] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/cli.md"])
def test_files_that_pages_name_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:docs|simian|monkeys|experiments|filters|lab|tests|examples)/[\w./-]*)`", text)
    missing = [name for name in named if name != "lab/lab/" and not (ROOT / name).exists()]
    assert not missing


def test_targets_that_pages_name_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE))
    assert {"demo", "test", "lab", "check"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
