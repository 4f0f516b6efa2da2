"""A Django response as the answer to a handshake (ASGI, "Websocket Denial Response")."""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.http.response import HttpResponseBase

from .servers import Event, Send


async def send_response(response: HttpResponseBase, send: Send) -> None:
    """Send any Django response, a streaming one included, as `websocket.http.response` events."""

    async def as_denial(event: Event) -> None:
        kind = f"websocket.{event['type']}"
        # uvicorn wants a body in each, where ASGI does not.
        empty = {"body": b""} if kind.endswith(".body") else {}
        await send({**empty, **event, "type": kind})

    # Django's own way from a response to ASGI events; it uses nothing of the handler's state, and
    # making a handler would load all middleware.
    handler: Any = ASGIHandler.__new__(ASGIHandler)
    await handler.send_response(response, as_denial)
