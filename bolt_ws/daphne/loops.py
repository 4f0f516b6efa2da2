"""The event loop below Twisted's reactor: uvloop, where it is installed."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..conf import get_settings
from .compatibility import loop_of, set_loop


def choose(reactor: Any) -> asyncio.AbstractEventLoop:
    """Return the loop that the reactor runs on, changed to uvloop if that can be.

    Daphne has made the reactor before it imported the application, so nothing has used the loop.
    """
    current = loop_of(reactor)
    if get_settings().daphne_loop == "asyncio" or reactor.getDelayedCalls():
        return current
    try:
        import uvloop
    except ImportError:
        return current
    if isinstance(current, uvloop.Loop):  # by the policy of whoever starts Daphne
        return loop_of(reactor)
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    if "ASGI_THREADS" in os.environ:  # as Daphne sets it
        threads = int(os.environ["ASGI_THREADS"])
        loop.set_default_executor(ThreadPoolExecutor(max_workers=threads))
    set_loop(reactor, loop)
    return loop


def name_of(loop: asyncio.AbstractEventLoop) -> str:
    """Return the name of the library that the loop is of."""
    return type(loop).__module__.partition(".")[0]


def abort_broken(transports: Iterable[Any]) -> None:
    """Abort those of Twisted's transports whose connection is broken.

    libuv stops to watch a socket when the client resets the connection, and uvloop tells nobody of
    it: Twisted would wait for ever.
    """
    poller, by_number = select.poll(), {}
    for transport in transports:
        if hasattr(transport, "abortConnection") and transport.fileno() >= 0:
            by_number[transport.fileno()] = transport
            poller.register(transport.fileno(), 0)
    for number, _ in poller.poll(0):
        by_number[number].abortConnection()
