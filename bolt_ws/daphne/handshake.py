"""What a client asks for with its handshake, and how an application sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ..servers import PREPARED_EXTENSION
from .frames import PreparedMessage


@dataclass(slots=True, repr=False)  # the target may hold a token
class Handshake:
    """What a client asked for, and who it is."""

    method: bytes
    version: bytes
    target: bytes
    """Path and query, as they came."""
    headers: list[tuple[bytes, bytes]]
    """Lower-case names, in the order in which they came."""
    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    root_path: str
    has_body: bool

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    def values(self, name: bytes) -> list[bytes]:
        """Return what the header fields of this name say."""
        return [value for each, value in self.headers if each == name]

    @property
    def subprotocols(self) -> list[str]:
        listed = b",".join(self.values(b"sec-websocket-protocol")).decode("latin-1")
        return [each for part in listed.split(",") if (each := part.strip())]


def make_scope(handshake: Handshake) -> dict[str, Any]:
    """Return the scope of a connection (ASGI WebSocket specification 2.5)."""
    path, _, query = handshake.target.partition(b"?")
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": handshake.scheme,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": handshake.root_path,
        "headers": handshake.headers,
        "client": handshake.client,
        "server": handshake.server,
        "subprotocols": handshake.subprotocols,
        "extensions": {
            "websocket.http.response": {},
            PREPARED_EXTENSION: {"prepare": PreparedMessage},
        },
    }
