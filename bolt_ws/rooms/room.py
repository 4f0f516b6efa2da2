"""`Room`: what a handler holds of a room that its connection has joined."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Self

from ..handshake import Handshake
from ..messages import encode_json
from .counting import MemberCount, count, local_members
from .envelopes import Broadcast, Payload, announce, ids_of, message_for
from .names import group_of

if TYPE_CHECKING:
    from ..member import Member
    from .hub import Hub

Exclude = Handshake | str | Iterable[Handshake | str]
"""Connections that get nothing, each itself or its `id`: one or several."""


class Room:
    """A room that a connection is in."""

    def __init__(self, member: Member, name: str, group: str, hub: Hub | None = None) -> None:
        self._member = member
        self._hub = hub
        self._group = group
        self.name = name

    def __repr__(self) -> str:
        return f"<Room {self.name!r}>"

    async def send_text(self, data: str, *, exclude: Exclude = ()) -> None:
        """Send a text to all members, in all processes, this connection included.

        Raises `RoomUnavailable` if the channel layer fails for `BOLT_WS["ROOM_TIMEOUT"]` seconds.
        """
        await self._send(checked_text(data), data, exclude)

    async def send_bytes(self, data: bytes, *, exclude: Exclude = ()) -> None:
        """Send a binary message to all members, as `send_text` does."""
        await self._send(bytes(memoryview(data)), data, exclude)

    async def send_json(self, data: Any, *, exclude: Exclude = ()) -> None:
        """Send JSON to all members, as `send_text` does.

        Raises `TypeError` for what JSON cannot hold.
        """
        await self._send(encode_json(data).decode(), data, exclude)

    async def _send(self, payload: Payload, data: Any, exclude: Exclude) -> None:
        assert self._hub is not None
        message = message_for(payload, ids_of(exclude))
        announce(Broadcast(data, "room", self.name))
        await self._hub.publish(self._group, message)

    async def __aenter__(self) -> Self:
        """Stay in the room until the end of the block."""
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Leave the room."""
        await self.leave()

    @property
    def local_members(self) -> int:
        """How many members are in this process: exactly, and without asking anybody."""
        return local_members(self._group)

    async def count(self) -> MemberCount:
        """Return how many members are in all processes, as far as these answer within a second.

        Its `is_complete` tells whether all have answered.
        """
        return await count(self._group)

    async def leave(self) -> None:
        """Leave the room."""
        assert self._hub is not None
        self._hub.leave(self._member, self._group)


class Joining:
    """What `join()` returns: to be awaited, or entered with `async with`, which leaves again."""

    def __init__(self, member: Member, name: str) -> None:
        self._member = member
        self._name = name
        self._group = group_of(name)

    def __await__(self) -> Generator[Any, None, Room]:
        return self.join().__await__()

    async def join(self) -> Room:
        """Join the room, and return it."""
        hub = await self._member.open_for_rooms("join")
        await hub.join(self._member, self._group, self._name)
        return Room(self._member, self._name, self._group, hub)

    async def __aenter__(self) -> Room:
        return await self.join()

    async def __aexit__(self, *raised: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._member.hub is not None:
            self._member.hub.leave(self._member, self._group)


def checked_text(data: str) -> str:
    """Return a text. Raises `TypeError` for anything else."""
    if not isinstance(data, str):
        raise TypeError(f"send_text() takes str, not {type(data).__qualname__}")
    return data
