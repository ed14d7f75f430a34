"""The steady state: what is held, broken or unknown, and when the guard rings."""

import math
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from simian.cusum import Cusum
from simian.histogram import Histogram
from simian.probe import AbortCondition, Check, CheckReading, FeedLost, Observation, Row, Slice, Tolerance
from simian.steady_state import CheckVerdict, Exposure, SteadyState
from simian.topology import Link, Node

PLAY = {"users": "success_share", "kind": "play"}


def users(probe: dict[str, object], tolerance: str, name: str = "streams start") -> Check:
    return Check(name, probe, Tolerance.parse(tolerance))


def asked(tolerance: str, misses: int = 0) -> Check:
    return Check("answers", {"http": "http://127.0.0.1:1/health"}, Tolerance.parse(tolerance), misses=misses)


def row(ok: int, failed: int = 0, *, kind: str = "play", home: str = "east", ms: float = 10.0, **other: object) -> Row:
    latency = {int(index): n for index, n in Histogram.of([ms] * (ok + failed)).to_json().items()}
    counts = {"first_failed": failed, "shed": 0, "served": {home: ok + failed}, "latency": latency} | other
    return Row(home=home, kind=kind, ended=ok + failed, ok=ok, failed=failed, **counts)  # type: ignore[arg-type]


class Feed:
    """Slices one after the other, as the users would send them."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def slice(self, *rows: Row, late_ms: float = 1.0, hops: dict[str, int] | None = None) -> Slice:
        made = Slice(self.now, 0.2, {"p99": late_ms}, sum(one.ended for one in rows), rows, hops or {})
        self.now += 0.2
        return made

    def seconds(self, seconds: float, *rows: Row, **options: object) -> list[Slice]:
        return [self.slice(*rows, **options) for _ in range(round(seconds * 5))]  # type: ignore[arg-type]


def life(
    checks: list[Check],
    baseline: Iterable[Observation] = (),
    during: Iterable[Observation] = (),
    after: Iterable[Observation] = (),
    aborts: Iterable[AbortCondition] = (),
) -> SteadyState:
    """A run's observations, phase by phase."""
    state = SteadyState(checks, list(aborts))
    for phase, seen in (("baseline", baseline), ("during", during), ("after", after)):
        observations = list(seen)
        if observations:
            state.enter(phase)  # type: ignore[arg-type]
        for one in observations:
            state.take(one)
    return state


def verdict(state: SteadyState) -> CheckVerdict:
    (only,) = state.verdicts()
    return only


def readings(*values: float | None, silent: bool = False) -> list[CheckReading]:
    return [CheckReading("answers", float(at), value, silent and value is None) for at, value in enumerate(values)]


# --- verdicts on users


def test_a_share_with_enough_good_requests_is_held() -> None:
    feed = Feed()
    state = life(
        [users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), feed.seconds(60, row(20)), feed.seconds(6, row(20))
    )
    found = verdict(state)
    assert (found.verdict, found.baseline, found.during, found.after) == ("held", 1.0, 1.0, 1.0)
    assert found.readings == 6000
    assert state.alarm() is None


def test_too_few_requests_are_unknown_however_good() -> None:
    feed = Feed()
    found = verdict(life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), feed.seconds(29, row(20))))
    assert found.verdict == "unknown"
    assert "2900 requests seen, 3000 needed" in found.seen


def test_too_few_requests_can_still_be_broken_beyond_doubt() -> None:
    feed = Feed()
    found = verdict(life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), feed.seconds(2, row(15, 5))))
    assert found.verdict == "broken"


def test_one_failure_among_too_few_requests_is_unknown_not_broken() -> None:
    feed = Feed()
    during = [*feed.seconds(2, row(20)), feed.slice(row(19, 1))]
    assert verdict(life([users(PLAY, ">= 99.9 %")], during=during)).verdict == "unknown"


