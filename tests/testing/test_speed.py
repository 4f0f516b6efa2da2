"""A connection through a test client costs less than Channels' own communicator would."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.testing import AsyncTestClient, TestClient

ROUNDS = 3
CONNECTIONS = 250
AT_MOST = 2.0
"""Times what the communicator takes."""

api = BoltAPI()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


class Echo(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data)


async def with_communicator() -> None:
    application = Echo.as_asgi()
    for _ in range(CONNECTIONS):
        communicator = WebsocketCommunicator(application, "/echo")
        await communicator.connect()
        await communicator.send_to(text_data="hello")
        assert await communicator.receive_from() == "hello"
        await communicator.disconnect()


async def with_async_client() -> None:
    async with AsyncTestClient(api) as client:
        for _ in range(CONNECTIONS):
            async with client.websocket_connect("/echo") as ws:
                await ws.send_text("hello")
                assert await ws.receive_text() == "hello"


def with_client() -> None:
    with TestClient(api) as client:
        for _ in range(CONNECTIONS):
            with client.websocket_connect("/echo") as ws:
                ws.send_text("hello")
                assert ws.receive_text() == "hello"


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


@pytest.mark.timing
def test_connects_and_echoes_take_little_time() -> None:
    runs: dict[str, Callable[[], object]] = {
        "WebsocketCommunicator": lambda: asyncio.run(with_communicator()),
        "AsyncTestClient": lambda: asyncio.run(with_async_client()),
        "TestClient": with_client,
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):  # in turns, for the machine's pace changes
        for name, run in runs.items():
            taken[name].append(seconds(run))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    limit = AT_MOST * medians["WebsocketCommunicator"]
    assert medians["AsyncTestClient"] < limit, medians
    assert medians["TestClient"] < limit, medians
