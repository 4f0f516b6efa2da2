"""From Twisted's transports to asyncio's."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from .compatibility import bottom, unsent_size

if TYPE_CHECKING:
    from .connection import Connection


def can_move(transport: Any) -> bool:
    """Tell whether a connection can leave Twisted: TLS and other layers over the socket stay."""
    return (
        not isinstance(transport, ProtocolWrapper)
        and hasattr(transport, "getHandle")
        and not unsent_size(transport)  # of the response to an earlier request
    )


def detach(transport: Any) -> socket.socket:
    """Take the socket away from a Twisted transport, which is not used any more."""
    transport.stopReading()
    transport.stopWriting()
    transport.unregisterProducer()
    handle = transport.getHandle()
    return socket.socket(handle.family, handle.type, handle.proto, handle.detach())


@implementer(IPushProducer)
class TwistedTransport:
    """A Twisted transport as a connection knows asyncio's."""

    def __init__(self, transport: Any, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._is_closing = False
        transport.unregisterProducer()  # the HTTP channel
        transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Send, at some time."""
        if not self._is_closing:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Close: with TLS, there is no half of it."""
        self.close()

    def close(self) -> None:
        """Close, once all is sent."""
        if not self._is_closing:
            self._is_closing = True
            self._transport.unregisterProducer()  # Twisted would wait for more from it
            self._transport.loseConnection()

    def abort(self) -> None:
        """Close now."""
        self._is_closing = True
        self._transport.abortConnection()

    def is_closing(self) -> bool:
        """Tell whether nothing more is sent."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Read no more."""
        self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resumeProducing()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait to be sent."""
        return unsent_size(self._transport)

    def get_extra_info(self, name: str) -> Any:
        """Return the socket, by the name of "socket"."""
        return bottom(self._transport).getHandle()

    # What Twisted calls, with Twisted's names

    def pauseProducing(self) -> None:  # noqa: N802
        """Stop sending."""
        self._connection.pause_writing()

    def resumeProducing(self) -> None:  # noqa: N802
        """Send on."""
        self._connection.resume_writing()

    def stopProducing(self) -> None:  # noqa: N802
        """Send nothing any more: `connectionLost` follows."""


async def attach(loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: Any) -> None:
    """Give a socket to a transport of the event loop."""
    try:
        await loop.connect_accepted_socket(lambda: protocol, sock)
    except OSError:  # the client is gone already
        sock.close()
