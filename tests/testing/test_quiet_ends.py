"""What ends a handler in silence, and what runs on in a thread: a test is told of both."""

import threading
from typing import Any

import pytest

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnect, WebSocketState
from bolt_ws.testing import LeftBehind, TestClient, WebSocketTestClient

api = BoltAPI()
go_on = threading.Event()


@api.websocket("/after")
async def after(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4000, "enough")
    await websocket.send_text("one more")


@api.websocket("/plain_after")
def plain_after(websocket: BlockingWebSocket) -> None:
    websocket.accept()
    websocket.close(4000, "enough")
    websocket.send_text("one more")


@api.websocket("/thread")
async def starts_a_thread(websocket: WebSocket) -> None:
    await websocket.accept()
    threading.Thread(target=go_on.wait, name="the thread of a handler").start()


@pytest.mark.parametrize("path", ["/after", "/plain_after"])
def test_a_handler_that_sends_after_its_own_close(path: str) -> None:
    with WebSocketTestClient(api, path) as ws, pytest.raises(WebSocketDisconnect) as caught:
        ws.receive_text()
    assert caught.value.code == 4000
    (note,) = caught.value.__notes__
    assert note.startswith(f"The handler of {path!r} has ended with: Cannot ")
    assert "the connection has ended (4000: enough)" in note


def test_a_client_that_closes_is_no_news() -> None:
    with WebSocketTestClient(api, "/after") as ws:
        ws.vanish()
        with pytest.raises(WebSocketDisconnect) as caught:
            ws.receive_text()
    assert not hasattr(caught.value, "__notes__")


def test_a_thread_that_a_handler_left() -> None:
    go_on.clear()
    try:
        with (
            pytest.raises(
                LeftBehind, match="'/thread' has left the thread 'the thread of a handle"
            ),
            WebSocketTestClient(api, "/thread"),
        ):
            pass
    finally:
        go_on.set()


def test_a_thread_of_the_test_is_not_the_handlers() -> None:
    go_on.clear()
    own = threading.Thread(target=go_on.wait)
    with WebSocketTestClient(api, "/after"):
        own.start()
    go_on.set()
    own.join()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def test_a_session_that_was_left_is_closed() -> None:
    with WebSocketTestClient(api, "/echo") as ws:
        pass
    assert (ws.state, ws.close_code) == (WebSocketState.DISCONNECTED, 1000)


async def test_a_session_of_a_coroutine_that_was_left_is_closed() -> None:
    async with WebSocketTestClient(api, "/echo") as ws:
        pass
    with pytest.raises(WebSocketDisconnect):
        await ws.send_text("too late")


def test_a_connection_that_was_not_entered_says_so() -> None:
    ws: Any = TestClient(api).websocket_connect("/echo")
    with pytest.raises(RuntimeError, match="not connected yet: `with client"):
        ws.send_text("hello")
    with pytest.raises(AttributeError, match="no attribute 'send_nothing'"):
        ws.send_nothing()
