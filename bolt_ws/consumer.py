"""Endpoint -> Channels consumer: the life of a connection, from top to bottom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer
from channels.layers import get_channel_layer

from .admission import Admission, log_refusal
from .endings import NORMAL_ENDING, Ending, how_to_end
from .exceptions import WebSocketDisconnect
from .handshake import Scope
from .servers import Receive, Send
from .states import WebSocketState
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

CLOSE_TIMEOUT = 2.0
"""Seconds that a close may wait for a server with a slow client."""


class BoltConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels has no types
    """A compiled endpoint. Its handler runs in the consumer's own task.

    A Channels consumer on the outside (`as_asgi`, `scope`, `send`, `channel_layer_alias`), but one
    that leaves `receive` to its handler instead of dispatching each message: Channels' dispatch
    costs some 100 us a message, most of it a hop to the one database thread.
    """

    handler: ClassVar[Callable[..., Awaitable[Any]]]
    admission: ClassVar[Admission]
    endpoint_name: ClassVar[str]
    path: ClassVar[str]

    scope: Scope
    channel_layer: Any = None
    channel_name: str | None = None
    websocket: WebSocket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI specification, "WebSocket")."""
        self.scope = dict(scope)  # a copy: authentication takes tokens out of it
        self.base_send = send
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        self.websocket = websocket = WebSocket.after_connect(self.scope, receive, send)
        try:
            positional, named = await self.admission.admit(websocket)
            # Awaited here and in no task or method of its own: each would cost every message.
            await type(self).handler(*positional, **named)
        except (Exception, asyncio.CancelledError) as error:
            ending = how_to_end(error, websocket)
            await self._finish(ending)
            if ending.is_raised_on:
                raise
        else:
            await self._finish(NORMAL_ENDING)

    async def _finish(self, ending: Ending) -> None:
        """End the connection, unless it has ended: close it, or refuse it where not accepted."""
        websocket = self.websocket
        if websocket.state is WebSocketState.CONNECTING:
            log_refusal(websocket.path, self.endpoint_name, ending.refusal)
            await self._end(websocket.refuse(ending.refusal))
        elif websocket.state is WebSocketState.CONNECTED:
            if ending.note:
                logger.info("%s (%s): %s", self.path, self.endpoint_name, ending.note)
            await self._end(websocket.close(ending.code, ending.reason))
        elif websocket.state is WebSocketState.RESPONSE:  # one that the handler left unfinished
            await self._end(websocket.send_event({"type": "websocket.http.response.body"}))

    async def _end(self, last_message: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await last_message
        except (WebSocketDisconnect, TimeoutError):
            pass  # nobody is left to be told

    async def open_channel(self) -> str:
        """Return `channel_name`, made now unless it was made before.

        Raises `RuntimeError` if the project has no such channel layer.
        """
        if self.channel_name is None:
            self.channel_layer = get_channel_layer(self.channel_layer_alias)
            if self.channel_layer is None:
                raise RuntimeError(
                    f"settings.CHANNEL_LAYERS has no {self.channel_layer_alias!r} layer"
                )
            self.channel_name = await self.channel_layer.new_channel()
        return self.channel_name


def compile_consumer(
    handler: Callable[..., Awaitable[Any]], admission: Admission, *, name: str, path: str
) -> type[BoltConsumer]:
    """Return a consumer class that runs `handler`, named and documented like it."""
    attributes = {
        "handler": staticmethod(handler),
        "admission": admission,
        "endpoint_name": name,
        "path": path,
        "__doc__": handler.__doc__,
        "__module__": getattr(handler, "__module__", __name__),
        "__qualname__": getattr(handler, "__qualname__", name),
    }
    return type(getattr(handler, "__name__", name), (BoltConsumer,), attributes)
