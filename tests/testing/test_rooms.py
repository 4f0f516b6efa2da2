"""Several clients in one test: they hear each other, and each test has its own channel layer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncWebsocketConsumer, JsonWebsocketConsumer
from channels.layers import channel_layers, get_channel_layer

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.testing import AsyncTestClient, LeftBehind, TestClient, capture_broadcasts
from bolt_ws.testing.capture import Broadcast
from tests.testing import clients
from tests.testing.clients import ClientOf
from tests.testing.test_failures import served

client_of = clients.client_of


def make_chat() -> tuple[BoltAPI, Any]:
    """Return an API with one chat, and its endpoint."""
    api = BoltAPI()

    @api.websocket("/chat/{room}")
    async def chat(websocket: WebSocket, room: str) -> None:
        async for text in websocket.iter_text():
            await websocket.broadcast(f"{room}: {text}")

    @api.websocket("/plain/{room}")
    def plain(websocket: BlockingWebSocket, room: str) -> None:
        for text in websocket.iter_text():
            websocket.broadcast({"room": room, "text": text}, exclude=websocket)

    return api, chat


# Broadcasts


def test_clients_hear_each_other(client_of: ClientOf) -> None:
    with (
        client_of(make_chat()[0]) as client,
        client.websocket_connect("/chat/a") as one,
        client.websocket_connect("/chat/a") as two,
        client.websocket_connect("/chat/b") as elsewhere,
    ):
        one.send_text("hello")
        assert one.receive_text() == "a: hello"
        assert two.receive_text() == "a: hello"
        two.send_text("hi")
        assert one.receive_text() == "a: hi"
        elsewhere.receive_nothing()


def test_clients_of_blocking_handlers_hear_each_other(client_of: ClientOf) -> None:
    with (
        client_of(make_chat()[0]) as client,
        client.websocket_connect("/plain/a") as one,
        client.websocket_connect("/plain/a") as two,
    ):
        one.send_text("hello")
        assert two.receive_json() == {"room": "a", "text": "hello"}
        one.receive_nothing()


def test_two_clients_hear_each_other(client_of: ClientOf) -> None:
    api, _ = make_chat()
    with (
        client_of(api) as first,
        client_of(api) as second,
        first.websocket_connect("/chat/a") as one,
        second.websocket_connect("/chat/a") as two,
    ):
        two.send_text("hello")
        assert one.receive_text() == "a: hello"


def test_connections_of_a_client_that_is_not_entered_hear_each_other(client_of: ClientOf) -> None:
    api, _ = make_chat()
    client = client_of(api)
    with client.websocket_connect("/chat/a") as one, client.websocket_connect("/chat/a") as two:
        one.send_text("hello")
        assert two.receive_text() == "a: hello"


# What is captured


def test_capturing_broadcasts_of_connections(client_of: ClientOf) -> None:
    with (
        capture_broadcasts() as heard,
        client_of(make_chat()[0]).websocket_connect("/chat/a") as ws,
    ):
        ws.send_text("hello")
        assert ws.receive_text() == "a: hello"
    assert heard == [Broadcast("a: hello", "path", "/chat/a")]
    assert (heard[0].data, heard[0].kind, heard[0].to) == ("a: hello", "path", "/chat/a")


def test_capturing_broadcasts_that_nobody_hears() -> None:
    _, chat = make_chat()
    with capture_broadcasts() as heard:
        async_to_sync(chat.broadcast)({"n": 1})
        with capture_broadcasts() as inner:
            asyncio.run(chat.broadcast("second"))
    asyncio.run(chat.broadcast("not captured"))
    assert heard == [({"n": 1}, "endpoint", "chat"), ("second", "endpoint", "chat")]
    assert inner == [("second", "endpoint", "chat")]


def test_a_broadcast_of_the_test_reaches_the_clients() -> None:
    api, chat = make_chat()
    with (
        capture_broadcasts() as heard,
        TestClient(api) as client,
        client.websocket_connect("/chat/a") as one,
        client.websocket_connect("/chat/b") as two,
    ):
        async_to_sync(chat.broadcast)("to all")
        assert (one.receive_text(), two.receive_text()) == ("to all", "to all")
    assert heard == [("to all", "endpoint", "chat")]


async def test_a_broadcast_of_a_coroutine_test_reaches_the_clients() -> None:
    api, chat = make_chat()
    async with (
        AsyncTestClient(api) as client,
        client.websocket_connect("/chat/a") as one,
        client.websocket_connect("/chat/b") as two,
    ):
        await chat.broadcast(b"to all")
        assert (await one.receive_bytes(), await two.receive_bytes()) == (b"to all", b"to all")


def test_what_fails_captures_no_longer() -> None:
    _, chat = make_chat()
    with pytest.raises(KeyError), capture_broadcasts() as heard:
        raise KeyError
    asyncio.run(chat.broadcast("not captured"))
    assert heard == []


# Groups of a channel layer


class Member(AsyncWebsocketConsumer):  # type: ignore[misc]
    groups = ["news"]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        event = {"type": "news.came", "text": text_data}
        await self.channel_layer.group_send("news", event)

    async def news_came(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])


class PlainMember(JsonWebsocketConsumer):  # type: ignore[misc]
    groups = ["news"]

    def receive_json(self, content: Any) -> None:
        event = {"type": "news.came", "text": content}
        async_to_sync(self.channel_layer.group_send)("news", event)

    def news_came(self, event: dict[str, Any]) -> None:
        self.send_json(event["text"])


@pytest.mark.parametrize("member", [Member, PlainMember])
def test_consumers_hear_each_other(client_of: ClientOf, member: Any) -> None:
    with (
        client_of(member.as_asgi()) as client,
        client.websocket_connect("/") as one,
        client.websocket_connect("/") as two,
    ):
        one.send_json("hello")
        assert (one.receive_json(), two.receive_json()) == ("hello", "hello")


@pytest.mark.parametrize("member", [Member, PlainMember])
def test_the_test_sends_to_a_group(member: Any) -> None:
    with TestClient(member.as_asgi()) as client, client.websocket_connect("/") as ws:
        ws.send_json("first")
        assert ws.receive_json() == "first"
        for number in range(3):
            send = async_to_sync(get_channel_layer().group_send)
            send("news", {"type": "news.came", "text": str(number)})
        assert [str(ws.receive_json()) for _ in range(3)] == ["0", "1", "2"]


async def test_a_coroutine_test_sends_to_a_group() -> None:
    async with (
        AsyncTestClient(Member.as_asgi()) as client,
        client.websocket_connect("/") as ws,
    ):
        await get_channel_layer().group_send("news", {"type": "news.came", "text": "hello"})
        assert await ws.receive_text() == "hello"


class Forgetful(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.channel_layer.group_add("news", self.channel_name)
        await self.accept()


def test_a_group_that_is_not_left(client_of: ClientOf) -> None:
    with pytest.raises(LeftBehind) as caught, client_of(served(Forgetful)) as client:  # noqa: PT012
        for _ in range(2):
            with client.websocket_connect("/"):
                pass
    message = str(caught.value)
    assert message.startswith("Connections have ended, and left behind: channel 'specific")
    assert message.count("in the group 'news' of the channel layer 'default'") == 2

    with pytest.raises(LeftBehind), client_of(served(Forgetful)).websocket_connect("/"):
        pass


def test_a_group_that_is_not_left_by_a_failed_test(client_of: ClientOf) -> None:
    with (
        pytest.raises(KeyError),
        client_of(served(Forgetful)) as client,
        client.websocket_connect("/"),
    ):
        raise KeyError
    with pytest.raises(KeyError), client_of(served(Forgetful)).websocket_connect("/"):
        raise KeyError


def test_a_channel_layer_stays_and_is_emptied(client_of: ClientOf) -> None:
    layer = get_channel_layer()
    for _ in range(2):
        with client_of(Forgetful.as_asgi(), report_leaks=False) as client:
            assert layer.groups == {}
            with client.websocket_connect("/"):
                assert get_channel_layer() is layer
                assert len(layer.groups["news"]) == 1
        asyncio.run(layer.send("elsewhere", {"type": "unheard"}))
        with client_of(Forgetful.as_asgi()):
            pass
        assert (layer.groups, layer.channels) == ({}, {})


def test_a_layer_of_before_is_the_handlers() -> None:
    layer = get_channel_layer()
    with TestClient(Member.as_asgi()).websocket_connect("/") as ws:
        async_to_sync(layer.group_send)("news", {"type": "news.came", "text": "hello"})
        assert ws.receive_text() == "hello"


def test_what_was_in_a_group_before_is_not_reported(client_of: ClientOf) -> None:
    layer = get_channel_layer()
    asyncio.run(layer.group_add("news", "of.the.test"))
    with client_of(Member.as_asgi()), client_of(Member.as_asgi()) as client:
        with client.websocket_connect("/"):
            pass
        assert list(layer.groups["news"]) == ["of.the.test"]  # others are still inside
    assert layer.groups == {}


class Pooled:
    """A channel layer as channels_redis has it: one inside for each event loop."""

    def __init__(self, *loops: asyncio.AbstractEventLoop) -> None:
        self._layers = dict.fromkeys(loops)
        self.closed_in: list[asyncio.AbstractEventLoop] = []

    async def close_pools(self) -> None:
        self.closed_in.append(asyncio.get_running_loop())


async def test_the_connections_of_a_layer_are_closed_in_their_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, _ = make_chat()
    here = asyncio.get_running_loop()
    own, foreign = Pooled(here), Pooled(here, asyncio.new_event_loop())
    monkeypatch.setitem(channel_layers.backends, "own", own)
    monkeypatch.setitem(channel_layers.backends, "foreign", foreign)
    async with AsyncTestClient(api), AsyncTestClient(api):
        pass
    assert (own.closed_in, foreign.closed_in) == ([here], [])
    for loop in foreign._layers:
        if loop is not here:
            loop.close()
