"""Ticks of the upkeep that a test can wait for, and connections whose reader it looks at."""

from __future__ import annotations

import asyncio
from typing import Any

from bolt_ws import WebSocket
from bolt_ws.ticker import ticker_of
from tests.support import TIMEOUT


async def ticks(count: int = 3) -> None:
    """Return when the upkeep has looked at all connections `count` times."""
    ticker = ticker_of(asyncio.get_running_loop())
    done = asyncio.Event()
    seen = 0

    def look() -> None:
        nonlocal seen
        seen += 1
        if seen > count:  # what is added last is called last
            done.set()

    ticker.add(look)
    try:
        await asyncio.wait_for(done.wait(), TIMEOUT)
    finally:
        ticker.discard(look)


def is_bare(websocket: WebSocket) -> bool:
    """Tell whether receiving costs what it costs without a reader."""
    own = (websocket._server_receive, getattr(websocket, "_receive_bound", None))
    return websocket._receive in own


def reader_tasks() -> list[asyncio.Task[Any]]:
    """Return the tasks in this event loop that read ahead."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "bolt_ws reader"]
