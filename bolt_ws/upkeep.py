"""The once-a-second care of the open connections: what has to be done at a time, to any of them.

One timer for all connections of an event loop, and no task, timer or thread hop for one of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from . import databases, shutdown, ticker
from .bounds import Bounds
from .conf import get_settings
from .exceptions import AuthenticationFailed, Refusal
from .interruption import GoneOn, Interruption, ShutDown
from .redaction import shown
from .registry import Departure, Entry
from .transports import DRAIN_TIMEOUT, GIVEN_UP, Transport
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

TURN: Final = 1000
"""Connections that are looked at before others have a turn."""

CANCEL_AGAIN: Final = 3.0
"""Seconds after which a handler that was cancelled is cancelled again, at the earliest."""

wall_clock = time.time
"""Seconds since the epoch, as credentials have it. It may jump."""
steady_clock = time.monotonic
"""Seconds that never jump."""

_FOR_EVER: Final = 100 * 365 * 86400.0  # seconds; `exp` may be more than a float holds


def _expired() -> AuthenticationFailed:
    return AuthenticationFailed("Token expired", code="token_expired")


def _departure(code: int, reason: str) -> Departure:
    return Departure(code, reason, Refusal(503, "timeout", reason, {"Retry-After": "1"}))


IDLE: Final = _departure(4408, "idle for too long")
TOO_OLD: Final = _departure(1012, "maximum lifetime reached")
SLOW: Final = _departure(1013, "reading too slowly")
UNREAD: Final = _departure(1013, "messages are not received")


class Care:
    """What is to be done for one connection, and when."""

    __slots__ = (
        "_active_at",
        "_admitted_at",
        "_arrivals",
        "_bounds",
        "_cancelled_at",
        "_ends_at",
        "_expires_at",
        "_interruption",
        "_received",
        "_sending_since",
        "_sent",
        "_was_receiving",
        "_websocket",
        "entry",
        "transport",
    )

    def __init__(self, entry: Entry, bounds: Bounds, interruption: Interruption) -> None:
        self.entry = entry
        self._websocket = entry.websocket
        self.transport = entry.websocket.find_transport()
        self._bounds = bounds
        self._interruption = interruption
        self._expires_at = self._ends_at = math.inf
        self._admitted_at = math.inf
        self._active_at = 0.0
        self._received = self._arrivals = self._sent = 0
        self._was_receiving = False
        self._sending_since: float | None = None
        self._cancelled_at: float | None = None

    def begin(self) -> None:
        """Take note that the connection is admitted."""
        self._websocket.ask_server()
        self._admitted_at = self._active_at = steady_clock()

    def expire_at(self, expires_at: float | None) -> None:
        """Have the connection closed at a time in seconds since the epoch, None for never.

        It takes the place of what was said before. Raises `AuthenticationFailed` if that time is
        over, and changes nothing.
        """
        if expires_at is None:
            self._expires_at = self._ends_at = math.inf
            return
        now = wall_clock()
        expires_at = min(expires_at, now + _FOR_EVER)
        remaining = expires_at - now
        if not remaining > 0:  # nor if it is no number
            raise _expired()
        # The first of both clocks counts: one that is set back would give more than was granted.
        self._expires_at, self._ends_at = expires_at, steady_clock() + remaining

    def look(self, now: float, steady: float) -> None:
        """Do what is due at this second, in the connection's event loop."""
        websocket = self._websocket
        if websocket.ended_at is not None:
            self._look_at_the_end(websocket.ended_at, steady)
            return
        if self.transport is not None and self.transport.is_closing:
            self.transport.drop_if_stuck(steady, GIVEN_UP)
        if now >= self._expires_at or steady >= self._ends_at:
            self.entry.leave(Departure(4401, "token expired", _expired()))
        if steady < self._admitted_at:
            return
        if websocket.is_receiving:
            self._was_receiving = True
            websocket.settle_rate()
        else:
            self._read_ahead()
        departure = self._due(steady)
        if departure is not None:
            self.entry.leave(departure)

    def _read_ahead(self) -> None:
        """Read for a handler that has not been receiving, or not much for a second."""
        websocket = self._websocket
        websocket.ask_server()
        received, before = websocket.messages_received, self._received
        if not self._was_receiving and received - before < websocket.read_ahead_limit:
            websocket.read_ahead(self.entry.context)
        self._was_receiving, self._received = False, received

    def _due(self, steady: float) -> Departure | None:
        bounds = self._bounds
        unread_since = self._websocket.unread_since
        if unread_since is not None and steady - unread_since >= get_settings().read_stall:
            return UNREAD
        if bounds.max_lifetime is not None and steady - self._admitted_at >= bounds.max_lifetime:
            return TOO_OLD
        if bounds.idle_timeout is not None and self._is_idle(steady, bounds.idle_timeout):
            return IDLE
        if bounds.send_timeout is not None and self._is_stuck(steady, bounds.send_timeout):
            return SLOW
        return None

    def _is_idle(self, steady: float, seconds: float) -> bool:
        websocket = self._websocket
        arrivals = websocket.arrivals
        if arrivals != self._arrivals or not websocket.is_being_read:
            self._arrivals, self._active_at = arrivals, steady
        return steady - self._active_at >= seconds

    def _is_stuck(self, steady: float, seconds: float) -> bool:
        websocket = self._websocket
        sent = websocket.messages_sent
        if not websocket.is_sending:
            self._sending_since = None
        elif self._sending_since is None or sent != self._sent:
            self._sending_since, self._sent = steady, sent
        return self._sending_since is not None and steady - self._sending_since >= seconds

    def _look_at_the_end(self, ended_at: float, steady: float) -> None:
        """Cancel a handler that goes on for too long after the end of its connection."""
        grace = self._bounds.disconnect_grace
        if grace is None:
            grace = get_settings().disconnect_grace
        if grace is None or self._interruption.is_over:
            return
        since = ended_at if self._cancelled_at is None else self._cancelled_at
        patience = grace if self._cancelled_at is None else max(grace, CANCEL_AGAIN)
        if steady - since < max(patience, ticker.TICK) - ticker.TICK / 2:  # to the second
            return
        if self._cancelled_at is not None:
            path, extra = _for_log(self._websocket)
            logger.warning("The handler of %s goes on although it was cancelled", path, extra=extra)
        self._cancelled_at = steady
        self._interruption.interrupt(GoneOn())

    def shut_down(self) -> None:
        """Cancel the handler, or what admits the connection: the server stops."""
        if not isinstance(self._interruption.reason, ShutDown):
            self._interruption.interrupt(ShutDown())


