"""Who asks, and an end to guessing."""

from starlette.requests import Request

from simian.web.access import Visitor
from simian.web.failures import TooMany, Unauthorised
from simian.web.tools import Tools


def address_of(request: Request) -> str:
    """Where it came from: the connection's other end, whatever headers say."""
    return request.client.host if request.client else "local"


def recognised(tools: Tools, request: Request) -> Visitor:
    """Who asks. A right token is always heard, and many wrong ones are told to wait. Raises Unauthorised, TooMany."""
    try:
        return tools.door.visitor(request)
    except Unauthorised:
        refuse_guessing(tools, request)
        raise


def refuse_guessing(tools: Tools, request: Request) -> None:
    """Another wrong token. Raises TooMany when there were too many of late."""
    where = address_of(request)
    wait_s = tools.wrong_tokens.take(where)
    if wait_s:
        raise TooMany(f"too many wrong tokens from {where}; wait {wait_s:.0f} s", wait_s)
