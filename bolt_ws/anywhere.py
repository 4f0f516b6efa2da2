"""Rooms and users from anywhere in Django: a view, a signal, a task, a command, the shell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from .disconnecting import UNAUTHORIZED, atell_everywhere, departure_for, tell_everywhere
from .messages import encode_json
from .rooms.counting import MemberCount, count, local_members
from .rooms.envelopes import Broadcast, Payload, announce, ids_of, message_for
from .rooms.names import group_of, user_key
from .rooms.room import Exclude, checked_text
from .rooms.sending import (
    refuse_in_coroutine,
    run_in_loop,
    send_to_group,
    send_to_key,
    when_committed,
)


class Audience:
    """Connections that messages are sent to, by methods for threads and, with an `a`, coroutines.

    In a transaction, those for threads send when it is committed, and never if it is rolled back;
    an error is then only logged. They raise `RoomUnavailable` if the channel layer fails for
    `BOLT_WS["ROOM_TIMEOUT"]` seconds, and `SynchronousOnlyOperation` in a coroutine.
    """

    _kind: Literal["room", "user"]

    def __init__(self, name: str, *, on_commit: bool) -> None:
        self._name = name
        self._on_commit = on_commit

    def send_text(self, data: str, *, exclude: Exclude = ()) -> None:
        """Send a text. `exclude` leaves connections out, each itself or its `id`."""
        refuse_in_coroutine("send_text")
        self._send(checked_text(data), data, exclude)

    def send_bytes(self, data: bytes, *, exclude: Exclude = ()) -> None:
        """Send a binary message, as `send_text` does."""
        refuse_in_coroutine("send_bytes")
        self._send(bytes(memoryview(data)), data, exclude)

    def send_json(self, data: Any, *, exclude: Exclude = ()) -> None:
        """Send JSON, as `send_text` does. Raises `TypeError` for what JSON cannot hold."""
        refuse_in_coroutine("send_json")
        self._send(encode_json(data).decode(), data, exclude)

    async def asend_text(self, data: str, *, exclude: Exclude = ()) -> None:
        """Send a text now, whatever transaction is open."""
        await self._asend(checked_text(data), data, ids_of(exclude))

    async def asend_bytes(self, data: bytes, *, exclude: Exclude = ()) -> None:
        """Send a binary message, as `asend_text` does."""
        await self._asend(bytes(memoryview(data)), data, ids_of(exclude))

    async def asend_json(self, data: Any, *, exclude: Exclude = ()) -> None:
        """Send JSON, as `asend_text` does. Raises `TypeError` for what JSON cannot hold."""
        await self._asend(encode_json(data).decode(), data, ids_of(exclude))

    def _send(self, payload: Payload, data: Any, exclude: Exclude) -> None:
        self._when_due(partial(run_in_loop, partial(self._asend, payload, data, ids_of(exclude))))

    def _when_due(self, function: Callable[[], object]) -> None:
        if self._on_commit:
            when_committed(function)
        else:
            function()

    async def _asend(self, payload: Payload, data: Any, exclude: list[str]) -> None:
        message = message_for(payload, exclude)
        announce(Broadcast(data, self._kind, self._name))
        await self._transmit(message)

    async def _transmit(self, message: dict[str, Any]) -> None:
        raise NotImplementedError


class RoomAudience(Audience):
    """The members of a room."""

    _kind = "room"

    def __init__(self, name: str, *, on_commit: bool) -> None:
        super().__init__(name, on_commit=on_commit)
        self.name = name
        self._group = group_of(name)

    def __repr__(self) -> str:
        return f"room({self._name!r})"

    @property
    def local_members(self) -> int:
        """How many members are in this process: exactly, and without asking anybody."""
        return local_members(self._group)

    def count(self) -> MemberCount:
        """Return how many members are in all processes, as far as these answer within a second.

        Its `is_complete` tells whether all have answered.
        """
        refuse_in_coroutine("count")
        return run_in_loop(self.acount)

    async def acount(self) -> MemberCount:
        """Return what `count` returns."""
        return await count(self._group)

    async def _transmit(self, message: dict[str, Any]) -> None:
        await send_to_group(self._group, message)


class UserAudience(Audience):
    """All connections of a user."""

    _kind = "user"

    def __init__(self, user_id: object, *, on_commit: bool) -> None:
        self._key = user_key(user_id)
        super().__init__(str(user_id), on_commit=on_commit)

    def __repr__(self) -> str:
        return f"user({self._name!r})"

    def disconnect(self, code: int = UNAUTHORIZED, reason: str = "") -> None:
        """Close all connections of the user, in all processes.

        It returns before they are closed. One that is not accepted yet is refused with 401. Raises
        `ValueError` for a code or a reason that must not be sent.
        """
        refuse_in_coroutine("disconnect")
        self._when_due(partial(tell_everywhere, self._name, departure_for(code, reason)))

    async def adisconnect(self, code: int = UNAUTHORIZED, reason: str = "") -> None:
        """Do what `disconnect` does, now, whatever transaction is open."""
        await atell_everywhere(self._name, departure_for(code, reason))

    async def _transmit(self, message: dict[str, Any]) -> None:
        await send_to_key(self._key, message)


def room(name: str, *, on_commit: bool = True) -> RoomAudience:
    """Return the members of a room, to be sent to.

    With `on_commit=False`, it is sent at once even in a transaction. Raises `TypeError` and
    `ValueError` for a name that no room can have.
    """
    return RoomAudience(name, on_commit=on_commit)


def user(user_id: object, *, on_commit: bool = True) -> UserAudience:
    """Return all connections of a user, to be sent to or disconnected.

    Ids are compared as text. With `on_commit=False`, it is done at once even in a transaction.
    Raises `TypeError` for what is no user's id.
    """
    return UserAudience(user_id, on_commit=on_commit)
