"""What a connection hears from others: the callbacks of `@endpoint.on` and `@endpoint.on_gap`."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from .admission import Arguments
from .endings import how_to_end, is_quiet, note_quiet
from .exceptions import Refusal
from .metrics import figures
from .plan import GAP, Call
from .registry import Departure
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

CLEANUP_TIMEOUT: Final = 5.0
"""Seconds that a callback has to end which is cancelled."""

Heard = tuple[Call, Arguments, dict[str, Any]]


class Hearing:
    """Calls the callbacks of one connection, one after the other, in a task while there are some.

    An exception in one ends the connection as it would in the handler.
    """

    __slots__ = ("_callbacks", "_context", "_is_over", "_leave", "_queue", "_task", "_websocket")

    def __init__(
        self,
        websocket: WebSocket,
        callbacks: Sequence[tuple[str, Call, Arguments]],
        leave: Callable[[Departure], None],
    ) -> None:
        self._websocket = websocket
        self._callbacks = callbacks
        self._leave = leave
        self._queue: deque[Heard] | None = None
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context() if callbacks else None
        self._is_over = False

    # What others do with the connection (`member.Owner`)

    def expel(self, code: int, reason: str) -> None:
        """Start to close the connection."""
        self._leave(Departure(code, reason, Refusal(401, "disconnected", reason)))

    def hear(self, room: str, message: Mapping[str, Any]) -> bool:
        """Have the callbacks for the message's type called. Return False if there is none."""
        kind = str(message.get("type"))
        if all(name != kind for name, _, _ in self._callbacks):
            return False
        self._call_for(kind, {"event": copy.deepcopy(message), "room": room})
        return True

    def hear_gap(self, rooms: tuple[str, ...]) -> None:
        """Have the callbacks for lost messages called."""
        self._call_for(GAP, {"rooms": rooms})

    def _call_for(self, kind: str, given: dict[str, Any]) -> None:
        for name, call, arguments in self._callbacks:
            if name == kind:
                self._add((call, arguments, given))

    def _add(self, heard: Heard) -> None:
        if self._is_over:
            return
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        policy = self._websocket.outbox_policy
        if len(queue) >= policy.limit:
            policy.dropped += 1
            if policy.overflow == "close":
                self._finish()
                self.expel(1013, "hearing too slowly")
                return
            if policy.overflow == "drop_newest":
                return
            queue.popleft()
        queue.append(heard)
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(queue), context=self._context)
            self._task.add_done_callback(self._ended, context=self._context)

    async def _run(self, queue: deque[Heard]) -> None:
        while queue:
            call, arguments, given = queue.popleft()
            await call.run(self._websocket, arguments, **given)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        error = None if task.cancelled() else task.exception()
        if error is None or self._is_over:
            return
        self._finish()
        websocket = self._websocket
        ending = how_to_end(error, websocket)
        if is_quiet(error, websocket) or ending.is_raised_on:
            note_quiet(websocket.scope, error)
        if ending.is_raised_on:
            logger.error("Exception in a callback of a connection", exc_info=error)
            figures.note_error(websocket.log_fields.endpoint or "")
        self._leave(Departure(ending.code, ending.reason, ending.refusal))

    def _finish(self) -> None:
        self._is_over = True
        if self._queue is not None:
            self._queue.clear()

    def stop(self) -> asyncio.Task[None] | None:
        """Hear no more. Return the task that is being cancelled, if one runs."""
        self._finish()
        task = self._task
        if task is not None:
            with suppress(RuntimeError):  # the loop is closed
                task.cancel()
        return task

    async def end(self) -> None:
        """Hear no more, and wait for a callback that is being cancelled."""
        task = self.stop()
        if task is not None:
            await asyncio.wait([task], timeout=CLEANUP_TIMEOUT)
