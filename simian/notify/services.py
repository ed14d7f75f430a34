"""The services that ``apprise`` reaches. It is an extra, and imported here alone, once something is to be sent."""

import logging
from typing import Any

from simian.notify.parcel import NotSent, Parcel

MISSING = "apprise is not installed; install it: pip install simian-army[notify]"
_ALIKE = str.maketrans("<>@`", "‹›＠'")  # they begin links, mentions and code in chats; a name must not


def tell(url: str, parcel: Parcel) -> None:
    """Send one. Raises NotSent, whose text never shows the address."""
    service = _service(url)
    title, body = _words(parcel)
    try:
        arrived = service.notify(title=title, body=body, body_format="text")
    except Exception as error:  # of a plug-in of apprise's: whatever it is, its words may hold the address
        raise NotSent(f"apprise raised {type(error).__name__}") from None
    if not arrived:
        raise NotSent("the service that apprise asked did not take it; try its address with apprise's own command")


def _service(url: str) -> Any:
    try:
        import apprise
    except ModuleNotFoundError:
        raise NotSent(MISSING) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it tells of addresses
    made = apprise.Apprise()
    if not made.add(url):
        raise NotSent("the address is none that apprise knows; see its list of services", for_good=True)
    return made


def _words(parcel: Parcel) -> tuple[str, str]:
    message = parcel.message
    title = f"simian: {parcel.event}: {message.get('experiment') or message.get('monkey') or message.get('schedule')}"
    lines = [message.get("sentence", ""), *(message.get("alarm") or ()), *_reasons(message)]
    if message.get("report"):
        lines.append(str(message["report"]))
    return _harmless(title), "\n".join(_harmless(line) for line in lines if line)


def _reasons(message: Any) -> list[str]:
    reasons = message.get("reasons") or []
    return [f"- {reason}" for reason in reasons] if len(reasons) > 1 else []


def _harmless(text: object) -> str:
    return str(text).translate(_ALIKE).replace("](", "] (")
