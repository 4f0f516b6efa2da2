"""What comes in from the event loop for the threads that use a connection."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import close_old_connections

from .exceptions import WebSocketDisconnect, WebSocketDisconnected
from .lending import waiting
from .reader import MAX_SIZE
from .servers import Event
from .states import CloseCode, WebSocketState
from .websocket import WebSocket

LONG_WAIT = 30.0
"""Seconds without a message after which the thread's database connections may be stale."""


class _Last:
    """What a reader leaves behind: an event, an exception, or None if it was cancelled."""

    __slots__ = ("item",)

    def __init__(self, item: Event | BaseException | None) -> None:
        self.item = item


class Incoming:
    """The queue of what has come in, and the task that fills it."""

    def __init__(self, websocket: WebSocket, loop: asyncio.AbstractEventLoop) -> None:
        self.websocket = websocket
        self.is_over = False
        """No call can be answered any more: `abandon` was called."""
        self._loop = loop
        self._is_ahead = False
        self._incoming: queue.SimpleQueue[Event | _Last] = queue.SimpleQueue()
        # Characters and bytes: one side is the loop's, the other a thread's.
        self._put_size = self._taken_size = 0
        self._receiving = threading.Lock()
        self._reader: asyncio.Task[Event] | None = None
        self._is_reading = False  # until the receiving thread has seen what the reader left
        self._has_ended_reading = False
        self._paused: asyncio.Future[None] | None = None

    # For threads

    def take(self, timeout: float | None = None) -> Event:
        """Return the next event, a disconnect included.

        Raises `TimeoutError` after `timeout` seconds, `WebSocketDisconnected` after the end.
        """
        if not self._receiving.acquire(blocking=False):
            raise RuntimeError('Cannot "receive": another thread is receiving on this connection')
        try:
            if self.is_over or self.websocket.application_state is WebSocketState.DISCONNECTED:
                raise self._disconnected("receive")
            if not self._is_reading:
                has_left = self.websocket.client_state is WebSocketState.DISCONNECTED
                if has_left and not self.websocket.has_unread:
                    raise self._disconnected("receive")
                self._is_reading, self._has_ended_reading = True, False
                self._schedule(self._start_reading)
            if self._incoming.empty():
                with waiting():
                    item = self._wait(timeout)
            else:
                item = self._incoming.get()
            if not isinstance(item, _Last):
                self._taken_size += _size_of(item)
            paused = self._paused  # after the sizes: `_read` looks at them once it has set this
            if paused is not None and self._is_half_empty:
                self._paused = None
                self._schedule(_wake, paused)
            return self._open_last(item) if isinstance(item, _Last) else item
        finally:
            self._receiving.release()

    @property
    def has_unread(self) -> bool:
        """Whether messages have come that no thread has taken yet."""
        return self._incoming.qsize() > self._has_ended_reading

    def _wait(self, timeout: float | None) -> Event | _Last:
        started = time.monotonic()
        try:
            return self._incoming.get(timeout=None if timeout is None else max(0.0, timeout))
        except queue.Empty:
            if not self._is_ahead:  # the next message is for who receives next, maybe a coroutine
                self._schedule(self._stop_reading)
                item = self._incoming.get()
                if not isinstance(item, _Last) or item.item is not None or self.is_over:
                    return item
                self._is_reading = False
            raise TimeoutError(f"no message came within {timeout} seconds") from None
        finally:
            if time.monotonic() - started > LONG_WAIT:
                close_old_connections()

    def _open_last(self, last: _Last) -> Event:
        self._is_reading = False
        item = last.item
        if isinstance(item, BaseException) and not isinstance(item, WebSocketDisconnect):
            raise item
        if item is None or isinstance(item, BaseException):
            raise self._disconnected("receive")
        return item

    # For the loop

    def _start_reading(self) -> None:
        self._reader = self._loop.create_task(self._read())
        self._reader.add_done_callback(self._end_reading)

    async def _read(self) -> Event:
        incoming = self._incoming
        while True:
            event = await self.websocket.receive_event()
            if not self._is_ahead or event["type"] != "websocket.receive":
                return event
            self._put_size += _size_of(event)
            incoming.put(event)
            if self._is_full:
                self._paused = paused = self._loop.create_future()
                if self._is_full:
                    await paused

    @property
    def _is_full(self) -> bool:
        size = self._put_size - self._taken_size
        return self._incoming.qsize() >= self.websocket.read_ahead_limit or size >= MAX_SIZE

    @property
    def _is_half_empty(self) -> bool:
        size = self._put_size - self._taken_size
        return self._incoming.qsize() <= self.websocket.read_ahead_limit // 2 and size < MAX_SIZE

    def _end_reading(self, reader: asyncio.Task[Event]) -> None:
        # Here, and not at the end of `_read`: a task cancelled before its first step has no end.
        if self._reader is reader:
            self._reader = None  # the traceback of its exception refers back
        cancelled = reader.cancelled()
        self._incoming.put(_Last(None if cancelled else reader.exception() or reader.result()))
        self._has_ended_reading = True

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    # For any thread, the loop's too

    def abandon(self) -> None:
        """Let nobody wait any longer: calls raise `WebSocketDisconnected`."""
        self.is_over = True
        self._incoming.put(_Last(None))

    def _schedule(self, callback: Callable[..., object], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed
            self.abandon()
            raise self._disconnected("use") from None

    def _disconnected(self, action: str) -> WebSocketDisconnected:
        websocket = self.websocket
        code = websocket.close_code or CloseCode.SERVICE_RESTART
        return WebSocketDisconnected(
            code, websocket.close_reason, websocket=websocket, action=action
        )


def _size_of(event: Event) -> int:
    return len(event.get("text") or event.get("bytes") or "")


def _wake(paused: asyncio.Future[None]) -> None:
    if not paused.done():
        paused.set_result(None)
