"""Who else is connected in this process, for `broadcast`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .exceptions import WebSocketDisconnect
from .messages import encode_json
from .servers import Event
from .states import WebSocketState

if TYPE_CHECKING:
    from .connection import Connection


logger = logging.getLogger("bolt_ws")


class Peers:
    """The connections of one endpoint in this process, by their resolved paths."""

    __slots__ = ("_by_path", "_name")

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._by_path: dict[Hashable, set[Connection]] = {}

    def add(self, websocket: Connection) -> None:
        """Count a connection in."""
        self._by_path.setdefault(_key(websocket.path), set()).add(websocket)

    def discard(self, websocket: Connection) -> None:
        """Count a connection out."""
        members = self._by_path.get(_key(websocket.path), set())
        members.discard(websocket)
        if not members:
            self._by_path.pop(_key(websocket.path), None)

    async def broadcast_at(self, path: str, data: Any, exclude: Any) -> None:
        """Send to all at a path. `exclude` is a connection or several."""
        members = list(self._by_path.get(_key(path), ()))
        await _deliver(Broadcast(data, "path", path), members, exclude)

    async def broadcast(self, data: Any, exclude: Any) -> None:
        """Send to all at all paths. `exclude` is a connection or several."""
        await _deliver(Broadcast(data, "endpoint", self._name), self.everywhere(), exclude)

    def everywhere(self) -> list[Connection]:
        """Return the connections at all paths."""
        return [websocket for members in self._by_path.values() for websocket in members]


def _key(path: str) -> str:
    return path.lstrip("/")  # slashes in front are one, as the router has it


def as_event(data: Any) -> Event:
    """Return the message that text, bytes, or JSON for anything else, is sent as."""
    if isinstance(data, str):
        return {"type": "websocket.send", "text": data}
    if isinstance(data, bytes | bytearray | memoryview):
        return {"type": "websocket.send", "bytes": bytes(data)}
    return {"type": "websocket.send", "text": encode_json(data).decode()}


class Broadcast(NamedTuple):
    """What is sent to many, and to whom: all at one path, or all of an endpoint."""

    data: Any
    kind: Literal["path", "endpoint"]
    to: str
    """The path, or the endpoint's name."""


listeners: list[Callable[[Broadcast], object]] = []
"""Called with each broadcast, before it is sent."""


async def _deliver(broadcast: Broadcast, members: Iterable[Connection], exclude: Any) -> None:
    """Send to all members that are open. One that is gone, or slow, keeps no other back."""
    for listener in listeners:
        listener(broadcast)
    event = as_event(broadcast.data)
    several = isinstance(exclude, Iterable) and not hasattr(exclude, "scope")
    # The blocking twin of a connection stands for it.
    excluded = {getattr(each, "websocket", each) for each in (exclude if several else [exclude])}
    await asyncio.gather(
        *(
            _deliver_to(member, event)
            for member in members
            if member.state is WebSocketState.CONNECTED and member not in excluded
        )
    )


async def _deliver_to(member: Connection, event: Event) -> None:
    try:
        await member.send_event(dict(event))
    except WebSocketDisconnect:
        pass  # its own handler learns of it
    except Exception:
        logger.exception("A broadcast did not reach %r", member)
