"""ASGI applications as endpoints: consumers, `WebSocketClose(...)`, anything of three arguments."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from .endpoint import Endpoint, Handler
from .exceptions import DeclarationError
from .servers import Event
from .states import WebSocketState
from .websocket import WebSocket

DISCONNECTED = WebSocketState.DISCONNECTED
_MESSAGE = "websocket.receive"
_CONNECT: Event = {"type": "websocket.connect"}


def is_asgi(endpoint: Any) -> bool:
    """Tell whether `endpoint` is an ASGI application and not a handler.

    Raises `DeclarationError` for a class that is no Channels consumer.
    """
    if isinstance(endpoint, Endpoint):
        return False
    if hasattr(endpoint, "as_asgi"):
        return True
    if isinstance(endpoint, type):
        raise DeclarationError(
            f"{endpoint.__name__} is a class: an endpoint is a function, an ASGI application or a "
            "Channels consumer"
        )
    try:
        parameters = list(inspect.signature(endpoint, follow_wrapped=False).parameters)
    except (TypeError, ValueError):
        return False
    return parameters == ["scope", "receive", "send"]


def as_handler(application: Any) -> Handler:
    """Return a handler that has an ASGI application serve the connection.

    The application sees the scope after authentication, and its messages pass the state machine.
    """
    if hasattr(application, "as_asgi"):
        application = application.as_asgi()
    serve: Callable[..., Awaitable[Any]] = application

    async def handler(websocket: WebSocket) -> None:
        pending = [_CONNECT]

        async def receive() -> Event:
            if pending:
                return dict(pending.pop())
            event = await websocket.receive_raw()
            # After a close that is not its own, an expired token's say, messages are not for it.
            while websocket.application_state is DISCONNECTED and event["type"] == _MESSAGE:
                event = await websocket.receive_raw()
            return event

        async def send(event: Event) -> None:
            # Daphne ignores what comes after the client has gone, and consumers rely on it.
            if websocket.client_state is not DISCONNECTED:
                await websocket.send_event(event)

        await serve(websocket.scope, receive, send)

    name = getattr(application, "__name__", type(application).__name__)
    handler.__name__ = handler.__qualname__ = name
    handler.__doc__ = application.__doc__
    return handler
