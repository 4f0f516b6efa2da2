"""What time does to a connection. The server looks at all of them once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .ending import Ending, Step
from .frames import PING, encode
from .logs import server_logger

if TYPE_CHECKING:
    from .handshake import Handshake
    from .server import Server

LINGER: Final = 5.0
"""Seconds that a client has to answer a close, or to end the stream after it."""


class Timed(Ending):
    """A connection, as far as Daphne's timeouts go."""

    __slots__ = ("_heard_at", "_opened_at", "_pinged_at", "_was_killed")

    def __init__(self, server: Server, handshake: Handshake, early: bytes = b"") -> None:
        super().__init__(server, handshake, early)
        self._opened_at = self._heard_at = self._loop.time()
        self._pinged_at: float | None = None
        self._was_killed = False
        """Its application was cancelled for not ending."""

    def look(self, now: float) -> None:
        """Apply the timeouts. `now` is the event loop's time."""
        if self._step is Step.OPEN:
            self._look_at_open(now)
        elif self._step is Step.CLOSING:
            self._look_at_closing(now)
        elif self._step is Step.DENYING and self._is_stuck(now):
            self._transport.abort()
        elif 0 <= self._server.handshake_timeout < now - self._opened_at:
            if self._step is Step.CONNECTING or self._denial is not None:
                self._refuse(403)
            elif self._step is Step.DENYING:
                self._transport.abort()
        if self._ended is not None:
            self._look_at_application(now)

    def _look_at_open(self, now: float) -> None:
        server = self._server
        if 0 <= server.websocket_timeout < now - self._opened_at:
            self._close(1000)
        elif self._is_stuck(now):
            self._transport.abort()
        elif self._has_heard or self._is_full:  # that has a bound of its own
            self._has_heard = False
            self._heard_at, self._pinged_at = now, None
        elif self._pinged_at is not None and server.ping_timeout > 0:
            if now - self._pinged_at > server.ping_timeout:
                self._transport.abort()
        elif now - (self._pinged_at or self._heard_at) > server.ping_interval:
            self._transport.write(encode(PING, b""))
            # While it is we who do not read, no answer counts as none. But where the client is
            # gone, the network answers a ping with an error.
            self._heard_at, self._pinged_at = now, None if self._is_paused else now

    def _is_stuck(self, now: float) -> bool:
        return self._is_full and self._seconds_undrained(now) > self._server.drain_timeout

    def _look_at_closing(self, now: float) -> None:
        if self._transport.get_write_buffer_size():
            self._lingers_from = now
            if self._seconds_undrained(now) > self._server.drain_timeout:
                self._transport.abort()
        elif now - self._lingers_from > LINGER:
            self._transport.abort()

    def _look_at_application(self, now: float) -> None:
        task = self._task
        if task is None or self._was_killed or self._is_looked_after:
            return
        if now - self._ended_at > self._server.application_close_timeout:
            self._was_killed = True
            server_logger.warning(
                "Application instance %r for connection %s took too long to shut down and was "
                "killed.",
                task,
                self,
            )
            task.cancel()
