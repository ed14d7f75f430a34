"""Finding monkeys: a stranger's file is as good as ours, a broken one is named, and none can take simian down."""

from pathlib import Path
from random import Random

import pytest

from simian.errors import PluginError, UsageError
from simian.memory import build_memory_world
from simian.monkey import Radius, find_monkeys, load_module, monkey
from simian.plan import propose
from simian.topology import Topology

GOOD = '''
from simian import Kill, Radius, Topology, monkey

@monkey(radius=Radius.NODE)
def oldest_first(topology: Topology, rng, *, service: str = "store", how_many: int = 1):
    """Kill the node that has been up longest."""
    return [Kill(node) for node in topology.candidates(service=service)[:how_many]]
'''


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_strangers_monkey_is_found_with_options_and_help(tmp_path: Path) -> None:
    found = find_monkeys([write(tmp_path, mine=GOOD)])
    mine = found.get("oldest-first")
    assert (mine.radius, mine.doc, mine.origin) == (
        Radius.NODE,
        "Kill the node that has been up longest.",
        str(tmp_path / "mine.py"),
    )
    assert {name: (option.annotation, option.default) for name, option in mine.options.items()} == {
        "service": (str, "store"),
        "how_many": (int, 1),
    }
    made = propose(mine, build_memory_world().topology, 1, {"how-many": 2})
    assert [fault.target for fault in made.faults] == ["store-east-a", "store-east-b"]
    assert made.options == {"how_many": 2}
    assert [module.__file__ for module in found.modules] == [str(tmp_path / "mine.py")]


BROKEN = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "syntax": ("def (", "SyntaxError"),
    "lacks": ("import nothing_like_this", "No module named 'nothing_like_this'"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "leaves": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "generator": ("raise GeneratorExit", "GeneratorExit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_listed_with_its_reason_and_harms_no_other(name: str, tmp_path: Path) -> None:
    text, said = BROKEN[name]
    found = find_monkeys([write(tmp_path, **{name: text}, zz_good=GOOD)])
    assert [origin for origin, _ in found.broken] == [str(tmp_path / f"{name}.py")]
    assert said in found.broken[0][1]
    assert {"oldest-first", "chaos", "gorilla", "latency"} <= set(found.monkeys)
    with pytest.raises(UsageError, match="broken plug-in"):
        found.get("not-there")


def test_a_person_who_interrupts_is_heard(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        find_monkeys([write(tmp_path, slow="raise KeyboardInterrupt")])


def test_nobodys_monkey_is_quietly_replaced(tmp_path: Path) -> None:
    impostor = GOOD.replace("oldest_first", "gorilla")
    found = find_monkeys([write(tmp_path, impostor=impostor)])
    assert "Take a whole availability zone down" in found.get("gorilla").doc
    assert found.broken == [
        (str(tmp_path / "impostor.py"), "a monkey called 'gorilla' exists already; name this one otherwise")
    ]


def test_two_folders_may_hold_files_of_the_same_name(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    write(one, mine=GOOD)
    write(two, mine=GOOD.replace("oldest_first", "youngest_first"))
    found = find_monkeys([one, two])
    assert found.broken == []
    assert {"oldest-first", "youngest-first"} <= set(found.monkeys)


def test_an_imported_monkey_is_not_the_importers(tmp_path: Path) -> None:
    found = find_monkeys([write(tmp_path, borrows="from simian_monkeys.gorilla import gorilla")])
    assert found.broken == []
    assert "simian_monkeys" in found.get("gorilla").origin


def test_files_that_begin_with_an_underscore_are_left_alone(tmp_path: Path) -> None:
    assert find_monkeys([write(tmp_path, _helper="1 / 0")]).broken == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    [(origin, why)] = find_monkeys([tmp_path / "nowhere"]).broken
    assert origin == str(tmp_path / "nowhere")
    assert "is no folder" in why


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'gorilla'"):
        find_monkeys().get("gorila")
    with pytest.raises(UsageError, match=r"there are: .*chaos"):
        find_monkeys().get("xyzzy")


def test_options_are_checked_all_at_once() -> None:
    @monkey(radius=Radius.NODE)
    def picky(topology: Topology, rng: Random, *, service: str, count: int = 1) -> list[object]:
        return []

    with pytest.raises(UsageError) as caught:
        picky.checked({"cuont": 1, "zone": "a"})
    assert caught.value.problems == [
        "monkey 'picky' has no option 'cuont'; did you mean 'count'?",
        "monkey 'picky' has no option 'zone'; it has: service, count",
        "monkey 'picky' needs the option 'service'",
    ]
    assert picky.checked({"service": "web"}) == {"service": "web"}


def test_a_name_comes_from_the_function_unless_given() -> None:
    @monkey(radius=Radius.ZONE)
    def big_one_(topology: Topology, rng: Random) -> list[object]:
        return []

    assert big_one_.name == "big-one"
    assert monkey(radius=Radius.ZONE, name="other")(big_one_.function).name == "other"


@pytest.mark.parametrize(("text", "radius"), [("node", Radius.NODE), ("Zone", Radius.ZONE), ("SYSTEM", Radius.SYSTEM)])
def test_radii_have_names(text: str, radius: Radius) -> None:
    assert Radius.named(text) is radius


def test_radii_compare() -> None:
    assert Radius.NODE < Radius.ZONE < Radius.REGION < Radius.SYSTEM
    with pytest.raises(UsageError, match="node, zone, region, system"):
        Radius.named("planet")


def test_what_is_no_python_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(PluginError, match="cannot be imported as Python"):
        load_module(tmp_path / "notes.txt")
