"""What the asynchronous test clients of one event loop share while one of them is in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async

from ..lending import call_with_lent, lender
from ..rooms.hubs import say_farewell
from . import database
from .database import DatabaseLender, Turn, Turnwise, connections_here
from .layers import clean_layers, close_pools
from .server_end import attributing


class Environment:
    """The test's database, made visible, and channel layers that are cleaned."""

    def __init__(self) -> None:
        self.lends: DatabaseLender | None = None
        self._users = 0
        self._is_open = False
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._left_in_layers: list[str] = []

    async def open(self) -> None:
        """Count a user in."""
        self._users += 1
        try:
            async with self._lock:
                if not self._is_open:
                    await self._begin()
                    self._is_open = True
        except BaseException:
            self._users -= 1
            if not self._users:
                await self._undo()
            raise

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._left_in_layers = self._stack.enter_context(clean_layers())
        self._stack.enter_context(attributing(loop))
        if database.SHARES:
            self.lends = await self._stack.enter_async_context(_shared_database(loop))
        self._stack.push_async_callback(close_pools)
        self._stack.push_async_callback(say_farewell)

    async def close(self) -> list[str]:
        """Count a user out, and return what the last one finds left behind."""
        self._users -= 1
        return [] if self._users else await self._undo()

    async def _undo(self) -> list[str]:
        async with self._lock:
            if self._users:  # somebody has come meanwhile
                return []
            self._is_open, self.lends = False, None
            try:
                await self._stack.aclose()
            finally:
                if not self._users:
                    _environments.pop(asyncio.get_running_loop(), None)
        return self._left_in_layers


_environments: WeakKeyDictionary[asyncio.AbstractEventLoop, Environment] = WeakKeyDictionary()


async def open_environment() -> Environment:
    """Return those of the running loop, which count one user more."""
    loop = asyncio.get_running_loop()
    environment = _environments.get(loop)
    if environment is None:
        environment = _environments[loop] = Environment()
    await environment.open()
    return environment


@asynccontextmanager
async def _shared_database(loop: asyncio.AbstractEventLoop) -> AsyncIterator[DatabaseLender]:
    """Share the connections of the thread that holds the test's transaction."""
    current = getattr(AsyncToSync.executors, "current", None) or (
        AsyncToSync.loop_thread_executors.get(loop)
    )
    if current is None:  # pytest-asyncio and its like: the loop runs in the test's thread
        with connections_lent_to_django() as lends:
            yield lends
        return
    # Django's TestCase runs its coroutines with `async_to_sync`: synchronous code comes back to
    # the test's thread by itself, and has only to take its turn.
    turn = Turn()

    def around(work: Callable[[], Any]) -> Any:
        turn.take()
        try:
            return work()
        finally:
            turn.leave()

    those = await sync_to_async(connections_here)()
    turnwise: Any = Turnwise(current, around)
    with database.shared(those):
        AsyncToSync.executors.current = turnwise
        AsyncToSync.loop_thread_executors[loop] = turnwise
        try:
            yield DatabaseLender(those, turn)
        finally:
            AsyncToSync.executors.current = current
            AsyncToSync.loop_thread_executors[loop] = current


_lending_to_django: list[DatabaseLender] = []


@contextmanager
def connections_lent_to_django() -> Iterator[DatabaseLender]:
    """Lend this thread's connections to the one thread where Django's synchronous code runs.

    Where that is done already, by a fixture around the test, nothing is changed.
    """
    if _lending_to_django:
        yield _lending_to_django[0]
        return
    those = connections_here()
    lends = DatabaseLender(those, Turn())

    def around(work: Callable[[], Any]) -> Any:
        token = lender.set(lends)
        try:
            return call_with_lent(work)
        finally:
            lender.reset(token)

    before = SyncToAsync.single_thread_executor
    with database.shared(those):
        SyncToAsync.single_thread_executor = Turnwise(before, around)  # type: ignore[assignment]
        _lending_to_django.append(lends)
        try:
            yield lends
        finally:
            _lending_to_django.clear()
            SyncToAsync.single_thread_executor = before
