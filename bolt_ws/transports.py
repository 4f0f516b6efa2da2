"""Sockets whose server waits for the client to read, be it for ever, before it tells of their end.

uvicorn closes such a socket gracefully: for a client that is dead, or does not read, with something
on the way to it, neither a disconnect nor an error ever follows, and the socket stays.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from .servers import Send
from .sockets import undelivered

GIVEN_UP: Final = 2.0
"""Seconds for the client to take something after the server has given it up by itself."""

DRAIN_TIMEOUT: Final = 120.0
"""Seconds for the client to take something of what is left after the application's end.

The network tells of that in steps of up to some hundred KiB, as large as the client's own buffer
makes them: the slower one reads, the longer one looks as if it did not.
"""


class Transport:
    """A socket, and for how long nothing has left it."""

    __slots__ = ("_pending", "_pending_since", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pending = 0
        self._pending_since: float | None = None

    @property
    def is_closing(self) -> bool:
        """Whether the server closes it, or has closed it."""
        return self._transport.is_closing()

    @property
    def is_draining(self) -> bool:
        """Whether something waits for the client."""
        return self._transport.get_write_buffer_size() > 0

    @property
    def pending(self) -> int:
        """The bytes that the client has not taken, here and in the system's own buffer.

        Of a client that reads slowly, that alone may hold so much that nothing leaves ours for
        minutes.
        """
        own = self._transport.get_extra_info("socket")
        held = 0 if own is None else undelivered(own.fileno())
        return self._transport.get_write_buffer_size() + held

    def drop_if_stuck(self, steady: float, seconds: float) -> None:
        """Drop the connection if nothing has left for so long. The server then tells its end."""
        pending = self.pending
        if self._pending_since is None or pending < self._pending:
            self._pending, self._pending_since = pending, steady
        elif steady - self._pending_since >= seconds:
            self._transport.abort()


def transport_of(send: Send) -> Transport | None:
    """Return the socket of a connection that is an asyncio protocol: the server is uvicorn.

    None elsewhere: Daphne drops such a client by itself, asyncio one over TLS 30 s after the close.
    And where middleware has wrapped `send`.
    """
    protocol: Any = getattr(send, "__self__", None)
    transport = getattr(protocol, "transport", None)
    if transport is None or not isinstance(protocol, asyncio.Protocol):
        return None
    if transport.get_extra_info("sslcontext") is not None:  # it does not tell what waits
        return None
    return Transport(transport)
