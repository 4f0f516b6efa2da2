"""`WebSocket`: what a handler holds. Convenience on top of `Connection`'s two primitives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Literal, TypeVar, Unpack

from .background import BackgroundTasks
from .handshake import Scope
from .interruption import Interruption
from .messaging import Messaging
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

T = TypeVar("T")


class WebSocket(Messaging):
    """One connection.

    `auto_accept` says who accepts: False leaves it to `accept()`, and a send or a receive before
    it raises; None accepts at the first send or receive. `receive_type` and `send_type` say what
    `receive()` and `send()` deal in; None is ASGI messages.
    """

    __slots__ = ("_interruption", "_peers", "_tasks")

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
        self._interruption: Interruption | None = None
        self._tasks: BackgroundTasks | None = None
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

    # Background work

    def interrupt_by(self, interruption: Interruption) -> None:
        """Have the handler cancelled by `interruption` when a task of the connection fails."""
        self._interruption = interruption

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the handler, and return its task.

        It is cancelled and awaited when the handler ends, whichever way. What it raises ends the
        handler as if that had raised it. Raises `RuntimeError` once the handler has ended, and for
        a connection that belongs to no endpoint.
        """
        interruption = self._interruption
        if interruption is None or interruption.is_over:
            coroutine.close()
            missing = "the handler has ended" if interruption else "there is no endpoint"
            raise RuntimeError(f"Cannot start a task: {missing}")
        if self._tasks is None:
            self._tasks = BackgroundTasks(interruption, self._is_due)
        return self._tasks.start(coroutine)

    def _is_due(self, error: BaseException) -> bool:
        return self.ended_at is not None and self.is_quiet(error)

    @property
    def has_tasks(self) -> bool:
        """Whether tasks were started for the connection."""
        return self._tasks is not None

    async def end_tasks(self) -> list[BaseException]:
        """Cancel the connection's tasks and wait for them. Return what they have raised."""
        tasks, self._tasks = self._tasks, None
        return [] if tasks is None else await tasks.end()

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

    def _see_the_end(self) -> None:
        pass  # the client leaves when the handler has received its last message

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the handler. Nobody ends it here but the test."""
        return asyncio.get_running_loop().create_task(coroutine)

    def join(self, name: str) -> Joining:
        """Join a room, alone."""
        return OfflineJoining(self, name)
