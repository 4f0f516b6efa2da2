"""A bridge to no event loop: what `BlockingWebSocket.fake` is made of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

from .bridge import Bridge
from .websocket import WebSocket


class OfflineBridge(Bridge):
    """Runs what it is to schedule at once, in the caller's thread, and an event loop of its own.

    Each time in a new one: none stays open, whatever becomes of the connection.
    """

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket, cast("asyncio.AbstractEventLoop", None))  # see `_schedule`
        self._running = threading.Lock()  # by one thread at a time

    def _schedule(self, callback: Callable[..., object], *args: Any) -> None:
        with self._running, asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            self._loop = runner.get_loop()
            runner.run(_complete(callback, args))


async def _complete(callback: Callable[..., object], args: tuple[Any, ...]) -> None:
    callback(*args)
    if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(tasks)
