"""WebSockets for Django: declare endpoints, serve them with Daphne."""

from . import status
from .api import BoltAPI, WebSocketRoute
from .blocking import BlockingWebSocket
from .context import ConnectionContext
from .endpoint import Endpoint
from .exceptions import (
    DeclarationError,
    InvalidJSON,
    InvalidMessage,
    UnexpectedFrame,
    WebSocketClose,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
    WebSocketRejected,
)
from .markers import Cookie, Depends, Header, Path, Query
from .messages import Message
from .states import CloseCode, WebSocketState
from .websocket import WebSocket

Router = BoltAPI
"""Bocadillo's name for an API that another one includes."""
WebSocketMessage = Message
"""Cello's name for `Message`."""

__all__ = [
    "BlockingWebSocket",
    "BoltAPI",
    "CloseCode",
    "ConnectionContext",
    "Cookie",
    "DeclarationError",
    "Depends",
    "Endpoint",
    "Header",
    "InvalidJSON",
    "InvalidMessage",
    "Message",
    "Path",
    "Query",
    "Router",
    "UnexpectedFrame",
    "WebSocket",
    "WebSocketClose",
    "WebSocketDisconnect",
    "WebSocketDisconnected",
    "WebSocketException",
    "WebSocketMessage",
    "WebSocketRejected",
    "WebSocketRoute",
    "WebSocketState",
    "status",
]

__version__ = "0.1.0"
