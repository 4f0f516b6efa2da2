"""Tickets: one connection each, within seconds, so that no long-lived token is in a URL."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import cache
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from ..context import Identity
from ..exceptions import AuthenticationFailed
from ..handshake import Handshake
from ..users import is_active
from .backends import Authentication, nonblocking
from .detached import in_thread
from .sources import Query, take_credential

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

TICKET_LIFETIME: Final = 30
"""Seconds."""
MAX_TICKET_LIFETIME: Final = 300
"""Seconds. What is to live longer is a token."""

_TICKET_LENGTH = len(secrets.token_urlsafe(32))
_SOURCE = Query("ticket")
_PREFIX = "bolt_ws.ticket."


class TicketAuthentication(Authentication):
    """A ticket from `create_ticket` says who connects; it comes in `?ticket=`.

    It is good for one handshake, and that one must be at its path, if it has one. The cache decides
    which of two handshakes comes first, so all processes must share it. `websocket.context` has the
    user as he was when the ticket was made; no database is asked.
    """

    taken = _SOURCE.taken

    @property
    def shared_caches(self) -> tuple[str, ...]:
        """The default one."""
        return ("default",)

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Awaitable[Identity] | None:
        """Look for a ticket, and only if there is one, in the cache. Raises what it refuses."""
        found = take_credential((_SOURCE,), websocket)
        if found is None:
            return None
        ticket, _ = found
        if len(ticket) != _TICKET_LENGTH:  # and the cache is not asked
            raise _invalid()
        return in_thread(_redeem, ticket, websocket.path)


def create_ticket(
    request_or_user: Any,
    *,
    expires_in: int = TICKET_LIFETIME,
    path: str | None = None,
    permissions: Iterable[str] = (),
    connection_expires_at: float | None = None,
) -> str:
    """Return a new ticket for the user of a request, or for a user, good for `expires_in` seconds.

    It is of use at `path` only, if that is given: the handshake's decoded path, as `api.reverse`
    returns it. `permissions` are for `websocket.context`. The connection that it makes is closed at
    `connection_expires_at`, in seconds since the epoch; without that, it has no end by itself.

    Raises `ValueError` for a user who is anonymous, inactive or not saved, for an `expires_in` that
    is not 1 to 300 seconds, for a path that no handshake has, and for an end that is no number.
    """
    user = request_or_user
    if not hasattr(user, "is_authenticated"):  # Django's request, or one of another framework
        user = request_or_user.user
    ticket, entry = _make(user, expires_in, path, permissions, connection_expires_at)
    cache.set(_key(ticket), entry, expires_in)
    return ticket


async def acreate_ticket(
    request_or_user: Any,
    *,
    expires_in: int = TICKET_LIFETIME,
    path: str | None = None,
    permissions: Iterable[str] = (),
    connection_expires_at: float | None = None,
) -> str:
    """Return what `create_ticket` returns, in a coroutine."""
    user = request_or_user
    if not hasattr(user, "is_authenticated"):
        user = await user.auser() if hasattr(user, "auser") else user.user
    ticket, entry = _make(user, expires_in, path, permissions, connection_expires_at)
    await cache.aset(_key(ticket), entry, expires_in)
    return ticket


@never_cache
@require_POST
@csrf_protect
def ticket_view(request: HttpRequest) -> JsonResponse:
    """Answer a POST of a logged-in user with a ticket: `{"ticket": "...", "expires_in": 30}`.

    Others get 401, in JSON too: a script that asks is not sent to a login page. Middleware that
    fills `request.user` and Django's CSRF token are needed.
    """
    user = request.user
    if not user.is_authenticated or not is_active(user):
        body = {"detail": "Authentication required", "code": "not_authenticated"}
        # RFC 9110 section 11.6.1 wants a challenge; no browser asks for a password at this one.
        return JsonResponse(body, status=401, headers={"WWW-Authenticate": "Session"})
    return JsonResponse({"ticket": create_ticket(user), "expires_in": TICKET_LIFETIME})


def _make(
    user: AbstractBaseUser | AnonymousUser,
    expires_in: int,
    path: str | None,
    permissions: Iterable[str],
    expires_at: float | None,
) -> tuple[str, dict[str, Any]]:
    if not user.is_authenticated or user.pk is None or not is_active(user):
        raise ValueError("a ticket needs a saved, active user: this one is not")
    # A whole number: memcached would make 0 of half a second, and keep that for ever.
    if type(expires_in) is not int or not 1 <= expires_in <= MAX_TICKET_LIFETIME:
        raise ValueError(
            f"expires_in is 1 to {MAX_TICKET_LIFETIME} whole seconds, not {expires_in!r}"
        )
    if path is not None and (not path.startswith("/") or "?" in path):
        raise ValueError(f"path is that of a handshake, '/ws/chat' for instance, not {path!r}")
    if isinstance(permissions, str):
        raise ValueError(f"permissions are several texts, not {permissions!r}")
    if expires_at is not None and not (
        type(expires_at) in (int, float) and 0 < expires_at < math.inf
    ):
        raise ValueError(f"connection_expires_at is in seconds since 1970, not {expires_at!r}")
    entry = {
        "user_id": str(user.pk),
        "is_staff": bool(getattr(user, "is_staff", False)),
        "is_superuser": bool(getattr(user, "is_superuser", False)),
        "permissions": sorted(permissions),
        "path": path,
        "expires_at": expires_at,
    }
    return secrets.token_urlsafe(32), entry


def _key(ticket: str) -> str:
    # Whoever reads the cache learns no ticket. Random as it is, it needs no salt.
    return _PREFIX + hashlib.sha256(ticket.encode()).hexdigest()


def _redeem(ticket: str, path: str) -> Identity:
    entry = cache.get(_key(ticket))
    # All caches of Django delete atomically, and tell one caller only that there was something to
    # delete: memcached and Redis by their protocol, the database by the count of rows, the file
    # system by the one unlink that succeeds, a process's memory by its lock. `add()`, which a
    # marker of a used ticket would need, is not atomic in files.
    if entry is None or not cache.delete(_key(ticket)):
        raise _invalid()
    if entry["path"] not in (None, path):  # and it is used up: it was not where it should be
        raise _invalid()
    return Identity(
        user_id=entry["user_id"],
        is_staff=entry["is_staff"],
        is_superuser=entry["is_superuser"],
        permissions=frozenset(entry["permissions"]),
        expires_at=entry["expires_at"],
    )


def _invalid() -> AuthenticationFailed:
    return AuthenticationFailed("Invalid ticket", code="invalid_ticket")
