"""Messages of a connection, in and out: convenience on top of `Connection`'s two primitives."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Mapping
from typing import Any, Literal, Self

from .connection import TURN, current_task
from .exceptions import WebSocketDisconnect
from .gate import size_of
from .member import Member
from .messages import Message, decode_json, encode_json
from .rooms.envelopes import as_event
from .servers import Event, is_gone
from .values import ValueType
from .while_open import WhileOpen

Mode = Literal["text", "binary"]


class Messaging(Member):
    """A connection that messages are received from and sent to by name."""

    __slots__ = ("_receive_type", "_send_type")

    _receive_type: ValueType | None
    _send_type: ValueType | None

    async def receive(self, timeout: float | None = None) -> Any:
        """Return the next message as the endpoint's `receive_type` says.

        Without one, the next ASGI message, a disconnect included. `timeout` is as for
        `receive_text`.
        """
        kind = self._receive_type
        if kind is None:
            return await self.receive_event(timeout)
        if timeout is not None:
            return kind.decode(await self._next_within(timeout, kind.payload))
        return kind.decode(await self._next(kind.payload, False))

    async def receive_text(self, timeout: float | None = None) -> str:
        """Return the next message, a text.

        Raises `WebSocketDisconnect`, `UnexpectedFrame`, and `TimeoutError` if nothing comes within
        `timeout` seconds; no message is lost by it.
        """
        if timeout is not None or not self._open or self._receiver is not None:
            text: str = await self._next_within(timeout, "text")
            return text
        # `_next("text", False)`, written out: that and its call cost 0.15 of 8 us an echo.
        self._receiver = current_task(self._loop)
        try:
            event = await self._receive()
        except CancelledError:
            self._raise_if_woken(False)
            raise
        finally:
            self._receiver = None
        try:
            text = event["text"]
            self.bytes_received += len(text) if text.isascii() else size_of(text)
        except (KeyError, AttributeError):  # it has none, or None
            text = self._content(event, "text", False)
            return text
        self.messages_received += 1
        return text

    def receive_bytes(self, timeout: float | None = None) -> Coroutine[Any, Any, bytes]:
        """Return the next message, a binary one.

        Raises `WebSocketDisconnect`, `UnexpectedFrame`, and `TimeoutError` if nothing comes within
        `timeout` seconds; no message is lost by it.
        """
        if timeout is not None:
            return self._next_within(timeout, "bytes")
        return self._next("bytes", False)

    async def receive_json(self, mode: Mode = "text", timeout: float | None = None) -> Any:
        """Return what the next message says; `mode` is the kind of message it comes in.

        Raises `WebSocketDisconnect`, `UnexpectedFrame`, `InvalidJSON`, and `TimeoutError` if
        nothing comes within `timeout` seconds; no message is lost by it.
        """
        payload = "text" if is_text_mode(mode) else "bytes"
        if timeout is not None:
            return decode_json(await self._next_within(timeout, payload))
        return decode_json(await self._next(payload, False))

    def iter_text(self) -> AsyncIterator[str]:
        """Yield texts until the connection ends."""
        return _Texts(self)

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield binary messages until the connection ends."""
        return Messages(self)

    async def iter_json(self, mode: Mode = "text") -> AsyncIterator[Any]:
        """Yield what JSON messages say until the connection ends."""
        try:
            while True:
                yield await self.receive_json(mode)
        except WebSocketDisconnect:
            return

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield messages as `receive_type` says until the connection ends.

        Without one, text or bytes as they came.
        """
        kind = self._receive_type
        try:
            while True:
                payload = None if kind is None else kind.payload
                message = await self._next(payload, False)
                if payload is None and message["type"] == "websocket.disconnect":
                    return
                yield _payload_of(message) if kind is None else kind.decode(message)
        except WebSocketDisconnect:
            return

    async def send(self, message: Any) -> None:
        """Send `message` as the endpoint's `send_type` says, or a `Message`.

        Without a type, `message` is an ASGI message. Raises `TypeError` for what the type does not
        hold.
        """
        if isinstance(message, Message):
            await self._send_message(message)
        elif self._send_type is not None:
            await self.send_event(self._send_type.encode(message))
        elif isinstance(message, Mapping):
            await self.send_event(dict(message))
        else:
            kind = type(message).__qualname__
            raise TypeError(
                f"send() takes an ASGI message or a Message where the endpoint has no send_type, "
                f"not {kind}: send_text(), send_bytes() and send_json() take the rest"
            )

    async def send_text(self, data: str) -> None:
        """Send a text message."""
        if not isinstance(data, str):
            raise TypeError(f"send_text() takes str, not {type(data).__qualname__}")
        # This is `_transmit`, a call of which would cost 5% of an echo's two halves.
        if not self._open or self.messages_sent & TURN == TURN:
            await self._before_send()
        try:
            await self._send({"type": "websocket.send", "text": data})
        except Exception as error:
            if not is_gone(error):
                raise
            raise self._lost() from error
        self.messages_sent += 1
        self.bytes_sent += len(data) if data.isascii() else size_of(data)

    def send_bytes(self, data: bytes) -> Coroutine[Any, Any, None]:
        """Send a binary message."""
        data = bytes(memoryview(data))
        return self._transmit({"type": "websocket.send", "bytes": data}, len(data))

    async def send_json(self, data: Any, mode: Mode = "text") -> None:
        """Send `data` as JSON, in a text or a binary message.

        Raises `TypeError` for what JSON cannot hold.
        """
        if is_text_mode(mode):
            await self.send_text(encode_json(data).decode())
        else:
            await self.send_bytes(encode_json(data))

    async def send_stream(self, stream: AsyncIterable[Any]) -> None:
        """Send what an async iterator yields, one after the other, until it ends.

        As the endpoint's `send_type` says; without one text, bytes, a `Message`, or JSON for
        anything else. When the connection ends, the iterator is cancelled and closed, and
        `WebSocketDisconnect` is raised.
        """
        if not isinstance(stream, AsyncIterable):
            raise TypeError(f"send_stream() takes an async iterator, not {stream!r}")
        iterator = aiter(stream)
        try:
            await self.open_for_use("send")
            self._see_the_end()
            async with WhileOpen(self):
                async for value in iterator:
                    await self._send_value(value)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    def _see_the_end(self) -> None:
        """See that the end of the connection is noticed from now on."""
        self.read_ahead()

    async def _send_value(self, value: Any) -> None:
        if isinstance(value, Message) or self._send_type is not None:
            await self.send(value)
        else:
            await self.send_event(as_event(value))

    async def _send_message(self, message: Message) -> None:
        event = message.as_event()
        if event is not None:  # None: a ping, which no server can be told to send
            await self.send_event(event)


class Messages:
    """`iter_bytes`. An async generator would cost 0.3 us more a message."""

    __slots__ = ("_websocket",)

    def __init__(self, websocket: Messaging) -> None:
        self._websocket = websocket

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._websocket._next("bytes", True)


class _Texts(Messages):
    """`iter_text`."""

    __slots__ = ()

    async def __anext__(self) -> str:
        websocket = self._websocket
        if not websocket._open or websocket._receiver is not None:
            text: str = await websocket._next("text", True)
            return text
        # `_next("text", True)`, written out as in `receive_text`.
        websocket._receiver = current_task(websocket._loop)
        try:
            event = await websocket._receive()
        except CancelledError:
            websocket._raise_if_woken(True)
            raise
        finally:
            websocket._receiver = None
        try:
            text = event["text"]
            websocket.bytes_received += len(text) if text.isascii() else size_of(text)
        except (KeyError, AttributeError):
            text = websocket._content(event, "text", True)
            return text
        websocket.messages_received += 1
        return text


def _payload_of(event: Event) -> str | bytes:
    text: str | None = event.get("text")
    return event.get("bytes") or b"" if text is None else text


def is_text_mode(mode: Mode) -> bool:
    """Tell which messages a `mode` means. Raises `RuntimeError` for what is none."""
    if mode not in ("text", "binary"):
        raise RuntimeError('The "mode" argument should be "text" or "binary".')
    return mode == "text"
