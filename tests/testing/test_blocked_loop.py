"""A coroutine handler that blocks: the synchronous client says where, and the next one works."""

from __future__ import annotations

import threading

import pytest
from channels.layers import channel_layers

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.testing import LeftBehind, TestClient, runtime
from tests.testing.clients import SOON


def test_a_handler_that_blocks_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PATIENCE", 0.1)
    go_on = threading.Event()
    blocking = BoltAPI()

    @blocking.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("first")
        await websocket.receive_text()
        go_on.wait(SOON)  # as time.sleep() would

    before = channel_layers.backends
    with (  # noqa: PT012
        pytest.raises(LeftBehind) as caught,
        TestClient(blocking) as client,
        client.websocket_connect("/") as ws,
    ):
        assert ws.receive_text() == "first"
        ws.send_text("go on")
        ws.receive_text(timeout=SOON)
    message = str(caught.value)
    assert message.startswith("The event loop stands still: for 0.1 s, a coroutine has blocked it")
    assert "go_on.wait(SOON)  # as time.sleep() would" in message
    assert f'File "{__file__}", line ' in message
    assert "make the handler a plain function" in message

    (stuck,) = (each for each in threading.enumerate() if each.name == "bolt_ws-testing")
    with TestClient(make_echo()) as client:  # the next test
        layers = channel_layers.backends
        assert says_hello(client)
        go_on.set()
        stuck.join(SOON)
        assert not stuck.is_alive()
        assert says_hello(client)
        assert channel_layers.backends is layers
    assert channel_layers.backends is before


def test_a_loop_that_is_blocked_while_the_block_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PATIENCE", 0.1)
    go_on = threading.Event()
    blocking = BoltAPI()

    @blocking.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()
        go_on.wait(SOON)  # while it ends

    with (
        pytest.raises(LeftBehind, match="# while it ends"),
        TestClient(blocking) as client,
        client.websocket_connect("/"),
    ):
        pass
    (stuck,) = (each for each in threading.enumerate() if each.name == "bolt_ws-testing")
    go_on.set()
    stuck.join(SOON)


def make_echo() -> BoltAPI:
    api = BoltAPI()

    @api.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return api


def says_hello(client: TestClient) -> bool:
    """Whether an echo comes back through a new connection."""
    with client.websocket_connect("/") as ws:
        ws.send_text("hello")
        return ws.receive_text() == "hello"