def test_a_broken_share_says_what_was_seen_where_and_where_to_look() -> None:
    feed = Feed()
    hops = {"gateway-east-a>members-east-a!": 4, "gateway-east-a>members-east-a": 1, "users>gateway-east-a": 20}
    during = feed.seconds(40, row(16, 4), row(20, home="west"), hops=hops)
    found = verdict(life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), during))
    assert found.verdict == "broken"
    assert "90 % over 8000 requests" in found.seen
    assert "home east, kind play (800 of 800)" in found.where
    assert "gateway-east-a>members-east-a (800 of 1000)" in found.where
    assert "members-east-a" in found.hint


def test_a_filter_counts_only_its_kind_and_home() -> None:
    feed = Feed()
    mixed = feed.seconds(40, row(20), row(0, 20, kind="profile"), row(0, 20, home="west"))
    assert verdict(life([users({**PLAY, "home": "east"}, ">= 99.9 %")], during=mixed)).verdict == "held"
    assert verdict(life([users(PLAY, ">= 99.9 %")], during=mixed)).verdict == "broken"


def test_first_tries_are_judged_apart_from_success() -> None:
    feed = Feed()
    during = feed.seconds(40, row(20, first_failed=5))
    checks = [users(PLAY, ">= 99.9 %"), users({"users": "first_try_share"}, ">= 99 %", "first tries")]
    assert [found.verdict for found in life(checks, during=during).verdicts()] == ["held", "broken"]


def test_a_quantile_is_taken_over_merged_histograms_not_averaged() -> None:
    feed = Feed()
    during = [feed.slice(row(1, ms=1000.0) if n % 50 == 0 else row(1, ms=10.0)) for n in range(1000)]
    found = verdict(life([users({"users": "p99_ms"}, "<= 500 ms", "latency")], during=during))
    assert found.verdict == "broken"
    assert found.during == pytest.approx(1000, rel=0.01)
    assert "home east, kind play" in found.where


def test_a_relative_tolerance_compares_with_this_runs_baseline() -> None:
    check = users({"users": "p99_ms"}, "<= 1.5 x baseline", "latency")
    for factor, wanted in ((1.4, "held"), (1.6, "broken")):
        feed = Feed()
        state = life([check], feed.seconds(10, row(20, ms=100.0)), feed.seconds(10, row(20, ms=100.0 * factor)))
        assert verdict(state).verdict == wanted
    feed = Feed()
    assert verdict(life([check], during=feed.seconds(10, row(20)))).verdict == "unknown"


def test_tries_upon_tries_are_seen_as_calls_made_for_each_request() -> None:
    check = users({"users": "calls_per_request"}, "<= 1.5 x baseline", "calls")
    calm = {"users>gateway-east-a": 20, "gateway-east-a>members-east-a": 20, "members-east-a>store-east-a": 20}
    for tries, wanted in ((2, "held"), (12, "broken")):
        feed = Feed()
        storm = {**calm, "members-east-a>store-east-a!": 5 * tries}
        state = life([check], feed.seconds(10, row(20), hops=calm), feed.seconds(10, row(20), hops=storm))
        found = verdict(state)
        assert (found.verdict, found.baseline) == (wanted, pytest.approx(3.0))
        assert found.during == pytest.approx(3.0 + tries / 4)
    assert found.seen == "6 over 1000 requests; right would be <= 1.5 x baseline"
    assert "members-east-a>store-east-a (3000 of 4000)" in found.where
    assert "tries at every layer multiply" in found.hint


def _nodes() -> list[Node]:
    places = {"gateway-east-a": "east", "gateway-west-a": "west", "members-east-a": "east", "store-west-a": "west"}
    return [Node(name, name.partition("-")[0], region, None) for name, region in places.items()]


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("members-east-a>store-west-a", True),
        ("members-east-a>store-west-a~", False),  # not waited for
        ("gateway-east-a>gateway-west-a", False),  # how users are moved
        ("gateway-east-a>members-east-a", False),
    ],
)
def test_calls_to_another_region_that_users_wait_for_are_named_as_what_to_look_at(before: str, told: bool) -> None:
    feed, state = Feed(), SteadyState([users(PLAY, ">= 99.9 %")])
    state.place(_nodes())
    state.enter("baseline")
    for one in feed.seconds(5, row(20), hops={before: 20}):
        state.take(one)
    state.enter("during")
    for one in feed.seconds(20, row(10, 10), hops={"gateway-east-a>members-east-a!": 10}):
        state.take(one)
    found = verdict(state)
    assert ("users waited for, before any fault: members-east-a>store-west-a (500)" in found.where) is told
    assert found.hint.startswith("look at members-east-a: " if told else "look at gateway-east-a when")


