"""What the tests of connections that must go have in common: who is there, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bolt_ws import WebSocket, ticker, upkeep
from bolt_ws.auth import Authentication, Identity
from bolt_ws.registry import registry
from tests.support import TIMEOUT, Connection


class Clock:
    """The time as the upkeep sees it: `forward` sets it forward, or back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.steady = 0.0
        monkeypatch.setattr(ticker, "TICK", 0.005)
        monkeypatch.setattr(upkeep, "wall_clock", lambda: time.time() + self.wall)
        monkeypatch.setattr(upkeep, "steady_clock", lambda: time.monotonic() + self.steady)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


class Named(Authentication):
    """Whoever comes is the user that `?user=` names; `expires_in` seconds from now, if given."""

    def __init__(self, expires_in: float | None = None) -> None:
        self.expires_in = expires_in

    async def authenticate(self, websocket: Any) -> Identity | None:
        user_id = websocket.query_params.get("user")
        expires_at = None if self.expires_in is None else time.time() + self.expires_in
        return None if user_id is None else Identity(user_id, expires_at=expires_at)


async def listen(websocket: WebSocket) -> None:
    """A handler that waits for its client."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        pass


async def opened(application: Any, path: str = "/", **scope: Any) -> Connection:
    """Return a connection that has been accepted."""
    connection = Connection(application, path, **scope)
    assert (await connection.next())["type"] == "websocket.accept"
    return connection


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


def nothing_left() -> Iterator[None]:
    """See that a test leaves no connection in the registry, nor in the upkeep."""
    assert len(registry) == 0
    yield
    assert len(registry) == 0
    assert [each for each in upkeep._upkeeps.values() if each.cares] == []
