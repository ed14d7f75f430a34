"""Who asks, and what that one may: tokens, sessions of browsers, and the mark that a form of ours carries."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request

from simian.web.failures import Forbidden, Unauthorised
from simian.web.settings import Role, Settings, Token

COOKIE = "simian"
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"
IDLE_LIMIT_S = 12 * 3600.0
MOST_SESSIONS = 1000
SAFE = ("GET", "HEAD", "OPTIONS")
Clock = Callable[[], float]


def digest(text: str) -> str:
    """What is kept of a secret text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Keyring:
    """The tokens that open something."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    def holder(self, text: str) -> Token | None:
        """Whose token this is. Takes as long for one that is nearly right as for any other."""
        given, found = digest(text), None
        for token in self._tokens:
            if hmac.compare_digest(given, token.sha256):
                found = token
        return found


@dataclass
class Session:
    """A browser that has shown a token. ``csrf``: what its forms carry, and no other page can know."""

    name: str
    role: Role
    csrf: str
    seen: float


class Sessions:
    """In memory: whoever starts the web process anew has people show their tokens again."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, token: Token) -> tuple[str, Session]:
        """A new one, and the text of its cookie, which only the browser keeps."""
        cookie = secrets.token_urlsafe(32)
        session = Session(token.name, token.role, secrets.token_urlsafe(32), self._clock())
        self._open[digest(cookie)] = session
        while len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """The session of that cookie, unless nothing was heard of it for too long."""
        key = digest(cookie)
        session = self._open.get(key)
        if session is None or self._clock() - session.seen > IDLE_LIMIT_S:
            self._open.pop(key, None)
            return None
        session.seen = self._clock()
        self._open.move_to_end(key)
        return session

    def close(self, cookie: str) -> None:
        """Whoever has the cookie is nobody again."""
        self._open.pop(digest(cookie), None)


@dataclass(frozen=True)
class Visitor:
    """Who asks. ``role``: None: may see nothing; ``way``: ``api`` (a token) or ``web`` (a session); ``where``: from."""

    name: str
    role: Role | None
    way: str
    where: str
    session: Session | None = None

    @property
    def who(self) -> str:
        """For the audit."""
        return f"{self.way}:{self.name}"

    @property
    def is_operator(self) -> bool:
        """Whether it may change anything."""
        return self.role == "operator"

    @property
    def csrf(self) -> str:
        """For its forms; empty without a session, and such a form is not taken."""
        return self.session.csrf if self.session else ""


class Door:
    """Tells who comes in."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.keyring, self.sessions = Keyring(settings.tokens), sessions
        self._for_all: Role | None = None if settings.read_needs_token else "reader"

    def visitor(self, request: Request) -> Visitor:
        """Who that is. Raises Unauthorised for a token that is none of ours."""
        where = request.client.host if request.client else "local"
        given = request.headers.get("authorization")
        if given is not None:
            token = self._holder(given)
            return Visitor(token.name, token.role, "api", where)
        session = self.sessions.find(request.cookies.get(COOKIE, ""))
        if session is not None:
            return Visitor(session.name, session.role, "web", where, session)
        return Visitor("nobody", self._for_all, "web", where)

    def _holder(self, header: str) -> Token:
        scheme, _, text = header.partition(" ")
        token = self.keyring.holder(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Unauthorised(
                "the token is none of this system's; send 'Authorization: Bearer TOKEN' with one that is"
            )
        return token


def require(visitor: Visitor, role: Role) -> None:
    """Raises Unauthorised where a token is needed, Forbidden where another one is."""
    if visitor.role is None or (role == "operator" and visitor.name == "nobody"):
        raise Unauthorised("this needs a token; send 'Authorization: Bearer TOKEN', or sign in")
    if role == "operator" and not visitor.is_operator:
        raise Forbidden(f"{visitor.name} is a reader, and this takes an operator; ask for a token with that role")


def require_own_form(visitor: Visitor, mark: str | None) -> None:
    """A cookie alone does not say that its owner wanted this: the mark of our own page does. Raises Forbidden."""
    if visitor.session is None:
        return
    if not hmac.compare_digest(digest(mark or ""), digest(visitor.session.csrf)):
        raise Forbidden("this did not come from a page of simian's; load the page anew and try again")