def test_answers_that_no_other_node_would_give_differently_point_at_what_gives_them() -> None:
    feed = Feed()
    during = [replace(one, errors={"status_401": 3, "timeout": 1}) for one in feed.seconds(20, row(10, 10))]
    found = verdict(life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), during))
    assert "what tries met: status_401 (300), timeout (100)" in found.where
    assert "what answers 401" in found.hint


def test_where_users_own_tries_fail_is_what_to_look_at_and_what_sends_them_there() -> None:
    feed = Feed()
    during = feed.seconds(20, row(10, 10), hops={"users>127.2.1.80:8443!": 10, "users>gateway-east-a": 20})
    found = verdict(life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), during))
    assert found.hint.startswith("look at 127.2.1.80:8443, where users' own tries fail, and at what sends them there")


def test_a_place_that_nobody_knows_is_what_to_look_at_though_others_fail_more_often() -> None:
    feed, state = Feed(), SteadyState([users(PLAY, ">= 99.9 %")])
    state.place(_nodes())
    state.enter("during")
    hops = {"users>127.2.1.80:8443!": 5, "members-east-a>store-west-a!": 9, "members-east-a>store-west-a": 90}
    for one in feed.seconds(20, row(10, 10), hops=hops):
        state.take(replace(one, errors={"refused": 5, "status_503": 4}))
    assert verdict(state).hint.startswith("look at 127.2.1.80:8443, where users' own tries fail")


def test_users_who_give_up_before_any_call_does_point_at_how_long_calls_wait() -> None:
    feed = Feed()
    seconds = feed.seconds(20, row(10, 10), hops={"users>gateway-east-a!": 10, "users>gateway-east-b": 20})
    during = [replace(one, errors={"timeout": 10}) for one in seconds]
    found = verdict(life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), during))
    assert found.hint.startswith("look at how long gateway-east-a waits for those behind it")


@pytest.mark.parametrize(
    ("failed", "where"),
    [
        ({"a": 10, "b": 10, "c": 10}, "members of east: calls to each of its nodes fail; at what they wait for"),
        ({"a": 8, "b": 0, "c": 6}, "members of east: calls to members-east-a and members-east-c fail; at what they"),
        ({"a": 2, "b": 2, "c": 3}, "members of east: calls to each of its nodes fail; at what they wait for"),
        ({"a": 2, "b": 0, "c": 3}, "gateway-east-a when a call to members-east-c fails"),
        ({"a": 8, "b": 0, "c": 1}, "gateway-east-a when a call to members-east-a fails"),
        ({"a": 8, "b": 0, "c": 0}, "gateway-east-a when a call to members-east-a fails"),
    ],
)
def test_a_service_of_which_several_nodes_do_not_answer_is_what_to_look_at_itself(
    failed: dict[str, int], where: str
) -> None:
    feed, state = Feed(), SteadyState([users(PLAY, ">= 99.9 %")])
    state.place([Node(f"members-east-{zone}", "members", "east", f"east-{zone}") for zone in failed])
    state.enter("during")
    called = {f"gateway-east-a>members-east-{zone}": 10 - count for zone, count in failed.items()}
    for one in feed.seconds(20, row(10, 10), hops=called | {f"{hop}!": 10 - n for hop, n in called.items()}):
        state.take(one)
    assert verdict(state).hint.startswith(f"look at {where}")


