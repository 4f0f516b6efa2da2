"""One timer a second for an event loop, for all that has to be looked at now and then.

A timer and no task: nobody can cancel it, and it is nobody's child.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable

logger = logging.getLogger("bolt_ws")

TICK = 1.0
"""Seconds between two looks."""

Look = Callable[[], None]


class Ticker:
    """Calls what was added once a second. It ends by itself when there is nothing to call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._looks: dict[Look, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Empty: the timer outlives the connection that starts it, and serves others.
        self._context = contextvars.Context()

    def add(self, look: Look) -> None:
        """Call `look` at each second from now on."""
        self._looks[look] = None
        if self._timer is None:
            self._start()

    def discard(self, look: Look) -> None:
        """Call `look` no longer. The timer goes on to its next second, if it was the last.

        Where one connection follows the other, each would start and end one.
        """
        self._looks.pop(look, None)

    def _start(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick, context=self._context)

    def _tick(self) -> None:
        self._timer = None
        for look in tuple(self._looks):
            try:
                look()
            except Exception:
                logger.exception("Exception in the upkeep")
        if self._looks:
            self._start()


_tickers: dict[asyncio.AbstractEventLoop, Ticker] = {}


def ticker_of(loop: asyncio.AbstractEventLoop) -> Ticker:
    """Return the timer of an event loop, to be used in that loop."""
    ticker = _tickers.get(loop)
    if ticker is None:
        for other in [each for each in list(_tickers) if each.is_closed()]:
            _tickers.pop(other, None)  # nothing tells that a loop ends
        ticker = _tickers[loop] = Ticker(loop)
    return ticker
