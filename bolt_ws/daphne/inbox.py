"""Messages on their way to the application. Reading stops while it lags behind."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from .writer import Writer

Event = dict[str, Any]

MAX_MESSAGES: Final = 64
"""Messages read ahead of the application."""
MAX_SIZE: Final = 256 * 1024
"""Characters and bytes of them."""
MAX_HELD: Final = 64 * 1024
"""Bytes read and not looked at, while the application answers or accepts."""


class Inbox(Writer):
    """What has been read, and who waits for it."""

    __slots__ = (
        "_has_begun",
        "_is_answering",
        "_is_paused",
        "_pending",
        "_queue",
        "_queue_size",
        "_waiters",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._pending = b""
        """Read and not looked at."""
        self._has_begun = False
        """The application has got `websocket.connect`."""
        self._queue: deque[str | bytes] = deque()
        self._queue_size = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._is_paused = False
        self._is_answering = False
        """The application has taken a message and not asked for another."""

    def _deliver(self, message: str | bytes) -> None:
        if not self._can_send:
            return  # the application has closed: it reads no more
        self._queue.append(message)
        self._queue_size += len(message)
        if self._waiters:
            self._wake_receiver()

    def _wake_receiver(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    async def receive(self) -> Event:
        """Return the next event: ASGI's `receive`."""
        if not self._has_begun:
            self._has_begun = True
            return self._begin()
        if self._queue:
            await self._take_turns()
        while not self._queue:
            self._is_answering = False
            if self._pending:
                self._read_on()
            if self._is_paused and not self._is_lagging():
                self._resume_reading()
            if not self._queue:
                ended = self._end_event()
                if ended is not None:
                    await self._take_turns()
                    return ended
                await self._arrival()
        return self._take()

    async def _arrival(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif self._queue:  # it was woken, and another may take what it does not
                self._wake_receiver()
            raise

    def _take(self) -> Event:
        message = self._queue.popleft()
        self._queue_size -= len(message)
        self._is_answering = True
        if self._pending:
            self._read_on()
        if (
            self._is_paused
            and len(self._queue) <= MAX_MESSAGES // 2
            and self._queue_size <= MAX_SIZE // 2
            and len(self._pending) <= MAX_HELD
        ):
            self._resume_reading()
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    def _begin(self) -> Event:
        """Return `websocket.connect`."""
        raise NotImplementedError

    def _read_on(self) -> None:
        """Look at what is pending: the application has taken a message, or answered."""
        raise NotImplementedError

    def _end_event(self) -> Event | None:
        """Return `websocket.disconnect`, once the connection has ended."""
        raise NotImplementedError

    def _forget_read(self) -> None:
        self._queue.clear()
        self._queue_size = 0

    def _is_lagging(self) -> bool:
        return (
            len(self._queue) > MAX_MESSAGES
            or self._queue_size > MAX_SIZE
            or len(self._pending) > MAX_HELD
        )

    def _pause_reading(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
