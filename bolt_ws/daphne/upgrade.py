"""Where Daphne finds a WebSocket handshake among its HTTP requests, and hands it over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from .compatibility import bottom
from .connection import Connection
from .handshake import Handshake
from .transports import TwistedTransport, attach, can_move, detach

if TYPE_CHECKING:
    from .server import Server

_ORIGIN: Final = re.compile(rb"\Ahttps?://[^/?#]*", re.IGNORECASE)


class UpgradableFactory(HTTPFactory):  # type: ignore[misc]
    """Daphne's HTTP, with our requests."""

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        """Return the protocol of one client. Twisted calls it."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = UpgradableRequest
        return protocol


class UpgradableRequest(WebRequest):  # type: ignore[misc]
    """Daphne's request. One that asks for a WebSocket is checked by Daphne, and then ours."""

    def process(self) -> Any:
        """Answer the request. Twisted calls it when it has come whole."""
        if not self.requestHeaders.hasHeader(b"upgrade"):
            return super().process()
        factory: UpgradeFactory = self.server.ws_factory
        factory.request = self
        try:
            return super().process()
        finally:
            factory.request = None


class UpgradeFactory:
    """What stands where Daphne has its factory of WebSocket protocols."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.request: Any = None
        """The one that is being processed."""

    def setProtocolOptions(self, **options: object) -> None:  # noqa: N802
        """Take Daphne's options, which the server has as well."""

    def buildProtocol(self, address: object) -> Upgrade:  # noqa: N802
        """Return what takes over from a request. Daphne calls it."""
        return Upgrade(self._server, self.request)


class Upgrade(Protocol):
    """Takes a connection from Twisted's HTTP, and is its protocol for as long as it stays there."""

    def __init__(self, server: Server, request: Any) -> None:
        self._server = server
        self._request = request
        self._early: list[bytes] | None = None
        self._connection: Connection | None = None

    def connectionMade(self) -> None:  # noqa: N802
        """Wait until Daphne is done with the request. Daphne calls it."""
        # What has come behind the request: Twisted would keep it for the next one.
        self._request.channel.rawDataReceived = self.dataReceived
        self._server.loop.call_soon(self._take_over)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take bytes. The first are Daphne's: the request anew, which we have."""
        if self._early is None:
            self._early = []
        elif self._connection is None:
            self._early.append(data)
        else:
            self._connection.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        """End the connection. Twisted calls it."""
        self._request = None
        if self._connection is not None:
            self._connection.connection_lost(reason.value)

    def _take_over(self) -> None:
        request, self._request = self._request, None
        if request is None:
            return  # lost meanwhile
        server, transport = self._server, self.transport
        assert transport is not None
        server.connections.pop(request, None)
        handshake = handshake_of(request, server.root_path)
        request.channel = None
        connection = Connection(server, handshake, b"".join(self._early or ()))
        if can_move(transport):
            self.transport = transport.protocol = None
            server.keep(attach(server.loop, detach(transport), connection))
        else:
            self._connection = connection
            server.on_twisted.add(bottom(transport))
            connection.connection_made(TwistedTransport(transport, connection))


def handshake_of(request: Any, root_path: str) -> Handshake:
    """Return what Daphne knows of a request."""
    headers = []
    for name, values in request.requestHeaders.getAllRawHeaders():
        name = name.lower()
        if name == b"daphne-root-path":
            root_path = unquote(values[-1].decode("latin-1"))
        elif b"_" not in name:  # CVE-2015-0219
            headers += [(name, value) for value in values]
    return Handshake(
        method=request.method,
        version=request.clientproto,
        # A proxy may send the whole URL (RFC 9112 section 3.2.2).
        target=_ORIGIN.sub(b"", request.uri) or b"/",
        headers=headers,
        scheme="wss" if request.client_scheme in ("https", "wss") else "ws",
        client=_address(request.client_addr),
        server=_address(request.server_addr) or _unix_address(request.getHost()),
        root_path=root_path,
        has_body=any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
            for name, value in headers
        ),
    )


def _address(host_and_port: list[Any] | None) -> tuple[str, int] | None:
    return None if host_and_port is None else (host_and_port[0], host_and_port[1])


def _unix_address(host: Any) -> tuple[str, None] | None:
    name = getattr(host, "name", None)
    return None if name is None else (name.decode(errors="surrogateescape"), None)
