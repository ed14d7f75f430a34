"""A server for a process of its own, so that a test can freeze it. Prints its port; answers all with 200.

Without asyncio: after a freeze it must answer what has come together in a moment, or it would be measured itself.
"""

import selectors
import socket

GOOD = b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: direct\r\ncontent-length: 2\r\n\r\n{}"


def main() -> None:
    """Serve until killed."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.77.0.1", 0), backlog=4096)
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                selector.register(connection, selectors.EVENT_READ)
            else:
                assert isinstance(key.fileobj, socket.socket)
                _answer(selector, key.fileobj)


def _answer(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    try:
        if connection.recv(4096):
            connection.sendall(GOOD)
            return
    except ConnectionError:
        pass  # gone; closed below like one that said so
    selector.unregister(connection)
    connection.close()


main()
