"""What no server would take: too much, too little, or after the end, and the words for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bolt_ws import WebSocket, WebSocketDisconnect
from bolt_ws.servers import Event, Receive, Send
from tests.testing import clients
from tests.testing.clients import ClientOf
from tests.testing.test_failures import served

client_of = clients.client_of


async def bare_twice(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.accept"})


async def bare_without_accept(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.send", "text": "hello"})


async def bare_after_close(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})
    await send({"type": "websocket.send", "text": "hello"})


async def bare_close_twice(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})
    await send({"type": "websocket.close"})


async def bare_with_both(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello", "bytes": b"hello"})


async def bare_with_neither(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send"})


async def bare_with_a_wrong_code(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1005})


async def bare_with_a_wrong_subprotocol(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept", "subprotocol": "chat"})


async def bare_of_http(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


async def accepts_twice(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.accept()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (bare_twice, 'Expected ASGI message "websocket.send" or "websocket.close", but got'),
        (bare_without_accept, 'Expected ASGI message "websocket.accept", "websocket.close" or'),
        (bare_after_close, 'sent "websocket.send" after "websocket.close", which ended it'),
        (bare_close_twice, 'sent "websocket.close" after "websocket.close", which ended it'),
        (bare_with_both, 'A "websocket.send" holds either "text" or "bytes", and nothing else'),
        (bare_with_neither, 'A "websocket.send" holds either "text" or "bytes"'),
        (bare_with_a_wrong_code, "close code 1005 must not be sent"),
        (bare_with_a_wrong_subprotocol, "subprotocol 'chat' was not offered"),
        (bare_of_http, "but got 'http.response.start'"),
        (accepts_twice, 'Expected ASGI message "websocket.send" or "websocket.close", but got'),
    ],
)
def test_what_no_server_would_take(
    client_of: ClientOf, given: Callable[..., Any], message: str
) -> None:
    with (
        pytest.raises((RuntimeError, ValueError), match=re.escape(message)),
        client_of(served(given)).websocket_connect("/") as ws,
        suppress(WebSocketDisconnect),  # of the close before
    ):
        ws.receive_text()
