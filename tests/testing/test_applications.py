"""Whatever is an ASGI application is driven: consumers, routers, middleware, bare functions."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.middleware import BaseMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.test import override_settings
from django.urls import path

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.servers import Event, Receive, Send
from bolt_ws.testing import TestClient
from tests.testing import clients
from tests.testing.clients import ClientOf

client_of = clients.client_of


class Echo(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


class PlainEcho(WebsocketConsumer):  # type: ignore[misc]
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=text_data, bytes_data=bytes_data)


class Rooms(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "closed":
            await self.close()
        else:
            await self.accept("chat")

    async def receive_json(self, content: Any) -> None:
        if content == "leave":
            await self.close(4000, "left")
        else:
            await self.send_json([self.room, content])


class PlainRooms(JsonWebsocketConsumer):  # type: ignore[misc]
    def connect(self) -> None:
        self.accept("chat")

    def receive_json(self, content: Any) -> None:
        if content == "leave":
            self.close(4000, "left")
        else:
            self.send_json([self.scope["url_route"]["kwargs"]["room"], content])


@pytest.mark.parametrize("consumer", [Echo, PlainEcho])
def test_a_consumer(client_of: ClientOf, consumer: Any) -> None:
    with client_of(consumer.as_asgi()).websocket_connect("/") as ws:
        ws.send_text("hello")
        assert ws.receive_text() == "hello"
        ws.send_bytes(b"\x00")
        assert ws.receive_bytes() == b"\x00"


@pytest.mark.parametrize("consumer", [Rooms, PlainRooms])
def test_a_router_of_channels(client_of: ClientOf, consumer: Any) -> None:
    router = ProtocolTypeRouter(
        {"websocket": URLRouter([path("room/<str:room>", consumer.as_asgi())])}
    )
    client = client_of(router)
    with client.websocket_connect("/room/blue", subprotocols=["chat"]) as ws:
        assert ws.accepted_subprotocol == "chat"
        ws.send_json({"a": 1})
        assert ws.receive_json() == ["blue", {"a": 1}]
        ws.send_json("leave")
        ws.assert_closed(4000, "left")
    with (
        pytest.raises(ValueError, match="No route found for path 'nowhere'"),
        client.websocket_connect("/nowhere"),
    ):
        pass


def test_a_consumer_that_refuses(client_of: ClientOf) -> None:
    router = URLRouter([path("room/<str:room>", Rooms.as_asgi())])
    refused = client_of(router).assert_refused("/room/closed", 403)
    assert refused.close_code == 1000


def test_endpoints_beside_a_consumer(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/ours/{name}")
    async def ours(websocket: WebSocket, name: str) -> None:
        await websocket.send_text(name)

    router = URLRouter([*api.urlpatterns, path("echo", Echo.as_asgi())])
    client = client_of(router)
    with client.websocket_connect("/ours/me") as one, client.websocket_connect("/echo") as other:
        assert one.receive_text() == "me"
        other.send_text("hello")
        assert other.receive_text() == "hello"


class Named(BaseMiddleware):  # type: ignore[misc]
    async def __call__(self, scope: Event, receive: Receive, send: Send) -> Any:
        name = await database_sync_to_async(str)("from the middleware")
        return await super().__call__({**scope, "name": name}, receive, send)


def test_middleware(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text(websocket.scope["name"])

    client = client_of(AllowedHostsOriginValidator(Named(api.as_asgi())))
    with client.websocket_connect("/") as ws:
        assert ws.receive_text() == "from the middleware"
    client.assert_refused("/", 403, headers={"Origin": "https://evil.example"})


async def bare(scope: Event, receive: Receive, send: Send) -> None:
    assert scope["type"] == "websocket"
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"], "bytes": None})
    assert event == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
    assert await receive() == event  # and again, whoever asks
    assert await receive() == event


def test_a_bare_function(client_of: ClientOf) -> None:
    with client_of(bare).websocket_connect("/") as ws:
        ws.send_text("hello")
        assert ws.receive_text() == "hello"
        assert ws.extra_headers == []
        ws.close(4000, "bye")


@pytest.mark.parametrize("wrong", ["bare", 7, object()])
def test_what_is_no_application(client_of: ClientOf, wrong: Any) -> None:
    with pytest.raises(TypeError, match="drives a BoltAPI or an ASGI application, not"):
        client_of(wrong)


def test_what_is_almost_an_application(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None: ...

    for wrong, hint in [
        (handler, ": pass the BoltAPI that the endpoint is declared in"),
        (api.as_asgi, ": call as_asgi()"),
        (Echo.as_asgi, ": call as_asgi()"),
        (BoltAPI, ": pass a BoltAPI, not its class"),
        (Echo, ": pass Echo.as_asgi()"),
    ]:
        with pytest.raises(TypeError) as caught:
            client_of(wrong)
        message = str(caught.value)
        assert message.startswith("a test client drives a BoltAPI or an ASGI application, not ")
        assert message.endswith(hint)


# The project's own


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that `ASGI_APPLICATION` and `BOLT_WS` may name."""
    module = ModuleType("some_project")
    monkeypatch.setitem(sys.modules, "some_project", module)
    module.application = ProtocolTypeRouter({"websocket": bare})  # type: ignore[attr-defined]
    module.api = BoltAPI()  # type: ignore[attr-defined]

    @module.api.websocket("/ws/project")  # type: ignore[untyped-decorator]
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("the api of the project")

    return module


@pytest.mark.usefixtures("project")
def test_the_application_that_the_settings_name(client_of: ClientOf) -> None:
    with (
        override_settings(ASGI_APPLICATION="some_project.application"),
        client_of().websocket_connect("/") as ws,
    ):
        ws.send_text("hello")
        assert ws.receive_text() == "hello"
        ws.close(4000, "bye")


@pytest.mark.usefixtures("project")
@override_settings(BOLT_WS={"APIS": ["some_project:api"]})
def test_all_apis_where_the_settings_name_no_application(client_of: ClientOf) -> None:
    with client_of().websocket_connect("/ws/project") as ws:
        assert ws.receive_text() == "the api of the project"


def test_an_api_is_served_as_it_is_when_the_client_is_made() -> None:
    api = BoltAPI()

    @api.websocket("/first")
    async def first(websocket: WebSocket) -> None:
        await websocket.accept()

    client = TestClient(api)

    @api.websocket("/second")
    async def second(websocket: WebSocket) -> None:
        await websocket.accept()

    with client.websocket_connect("/first"), TestClient(api).websocket_connect("/second"):
        pass
    client.assert_refused("/second", 404)
