"""Rooms of a connection that has no server: it is alone in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .peers import Peers
from .rooms.counting import MemberCount
from .rooms.envelopes import Broadcast, Payload, announce, as_event, ids_of, message_for, payload_in
from .rooms.room import Exclude, Joining, Room

if TYPE_CHECKING:
    from .member import Member


class OfflinePeers(Peers):
    """An endpoint with one connection, which gets all that is broadcast."""

    __slots__ = ("member",)

    member: Member

    async def _transmit(self, key: str, message: dict[str, Any]) -> None:
        if self.member.is_open and self.member.id not in message.get("exclude", ()):
            await self.member.send_event(as_event(payload_in(message)))


class OfflineRoom(Room):
    """A room with one member at most."""

    async def _send(self, payload: Payload, data: Any, exclude: Exclude) -> None:
        message = message_for(payload, ids_of(exclude))
        announce(Broadcast(data, "room", self.name))
        if self.local_members and self._member.id not in message.get("exclude", ()):
            await self._member.send_event(as_event(payload))

    @property
    def local_members(self) -> int:
        """How many members are there: 1, or 0 after it was left."""
        return int(self._group in self._member.room_names and self._member.is_open)

    async def count(self) -> MemberCount:
        """Return how many members are there."""
        return MemberCount(self.local_members, is_complete=True)

    async def leave(self) -> None:
        """Leave the room."""
        self._member.room_names.pop(self._group, None)


class OfflineJoining(Joining):
    """What `join()` returns where there is no server."""

    async def join(self) -> Room:
        """Join the room, and return it."""
        await self._member.open_for_use("join")
        self._member.room_names[self._group] = self._name
        return OfflineRoom(self._member, self._name, self._group)

    def _leave(self) -> None:
        self._member.room_names.pop(self._group, None)
