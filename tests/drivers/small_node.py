"""A node for the contract suites: ``HOST PORT FOLDER NAME [stubborn]``. Answers 200 to anything; SIGTERM is noted."""

import os
import signal
import socket
import sys


def main() -> None:
    host, port, folder, name = sys.argv[1:5]

    def end(number: int, frame: object) -> None:
        with open(os.path.join(folder, f"{name}.ended-well"), "w") as note:
            note.write(str(os.getpid()))
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[5:] == ["stubborn"] else end)
    server = socket.create_server((host, int(port)))
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(1.0)
            try:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                continue


main()
