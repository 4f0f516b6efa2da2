"""Whether a handshake is one, and what is agreed on (RFC 6455 section 4.2)."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidUpgrade
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from .compatibility import accept_key
from .logs import quiet_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.extensions import Extension

    from .handshake import Handshake

_PLAIN: Final = (b"upgrade", b"connection", b"sec-websocket-key", b"origin")
_NEGOTIATED: Final = frozenset(
    # The subprotocol is not among them: it is the application's to choose.
    [b"connection", b"upgrade", b"origin"]
    + [b"sec-websocket-" + each for each in (b"key", b"version", b"extensions")]
)
_DEFLATE: Final = ServerPerMessageDeflateFactory(
    # 4 KiB a direction and connection, as `websockets` itself does.
    server_max_window_bits=12,
    client_max_window_bits=12,
    compress_settings={"memLevel": 5},
)


@dataclass(slots=True)
class Agreement:
    """What a handshake can be accepted with."""

    accept_key: str
    extensions: Sequence[Extension]
    extensions_header: str | None


class Negotiator:
    """Answers handshakes, with the library's checks."""

    def __init__(self, *, deflate: bool) -> None:
        self._has_extensions = deflate
        # One for all: it is asked for answers, and never sends them.
        extensions = [_DEFLATE] if deflate else None
        self._protocol = ServerProtocol(extensions=extensions, logger=quiet_logger)

    def answer(self, handshake: Handshake) -> Agreement | Response:
        """Return what is agreed on, or the response to a bad handshake."""
        wrong = _wrong_with(handshake)
        if wrong is not None:
            return _refusal_of(HTTPStatus.BAD_REQUEST, wrong)
        if handshake.values(b"sec-websocket-version") != [b"13"]:
            response = _refusal_of(HTTPStatus.UPGRADE_REQUIRED, "the WebSocket version must be 13")
            response.headers["Sec-WebSocket-Version"] = "13"
            return response
        if not self._has_extensions and (key := _plain_key(handshake)) is not None:
            return Agreement(accept_key(key), (), None)
        headers = Headers(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in handshake.headers
            if name in _NEGOTIATED
        )
        protocol, request = self._protocol, Request(handshake.target.decode("ascii"), headers)
        try:
            accept, extensions_header, _ = protocol.process_request(request)
        except InvalidUpgrade as error:
            response = _refusal_of(HTTPStatus.UPGRADE_REQUIRED, str(error))
            response.headers["Upgrade"] = "websocket"
            return response
        except InvalidHandshake as error:
            return _refusal_of(HTTPStatus.BAD_REQUEST, str(error))
        return Agreement(accept, protocol.extensions, extensions_header)


def _plain_key(handshake: Handshake) -> str | None:
    """Return the key of a handshake of the form that nearly all have, else None.

    The library, which knows all forms, takes 40 us for one, a tenth of a connection.
    """
    found: dict[bytes, bytes] = {}
    for name, value in handshake.headers:
        if name in _PLAIN:
            if name in found:
                return None
            found[name] = value
    if found.get(b"upgrade", b"").lower() != b"websocket":
        return None
    if found.get(b"connection", b"").lower() not in (b"upgrade", b"keep-alive, upgrade"):
        return None
    key = found.get(b"sec-websocket-key", b"")
    try:
        is_valid = len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except ValueError:
        return None
    return key.decode() if is_valid else None


def _wrong_with(handshake: Handshake) -> str | None:
    if handshake.method != b"GET":
        return "a WebSocket handshake is a GET request"
    if handshake.version != b"HTTP/1.1":
        return "a WebSocket handshake needs HTTP/1.1"
    if handshake.has_body:
        return "a WebSocket handshake has no body"
    if b"#" in handshake.target:
        return "a target has no fragment"
    if len(handshake.values(b"host")) != 1:
        return "a request has one Host header"
    return None


def _refusal_of(status: HTTPStatus, text: str) -> Response:
    body = f"Failed to open a WebSocket connection: {text}.\n".encode()
    headers = Headers({"Content-Type": "text/plain; charset=utf-8"})
    return Response(status, status.phrase, headers, body)