def _for_log(websocket: WebSocket) -> tuple[str, dict[str, Any]]:
    return ascii(shown(websocket.path)), websocket.log_fields.as_extra()


def _drains(transport: Transport | None, steady: float) -> TypeGuard[Transport]:
    """Tell whether something is left in a socket for the client, and drop it if that is stuck.

    What this raises is logged only: it is to stop no other connection's care.
    """
    try:
        if transport is None or not transport.is_draining:
            return False
        transport.drop_if_stuck(steady, DRAIN_TIMEOUT)
    except Exception:
        logger.exception("Exception in the upkeep of a connection that has ended")
        return False
    return True


class Upkeep:
    """The connections of one event loop, from their handshake to their end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.cares: dict[Entry, Care] = {}
        self._draining: set[Transport] = set()
        self._ticker = ticker.ticker_of(loop)
        shutdown.listen(self)

    def __len__(self) -> int:
        return len(self.cares)

    def add(self, care: Care) -> None:
        """Take care of a connection from now on."""
        self._ticker.add(self._look)
        self.cares[care.entry] = care

    def discard(self, entry: Entry) -> None:
        """Take care of a connection no longer."""
        care = self.cares.pop(entry, None)
        if care is not None and _drains(care.transport, steady_clock()):
            self._draining.add(care.transport)
        self._rest()

    def _rest(self) -> None:
        if not self.cares and not self._draining:
            self._ticker.discard(self._look)

    def _look(self) -> None:
        steady = steady_clock()
        databases.look(steady)
        self._look_at_the_draining(steady)
        self._look_at_some(iter(tuple(self.cares.values())))

    def _look_at_some(self, cares: Iterator[Care]) -> None:
        now, steady = wall_clock(), steady_clock()
        for count, care in enumerate(cares, 1):
            try:
                care.look(now, steady)
            except Exception:
                path, extra = _for_log(care.entry.websocket)
                logger.exception("Exception in the upkeep of the connection %s", path, extra=extra)
            if count == TURN:
                self.loop.call_soon(self._look_at_some, cares)
                return

    def _look_at_the_draining(self, steady: float) -> None:
        for transport in tuple(self._draining):
            if not _drains(transport, steady):
                self._draining.discard(transport)
        self._rest()

    def end_all(self) -> None:
        """Cancel all handlers: the server stops."""
        for care in tuple(self.cares.values()):
            care.shut_down()


_upkeeps: dict[asyncio.AbstractEventLoop, Upkeep] = {}


def take_care(entry: Entry, bounds: Bounds, interruption: Interruption) -> Care:
    """Take care of a connection from now on, in its event loop."""
    upkeep = _upkeeps.get(entry.loop)
    if upkeep is None:
        for other in [each for each in list(_upkeeps) if each.is_closed()]:
            _upkeeps.pop(other, None)  # nothing tells that a loop ends
        upkeep = _upkeeps[entry.loop] = Upkeep(entry.loop)
    care = Care(entry, bounds, interruption)
    upkeep.add(care)
    return care


def release(entry: Entry) -> None:
    """Take care of a connection no longer."""
    upkeep = _upkeeps.get(entry.loop)
    if upkeep is not None:
        upkeep.discard(entry)
