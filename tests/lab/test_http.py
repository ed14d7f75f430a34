"""The server and the pooled client, over real sockets."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from simian_lab import http
from simian_lab.http import Pool, Request, Response, Server, start_server


async def _echo(request: Request) -> Response:
    text = f"{request.method} {request.path} {sorted(request.query.items())} {request.body.decode()}"
    return Response(200, text.encode(), {"x-seen": request.headers.get("x-told", "")})


def _run(test: Callable[[Server, Pool], Awaitable[None]], handler: http.Handler = _echo) -> None:
    async def main() -> None:
        pool = Pool()
        async with await start_server("127.0.0.1", 0, handler) as server:
            await test(server, pool)
            await pool.aclose()
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 20))


async def _raw(server: Server, payload: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(payload)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_request_arrives_as_it_was_sent() -> None:
    async def test(server: Server, pool: Pool) -> None:
        answer = await pool.request(*server.address, "POST", "/a%20b?x=1&y=", {"X-Told": "yes"}, b"body")
        assert answer.status == 200
        assert answer.body == b"POST /a b [('x', '1'), ('y', '')] body"
        assert answer.headers["x-seen"] == "yes"

    _run(test)


def test_a_connection_is_kept_and_used_again() -> None:
    peers: set[int] = set()

    async def test(server: Server, pool: Pool) -> None:
        for _ in range(5):
            await pool.request(*server.address, "GET", "/")
            peers.add(len(server._connections))
        assert peers == {1}

    _run(test)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def slow_first(request: Request) -> Response:
        await asyncio.sleep(0.05 if request.path == "/0" else 0)
        return Response(200, request.path.encode())

    async def test(server: Server, pool: Pool) -> None:
        lines = b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(200))
        answer = await _raw(server, lines + b"GET /end HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        bodies = [part.split(b"\r\n\r\n")[1] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
        assert bodies == [b"/%d" % n for n in range(200)] + [b"/end"]

    _run(test, slow_first)


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"what is this\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * (http.HEAD_LIMIT_B + 1) + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\ncontent-length: 9000000\r\n\r\n" + b"a" * 9_000_000, b"413"),
    ],
)
def test_a_bad_or_oversized_request_is_refused(payload: bytes, status: bytes) -> None:
    async def test(server: Server, pool: Pool) -> None:
        answer = await _raw(server, payload)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert (await pool.request(*server.address, "GET", "/")).status == 200

    _run(test)


def test_a_handler_that_raises_answers_500_and_the_server_lives() -> None:
    async def fails(request: Request) -> Response:
        raise RuntimeError("planted")

    async def test(server: Server, pool: Pool) -> None:
        assert (await pool.request(*server.address, "GET", "/")).status == 500
        assert (await pool.request(*server.address, "GET", "/")).status == 500

    _run(test, fails)


def test_refused_closed_and_timed_out_are_told_apart() -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def test(server: Server, pool: Pool) -> None:
        with pytest.raises(http.TimedOut):
            await pool.request(*server.address, "GET", "/", timeout_s=0.05)
        waiting = asyncio.ensure_future(pool.request(*server.address, "GET", "/", timeout_s=5))
        await asyncio.sleep(0.05)
        address = server.address
        server.close()
        with pytest.raises((http.Closed, http.ConnectRefused)):
            await waiting
        with pytest.raises(http.ConnectRefused):
            await pool.request(*address, "GET", "/")

    _run(test, never)


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_comes_as_the_server_ends_is_closed(turns: int) -> None:
    """At whatever turn of the loop: accepted and without a transport yet, or with one that nobody knows."""

    async def main(client: socket.socket) -> None:
        async with await start_server("127.0.0.1", 0, _echo) as server:
            client.connect(server.address)
            for _ in range(turns):
                await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as seen, socket.socket() as client:
        warnings.simplefilter("always")
        asyncio.run(main(client))
        gc.collect()
        client.settimeout(5.0)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert [str(warning.message) for warning in seen] == []


def test_a_stale_kept_connection_is_replaced_by_a_fresh_one() -> None:
    async def main() -> None:
        pool = Pool()
        first = await start_server("127.0.0.1", 0, _echo)
        address = first.address
        assert (await pool.request(*address, "GET", "/")).status == 200
        first.close()
        async with await start_server(*address, _echo):
            assert (await pool.request(*address, "GET", "/")).status == 200
            await pool.aclose()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello ")
        await writer.drain()
        writer.write(b"there")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(old, "127.0.0.1", 0)
        pool = Pool()
        answer = await pool.request("127.0.0.1", server.sockets[0].getsockname()[1], "GET", "/")
        assert answer.body == b"hello there"
        server.close()
        await pool.aclose()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_pool_connects_from_its_source_address() -> None:
    async def main() -> None:
        seen: list[str] = []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(writer.get_extra_info("peername")[0])
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(note, "127.0.0.1", 0)
        pool = Pool(source="127.0.0.7")
        answer = await pool.request("127.0.0.1", server.sockets[0].getsockname()[1], "GET", "/")
        assert answer.status == 204
        assert seen == ["127.0.0.7"]
        server.close()
        await pool.aclose()
        await asyncio.sleep(0.01)

    try:
        with socket.socket() as trial:
            trial.bind(("127.0.0.7", 0))
    except OSError:
        pytest.skip("this system binds 127.0.0.1 only")
    asyncio.run(main())
