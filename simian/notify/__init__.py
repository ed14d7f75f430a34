"""Notifications: what happened is told to whoever asked for it, through webhooks, commands and ``apprise``.

An event goes into the outbox of the history, a row for each channel that listens to it (``enqueue``), and from there
to the channel, as often as it takes (``deliver``). Neither is done by a run: nothing here may delay one or fail it.
Each is imported when it is asked for, as reports and histories are not needed to read a configuration.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simian.notify.channels import Channel, channels_of
    from simian.notify.delivery import deliver, enqueue
    from simian.notify.event import Event, ended, missed, refused, started
    from simian.notify.spool import Post, Spool

_HOMES = {
    "channels": ("Channel", "channels_of"),
    "delivery": ("deliver", "enqueue"),
    "event": ("Event", "ended", "missed", "refused", "started"),
    "spool": ("Post", "Spool"),
}
__all__ = [
    "Channel", "Event", "Post", "Spool", "channels_of", "deliver", "ended", "enqueue", "missed", "refused", "started",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"simian.notify.{home}"), name)
    raise AttributeError(f"module 'simian.notify' has no attribute {name!r}")
