"""The server's end: floods in both directions, and ASGI as strictly as a server has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from bolt_ws import BlockingWebSocket, WebSocket
from bolt_ws.scopes import make_scope
from bolt_ws.servers import Event, Receive, Send
from bolt_ws.testing.server_end import ServerEnd
from tests.testing import clients
from tests.testing.clients import SOON, ClientOf
from tests.testing.test_failures import served

client_of = clients.client_of
FEW = 50
MANY = 10_000


# Floods


async def floods(websocket: WebSocket) -> None:
    while True:
        await websocket.send_text("more")


def blocking_floods(websocket: BlockingWebSocket) -> None:
    while True:
        websocket.send_text("more")


class Floods(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        while True:
            await self.send("more")


async def bare_floods(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "more"})


@pytest.mark.parametrize("given", [floods, blocking_floods, Floods, bare_floods])
def test_a_handler_that_sends_for_ever(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    monkeypatch.setattr(ServerEnd, "most_unread", FEW)
    with client_of(served(given)).websocket_connect("/") as ws:
        for received in range(1, 4 * FEW):
            assert ws.receive_text() == "more"
            assert len(ws.sent) <= received + 1 + FEW
        ws.send_text("nobody reads this")
    assert ws.error is None


def test_a_handler_that_floods_before_the_client_closes(client_of: ClientOf) -> None:
    with client_of(served(floods)).websocket_connect("/") as ws:
        assert len(ws.sent) <= 1 + ServerEnd.most_unread
        ws.close(4000)
    assert ws.close_code == 4000


def counts(websocket: BlockingWebSocket) -> None:
    got = [int(text) for text in (websocket.receive_text() for _ in range(MANY))]
    websocket.send_json(got == list(range(MANY)))


async def counts_awaited(websocket: WebSocket) -> None:
    got = [int(await websocket.receive_text()) for _ in range(MANY)]
    await websocket.send_json(got == list(range(MANY)))


class Counts(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        self.got: list[int] = []
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.got.append(int(text_data or ""))
        if len(self.got) == MANY:
            await self.send("true" if self.got == list(range(MANY)) else "false")


@pytest.mark.parametrize("given", [counts, counts_awaited])
def test_a_client_that_sends_very_much(client_of: ClientOf, given: Any) -> None:
    with client_of(served(given)).websocket_connect("/") as ws:
        for number in range(MANY):
            ws.send_text(str(number))
        assert ws.receive_json(timeout=SOON) is True


@pytest.mark.parametrize("given", [counts_awaited, Counts])
async def test_a_server_is_given_very_much_at_once(given: Any) -> None:
    application = served(given)
    server = ServerEnd(getattr(application, "as_asgi", lambda: application)(), make_scope("/"))
    server.start()
    for number in range(MANY):
        server.put_event({"type": "websocket.receive", "text": str(number)})
    answers = [await server.next(SOON), await server.next(SOON)]
    assert [answer and answer["type"] for answer in answers] == [
        "websocket.accept",
        "websocket.send",
    ]
    assert answers[1] is not None
    assert answers[1]["text"] == "true"
    server.leave(1000, "")
    assert server.task is not None
    await asyncio.wait_for(server.task, SOON)


# ASGI, to the letter


async def run(
    application: Callable[..., Awaitable[Any]], *events: Event, leaves: bool = False
) -> ServerEnd:
    """Run an application to its end."""
    server = ServerEnd(application, make_scope("/"))
    for event in events:
        server.put_event(event)
    if leaves:
        server.leave(4000, "bye")
    server.start()
    assert server.task is not None
    await asyncio.wait_for(server.task, SOON)
    return server


async def test_after_the_end_there_is_the_disconnect_and_nothing_else() -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        got.extend([await receive(), await receive(), await receive(), await receive()])

    got: list[Event] = []
    text: Event = {"type": "websocket.receive", "text": "unread"}
    end: Event = {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
    await run(application, text, leaves=True)
    assert got == [{"type": "websocket.connect"}, text, end, end]


async def test_a_close_of_the_application_comes_back_to_it() -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})
        got.append(await receive())

    got: list[Event] = []
    await run(application)
    assert got == [{"type": "websocket.disconnect", "code": 4001}]


async def test_a_send_after_the_client_has_left() -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        for event in ({"type": "websocket.accept"}, {"type": "websocket.close"}):
            with pytest.raises(OSError, match="the client has left"):
                await send(event)

    server = await run(application, leaves=True)
    assert server.sent == []


async def test_an_application_may_change_what_it_has_sent() -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        event: Event = {"type": "websocket.accept"}
        await send(event)
        event.update(type="websocket.send", text="first", bytes=None)
        await send(event)
        event["text"] = "second"
        await send(event)

    server = await run(application)
    assert [event.get("text") for event in server.sent] == [None, "first", "second"]


async def test_two_tasks_that_receive() -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        got.extend(await asyncio.gather(receive(), receive()))

    got: list[Event] = []
    server = ServerEnd(application, make_scope("/"))
    server.start()
    await server.next(SOON)
    await asyncio.sleep(0)
    for text in ("one", "two"):
        server.put_event({"type": "websocket.receive", "text": text})
    assert server.task is not None
    await asyncio.wait_for(server.task, SOON)
    assert sorted(event["text"] for event in got) == ["one", "two"]


async def test_a_cancelled_receive_loses_nothing() -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await receive()
        await send({"type": "websocket.send", "text": "waiting"})
        got.append(await receive())

    got: list[Event] = []
    server = ServerEnd(application, make_scope("/"))
    server.start()
    assert [(await server.next(SOON) or {})["type"] for _ in range(2)][1] == "websocket.send"
    server.put_event({"type": "websocket.receive", "text": "hello"})
    assert server.task is not None
    await asyncio.wait_for(server.task, SOON)
    assert got == [{"type": "websocket.receive", "text": "hello"}]