def test_a_node_that_others_of_its_service_cannot_do_without_is_what_to_look_at() -> None:
    feed, state = Feed(), SteadyState([users(PLAY, ">= 99.9 %")])
    state.place([Node(f"store-east-{zone}", "store", "east", f"east-{zone}") for zone in "abc"])
    state.enter("during")
    hops = {"store-east-b>store-east-a!": 10, "members-east-a>store-east-b!": 5, "members-east-a>store-east-c!": 5}
    for one in feed.seconds(20, row(10, 10), hops=hops):
        state.take(one)
    assert verdict(state).hint.startswith("look at store-east-b when a call to store-east-a fails")


def test_calls_spared_by_an_open_breaker_point_at_what_is_behind_it_and_count_as_none() -> None:
    calls, feed = users({"users": "calls_per_request"}, "<= 1.5 x baseline", "calls"), Feed()
    state = SteadyState([users(PLAY, ">= 99.9 %"), calls])
    state.place([Node(f"store-east-{zone}", "store", "east", f"east-{zone}") for zone in "abc"])
    failed = {"gateway-east-a>members-east-a!": 10, "gateway-east-b>members-east-a!": 10}
    spared = {"members-east-a>store-east-a!": 4, "members-east-a>store-east-a^": 16}
    state.enter("baseline")
    for one in feed.seconds(10, row(20), hops={"gateway-east-a>members-east-a": 20, "members-east-a>store-east-a": 20}):
        state.take(one)
    state.enter("during")
    for one in feed.seconds(20, row(10, 10), hops=failed | spared):
        state.take(one)
    play, told = state.verdicts()
    assert play.hint.startswith("look at members-east-a when a call to store-east-a fails")
    assert "members-east-a>store-east-a (2000 of 2000)" in play.where
    assert (told.verdict, told.during) == ("held", pytest.approx(1.2))


def test_where_users_are_served_is_a_share_too() -> None:
    feed = Feed()
    check = users({"users": "served_share", "region": "east", "home": "east"}, ">= 95 %", "served at home")
    during = feed.seconds(10, row(20, served={"east": 15, "west": 5}))
    assert verdict(life([check], during=during)).during == pytest.approx(0.75)


def test_failures_that_last_beyond_the_recovery_break_the_check() -> None:
    feed = Feed()
    good = row(20)
    state = life([users(PLAY, ">= 99 %")], feed.seconds(5, good), feed.seconds(60, good), feed.seconds(10, row(10, 10)))
    assert state.holds_now("after") is False
    assert verdict(state).verdict == "broken"
    assert "after all was put back" in verdict(state).seen


def test_a_blip_right_after_the_recovery_is_forgotten_once_enough_good_requests_came() -> None:
    feed = Feed()
    state = life(
        [users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), feed.seconds(60, row(20)), [feed.slice(row(5, 15))]
    )
    assert state.holds_now("after") is False
    assert state.why_not("after")
    for one in feed.seconds(6, row(20)):
        state.take(one)
    assert state.holds_now("after") is True
    assert state.why_not("after") == []
    assert verdict(state).verdict == "held"


# --- blindness


def test_void_slices_count_for_nothing_and_many_of_them_are_unknown() -> None:
    feed = Feed()
    good, late = feed.seconds(60, row(20)), feed.seconds(30, row(0, 20), late_ms=150.0)
    state = life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), [*good, *late])
    assert state.alarm() is None
    found = verdict(state)
    assert (found.verdict, found.readings) == ("unknown", 6000)


def test_users_who_were_late_after_the_recovery_accuse_nobody() -> None:
    feed, check = Feed(), users(PLAY, ">= 99.5 %")
    good, bad = row(40), row(20, 20)
    calm = [feed.seconds(20, good), feed.seconds(20, good)]
    late = [one for _ in range(20) for one in (feed.slice(good, late_ms=900.0), feed.slice(bad))]
    state = life([check], *calm, late)
    assert state.holds_now("after") is None
    assert verdict(state).verdict == "unknown"
    prompt = life([check], *calm, feed.seconds(8, bad))
    assert prompt.holds_now("after") is False
    assert verdict(prompt).verdict == "broken"


