"""The middleware, driven as an ASGI server drives it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from simian_filters import context
from simian_filters.admin import BASE, LARGEST_BODY_B
from simian_filters.asgi import App, FaultFilter, Message, Receive, Scope, Send
from simian_filters.client import before_call_async
from simian_filters.rules import Rule, Rules

TOKEN = "s3cret"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"X-Simian-Faults", b"behind, mine")]
    own = headers if scope["path"] == "/told" else headers[:1]
    await send({"type": "http.response.start", "status": 200, "headers": own})
    await send({"type": "http.response.body", "body": b"hello"})


class Slept:
    """A sleep that only writes down."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def mounted(app: App = hello, *, token: str | None = TOKEN) -> tuple[FaultFilter, Slept]:
    slept = Slept()
    return FaultFilter(app, token=token, sleep=slept), slept


def request(
    app: App,
    path: str,
    method: str = "GET",
    *,
    headers: dict[str, str] | None = None,
    chunks: tuple[bytes, ...] = (b"",),
) -> tuple[int, dict[str, str], bytes]:
    """One request through the application, and its answer."""
    parts = [{"type": "http.request", "body": c, "more_body": n < len(chunks)} for n, c in enumerate(chunks, 1)]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    asyncio.run(ensure(app({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)))
    told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    assert len(told) == len(sent[0]["headers"]), "a header came twice"
    return sent[0]["status"], told, b"".join(message["body"] for message in sent[1:])


async def ensure(answer: Awaitable[None]) -> None:
    await answer


def rule(mark: str = "m", **changed: Any) -> Rule:
    return Rule.from_json({"mark": mark, "side": "server", "share": 1, "seed": 1, "status": 503} | changed)


def test_without_rules_requests_go_through_untouched() -> None:
    app, slept = mounted()
    assert request(app, "/") == (200, {"content-type": "text/plain"}, b"hello")
    assert slept.seconds == []


def test_a_rule_comes_in_over_http_and_hits() -> None:
    app, _ = mounted()
    key = {"authorization": f"Bearer {TOKEN}"}
    body = json.dumps({"side": "server", "share": 1, "seed": 1, "status": 503}).encode()
    assert request(app, f"{BASE}/m", "PUT", headers=key, chunks=(body[:10], body[10:]))[0] == 204
    status, headers, content = request(app, "/")
    assert (status, headers["x-simian-faults"]) == (503, "m")
    assert headers["content-length"] == str(len(content))
    told = json.loads(request(app, BASE, headers=key)[2])["rules"]
    assert (told[0]["saw"], told[0]["hit"]) == (1, 1)
    assert request(app, f"{BASE}/m", "DELETE", headers=key)[0] == 204
    assert request(app, "/")[0] == 200


def test_a_delay_is_waited_for_and_told() -> None:
    app, slept = mounted()
    app.rules.put(rule(status=None, delay="250ms"))
    status, headers, _ = request(app, "/")
    assert (status, headers["x-simian-faults"], slept.seconds) == (200, "m", [0.25])


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_is_answered_without_one(status: int) -> None:
    app, _ = mounted()
    app.rules.put(rule(status=status))
    assert (request(app, "/")[0], request(app, "/")[2]) == (status, b"")


def test_marks_of_calls_made_for_a_request_are_told_with_its_own_and_those_it_passes_on() -> None:
    rules = Rules()

    async def calls(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.gather(before_call_async(rules, "store"), before_call_async(rules, "store"))
        await hello(scope, receive, send)

    app = FaultFilter(calls, token=TOKEN, rules=rules, sleep=Slept())
    rules.put(rule("mine", status=None, delay="1ms"))
    rules.put(rule("client", side="client", status=None, delay="0ms"))
    assert request(app, "/told")[1]["x-simian-faults"] == "mine,client,behind"


def test_marks_of_one_request_do_not_reach_another() -> None:
    rules = Rules()
    seen: list[list[Message]] = []

    async def calls(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/caller":
            await before_call_async(rules, "store")
        await asyncio.sleep(0)
        await hello(scope, receive, send)

    async def both() -> None:
        app = FaultFilter(calls, token=TOKEN, rules=rules)
        rules.put(rule(side="client", status=None, delay="0ms"))
        await asyncio.gather(*(one(app, path) for path in ("/caller", "/other")))

    async def one(app: App, path: str) -> None:
        sent: list[Message] = []
        seen.append(sent)

        async def send(message: Message) -> None:
            sent.append(message)

        await app({"type": "http", "method": "GET", "path": path, "headers": []}, no_receive, send)

    asyncio.run(both())
    marked = [any(name == b"x-simian-faults" for name, _ in sent[0]["headers"]) for sent in seen]
    assert marked == [True, False]


async def no_receive() -> Message:
    raise AssertionError("nothing to receive")


def test_outside_of_a_request_marks_are_dropped() -> None:
    context.note(["m"])
    with context.collecting() as marks:
        context.note_header(" a, b ,a,")
        context.note_header(None)
    assert context.header_value(marks) == "a,b"


def test_the_admin_interface_is_not_hit_by_rules() -> None:
    app, slept = mounted()
    app.rules.put(rule(delay="1s"))
    assert request(app, BASE, headers={"authorization": f"Bearer {TOKEN}"})[0] == 200
    assert slept.seconds == []


def test_a_body_without_end_is_read_no_further_than_the_limit() -> None:
    app, _ = mounted()
    read: list[int] = []
    sent: list[Message] = []

    async def receive() -> Message:
        read.append(65_536)
        return {"type": "http.request", "body": b" " * 65_536, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "PUT", "path": f"{BASE}/m", "headers": headers}
    asyncio.run(ensure(app(scope, receive, send)))
    assert sent[0]["status"] == 413
    assert sum(read) <= LARGEST_BODY_B + 65_536


def test_without_a_token_the_filter_is_inert() -> None:
    app, _ = mounted(token=None)
    assert request(app, BASE, headers={"authorization": "Bearer None"})[0] == 404
    assert request(app, "/")[0] == 200


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_what_is_no_http_goes_through_untouched(kind: str) -> None:
    passed: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append((scope["type"], receive, send))

    async def send(message: Message) -> None:
        raise AssertionError("nothing to send")

    faults, slept = mounted(app)
    faults.rules.put(rule(delay="1s"))
    asyncio.run(ensure(faults({"type": kind, "path": BASE}, no_receive, send)))
    assert passed == [(kind, no_receive, send)]
    assert slept.seconds == []
