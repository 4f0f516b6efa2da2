"""The end of the server: in batches, in time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.test import override_settings

from bolt_ws.daphne import shutdown

from .client import Client, connected
from .fakes import Held, Server, settle


async def clients_of(server: Server, count: int, stack: AsyncExitStack) -> list[Client]:
    clients = []
    for _ in range(count):
        server.application = None  # each has one of its own
        clients.append(await stack.enter_async_context(connected(server)))
    server.is_stopping = True
    await settle()
    return clients


def answer_closes(clients: list[Client]) -> None:
    """Have all clients answer as they would."""
    for client in clients:
        client.look()
        if client.closes and not client.transport.is_closing():
            client.close()


async def shut_down(server: Server, clients: list[Client]) -> None:
    task = asyncio.create_task(shutdown.shut_down(server))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        while not task.done():
            await asyncio.sleep(0.001)
            answer_closes(clients)
        await task


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between batches, which take no time."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if seconds > 0.01:
            made.append(seconds)
        await sleep(0 if seconds > 0.01 else seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    return made


async def test_all_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "daphne.server")
    server = Server()
    async with AsyncExitStack() as stack:
        clients = await clients_of(server, 5, stack)
        await shut_down(server, clients)
        assert [client.closes for client in clients] == [[(1012, "")]] * 5
        assert [client.transport.calls for client in clients] == [["close"]] * 5
        assert [client.application.cancelled for client in clients] == [1] * 5
        assert server.websockets == set()
        assert [record.getMessage() for record in caplog.records] == [
            "Closing 5 WebSocket connections"
        ]


async def test_nobody_is_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "daphne.server")
    await shut_down(Server(), [])
    assert caplog.records == []


@override_settings(BOLT_WS={"DAPHNE_SHUTDOWN_BATCH": 2, "DAPHNE_SHUTDOWN_PAUSE": 0.5})
async def test_batches(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    server = Server()
    told: list[int] = []
    async with AsyncExitStack() as stack:
        clients = await clients_of(server, 5, stack)

        def note(low: float, high: float) -> float:
            told.append(sum(client.connection._is_stopping for client in clients))
            assert (low, high) == (0.5, 1.5)
            return 1.0

        monkeypatch.setattr("random.uniform", note)
        await shut_down(server, clients)
        assert told == [2, 4]
        assert pauses == [0.5, 0.5]


@override_settings(
    BOLT_WS={
        "DAPHNE_SHUTDOWN_BATCH": 1,
        "DAPHNE_SHUTDOWN_PAUSE": 60.0,
        "DAPHNE_SHUTDOWN_TIMEOUT": 4.0,
    }
)
async def test_pauses_leave_time(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """Half of the time is for the connections to end, however many there are."""
    server = Server()
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)
    async with AsyncExitStack() as stack:
        clients = await clients_of(server, 4, stack)
        await shut_down(server, clients)
        assert pauses == [0.5] * 3


@override_settings(BOLT_WS={"DAPHNE_SHUTDOWN_TIMEOUT": 0.05})
async def test_who_does_not_end_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    async with AsyncExitStack() as stack:
        stubborn, silent, good = await clients_of(server, 3, stack)
        stubborn.application.ignores_cancelling = True
        await shut_down(server, [good])
        for client in (stubborn, silent):
            client.look()
            assert client.closes == [(1012, "")]
            assert client.transport.calls == ["abort"]
        assert good.transport.calls == ["close"]
        (record,) = caplog.records
        assert record.getMessage() == "Dropped 2 WebSocket connections that did not end"


async def test_cleanup_may_take_its_time_and_talk() -> None:
    server = Server()
    async with AsyncExitStack() as stack:
        (client,) = await clients_of(server, 1, stack)
        application: Held = client.application

        async def clean_up() -> None:
            await asyncio.sleep(0.01)
            await application.send({"type": "websocket.send", "text": "goodbye"})

        application.on_cancel = clean_up
        await shut_down(server, [client])
        assert client.messages == ["goodbye"]
        assert client.closes == [(1012, "")]


async def test_what_answers_requests_is_cancelled_too() -> None:
    server = Server()
    cleaned: list[str] = []

    async def answer() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("up")

    task = asyncio.create_task(answer())
    server.connections = {"one": {"application_instance": task}, "fresh": {}}
    await settle()
    await shut_down(server, [])
    assert task.cancelled()
    assert cleaned == ["up"]


async def test_a_connection_in_its_handshake() -> None:
    server = Server()
    async with AsyncExitStack() as stack:
        (client,) = await clients_of(server, 1, stack)
        late = Client(server)
        late.connection.connection_made(late.transport)
        task: Any = asyncio.create_task(shutdown.shut_down(server))  # type: ignore[arg-type]
        await settle()
        assert late.raw.startswith(b"HTTP/1.1 503 ")
        await late.end()
        answer_closes([client])
        async with asyncio.timeout(5):
            await task
