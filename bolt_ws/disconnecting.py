"""Having users leave, from anywhere in Django: `disconnect_user`, `disconnect_where`."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from .context import user_text
from .exceptions import Refusal
from .registry import Departure, registry
from .rooms.envelopes import DISCONNECT
from .rooms.intake import controls
from .rooms.layers import get_layer, is_local
from .rooms.sending import run_in_loop, send_to_processes
from .states import check_close
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

UNAUTHORIZED = 4401
"""4000 + the HTTP status."""


def disconnect_user(user_id: object, code: int = UNAUTHORIZED, reason: str = "") -> int:
    """Close all connections of a user, in all processes; return how many were told in this one.

    `user_id` is compared as text. It returns before they are closed, and may be called from any
    thread, in a coroutine too, where the other processes are told in the background. A connection
    that is not accepted yet is refused with 401; one that is still being admitted is not counted.
    Raises `ValueError` for a code or a reason that must not be sent, `TypeError` for a user in
    place of the id, `RoomUnavailable` if the other processes could not be told.
    """
    return tell_everywhere(user_text(user_id), departure_for(code, reason))


async def adisconnect_user(user_id: object, code: int = UNAUTHORIZED, reason: str = "") -> int:
    """Do what `disconnect_user` does, and return when the other processes have been told."""
    return await atell_everywhere(user_text(user_id), departure_for(code, reason))


def disconnect_where(
    condition: Callable[[WebSocket], Any], code: int = UNAUTHORIZED, reason: str = ""
) -> int:
    """Close all connections to this process for which `condition` holds, anonymous ones too.

    Return how many were told. `condition` is called in this thread, and in the event loop for a
    connection that is still being admitted, or is given a new token, after that: it is only to
    look. What it raises is raised on, and nobody leaves; what it raises in the event loop is
    logged, and that connection leaves. All else is as with `disconnect_user`; but a condition is
    code, and reaches no other process.
    """
    return registry.tell_where(condition, departure_for(code, reason))


async def adisconnect_where(
    condition: Callable[[WebSocket], Any], code: int = UNAUTHORIZED, reason: str = ""
) -> int:
    """Do what `disconnect_where` does."""
    return disconnect_where(condition, code, reason)


def departure_for(code: int, reason: str) -> Departure:
    """Return how somebody has to go. Raises `ValueError` for what must not be sent."""
    refusal = Refusal(401, "disconnected", reason or "Disconnected", {"WWW-Authenticate": "Bearer"})
    return Departure(check_close(code, reason), reason, refusal)


# In all processes


class _Process:
    """What names this process among others."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.id = secrets.token_hex(8)


_process: Final = _Process()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.renew)

_telling: set[asyncio.Task[None]] = set()  # an event loop alone does not keep its tasks


def tell_everywhere(user_id: str, departure: Departure) -> int:
    """Have all connections of a user leave; return how many were told in this process."""
    told = registry.tell_user(user_id, departure)
    if is_local(get_layer()):
        return told
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        run_in_loop(partial(_tell_others, user_id, departure))
    else:
        task = loop.create_task(_tell_others(user_id, departure), name="bolt_ws disconnect")
        _telling.add(task)
        task.add_done_callback(_told_others)
    return told


async def atell_everywhere(user_id: str, departure: Departure) -> int:
    """Have all connections of a user leave; return how many were told in this process."""
    told = registry.tell_user(user_id, departure)
    await _tell_others(user_id, departure)
    return told


async def _tell_others(user_id: str, departure: Departure) -> None:
    layer = get_layer()
    if not is_local(layer):
        code, reason, _ = departure
        message = {"type": DISCONNECT, "user": user_id, "code": int(code), "reason": reason}
        await send_to_processes(layer, {**message, "origin": _process.id})


def _told_others(task: asyncio.Task[None]) -> None:
    _telling.discard(task)
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("Other processes could not be told to disconnect a user", exc_info=error)


def _tell_here(message: Mapping[str, Any]) -> None:
    if message.get("origin") != _process.id:
        departure = departure_for(int(message["code"]), str(message["reason"]))
        registry.tell_user(str(message["user"]), departure)


controls[DISCONNECT] = _tell_here
