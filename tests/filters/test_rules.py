"""Rules: who is hit, by what, for how long; and that the die keeps its word."""

import json
import math
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from simian_filters.rules import MOST_RULES, NOTHING, BadRule, Rule, Rules

SEED = 7_331


class Time:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def rule(mark: str = "simian.k7f3.1", **changed: Any) -> Rule:
    told = {"mark": mark, "side": "server", "share": 1.0, "seed": SEED, "status": 503}
    return Rule.from_json(told | changed)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def rules(time: Time) -> Rules:
    return Rules(time)


def binomial_interval(count: int, share: float, confidence: float = 0.99) -> tuple[int, int]:
    """The central interval of the number of hits, from the exact probabilities."""
    low = high = -1
    total = 0.0
    for hits in range(count + 1):
        chance = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        total += math.exp(chance + hits * math.log(share) + (count - hits) * math.log1p(-share))
        if low < 0 and total >= (1 - confidence) / 2:
            low = hits
        if total >= (1 + confidence) / 2:
            high = hits
            break
    return low, high


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
def test_the_share_of_hits_lies_in_its_binomial_interval(rules: Rules, share: float) -> None:
    print(f"seed {SEED}")
    rules.put(rule(share=share))
    hits = sum(bool(rules.decide("server").marks) for _ in range(20_000))
    low, high = binomial_interval(20_000, share)
    assert low <= hits <= high
    assert [(told["saw"], told["hit"]) for told in rules.listing()] == [(20_000, hits)]


def decisions_as_bytes() -> bytes:
    rules = Rules(Time())
    rules.put(rule("a", share=0.1, status=None, delay="lognormal:p50=80ms,p99=400ms"))
    rules.put(rule("b", share=0.01, seed=8, status=500))
    return "\n".join(repr(rules.decide("server")) for _ in range(500)).encode()


def test_the_same_seed_gives_the_same_bytes_a_hundred_times() -> None:
    assert len({decisions_as_bytes() for _ in range(100)}) == 1


