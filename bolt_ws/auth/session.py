"""Django's session cookie."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from ..context import Identity
from ..handshake import Handshake
from ..users import is_active
from .backends import Authentication, nonblocking
from .detached import in_thread

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

MAX_COOKIE_LENGTH: Final = 4096
"""Characters. A browser keeps no longer one (RFC 6265 section 6.1), so nobody sends it honestly."""


class SessionAuthentication(Authentication):
    """The session of Django says who connects; no middleware is needed.

    It costs a query for the session, where `SESSION_ENGINE` asks the database, and one for the
    user. A cookie of nobody, or of a session that has ended, is as good as none: the client is
    anonymous. The session is only read. With `permissions`, `websocket.context.permissions` holds
    all that the user has, his groups' included, which may cost two queries more.

    The browser sends the cookie for a page of any site, so the endpoint wants an Origin header.
    """

    def __init__(self, *, permissions: bool = False) -> None:
        self.permissions = permissions

    @property
    def is_ambient(self) -> bool:
        """True: a cookie."""
        return True

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Awaitable[Identity | None] | None:
        """Look for the cookie; only if there is one, ask for its session and user."""
        session_key = websocket.cookies.get(settings.SESSION_COOKIE_NAME, "")
        # RFC 6265 section 4.1.1; databases and caches fail on a NUL, for instance.
        is_possible = session_key.isascii() and session_key.isprintable()
        if not session_key or len(session_key) > MAX_COOKIE_LENGTH or not is_possible:
            return None
        return in_thread(self._identify, session_key)

    def _identify(self, session_key: str) -> Identity | None:
        request = HttpRequest()
        request.session = session = _open(session_key)
        rows = _note_rows(session)
        try:
            user: Any = get_user(request)
        except ValidationError:  # it was written for a user model with another kind of key
            return None
        # From now on: of when it was last saved, the row alone knows.
        remaining: float = session.get_expiry_age()
        now = time.time()
        for row in rows:
            remaining = min(remaining, row.expire_date.timestamp() - now)
        if not user.is_authenticated or not is_active(user) or remaining <= 0:
            return None
        return Identity(
            user_id=str(user.pk),
            is_staff=bool(getattr(user, "is_staff", False)),
            is_superuser=bool(getattr(user, "is_superuser", False)),
            permissions=frozenset(user.get_all_permissions() if self.permissions else ()),
            # At the latest: a request may keep the session alive, and then the client comes back.
            expires_at=now + remaining,
            is_ambient=True,
            user=user,
        )


def _open(session_key: str) -> SessionBase:
    """Return the session, which is read at its first use and cannot be written."""
    session: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    # Django deletes or renews a session that does not fit its user, and some engines write while
    # they load. The client could not be told of a new key, nor does a handshake end a session.
    for name in ("create", "save", "delete", "flush", "cycle_key"):
        setattr(session, name, _do_nothing)
    return session


def _note_rows(session: SessionBase) -> list[Any]:
    """Return a list that will have the session's row, if its engine reads one."""
    rows: list[Any] = []
    read = getattr(session, "_get_session_from_db", None)  # of Django's `db` and `cached_db`
    if read is not None:

        def read_and_note() -> Any:
            row = read()
            if row is not None:
                rows.append(row)
            return row

        session._get_session_from_db = read_and_note  # type: ignore[attr-defined]
    return rows


def _do_nothing(*args: object, **kwargs: object) -> None:
    pass
