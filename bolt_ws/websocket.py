"""`WebSocket`: what a handler holds. Convenience on top of `Connection`'s two primitives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, Literal, Self, Unpack

from .exceptions import WebSocketDisconnect
from .handshake import Scope
from .member import Member
from .messages import Message, decode_json, encode_json
from .offline import FakeOptions, OfflineServer, Record, introduce, value_types
from .offline_rooms import OfflineJoining, OfflinePeers
from .outbox import OutboxPolicy
from .peers import Peers
from .requests import HandshakeRequest, get_request
from .rooms.names import group_of
from .rooms.room import Exclude, Joining
from .servers import Event, Receive, Send
from .states import WebSocketState
from .values import ValueType

Mode = Literal["text", "binary"]


class WebSocket(Member):
    """One connection.

    `auto_accept` says who accepts: False leaves it to `accept()`, and a send or a receive before
    it raises; None accepts at the first send or receive. `receive_type` and `send_type` say what
    `receive()` and `send()` deal in; None is ASGI messages.
    """

    __slots__ = ("_peers", "_receive_type", "_send_type")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        auto_accept: bool | None = False,
        receive_type: ValueType | None = None,
        send_type: ValueType | None = None,
        caught_close_codes: frozenset[int] | None = None,
        peers: Peers | None = None,
        outbox_policy: OutboxPolicy | None = None,
    ) -> None:
        super().__init__(scope, receive, send, auto_accept=auto_accept)
        self._receive_type = receive_type
        self._send_type = send_type
        self._caught = caught_close_codes
        self.closes_to_refuse = False
        self._peers = peers
        if outbox_policy is not None:
            self._outbox_policy = outbox_policy

    @staticmethod
    def fake(*messages: Any, **options: Unpack[FakeOptions]) -> OfflineWebSocket:
        """Return a connection without a server, to call a handler with in a test.

        `messages` are what the client sends before it leaves: text, bytes, a `Message`, an ASGI
        message (a dict whose type begins with "websocket."), JSON for anything else. Raises
        `TypeError`, `ValueError` and `DeclarationError` for options that could not be.
        """
        return OfflineWebSocket(messages, options)

    @property
    def request(self) -> HandshakeRequest:
        """The handshake as Django's request, with the path's parameters in `params`."""
        return get_request(self)

    async def reauthenticate(self, token: str) -> None:
        """Verify a new token for the same user, and stay until that expires.

        `websocket.context` and `websocket.auth` then say what it says; guards are not asked again.
        Raises `AuthenticationFailed` for a bad token and for another user's, and changes nothing;
        `RuntimeError` where nobody authenticated, or by something else than tokens;
        `WebSocketDisconnected` if the connection was told to go meanwhile.
        """
        if self._ended:
            raise self._disconnected("reauthenticate")
        if self._reauthenticate is None:
            raise RuntimeError("Cannot reauthenticate: no authentication backend knows the user")
        await self._reauthenticate(token)

    # Messages

    async def receive(self) -> Any:
        """Return the next message as the endpoint's `receive_type` says.

        Without one, the next ASGI message, a disconnect included.
        """
        kind = self._receive_type
        if kind is None:
            return await self.receive_event()
        return kind.decode(await self._next(kind.payload, False))

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
        return decode_json(await self._next("text" if _is_text(mode) else "bytes", False))

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
        elif self._send_type is None:
            await self.send_event(message)
        else:
            await self.send_event(self._send_type.encode(message))

    def send_text(self, data: str) -> Coroutine[Any, Any, None]:
        """Send a text message."""
        if not isinstance(data, str):
            raise TypeError(f"send_text() takes str, not {type(data).__qualname__}")
        return self._transmit({"type": "websocket.send", "text": data})

    def send_bytes(self, data: bytes) -> Coroutine[Any, Any, None]:
        """Send a binary message."""
        return self._transmit({"type": "websocket.send", "bytes": bytes(memoryview(data))})

    async def send_json(self, data: Any, mode: Mode = "text") -> None:
        """Send `data` as JSON, in a text or a binary message.

        Raises `TypeError` for what JSON cannot hold.
        """
        if _is_text(mode):
            await self.send_text(encode_json(data).decode())
        else:
            await self.send_bytes(encode_json(data))

    async def _send_message(self, message: Message) -> None:
        event = message.as_event()
        if event is not None:  # None: a ping, which no server can be told to send
            await self.send_event(event)

    # Others

    def join(self, name: str) -> Joining:
        """Join a room, and return it: `room = await websocket.join("name")`.

        `async with websocket.join("name") as room` leaves it at the end of the block. A connection
        that ends leaves all of its rooms. Raises `TypeError` and `ValueError` for a name that no
        room can have, when awaited `WebSocketDisconnected` after the end.
        """
        return Joining(self, name)

    async def leave(self, name: str) -> None:
        """Leave a room. One that was not joined is left already."""
        group = group_of(name)
        self.room_names.pop(group, None)
        if self.hub is not None:
            self.hub.leave(self, group)

    @property
    def rooms(self) -> tuple[str, ...]:
        """The names of the rooms that the connection is in, the first joined first."""
        return tuple(self.room_names.values())

    async def broadcast(
        self,
        data: Any,
        *,
        exclude: Exclude = (),
        scope: Literal["path", "endpoint"] = "path",
    ) -> None:
        """Send text, bytes, or JSON for anything else, to all connections with the same path.

        In all processes, the sender included. `exclude` leaves some out, each itself or its `id`;
        `scope="endpoint"` reaches all paths of the endpoint. Raises `RoomUnavailable` if the
        channel layer fails for `BOLT_WS["ROOM_TIMEOUT"]` seconds.
        """
        if scope not in ("path", "endpoint"):
            raise ValueError(f"scope is 'path' or 'endpoint', not {scope!r}")
        if self._peers is None:
            raise RuntimeError("Cannot broadcast: this connection belongs to no endpoint")
        if self.state is WebSocketState.CONNECTING:  # after the end, others may still be told
            await self._open_for("broadcast")
        if scope == "path":
            await self._peers.broadcast_at(self.path, data, exclude)
        else:
            await self._peers.broadcast(data, exclude)


class OfflineWebSocket(Record, WebSocket):
    """A connection without a server, as a handler gets it: `WebSocket.fake()` made it.

    Its broadcasts reach itself: no other connection has its endpoint.
    """

    __slots__ = ("_offline",)

    def __init__(self, messages: Iterable[Any], options: FakeOptions) -> None:
        self._offline = server = OfflineServer(messages, options)
        receive_type, send_type = value_types(options)
        super().__init__(
            server.scope,
            server.receive,
            server.send,
            auto_accept=options.get("auto_accept"),
            receive_type=receive_type,
            send_type=send_type,
            peers=(peers := OfflinePeers()),
        )
        peers.member = self
        introduce(self, options)
        self._client_state = WebSocketState.CONNECTED  # `websocket.connect` was received before
        if options.get("auto_accept"):  # as in `accept_unasked`, but no event loop runs here
            accept: Event = {"type": "websocket.accept", "subprotocol": None, "headers": []}
            self._advance(accept)
            server.keep(accept)
            self._open = self._was_accepted_unasked = True

    def join(self, name: str) -> Joining:
        """Join a room, alone."""
        return OfflineJoining(self, name)


class _Messages:
    """`iter_text` and its kin. An async generator would cost 0.3 us more a message."""

    __slots__ = ("_wanted", "_websocket")

    def __init__(self, websocket: WebSocket, wanted: str) -> None:
        self._websocket = websocket
        self._wanted = wanted

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._websocket._next(self._wanted, True)


def _payload_of(event: Event) -> str | bytes:
    text: str | None = event.get("text")
    return event.get("bytes") or b"" if text is None else text


def _is_text(mode: Mode) -> bool:
    if mode not in ("text", "binary"):
        raise RuntimeError('The "mode" argument should be "text" or "binary".')
    return mode == "text"
