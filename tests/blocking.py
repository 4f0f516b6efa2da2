"""A blocking handler as tests drive it: run in a thread, with both ends of its connection."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bolt_ws.blocking import twin_of
from bolt_ws.threads import reserve
from bolt_ws.websocket import WebSocket

SOON = 10.0
"""Seconds that no wait of these tests takes."""


class Client:
    """A connection as `WebSocket` and its twin have it, and the client's end of it."""

    def __init__(self, scope: dict[str, Any] | None = None, **options: Any) -> None:
        scope = {"type": "websocket", "path": "/ws", "headers": [], **(scope or {})}
        self.inbound: asyncio.Queue[Any] = asyncio.Queue()
        self.outbound: asyncio.Queue[Any] = asyncio.Queue()
        self.gate = asyncio.Event()
        """The server takes no message while it is not set."""
        self.gate.set()
        self.error: Exception | None = None
        """What the server raises for each message."""
        options = {"auto_accept": None, **options}
        self.websocket = WebSocket(scope, self.inbound.get, self._send, **options)
        self.websocket.serve_for(None)  # type: ignore[arg-type]
        self.websocket.admit()
        self.twin = twin_of(self.websocket)

    async def _send(self, event: Any) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.outbound.put_nowait(event)

    def says(self, *contents: str | bytes) -> None:
        for content in contents:
            key = "text" if isinstance(content, str) else "bytes"
            self.inbound.put_nowait({"type": "websocket.receive", key: content})

    def leaves(self, code: int = 1000) -> None:
        self.inbound.put_nowait({"type": "websocket.disconnect", "code": code})

    async def hears(self) -> Any:
        """The next event that the server was given; text and bytes as they are."""
        event = await soon(self.outbound.get())
        if event["type"] != "websocket.send":
            return event
        return event["text"] if "text" in event else event["bytes"]

    async def accepted(self) -> None:
        assert (await self.hears())["type"] == "websocket.accept"

    def run(self, handler: Callable[..., Any], *args: Any, **named: Any) -> asyncio.Task[Any]:
        """Run a handler with the twin, as a consumer does."""

        async def serve() -> Any:
            slot = reserve()
            try:
                return await slot.run(handler, [self.twin, *args], named, self.twin)
            finally:
                slot.release()

        return asyncio.create_task(serve())


async def soon(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(SOON):
        return await awaitable


async def seen(event: threading.Event) -> None:
    """Wait for a thread's event without stopping the loop."""
    assert await soon(asyncio.to_thread(event.wait, SOON))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells, giving way to threads."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def until_in_thread(condition: Callable[[], object]) -> None:
    """The same, for a handler."""
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
