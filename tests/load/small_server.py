"""A server for a process of its own, so that a test can freeze it. Prints its port; answers all with 200."""

import asyncio

GOOD = b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: direct\r\ncontent-length: 2\r\n\r\n{}"


class Serve(asyncio.Protocol):
    """Answers each read with one answer: the client has one request in flight for each connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(GOOD)  # type: ignore[attr-defined]


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Serve, "127.77.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
