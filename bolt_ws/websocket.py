"""`WebSocket`: what a handler holds.

Two primitives, `receive_event` and `send_event`, own the state machine; all else is thin on top.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from typing import Any, Literal

from .exceptions import Refusal, UnexpectedFrame, WebSocketDisconnect, WebSocketDisconnected
from .handshake import Handshake, Scope
from .messages import decode_json, encode_json
from .servers import Event, Receive, Send, can_deny, send_close
from .states import WebSocketState, check_close

if sys.version_info >= (3, 12):
    from asyncio import current_task as _current_task
else:  # current_task(loop) costs 70 ns there and this 20, in each receive
    from asyncio.tasks import _current_tasks  # type: ignore[attr-defined]

    _current_task = _current_tasks.get

CONNECTING = WebSocketState.CONNECTING
CONNECTED = WebSocketState.CONNECTED
DISCONNECTED = WebSocketState.DISCONNECTED
RESPONSE = WebSocketState.RESPONSE

Mode = Literal["text", "binary"]
HeaderItems = Iterable[tuple[str | bytes, str | bytes]]

_EXPECTED = {
    CONNECTING: '"websocket.accept", "websocket.close" or "websocket.http.response.start"',
    CONNECTED: '"websocket.send" or "websocket.close"',
    RESPONSE: '"websocket.http.response.body"',
}


class WebSocket(Handshake):
    """One connection: its handshake, its state, its messages.

    `auto_accept` says who accepts: False leaves it to `accept()`, and a send or a receive before
    it raises; None accepts at the first send or receive.
    """

    __slots__ = (
        "_accepting",
        "_application_state",
        "_auto_accept",
        "_client_state",
        "_loop",
        "_open",
        "_receive",
        "_receiver",
        "_send",
        "_was_accepted_unasked",
        "_woken",
        "close_code",
        "close_reason",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, auto_accept: bool | None = False
    ) -> None:
        super().__init__(scope)
        self._receive = receive
        self._send = send
        self._auto_accept = auto_accept
        self._client_state = CONNECTING
        self._application_state = CONNECTING
        self._open = False  # both sides CONNECTED: the one check that a message pays for
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting: asyncio.Future[None] | None = None
        self._was_accepted_unasked = False
        self._receiver: asyncio.Task[Any] | None = None
        self._woken: int | None = None
        self.close_code: int | None = None
        """The code of the first end, whoever caused it. None while there was no end."""
        self.close_reason: str | None = None
        """The reason that came with `close_code`."""

    @classmethod
    def after_connect(cls, scope: Scope, receive: Receive, send: Send) -> WebSocket:
        """Return the connection of an endpoint, whose `websocket.connect` has been received."""
        websocket = cls(scope, receive, send, auto_accept=None)
        websocket._client_state = CONNECTED
        return websocket

    # State

    @property
    def client_state(self) -> WebSocketState:
        """What has been received: CONNECTED after the handshake, DISCONNECTED after the end."""
        return self._client_state

    @property
    def application_state(self) -> WebSocketState:
        """What has been sent: CONNECTED after accept, DISCONNECTED after close."""
        return self._application_state

    @property
    def state(self) -> WebSocketState:
        """Where the connection stands."""
        if self._ended:
            return DISCONNECTED
        return self._application_state

    @property
    def _ended(self) -> bool:
        return self._application_state is DISCONNECTED or self._client_state is DISCONNECTED

    def _end(self, code: int, reason: str | None) -> None:
        self._open = False
        if self.close_code is None:
            self.close_code = int(code)
            self.close_reason = reason or ""

    def _disconnect(self) -> WebSocketDisconnect:
        return WebSocketDisconnect(self.close_code or 1005, self.close_reason, websocket=self)

    def _disconnected(self, action: str) -> WebSocketDisconnected:
        return WebSocketDisconnected(
            self.close_code or 1005, self.close_reason, websocket=self, action=action
        )

    # The two primitives

    async def _next(self, wanted: str | None, stop: bool) -> Any:
        """Receive, check, and return the next event, or what it holds under `wanted`.

        With `stop`, the end of the connection is the end of an iteration.
        """
        if not self._open:
            if self._client_state is CONNECTING:
                return await self._receive_connect()
            if stop and self._ended:
                raise StopAsyncIteration
            await self._open_for("receive")
        if self._receiver is not None:
            raise RuntimeError('Cannot "receive": another task is receiving on this connection')
        self._receiver = _current_task(self._loop)
        try:
            event = await self._receive()
        except CancelledError:
            self._raise_if_woken(stop)
            raise
        finally:
            self._receiver = None
        if wanted is not None:
            try:
                if (value := event[wanted]) is not None:
                    return value
            except KeyError:
                pass
        if event["type"] != "websocket.receive":
            self._take_disconnect(event)
            if wanted is None:
                return event
            raise StopAsyncIteration if stop else self._disconnect()
        if wanted is None:
            return event
        text = event.get("text")
        raise UnexpectedFrame(wanted, event.get("bytes") or b"" if text is None else text)

    async def _transmit(self, event: Event) -> None:
        """Send a `websocket.send` that is known to be well formed."""
        if not self._open:
            await self._open_for("send")
        try:
            await self._send(event)
        except OSError as error:
            raise self._lost() from error

    def receive_event(self) -> Coroutine[Any, Any, Event]:
        """Return the next ASGI message, a disconnect included.

        Cancelling it loses no message. Raises `WebSocketDisconnected` after the end and
        `RuntimeError` before accept, or while another task receives.
        """
        return self._next(None, False)

    async def send_event(self, event: Event) -> None:
        """Send an ASGI message.

        Raises `RuntimeError` for one out of order, `ValueError` for one that must not be sent,
        `WebSocketDisconnected` after the end and `WebSocketDisconnect` where the client is gone.
        """
        kind = event["type"]
        if kind == "websocket.send":
            if (event.get("text") is None) == (event.get("bytes") is None):
                raise ValueError('A "websocket.send" holds either "text" or "bytes"')
            await self._transmit(event)
            return
        send = self._advance(kind, event)
        try:
            await send(event)
        except OSError as error:
            raise self._lost() from error

    def _take_disconnect(self, event: Event) -> None:
        if event["type"] != "websocket.disconnect":
            raise RuntimeError(
                'Expected ASGI message "websocket.receive" or "websocket.disconnect", '
                f"but got {event['type']!r}"
            )
        self._client_state = DISCONNECTED
        self._end(event.get("code") or 1005, event.get("reason"))

    def _lost(self) -> WebSocketDisconnect:
        # An OSError is how a server says that the client is gone (ASGI specification 2.4).
        self._client_state = DISCONNECTED
        self._end(1006, None)
        return self._disconnect()

    async def _receive_connect(self) -> Event:
        event = await self._receive()
        if event["type"] != "websocket.connect":
            raise RuntimeError(
                f'Expected ASGI message "websocket.connect", but got {event["type"]!r}'
            )
        self._client_state = CONNECTED
        return event

    def _advance(self, kind: str, event: Event) -> Send:
        """Check a message that changes the state, change it, and return who sends the message."""
        state = self._application_state
        if self._ended:
            raise self._disconnected(kind.removeprefix("websocket."))
        if kind == "websocket.accept" and state is CONNECTING:
            self._check_accept(event)
            self._application_state = CONNECTED
            return self._send_accept
        if kind == "websocket.close" and state in (CONNECTING, CONNECTED):
            code, reason = event.setdefault("code", 1000), event.get("reason") or ""
            check_close(code, reason)
            self._application_state = DISCONNECTED
            self._end(code, reason)
            return self._send_close
        if kind == "websocket.http.response.start" and state is CONNECTING:
            if not can_deny(self.scope):
                raise RuntimeError(
                    "The server doesn't support the Websocket Denial Response extension."
                )
            self._application_state = RESPONSE
            return self._send
        if kind == "websocket.http.response.body" and state is RESPONSE:
            if not event.get("more_body", False):
                self._application_state = DISCONNECTED
                self._end(1006, None)  # what a client sees of a refused handshake
            return self._send
        raise RuntimeError(f"Expected ASGI message {_EXPECTED[state]}, but got {kind!r}")

    def _check_accept(self, event: Event) -> None:
        subprotocol = event.get("subprotocol")
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(
                f"subprotocol {subprotocol!r} was not offered: the client offered "
                f"{', '.join(map(repr, self.subprotocols)) or 'none'}"
            )
        if self._client_state is CONNECTING:
            raise RuntimeError('Expected ASGI message "websocket.connect" to be received first')

    async def _send_accept(self, event: Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_future()
        try:
            await self._send(event)
        except OSError:
            raise
        except Exception:
            self._application_state = CONNECTING  # the server took offence: nothing was accepted
            raise
        finally:
            self._open = self._application_state is CONNECTED and not self._ended
            self._accepting.set_result(None)
            self._accepting = None

    async def _send_close(self, event: Event) -> None:
        try:
            await send_close(self._send, event)
        finally:
            self._wake()

    async def _open_for(self, action: str) -> None:
        """See that the connection is open before it is used, or raise what is in the way."""
        while not self._open:
            if self._ended:
                raise self._disconnected(action)
            if self._accepting is not None:  # another task accepts: its accept goes first
                await asyncio.shield(self._accepting)
            elif self._application_state is CONNECTING and self._auto_accept is not False:
                await self.accept_unasked()
            else:
                expected = _EXPECTED[self._application_state]
                raise RuntimeError(f'Expected ASGI message {expected}, but got "{action}"')

    def _wake(self) -> None:
        """Make a receive that is pending in another task raise `WebSocketDisconnected`."""
        receiver = self._receiver
        if receiver is not None and receiver is not asyncio.current_task():
            self._woken = receiver.cancelling()
            receiver.cancel()

    def _raise_if_woken(self, stop: bool) -> None:
        task, woken = self._receiver, self._woken
        if task is not None and woken is not None:
            self._woken = None
            if task.uncancel() <= woken:  # else somebody else cancelled too, and that counts
                raise (StopAsyncIteration if stop else self._disconnected("receive")) from None

    # The handshake's answer

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: HeaderItems | Mapping[str, str] | None = None,
    ) -> None:
        """Accept the connection.

        Raises `ValueError` for a subprotocol that the client did not offer or a header that would
        break the response, `RuntimeError` if it was accepted before. After an accept that happened
        by itself, one call without arguments does nothing.
        """
        if self._accepting is not None:  # the first use in another task
            await asyncio.shield(self._accepting)
        if self._was_accepted_unasked and subprotocol is None and not headers and self._open:
            self._was_accepted_unasked = False
            return
        event = {
            "type": "websocket.accept",
            "subprotocol": subprotocol,
            "headers": _encode_headers(headers),
        }
        if self._client_state is CONNECTING:
            await self._receive_connect()
        await self.send_event(event)

    async def accept_unasked(self) -> None:
        """Accept for a handler that did not say so."""
        await self.accept()
        self._was_accepted_unasked = True

    async def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP status, as well as the server can."""
        if not can_deny(self.scope):
            await self.close(4000 + refusal.status, refusal.code)  # every server makes it 403
            return
        headers = {"Content-Type": "application/json", **refusal.headers}
        body = encode_json({"detail": refusal.detail, "code": refusal.code})
        await self.send_event(
            {
                "type": "websocket.http.response.start",
                "status": refusal.status,
                "headers": _encode_headers(headers),
            }
        )
        await self.send_event({"type": "websocket.http.response.body", "body": body})

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection; before accept, refuse it with 403.

        Raises `ValueError` for a code that RFC 6455 section 7.4 forbids to send and for a reason of
        over 123 bytes, `WebSocketDisconnected` if the connection has ended already.
        """
        await self.send_event(
            {"type": "websocket.close", "code": int(code), "reason": reason or ""}
        )

    # Messages

    def receive(self) -> Coroutine[Any, Any, Event]:
        """Return the next ASGI message, a disconnect included."""
        return self.receive_event()

    def receive_text(self) -> Coroutine[Any, Any, str]:
        """Return the next message, a text. Raises `WebSocketDisconnect`, `UnexpectedFrame`."""
        return self._next("text", False)

    def receive_bytes(self) -> Coroutine[Any, Any, bytes]:
        """Return the next message, a binary one.

        Raises `WebSocketDisconnect`, `UnexpectedFrame`.
        """
        return self._next("bytes", False)

    async def receive_json(self, mode: Mode = "text") -> Any:
        """Return what the next message says; `mode` is the kind of message it comes in.

        Raises `WebSocketDisconnect`, `UnexpectedFrame`, `InvalidJSON`.
        """
        if _is_text(mode):
            return decode_json(await self.receive_text())
        return decode_json(await self.receive_bytes())

    def iter_text(self) -> AsyncIterator[str]:
        """Yield texts until the connection ends."""
        return _Messages(self, "text")

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield binary messages until the connection ends."""
        return _Messages(self, "bytes")

    async def iter_json(self, mode: Mode = "text") -> AsyncIterator[Any]:
        """Yield what JSON messages say until the connection ends."""
        try:
            while True:
                yield await self.receive_json(mode)
        except WebSocketDisconnect:
            return

    async def send(self, event: Event) -> None:
        """Send an ASGI message."""
        await self.send_event(event)

    def send_text(self, data: str) -> Coroutine[Any, Any, None]:
        """Send a text message."""
        return self._transmit({"type": "websocket.send", "text": data})

    def send_bytes(self, data: bytes) -> Coroutine[Any, Any, None]:
        """Send a binary message."""
        return self._transmit({"type": "websocket.send", "bytes": data})

    async def send_json(self, data: Any, mode: Mode = "text") -> None:
        """Send `data` as JSON, in a text or a binary message.

        Raises `TypeError` for what JSON cannot hold.
        """
        if _is_text(mode):
            await self.send_text(encode_json(data).decode())
        else:
            await self.send_bytes(encode_json(data))


class _Messages:
    """`iter_text` and its kin. An async generator would cost 0.3 us more a message."""

    __slots__ = ("_wanted", "_websocket")

    def __init__(self, websocket: WebSocket, wanted: str) -> None:
        self._websocket = websocket
        self._wanted = wanted

    def __aiter__(self) -> _Messages:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._websocket._next(self._wanted, True)


def _is_text(mode: Mode) -> bool:
    if mode not in ("text", "binary"):
        raise RuntimeError('The "mode" argument should be "text" or "binary".')
    return mode == "text"


def _encode_headers(
    headers: HeaderItems | Mapping[str, str] | None,
) -> list[tuple[bytes, bytes]]:
    items: HeaderItems = headers.items() if isinstance(headers, Mapping) else headers or ()
    encoded = [(_encode_header(name).lower(), _encode_header(value)) for name, value in items]
    for name, value in encoded:
        if not name or any(byte in name + value for byte in b"\r\n\0"):
            raise ValueError(f"header {name!r} would break the response")
    return encoded


def _encode_header(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
