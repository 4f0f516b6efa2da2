"""The threads that query for connections, and the database connections that these threads keep.

Django's synchronous code runs in one thread of the process, where one slow query holds up all
others. With `BOLT_WS["DB_THREADS"]` there are so many threads in its place, and each WebSocket
keeps to one of them. A database connection belongs to its thread for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import inspect
import logging
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext
from django.db import connections

from .conf import get_settings
from .lending import lender

logger = logging.getLogger("bolt_ws")

CLOSE_EVERY = 30.0
"""Seconds between two looks for stale database connections."""
GRACE = 2.0
"""Seconds that queries have to end when the process exits."""
CAN_CHOOSE_THREADS: Final = "executor" in inspect.signature(ThreadSensitiveContext).parameters
"""Whether asgiref lets others say where thread-sensitive code runs, as it does since 3.13."""


class DatabaseThread(Executor):
    """One thread that does one call after the other, and starts at its first.

    Daemonic, as those of a `ThreadPoolExecutor` are not: a query that hangs must not keep the
    process from exiting.
    """

    def __init__(self) -> None:
        self.assignments: set[Assignment] = set()
        """The connections that keep to this thread."""
        self.context = ThreadSensitiveContext(executor=self)
        contextvars.Context().run(_enter, self.context)
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @property
    def is_started(self) -> bool:
        """Whether anything was ever done in it."""
        return self._thread is not None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` called after all that was submitted before.

        Raises `RuntimeError` if the system has no thread left, and in this very thread, which would
        wait for itself: a synchronous function has run an event loop of its own.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "A call to the database thread from within it would deadlock: what runs there has "
                "an event loop of its own, of asyncio.run() say"
            )
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="bolt_ws-database", daemon=True)
                contextvars.Context().run(thread.start)  # it belongs to no connection
                self._thread = thread
        future: Future[Any] = Future()
        self._calls.put((future, functools.partial(fn, *args, **kwargs)))
        return future

    def _work(self) -> None:
        while True:
            _do(*self._calls.get())  # and nothing is kept while waiting for the next


def _do(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # as any executor: it is raised where the call was made
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        del future, call  # an error's traceback holds this frame


def _enter(context: ThreadSensitiveContext) -> None:
    """Bind a context to its executor, for good: it waits for nothing, and is never left.

    So a task that outlives its connection (one that a handler left behind, or one of a channel
    layer) queries on in the same thread. asgiref has it fail once the context is left.
    """
    with suppress(StopIteration):
        context.__aenter__().send(None)  # type: ignore[no-untyped-call]


class Assignment:
    """The database thread of one connection, from now on until `end`."""

    __slots__ = ("_thread", "_token")

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        # Sets, and no counter and lock: the garbage collector may end a coroutine in any thread.
        thread.assignments.add(self)
        self._token = SyncToAsync.thread_sensitive_context.set(thread.context)

    def end(self) -> None:
        """Let go of the thread. What the connection's task does after this is not the connection's.

        Waits for nothing, and may be called where the event loop is gone.
        """
        self._thread.assignments.discard(self)
        with suppress(ValueError):  # the garbage collector has a context of its own
            SyncToAsync.thread_sensitive_context.reset(self._token)


_threads: list[DatabaseThread] = []


def assign_thread() -> Assignment | None:
    """Have thread-sensitive code of the running task, and of its children, run in one thread.

    It is the one with the fewest connections of `BOLT_WS["DB_THREADS"]`. Returns None, and changes
    nothing, where that is not set, where asgiref cannot, and in a test whose transaction is seen in
    one thread only.
    """
    count = get_settings().db_threads
    if count is None or not CAN_CHOOSE_THREADS or lender.get() is not None or _is_of_a_test():
        return None
    while len(_threads) < count:
        _threads.append(DatabaseThread())
    return Assignment(min(_threads[:count], key=lambda thread: len(thread.assignments)))


def _is_of_a_test() -> bool:
    """Whether a thread waits for the loop and does its synchronous code, as under a `TestCase`."""
    return asyncio.get_running_loop() in AsyncToSync.loop_thread_executors


_looked_at = -math.inf
_closing: WeakKeyDictionary[Executor, Future[None]] = WeakKeyDictionary()


def look(now: float) -> None:
    """Have stale database connections closed in their threads, if it is time for that.

    To be called in an event loop, about once a second, with the seconds of a clock that never
    jumps. What a thread has not come to since the last time, behind a slow query, it is not told
    again. No thread is started.
    """
    global _looked_at
    if now - _looked_at < CLOSE_EVERY or _is_of_a_test() or not _has_databases():
        return
    _looked_at = now
    for thread in _started_threads():
        before = _closing.get(thread)
        if before is None or before.done():
            with suppress(RuntimeError):  # the process exits
                _closing[thread] = thread.submit(_close_stale_connections)


def _has_databases() -> bool:
    engines = {each["ENGINE"] for each in connections.settings.values()}
    return bool(engines - {"django.db.backends.dummy"})


def _started_threads() -> Iterator[Executor]:
    # A test that lends its connections has put something else in the place of the pool.
    if getattr(SyncToAsync.single_thread_executor, "_threads", ()):
        yield SyncToAsync.single_thread_executor
    yield from [each for each in _threads if each.is_started]


def _close_stale_connections() -> None:
    """Close those of this thread that are broken, or older than `CONN_MAX_AGE`.

    Where that is 0, which means the end of a request, there is no such end: somebody may be reading
    rows of one, between two calls, and it stays for as long as it works.
    """
    for connection in connections.all(initialized_only=True):
        # Somebody may hold a transaction between two calls.
        is_auto = connection.autocommit == connection.settings_dict["AUTOCOMMIT"]
        if connection.in_atomic_block or not (is_auto or connection.errors_occurred):
            continue
        try:
            if connection.settings_dict["CONN_MAX_AGE"] != 0:
                connection.close_if_unusable_or_obsolete()
            elif connection.connection is not None and not connection.is_usable():
                connection.close()
        except Exception:
            logger.exception("A database connection did not close")


def _say_goodbye() -> None:
    """Let queries end that nobody waits for any more: the last save of a cancelled handler."""
    last = [each.submit(lambda: None) for each in _threads if each.is_started]
    wait(last, GRACE)


def _forget() -> None:
    global _looked_at
    _threads.clear()  # threads do not survive a fork
    _closing.clear()
    _looked_at = -math.inf


atexit.register(_say_goodbye)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