def test_users_who_were_late_for_too_long_accuse_nobody_of_what_they_saw_in_between() -> None:
    feed, check = Feed(), users(PLAY, ">= 99.5 %")
    good, bad = row(40), row(20, 20)
    late = [one for _ in range(20) for one in (feed.slice(good, late_ms=900.0), feed.slice(bad))]
    found = verdict(life([check], feed.seconds(20, good), late))
    assert (found.verdict, found.hint) == ("unknown", "")
    prompt = life([check], feed.seconds(20, good), feed.seconds(8, bad))
    assert verdict(prompt).verdict == "broken"


def test_what_happens_while_users_are_moved_is_noticed_and_not_judged() -> None:
    feed, check = Feed(), users(PLAY, ">= 99.5 %")
    state = life([check], feed.seconds(20, row(40)))
    state.enter("moving")
    assert state.noticed() == ""
    for one in feed.seconds(3, row(20, 20)):
        state.take(one)
    assert "streams start >= 99.5 %" in state.noticed()
    assert state.alarm() is None
    state.enter("during")
    for one in feed.seconds(20, row(40)):
        state.take(one)
    assert state.alarm() is None
    assert (verdict(state).verdict, verdict(state).during) == ("held", 1.0)


@pytest.mark.parametrize(("dark", "noticed"), [(40, True), (8, False)])
def test_tries_that_nobody_answers_are_noticed_while_users_are_moved_before_a_user_has_failed(
    dark: int, noticed: bool
) -> None:
    feed, check = Feed(), users(PLAY, ">= 99.5 %")
    state = life([check], feed.seconds(20, row(40)))
    tries = {"users>gateway-west-a": 40, "gateway-west-a>members-west-a!": 40}
    for phase in ("during", "moving"):
        state.enter(phase)  # type: ignore[arg-type]
        assert state.noticed() == "", "as long as nobody is being moved"
        for one in feed.seconds(3, row(20), hops=tries | {"users>gateway-east-a!": dark}):
            state.take(one)
    assert state.noticed() == ("tries of users: 40 of the last 80 were not answered" if noticed else "")
    assert state.alarm() is None


def test_the_share_of_void_seconds_after_an_injection_is_told() -> None:
    feed = Feed()
    state = SteadyState([users(PLAY, ">= 99.9 %")])
    state.enter("during")
    assert state.void_share() == 1.0
    injected = feed.now
    for one in [*feed.seconds(1, row(20), late_ms=150.0), *feed.seconds(9, row(20))]:
        state.take(one)
    assert state.void_share() == pytest.approx(0.2)
    assert state.void_share(since_s=injected + 1.0) == pytest.approx(0.0, abs=1e-6)
    assert state.void_share(since_s=injected + 1000.0) == 1.0


def test_seconds_without_a_feed_are_as_void_as_late_ones() -> None:
    feed = Feed()
    state = SteadyState([users(PLAY, ">= 99.9 %")])
    state.enter("during")
    start = feed.slice(row(20))
    state.take(start)
    feed.now += 3.0
    for one in feed.seconds(10, row(20)):
        state.take(one)
    assert state.void_share() == pytest.approx(3.0 / 5.0)


def test_a_lost_feed_is_unknown_for_the_verdict_and_rings_for_the_guard() -> None:
    feed = Feed()
    state = life([users(PLAY, ">= 99.9 %")], feed.seconds(5, row(20)), feed.seconds(60, row(20)))
    state.take(FeedLost("refused", feed.now))
    assert state.alarm() is None, "one lost connection is a hiccup"
    state.take(FeedLost("refused", feed.now + 30.0))
    assert str(state.alarm()).startswith("streams start >= 99.9 %: ")
    assert verdict(state).verdict == "unknown"


def test_without_any_check_the_steady_state_is_unknown() -> None:
    assert [found.verdict for found in SteadyState([]).verdicts()] == ["unknown"]


# --- gates


