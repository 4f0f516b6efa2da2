"""Whether the server of this process is stopping, and who ends its connections then.

Twisted, below Daphne, says when it stops. Of other servers their signal handlers know, and ours go
before them. Nothing here takes a lock: a signal may come while its own thread holds it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Protocol

from .conf import get_settings

logger = logging.getLogger("bolt_ws")

Handler = Callable[[int, FrameType | None], Any]

SERVERS: Final = {"uvicorn", "gunicorn"}
"""Packages whose signal handlers are a server's, whenever they are found."""
LOOK_EVERY: Final = 0.05
"""Seconds between two looks at whether all connections have ended."""
FLUSH: Final = 0.2
"""Seconds that the last close frames have to leave Twisted's transports."""


class Listener(Protocol):
    """Ends the connections of one event loop."""

    loop: asyncio.AbstractEventLoop

    def __len__(self) -> int:
        """Return how many connections there are which have not ended, with all cleanup."""

    def end_all(self) -> None:
        """Start to end all connections. Called in `loop`, and maybe more than once."""


class _State:
    """What is known in this process."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.server_ends_all = False
        self.listeners: dict[asyncio.AbstractEventLoop, Listener] = {}
        self.stopped: tuple[asyncio.AbstractEventLoop, ...] = ()
        """The event loops that were told."""
        # Empty: what is called belongs to no connection.
        self.context = contextvars.Context()


_state = _State()
_reactor: Any = None  # the one that tells us when it stops


def shutting_down() -> bool:
    """Tell whether the server of this process is stopping, for health checks; in any thread."""
    return _state.is_stopping


def note_shutdown() -> None:
    """Note that the server is stopping, and have all connections end; from any thread."""
    _state.is_stopping = True
    _state.stopped = tuple(_state.listeners)
    if _state.server_ends_all:
        return
    for listener in tuple(_state.listeners.values()):
        with suppress(RuntimeError):  # its event loop is closed
            # In a copy: one context cannot be entered by two threads at once.
            context = _state.context.copy()
            listener.loop.call_soon_threadsafe(listener.end_all, context=context)


def listen(listener: Listener) -> None:
    """Tell a listener when the server stops, or now if it is stopping.

    It takes the place of an earlier one for the same event loop.
    """
    listeners = _state.listeners
    closed = [each for each in tuple(listeners) if each.is_closed()]
    for loop in closed:
        listeners.pop(loop, None)  # nothing tells that a loop ends
    stopped = _state.stopped
    if stopped and all(each.is_closed() for each in stopped):
        _state.is_stopping, _state.stopped = False, ()  # that server has ended; this is another
    listeners[listener.loop] = listener
    _find_reactor()
    # In an asgi.py of one's own nothing else comes after uvicorn has its handlers. No others: by
    # now an application may have some, which are no server's.
    if (_owner(signal.getsignal(signal.SIGTERM)) or "").partition(".")[0] in SERVERS:
        _watch_signals()
    if _state.is_stopping:
        note_shutdown()


@contextmanager
def server_ends_all() -> Iterator[None]:
    """Tell no listener meanwhile: the server ends all connections by itself."""
    _state.server_ends_all = True
    try:
        yield
    finally:
        _state.server_ends_all = False


def watch() -> None:
    """See to it that we learn when the server stops.

    To be called again at times, from any thread: servers install their signal handlers before or
    after they import the application.
    """
    reactor = _find_reactor()
    # A running reactor has handlers of its own. To go before them would be too early: we would
    # cancel the connections, and Daphne would cancel them once more while they clean up.
    if not getattr(reactor, "running", False):
        _watch_signals()


# Signals


def _watch_signals() -> None:
    terminate, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    if not callable(terminate):
        return  # by default it ends the process at once, with nobody to wait for
    _go_before(terminate, signal.SIGTERM)
    # A server takes both. Whoever takes SIGINT alone is no server, and some, like asyncio.run() and
    # unittest, look whether the handler is still theirs.
    if callable(interrupt) and _owner(interrupt) == _owner(terminate):
        _go_before(interrupt, signal.SIGINT)


class _GoesBefore:
    """A signal handler in front of a server's."""

    def __init__(self, func: Handler) -> None:
        self.func = func

    def __call__(self, number: int, frame: FrameType | None) -> None:
        note_shutdown()
        self.func(number, frame)


def _go_before(handler: Handler, number: signal.Signals) -> None:
    if not isinstance(handler, _GoesBefore):
        with suppress(ValueError):  # only the main thread may, and no subinterpreter
            signal.signal(number, _GoesBefore(handler))


def _owner(handler: object) -> str | None:
    """Return the name of the module that a signal handler is of."""
    while isinstance(handler, functools.partial | _GoesBefore):
        handler = handler.func
    return getattr(handler, "__module__", None)


# Twisted


def _find_reactor() -> Any:
    """Return Twisted's reactor, which tells us when it stops; None where there is none."""
    global _reactor
    reactor: Any = sys.modules.get("twisted.internet.reactor")  # importing it would choose one
    if reactor is not None and _reactor is not reactor:
        _reactor = reactor
        reactor.addSystemEventTrigger("before", "shutdown", _before_reactor_stops)
    return reactor


def _before_reactor_stops() -> Any:
    """Have the connections end; Twisted waits for what this returns.

    Stock Daphne does the like, without a bound in time, but fails with a `KeyError` if a client has
    connected within the last second or the connection of a handler that has ended is still there.
    """
    listener = None
    with suppress(RuntimeError):  # a reactor on no event loop of asyncio's: not Daphne's
        listener = _state.listeners.get(asyncio.get_running_loop())
    if listener is None or _state.server_ends_all:
        note_shutdown()
        return None
    from twisted.internet.defer import Deferred

    _state.is_stopping = True
    listener.end_all()  # at once: Daphne cancels now, too, and a task is told of both as of one
    note_shutdown()
    return Deferred.fromFuture(asyncio.ensure_future(_until_all_have_ended(listener)))


async def _until_all_have_ended(listener: Listener) -> None:
    if not len(listener):
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(get_settings().daphne_shutdown_timeout):
            while len(listener):  # noqa: ASYNC110  # once in the life of a process
                await asyncio.sleep(LOOK_EVERY)
    await asyncio.sleep(FLUSH)
    if left := len(listener):
        logger.warning("Dropped %d WebSocket connections that did not end", left)
        _reactor.crash()  # stop() is under way, and Daphne would wait for them for ever


def _forget() -> None:
    """Know of nothing, as in a fork's child, which is no server yet."""
    global _state
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
