"""Leaving a block: the handler has ended, and what goes on all the same is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    Depends,
    WebSocket,
    threads,
)
from bolt_ws.servers import Event, Receive, Send
from bolt_ws.testing import LeftBehind, ending
from tests.testing import clients
from tests.testing.clients import TIMEOUT, ClientOf
from tests.testing.test_failures import served

client_of = clients.client_of
pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection has long to end."""
    for name in ("END_TIMEOUT", "FAILED_END_TIMEOUT", "CANCEL_TIMEOUT", "TASKS_TIMEOUT"):
        monkeypatch.setattr(ending, name, TIMEOUT)
    monkeypatch.setattr(threads, "GRACE", TIMEOUT / 2)


# What ends


def test_all_cleanup_has_run(client_of: ClientOf) -> None:
    ran: list[str] = []
    api = BoltAPI()

    async def awaited() -> AsyncIterator[None]:
        try:
            yield
        finally:
            ran.append("dependency")

    def plain() -> Iterator[None]:
        try:
            yield
        finally:
            ran.append("plain dependency")

    @api.websocket("/coroutine")
    async def coroutine(
        websocket: WebSocket, a: object = Depends(awaited), b: object = Depends(plain)
    ) -> None:
        try:
            await websocket.receive_text()
        finally:
            await asyncio.sleep(0.01)
            ran.append("finally")

    @api.websocket("/blocking")
    def blocking(
        websocket: BlockingWebSocket, a: object = Depends(awaited), b: object = Depends(plain)
    ) -> None:
        try:
            websocket.receive_text()
        finally:
            ran.append("finally")

    @coroutine.on_close
    @blocking.on_close
    async def gone(websocket: WebSocket, code: int) -> None:
        ran.append(f"on_close {code}")

    for path in ("/coroutine", "/blocking"):
        with client_of(api).websocket_connect(path):
            assert ran == []
        assert ran == ["finally", "on_close 1000", "plain dependency", "dependency"]
        ran.clear()


async def only_sends(websocket: WebSocket) -> None:
    while True:
        await websocket.send_text("again")
        await asyncio.sleep(0)


def blocking_only_sends(websocket: BlockingWebSocket) -> None:
    while True:
        websocket.send_text("again")


class OnlySends(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        while True:
            await self.send("again")
            await asyncio.sleep(0)


@pytest.mark.parametrize("given", [only_sends, blocking_only_sends, OnlySends])
def test_a_handler_that_only_sends_ends(client_of: ClientOf, given: Any) -> None:
    with client_of(served(given)).websocket_connect("/") as ws:
        assert ws.receive_text() == "again"
    assert ws.error is None


class SaysGoodbye(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def disconnect(self, code: int) -> None:
        await self.send("goodbye")  # Daphne passes it over


def test_a_consumer_that_answers_the_end(client_of: ClientOf) -> None:
    client = client_of(served(SaysGoodbye))
    with client.websocket_connect("/"):
        pass
    with client.websocket_connect("/") as ws:
        ws.close()


# What does not


async def ignores_the_end(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.Event().wait()  # for ever


class Ignores(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def disconnect(self, code: int) -> None:
        await asyncio.Event().wait()  # for ever


async def bare_ignores(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()  # for ever


IGNORING = [ignores_the_end, Ignores, bare_ignores]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("given", IGNORING)
def test_a_handler_that_ignores_the_end(client_of: ClientOf, given: Any) -> None:
    client = client_of(served(given))
    with pytest.raises(LeftBehind) as caught, client.websocket_connect("/"):
        pass
    message = str(caught.value)
    assert message.startswith(
        "'/' had not ended 0.05 s after its client had left, and was cancelled."
    )
    assert f'File "{__file__}", line ' in message
    assert "# for ever" in message
    assert "It goes on" not in message


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("given", IGNORING)
def test_a_handler_that_ignores_the_end_of_a_failed_test(client_of: ClientOf, given: Any) -> None:
    wrong = AssertionError("of the test")
    client = client_of(served(given))
    with pytest.raises(AssertionError) as caught, client.websocket_connect("/"):
        raise wrong
    assert caught.value is wrong
    (note,) = wrong.__notes__
    assert "had not ended 0.05 s after its client had left" in note


@pytest.mark.usefixtures("impatient")
def test_a_handler_that_ignores_being_cancelled(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(4 * TIMEOUT)  # stubbornly

    with pytest.raises(LeftBehind) as caught, client_of(api).websocket_connect("/"):
        pass
    message = str(caught.value)
    assert "It goes on 0.05 s after it was cancelled." in message
    assert "# stubbornly" in message


@pytest.mark.usefixtures("impatient")
def test_a_task_that_is_left(client_of: ClientOf) -> None:
    tasks = set()
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        tasks.add(asyncio.create_task(ticking(), name="the ticker"))

    async def ticking() -> None:
        await asyncio.Event().wait()  # in the task

    with pytest.raises(LeftBehind) as caught, client_of(api).websocket_connect("/") as ws:
        ws.assert_closed(1000)
    message = str(caught.value)
    assert message.startswith("'/' has left the task 'the ticker' behind, which waits here:\n")
    assert "# in the task" in message
    assert all(task.cancelled() for task in tasks)


def test_a_task_that_ends_with_its_connection_is_none(client_of: ClientOf) -> None:
    tasks = set()
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        tasks.add(asyncio.create_task(asyncio.sleep(0.01)))
        cancelled = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        cancelled.cancel()
        tasks.add(cancelled)

    with client_of(api).websocket_connect("/"):
        pass
    assert all(task.done() for task in tasks)


@pytest.mark.usefixtures("impatient")
def test_a_thread_that_is_left(client_of: ClientOf) -> None:
    go_on = threading.Event()
    api = BoltAPI()

    @api.websocket("/")
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        go_on.wait(clients.SOON)  # in the thread
        ended.set()

    ended = threading.Event()
    with pytest.raises(LeftBehind) as caught, client_of(api).websocket_connect("/"):
        pass
    message = str(caught.value)
    assert "'/' has left its handler behind, in a thread:\n" in message
    assert "go_on.wait(clients.SOON)  # in the thread" in message
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(clients.SOON)
    wait_until_no_handler_runs()


def wait_until_no_handler_runs() -> None:
    """Wait for what a thread does after its handler, for at most a second."""
    for _ in range(1000):
        if not threads.running():
            return
        threading.Event().wait(0.001)


@pytest.mark.usefixtures("impatient")
def test_a_client_that_does_not_report(client_of: ClientOf) -> None:
    tasks = set()
    api = BoltAPI()

    @api.websocket("/task")
    async def task(websocket: WebSocket) -> None:
        await websocket.accept()
        tasks.add(asyncio.create_task(asyncio.Event().wait()))

    @api.websocket("/hangs")
    async def hangs(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.Event().wait()

    with client_of(api, report_leaks=False) as client:
        with client.websocket_connect("/task"):
            pass
        with client.websocket_connect("/hangs"):
            pass
    assert all(task.cancelled() for task in tasks)
