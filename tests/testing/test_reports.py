"""What a test is told of an application that does not answer: enough to see what is wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnect, threads
from bolt_ws.servers import Event, Receive, Send
from bolt_ws.testing import WebSocketRefused, WebSocketTimeout, ending, life
from tests.testing import clients
from tests.testing.clients import TIMEOUT, ClientOf
from tests.testing.test_failures import served

client_of = clients.client_of
pytestmark = pytest.mark.usefixtures("no_thread_left")

for_blocking_handlers = threading.Event()
"""What they wait for where they hang."""


@pytest.fixture(autouse=True)
def _hang_no_longer_than_a_test() -> Iterator[None]:
    for_blocking_handlers.clear()
    yield
    for_blocking_handlers.set()


async def hangs(websocket: WebSocket) -> None:
    await websocket.accept()
    await deeper()


async def deeper() -> None:
    await asyncio.Event().wait()  # the line of the coroutine


def blocking_hangs(websocket: BlockingWebSocket) -> None:
    websocket.accept()
    for_blocking_handlers.wait(clients.SOON)  # the line of the thread


class Hangs(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await asyncio.Event().wait()  # the line of the consumer


async def bare_hangs(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()  # the line of the application


HANGING = [
    (hangs, "waits here", "await asyncio.Event().wait()  # the line of the coroutine"),
    (
        blocking_hangs,
        "The handler runs, in a thread",
        "for_blocking_handlers.wait(clients.SOON)  # the line of the thread",
    ),
    (Hangs, "waits here", "await asyncio.Event().wait()  # the line of the consumer"),
    (bare_hangs, "waits here", "await asyncio.Event().wait()  # the line of the application"),
]


@pytest.mark.parametrize(("given", "how", "line"), HANGING)
def test_a_handler_that_hangs(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, given: Any, how: str, line: str
) -> None:
    monkeypatch.setattr(ending, "FAILED_END_TIMEOUT", TIMEOUT)
    client = client_of(served(given), report_leaks=False, timeout=TIMEOUT)
    with pytest.raises(AssertionError) as left, client.websocket_connect("/") as ws:  # noqa: PT012
        ws.send_text("hello")
        with pytest.raises(WebSocketTimeout) as caught:
            ws.receive_text()
        for_blocking_handlers.set()
        raise AssertionError  # so that nobody waits for the end
    message = str(caught.value)
    assert "No text came from '/' within 0.05 s." in message
    assert "Before, there came: accept." in message
    assert how in message
    assert line in message
    assert f'File "{__file__}", line ' in message
    assert "bolt_ws/consumer.py" not in message  # our own lines explain nothing
    assert getattr(left.value, "__notes__", []) == []


async def only_says(websocket: WebSocket) -> None:
    for number in range(14):
        await websocket.send_text(f"message {number}")
    await websocket.send_text("x" * 500)
    await websocket.send_bytes(b"\x00")
    await websocket.receive_text()


def test_what_had_arrived(client_of: ClientOf) -> None:
    with client_of(served(only_says), timeout=TIMEOUT).websocket_connect("/") as ws:
        for _ in range(16):
            ws.receive()
        with pytest.raises(WebSocketTimeout) as caught:
            ws.receive()
    (arrived,) = (
        line for line in str(caught.value).splitlines() if line.startswith("Before, there came")
    )
    assert arrived.startswith("Before, there came: ..., text 'message 6', text 'message 7', ")
    assert arrived.endswith(f"text '{'x' * 200}'... (500 in all), bytes b'\\x00'.")
    assert "await websocket.receive_text()" in str(caught.value)


# Before the handshake is answered


async def forgets(websocket: WebSocket) -> None:
    await asyncio.Event().wait()  # without an answer


def blocking_forgets(websocket: BlockingWebSocket) -> None:
    for_blocking_handlers.wait(clients.SOON)  # without an answer


class Forgets(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.scope["forever"].wait()  # without an answer


async def bare_forgets(scope: Event, receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.Event().wait()  # without an answer


@pytest.mark.parametrize("given", [forgets, blocking_forgets, Forgets, bare_forgets])
def test_a_handshake_without_an_answer(
    client_of: ClientOf,
    monkeypatch: pytest.MonkeyPatch,
    given: Any,
) -> None:
    monkeypatch.setattr(life, "HANDSHAKE_TIMEOUT", 2 * TIMEOUT)
    monkeypatch.setattr(ending, "FAILED_END_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(threads, "GRACE", 4 * TIMEOUT)
    if given is blocking_forgets:
        threading.Timer(4 * TIMEOUT, for_blocking_handlers.set).start()
    client = client_of(served(given), timeout=0.01)
    with (
        pytest.raises(WebSocketTimeout) as caught,
        client.websocket_connect("/", scope={"forever": asyncio.Event()}),
    ):
        pytest.fail("it was accepted")
    message = str(caught.value)
    assert message.startswith("'/' did not answer the handshake within 0.1 s.\n")
    assert "Nothing had come before." in message
    assert "# without an answer" in message
    assert "accept(), with its first send or receive, or when it ends." in message
    (note,) = caught.value.__notes__
    assert "'/' had not ended 0.05 s after its client had left, and was cancelled." in note
    assert "# without an answer" in note


def test_a_response_that_is_not_finished(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "HANDSHAKE_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(ending, "FAILED_END_TIMEOUT", TIMEOUT)

    async def bare(scope: Event, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 400, "headers": []})
        await asyncio.Event().wait()  # without a body

    with (
        pytest.raises(WebSocketRefused, match="refused the handshake with 400") as caught,
        client_of(bare, timeout=0.01).websocket_connect("/"),
    ):
        pass
    (note,) = caught.value.__notes__
    assert "'/' had not ended 0.05 s after" in note
    assert "# without a body" in note


# After the end


def test_a_handler_that_ends_too_soon(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("only this")

    with client_of(api).websocket_connect("/") as ws:
        assert ws.receive_text() == "only this"
        with pytest.raises(WebSocketDisconnect, match="1000"):
            ws.receive_text()


def test_an_application_that_ends_without_a_close(client_of: ClientOf) -> None:
    async def bare(scope: Event, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    with client_of(bare).websocket_connect("/") as ws:
        ws.assert_closed(1000)


def test_a_debugger_has_all_the_time(client_of: ClientOf) -> None:
    seconds = 3 * TIMEOUT

    async def slow(websocket: WebSocket) -> None:
        await asyncio.sleep(seconds)
        await websocket.accept()
        await asyncio.sleep(seconds)
        await websocket.send_text("at last")

    with client_of(served(slow), timeout=TIMEOUT).websocket_connect("/", timeout=None) as ws:
        assert ws.receive_text() == "at last"
