"""What waits for a connection whose server does not take it at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from .exceptions import WebSocketDisconnect
from .in_place import Rest
from .servers import Event, Send, is_gone

if TYPE_CHECKING:
    from .member import Member

logger = logging.getLogger("bolt_ws")

Overflow = Literal["close", "drop_oldest", "drop_newest"]
Item = tuple[Event, "asyncio.Future[None] | None", int]
"""A message, who waits until it is sent (nobody for one of a room), and its bytes."""


CLOSE_PATIENCE: Final = 1.0
"""Seconds that a close waits for messages before it that the client does not read."""
_TOO_SLOW: Final = (1013, "reading too slowly")


@dataclass(slots=True, eq=False)
class OutboxPolicy:
    """What an endpoint says of the outboxes of its connections."""

    limit: int = 256
    """Messages of rooms that may wait for one connection."""
    overflow: Overflow = "close"
    """What happens to one more."""
    name: str = ""
    """The endpoint's."""
    dropped: int = 0
    """Messages that were dropped since this was asked last."""


class Outbox:
    """The messages that wait for one connection, in order, while the server is not done with one.

    It stands between the connection and its server meanwhile: what the connection itself sends
    queues behind.
    """

    __slots__ = (
        "_connection",
        "_frames",
        "_is_given_up",
        "_policy",
        "_queue",
        "_send",
        "closing",
        "is_behind",
        "task",
    )

    def __init__(self, connection: Member, policy: OutboxPolicy) -> None:
        self._connection = connection
        self._policy = policy
        self._queue: deque[Item] = deque()
        self._frames = 0
        self._send: Send = connection._send
        self._is_given_up = False
        self.is_behind = False
        """Whether the server is busy with a message: what comes now has to wait."""
        self.closing: asyncio.Future[None] | None = None
        """Done when the server has the close that waits here, if one does."""
        self.task: asyncio.Task[Any] | None = None
        """Who hands the messages to the server."""

    def stand_between(self, task: asyncio.Task[Any] | None) -> None:
        """Have all that is sent from now on wait until `task` has handed over what came before."""
        self.is_behind = True
        self.task = task
        self._send = self._connection._send
        self._connection._send = self._send_behind

    def put(self, event: Event, size: int) -> None:
        """Add a message of a room, of so many bytes; of too many, do as the policy says."""
        policy = self._policy
        if self._is_given_up:
            return
        if self._frames >= policy.limit:
            if policy.overflow == "close":
                self._overflow()
                return
            self._count_dropped(1)
            if policy.overflow == "drop_newest":
                return
            self._drop_oldest()
        self._frames += 1
        self._queue.append((event, None, size))

    def _drop_oldest(self) -> None:
        for at, (_, waiter, _) in enumerate(self._queue):
            if waiter is None:
                del self._queue[at]
                self._frames -= 1
                return

    def _count_dropped(self, count: int) -> None:
        self._policy.dropped += count
        self._connection.outbox_drops += count

    def _overflow(self) -> None:
        self._count_dropped(self._frames + 1)
        self._is_given_up = True
        self._connection.expel(*_TOO_SLOW)  # first: whoever waits here may end the handler
        for _, waiter, _ in self._queue:
            _settle(waiter, self._too_slow())
        self._queue.clear()
        self._frames = 0

    def _too_slow(self) -> WebSocketDisconnect:
        return WebSocketDisconnect(*_TOO_SLOW, websocket=self._connection)

    async def _send_behind(self, event: Event) -> None:
        """Be ASGI's send for the connection itself: wait for the turn."""
        if not self.is_behind:  # it was, when this was looked up
            await self._send(event)
            return
        if self._is_given_up and event["type"] == "websocket.send":
            raise self._too_slow()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((event, waiter, 0))
        if event["type"] != "websocket.close":
            await waiter
            return
        self.closing = waiter
        await asyncio.wait([waiter], timeout=CLOSE_PATIENCE)
        if any(each is waiter for _, each, _ in self._queue):
            # The client does not read: beside what waits, and nothing behind it.
            self._is_given_up = True
            self._drop_all()
            try:
                await self._send(event)
            finally:
                _settle(waiter, None)
        await waiter

    def _drop_all(self) -> None:
        for event, waiter, _ in self._queue:
            if event["type"] == "websocket.send":
                _settle(waiter, ConnectionResetError("the connection has ended"))
        self._queue.clear()
        self._frames = 0

    async def finish(self, sending: Coroutine[Any, Any, Any], waits_for: Any, size: int) -> None:
        """Wait for the message that the server has begun with, then hand over the others."""
        try:
            await self._hand(Rest(sending, waits_for), None, size)
            await self._hand_over_the_rest()
        finally:
            self._step_aside()

    async def write(self) -> None:
        """Hand over what waits."""
        try:
            await self._hand_over_the_rest()
        finally:
            self._step_aside()

    async def _hand_over_the_rest(self) -> None:
        while self._queue:
            event, waiter, size = self._queue.popleft()
            if waiter is None:
                self._frames -= 1
            elif waiter.done():  # cancelled
                continue
            await self._hand(self._send(event), waiter, size)

    async def _hand(self, sending: Any, waiter: asyncio.Future[None] | None, size: int) -> None:
        try:
            await sending
        except asyncio.CancelledError:
            _settle(waiter, ConnectionResetError("the connection has ended"))
            raise
        except Exception as error:
            if waiter is not None:
                _settle(waiter, error)
            elif not is_gone(error) and not self._is_given_up:
                connection = self._connection
                extra = connection.log_fields.as_extra()
                logger.exception("A broadcast did not reach %r", connection, extra=extra)
            if is_gone(error):
                self._lose(error)
        else:
            if waiter is None:
                self._connection.note_sent(size)
            _settle(waiter, None)

    def _lose(self, error: Exception) -> None:
        """Let go of all that waits: the client is gone."""
        for _, waiter, _ in self._queue:
            _settle(waiter, ConnectionResetError(str(error)))
        self._queue.clear()
        self._frames = 0
        self._connection.note_loss()

    def _step_aside(self) -> None:
        self.is_behind = False
        self.task = None
        if self._connection._send == self._send_behind:
            self._connection._send = self._send
        for _, waiter, _ in self._queue:  # only if this was cancelled
            _settle(waiter, ConnectionResetError("the connection has ended"))
        self._queue.clear()
        self._frames = 0

    def close(self) -> None:
        """Let go of all that waits: the connection has ended."""
        self._is_given_up = True
        if self.task is not None and self.task is not _current_task():
            with suppress(RuntimeError):  # the loop is closed
                self.task.cancel()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # the loop is gone
        return None


def _settle(waiter: asyncio.Future[None] | None, error: Exception | None) -> None:
    if waiter is None or waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
        waiter.exception()  # whoever waits may be gone
