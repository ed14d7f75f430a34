"""What a report tells of the data: written, lost, waiting, converged."""

import pytest

from simian.report import render
from simian.report.model import read
from simian.report.picture import Axis

from . import evacuations, records
from .records import START, Record

PIECES = {
    "split-brain": [
        "were answered. Of 812 keys written none is lost, stale or conflicting.",
        "1,620 writes of 812 keys acknowledged on all sides, 3 more without an answer.",
        "lost 0 0 % acknowledged, and gone everywhere",
        "once the regions could speak again: east after 1.2 s, west after 0.9 s.",
        "at most at none from after undo hints store-east-a 240 10:00:45 10:00:47 1.9 s",
        "invalidations queue-east 30 10:00:45 10:00:47 1.9 s",
        "simian split-brain --between east,west --how refuse --direction 'east->west' --seed 9",
    ],
    "torn brain": [
        "nothing lost: 2 of 812 keys lost. Of 812 keys written 2 are lost and 14 are conflicting.",
        "conflicting 14 1.72 % replicas differ",
        "- lost: run-both-1 should be east-1 and is west-1, nothing at store-east-a",
        "- conflicting: run-both-2 should be east-2 and is west-2, nothing at store-east-a",
        "east after 2.5 s, west not within 30 s.",
        "hints store-east-a 240 10:00:44 still waiting -",
    ],
}


def told(record: Record, width: int = 120) -> str:
    text = render(record, width=width)
    return text.partition("\nWhat became of the data\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize("name", PIECES)
def test_the_story_of_the_data_says_what_matters(name: str) -> None:
    words = " ".join(render(evacuations.ALL[name](), width=120).split())
    for piece in PIECES[name]:
        assert piece in words


def test_of_each_kind_of_harm_at_most_three_examples_are_shown() -> None:
    assert told(evacuations.torn_brain()).count("- conflicting: ") == 3


def test_what_waited_is_drawn_below_the_traffic_column_by_column() -> None:
    lines = told(evacuations.split_brain()).splitlines()
    hints = next(line for line in lines if line.startswith("  hints   "))
    marks = next(line for line in lines if "╵" in line)
    inject = [column for column, mark in enumerate(marks) if mark == "╵"][1]
    assert hints.index("▁") == inject + 1  # the first look after the cut
    assert hints.rstrip()[-1] == "█"
    assert lines[-1].endswith("a full block is the most of its row")


def test_data_that_could_not_be_read_is_not_called_safe() -> None:
    record = evacuations.split_brain()
    unread = evacuations.CONVERGED | {"converged_s": {"east": None, "west": None}}
    text = " ".join(render(record | {"figures": {"data": unread}}, width=120).split())
    assert "What became of 812 keys written could not be read." in text
    assert "none is lost" not in text
    assert "gone everywhere" not in text


@pytest.mark.parametrize("figures", [{}, {"data": None}, {"data": {}}])
def test_a_run_in_which_nobody_wrote_has_no_such_section(figures: Record) -> None:
    assert "What became of the data" not in render(records.held_gorilla() | {"figures": figures})


def test_nothing_that_waited_is_said_in_a_line() -> None:
    quiet = [{"at": START + 20, "waiting": {"hints store-east-a": 0}}]
    record = evacuations.split_brain() | {"backlog": quiet, "figures": {}}
    assert told(record).strip() == "Nothing had to wait between the regions."


def test_without_traffic_what_waited_is_told_in_numbers_only() -> None:
    text = told(evacuations.split_brain() | {"traffic": []})
    assert "hints store-east-a" in text
    assert "█" not in text


def test_many_queues_are_told_by_the_longest() -> None:
    waiting = {f"hints store-{n:02}": n for n in range(1, 12)}
    text = told(evacuations.split_brain() | {"backlog": [{"at": START + 20, "waiting": waiting}]})
    assert "hints store-11" in text
    assert "hints store-03" not in text
    assert "and 3 more with less" in text


LEVELS: list[tuple[list[tuple[float, float]], list[float]]] = [
    ([], [0, 0, 0, 0]),
    ([(1.2, 5.0)], [0, 5, 5, 5]),
    ([(0.1, 9.0), (0.9, 2.0), (3.0, 0.0)], [9, 2, 2, 0]),
    ([(-5.0, 3.0), (9.0, 4.0)], [0, 0, 0, 0]),
]


@pytest.mark.parametrize(("points", "right"), LEVELS)
def test_a_level_stays_until_it_is_read_again(points: list[tuple[float, float]], right: list[float]) -> None:
    assert Axis(0.0, 4.0, 4).levels(points) == right


def test_one_key_is_lost_two_are() -> None:
    data = evacuations.CONVERGED | {"keys": 2, "lost": evacuations.examples(1)}
    text = render(evacuations.split_brain() | {"figures": {"data": data}}, width=200)
    assert "Of 2 keys written 1 is lost." in text
    assert read(evacuations.split_brain()).figures.data is not None
