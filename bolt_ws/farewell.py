"""The end of what an endpoint has to say to a connection: its `on_close` callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from .admission import Arguments
from .endings import bounded
from .plan import Call, Plan
from .rooms.envelopes import as_event
from .websocket import WebSocket

CLEANUP_TIMEOUT: Final = 5.0
"""Seconds that one callback may take."""


class Farewell:
    """The `on_close` callbacks of one connection. They run once, whoever ends it and how often."""

    __slots__ = ("_due", "_parting", "_plan", "_websocket")

    def __init__(self, websocket: WebSocket, plan: Plan, arguments: Sequence[Arguments]) -> None:
        self._websocket = websocket
        self._plan = plan
        self._due: list[tuple[Call, Arguments]] = list(zip(plan.on_close, arguments, strict=True))
        self._parting: asyncio.Future[None] | None = None
        websocket.before_close(self.say)

    async def say(self, code: int, reason: str) -> None:
        """Run the callbacks; what they return is sent if the client is there."""
        if self._parting is not None:  # another task closes: its callbacks go first
            await asyncio.shield(self._parting)
            return
        self._websocket.before_close(None)  # a callback that closes does not wait for itself
        self._parting = asyncio.get_running_loop().create_future()
        due, self._due = self._due, []
        cancelled = False
        try:
            where = ("on_close", self._plan.path, self._plan.name)
            for call, arguments in due:
                step = self._call(call, arguments, code, reason)
                try:
                    await bounded(step, CLEANUP_TIMEOUT, where, self._websocket.scope)
                except asyncio.CancelledError:  # interrupts one callback and skips no other
                    cancelled = True
        finally:
            self._parting.set_result(None)
        if cancelled:
            raise asyncio.CancelledError

    async def _call(self, call: Call, arguments: Arguments, code: int, reason: str) -> None:
        last = await call.run(self._websocket, arguments, code=code, reason=reason)
        if last is not None and self._websocket.is_open:
            await self._websocket.send_event(as_event(last))
