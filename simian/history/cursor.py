"""Where a page ended, as an opaque text: it can be handed back, not made up."""

import base64
import binascii
import json
import zlib

from simian.history.moment import to_us


def write_cursor(started: str, run: str) -> str:
    """The cursor after this run."""
    payload = json.dumps([started, run]).encode()
    return base64.urlsafe_b64encode(_mark(payload) + payload).decode().rstrip("=")


def read_cursor(text: str) -> tuple[str, str]:
    """(started, run) of the last run seen. Raises ValueError for anything that ``write_cursor`` did not write."""
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mark, payload = whole[:4], whole[4:]
        if mark != _mark(payload):
            raise ValueError
        started, run = json.loads(payload)
        to_us(started)
        return started, str(run)
    except (ValueError, TypeError, binascii.Error) as error:
        raise ValueError(f"the cursor {text[:60]!r} is not one of ours; give the 'next' of a page") from error


def _mark(payload: bytes) -> bytes:
    """Against slips of the hand, not against forgery: a cursor opens nothing."""
    return zlib.crc32(payload).to_bytes(4, "big")
