"""`BlockingWebSocket`: the connection that a plain `def` handler holds."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, Unpack

from .blocking_connection import BlockingConnection, calls, refuse_in_coroutine
from .blocking_rooms import BlockingRoom
from .exceptions import UnexpectedFrame, WebSocketDisconnect, WebSocketDisconnected
from .messages import Message, content_of, decode_json, encode_json, message_from
from .messaging import Mode, is_text_mode
from .offline import FakeOptions, Record
from .offline_blocking import OfflineBridge
from .rooms.envelopes import as_event, ids_of
from .websocket import OfflineWebSocket, WebSocket

P = ParamSpec("P")
R = TypeVar("R")


class BlockingWebSocket(BlockingConnection):
    """A connection in blocking calls: whatever a coroutine handler awaits, this one calls.

    Any thread may use it, other connections' threads too, as long as it runs no event loop.
    What it does not define itself is that of its `websocket`.
    """

    __slots__ = ()

    @staticmethod
    def fake(*messages: Any, **options: Unpack[FakeOptions]) -> OfflineBlockingWebSocket:
        """Return a connection without a server, to call a plain handler with in a test.

        It takes what `WebSocket.fake` takes, and needs neither an event loop nor a thread.
        """
        return OfflineBlockingWebSocket(OfflineWebSocket(messages, options))

    # The handshake's answer

    reauthenticate = calls(WebSocket.reauthenticate)
    reject = calls(WebSocket.reject)
    send_denial_response = calls(WebSocket.send_denial_response)

    def __enter__(self) -> Self:
        """Accept the connection, unless that was done."""
        refuse_in_coroutine("with", "async with websocket")
        self.bridge.call(self.websocket.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Close the connection. Its own disconnect is caught if its code is to be caught."""
        return self.bridge.call(self.websocket.__aexit__, kind, error, traceback)

    # Receiving

    def recv(self, timeout: float | None = None) -> Message | None:
        """Return the next message, or None once the connection has ended.

        Raises `TimeoutError` if none comes within `timeout` seconds; no message is lost by it.
        """
        refuse_in_coroutine("recv()", "await websocket.receive()")
        try:
            event = self.bridge.take(timeout)
        except WebSocketDisconnected:
            return None
        return None if event["type"] == "websocket.disconnect" else message_from(event)

    def receive(self, timeout: float | None = None) -> Any:
        """Return the next message as the endpoint's `receive_type` says.

        Without one, the next ASGI message, a disconnect included. `timeout` is as for
        `receive_text`.
        """
        refuse_in_coroutine("receive()", "await websocket.receive()")
        kind = self.websocket._receive_type
        if kind is None:
            return self.bridge.take(timeout)
        is_raw = kind.payload is None
        return kind.decode(
            self.bridge.take(timeout) if is_raw else self._next(kind.payload, timeout)
        )

    def receive_text(self, timeout: float | None = None) -> str:
        """Return the next message, a text.

        Raises `WebSocketDisconnect`, `UnexpectedFrame`, and `TimeoutError` if nothing comes within
        `timeout` seconds; no message is lost by it.
        """
        refuse_in_coroutine("receive_text()", "await websocket.receive_text()")
        text: str = self._next("text", timeout)
        return text

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message, a binary one. Raises what `receive_text` raises."""
        refuse_in_coroutine("receive_bytes()", "await websocket.receive_bytes()")
        data: bytes = self._next("bytes", timeout)
        return data

    def receive_json(self, mode: Mode = "text", timeout: float | None = None) -> Any:
        """Return what the next message says; `mode` is the kind of message it comes in.

        Raises what `receive_text` raises, and `InvalidJSON`.
        """
        refuse_in_coroutine("receive_json()", "await websocket.receive_json()")
        return decode_json(self._next("text" if is_text_mode(mode) else "bytes", timeout))

    def iter_text(self) -> Iterator[str]:
        """Yield texts until the connection ends."""
        refuse_in_coroutine("iter_text()", "async for text in websocket.iter_text()")
        return self._until_end(self.receive_text)

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield binary messages until the connection ends."""
        refuse_in_coroutine("iter_bytes()", "async for data in websocket.iter_bytes()")
        return self._until_end(self.receive_bytes)

    def iter_json(self, mode: Mode = "text") -> Iterator[Any]:
        """Yield what JSON messages say until the connection ends."""
        refuse_in_coroutine("iter_json()", "async for data in websocket.iter_json()")
        return self._until_end(functools.partial(self.receive_json, mode))

    def __iter__(self) -> Iterator[Any]:
        """Yield messages as `receive_type` says until the connection ends.

        Without one, text or bytes as they came.
        """
        refuse_in_coroutine("for", "async for message in websocket")
        return self._until_end(self._receive_value)

    def _receive_value(self) -> Any:
        kind = self.websocket._receive_type
        if kind is not None and kind.payload is not None:
            return kind.decode(self._next(kind.payload))
        event = self.bridge.take()
        if event["type"] == "websocket.disconnect":
            raise self._disconnect()
        return content_of(event) if kind is None else kind.decode(event)

    def _until_end(self, receive: Callable[[], R]) -> Iterator[R]:
        while True:
            try:
                value = receive()
            except WebSocketDisconnect:
                return
            yield value

    def _next(self, wanted: str | None, timeout: float | None = None) -> Any:
        assert wanted is not None
        event = self.bridge.take(timeout)
        value = event.get(wanted)
        if value is not None:
            return value
        if event["type"] == "websocket.disconnect":
            raise self._disconnect()
        raise UnexpectedFrame(wanted, content_of(event))

    def _disconnect(self) -> WebSocketDisconnect:
        code, reason = self.websocket.close_code or 1005, self.websocket.close_reason
        return WebSocketDisconnect(code, reason, websocket=self.websocket)

    # Sending

    def send(self, message: Any) -> None:
        """Send `message` as the endpoint's `send_type` says, or a `Message`.

        Without a type, `message` is an ASGI message. Raises `TypeError` for what the type does not
        hold.
        """
        refuse_in_coroutine("send()", "await websocket.send(...)")
        kind = self.websocket._send_type
        if isinstance(message, Message):
            event = message.as_event()
            if event is not None:  # None: a ping, which no server can be told to send
                self.send_event(event)
        else:
            self.send_event(message if kind is None else kind.encode(message))

    def send_text(self, data: str) -> None:
        """Send a text message. Raises `WebSocketDisconnected` after the end."""
        refuse_in_coroutine("send_text()", "await websocket.send_text(...)")
        if not isinstance(data, str):
            raise TypeError(f"send_text() takes str, not {type(data).__qualname__}")
        self.bridge.send({"type": "websocket.send", "text": data})

    def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Send a binary message. Raises `WebSocketDisconnected` after the end."""
        refuse_in_coroutine("send_bytes()", "await websocket.send_bytes(...)")
        self.bridge.send({"type": "websocket.send", "bytes": bytes(memoryview(data))})

    send_binary = send_bytes

    def send_json(self, data: Any, mode: Mode = "text") -> None:
        """Send `data` as JSON, in a text or a binary message.

        Raises `TypeError` for what JSON cannot hold, `WebSocketDisconnected` after the end.
        """
        refuse_in_coroutine("send_json()", "await websocket.send_json(...)")
        encoded = encode_json(data)
        if is_text_mode(mode):
            self.bridge.send({"type": "websocket.send", "text": encoded.decode()})
        else:
            self.bridge.send({"type": "websocket.send", "bytes": encoded})

    def send_stream(self, stream: Iterable[Any]) -> None:
        """Send what an iterator yields, one after the other, until it ends.

        As the endpoint's `send_type` says; without one text, bytes, a `Message`, or JSON for
        anything else. After the end of the connection the iterator is closed, and
        `WebSocketDisconnected` raised.
        """
        refuse_in_coroutine("send_stream()", "await websocket.send_stream(...)")
        iterator = iter(stream)
        is_typed = self.websocket._send_type is not None
        try:
            self.bridge.call(self.websocket.open_for_use, "send")
            for value in iterator:
                if is_typed or isinstance(value, Message):
                    self.send(value)
                else:
                    self.bridge.send(as_event(value))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    # Others

    def start_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine beside the handler, in the event loop. As `WebSocket.start_task`."""

        async def start() -> asyncio.Task[Any]:
            return self.websocket.start_task(coroutine)

        try:
            refuse_in_coroutine("start_task()", "websocket.start_task(...)")
            return self.bridge.call(start)
        except BaseException:
            coroutine.close()
            raise

    def join(self, name: str) -> BlockingRoom:
        """Join a room, and return it; `with websocket.join("name") as room` leaves it at the end.

        A connection that ends leaves all of its rooms. Raises what `WebSocket.join` raises.
        """
        refuse_in_coroutine("join()", "await websocket.join(...)")
        joining = self.websocket.join(name)
        return BlockingRoom(self.bridge.call(joining.join), self.bridge, refuse_in_coroutine)

    leave = calls(WebSocket.leave)

    @property
    def rooms(self) -> tuple[str, ...]:
        """The names of the rooms that the connection is in, the first joined first."""
        return self.websocket.rooms

    def broadcast(
        self,
        data: Any,
        *,
        exclude: Any = (),
        scope: Literal["path", "endpoint"] = "path",
    ) -> None:
        """Send text, bytes, or JSON for anything else, to all connections with the same path.

        In all processes, the sender included. `exclude` leaves some out, each itself or its `id`;
        `scope="endpoint"` reaches all paths of the endpoint.
        """
        refuse_in_coroutine("broadcast()", "await websocket.broadcast(...)")
        self.bridge.call(self.websocket.broadcast, data, exclude=ids_of(exclude), scope=scope)


class OfflineBlockingWebSocket(Record, BlockingWebSocket):
    """A connection without a server, in blocking calls: `BlockingWebSocket.fake()` made it."""

    __slots__ = ("_offline",)

    def __init__(self, websocket: OfflineWebSocket) -> None:
        self.websocket = websocket
        self.bridge = OfflineBridge(websocket)
        self._offline = websocket._offline


def twin_of(websocket: WebSocket) -> BlockingWebSocket:
    """Return the one blocking twin of a connection, made at the first call, in its event loop."""
    twin: BlockingWebSocket | None = websocket._cache.get("twin")
    if twin is None:
        twin = websocket._cache["twin"] = BlockingWebSocket(websocket, asyncio.get_running_loop())
    return twin
