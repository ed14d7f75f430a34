"""Taking a fault out of a link, from the gentlest way to the last.

A Toxiproxy that removes a toxic while one end of a connection does not read may never answer again, neither this call
nor others (Shopify/toxiproxy#558). So a cut is closed before its toxic is removed; a delay or throttle, whose
connections are to be kept, is set to nothing, then removed within a short limit. If that does not answer, the proxy is
made anew; if that does not either, its server is restarted, unless somebody else's toxics would go with it.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from simian.errors import DriverError, NoSuchTarget, TimedOut
from simian.networks.toxiproxy_client import AlreadyThere, Proxy, Server, Toxic
from simian.networks.toxiproxy_toxics import carrying, cuts, foreign, is_flag, is_ours, note_of
from simian.world import LinkReading

REMOVE_LIMIT_S = 2.0
RESTART_LIMIT_S = 10.0
_POLL_S = 0.05


@dataclass
class Mending:
    """One mark to be taken out of one link. ``restart`` restarts the server's process or raises DriverError."""

    server: Server
    link: str
    mark: str
    was: LinkReading
    restart: Callable[[], None]
    strangers: list[Toxic] = field(init=False)

    def __post_init__(self) -> None:
        self.server = self.server.within(REMOVE_LIMIT_S)
        self.strangers = [Toxic.from_json(shape) for shape in self.was.proxy.get("toxics", ())]

    def __call__(self) -> None:
        """Mend it. Content with a link that is gone; raises DriverError when it could not be done."""
        for way in (self._gently, self._anew):
            try:
                return way()
            except TimedOut:
                continue  # a server that does not answer is what the next way is for
        return self._by_restart()

    @property
    def _enabled_before(self) -> bool:
        """With marks on it, it was we who had disabled it."""
        return self.was.enabled or bool(self.was.marks)

    def _gently(self) -> None:
        try:
            proxy = self.server.proxy(self.link)
        except NoSuchTarget:
            return self._from_note()
        self.strangers = foreign(proxy.toxics)
        own = carrying(proxy, self.mark)
        if any(cuts(toxic) for toxic in own):
            self.server.enable(self.link, False)
        for toxic in own:
            with suppress(NoSuchTarget):
                self._take_out(toxic)
        self._open()
        self._drop_note()

    def _take_out(self, toxic: Toxic) -> None:
        if not cuts(toxic):
            # Nothing, but not by its attributes: a rate of 0 swallows everything, and by its source the server can
            # panic when a rate grows under a chunk that is being sent in parts. No connection draws a toxicity of 0.
            self.server.update(self.link, toxic.name, toxicity=0.0)
        self.server.remove(self.link, toxic.name)

    def _open(self) -> None:
        """Enable it if it was, unless another fault of ours still keeps it shut; then look whether all is as told."""
        now = self.server.proxy(self.link)
        if self._enabled_before and not now.enabled and not any(is_flag(toxic) for toxic in now.toxics):
            self.server.enable(self.link, True)
            now = self.server.proxy(self.link)
            if not now.enabled:
                raise DriverError(f"{self.link} was enabled, but {self.server} says that it is not")
        if carrying(now, self.mark):
            raise DriverError(f"{self.mark} was removed from {self.link}, but {self.server} still has it")

    def _anew(self) -> None:
        """Delete the proxy and make it again. A note in its place outlives us, should we die in between."""
        listen, upstream = self._address()
        with suppress(AlreadyThere):
            self.server.create(note_of(self.mark, self.link), listen=listen, upstream=upstream, enabled=False)
        with suppress(NoSuchTarget):
            self.server.destroy(self.link)
        self._make(listen, upstream)
        self._drop_note()

    def _from_note(self) -> None:
        """The link is gone. If it was we who died while making it anew, finish that; else be content."""
        try:
            note = self.server.proxy(note_of(self.mark, self.link))
        except NoSuchTarget:
            return
        self._make(note.listen, note.upstream)
        self._drop_note()

    def _make(self, listen: str, upstream: str) -> None:
        self.server.create(self.link, listen=listen, upstream=upstream, enabled=self._enabled_before)
        for toxic in self.strangers:
            self.server.add(self.link, toxic)
        now = self.server.proxy(self.link)
        if any(is_ours(toxic.name) for toxic in now.toxics) or now.enabled != self._enabled_before:
            raise DriverError(f"{self.link} was made anew, but {self.server} tells of it as before")

    def _drop_note(self) -> None:
        with suppress(NoSuchTarget):
            self.server.destroy(note_of(self.mark, self.link))

    def _address(self) -> tuple[str, str]:
        try:
            return str(self.was.proxy["listen"]), str(self.was.proxy["upstream"])
        except KeyError:
            raise DriverError(
                f"{self.server} does not answer, and how {self.link} was before is not known, so it "
                "cannot be made anew; restart that Toxiproxy"
            ) from None

    def _by_restart(self) -> None:
        names = self._strangers_on_server()
        if names:
            raise DriverError(
                f"{self.server} does not answer for {self.link}, and a restart would take out toxics "
                f"that are not ours ({', '.join(names)}); restart it when their owner agrees"
            )
        self.restart()
        self._wait_until_up()
        try:
            self._open()
        except NoSuchTarget:
            self._make(*self._address())

    def _strangers_on_server(self) -> list[str]:
        names = {toxic.name for toxic in self.strangers} | set(self.was.foreign)
        with suppress(TimedOut):  # what it cannot tell any more it cannot do any more: nobody loses by a restart
            proxies: list[Proxy] = list(self.server.proxies().values())
            names |= {toxic.name for proxy in proxies for toxic in foreign(proxy.toxics)}
        return sorted(names)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + RESTART_LIMIT_S
        while True:
            try:
                self.server.version()
                return
            except DriverError as error:
                if time.monotonic() > deadline:
                    raise TimedOut(f"{self.server} was restarted and is not up {RESTART_LIMIT_S:g} s later") from error
            time.sleep(_POLL_S)
