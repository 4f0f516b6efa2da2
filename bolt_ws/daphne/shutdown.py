"""The end of a server: every handler is told, every client gets a close frame, in time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ..conf import Settings, get_settings
from .logs import server_logger

if TYPE_CHECKING:
    from .connection import Connection
    from .server import Server


async def shut_down(server: Server) -> None:
    """End all connections: batch by batch, so that not all clients come back at once.

    What has not ended after `DAPHNE_SHUTDOWN_TIMEOUT` is dropped.
    """
    settings = get_settings()
    left, requests = server.websockets, _cancel_requests(server)
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.daphne_shutdown_timeout):
            if left:
                server_logger.info("Closing %d WebSocket connections", len(left))
                await _stop_in_batches(list(left), settings)
                await server.all_left.wait()
            if requests:
                await asyncio.wait(requests)
    if left:
        server_logger.warning("Dropped %d WebSocket connections that did not end", len(left))
    for connection in list(left):
        _try(connection.drop)


def _cancel_requests(server: Server) -> list[asyncio.Future[None]]:
    """Cancel what answers HTTP requests, as Daphne does."""
    applications = [
        details["application_instance"]
        for details in server.connections.values()
        if "application_instance" in details
    ]
    for application in applications:
        application.cancel()
    return applications


async def _stop_in_batches(connections: list[Connection], settings: Settings) -> None:
    size = settings.daphne_shutdown_batch
    batches = [connections[at : at + size] for at in range(0, len(connections), size)]
    # However many there are, half of the time is left for them to end.
    longest = settings.daphne_shutdown_timeout / 2 / max(1, len(batches))
    pause = min(settings.daphne_shutdown_pause, longest)
    for number, batch in enumerate(batches):
        if number and pause:
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
        for connection in batch:
            _try(connection.stop)


def _try(end: Callable[[], None]) -> None:
    try:
        end()
    except Exception:  # the others are to end as well
        server_logger.exception("Exception while a WebSocket connection was ended")
