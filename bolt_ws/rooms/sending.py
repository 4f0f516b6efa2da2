"""Sending to rooms, users, paths and endpoints: from an event loop, and from any thread."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync, async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction

from ..exceptions import RoomUnavailable
from ..lending import waiting
from .hub import Hub
from .hubs import hubs_on
from .layers import Layer, get_layer, is_local
from .names import SHARED
from .publisher import Publisher

R = TypeVar("R")


# In an event loop


async def send_to_group(group: str, message: Mapping[str, Any]) -> None:
    """Send to a room. Raises `RoomUnavailable` if the channel layer fails for too long."""
    layer = get_layer()
    hub = _hub_for(layer)
    if hub is None:
        await _publisher_here(layer).publish(group, message)
    elif hub.loop is asyncio.get_running_loop():
        await hub.publish(group, message)
    else:  # a layer in memory: its queues wake nobody in another thread
        there = asyncio.run_coroutine_threadsafe(hub.publish(group, message), hub.loop)
        await asyncio.wrap_future(there)


async def send_to_key(key: str, message: Mapping[str, Any]) -> None:
    """Send to all connections of a user, a path or an endpoint.

    Raises `RoomUnavailable` if the channel layer fails for too long.
    """
    layer = get_layer()
    if not is_local(layer):
        await send_to_processes(layer, {**message, "to": key})
        return
    here = asyncio.get_running_loop()
    for hub in hubs_on(layer):
        if hub.loop is here:
            await hub.intake.deliver_to(key, message)
        else:
            hub.loop.call_soon_threadsafe(hub.intake.post_to, key, message)


async def send_to_processes(layer: Layer, message: Mapping[str, Any]) -> None:
    """Send to all processes that have connections."""
    hub = _hub_for(layer)
    publisher = _publisher_here(layer) if hub is None else hub.publisher
    try:
        await publisher.publish(SHARED, message)
    except RoomUnavailable as error:
        to = message.get("to", "all processes")
        raise RoomUnavailable(
            f"The channel layer fails, and has not taken a message for {to!r}"
        ) from error.__cause__


def _hub_for(layer: Layer) -> Hub | None:
    hubs = hubs_on(layer)
    here = asyncio.get_running_loop()
    for hub in hubs:
        if hub.loop is here:
            return hub
    if is_local(layer):
        return next((hub for hub in hubs if hub.loop.is_running()), None)
    return None


_publishers: dict[asyncio.AbstractEventLoop, tuple[Layer, Publisher]] = {}


def _publisher_here(layer: Layer) -> Publisher:
    """Return what sends from an event loop without connections."""
    loop = asyncio.get_running_loop()
    of, publisher = _publishers.get(loop, (None, None))
    if publisher is None or of is not layer:
        for other in [each for each in list(_publishers) if each.is_closed()]:
            _publishers.pop(other, None)
        publisher = Publisher(layer)
        _publishers[loop] = layer, publisher
    return publisher


# In a thread


def refuse_in_coroutine(method: str) -> None:
    """Raise `SynchronousOnlyOperation` in a thread that runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SynchronousOnlyOperation(
        f"{method}() waits for the channel layer, and a coroutine called it: "
        f"await a{method}() there"
    )


def run_in_loop(function: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Await a coroutine function from a thread without an event loop, and return its result.

    In the loop whose connections to the channel layer are open already, if there is one.
    """
    layer = get_layer()
    running = [hub.loop for hub in hubs_on(layer) if hub.loop.is_running()]
    if not running and _is_called_by_loop():
        return async_to_sync(function)()
    loop = running[0] if running else _background.loop()
    future = asyncio.run_coroutine_threadsafe(function(), loop)
    with waiting():
        while not future.done():
            concurrent.futures.wait([future], timeout=1)
            if not loop.is_running() and not future.done():  # nobody will ever do it
                future.cancel()
                raise RoomUnavailable("The event loop has ended that sends to the channel layer")
    return future.result()


def _is_called_by_loop() -> bool:
    loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
    return loop is not None and loop.is_running()


class _Background:
    """The event loop of a process that has none: a worker of Celery, a command, a WSGI server.

    It lives as long as the process, so that a message does not cost a connection to Redis.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have no loop: a fork has no thread of its parent's."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="bolt_ws sending", daemon=True
                )
                self._thread.start()
                atexit.register(self.stop)
            return self._loop

    def stop(self) -> None:
        """End the loop, and its connections to the channel layer with it."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


_background = _Background()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_background.forget)
    os.register_at_fork(after_in_child=_publishers.clear)


def when_committed(function: Callable[[], object]) -> None:
    """Call `function` when no transaction of this thread is open any more: now, or after commit.

    Never, if one is rolled back. The transaction around a test of Django's `TestCase` does not
    count. Raises `TransactionManagementError` where autocommit is off.
    """
    waiting = {each.alias for each in connections.all(initialized_only=True) if _is_open(each)}
    if not waiting:
        function()
        return

    def wait_for(alias: str) -> None:
        def committed() -> None:  # a function, whose name Django logs where it fails
            waiting.discard(alias)
            if not waiting:
                function()

        transaction.on_commit(committed, using=alias, robust=True)

    for alias in tuple(waiting):
        wait_for(alias)


def _is_open(connection: Any) -> bool:
    """Tell whether a transaction is open, be it managed by hand: then Django refuses to wait."""
    if connection.in_atomic_block:
        return any(not each._from_testcase for each in connection.atomic_blocks)
    return connection.connection is not None and not connection.autocommit