def test_gates_wait_for_enough_requests_and_then_tell() -> None:
    feed = Feed()
    state = SteadyState([users(PLAY, ">= 99.9 %")])
    state.enter("baseline")
    assert state.holds_now("baseline") is None
    for one in feed.seconds(4.8, row(20)):
        state.take(one)
    assert state.holds_now("baseline") is None
    state.take(feed.slice(row(20)))
    assert state.holds_now("baseline") is True
    assert state.holds_now("during") is None


def test_a_broken_baseline_is_told_with_what_was_seen() -> None:
    feed = Feed()
    state = life([users(PLAY, ">= 99.9 %")], feed.seconds(10, row(19, 1)))
    assert state.holds_now("baseline") is False
    assert state.why_not("baseline") == ["streams start: 95 %, 1000 seen; right would be >= 99.9 %"]


# --- the guard


def test_half_of_all_requests_failing_rings_within_a_second() -> None:
    feed = Feed()
    state = life([users(PLAY, ">= 99.9 %")], feed.seconds(20, row(20)))
    state.enter("during")
    began = feed.now
    while state.alarm() is None and feed.now < began + 5:
        state.take(feed.slice(row(10, 10)))
    assert feed.now - began <= 1.0
    assert str(state.alarm()).startswith("streams start >= 99.9 %: ")
    assert verdict(state).verdict == "broken", "a run that was ended for harm found a weakness"


def test_the_guard_rings_in_no_other_phase() -> None:
    feed = Feed()
    state = life([users(PLAY, ">= 99.9 %")], feed.seconds(10, row(10, 10)))
    assert state.alarm() is None


def test_the_guard_never_rings_falsely_in_a_day() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice, guard = random.Random(seed), Cusum()
    requests, at, alarms = 24 * 3600 * 100, 0, 0
    while at < requests:
        gap = int(math.log(1.0 - dice.random()) / math.log1p(-0.0005))
        alarms += guard.take(gap, 1)
        at += gap + 1
    assert alarms == 0


def test_the_guard_sees_five_percent_in_seconds() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice, waits = random.Random(seed), []
    for _ in range(200):
        guard, slices = Cusum(), 1
        while not guard.take(20 - (bad := sum(dice.random() < 0.05 for _ in range(20))), bad):
            slices += 1
        waits.append(slices * 0.2)
    assert sorted(waits)[100] <= 2.0
    assert max(waits) < 10.0


def test_the_guard_lets_pass_what_the_tolerance_lets_pass() -> None:
    guard = Cusum.for_share(0.95)
    assert not any(guard.take(19, 1) for _ in range(10_000))
    assert any(guard.take(10, 10) for _ in range(5))


@pytest.mark.parametrize(("base", "harm"), [(0.0, 0.5), (0.5, 0.1), (0.1, 1.0)])
def test_a_guard_without_sense_is_refused(base: float, harm: float) -> None:
    with pytest.raises(ValueError, match="right would be"):
        Cusum(base, harm)


def test_an_abort_condition_ends_the_run_and_names_itself() -> None:
    feed = Feed()
    abort = AbortCondition("latency", above=300.0)
    check = users({"users": "p99_ms"}, "<= 2 s", "latency")
    state = life([check], feed.seconds(5, row(20)), feed.seconds(3, row(20, ms=200.0)), aborts=[abort])
    assert state.alarm() is None
    for one in feed.seconds(2, row(20, ms=400.0)):
        state.take(one)
    assert str(state.alarm()).startswith("latency above 300 ms: ")


def test_an_abort_condition_on_too_few_requests_waits() -> None:
    feed = Feed()
    state = life(
        [users(PLAY, ">= 50 %")], during=[feed.slice(row(0, 1))], aborts=[AbortCondition("streams start", 0.95)]
    )
    assert state.alarm() is None
    for one in feed.seconds(2, row(2, 1)):
        state.take(one)
    assert str(state.alarm()).startswith("streams start below 95 %: ")


