"""All that is used of Daphne, Twisted and `websockets` without being promised by them."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper
from websockets.utils import accept_key

from .logs import quiet_logger

if TYPE_CHECKING:
    from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without a compiler
    from websockets.utils import apply_mask

__all__ = [
    "accept_key",
    "apply_mask",
    "bottom",
    "forget_unfinished_message",
    "loop_of",
    "misfit",
    "set_loop",
    "unsent_size",
]


def forget_unfinished_message(protocol: ServerProtocol) -> None:
    """Have `websockets` take a close frame in the middle of a message, as RFC 6455 allows."""
    protocol.current_size = None


def bottom(transport: Any) -> Any:
    """Return the transport of a socket below TLS and other layers."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def unsent_size(transport: Any) -> int:
    """Return how many bytes a Twisted transport still has to write."""
    transport = bottom(transport)
    left: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return left


def loop_of(reactor: Any) -> asyncio.AbstractEventLoop:
    """Return the event loop that Twisted's reactor runs on."""
    loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop
    return loop


def set_loop(reactor: Any, loop: Any) -> None:
    """Have Twisted's reactor run on another event loop. Nothing may be scheduled on it yet."""
    readers, writers = reactor.getReaders(), reactor.getWriters()
    reactor.removeAll()
    reactor._asyncioEventloop = loop
    for reader in readers:
        reactor.addReader(reader)
    for writer in writers:
        reactor.addWriter(writer)


def misfit() -> str | None:
    """Return what is missing of what the rest counts on, or None if all is there."""
    import daphne.http_protocol
    import daphne.server
    from twisted.internet import tcp
    from twisted.internet.abstract import FileDescriptor
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor
    from twisted.web.http import HTTPChannel
    from websockets.server import ServerProtocol

    needed: list[tuple[Any, str]] = [
        (daphne.http_protocol, "HTTPFactory"),
        (daphne.http_protocol, "WebRequest"),
        (daphne.server.Server, "listen_success"),
        (daphne.server.Server, "log_action"),
        (tcp.Server, "getHandle"),
        (FileDescriptor(), "dataBuffer"),
        (FileDescriptor(), "offset"),
        (FileDescriptor(), "_tempDataLen"),
        (ServerProtocol(logger=quiet_logger), "current_size"),
    ]
    for owner, name in needed:
        if not hasattr(owner, name):
            return f"{getattr(owner, '__name__', type(owner).__name__)} has no {name}"
    for function, names in (
        (daphne.server.Server.run, {"http_factory", "ws_factory", "kill_all_applications"}),
        (daphne.http_protocol.WebRequest.process, {"ws_factory", "buildProtocol"}),
        (AsyncioSelectorReactor.__init__, {"_asyncioEventloop"}),
        # Else what comes behind a handshake is taken for the next request.
        (HTTPChannel.allContentReceived, {"setRawMode"}),
    ):
        missing = names.difference(inspect.unwrap(function).__code__.co_names)
        if missing:
            return f"{function.__qualname__}() does not use {', '.join(sorted(missing))}"
    return None
