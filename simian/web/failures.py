"""What the API and the pages answer when they cannot do what was asked: a status, a kind, and every reason."""

from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from simian.errors import HistoryError, Refused, SimianError, Unreachable, UsageError

STATUSES: tuple[tuple[type[SimianError], int, str], ...] = (
    (UsageError, 400, "usage"),
    (Refused, 409, "refused"),
    (Unreachable, 503, "unreachable"),
    (HistoryError, 503, "unreachable"),
)
_PLAIN = {404: "not-found", 405: "usage", 401: "unauthorised", 403: "forbidden", 400: "usage"}


class Failure(SimianError):
    """What only a web knows. ``status``: of HTTP; ``headers``: that it needs beside."""

    status = 500
    kind = "failed"

    def __init__(self, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.headers = dict(headers or {})


class Unauthorised(Failure):
    """Nobody knows who asks."""

    status, kind = 401, "unauthorised"

    def __init__(self, text: str) -> None:
        super().__init__(text, {"WWW-Authenticate": 'Bearer realm="simian"'})


class Forbidden(Failure):
    """Who asks is known, or where from, and may not."""

    status, kind = 403, "forbidden"


class Missing(Failure):
    """There is no such thing."""

    status, kind = 404, "not-found"


class TooSlow(Failure):
    """The body did not come."""

    status, kind = 408, "usage"


class TooLarge(Failure):
    """The body is longer than any of ours."""

    status, kind = 413, "usage"


class WrongType(Failure):
    """The body is something else than what is taken here."""

    status, kind = 415, "usage"


class TooMany(Failure):
    """Asked too often. ``wait_s``: when to come again."""

    status, kind = 429, "refused"

    def __init__(self, text: str, wait_s: float) -> None:
        super().__init__(text, {"Retry-After": str(max(1, round(wait_s + 0.5)))})


class NotUnderstood(Failure):
    """The key of an earlier request, with another body."""

    status, kind = 422, "usage"


def told(error: Exception) -> tuple[int, str, Sequence[str], Mapping[str, str]]:
    """Status, kind, reasons and headers of an answer. What is no error of ours says nothing of itself."""
    if isinstance(error, Failure):
        return error.status, error.kind, [str(error)], error.headers
    if isinstance(error, HTTPException):
        kind = _PLAIN.get(error.status_code, "failed")
        return error.status_code, kind, [error.detail.lower()], error.headers or {}
    if isinstance(error, SimianError):
        status, kind = next(((status, kind) for of, status, kind in STATUSES if isinstance(error, of)), (500, "failed"))
        return status, kind, _reasons(error), {}
    return 500, "failed", ["a defect of simian's own; the log of the web process says more"], {}


def _reasons(error: SimianError) -> Sequence[str]:
    found: Sequence[str] = (
        getattr(error, "problems", None) or getattr(error, "reasons", None) or str(error).splitlines()
    )
    return found


def as_json(request: Request, error: Exception) -> Response:
    """The answer of the API."""
    status, kind, reasons, headers = told(error)
    return JSONResponse({"error": {"kind": kind, "reasons": list(reasons)}}, status, headers)
