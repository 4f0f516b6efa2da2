"""WebSockets for Django: declare endpoints, serve them with Daphne."""

from .api import BoltAPI
from .context import ConnectionContext
from .endpoint import Endpoint
from .exceptions import (
    DeclarationError,
    InvalidJSON,
    UnexpectedFrame,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
)
from .states import CloseCode, WebSocketState
from .websocket import WebSocket

__all__ = [
    "BoltAPI",
    "CloseCode",
    "ConnectionContext",
    "DeclarationError",
    "Endpoint",
    "InvalidJSON",
    "UnexpectedFrame",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketDisconnected",
    "WebSocketException",
    "WebSocketState",
]

__version__ = "0.1.0"
