"""The order of messages to the server (ASGI specification, "WebSocket")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .servers import DENIAL_EXTENSION, Event, can_deny, encode_headers
from .states import WebSocketState, check_close

CONNECTING = WebSocketState.CONNECTING
CONNECTED = WebSocketState.CONNECTED
DISCONNECTED = WebSocketState.DISCONNECTED
RESPONSE = WebSocketState.RESPONSE

_EXPECTED = {
    CONNECTING: '"websocket.accept", "websocket.close" or "websocket.http.response.start"',
    CONNECTED: '"websocket.send" or "websocket.close"',
    RESPONSE: '"websocket.http.response.body"',
}


def step(state: WebSocketState, event: Event, scope: Mapping[str, Any]) -> WebSocketState:
    """Return the application's state after `event`, which changes it.

    Raises `RuntimeError` for one out of order, `ValueError` for one that must not be sent.
    """
    kind = event.get("type")
    if kind == "websocket.accept" and state is CONNECTING:
        event["headers"] = encode_headers(event.get("headers"))
        _check_subprotocol(event.get("subprotocol"), scope.get("subprotocols") or ())
        return CONNECTED
    if kind == "websocket.close" and state in (CONNECTING, CONNECTED):
        event["code"] = check_close(event.get("code", 1000), event.get("reason"))
        return DISCONNECTED
    if kind == "websocket.http.response.start" and state is CONNECTING:
        if not can_deny(scope):
            raise RuntimeError(
                "The server doesn't support the Websocket Denial Response extension "
                f"({DENIAL_EXTENSION})."
            )
        return RESPONSE
    if kind == "websocket.http.response.body" and state is RESPONSE:
        return RESPONSE if event.get("more_body", False) else DISCONNECTED
    raise out_of_order(state, kind)


def out_of_order(state: WebSocketState, came: object) -> RuntimeError:
    """Return the error that says what was expected and what came."""
    hint = ": call accept() first" if state is CONNECTING and came in ("send", "receive") else ""
    return RuntimeError(f"Expected ASGI message {_EXPECTED[state]}, but got {came!r}{hint}")


def check_frame(event: Event) -> str | bytes:
    """Return what a `websocket.send` holds. Raises `ValueError` unless it is one text or bytes."""
    text, data = event.get("text"), event.get("bytes")
    if isinstance(text, str) and data is None:
        return text
    if isinstance(data, bytes) and text is None:
        return data
    raise ValueError('A "websocket.send" holds either "text" or "bytes", and nothing else')


def _check_subprotocol(chosen: str | None, offered: Any) -> None:
    if chosen is not None and chosen not in offered:
        raise ValueError(
            f"subprotocol {chosen!r} was not offered: the client offered "
            f"{', '.join(map(repr, offered)) or 'none'}"
        )
