"""The state machine of a connection, in `receive_event` and `send_event`; all else calls them."""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError
from collections.abc import Coroutine
from typing import Any, Final

from .exceptions import UnexpectedFrame
from .gate import size_of
from .handshake import Scope
from .read_ahead import ReadAhead
from .servers import Event, Receive, Send, is_gone, send_close
from .states import WebSocketState, check_close
from .steps import check_frame, out_of_order, step
from .transports import Transport, transport_of

if sys.version_info >= (3, 12):
    from asyncio import current_task
else:  # current_task(loop) costs 70 ns there and this 20, in each receive
    from asyncio.tasks import _current_tasks  # type: ignore[attr-defined]

    current_task = _current_tasks.get

TURN: Final = 127
"""Messages before that at which a handler that only sends lets others have a turn: a bit mask.

Stock Daphne's `send` never waits, and uvicorn's not while the client reads, or when it is gone: a
handler that sends and awaits nothing else would have the event loop to itself for ever.
"""

CONNECTING = WebSocketState.CONNECTING
CONNECTED = WebSocketState.CONNECTED
DISCONNECTED = WebSocketState.DISCONNECTED


class Connection(ReadAhead):
    """One connection: its handshake, its state, the messages that go through.

    `auto_accept` False leaves it to `accept()`, and a send or a receive before it raises; else the
    first send or receive accepts.
    """

    __slots__ = (
        "_accepting",
        "_auto_accept",
        "_loop",
        "_send",
        "_was_accepted_unasked",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, auto_accept: bool | None = False
    ) -> None:
        super().__init__(scope, receive)
        self._send = send
        self._auto_accept = auto_accept
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting: asyncio.Future[None] | None = None
        self._was_accepted_unasked = False

    def find_transport(self) -> Transport | None:
        """Return the socket, where the server does not see to a client that takes nothing."""
        return transport_of(self._send)

    # The two primitives

    async def _next(self, wanted: str | None, stop: bool) -> Any:
        """Receive, check, and return the next event, or what it holds under `wanted`.

        With `stop`, the end of the connection is the end of an iteration.
        """
        if not self._open:
            event = await self._before_receive(wanted, stop)
            if event is not None:
                is_first = event["type"] == "websocket.connect"
                return event if is_first else self._content(event, wanted, stop)
        if self._receiver is not None:
            raise RuntimeError('Cannot "receive": another task is receiving on this connection')
        self._receiver = current_task(self._loop)
        try:
            event = await self._receive()
        except CancelledError:
            self._raise_if_woken(stop)
            raise
        finally:
            self._receiver = None
        return self._content(event, wanted, stop)

    @property
    def _has_rest(self) -> bool:
        """Whether there is something to be received that came before the client left, if it did."""
        return self.has_unread and self._application_state is CONNECTED

    async def _before_receive(self, wanted: str | None, stop: bool) -> Event | None:
        """See that a receive may begin, or return the event that it gives at once."""
        if wanted is None and self._client_state is CONNECTING and self._auto_accept is False:
            return await self._receive_connect()
        if self._has_rest:
            return None
        if stop and self._ended:
            await asyncio.sleep(0)  # as in `_open_for`
            raise StopAsyncIteration
        await self._open_for("receive")
        return None

    def _content(self, event: Event, wanted: str | None, stop: bool) -> Any:
        """Return what an event holds under `wanted`, itself for None, or raise what it means."""
        if event["type"] == "websocket.receive":
            text = event.get("text")
            content: str | bytes = event.get("bytes") or b"" if text is None else text
            self.messages_received += 1
            self.bytes_received += size_of(content)
            if wanted is None:
                return event
            if event.get(wanted) is not None:
                return content
            raise UnexpectedFrame(wanted, content)
        self._take_disconnect(event)
        if wanted is None:
            return event
        raise StopAsyncIteration if stop else self._disconnect()

    async def _transmit(self, event: Event, size: int) -> None:
        """Send a `websocket.send` that is known to be well formed, of so many bytes."""
        if not self._open or self.messages_sent & TURN == TURN:
            await self._before_send()
        try:
            await self._send(event)
        except Exception as error:
            if not is_gone(error):
                raise
            raise self._lost() from error
        self.messages_sent += 1
        self.bytes_sent += size

    async def _next_within(self, seconds: float | None, wanted: str | None) -> Any:
        """Return what `_next` returns. Raises `TimeoutError` if nothing comes so long."""
        if self._application_state is CONNECTING and self._auto_accept is not False:
            await self._open_for("receive")  # a timeout must not cut this in two
        if self._ended and not self._has_rest:
            await self._open_for("receive")  # which raises, however short the time
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._next(wanted, False)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"no message came within {seconds} seconds") from None

    def receive_event(self, timeout: float | None = None) -> Coroutine[Any, Any, Event]:
        """Return the next ASGI message, a disconnect included. Cancelling it loses no message.

        Raises `WebSocketDisconnected` after the end, `RuntimeError` before accept and while another
        task receives, `TimeoutError` if nothing comes within `timeout` seconds.
        """
        if timeout is not None:
            return self._next_within(timeout, None)
        return self._next(None, False)

    async def send_event(self, event: Event) -> None:
        """Send an ASGI message.

        Raises `RuntimeError` for one out of order, `ValueError` for one that must not be sent,
        `WebSocketDisconnected` after the end and `WebSocketDisconnect` where the client is gone.
        """
        kind = event.get("type")
        if kind == "websocket.send":
            await self._transmit(event, size_of(check_frame(event)))
            return
        event = dict(event)  # completed below, and the caller's stays as it is
        if self._accepting is not None:  # another task accepts: its accept goes first
            await asyncio.shield(self._accepting)
        if kind == "websocket.close" and self._application_state is CONNECTING:
            event["code"] = check_close(event.get("code", 1000), event.get("reason"))
            if await self._accept_to_close(event):
                return
        if kind == "websocket.close" and self._farewell is not None and self._open:
            code, reason = event.get("code", 1000), event.get("reason") or ""
            check_close(code, event.get("reason"))
            farewell, self._farewell = self._farewell, None
            await farewell(code, reason)
            if self._ended:  # the client left meanwhile, or the farewell closed
                return
        send = self._advance(event)
        try:
            await send(event)
        except Exception as error:
            if not is_gone(error):
                raise
            raise self._lost() from error

    async def _accept_to_close(self, event: Event) -> bool:
        """Refuse the handshake with an accept and a close, if that is how; tell whether it is."""
        return False

    async def settle(self) -> None:
        """Wait until the server has what another task is answering the handshake with."""
        if self._accepting is not None:
            await asyncio.shield(self._accepting)

    async def receive_raw(self) -> Event:
        """Return the server's next message unchecked, for an ASGI application in our place."""
        self._is_read_raw = True
        try:
            event = await self._receive()
        finally:
            self._is_read_raw = False
        if event["type"] in ("websocket.receive", "websocket.disconnect"):
            self._content(event, None, False)
        return event

    async def _receive_connect(self) -> Event:
        event = await self._receive()
        if event["type"] != "websocket.connect":
            came = event["type"]
            raise RuntimeError(f'Expected ASGI message "websocket.connect", but got {came!r}')
        self._client_state = CONNECTED
        return event

    def _advance(self, event: Event) -> Send:
        """Check a message that changes the state, change it, and return who sends the message."""
        kind = event.get("type")
        if self._ended:
            raise self._disconnected(str(kind).removeprefix("websocket."))
        if kind == "websocket.accept":
            self._check_may_accept()
        self._application_state = step(self._application_state, event, self.scope)
        if kind == "websocket.http.response.start":
            self.denied_with = event["status"]
        if self._application_state is DISCONNECTED:
            self._end(event.get("code", 1006), event.get("reason"))
        own: dict[Any, Send] = {
            "websocket.accept": self._send_accept,
            "websocket.close": self._send_close,
        }
        return own.get(kind, self._send)

    def _check_may_accept(self) -> None:
        if self._client_state is CONNECTING:
            raise RuntimeError('Expected ASGI message "websocket.connect" to be received first')
        if not self._may_accept:
            raise RuntimeError("Cannot accept, send or receive before admission has ended")

    async def _send_accept(self, event: Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_future()
        try:
            await self._send(event)
            self._open = not self._ended
        except Exception as error:
            if not is_gone(error):  # the server took offence: nothing was accepted
                self._application_state = CONNECTING
            raise
        finally:  # cancelled, it is CONNECTED but not open: all that may follow is a close
            self._accepting.set_result(None)
            self._accepting = None
        note_accept, self._note_accept = self._note_accept, None
        if note_accept is not None and (telling := note_accept()) is not None:
            await telling

    async def _send_close(self, event: Event) -> None:
        try:
            await send_close(self._send, event)
        finally:
            self._wake()

    async def _before_send(self) -> None:
        """Let others have a turn, if it is theirs, and see that the connection is open.

        Before, and not after: a cancellation while they have it means that nothing was sent.
        """
        if self.messages_sent & TURN == TURN:
            await asyncio.sleep(0)
        await self._open_for("send")

    async def _open_for(self, action: str) -> None:
        """See that the connection is open before it is used, or raise what is in the way."""
        while not self._open:
            if self._ended:
                await asyncio.sleep(0)  # who tries again, for ever, has to be cancelled
                raise self._disconnected(action)
            if self._accepting is not None:  # another task accepts: its accept goes first
                await asyncio.shield(self._accepting)
            elif self._application_state is CONNECTING and self._auto_accept is not False:
                await self.accept_unasked()
            else:
                raise out_of_order(self._application_state, action)

    async def accept_unasked(self) -> None:
        """Accept for a handler that did not say so."""
        if self._client_state is CONNECTING:
            await self._receive_connect()
        accept: Event = {"type": "websocket.accept", "subprotocol": self.answer, "headers": []}
        try:
            await self.send_event(accept)
        finally:  # cancelled while the receivers of a signal are told, it is accepted
            self._was_accepted_unasked = self._open
