"""What happens at a daemon elsewhere, as it happens: server-sent events, read over the standard library."""

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

from simian.errors import Unreachable
from simian.http_call import Answer, Service

SILENCE_LIMIT_S = 20.0  # one that lives says so every 5 s
LONGEST_LINE = 4 << 20
LONGEST_REFUSAL = 64 << 10
Event = dict[str, Any]


def events(service: Service, tail: str, refused: Callable[[Answer], Any]) -> Iterator[Event | None]:
    """Each event; ``None`` for a sign of life. ``refused`` raises what another answer than a stream tells of.

    Raises Unreachable when there are no more, or nothing was said for too long.
    """
    kind = http.client.HTTPSConnection if service.secure else http.client.HTTPConnection
    connection = kind(service.host, service.port, timeout=SILENCE_LIMIT_S)
    try:
        with contextlib.closing(connection):
            connection.request("GET", service.path + tail, headers=dict(service.headers))
            response = connection.getresponse()
            if response.status != 200:
                headers = {name.lower(): value for name, value in response.getheaders()}
                refused(Answer(response.status, response.read(LONGEST_REFUSAL), headers))
                raise Unreachable(f"there are no events at {service.host} (HTTP {response.status})")
            yield from _read(response)
    except TimeoutError as error:
        raise Unreachable(f"simian's daemon at {service.host} has said nothing for {SILENCE_LIMIT_S:g} s") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreachable(f"simian's daemon at {service.host}:{service.port} cannot be heard: {why}") from error
    raise Unreachable(f"simian's daemon at {service.host} has ended its events; it goes down, or is started anew")


def _read(response: http.client.HTTPResponse) -> Iterator[Event | None]:
    """An event is a line ``data: {…}`` here; the comment ``: alive`` says that there was none for a while."""
    while line := response.readline(LONGEST_LINE):
        if line.startswith(b": alive"):
            yield None
        elif line.startswith(b"data:"):
            yield json.loads(line.removeprefix(b"data:"))
