"""Testing WebSockets: clients that drive the application itself, in process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .async_client import AsyncTestClient
from .blocking_session import WebSocketSession
from .capture import Broadcast, capture_broadcasts
from .client import TestClient, WebSocketTestClient
from .login import token_for
from .reports import Unexpected, WebSocketRefused, WebSocketTimeout
from .session import AsyncWebSocketSession
from .stacks import LeftBehind

if TYPE_CHECKING:
    from .live import LiveServer, ProtocolServerProcess

__all__ = [
    "AsyncTestClient",
    "AsyncWebSocketSession",
    "Broadcast",
    "LeftBehind",
    "LiveServer",
    "ProtocolServerProcess",
    "TestClient",
    "Unexpected",
    "WebSocketRefused",
    "WebSocketSession",
    "WebSocketTestClient",
    "WebSocketTimeout",
    "capture_broadcasts",
    "token_for",
]


def __getattr__(name: str) -> Any:
    # Daphne is imported only by those who start one.
    if name in ("LiveServer", "ProtocolServerProcess"):
        from . import live

        return getattr(live, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
