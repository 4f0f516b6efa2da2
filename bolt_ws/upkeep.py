"""The once-a-second care of the open connections: what has to be done at a time, to any of them.

One task for all connections of an event loop, none where no connection needs it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import Final

from .exceptions import AuthenticationFailed
from .redaction import shown
from .registry import Departure, Entry

logger = logging.getLogger("bolt_ws")

TICK = 1.0
"""Seconds between two looks at the connections."""

wall_clock = time.time
"""Seconds since the epoch, as credentials have it. It may jump."""
steady_clock = time.monotonic
"""Seconds that never jump."""

_FOR_EVER: Final = 100 * 365 * 86400.0  # seconds; `exp` may be more than a float holds


def _expired() -> AuthenticationFailed:
    return AuthenticationFailed("Token expired", code="token_expired")


class Care:
    """What is to be done for one connection, and when: to close it when its credential expires."""

    __slots__ = ("_ends_at", "_expires_at", "entry")

    def __init__(self, entry: Entry, expires_at: float) -> None:
        """Take a time in seconds since the epoch. Raises `AuthenticationFailed` if it is over."""
        self.entry = entry
        now = wall_clock()
        self._expires_at = min(expires_at, now + _FOR_EVER)
        remaining = self._expires_at - now
        if not remaining > 0:  # nor if it is no number
            raise _expired()
        # The first of both clocks counts: one that is set back would give more than was granted.
        self._ends_at = steady_clock() + remaining

    def look(self, now: float, steady: float) -> None:
        """Do what is due at this second, in the connection's event loop."""
        if now >= self._expires_at or steady >= self._ends_at:
            self.entry.leave(Departure(4401, "token expired", _expired()))


class Upkeep:
    """The connections of one event loop that need care, and the task that gives it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.cares: dict[Entry, Care] = {}
        self.task: asyncio.Task[None] | None = None
        # Empty: the task outlives the connection that starts it, and serves others.
        self._context = contextvars.Context()

    def add(self, care: Care) -> None:
        """Take care of a connection from now on, in place of what was its care before."""
        self.cares[care.entry] = care
        if self.task is None or self.task.done():
            self._start()

    def _start(self) -> None:
        self.task = self.loop.create_task(self._run(), name="bolt_ws upkeep", context=self._context)
        self.task.add_done_callback(self._start_again_soon, context=self._context)

    def _start_again_soon(self, task: asyncio.Task[None]) -> None:
        # Somebody cancelled it. Not at once: at the end of `asyncio.run` all tasks are cancelled.
        if self.cares:
            self.loop.call_later(TICK, self._start_again, task, context=self._context)

    def _start_again(self, task: asyncio.Task[None]) -> None:
        if not self.cares or self.task is not task:
            return
        if all(each.cancelling() for each in asyncio.all_tasks(self.loop)):
            self._start_again_soon(task)  # the loop is ending, unless it is here later, too
        else:
            self._start()

    async def _run(self) -> None:
        try:
            while self.cares:
                await asyncio.sleep(TICK)
                self._look()
        finally:
            self._forget_if_done()

    def discard(self, entry: Entry) -> None:
        """Take care of a connection no longer. The task ends at its next look if it was the last.

        Not at once: where one connection follows the other, each would start and end a task.
        """
        self.cares.pop(entry, None)
        if self.task is None or self.task.done():
            self._forget_if_done()

    def _forget_if_done(self) -> None:
        if not self.cares and _upkeeps.get(self.loop) is self:
            del _upkeeps[self.loop]

    def _look(self) -> None:
        now, steady = wall_clock(), steady_clock()
        for care in tuple(self.cares.values()):
            try:
                care.look(now, steady)
            except Exception:
                path = ascii(shown(care.entry.websocket.path))
                logger.exception("Exception in the upkeep of the connection %s", path)


_upkeeps: dict[asyncio.AbstractEventLoop, Upkeep] = {}


def expire_at(entry: Entry, expires_at: float | None) -> None:
    """Have a connection closed at a time in seconds since the epoch, None for never.

    It takes the place of what was said before. Raises `AuthenticationFailed` if that time is over,
    and changes nothing. To be called in the connection's event loop.
    """
    if expires_at is None:
        release(entry)
        return
    care = Care(entry, expires_at)
    loop = asyncio.get_running_loop()
    upkeep = _upkeeps.get(loop)
    if upkeep is None:
        for other in [each for each in list(_upkeeps) if each.is_closed()]:
            _upkeeps.pop(other, None)  # its task was never told that the loop ends
        upkeep = _upkeeps[loop] = Upkeep(loop)
    upkeep.add(care)


def release(entry: Entry) -> None:
    """Take care of a connection no longer."""
    upkeep = _upkeeps.get(entry.loop)
    if upkeep is not None:
        upkeep.discard(entry)
