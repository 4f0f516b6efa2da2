"""The blocking twin of `Connection`: state, accept, close, the two primitives."""

from __future__ import annotations

import asyncio
import functools
import inspect
from asyncio import _get_running_loop
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar

from .bridge import Bridge
from .exceptions import WebSocketDisconnected
from .handshake import Handshake
from .servers import Event
from .states import WebSocketState
from .websocket import WebSocket

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    _Delegating = Handshake  # whose attributes `__getattr__` finds
else:
    _Delegating = object


def refuse_in_coroutine(method: str, awaitable: str) -> None:
    """Raise `RuntimeError` in a thread that runs an event loop: it would stand still."""
    if _get_running_loop() is not None:
        raise RuntimeError(
            f"{method} blocks, and a coroutine called it: use `{awaitable}` there, on the "
            "WebSocket, which is the `websocket` attribute of this BlockingWebSocket"
        )


def calls(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingConnection, P], R]:
    """Return the blocking twin of a method of `WebSocket`."""
    name = method.__name__

    @functools.wraps(method)
    def call(self: BlockingConnection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        refuse_in_coroutine(f"{name}()", f"await websocket.{name}(...)")
        result: R = self.bridge.call(getattr(self.websocket, name), *args, **kwargs)
        return result

    call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    del call.__wrapped__  # it is a coroutine function, and this is not
    return call


class BlockingConnection(_Delegating):
    """The state of a connection and what changes it, in blocking calls.

    What it does not define itself is that of its `websocket`.
    """

    __slots__ = ("__weakref__", "bridge", "websocket")

    __bolt_connection__: ClassVar[bool] = True

    def __init__(self, websocket: WebSocket, loop: asyncio.AbstractEventLoop) -> None:
        self.websocket = websocket
        """The same connection, for coroutines."""
        self.bridge = Bridge(websocket, loop)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if inspect.iscoroutinefunction(getattr(type(self.websocket), name, None)):
                return functools.partial(calls(getattr(type(self.websocket), name)), self)
            return getattr(self.websocket, name)

    def __eq__(self, other: object) -> bool:
        # The same connection: what one of the two put into a set, the other takes out.
        return self is other or self.websocket is other

    def __hash__(self) -> int:
        return hash(self.websocket)

    def __getitem__(self, key: str) -> Any:
        return self.websocket.scope[key]

    def __contains__(self, key: object) -> bool:
        return key in self.websocket.scope

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} {self.id}>"

    # State

    @property
    def application_state(self) -> WebSocketState:
        """What has been sent: CONNECTED after accept, DISCONNECTED after close."""
        return self.websocket.application_state

    @property
    def client_state(self) -> WebSocketState:
        """What has been received: CONNECTED until the client's last message has been taken."""
        state = self.websocket.client_state
        if self.bridge.is_over:
            return WebSocketState.DISCONNECTED
        if state is WebSocketState.DISCONNECTED and self.bridge.has_unread:
            return WebSocketState.CONNECTED
        return state

    @property
    def state(self) -> WebSocketState:
        """Where the connection stands."""
        if self.client_state is WebSocketState.DISCONNECTED:
            return WebSocketState.DISCONNECTED
        return self.websocket.application_state

    @property
    def connected(self) -> bool:
        """Whether the connection is alive: True from the handler's start until the end."""
        return self.state in (WebSocketState.CONNECTING, WebSocketState.CONNECTED)

    @property
    def close_code(self) -> int | None:
        """The code of the first end, whoever caused it. None while there was no end."""
        return self.websocket.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason that came with `close_code`."""
        return self.websocket.close_reason

    def auser(self) -> Any:
        """Return `user`: a thread that may wait has no other way of asking."""
        refuse_in_coroutine("auser()", "await websocket.auser()")
        return self.websocket.user

    # The handshake's answer, and the end

    accept = calls(WebSocket.accept)

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection; before accept, refuse it with 403. After the end, do nothing.

        Raises `ValueError` for a code or a reason that must not be sent.
        """
        refuse_in_coroutine("close()", "await websocket.close(...)")
        with suppress(WebSocketDisconnected):
            self.bridge.call(self.websocket.close, code, reason)

    def ensure_closed(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection, or refuse it before accept, unless it has ended. Never raises.

        An illegal code or reason is still a `ValueError`.
        """
        refuse_in_coroutine("ensure_closed()", "await websocket.ensure_closed(...)")
        with suppress(WebSocketDisconnected):
            self.bridge.call(self.websocket.ensure_closed, code, reason)

    def wait_closed(self) -> None:
        """Return when the connection has ended, whoever ended it."""
        refuse_in_coroutine("wait_closed()", "await websocket.wait_closed()")
        with suppress(WebSocketDisconnected):
            self.bridge.call_beside(self.websocket.wait_closed)

    # The two primitives

    def receive_event(self, timeout: float | None = None) -> Event:
        """Return the next ASGI message, a disconnect included.

        Raises `WebSocketDisconnected` after the end, `TimeoutError` if nothing comes within
        `timeout` seconds.
        """
        refuse_in_coroutine("receive_event()", "await websocket.receive_event()")
        return self.bridge.take(timeout)

    def send_event(self, event: Event) -> None:
        """Send an ASGI message. Raises what `WebSocket.send_event` raises."""
        refuse_in_coroutine("send_event()", "await websocket.send_event(...)")
        is_message = event["type"] == "websocket.send"
        if is_message and (event.get("text") is None) != (event.get("bytes") is None):
            self.bridge.send(dict(event))
        else:
            self.bridge.call(self.websocket.send_event, event)
