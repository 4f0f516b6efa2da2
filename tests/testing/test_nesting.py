"""Clients, sessions and threads in each other: what works, and what says that it does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.testing import (
    AsyncTestClient,
    LeftBehind,
    TestClient,
    WebSocketSession,
    WebSocketTimeout,
    environment,
    runtime,
)
from tests.testing import clients
from tests.testing.clients import SOON, TIMEOUT, ClientOf
from tests.testing.test_runtime import api, says, standing

client_of = clients.client_of


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """All is as it was before."""
    before = standing()
    yield
    assert standing() == before


def in_a_thread(function: Any) -> Any:
    """Return what `function` returns in another thread, or what it raises."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    other = threading.Thread(target=run, name="another thread", daemon=True)
    other.start()
    other.join(SOON)
    return results[0]


# Entered more than once


def test_a_client_that_is_entered_again_inside(client_of: ClientOf) -> None:
    with client_of(api) as client:
        with client as same, same.websocket_connect("/echo") as ws:
            assert same is client
            ws.send_text("hello")
            assert ws.receive_text() == "hello"
        assert says(client)


def test_a_fixture_that_is_entered_again(websocket_client: TestClient) -> None:
    with websocket_client as client:
        assert client is websocket_client


async def test_a_loop_of_a_client_that_is_entered_again_inside() -> None:
    client = AsyncTestClient(api)
    async with client, client:
        pass
    assert asyncio.get_running_loop().get_task_factory() is None
    assert asyncio.get_running_loop() not in environment._environments


def test_a_connection_that_is_entered_again_inside(client_of: ClientOf) -> None:
    connection = client_of(api).websocket_connect("/echo")
    with connection as one, connection as two:
        for ws in (one, two, one):
            ws.send_text("hello")
            assert ws.receive_text() == "hello"


# Waits within waits


def test_synchronous_code_that_waits_for_another_session() -> None:
    api = BoltAPI()
    answers = []

    @api.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @api.websocket("/nests")
    async def nests(websocket: WebSocket) -> None:
        await websocket.receive_text()
        inner = asyncio.ensure_future(sync_to_async(waits)())
        while not inside:  # noqa: ASYNC110  # it is set in the test's thread
            await asyncio.sleep(0.001)
        await websocket.send_text("done")  # ends the outer wait, while the inner one goes on
        await inner

    inside: list[bool] = []

    def waits() -> None:
        other.send_text("hello")
        answers.append(other.receive_text())
        inside.append(True)
        with pytest.raises(WebSocketTimeout):
            other.receive_text(timeout=TIMEOUT)

    with (
        TestClient(api) as client,
        client.websocket_connect("/echo") as other,
        client.websocket_connect("/nests") as ws,
    ):
        ws.send_text("go on")
        assert ws.receive_text() == "done"
    assert answers == ["hello"]


def test_a_plain_on_connect_that_waits_for_its_client(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("handler")

    @handler.on_connect
    def greet(websocket: BlockingWebSocket) -> str:
        websocket.accept()
        return f"Welcome, {websocket.receive_text()}"

    with client_of(api).websocket_connect("/") as ws:
        ws.send_text("Ann")
        assert [ws.receive_text(), ws.receive_text()] == ["Welcome, Ann", "handler"]


async def test_two_tasks_that_receive_from_one_session() -> None:
    async with AsyncTestClient(api).websocket_connect("/echo") as ws:
        first = asyncio.ensure_future(ws.receive_text())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is receiving from '/echo'"):
            await ws.receive_text()
        await ws.send_text("hello")
        assert await first == "hello"


# Other threads


def test_a_session_in_another_thread() -> None:
    with TestClient(api) as client, client.websocket_connect("/echo") as ws:
        error = in_a_thread(ws.receive_text)
        assert isinstance(error, RuntimeError)
        assert str(error) == (
            "a session belongs to the thread 'MainThread', and 'another thread' used it: "
            "open a client in each thread"
        )
        ws.send_text("hello")
        assert ws.receive_text() == "hello"
        assert in_a_thread(lambda: says(client)) is True  # with a loop of its own


def plain_api(function: Any) -> BoltAPI:
    """Return an API whose blocking handler sends what `function` raises."""
    api = BoltAPI()

    @api.websocket("/")
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        try:
            function()
        except RuntimeError as error:
            websocket.send_text(str(error))

    return api


async def connects() -> None:
    async with AsyncTestClient(api):
        pass


@pytest.mark.parametrize(
    ("outer", "opens"),
    [
        (TestClient, TestClient(api).__enter__),
        (TestClient, lambda: asyncio.run(connects())),
    ],
)
def test_a_client_in_a_handlers_thread(outer: Any, opens: Any) -> None:
    with outer(plain_api(opens)).websocket_connect("/") as ws:
        assert ws.receive_text().startswith(
            "a test client was opened in a thread that another client runs, a handler's for"
        )


def test_threads_start_as_ever_afterwards() -> None:
    before = threading.Thread.start
    with TestClient(api), TestClient(api):
        assert threading.Thread.start is not before
    assert threading.Thread.start is before


def test_whoever_replaces_a_threads_start_meanwhile_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TestClient(api):
        theirs = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", lambda self: theirs(self))
        replaced = threading.Thread.start
    assert threading.Thread.start is replaced
    monkeypatch.undo()
    with TestClient(api):
        pass
    threading.Thread.start = theirs.__wrapped__  # type: ignore[attr-defined,method-assign]


# After the end, and where there was no beginning


def test_a_session_of_a_client_that_was_closed() -> None:
    with TestClient(api) as client, client.websocket_connect("/echo") as ws:
        pass
    assert isinstance(ws, WebSocketSession)
    for call in (ws.receive_text, lambda: ws.send_text("hello"), ws.close, ws.vanish):
        with pytest.raises(RuntimeError, match="the client of this session was closed"):
            call()
    assert ws.path == "/echo"


def test_a_client_that_cannot_open(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Any:
        raise LookupError("no such database")

    for module in (runtime, environment):
        monkeypatch.setattr(module, "connections_here", fails)
    for _ in range(2):
        with pytest.raises(LookupError), client_of(api):
            pass
        with pytest.raises(LookupError), client_of(api).websocket_connect("/echo"):
            pass
    assert runtime._local.runtime is None
    monkeypatch.undo()
    assert says(client_of(api))


# The database, and who has it


@pytest.mark.django_db
def test_patience_for_a_handler_that_has_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "TURN_PATIENCE", TIMEOUT)
    api = BoltAPI()

    @api.websocket("/")
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        websocket.receive_text()
        User.objects.count()
        websocket.send_text("counted")
        User.objects.count()
        threading.Event().wait(4 * TIMEOUT)  # with the database
        websocket.send_text("done")

    def talk(**options: Any) -> None:
        with TestClient(api, **options).websocket_connect("/") as ws:
            ws.send_text("go on")
            assert [ws.receive_text(), ws.receive_text()] == ["counted", "done"]

    talk(timeout=None)  # waits for ever
    talk(timeout=SOON)  # at least as long as the test would
    with pytest.raises(LeftBehind, match=f"has used the database for {TIMEOUT:g} s"):
        talk(timeout=TIMEOUT / 2)
