"""One set of database connections for a test and for all that runs in its course.

A test's rows stand in a transaction that is rolled back at its end. Only the connection that holds
the transaction sees them, so all code of an application works on that one, in turns: in the thread
of the test, which runs Django's synchronous code while it waits for a client, and in the threads
of blocking handlers, which are lent it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

SHARES = True
"""Whether anything is shared at all. Switched off to show what it is good for."""

TURN_TIMEOUT = 60.0
"""Seconds that a handler's thread waits for its turn."""

Connections = Mapping[str, BaseDatabaseWrapper]


class Turn:
    """Who uses the connections now: one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    @property
    def owner(self) -> int | None:
        """The thread whose turn it is."""
        return self._owner

    @property
    def is_mine(self) -> bool:
        """Whether it is this thread's turn."""
        return self._owner == threading.get_ident()

    def take(self, timeout: float | None = TURN_TIMEOUT) -> None:
        """Wait for this thread's turn. Raises `TimeoutError` after `timeout` seconds."""
        if self.is_mine:
            return
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError(
                f"another thread has used the test's database connections for {timeout:g} s; "
                "a test lets a handler's thread have them while it waits for a client"
            )
        self._owner = threading.get_ident()

    def leave(self) -> None:
        """Let others have their turn, if this is ours."""
        if self.is_mine:
            self._owner = None
            self._lock.release()


class Lent:
    """A test's connection in a handler's thread: whatever is done with it waits for its turn.

    A thread closes its connections at its end, and old ones before. This one is not its to close.
    """

    __slots__ = ("__weakref__", "_connection", "_turn")

    def __init__(self, connection: BaseDatabaseWrapper, turn: Turn) -> None:
        object.__setattr__(self, "_connection", connection)
        object.__setattr__(self, "_turn", turn)

    def __getattr__(self, name: str) -> Any:
        self._turn.take()
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._turn.take()
        setattr(self._connection, name, value)

    def close(self) -> None:
        """Do nothing."""

    def close_if_unusable_or_obsolete(self) -> None:
        """Do nothing."""


class DatabaseLender:
    """Lends the connections of a test's thread (`bolt_ws.lending.Lender`)."""

    def __init__(self, shared: Connections, turn: Turn) -> None:
        self._shared = shared
        self._turn = turn
        self._borrowers: set[int] = set()

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Have this thread use the test's connections, in turns with others."""
        own = {each.alias: each for each in connections.all(initialized_only=True)}
        for alias, connection in self._shared.items():
            connections[alias] = Lent(connection, self._turn)  # type: ignore[assignment]
        self._borrowers.add(threading.get_ident())
        try:
            yield
        finally:
            self._borrowers.discard(threading.get_ident())
            for alias in self._shared:
                if alias in own:
                    connections[alias] = own[alias]
                else:
                    del connections[alias]
            self._turn.leave()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Let others have their turn: this thread waits for somebody."""
        was_mine = self._turn.is_mine
        self._turn.leave()
        try:
            yield
        finally:
            # What is lent takes its turn again when it is used; the test's own connections do not.
            if was_mine and threading.get_ident() not in self._borrowers:
                self._turn.take()


class Turnwise(Executor):
    """Runs each piece of work of another executor in its turn."""

    def __init__(self, inner: Executor, around: Callable[[Callable[[], Any]], Any]) -> None:
        self._inner = inner
        self._around = around

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` with `inner`."""
        return self._inner.submit(self._around, lambda: fn(*args, **kwargs))


def connections_here() -> Connections:
    """Return the connections of this thread, made but not necessarily connected.

    In a coroutine too: Django has others there, one set for each task, and they are not meant.
    Raises `RuntimeError` in a thread that is lent its connections.
    """
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        those = {alias: connections[alias] for alias in connections}
    finally:
        asyncio._set_running_loop(loop)
    if any(isinstance(each, Lent) for each in those.values()):
        raise RuntimeError(
            "a test client was opened in a thread that another client runs, a handler's for "
            "instance: open it in the test itself"
        )
    return those


@contextmanager
def shared(those: Connections) -> Iterator[None]:
    """Let other threads use `those`, and have them survive whoever closes them meanwhile.

    Django closes old connections around synchronous code, those in a transaction too.
    """
    # Clients of both kinds may nest: what is shared already is given back by the outer one.
    given = [each for each in those.values() if each.close is not _stay]
    for connection in those.values():
        connection.inc_thread_sharing()
    for connection in given:
        for name in _CLOSING:
            setattr(connection, name, _stay)
    try:
        yield
    finally:
        for connection in those.values():
            connection.dec_thread_sharing()
        for connection in given:
            for name in _CLOSING:
                delattr(connection, name)


_CLOSING = ("close", "close_if_unusable_or_obsolete")


def _stay() -> None:
    pass
