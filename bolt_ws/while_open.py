"""What goes on only while a connection is open."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .read_ahead import ReadAhead


class WhileOpen:
    """`async with WhileOpen(websocket)`: the block is cancelled when the connection ends.

    It raises `WebSocketDisconnect` then. Whoever notices the end in the block itself is told there,
    and not cancelled.
    """

    __slots__ = ("_before", "_has_cancelled", "_task", "_websocket")

    def __init__(self, websocket: ReadAhead) -> None:
        self._websocket = websocket
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._has_cancelled = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._before = 0 if self._task is None else self._task.cancelling()
        self._websocket.at_end(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._has_cancelled = True
            self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._websocket.not_at_end(self._cancel)
        task, self._task = self._task, None
        if task is None or not self._has_cancelled:
            return
        is_only_ours = task.uncancel() <= self._before
        if is_only_ours and (error is None or isinstance(error, asyncio.CancelledError)):
            raise self._websocket._disconnect() from None