def test_an_abort_condition_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="abort conditions"):
        SteadyState([users(PLAY, ">= 99 %")], [AbortCondition("latency", above=1.0)])


# --- verdicts on readings

ONE, NONE = [1.0], [None]


@pytest.mark.parametrize(
    ("tolerance", "misses", "during", "silent", "wanted"),
    [
        (">= 99 %", 0, ONE * 20, False, "held"),
        (">= 80 %", 0, [1.0, 1.0, 1.0, 1.0, 0.0] * 4, False, "held"),
        (">= 99 %", 0, [1.0] * 19 + [0.0], False, "broken"),
        (">= 99 %", 1, [1.0] * 19 + [0.0], False, "held"),
        (">= 99 %", 0, ONE * 4, False, "unknown"),
        (">= 99 %", 0, [0.0, 0.0], False, "broken"),
        (">= 99 %", 0, ONE * 19 + NONE, False, "unknown"),
        (">= 99 %", 0, ONE * 19 + NONE, True, "unknown"),
        (">= 90 %", 0, ONE * 19 + NONE, True, "held"),
        (">= 90 %", 0, [0.0, 0.0] * 5 + NONE, True, "broken"),
        ("<= 100", 0, [3.0] * 10, False, "held"),
        ("<= 100", 0, [3.0] * 9 + [101.0], False, "broken"),
        ("<= 100", 1, [3.0] * 9 + [101.0], False, "held"),
        ("<= 100", 1, [3.0] * 9 + [101.0, 102.0], False, "broken"),
        ("<= 100", 0, [3.0] * 9 + [None], False, "unknown"),
        ("<= 100", 0, [3.0] * 9 + [None], True, "unknown"),
        ("<= 100", 1, [3.0] * 9 + [None], True, "held"),
        ("<= 100", 0, [101.0], False, "broken"),
        ("== 0", 0, [0.0] * 6, False, "held"),
        (">= 95 %", 0, [0.97] * 6, False, "held"),
        (">= 95 %", 0, [0.97] * 6 + [0.94], False, "broken"),
        ("<= 1.5 x baseline", 0, [3.0] * 6, False, "unknown"),
        (">= 90 %", 20, [0.0] * 7, False, "unknown"),  # nothing could have broken it
        (">= 90 %", 20, [1.0] * 24, False, "unknown"),
        (">= 90 %", 20, [1.0] * 25, False, "held"),
        (">= 90 %", 20, [0.0] * 24, False, "broken"),
        ("<= 100", 5, [101.0] * 5, False, "unknown"),
        ("<= 100", 5, [3.0] * 10, False, "held"),
    ],
)
def test_readings_are_judged(
    tolerance: str, misses: int, during: list[float | None], silent: bool, wanted: str
) -> None:
    assert verdict(life([asked(tolerance, misses)], during=readings(*during, silent=silent))).verdict == wanted


def test_what_was_seen_is_told_as_it_was_whatever_was_forgiven() -> None:
    judged = verdict(life([asked(">= 90 %", 3)], during=readings(*[1.0] * 9, 0.0, 0.0)))
    assert (judged.verdict, judged.seen) == ("held", "81.818 % of 11 readings were good (3 may miss)")


def test_a_crashed_probe_is_unknown_and_does_not_ring() -> None:
    state = life([asked(">= 99 %")], readings(1.0, 1.0, 1.0), readings(*[None] * 20))
    assert verdict(state).verdict == "unknown"
    assert state.alarm() is None


def test_a_silent_probe_is_unknown_and_rings() -> None:
    state = life([asked(">= 99 %")], readings(1.0, 1.0, 1.0), readings(1.0, 1.0, None, None, silent=True))
    assert verdict(state).verdict == "unknown"
    assert str(state.alarm()).startswith("answers >= 99 %: ")


def test_a_long_way_back_does_not_mend_what_rang_the_alarm() -> None:
    state = life([asked(">= 95 %")], readings(1.0, 1.0, 1.0), readings(1.0, 1.0, 0.0, 0.0, *[1.0] * 100))
    judged = verdict(state)
    assert str(state.alarm()).startswith("answers >= 95 %: ")
    assert (judged.verdict, judged.during, judged.readings) == ("broken", 0.5, 4)
    assert judged.seen.startswith("50 % of 4 readings were good")


