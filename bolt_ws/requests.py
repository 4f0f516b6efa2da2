"""A connection's handshake as Django's own request."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import quote_from_bytes

from django.core.handlers.asgi import ASGIRequest

from .handshake import Handshake

_SCHEMES = {"ws": "http", "wss": "https"}


class HandshakeRequest(ASGIRequest):
    """The GET request that opened a connection, with an empty body.

    `params` are the path's parameters. `user` and `auser` are the connection's, and are there if
    somebody authenticated or middleware around the application found a user (Channels'
    `AuthMiddlewareStack`); `session` is there if middleware found one. A token that an
    authentication backend took is not in it.
    """

    def __init__(self, handshake: Handshake) -> None:
        scope = {**handshake.scope, "method": "GET"}
        if "scheme" in scope:
            scope["scheme"] = _SCHEMES.get(scope["scheme"], scope["scheme"])
        # Django decodes it as UTF-8 and would fail on a client that did not escape Latin-1.
        raw = scope.get("query_string", b"")
        if not raw.isascii():
            scope["query_string"] = quote_from_bytes(raw, safe=bytes(range(128))).encode()
        super().__init__(scope, BytesIO())
        self.params: Mapping[str, Any] = handshake.path_params
        if "session" in scope:
            self.session = scope["session"]
        self._handshake = handshake

    def __getattr__(self, name: str) -> Any:
        # Asked for and no attributes of the scope's user: a cookie may be somebody else's than the
        # token, and a user that is not loaded yet costs a query.
        if name in ("user", "auser"):
            handshake = self._handshake
            if "user" in handshake.scope or handshake.context.get("user_id") is not None:
                return getattr(handshake, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def get_request(handshake: Handshake) -> HandshakeRequest:
    """Return the handshake as a request, the same one each time."""
    found: HandshakeRequest | None = handshake._cache.get("request")
    # Made before an authentication backend took its token, it still holds that.
    if found is None or found.scope["query_string"] != handshake.scope.get("query_string", b""):
        found = handshake._cache["request"] = HandshakeRequest(handshake)
    return found
