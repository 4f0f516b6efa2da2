"""The application that Autobahn's test suite talks to: an echo in nothing but ASGI."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

import django
from django.conf import settings

BOLT_WS: dict[str, Any] = {"DAPHNE": os.environ.get("TEST_DAPHNE", "complete")}
if os.environ.get("TEST_DAPHNE_DEFLATE"):
    BOLT_WS["DAPHNE_DEFLATE"] = True

settings.configure(SECRET_KEY="conformance" * 5, INSTALLED_APPS=["bolt_ws"], BOLT_WS=BOLT_WS)
django.setup()

if BOLT_WS["DAPHNE"] == "complete":
    from bolt_ws.daphne import install

    install()


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Send each message back, as text or as bytes."""
    if scope["type"] != "websocket":
        raise ValueError(f"expected a websocket, got {scope['type']}")
    await receive()
    # A server may say with OSError that the client is gone.
    with contextlib.suppress(OSError):
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            text, data = event.get("text"), event.get("bytes")
            await send({"type": "websocket.send", "text": text, "bytes": data})
