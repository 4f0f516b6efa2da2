"""WebSockets for Django: declare endpoints, serve them with Daphne."""

from . import status
from .anywhere import room, user
from .api import BoltAPI, WebSocketRoute
from .blocking import BlockingWebSocket
from .context import ConnectionContext
from .disconnecting import (
    adisconnect_user,
    adisconnect_where,
    disconnect_user,
    disconnect_where,
)
from .endpoint import Endpoint
from .exceptions import (
    DeclarationError,
    InvalidJSON,
    InvalidMessage,
    RoomUnavailable,
    UnexpectedFrame,
    WebSocketClose,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
    WebSocketRejected,
)
from .handshake import Handshake
from .markers import Cookie, Depends, Header, Path, Query
from .messages import Message
from .rooms.room import Room
from .shutdown import shutting_down
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
    "Handshake",
    "Header",
    "InvalidJSON",
    "InvalidMessage",
    "Message",
    "Path",
    "Query",
    "Room",
    "RoomUnavailable",
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
    "adisconnect_user",
    "adisconnect_where",
    "disconnect_user",
    "disconnect_where",
    "room",
    "shutting_down",
    "status",
    "user",
]

__version__ = "0.1.0"
