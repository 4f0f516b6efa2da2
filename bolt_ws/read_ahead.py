"""How the end of a connection is noticed, also where nobody receives."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, NamedTuple

from .bounds import READ_AHEAD
from .exceptions import WebSocketDisconnect
from .handshake import Scope
from .progress import DISCONNECTED, Progress
from .reader import Reader
from .servers import Event, Receive, end_asker, is_read_without_end


class Traffic(NamedTuple):
    """What has gone through a connection."""

    messages_received: int
    """Messages that the handler has received."""
    bytes_received: int
    """Their bytes; of texts, those of their UTF-8."""
    messages_sent: int
    """Messages that the server has taken, those of rooms included."""
    bytes_sent: int
    """Their bytes."""


class ReadAhead(Progress):
    """A connection, and what is read of it before the handler asks."""

    __slots__ = (
        "_is_end_ahead",
        "_is_read_raw",
        "_reader",
        "_receive",
        "_receiver",
        "_server_receive",
        "_woken",
        "bytes_received",
        "bytes_sent",
        "messages_received",
        "messages_sent",
        "read_ahead_limit",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope)
        self._receive = self._server_receive = receive
        self._is_end_ahead = False
        self._reader: Reader | None = None
        self._receiver: asyncio.Task[Any] | None = None
        self._woken: int | None = None
        self._is_read_raw = False
        self.messages_received = self.bytes_received = 0
        self.messages_sent = self.bytes_sent = 0
        self.read_ahead_limit = READ_AHEAD
        """Messages that are read for a handler that does not receive."""

    @property
    def traffic(self) -> Traffic:
        """What has gone through the connection so far."""
        return Traffic(
            self.messages_received, self.bytes_received, self.messages_sent, self.bytes_sent
        )

    @property
    def dropped(self) -> int:
        """Messages of the client that were dropped, for its rate was over the endpoint's limit."""
        return 0

    @property
    def arrivals(self) -> int:
        """Messages that have come from the client, as far as anybody has looked."""
        read = 0 if self._reader is None else self._reader.unread + self._reader.dropped
        return self.messages_received + read + self.dropped

    @property
    def is_being_read(self) -> bool:
        """Whether a message that comes now is seen at once."""
        return self.is_receiving or (self._reader is not None and self._reader.is_running)

    @property
    def is_receiving(self) -> bool:
        """Whether somebody waits for the next message."""
        return self._receiver is not None or self._is_read_raw

    @property
    def is_sending(self) -> bool:
        """Whether the server is not done with a message, if that is watched."""
        return False

    @property
    def has_unread(self) -> bool:
        """Whether there is something that the handler has not received, be it the end."""
        return self._is_end_ahead or (self._reader is not None and self._reader.has_items)

    @property
    def unread_since(self) -> float | None:
        """The steady time since when all that may be read ahead was, and nothing is received."""
        return None if self._reader is None else self._reader.full_since

    def receive_directly(self) -> None:
        """Have the next event come from the server: nothing is left that was read ahead."""
        self._receive = self._server_receive

    def settle_rate(self) -> None:
        """Take note that nothing waits to be received."""

    def admits(self, event: Event, asked_at: float) -> bool:
        """Tell whether an event may pass; `asked_at` is the steady time when its receive began."""
        return True

    def read_ahead(self, context: contextvars.Context | None = None, *, keep: bool = True) -> None:
        """Read what comes in, until the handler receives: a disconnect is seen.

        Without `keep` all messages are dropped.
        """
        if (self._ended and not self._is_end_ahead) or self.is_receiving:
            return
        if self._reader is None:
            self._reader = Reader(
                self._server_receive,
                self._has_arrived,
                self.read_ahead_limit,
                is_bounded=not is_read_without_end(self._server_receive),
            )
        if not keep:
            self._reader.drop_messages()
        self._reader.start(context)
        self._receive = self._receive_read

    async def _receive_read(self) -> Event:
        """Be ASGI's receive while something was read ahead."""
        reader = self._reader
        if reader is None:  # it was forgotten while somebody waited for a turn
            raise self._disconnected("receive")
        try:
            return await reader.receive()
        finally:
            if reader.is_done:
                self.receive_directly()

    def ask_server(self) -> None:
        """Ask the server for the end, though what has come before it was not read."""
        ask = end_asker(self.scope)
        end = None if ask is None else ask()
        if end is not None and not self._ended:
            self._is_end_ahead = True
            self._client_state = DISCONNECTED
            self._end(*end, by_client=True)

    def _has_arrived(self, event: Event, asked_at: float) -> bool:
        if event["type"] == "websocket.disconnect":
            self._take_disconnect(event)
        return self.admits(event, asked_at)

    async def wait_closed(self) -> None:
        """Return when the connection has ended, whoever ended it. Cancelling it does no harm."""
        if not self._ended:
            self.read_ahead()
        while not self._ended:
            await self._until_end()

    async def _until_end(self) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        self.at_end(end)
        try:
            await ended
        finally:
            self.not_at_end(end)

    def _take_disconnect(self, event: Event) -> None:
        if event["type"] != "websocket.disconnect":
            raise RuntimeError(
                'Expected ASGI message "websocket.receive" or "websocket.disconnect", '
                f"but got {event['type']!r}"
            )
        self._client_state = DISCONNECTED
        self._is_end_ahead = False
        self._end(event.get("code") or 1005, event.get("reason"), by_client=True)

    def _lost(self) -> WebSocketDisconnect:
        self.ask_server()  # it may know how, and have what the client sent before it left
        self._client_state = DISCONNECTED
        self._end(1006, None, by_client=True)
        self._wake()
        return self._disconnect()

    def _wake(self) -> None:
        """Make a receive that is pending in another task raise `WebSocketDisconnected`."""
        receiver = self._receiver
        if receiver is None or receiver is asyncio.current_task() or _is_being_cancelled(receiver):
            return
        self._woken = receiver.cancelling()
        receiver.cancel()

    def _raise_if_woken(self, stop: bool) -> None:
        woken, self._woken = self._woken, None
        if self._receiver is None or woken is None:
            return
        if self._receiver.uncancel() <= woken:  # else somebody else cancelled too, and that counts
            raise (StopAsyncIteration if stop else self._disconnected("receive")) from None

    def forget(self) -> None:
        """Let go of what refers back to the connection, which has ended."""
        super().forget()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._receive = self._server_receive


def _is_being_cancelled(task: asyncio.Task[Any]) -> bool:
    """Tell whether a cancellation is on its way to a task, which is not to be taken for ours."""
    waits_for = getattr(task, "_fut_waiter", None)
    if isinstance(waits_for, asyncio.Task) and waits_for.cancelling():
        return True
    return getattr(task, "_must_cancel", False) or (waits_for is not None and waits_for.cancelled())
