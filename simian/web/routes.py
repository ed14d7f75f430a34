"""One table says what the API is: from it requests are routed and checked, and the OpenAPI document is written."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import Request

from simian.web.access import Visitor
from simian.web.settings import Role
from simian.web.shapes import NoQuery

if TYPE_CHECKING:
    from simian.web.tools import Tools

API = "/api/v1"


@dataclass(frozen=True)
class Call:
    """One request, checked. ``path``: what stood for its ``{names}``; ``query``, ``body``: of the route's models."""

    tools: "Tools"
    visitor: Visitor
    request: Request
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """``answer``: the JSON Schema of what it answers with, beside errors; ``kind``: its media type."""

    method: str
    path: str
    handler: Handler
    summary: str
    role: Role = "reader"
    status: int = 200
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    answer: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    kind: str = "application/json"
    once: bool = False  # takes an Idempotency-Key

    @property
    def changes(self) -> bool:
        """Whether it may change anything."""
        return self.method != "GET"

    @property
    def names(self) -> list[str]:
        """Of what stands in braces in its path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
