"""The threads of blocking handlers: a bounded pool, one thread for the life of a connection.

Neither the one thread that all of Django's thread-sensitive code shares nor the event loop's
default executor: a handler that waits for messages would keep either from everybody else.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import itertools
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.db import connections

from .blocking import BlockingWebSocket
from .conf import get_settings
from .exceptions import Refusal
from .lending import call_with_lent
from .redaction import shown

logger = logging.getLogger("bolt_ws")

GRACE = 2.0
"""Seconds that a cancelled handler has to end, and that all have when the process exits."""


class _Job:
    """One run of a handler in a thread. `ended` is set at its end, `outcome` tells the loop."""

    def __init__(self, function: Callable[[], Any], twin: BlockingWebSocket) -> None:
        self.twin = twin
        self.ended = threading.Event()
        self.thread: int | None = None
        self.context = contextvars.copy_context()
        self._function = function
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[tuple[Any, BaseException | None]] = self._loop.create_future()

    def run(self) -> tuple[Any, BaseException | None]:
        self.thread = threading.get_ident()
        try:
            return self.context.run(call_with_lent, self._function), None
        except Exception as error:
            return None, error
        except BaseException as error:  # sys.exit() ends the handler and not the server
            failure = RuntimeError(f"a blocking handler raised {error!r}")
            failure.__cause__ = error
            return None, failure
        finally:
            try:
                connections.close_all()  # so that the thread's next handler finds no old ones
            except Exception:
                extra = self.twin.websocket.log_fields.as_extra()
                logger.exception("A database connection did not close", extra=extra)

    def report(self, outcome: tuple[Any, BaseException | None]) -> None:
        self.ended.set()
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._set, outcome)

    def _set(self, outcome: tuple[Any, BaseException | None]) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class _Worker:
    """A thread, and what it is to do next."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Slot, _Job]] = queue.SimpleQueue()
        # Daemonic, for a handler that hangs must not keep the process from exiting. `_say_goodbye`
        # waits for one that is about to end.
        self._thread = threading.Thread(
            target=self._work, name=f"bolt_ws-{next(self._numbers)}", daemon=True
        )
        contextvars.Context().run(self._thread.start)  # it belongs to no connection

    def start(self, slot: Slot, job: _Job) -> None:
        self._orders.put((slot, job))

    def stack(self) -> str:
        """Return where the thread stands."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame else ""

    def _work(self) -> None:
        while True:
            self._run(*self._orders.get())  # and nothing is kept while waiting for the next

    def _run(self, slot: Slot, job: _Job) -> None:
        outcome = job.run()
        slot.end(job)
        job.report(outcome)


class _Pool:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[_Worker] = deque()
        self._started = 0
        self.jobs: set[_Job] = set()

    @property
    def _taken(self) -> int:
        return self._started - len(self._idle)

    def take(self) -> _Worker:
        with self._lock:
            if self._taken >= get_settings().sync_threads:
                raise _too_many()
            if self._idle:
                return self._idle.pop()
            self._started += 1
        try:
            return _Worker()
        except RuntimeError:  # the system has no thread left
            with self._lock:
                self._started -= 1
            raise _too_many() from None

    def give_back(self, worker: _Worker) -> None:
        """Have a worker for the next handler.

        Waits for no lock: the garbage collector ends a coroutine whose loop is gone, in any
        thread and wherever that is, in `take` for instance.
        """
        self._idle.append(worker)


def _too_many() -> Refusal:
    return Refusal(
        503, "too_many_connections", "Too many connections, try again", {"Retry-After": "1"}
    )


class Slot:
    """A place in the pool: one thread, until `release`."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._worker = pool.take()
        self._held = [self._worker]  # until it is given back: who pops it does that
        self._job: _Job | None = None
        self._is_released = False

    async def run(
        self,
        function: Callable[..., Any],
        positional: Sequence[Any],
        named: Mapping[str, Any],
        twin: BlockingWebSocket,
    ) -> Any:
        """Call a handler in the thread and return what it returns, all that it sent being sent.

        When cancelled, all that waits in `twin` is told so, and the handler has `GRACE` seconds to
        end.
        """
        worker, bridge = self._worker, twin.bridge
        can_wait = True
        job = self._job = _Job(lambda: function(*positional, **named), twin)
        self._pool.jobs.add(job)
        bridge.begin()
        worker.start(self, job)
        try:
            await asyncio.wait([job.outcome])
            await bridge.flush()
        except GeneratorExit:  # the loop is gone, and nothing can be awaited
            can_wait = False
            bridge.abandon()
            raise
        except asyncio.CancelledError:
            bridge.abandon()
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await asyncio.wait([job.outcome])
                    await bridge.flush()
            if not job.outcome.done():
                logger.warning(
                    "%s runs on, %g s after its connection %s was cancelled. Its thread is one of "
                    'BOLT_WS["SYNC_THREADS"] and stands here:\n%s',
                    getattr(function, "__qualname__", function),
                    GRACE,
                    ascii(shown(twin.path)),
                    worker.stack(),
                )
            raise
        finally:
            if can_wait:
                await bridge.finish(has_ended=job.outcome.done())
        result, error = job.outcome.result()
        if error is None:
            error = bridge.error
        if error is None:
            return result
        try:
            raise error
        finally:
            del error, job  # they hold this very frame

    def release(self) -> None:
        """Give the place back: now, or as soon as the handler has ended."""
        self._is_released = True
        self._free()

    def end(self, job: _Job) -> None:
        """Note in the thread that the handler has ended."""
        self._pool.jobs.discard(job)
        self._job = None
        self._free()

    def _free(self) -> None:
        # No lock, as in `give_back`. Of two threads, the later one sees what both have set.
        if self._is_released and self._job is None:
            with suppress(IndexError):
                self._pool.give_back(self._held.pop())


_pool = _Pool()


def reserve() -> Slot:
    """Return a place for a blocking handler, to be released.

    Raises a `Refusal` with 503 where `BOLT_WS["SYNC_THREADS"]` handlers run already.
    """
    return Slot(_pool)


def running() -> list[tuple[contextvars.Context, int | None]]:
    """Return the context and the thread of each handler that runs."""
    return [(job.context, job.thread) for job in list(_pool.jobs)]


def _say_goodbye() -> None:
    deadline = time.monotonic() + GRACE
    jobs = list(_pool.jobs)
    for job in jobs:
        job.twin.bridge.abandon()
    for job in jobs:
        job.ended.wait(max(0.0, deadline - time.monotonic()))


def _forget() -> None:
    global _pool
    _pool = _Pool()  # threads do not survive a fork


atexit.register(_say_goodbye)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
