"""Who else is connected to an endpoint, for `broadcast`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .rooms.envelopes import Broadcast, announce, ids_of, message_for, payload_of
from .rooms.names import endpoint_key, path_key, user_key
from .rooms.sending import send_to_key

if TYPE_CHECKING:
    from .member import Member


class Peers:
    """The connections of one endpoint, in all processes.

    `key` names the endpoint among all of the project, and is the same in each process.
    """

    __slots__ = ("_key", "_name")

    def __init__(self, name: str = "", key: str = "") -> None:
        self._name = name
        self._key = key

    def keys_of(self, member: Member) -> list[str]:
        """Return the names by which messages are sent to a connection of the endpoint."""
        keys = [endpoint_key(self._key), path_key(self._key, member.path)]
        if member.auth is not None:
            keys.append(user_key(member.auth.user_id))
        return keys

    async def broadcast_at(self, path: str, data: Any, exclude: Any) -> None:
        """Send to all at a path. `exclude` is a connection or its id, or several."""
        await self._send(path_key(self._key, path), Broadcast(data, "path", path), exclude)

    async def broadcast(self, data: Any, exclude: Any) -> None:
        """Send to all at all paths. `exclude` is a connection or its id, or several."""
        await self._send(endpoint_key(self._key), Broadcast(data, "endpoint", self._name), exclude)

    async def _send(self, key: str, broadcast: Broadcast, exclude: Any) -> None:
        message = message_for(payload_of(broadcast.data), ids_of(exclude))
        announce(broadcast)
        await self._transmit(key, message)

    async def _transmit(self, key: str, message: dict[str, Any]) -> None:
        await send_to_key(key, message)
