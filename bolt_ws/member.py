"""A connection as rooms see it: something that messages of others are handed to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from .answers import AnsweredConnection
from .handshake import Scope
from .in_place import as_coroutine
from .outbox import Outbox, OutboxPolicy
from .servers import Receive, Send, direct_sender, is_gone, preparer

if TYPE_CHECKING:
    from .rooms.frame import Frame
    from .rooms.hub import Hub

logger = logging.getLogger("bolt_ws")

_DEFAULT_POLICY: Final = OutboxPolicy()


class Owner(Protocol):
    """Who serves a connection."""

    def expel(self, code: int, reason: str) -> None:
        """Start to close the connection."""

    def hear(self, room: str, message: Mapping[str, Any]) -> bool:
        """Take a message of a hand-written sender. Return False if nobody has declared its type."""

    def hear_gap(self, rooms: tuple[str, ...]) -> None:
        """Take note that messages may have been lost."""

    def stop(self) -> object:
        """Hear no more."""


class Member(AnsweredConnection):
    """A connection that messages of others are handed to."""

    __slots__ = (
        "_outbox",
        "_outbox_policy",
        "_prepare",
        "_send_now",
        "hub",
        "outbox_drops",
        "owner",
        "room_names",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, auto_accept: bool | None = False
    ) -> None:
        super().__init__(scope, receive, send, auto_accept=auto_accept)
        self._prepare = preparer(scope)
        self._send_now = None if self._prepare is None else direct_sender(send)
        self._outbox: Outbox | None = None
        self._outbox_policy = _DEFAULT_POLICY
        self.outbox_drops = 0
        """Messages of others that were dropped because this connection was too slow."""
        self.hub: Hub | None = None
        """Where the connection's rooms are; None for one that belongs to no endpoint."""
        self.owner: Owner | None = None
        """Who serves it; None after its end."""
        self.room_names: dict[str, str] = {}
        """The rooms that it has joined: names by groups."""

    def hand(self, frame: Frame) -> Coroutine[Any, Any, None] | None:
        """Send a message of a room, as far as the server takes it at once.

        Return what is left to be awaited, in the same task; until then all else that is sent to
        the connection waits in its outbox.
        """
        if not self._open:
            return None
        outbox = self._outbox
        if outbox is not None and outbox.is_behind:
            frame.has_to_wait = True
            outbox.put(frame.event_for(self._prepare), frame.size)
            return None
        if self._send_now is not None and self._send_now(frame.prepared_for(self._prepare)):
            self.messages_sent += 1
            self.bytes_sent += frame.size
            return None
        try:
            sending = as_coroutine(self._send(frame.event_for(self._prepare)))
            waits_for = sending.send(None)  # in place; what it then waits for is for `Rest`
        except StopIteration:
            self.note_sent(frame.size)
            return None
        except Exception as error:
            if is_gone(error):
                self.note_loss()
            else:
                extra = self.log_fields.as_extra()
                logger.exception("A broadcast did not reach %r", self, extra=extra)
            return None
        outbox = self._make_outbox()
        outbox.stand_between(asyncio.current_task())
        return outbox.finish(sending, waits_for, frame.size)

    def hand_later(self, frame: Frame, loop: asyncio.AbstractEventLoop) -> None:
        """Send a message of a room in a task of the connection's own."""
        if not self._open:
            return
        frame.has_to_wait = True
        outbox = self._make_outbox()
        if not outbox.is_behind:
            outbox.stand_between(None)
            outbox.put(frame.event_for(self._prepare), frame.size)
            outbox.task = loop.create_task(outbox.write(), name="bolt_ws outbox")
        else:
            outbox.put(frame.event_for(self._prepare), frame.size)

    def note_sent(self, size: int) -> None:
        """Count a message of a room that the server has taken."""
        self.messages_sent += 1
        self.bytes_sent += size

    @property
    def is_sending(self) -> bool:
        """Whether the server is not done with a message."""
        return super().is_sending or (self._outbox is not None and self._outbox.is_behind)

    @property
    def outbox_policy(self) -> OutboxPolicy:
        """What the endpoint says of the outbox."""
        return self._outbox_policy

    async def open_for_use(self, action: str) -> None:
        """Accept the connection if that is due."""
        if not self._open:
            await self._open_for(action)

    async def open_for_rooms(self, action: str) -> Hub:
        """Accept the connection if that is due, and return where its rooms are.

        Raises `RuntimeError` for a connection that belongs to no endpoint.
        """
        await self.open_for_use(action)
        if self.hub is None:
            raise RuntimeError(f"Cannot {action}: this connection belongs to no endpoint")
        return self.hub

    async def settle(self) -> None:
        """Wait until the server has what another task accepts, refuses or closes with."""
        await super().settle()
        closing = None if self._outbox is None else self._outbox.closing
        if closing is not None:
            await asyncio.wait([closing])

    def _make_outbox(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self, self._outbox_policy)
            if self.hub is not None:
                self.hub.care.start()  # which logs what is dropped
        return self._outbox

    def note_loss(self) -> None:
        """Note that the client is gone. Whoever receives learns of it."""
        if not self._ended:
            self._lost()

    def expel(self, code: int, reason: str) -> None:
        """Start to close the connection, whatever its handler does."""
        if self.owner is not None:
            self.owner.expel(code, reason)

    def forget(self) -> None:
        """Let go of what refers back to the connection, which has ended, and of its rooms."""
        super().forget()
        if self.hub is not None:
            self.hub.leave_all(self)
        if self._outbox is not None:
            self._outbox.close()
        if self.owner is not None:
            self.owner.stop()
            self.owner = None
