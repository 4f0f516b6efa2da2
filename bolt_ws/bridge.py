"""Between a connection's event loop and the threads that use it: a queue each way.

A message costs no wake-up of its own: who is busy on the other side finds it when it looks next.
Measured, one echo through 1 and through 200 connections: 108 and 64 us, where the same run with
`run_coroutine_threadsafe` for each call took 220 and 129, and a bare hop to a thread and back 80.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from .exceptions import WebSocketDisconnect
from .incoming import Incoming
from .lending import waiting
from .servers import Event
from .states import WebSocketState
from .websocket import WebSocket

P = ParamSpec("P")
R = TypeVar("R")

SEND_AHEAD = 64
"""Messages that may wait for the server; then a send blocks."""

_inside: ContextVar[frozenset[int]] = ContextVar("_inside", default=frozenset())
"""The bridges that are making a call, as seen by what runs in the course of it."""


class _Call:
    """A coroutine function that a thread wants the loop to await, and where its result goes."""

    __slots__ = ("function", "future")

    def __init__(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.function = function
        self.future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    async def run(self) -> None:
        try:
            result = await self.function()
        except Exception as error:
            self.fail(error)
        else:
            with suppress(concurrent.futures.InvalidStateError):  # it was given up
                self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        with suppress(concurrent.futures.InvalidStateError):
            self.future.set_exception(error)


async def _nothing() -> None:
    pass


class Bridge(Incoming):
    """One connection's two queues.

    While its handler has a thread (between `begin` and `finish`) it works ahead: messages are read
    before they are asked for, and a send does not wait for the server. Else, in a callback of an
    endpoint for instance, each call is finished when it returns.
    """

    def __init__(self, websocket: WebSocket, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(websocket, loop)
        self.error: Exception | None = None
        """What a send that did not wait has raised since. The next call raises it."""
        self._lock = threading.Lock()
        self._outgoing: deque[Event | _Call] = deque()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._writer: asyncio.Task[None] | None = None
        self._is_writing = False
        self._calls: set[_Call] = set()

    # For threads

    def call(
        self, function: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Have the loop await `function`, after all that was sent before, and return its result."""
        # A callback that our queue waits for does not queue.
        is_inside = id(self) in _inside.get()
        result: R = self._result_of(functools.partial(function, *args, **kwargs), now=is_inside)
        return result

    def call_beside(self, function: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Have the loop await `function`, beside all else, and return its result."""
        result: R = self._result_of(function, now=True)
        return result

    def _result_of(self, function: Callable[[], Coroutine[Any, Any, Any]], *, now: bool) -> Any:
        self._raise_error()
        call = _Call(function)
        with self._lock:
            if self.is_over:
                raise self._disconnected("use")
            self._calls.add(call)
        try:
            with waiting():
                if now:
                    self._schedule(self._call_now, call)
                else:
                    self._queue(call)
                return call.future.result()
        finally:
            with self._lock:
                self._calls.discard(call)

    def send(self, event: Event) -> None:
        """Send a well-formed `websocket.send`; wait for the server only if the queue is full."""
        state = self.websocket.state
        if state is WebSocketState.CONNECTED and self._is_ahead and id(self) not in _inside.get():
            if self.error is not None:
                self._raise_error()
            with waiting():
                self._queue(event)
        elif state is WebSocketState.DISCONNECTED:  # known now, even while a close is on its way
            raise self._disconnected("send")
        else:  # it may have to accept first, or fail
            self.call(self.websocket.send_event, event)

    def take(self, timeout: float | None = None) -> Event:
        """Return the next event, as `Incoming.take` does."""
        if self.error is not None:
            self._raise_error()
        return super().take(timeout)

    def _queue(self, item: Event | _Call) -> None:
        with self._lock:
            while len(self._outgoing) >= SEND_AHEAD and not self.is_over:
                self._waiting += 1
                self._room.wait()
                self._waiting -= 1
            if self.is_over:
                raise self._disconnected("send")
            self._outgoing.append(item)
            if self._is_writing:
                return
            self._is_writing = True
        self._schedule(self._start_writing)

    def _raise_error(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    # For any thread, the loop's too

    def abandon(self) -> None:
        """Let nobody wait any longer: calls raise `WebSocketDisconnected`. What was sent stays."""
        with self._lock:
            super().abandon()
            self._room.notify_all()
            calls = list(self._calls)
        for call in calls:
            call.fail(self._disconnected("use"))

    # For the loop

    def begin(self) -> None:
        """Work ahead: the handler's thread starts."""
        self._is_ahead = True

    async def flush(self) -> None:
        """Return when all that was sent before has been handed to the server."""
        marker = _Call(_nothing)
        with self._lock:
            if not self._is_writing:
                return
            self._outgoing.append(marker)
        await asyncio.wrap_future(marker.future)

    async def finish(self, *, has_ended: bool = True) -> None:
        """Stop what works ahead: the handler's thread has ended, or else it is given up."""
        self._is_ahead = False
        tasks = [self._reader, self._writer if self.is_over else None]
        pending = [task for task in tasks if task is not None and not task.done()]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=1)
        if has_ended:
            self.is_over = False  # an `on_close` callback may still have something to say

    def _call_now(self, call: _Call) -> None:
        task = self._loop.create_task(call.run())
        task.add_done_callback(lambda task: call.fail(self._disconnected("use")))  # if cancelled

    def _start_writing(self) -> None:
        self._writer = self._loop.create_task(self._write())
        self._writer.add_done_callback(self._end_writing)

    async def _write(self) -> None:
        outgoing, send = self._outgoing, self.websocket.send_event
        while True:
            try:
                item = outgoing.popleft()
            except IndexError:
                with self._lock:
                    if not outgoing:
                        self._is_writing = False
                        return
                continue
            if self._waiting and len(outgoing) <= SEND_AHEAD // 2:
                with self._lock:
                    self._room.notify_all()
            if isinstance(item, _Call):
                _inside.set(_inside.get() | {id(self)})
                await item.run()
                continue
            try:
                await send(item)
            except WebSocketDisconnect:
                self._stop_reading()  # it need not have noticed
            except Exception as error:
                self.error = error

    def _end_writing(self, writer: asyncio.Task[None]) -> None:
        if self._writer is writer:
            self._writer = None
        if writer.cancelled():  # the server shuts down
            self.abandon()
            with self._lock:
                left, self._is_writing = list(self._outgoing), False
                self._outgoing.clear()
            for item in left:
                if isinstance(item, _Call):
                    item.fail(self._disconnected("use"))
