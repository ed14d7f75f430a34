"""Faults on the calls a service makes. Mount one of these around any client: nothing is imported of httpx and its like.

before_call(rules, "store")                     # sync, right before the call
await before_call_async(rules, "store")         # async
get_row = faulty(rules, "store", get_row)       # around a function of either sort
"""

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast

from simian_filters import context
from simian_filters.rules import Decision, Rules

P = ParamSpec("P")
T = TypeVar("T")


class InjectedFault(Exception):
    """The call was not made: a rule says that it ends with ``status``. ``marks`` are those of the rules that hit."""

    def __init__(self, status: int, marks: tuple[str, ...], callee: str = "") -> None:
        self.status, self.marks, self.callee = status, marks, callee
        super().__init__(f"injected fault: status {status} from {callee or 'the callee'} ({', '.join(marks)})")


def decide_call(rules: Rules, callee: str = "") -> Decision:
    """What is to be done to this call; its marks are noted for the answer to the current request."""
    decision = rules.decide("client", callee)
    if decision.marks:
        context.note(decision.marks)
    return decision


def _raise_fault(decision: Decision, callee: str) -> None:
    if decision.status is not None:
        raise InjectedFault(decision.status, decision.marks, callee)


def before_call(rules: Rules, callee: str = "", *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Hold a call back as the rules say. Raises InjectedFault when it is not to be made."""
    decision = decide_call(rules, callee)
    if decision.delay_ms:
        sleep(decision.delay_ms / 1_000)
    _raise_fault(decision, callee)


async def before_call_async(
    rules: Rules, callee: str = "", *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """The same without holding the event loop."""
    decision = decide_call(rules, callee)
    if decision.delay_ms:
        await sleep(decision.delay_ms / 1_000)
    _raise_fault(decision, callee)


def faulty(rules: Rules, callee: str, function: Callable[P, T]) -> Callable[P, T]:
    """The function (or coroutine function) with the rules before each of its calls."""
    if inspect.iscoroutinefunction(function):

        async def call_async(*args: P.args, **options: P.kwargs) -> Any:
            await before_call_async(rules, callee)
            return await function(*args, **options)

        return cast("Callable[P, T]", functools.wraps(function)(call_async))

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> T:
        before_call(rules, callee)
        return function(*args, **options)

    return call