def test_silence_that_rang_is_no_proof_however_short_the_run() -> None:
    state = life([asked(">= 95 %")], during=readings(1.0, None, None, *[1.0] * 100, silent=True))
    assert (state.alarm() is None, verdict(state).verdict) == (False, "held")


def test_a_single_silence_does_not_ring() -> None:
    assert life([asked(">= 99 %")], during=readings(1.0, None, 1.0, None, 1.0, silent=True)).alarm() is None


def test_a_number_outside_its_tolerance_rings_at_once_as_nothing_can_mend_the_verdict() -> None:
    state = life([asked("<= 100")], readings(1.0, 1.0, 1.0), readings(1.0, 101.0))
    assert str(state.alarm()).startswith("answers <= 100: 101")


def test_readings_after_the_recovery_must_be_good_again() -> None:
    before, during = readings(1.0, 1.0, 1.0), readings(*[1.0] * 10)
    assert verdict(life([asked(">= 99 %")], before, during, readings(1.0, 1.0, 0.0))).verdict == "broken"
    assert verdict(life([asked(">= 99 %")], before, during, readings(1.0))).verdict == "unknown"
    assert verdict(life([asked(">= 99 %")], before, during, readings(0.0, 1.0, 1.0, 1.0))).verdict == "held"


def test_an_abort_condition_on_readings_counts_silence_as_not_good() -> None:
    state = life(
        [asked(">= 10 %")], during=readings(1.0, None, 1.0, silent=True), aborts=[AbortCondition("answers", 0.9)]
    )
    assert str(state.alarm()).startswith("answers below 90 %: 66.667 %")


# --- exposure


def test_exposure_counts_nodes_links_and_marks_since_the_moment() -> None:
    hops = {"users>gateway-east-a": 5, "gateway-east-a>members-east-b!": 2, "members-east-b>queue-east": 3,
            "members-east-b>cache-east-a~": 4, "gateway-east-a>gateway-west-a": 1}  # fmt: skip
    exposure = Exposure(since_s=10.0)
    places = (("members", "east"), ("gateway", "east"), ("members", "east-2"))
    exposure.place([Node(f"{kind}-{region}-{zone}", kind, region) for kind, region in places for zone in "ab"])
    exposure.take(Slice(9.9, 0.2, {}, 0, (), {"users>gateway-east-a": 100}, {"simian.r.1": 100}))
    for start in (10.0, 10.2):
        exposure.take(Slice(start, 0.2, {}, 0, (), hops, {"simian.r.1": 7}))
    assert exposure.count_node("gateway-east-a") == 10
    assert exposure.count_node("members-east-b") == 4
    assert exposure.count_node("members-east") == 0
    assert exposure.count_failed(target="members-east-b") == exposure.count_failed(source="gateway-east-a") == 4
    assert exposure.count_failed(target="queue-east") == exposure.count_failed(source="members-east-b") == 0
    assert exposure.count_mark("simian.r.1") == 14
    assert exposure.count_mark("simian.r.2") == 0

    def link(source: str, target: str) -> Link:
        return Link(f"{source}--{target}", source, target, "east", "east")

    assert exposure.count_link(link("members-east-b", "cache-east-a")) == 8
    assert exposure.count_link(link("members-east", "queue-east")) == 6, "a source may be a service of a region"
    assert exposure.count_link(link("gateway-east", "gateway-west-a")) == 2
    assert exposure.count_link(link("members-east-c", "cache-east-a")) == 0
    exposure.take(Slice(10.4, 0.2, {}, 0, (), {"members-east-2-a>queue-east": 50}, {}))
    assert exposure.count_link(link("members-east-2", "queue-east")) == 50
    assert exposure.count_link(link("members-east", "queue-east")) == 6, "a region whose name begins so is another one"
