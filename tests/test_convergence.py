"""What became of the data, as tables: what writers were told x what replicas and caches have -> what is wrong."""

from random import Random
from typing import Any

import pytest

from simian.convergence import DATA_CHECKS, Comparison, Write, Written, compare, figures, verdicts
from simian.world import Cell

NODES = ("store-east-a", "store-east-b", "store-west-a")


def written(*writes: tuple[str, str, int, bool]) -> Written:
    made = Written()
    for key, value, at_us, acknowledged in writes:
        made.add(Write(key, value, at_us, "east", acknowledged))
    return made


def everywhere(**values: str) -> dict[str, dict[str, Cell]]:
    return {node: {key: Cell(value, 1) for key, value in values.items()} for node in NODES}


def counts(made: Comparison) -> tuple[int, int, int]:
    return len(made.lost.keys), len(made.stale.keys), len(made.conflicting.keys)


TWICE = written(("k", "first", 10, True), ("k", "second", 20, True))
DOUBTFUL = written(("k", "told", 10, True), ("k", "never answered", 20, False))


@pytest.mark.parametrize(
    ("what", "found", "wrong"),
    [
        (TWICE, everywhere(k="second"), (0, 0, 0)),
        (TWICE, everywhere(k="first"), (1, 0, 0)),
        (TWICE, everywhere(), (1, 0, 0)),
        (TWICE, everywhere(k="somebody else's"), (1, 0, 0)),
        (TWICE, everywhere(k="second") | {"store-west-a": {"k": Cell("first", 10)}}, (0, 1, 1)),
        (TWICE, everywhere(k="second") | {"store-west-a": {}}, (0, 1, 1)),
        (DOUBTFUL, everywhere(k="told"), (0, 0, 0)),
        (DOUBTFUL, everywhere(k="never answered"), (0, 0, 0)),
        (DOUBTFUL, everywhere(), (1, 0, 0)),
        (DOUBTFUL, everywhere(k="told") | {"store-west-a": {"k": Cell("never answered", 20)}}, (0, 1, 1)),
        (written(("k", "in vain", 10, False)), everywhere(), (0, 0, 0)),
        (written(("k", "in vain", 10, False)), everywhere(k="in vain"), (0, 0, 0)),
    ],
)
def test_replicas_are_compared_with_what_writers_were_told(what: Written, found: Any, wrong: tuple[int, ...]) -> None:
    assert counts(compare(what, found, {})) == wrong


def test_a_store_with_a_wrong_clock_does_not_hide_the_lost_write_behind_its_own_time() -> None:
    found = {node: {"k": Cell("first", 99)} for node in NODES}
    assert counts(compare(TWICE, found, {})) == (1, 0, 0)


@pytest.mark.parametrize(("cached", "stale"), [({"k": Cell("first", 10)}, 1), ({"k": Cell("second", 20)}, 0), ({}, 0)])
def test_a_cache_may_lack_a_key_but_not_hold_an_older_value(cached: dict[str, Cell], stale: int) -> None:
    made = compare(TWICE, everywhere(k="second"), {"cache-west-a": cached})
    assert counts(made) == (0, stale, 0)
    assert made.behind == ({"cache-west-a"} if stale else set())


def test_all_orders_of_the_same_writes_are_judged_alike() -> None:
    seed = 7
    writes = [("k", f"v{i}", i, i % 3 != 0) for i in range(1, 9)]
    for _ in range(50):
        Random(seed).shuffle(writes)
        assert counts(compare(written(*writes), everywhere(k="v8"), {})) == (0, 0, 0), seed
        assert counts(compare(written(*writes), everywhere(k="v7"), {})) == (1, 0, 0), seed


def test_a_verdict_names_how_many_an_example_and_where_to_look() -> None:
    made = compare(TWICE, everywhere(k="second") | {"store-west-a": {"k": Cell("first", 10)}}, {})
    told = {check: (verdict, seen, where, hint) for check, verdict, seen, where, hint in
            verdicts(DATA_CHECKS, TWICE, made, "", 30.0)}  # fmt: skip
    assert told["nothing lost"][0] == "held"
    verdict, seen, where, hint = told["converged"]
    assert verdict == "broken"
    assert "1 of 1 keys conflicting 30 s after" in seen
    assert "k should be second and is first, second" in seen
    assert where == "store-west-a"
    assert "hints" in hint


@pytest.mark.parametrize("behind", [{}, {"store-west-a": {"k": Cell("first", 10)}}])
def test_stale_caches_point_at_the_replicas_where_those_differ(behind: dict[str, dict[str, Cell]]) -> None:
    made = compare(TWICE, everywhere(k="second") | behind, {"cache-west-a": {"k": Cell("first", 10)}})
    hints = {check: hint for check, *_, hint in verdicts(DATA_CHECKS, TWICE, made, "", 30.0)}
    assert ("hints and repair" if behind else "invalidations") in hints["nothing stale"]


def test_what_could_not_be_read_or_was_never_acknowledged_is_unknown() -> None:
    unread = verdicts(DATA_CHECKS, TWICE, None, "the data could not be read: store-west-a is silent", 30.0)
    assert {verdict for _, verdict, *_ in unread} == {"unknown"}
    assert unread[0][2] == "the data could not be read: store-west-a is silent"
    nothing = written(("k", "in vain", 10, False))
    told = verdicts(["nothing lost"], nothing, compare(nothing, everywhere(), {}), "", 30.0)
    assert told[0][1:3] == ("unknown", "no write was acknowledged, so nothing could have been lost")


def test_the_figures_count_keys_writes_and_answers_that_never_came() -> None:
    made = figures(DOUBTFUL, compare(DOUBTFUL, everywhere(k="told"), {}), {"east": 1.5, "west": None}, 30.0)
    assert (made["keys"], made["acknowledged"], made["unanswered"]) == (1, 1, 1)
    assert made["converged_s"] == {"east": 1.5, "west": None}
    assert made["lost"] == {"count": 0, "examples": []}