def test_the_same_seed_gives_the_same_decisions_in_another_process() -> None:
    code = (
        "from simian_filters.rules import Rule, Rules\n"
        "rules = Rules(lambda: 0.0)\n"
        "rules.put(Rule('a', 'server', 0.3, 5, 'exponential:10ms'))\n"
        "print([rules.decide('server').delay_ms for _ in range(200)])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert len(set(json.loads(said[0]))) > 20


def test_another_seed_gives_other_decisions(rules: Rules, time: Time) -> None:
    other = Rules(time)
    rules.put(rule(share=0.5))
    other.put(rule(share=0.5, seed=SEED + 1))
    ours, theirs = ([which.decide("server").status for _ in range(100)] for which in (rules, other))
    assert ours != theirs


def test_with_no_rule_nothing_is_decided_and_no_clock_is_asked() -> None:
    def no_clock() -> float:
        raise AssertionError("asked")

    assert Rules(no_clock).decide("server") is NOTHING


@pytest.mark.parametrize(("share", "hits"), [(0.0, 0), (1.0, 200)])
def test_a_share_of_none_or_all_is_exact(rules: Rules, share: float, hits: int) -> None:
    rules.put(rule(share=share))
    assert sum(bool(rules.decide("server").marks) for _ in range(200)) == hits


def test_a_server_rule_leaves_calls_alone_and_a_client_rule_leaves_requests_alone(rules: Rules) -> None:
    rules.put(rule("at-server"))
    rules.put(rule("at-client", side="client"))
    assert rules.decide("server").marks == ("at-server",)
    assert rules.decide("client", "store").marks == ("at-client",)


def test_a_rule_for_one_callee_neither_hits_nor_sees_calls_to_others(rules: Rules) -> None:
    rules.put(rule(side="client", callee="store"))
    assert rules.decide("client", "cache") is NOTHING
    assert rules.decide("client", "store").status == 503
    assert rules.listing()[0]["saw"] == 1


def test_delays_add_up_and_the_first_status_put_wins(rules: Rules) -> None:
    rules.put(rule("a", status=None, delay="10ms"))
    rules.put(rule("b", status=503, delay="5ms"))
    rules.put(rule("c", status=500))
    decision = rules.decide("server")
    assert (decision.delay_ms, decision.status, decision.marks) == (15.0, 503, ("a", "b", "c"))


def test_a_rule_expires_by_itself(rules: Rules, time: Time) -> None:
    rules.put(rule(expires_in_s=10))
    time.now += 9.999
    assert rules.decide("server").status == 503
    assert rules.listing()[0]["expires_in_s"] == pytest.approx(0.001)
    time.now += 0.001
    assert rules.decide("server") is NOTHING
    assert rules.listing() == []


def test_a_rule_put_again_lives_on_with_its_counts_and_its_die(rules: Rules, time: Time) -> None:
    beside = Rules(time)
    beside.put(rule(share=0.5, expires_in_s=1_000))
    never_renewed = [beside.decide("server").status for _ in range(200)]
    renewed = []
    for _ in range(200):
        rules.put(rule(share=0.5, expires_in_s=10))
        renewed.append(rules.decide("server").status)
        time.now += 4
    assert renewed == never_renewed
    assert rules.listing()[0]["saw"] == 200


def test_a_mark_put_again_with_another_delay_or_side_means_that_from_now_on(rules: Rules) -> None:
    rules.put(rule(status=None, delay="10ms"))
    assert rules.decide("server").delay_ms == 10
    rules.put(rule(status=None, delay="20ms"))
    assert rules.decide("server").delay_ms == 20
    rules.put(rule(side="client"))
    assert rules.decide("server") is NOTHING
    assert (rules.decide("client").status, rules.listing()[0]["saw"]) == (503, 3)


def test_an_expired_rule_put_again_starts_anew(rules: Rules, time: Time) -> None:
    rules.put(rule())
    rules.decide("server")
    time.now += 11
    rules.put(rule())
    assert rules.listing()[0]["saw"] == 0


def test_removing_what_is_not_there_is_content(rules: Rules) -> None:
    rules.put(rule("a"))
    rules.remove("a")
    rules.remove("a")
    assert rules.decide("server") is NOTHING


def test_there_are_at_most_so_many_rules_but_each_can_be_renewed(rules: Rules) -> None:
    for number in range(MOST_RULES):
        rules.put(rule(f"m{number}"))
    with pytest.raises(BadRule, match="remove some first"):
        rules.put(rule("one-more"))
    rules.put(rule("m5"))
    assert len(rules.listing()) == MOST_RULES


def test_no_request_is_lost_or_counted_twice_among_threads(rules: Rules) -> None:
    rules.put(rule(share=0.5))
    hits = [0] * 8

    def work(number: int) -> None:
        hits[number] = sum(bool(rules.decide("server").marks) for _ in range(500))
        rules.put(rule(share=0.5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = rules.listing()[0]
    assert (told["saw"], told["hit"]) == (4_000, sum(hits))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mark": ""}, "mark is ''"),
        ({"mark": "a,b"}, "mark is 'a,b'"),
        ({"mark": "a\r\nset-cookie: x"}, "mark is"),
        ({"mark": "x" * 129}, "mark is"),
        ({"mark": 5}, "mark is '5'"),
        ({"side": "both"}, "client or server"),
        ({"side": ["server"]}, "client or server"),
        ({"share": 1.01}, "from 0 to 1"),
        ({"share": -0.1}, "from 0 to 1"),
        ({"share": math.nan}, "from 0 to 1"),
        ({"share": "0.5"}, "from 0 to 1"),
        ({"share": True}, "from 0 to 1"),
        ({"share": 10**400}, "from 0 to 1"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": -1}, "whole number"),
        ({"seed": 2**64}, "whole number"),
        ({"delay": "soon"}, "is no duration"),
        ({"delay": 100}, "distribution's text"),
        ({"delay": "empirical:/etc/passwd"}, "files are not read here"),
        ({"status": 99}, "from 200 to 599"),
        ({"status": "503"}, "from 200 to 599"),
        ({"status": None}, "it would do nothing"),
        ({"callee": 5}, "name of a service"),
        ({"callee": "store"}, "client side only"),
        ({"expires_in_s": 0}, "over 0"),
        ({"expires_in_s": math.inf}, "over 0"),
        ({"expires_in_s": 3_601}, "up to 3600"),
        ({"saw": 5}, "'saw' is no field of a rule"),
    ],
)
def test_a_bad_rule_is_refused_with_what_would_be_right(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRule) as refused:
        rule(**changed)
    assert says in str(refused.value)


def test_every_problem_of_a_rule_is_told_at_once() -> None:
    with pytest.raises(BadRule) as refused:
        Rule.from_json({"share": 2, "seed": "x", "colour": "red"})
    assert len(refused.value.problems) == 6  # unknown colour, no mark, no side, share, seed, nothing to do


@pytest.mark.parametrize("data", [None, [], "rule", 5])
def test_what_is_no_object_is_no_rule(data: object) -> None:
    with pytest.raises(BadRule, match="JSON object"):
        Rule.from_json(data)
