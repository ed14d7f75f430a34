"""Faults on the calls that a service makes."""

import asyncio
from typing import Any

import pytest
from simian_filters.client import InjectedFault, before_call, before_call_async, faulty
from simian_filters.context import collecting
from simian_filters.rules import Rule, Rules


def rules_with(**changed: Any) -> Rules:
    rules = Rules()
    rules.put(Rule.from_json({"mark": "m", "side": "client", "share": 1, "seed": 1} | changed))
    return rules


def test_a_call_that_is_hit_waits_and_then_goes_ahead() -> None:
    slept: list[float] = []
    before_call(rules_with(delay="30ms"), "store", sleep=slept.append)
    assert slept == [0.03]


def test_a_call_that_is_hit_with_a_status_waits_and_is_not_made() -> None:
    slept: list[float] = []
    with pytest.raises(InjectedFault, match="status 503 from store") as fault:
        before_call(rules_with(delay="30ms", status=503, callee="store"), "store", sleep=slept.append)
    assert (fault.value.status, fault.value.marks, fault.value.callee, slept) == (503, ("m",), "store", [0.03])


def test_a_call_to_another_callee_is_left_alone() -> None:
    before_call(rules_with(status=503, callee="store"), "cache")


def test_an_asynchronous_call_lets_others_run_while_it_waits() -> None:
    order: list[str] = []

    async def sleep(seconds: float) -> None:
        order.append(f"waits {seconds}")
        await asyncio.sleep(0)

    async def call() -> None:
        await before_call_async(rules_with(delay="30ms"), "store", sleep=sleep)
        order.append("calls")

    async def other() -> None:
        order.append("other")

    async def both() -> None:
        await asyncio.gather(call(), other())

    asyncio.run(both())
    assert order == ["waits 0.03", "other", "calls"]


def test_marks_of_hits_are_noted_for_the_current_request() -> None:
    with collecting() as marks:
        before_call(rules_with(delay="0ms"), "store")
    assert marks == ["m"]


def test_a_function_can_be_wrapped() -> None:
    def get(key: str, *, default: int = 0) -> int:
        """Get it."""
        return default

    assert faulty(Rules(), "store", get)("k", default=5) == 5
    assert faulty(Rules(), "store", get).__doc__ == "Get it."
    with pytest.raises(InjectedFault):
        faulty(rules_with(status=500), "store", get)("k")


def test_a_coroutine_function_can_be_wrapped() -> None:
    async def get(key: str) -> str:
        return key

    assert asyncio.run(faulty(Rules(), "store", get)("k")) == "k"
    with pytest.raises(InjectedFault):
        asyncio.run(faulty(rules_with(status=500), "store", get)("k"))
