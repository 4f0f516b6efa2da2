"""Reads ahead for a handler that does not receive, so that somebody sees the client leave."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from .servers import Event, Receive

MAX_SIZE: Final = 1024 * 1024
"""Characters and bytes that are read ahead, or one message if that is more."""


class Reader:
    """What was read ahead of one connection, in order, and the task that reads.

    The task reads until as much was read as may be, or until the handler receives again, which
    waits for what the task is waiting for: no `receive` of the server is ever cancelled.
    """

    __slots__ = (
        "_arrived",
        "_has_failed",
        "_is_bounded",
        "_items",
        "_keeps",
        "_limit",
        "_receive",
        "_size",
        "_task",
        "_waiter",
        "_wanted",
        "dropped",
        "full_since",
    )

    def __init__(
        self,
        receive: Receive,
        arrived: Callable[[Event, float], bool],
        limit: int,
        *,
        is_bounded: bool = True,
    ) -> None:
        """`arrived` is told of each event, with when it was asked for; False drops it.

        Without `is_bounded` all is read, and what is over the limit only noted.
        """
        self._receive = receive
        self._arrived = arrived
        self._limit = limit
        self._items: deque[Event | Exception] = deque()
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = False
        self._keeps = True
        self._has_failed = False
        self._is_bounded = is_bounded
        self.dropped = 0
        """Messages that were not kept."""
        self.full_since: float | None = None
        """The steady time since when too much is read, nothing being taken; None while it is."""

    def start(self, context: contextvars.Context | None = None) -> None:
        """Read, from now on, until the handler receives."""
        self._wanted = True
        if self._is_full:
            self._note_full()
        if not (self._has_failed or self.is_running or (self._is_full and self._is_bounded)):
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), name="bolt_ws reader", context=context)
            self._task.add_done_callback(self._ended)

    def drop_messages(self) -> None:
        """Keep none of the messages: nobody is going to receive."""
        self._keeps = False
        kept = [each for each in self._items if not _is_message(each)]
        self.dropped += len(self._items) - len(kept)
        self._items, self._size, self.full_since = deque(kept), 0, None

    @property
    def has_items(self) -> bool:
        """Whether something was read that the handler has not received."""
        return bool(self._items)

    @property
    def unread(self) -> int:
        """How much was read that the handler has not received."""
        return len(self._items)

    @property
    def is_at_end(self) -> bool:
        """Whether the next that is received is no message."""
        return bool(self._items) and not _is_message(self._items[0])

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to take, and nobody reads."""
        return not self._items and not self.is_running

    @property
    def is_running(self) -> bool:
        """Whether it reads."""
        return self._task is not None and not self._task.done()

    @property
    def _is_full(self) -> bool:
        return len(self._items) >= self._limit or self._size >= MAX_SIZE

    def _note_full(self) -> None:
        if self.full_since is None:
            self.full_since = monotonic()

    async def _run(self) -> None:
        has_put = False
        while self._wanted or not has_put:  # who receives waits for what passes
            asked_at = monotonic()
            try:
                event = await self._receive()
            except Exception as error:  # for whoever receives
                self._has_failed = True
                self._put(error)
                return
            if self._arrived(event, asked_at):
                if self._keeps or not _is_message(event):
                    self._put(event)
                    has_put = True
                else:
                    self.dropped += 1
            if event["type"] != "websocket.receive":
                return
            if self._is_full:
                self._note_full()
                if self._is_bounded:
                    return

    def _put(self, item: Event | Exception) -> None:
        self._items.append(item)
        self._size += _size_of(item)
        self._wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Event:
        """Return the next event: ASGI's `receive`, for the handler."""
        self._wanted = False
        self.full_since = None
        while not self._items:
            if not self.is_running:  # it was cancelled, or has failed
                asked_at = monotonic()
                event = await self._receive()
                if self._arrived(event, asked_at):
                    return event
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def take(self) -> Event:
        """Return the next event that was read. Raises what the server's `receive` has raised."""
        item = self._items.popleft()
        self._size -= _size_of(item)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Read no more: the connection has ended."""
        self._wanted = False
        task, self._task = self._task, None  # its traceback will refer back
        if task is not None and not task.done():
            with suppress(RuntimeError):  # the loop is closed
                task.cancel()


def _is_message(item: Event | Exception) -> bool:
    return not isinstance(item, Exception) and item["type"] == "websocket.receive"


def _size_of(item: Event | Exception) -> int:
    if isinstance(item, Exception):
        return 0
    return len(item.get("text") or item.get("bytes") or "")
