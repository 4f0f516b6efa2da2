"""Who else is connected in this process, for `broadcast`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

from .exceptions import WebSocketDisconnect
from .messages import encode_json
from .servers import Event
from .states import WebSocketState

if TYPE_CHECKING:
    from .connection import Connection


logger = logging.getLogger("bolt_ws")


class Peers:
    """The connections of one endpoint in this process, by their resolved paths."""

    __slots__ = ("_by_path",)

    def __init__(self) -> None:
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

    def at(self, path: str) -> list[Connection]:
        """Return the connections at a path."""
        return list(self._by_path.get(_key(path), ()))

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


async def deliver(data: Any, members: Iterable[Connection], exclude: Any) -> None:
    """Send `data` to all members that are open. One that is gone, or slow, keeps no other back.

    `exclude` is a connection or several.
    """
    event = as_event(data)
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
