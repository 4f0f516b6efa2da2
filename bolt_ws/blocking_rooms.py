"""The blocking twin of `Room`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from .bridge import Bridge
from .rooms.counting import MemberCount
from .rooms.envelopes import ids_of
from .rooms.room import Room


class BlockingRoom:
    """A room that a connection is in, in blocking calls. `with` leaves it at the end."""

    def __init__(self, room: Room, bridge: Bridge, refuse: Callable[[str, str], None]) -> None:
        self._room = room
        self._bridge = bridge
        self._refuse_in_coroutine = refuse

    def __repr__(self) -> str:
        return f"<BlockingRoom {self.name!r}>"

    def __enter__(self) -> Self:
        self._refuse_in_coroutine("with", "async with websocket.join(...)")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bridge.call(self._room.leave)

    @property
    def name(self) -> str:
        """The room's name."""
        return self._room.name

    @property
    def local_members(self) -> int:
        """How many members are in this process: exactly, and without asking anybody."""
        return self._room.local_members

    def send_text(self, data: str, *, exclude: Any = ()) -> None:
        """Send a text to all members, as `Room.send_text` does."""
        self._refuse_in_coroutine("send_text()", "await room.send_text(...)")
        self._bridge.call(self._room.send_text, data, exclude=ids_of(exclude))

    def send_bytes(self, data: bytes, *, exclude: Any = ()) -> None:
        """Send a binary message to all members, as `Room.send_bytes` does."""
        self._refuse_in_coroutine("send_bytes()", "await room.send_bytes(...)")
        self._bridge.call(self._room.send_bytes, data, exclude=ids_of(exclude))

    def send_json(self, data: Any, *, exclude: Any = ()) -> None:
        """Send JSON to all members, as `Room.send_json` does."""
        self._refuse_in_coroutine("send_json()", "await room.send_json(...)")
        self._bridge.call(self._room.send_json, data, exclude=ids_of(exclude))

    def count(self) -> MemberCount:
        """Return how many members are in all processes, as `Room.count` does."""
        self._refuse_in_coroutine("count()", "await room.count()")
        return self._bridge.call(self._room.count)

    def leave(self) -> None:
        """Leave the room."""
        self._refuse_in_coroutine("leave()", "await room.leave()")
        self._bridge.call(self._room.leave)
