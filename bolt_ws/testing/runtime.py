"""An event loop in a thread of its own, and the test's thread that waits for it.

While the test's thread waits, it runs what Django wants run in "the" synchronous thread, so that
the ORM calls of an application, and of async code in it, use the connections of the test.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, SyncToAsync

from . import database
from .database import DatabaseLender, Turn, connections_here
from .layers import Layers, clean_layers, end_layers
from .server_end import attributing
from .stacks import LeftBehind, stack_of_thread

R = TypeVar("R")

PATIENCE = 2.0
"""Seconds after which a loop that does not answer is taken to be blocked."""
TURN_PATIENCE = 5.0
"""Seconds that the test's thread waits to have its database connections back."""


class _Work:
    """A call that the event loop wants made in the test's thread."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.future: Future[Any] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def give_up(self) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(RuntimeError("the test client was closed"))


class _TestThread(Executor):
    """Has work done by the thread that waits in `Runtime.run`."""

    def __init__(self, inbox: queue.SimpleQueue[Any]) -> None:
        self._inbox = inbox
        self.is_closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        work = _Work(lambda: fn(*args, **kwargs))
        if self.is_closed:
            work.give_up()
        else:
            self._inbox.put(work)
        return work.future


class Runtime:
    """The loop that all synchronous clients of one thread share while one of them is open."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.lends: DatabaseLender | None = None
        self.is_blocked = False
        self._layers: Layers
        self._left_in_layers: list[str] = []
        self._users = 0
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._executor = _TestThread(self._inbox)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping: asyncio.Event
        self._thread = threading.Thread(target=self._serve, name="bolt_ws-testing", daemon=True)
        self._stack = ExitStack()

    # The loop's thread

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        with attributing(self._loop):
            self._started.set_result(self._loop)
            await self._stopping.wait()
            self._left_in_layers = await end_layers(self._layers)

    # The test's thread

    def open(self) -> None:
        """Count a client in."""
        self._users += 1
        if self._users > 1:
            return
        # Here and not in the loop's thread, which might stand still when it is to be undone.
        self._layers = self._stack.enter_context(clean_layers())
        self._thread.start()
        loop = self._started.result()
        if database.SHARES:
            those = connections_here()
            self._stack.enter_context(database.shared(those))
            self.lends = DatabaseLender(those, self.turn)
            self.turn.take()
            AsyncToSync.loop_thread_executors[loop] = self._executor  # type: ignore[assignment]
            self._stack.callback(AsyncToSync.loop_thread_executors.pop, loop, None)
            self._stack.enter_context(_loop_for_async_to_sync(loop))

    def close(self) -> list[str]:
        """Count a client out, and return what the last one finds left behind."""
        self._users -= 1
        if self._users:
            return []
        _local.runtime = None
        self.turn.leave()
        self._executor.is_closed = True
        self._loop.call_soon_threadsafe(self._stopping.set)
        while True:  # what is cancelled now may still want something done
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, _Work):
                item.give_up()
        self._thread.join(PATIENCE)
        self._stack.close()
        if self._thread.is_alive():
            return [f"the event loop, which stands still here:\n{self._where_the_loop_is()}"]
        return self._left_in_layers

    def run(self, coroutine: Coroutine[Any, Any, R], *, is_patient: bool = False) -> R:
        """Have the loop await `coroutine`, do the work of this thread meanwhile, return its result.

        Raises `LeftBehind` if the loop stands still, unless `is_patient`.
        """
        if self.is_blocked:
            coroutine.close()
            raise self._blocked()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise RuntimeError(
                "TestClient blocks, and a coroutine called it: use AsyncTestClient there"
            )
        done: Future[asyncio.Task[R]] = Future()

        def start() -> None:
            task = self._loop.create_task(coroutine)
            done.set_result(task)
            task.add_done_callback(self._inbox.put)

        self._loop.call_soon_threadsafe(start)
        self.turn.leave()
        try:
            self._work_until(done, is_patient)
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: done.result().cancel())
            raise
        finally:
            if database.SHARES:
                self._take_back()
        return done.result().result()

    def _work_until(self, done: Future[asyncio.Task[Any]], is_patient: bool) -> None:
        asked: threading.Event | None = None
        while True:
            try:
                item = self._inbox.get(timeout=None if is_patient else PATIENCE / 2)
            except queue.Empty:
                if asked is not None and not asked.is_set():
                    self.is_blocked = True
                    raise self._blocked() from None
                asked = threading.Event()
                self._loop.call_soon_threadsafe(asked.set)
                continue
            if not isinstance(item, _Work):
                if done.done() and item is done.result():
                    return
                continue  # the task of a wait that was interrupted
            if database.SHARES:
                try:
                    self._take_back()
                except LeftBehind:
                    item.give_up()
                    raise
            item.run()
            self.turn.leave()

    def _take_back(self) -> None:
        try:
            self.turn.take(TURN_PATIENCE)
        except TimeoutError:
            raise LeftBehind(
                f"A blocking handler has used the database for {TURN_PATIENCE:g} s without "
                "waiting for its client, and the test wants to go on. It stands here:\n"
                f"{stack_of_thread(self.turn.owner)}"
            ) from None

    def _blocked(self) -> LeftBehind:
        return LeftBehind(
            f"The event loop stands still: for {PATIENCE:g} s, a coroutine has blocked it here "
            "(await instead, or make the handler a plain function, which gets a thread):\n"
            f"{self._where_the_loop_is()}"
        )

    def _where_the_loop_is(self) -> str:
        return stack_of_thread(self._thread.ident)


@contextmanager
def _loop_for_async_to_sync(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have `async_to_sync` in this thread use `loop`, which the clients' connections live in.

    An in-memory channel layer for instance does not cross from one loop to another.
    """
    local = SyncToAsync.threadlocal
    before = {
        name: getattr(local, name, None) for name in ("main_event_loop", "main_event_loop_pid")
    }
    local.main_event_loop, local.main_event_loop_pid = loop, os.getpid()
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(local, name, value)


class _Local(threading.local):
    runtime: Runtime | None = None


_local = _Local()


def runtime_here() -> Runtime:
    """Return this thread's runtime, a new one where no client is open."""
    if _local.runtime is None:
        _local.runtime = Runtime()
    return _local.runtime
