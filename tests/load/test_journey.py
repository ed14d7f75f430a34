"""What a device does when its gateway refuses, sheds, redirects, hangs or hangs up."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simian.histogram import Histogram
from simian.load.journey import Patience

GOOD = (
    b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: isthmus\r\nx-simian-faults: simian.k7.1,simian.k7.2\r\n"
    b"x-lab-trace: gateway-0>members-east-a!,gateway-0>members-east-b\r\nContent-Length: 2\r\n\r\n{}"
)
ERROR = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
SHED = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\ncontent-length: 0\r\n\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
Run = Callable[[Callable[[], Any]], Any]
Street = Any


def say(answer: bytes) -> Callable[[str], bytes]:
    return lambda head: answer


def asked(street: Street, run: Run, *answers: Callable[[str], bytes] | None, kinds: tuple[str, ...] = ("play",)) -> Any:
    """The slice after requests to gateways that answer so, in the order in which the device tries them."""

    async def body() -> Any:
        async with street(*answers) as here:
            return await here.users.ask(*kinds)

    return run(body)


def test_a_good_answer_is_counted_with_place_way_hops_and_faults(street: Street, run: Run) -> None:
    seen = asked(street, run, say(GOOD))
    row = seen["rows"][0]
    assert (row["home"], row["kind"], row["ended"], row["ok"], row["failed"]) == ("east", "play", 1, 1, 0)
    assert (row["first_failed"], row["shed"]) == (0, 0)
    assert row["served"] == {"east": 1}
    assert row["ways"] == {"isthmus": 1}
    assert sum(row["latency"].values()) == 1
    assert seen["hops"] == {"users>gateway-0": 1, "gateway-0>members-east-a!": 1, "gateway-0>members-east-b": 1}
    assert seen["faults"] == {"simian.k7.1": 1, "simian.k7.2": 1}
    assert seen["errors"] == {}
    assert seen["sent"] == 1


def test_a_refusing_first_gateway_is_a_first_try_failure_and_the_second_answers(street: Street, run: Run) -> None:
    seen = asked(street, run, None, say(GOOD))
    row = seen["rows"][0]
    assert (row["ok"], row["failed"], row["first_failed"]) == (1, 0, 1)
    assert seen["errors"] == {"refused": 1}
    assert seen["hops"]["users>gateway-0!"] == 1
    assert seen["hops"]["users>gateway-1"] == 1


def test_a_gateway_that_failed_is_left_alone_by_the_next_request(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(None, say(GOOD)) as here:
            await here.users.ask("play")
            return await here.users.ask("play", "profile")

    seen = run(body)
    assert [row["first_failed"] for row in seen["rows"]] == [0, 0]
    assert "users>gateway-0!" not in seen["hops"]


def test_a_server_error_is_tried_elsewhere_without_leaving_the_gateway(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(ERROR), say(GOOD)) as here:
            await here.users.ask("play")
            return await here.users.ask("play")

    seen = run(body)
    assert (seen["rows"][0]["ok"], seen["rows"][0]["first_failed"]) == (1, 1)
    assert seen["errors"] == {"status_502": 1}


def test_a_request_that_nobody_answers_well_has_failed(street: Street, run: Run) -> None:
    seen = asked(street, run, say(ERROR), None, say(ERROR))
    row = seen["rows"][0]
    assert (row["ok"], row["failed"], row["first_failed"]) == (0, 1, 1)
    assert row["served"] == {}
    assert sum(row["latency"].values()) == 1
    assert seen["errors"] == {"status_502": 2, "refused": 1}


def test_what_is_not_there_is_asked_for_once(street: Street, run: Run) -> None:
    seen = asked(street, run, say(MISSING), say(GOOD))
    assert (seen["rows"][0]["ok"], seen["rows"][0]["first_failed"]) == (0, 1)
    assert seen["errors"] == {"status_404": 1}
    assert "users>gateway-1" not in seen["hops"]


def test_shed_tries_are_counted_and_the_next_gateway_is_tried(street: Street, run: Run) -> None:
    seen = asked(street, run, say(SHED), say(GOOD))
    row = seen["rows"][0]
    assert (row["ok"], row["shed"], row["first_failed"]) == (1, 1, 1)
    assert seen["errors"] == {"shed": 1}


def test_a_redirect_is_followed_and_is_the_way(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD), say(GOOD)) as here:
            target = f"http://127.77.0.2:{here.port}/play?member=east-0&from=east"
            here.gateways[0].answer = say(
                f"HTTP/1.1 307 Go\r\nLocation: {target}\r\nx-lab-way: redirect\r\ncontent-length: 0\r\n\r\n".encode()
            )
            seen = await here.users.ask("play")
            return seen, here.gateways[1].heads

    seen, heads = run(body)
    row = seen["rows"][0]
    assert (row["ok"], row["first_failed"], row["ways"]) == (1, 0, {"redirect": 1})
    assert heads[0].startswith("GET /play?member=east-0&from=east HTTP/1.1\r\n")
    assert seen["hops"]["users>gateway-0"] == seen["hops"]["users>gateway-1"] == 1


def test_gateways_that_differ_by_port_only_are_found_and_told_apart(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(b""), say(GOOD), shared=True) as here:
            return await here.users.ask("play", "play", every_s=0.2), [len(each.heads) for each in here.gateways]

    seen, heads = run(body)
    row = seen["rows"][0]
    assert (row["ok"], row["first_failed"]) == (2, 1)
    assert (seen["hops"]["users>gateway-0!"], seen["hops"]["users>gateway-1"]) == (1, 2)
    assert heads == [1, 2]


def test_a_redirect_to_a_port_is_to_the_gateway_there_which_is_left_alone_when_it_fails(
    street: Street, run: Run
) -> None:
    async def body() -> Any:
        async with street(say(GOOD), say(GOOD), say(b""), shared=True) as here:
            location = f"http://127.0.0.1:{here.gateways[2].port}/play?member=east-0"
            here.gateways[0].answer = say(
                f"HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
            )
            seen = await here.users.ask("play")
            here.users.device.number = 2  # by its habit it would now begin with the last one
            return seen, here.users.device.order(here.hosts, asyncio.get_running_loop().time()), here.hosts

    seen, order, hosts = run(body)
    assert {hop for hop in seen["hops"] if hop.startswith("users")} == {
        "users>gateway-0", "users>gateway-2!", "users>gateway-1"}  # fmt: skip
    assert seen["rows"][0]["ok"] == 1
    assert order == hosts, "the one that failed comes last"


def test_a_redirect_to_a_name_is_to_the_gateway_that_the_dns_answers(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD), shared=True) as here:
            first = [b"HTTP/1.1 307 Go\r\nlocation: http://east.gw.lab/play\r\ncontent-length: 0\r\n\r\n"]
            here.gateways[0].answer = lambda head: first.pop() if first else GOOD
            return await here.users.ask("play"), here.gateways[0].heads

    seen, heads = run(body)
    assert (seen["rows"][0]["ok"], seen["rows"][0]["ways"]) == (1, {"redirect": 1})
    assert "\r\nhost: east.gw.lab\r\n" in heads[1]


@pytest.mark.parametrize("location", ["", "/elsewhere", "ftp://127.77.0.1/", "http://127.77.0.1:99999/", "http://[/"])
def test_a_redirect_to_nowhere_is_no_answer(street: Street, run: Run, location: str) -> None:
    answer = f"HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    seen = asked(street, run, say(answer), say(GOOD))
    assert (seen["rows"][0]["ok"], seen["rows"][0]["first_failed"]) == (1, 1)
    assert seen["errors"] == {"bad_redirect": 1}


def test_redirects_are_not_followed_in_a_circle(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD)) as here:
            answer = f"HTTP/1.1 307 Go\r\nlocation: http://127.77.0.1:{here.port}/play\r\ncontent-length: 0\r\n\r\n"
            here.gateways[0].answer = say(answer.encode())
            return await here.users.ask("play"), here.gateways[0].heads

    seen, heads = run(body)
    assert len(heads) == 2
    assert seen["errors"] == {"status_307": 1}


def test_a_silent_gateway_costs_one_try_and_not_the_deadline(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD), say(GOOD)) as here:
            here.gateways[0].answer = lambda head: b" "  # the beginning of an answer that never comes
            here.users.patience = Patience(deadline_s=30.0, try_s=0.5)
            return await here.users.ask("play")

    seen = run(body)
    assert (seen["rows"][0]["ok"], seen["rows"][0]["first_failed"]) == (1, 1)
    assert seen["errors"] == {"timeout": 1}


def test_a_stale_pooled_connection_is_no_failure(street: Street, run: Run) -> None:
    """The server hangs up on the second request of a connection, before any byte of an answer."""
    served: list[str] = []

    def once(head: str) -> bytes:
        served.append(head)
        return b"" if len(served) == 2 else GOOD

    async def body() -> Any:
        async with street(once) as here:
            await here.users.ask("play")
            return await here.users.ask("play"), here.gateways[0].connections

    seen, connections = run(body)
    row = seen["rows"][0]
    assert (row["ok"], row["first_failed"]) == (1, 0)
    assert seen["errors"] == {}
    assert len(served) == 3
    assert connections == 2


def test_a_fresh_connection_that_is_closed_is_a_failure(street: Street, run: Run) -> None:
    seen = asked(street, run, say(b""), say(GOOD))
    assert (seen["rows"][0]["ok"], seen["rows"][0]["first_failed"]) == (1, 1)
    assert list(seen["errors"]) in (["closed"], ["reset"])


def test_half_an_answer_is_a_failure_even_on_a_pooled_connection(street: Street, run: Run) -> None:
    answers = [GOOD, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf<and hang up>"]

    async def body() -> Any:
        async with street(lambda head: answers.pop(0), say(GOOD)) as here:
            await here.users.ask("play")
            return await here.users.ask("play")

    seen = run(body)
    assert (seen["rows"][0]["ok"], seen["rows"][0]["first_failed"]) == (1, 1)
    assert seen["hops"]["users>gateway-0!"] == 1


def test_connections_are_kept_alive(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD)) as here:
            for _ in range(5):
                await here.users.ask("play")
            return here.gateways[0].connections

    assert run(body) == 1


def test_idle_connections_are_reaped(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD)) as here:
            await here.users.ask("play")
            here.users.pool.reap(asyncio.get_running_loop().time() + 60)
            await here.users.ask("play")
            return here.gateways[0].connections

    assert run(body) == 2


def test_requests_look_as_the_lab_expects_them(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD)) as here:
            await here.users.ask("play", "progress", every_s=0.01)
            return here.gateways[0].heads

    play, progress = run(body)
    assert play.startswith("GET /play?member=east-0 HTTP/1.1\r\n")
    assert "\r\nx-lab-home: east\r\n" in play
    assert progress.startswith("POST /progress?member=east-0&at_us=1")
    assert "\r\ncontent-length: 0\r\n" in progress


def test_without_any_address_the_request_has_failed(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(GOOD)) as here:
            here.users.names.silent = True
            return await here.users.ask("play")

    seen = run(body)
    assert (seen["rows"][0]["failed"], seen["rows"][0]["first_failed"]) == (1, 1)
    assert seen["errors"] == {"dns_failed": 1}


def test_whose_gateways_are_all_gone_goes_where_the_name_leads_next_and_what_failed_is_told_before(
    street: Street, run: Run
) -> None:
    async def body() -> Any:
        async with street(None, None, say(GOOD)) as here:
            here.users.names.addresses, here.users.names.ttl_s = here.hosts[:2], 0
            asking = asyncio.create_task(here.users.ask("play"))
            while not (told := here.users.tally.cut(0.0, 1.0))["errors"]:
                await asyncio.sleep(0.01)
            here.users.names.addresses = here.hosts[2:]
            return told, await asking

    told, seen = run(body)
    assert (told["rows"], told["errors"]) == ([], {"refused": 2})
    assert told["hops"] == {"users>gateway-0!": 1, "users>gateway-1!": 1}
    row = seen["rows"][0]
    assert (row["ok"], row["failed"], row["first_failed"], row["served"]) == (1, 0, 1, {"east": 1})
    assert (seen["errors"], seen["hops"]["users>gateway-2"]) == ({}, 1)
    assert not any(hop.endswith("!") for hop in seen["hops"] if hop.startswith("users>")), "told twice"


def test_whose_name_leads_nowhere_else_has_failed_at_its_deadline_and_has_asked_once(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(None, None) as here:
            here.users.patience, here.users.names.ttl_s = Patience(deadline_s=0.5), 0
            return await here.users.ask("play"), here.users.names.asked

    seen, asked_names = run(body)
    assert (seen["rows"][0]["failed"], seen["errors"]) == (1, {"refused": 2})
    assert Histogram.from_json(seen["rows"][0]["latency"]).quantile(1.0) >= 495
    assert asked_names > 2


def test_who_was_answered_badly_does_not_wait_for_other_addresses(street: Street, run: Run) -> None:
    async def body() -> Any:
        async with street(say(ERROR), None, say(SHED)) as here:
            here.users.names.ttl_s = 0
            return await here.users.ask("play"), here.users.names.asked

    seen, asked_names = run(body)
    assert (seen["rows"][0]["failed"], asked_names) == (1, 1)


def test_a_bug_in_a_journey_is_told_and_counted(street: Street, run: Run) -> None:
    told: list[str] = []

    async def body() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(str(context["exception"])))
        async with street(say(GOOD)) as here:
            here.users.pool.fetch = None
            return await here.users.ask("play")

    seen = run(body)
    assert (seen["rows"][0]["failed"], seen["errors"]) == (1, {"internal": 1})
    assert told
