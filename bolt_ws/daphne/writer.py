"""The writing half of a connection: what is sent waits while the client does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

from ..sockets import undelivered

TURNS: Final = 64
"""Messages that an application takes or sends before others have a turn."""


class Transport(Protocol):
    """What a connection needs of asyncio's transports, and Twisted's are made to offer."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def get_extra_info(self, name: str) -> Any: ...


class ClientGone(OSError):
    """`send()` after the end of the connection (ASGI specification 2.4).

    An application may let it out: it is no error, and is not logged.
    """


class Writer(asyncio.Protocol):
    """What is written to a transport, and who waits until it is sent."""

    __slots__ = (
        "_can_send",
        "_drain_waiters",
        "_is_full",
        "_is_over",
        "_is_parted",
        "_loop",
        "_transport",
        "_turns",
        "_undrained",
    )

    _transport: Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._can_send = False
        """The application may send messages."""
        self._is_over = False
        """Nothing more is sent."""
        self._is_parted = False
        """The client has said goodbye, and sends nothing more either."""
        self._is_full = False
        self._turns = 0
        """How often the application has gone on without waiting."""
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._undrained = (0.0, 0)
        """Since when nothing has left the transport, and the bytes in it."""

    def pause_writing(self) -> None:
        """Have senders wait. The transport calls it over its high-water mark."""
        self._is_full = True
        self._undrained = (self._loop.time(), 0)

    def resume_writing(self) -> None:
        """Have senders go on."""
        self._is_full = False
        self._undrained = (0.0, 0)
        self._wake_senders()

    def _wake_senders(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _take_turns(self, seconds: float = 0) -> None:
        """Let others run now and then, where the application never has to wait."""
        self._turns += 1
        if self._turns > TURNS:
            self._turns = 0
            await asyncio.sleep(seconds)

    async def _drained(self) -> None:
        """Wait while the transport is full."""
        place = len(self._drain_waiters)
        while self._is_full and not self._is_over:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drain_waiters.insert(place, waiter)
            place = 0  # who has waited goes before who has just sent
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._drain_waiters:
                    self._drain_waiters.remove(waiter)
                raise
        if self._is_over:
            raise ClientGone("the client went while this waited for it to read")

    def _write_all(self, chunks: Iterable[bytes]) -> None:
        """Write what `websockets` gives: empty bytes are the end of the stream."""
        transport = self._transport
        for chunk in chunks:
            if transport.is_closing():
                return
            if chunk:
                transport.write(chunk)
            elif self._is_parted:
                transport.close()
            else:
                try:
                    transport.write_eof()
                except OSError:  # the client has reset the connection, which is not known yet
                    transport.abort()

    def _seconds_undrained(self, now: float) -> float:
        """Return for how long the client has read nothing of what waits for it."""
        since, size = self._undrained
        left = self._transport.get_write_buffer_size()
        if left:
            # The system takes more only when it has got rid of much: megabytes, on loopback.
            left += undelivered(self._transport.get_extra_info("socket").fileno())
        if not left or not size or left < size:
            since = now
        self._undrained = (since, left)
        return now - since
