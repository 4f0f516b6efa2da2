"""An event loop in a thread of its own, and the test's thread that waits for it.

While the test's thread waits, it runs what Django wants run in "the" synchronous thread, so that
the ORM calls of an application, and of async code in it, use the connections of the test.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, SyncToAsync

from ..rooms.hubs import say_farewell
from . import database
from .database import DatabaseLender, Turn, connections_here
from .layers import clean_layers, close_pools
from .server_end import attributing
from .stacks import LeftBehind, stack_of_thread
from .work import WaitingThread, Work

__tracebackhide__ = True  # pytest shows the test's line and the handler's

R = TypeVar("R")

PATIENCE = 2.0
"""Seconds after which a loop that does not answer is taken to be blocked."""
TURN_PATIENCE = 5.0
"""Seconds that the test's thread waits at least to have its database connections back."""


class Runtime:
    """The loop that all synchronous clients of one thread share while one of them is open."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.lends: DatabaseLender | None = None
        self.is_blocked = False
        self.is_closed = False
        self._users = 0
        self._owner = threading.current_thread()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._executor = WaitingThread(self._inbox)
        self._loop: asyncio.AbstractEventLoop
        self._stopping = asyncio.Event()
        self._death: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="bolt_ws-testing", daemon=True)
        self._stack = ExitStack()
        self._left_in_layers: list[str] = []

    # The loop's thread

    def _serve(self) -> None:
        # By hand: asyncio.run() would wait for the threads of the loop's executor.
        loop = self._loop
        try:
            try:
                loop.run_until_complete(self._main())
            except BaseException as error:
                if self.is_closed:
                    raise
                self._death = error
            with suppress(SystemExit, KeyboardInterrupt):
                loop.run_until_complete(_end_tasks())
                loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            self._inbox.put(None)  # wakes the test's thread, should it wait

    async def _main(self) -> None:
        await self._stopping.wait()
        await say_farewell()
        await close_pools()

    # The test's thread

    def open(self) -> None:
        """Count a client in."""
        if not self._users:
            try:
                self._begin()
            except BaseException:
                self._undo()
                raise
        self._users += 1

    def _begin(self) -> None:
        # Here and not in the loop's thread, which might stand still when it is to be undone.
        self._left_in_layers = self._stack.enter_context(clean_layers())
        those = connections_here()
        if database.SHARES:
            self._stack.enter_context(database.shared(those))
            self.lends = DatabaseLender(those, self.turn)
        self._loop = loop = asyncio.new_event_loop()
        self._stack.enter_context(attributing(loop))
        if database.SHARES:
            self.turn.take()
            AsyncToSync.loop_thread_executors[loop] = self._executor  # type: ignore[assignment]
            self._stack.callback(AsyncToSync.loop_thread_executors.pop, loop, None)
            self._stack.enter_context(_loop_for_async_to_sync(loop))
        contextvars.Context().run(self._thread.start)

    def close(self) -> list[str]:
        """Count a client out, and return what the last one finds left behind."""
        self._users -= 1
        return [] if self._users else self._undo()

    def _undo(self) -> list[str]:
        """Give back whatever was changed, also where the loop is dead or stands still."""
        self.is_closed = True
        if _local.runtime is self:
            _local.runtime = None
        self.turn.leave()
        try:
            if self._thread.ident is not None:  # it was started
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._stopping.set)
                self._executor.close()
                self._thread.join(PATIENCE)
            elif hasattr(self, "_loop"):
                self._loop.close()
        finally:
            self._stack.close()
        if self._thread.is_alive():
            return [f"the event loop, which stands still here:\n{self._where_the_loop_is()}"]
        return self._left_in_layers

    def run(self, coroutine: Coroutine[Any, Any, R], patience: float | None = PATIENCE) -> R:
        """Have the loop await `coroutine`, do the work of this thread meanwhile, return its result.

        Raises `LeftBehind` if the loop stands still, or a handler's thread does not give the
        database back; `patience` is that of the operation, in seconds, and None waits for ever.
        """
        try:
            self._check()
        except BaseException:
            coroutine.close()
            raise
        done: Future[asyncio.Task[R]] = Future()

        def start() -> None:
            task = self._loop.create_task(coroutine)
            done.set_result(task)
            task.add_done_callback(self._note_end)

        # What the test has in its context, asgiref's executors for instance, is not the
        # application's.
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(start, context=contextvars.Context())
        self.turn.leave()
        try:
            self._work_until(done, patience)
        except BaseException:
            try:
                self._loop.call_soon_threadsafe(lambda: done.result().cancel())
            except RuntimeError:  # the loop is closed
                coroutine.close()
            raise
        finally:
            if database.SHARES:
                self._take_back(patience)
        return done.result().result()

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved, for the wait may have been interrupted
        self._inbox.put(task)

    def _check(self) -> None:
        """Raise an exception if nothing can be waited for, here or at all."""
        if self.is_closed:
            raise RuntimeError("the client of this session was closed")
        if not self._thread.is_alive():
            raise self._dead()
        if threading.get_ident() != self._owner.ident:
            raise RuntimeError(
                f"a session belongs to the thread {self._owner.name!r}, and "
                f"{threading.current_thread().name!r} used it: open a client in each thread"
            )
        if self.is_blocked:
            raise self._blocked()
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "TestClient blocks, and a coroutine called it: use AsyncTestClient there"
            )

    def _work_until(self, done: Future[asyncio.Task[Any]], patience: float | None) -> None:
        asked: threading.Event | None = None
        while True:
            if self._death is not None:
                raise self._dead()
            # Not by the item that says so: work may wait for another session, and take it.
            if done.done() and done.result().done():
                return
            try:
                item = self._inbox.get(timeout=None if patience is None else PATIENCE / 2)
            except queue.Empty:
                if asked is not None and not asked.is_set():
                    self.is_blocked = True
                    raise self._blocked() from None
                asked = threading.Event()
                with suppress(RuntimeError):  # the loop is closed, and has said so
                    self._loop.call_soon_threadsafe(asked.set)
                continue
            if isinstance(item, Work):
                self._do(item, patience)

    def _do(self, work: Work, patience: float | None) -> None:
        if database.SHARES:
            try:
                self._take_back(patience)
            except LeftBehind:
                work.give_up()
                raise
        self._executor.do(work)
        self.turn.leave()

    def _take_back(self, patience: float | None) -> None:
        seconds = None if patience is None else max(TURN_PATIENCE, patience)
        try:
            self.turn.take(seconds)
        except TimeoutError:
            raise LeftBehind(
                f"A blocking handler has used the database for {seconds:g} s without "
                "waiting for its client, and the test wants to go on. It stands here:\n"
                f"{stack_of_thread(self.turn.owner)}"
            ) from None

    def _blocked(self) -> LeftBehind:
        return LeftBehind(
            f"The event loop stands still: for {PATIENCE:g} s, a coroutine has blocked it here. (A "
            "call that blocks: await instead, or make the handler a plain function, which gets a "
            "thread. Or a loop that never waits: one that catches WebSocketDisconnect, and goes "
            "on.)\n"
            f"{self._where_the_loop_is()}"
        )

    def _dead(self) -> RuntimeError:
        self._thread.join(PATIENCE)  # which still ends its tasks
        error = RuntimeError(f"the event loop has ended: a task raised {self._death!r}")
        error.__cause__ = self._death
        return error

    def _where_the_loop_is(self) -> str:
        return stack_of_thread(self._thread.ident)


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:  # for ever: who took one away that goes on would run it where it does no good
        await asyncio.wait(tasks)


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


def open_runtime() -> Runtime:
    """Return this thread's runtime, which counts one client more."""
    here = _local.runtime
    if here is None or here.is_closed:
        here = _local.runtime = Runtime()
    here.open()
    return here
