"""The users' event loop: asyncio's own, but punctual."""

import asyncio
import select
import selectors
import sys

_SHORT_S = 0.02  # a wait up to that is left to select, which knows microseconds
_ROUNDED_S = 0.001  # epoll waits for whole milliseconds, rounded up: half of all requests would start half of one late


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop for the users; where there is no epoll, the usual one."""
    return asyncio.SelectorEventLoop(_Selector()) if sys.platform == "linux" else asyncio.new_event_loop()


if sys.platform == "linux":

    class _Selector(selectors.EpollSelector):
        """epoll whose waits end on time. It takes a little more of the processor, as fewer requests start together."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """See BaseSelector."""
            if timeout is not None and timeout > _SHORT_S:
                timeout -= _ROUNDED_S  # it comes back early and waits for the rest
            elif timeout is not None and timeout > 0:
                ready, _, _ = select.select((self,), (), (), timeout)  # an epoll is waited for as sockets are
                if not ready:
                    return []
                timeout = 0
            return super().select(timeout)
