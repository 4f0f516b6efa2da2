"""Having users leave, from anywhere in Django: `disconnect_user`, `disconnect_where`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exceptions import Refusal
from .registry import Departure, registry
from .states import check_close
from .websocket import WebSocket

UNAUTHORIZED = 4401
"""4000 + the HTTP status."""


def disconnect_user(user_id: object, code: int = UNAUTHORIZED, reason: str = "") -> int:
    """Close all connections of a user to this process; return how many were told.

    `user_id` is compared as text. It returns before they are closed, and may be called from any
    thread, in a coroutine too. A connection that is not accepted yet is refused with 401; one that
    is still being admitted is not counted. Raises `ValueError` for a code or a reason that must not
    be sent, `TypeError` for a user in place of the id.
    """
    if user_id is None or hasattr(user_id, "pk"):
        raise TypeError(f"disconnect_user() takes a user's id, not {user_id!r}")
    return registry.tell_user(str(user_id), _departure(code, reason))


async def adisconnect_user(user_id: object, code: int = UNAUTHORIZED, reason: str = "") -> int:
    """Do what `disconnect_user` does."""
    return disconnect_user(user_id, code, reason)


def disconnect_where(
    condition: Callable[[WebSocket], Any], code: int = UNAUTHORIZED, reason: str = ""
) -> int:
    """Close all connections to this process for which `condition` holds, anonymous ones too.

    Return how many were told. `condition` is called in this thread, and in the event loop for a
    connection that is still being admitted, or is given a new token, after that: it is only to
    look. What it raises is raised on, and nobody leaves; what it raises in the event loop is
    logged, and that connection leaves. All else is as with `disconnect_user`.
    """
    return registry.tell_where(condition, _departure(code, reason))


async def adisconnect_where(
    condition: Callable[[WebSocket], Any], code: int = UNAUTHORIZED, reason: str = ""
) -> int:
    """Do what `disconnect_where` does."""
    return disconnect_where(condition, code, reason)


def _departure(code: int, reason: str) -> Departure:
    refusal = Refusal(401, "disconnected", reason or "Disconnected", {"WWW-Authenticate": "Bearer"})
    return Departure(check_close(code, reason), reason, refusal)
