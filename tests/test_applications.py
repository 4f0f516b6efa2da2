"""ASGI applications as endpoints, and middleware around endpoints."""

from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from bolt_ws import BoltAPI, DeclarationError, WebSocket, WebSocketClose, WebSocketRoute
from bolt_ws.auth import JWTAuthentication
from tests.support import ACCEPT, Connection, close, make_token, status, talk, text

# Channels' consumers look at the database connections.
pytestmark = pytest.mark.django_db(transaction=True)


class Consumer(AsyncWebsocketConsumer):
    ended: list[int] = []

    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data=self.scope["query_string"].decode() or "connected")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data)

    async def disconnect(self, code: int) -> None:
        self.ended.append(code)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    event = await receive()
    await send({"type": "websocket.send", "text": event["text"]})
    await send({"type": "websocket.close", "code": 4000})


@pytest.mark.parametrize("application", [Consumer, Consumer.as_asgi()])
async def test_a_consumer_is_an_endpoint(application: Any) -> None:
    api = BoltAPI()
    api.add_websocket_route("/", application)
    Consumer.ended.clear()
    sent = await talk(api.as_asgi(), "/", "a")
    assert [event.get("text") for event in sent if event["type"] == "websocket.send"] == [
        "connected",
        "a",
    ]
    assert Consumer.ended == [1001]


async def test_any_application_is_an_endpoint() -> None:
    api = BoltAPI(routes=[WebSocketRoute("/bare", bare)])
    sent = await talk(api.as_asgi(), "/bare", "a")
    assert [event["type"] for event in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert sent[-1]["code"] == 4000


async def test_an_application_stands_behind_authentication() -> None:
    api = BoltAPI(auth=[JWTAuthentication()])
    api.add_websocket_route("/", Consumer)
    assert await status(api.as_asgi()) == 401
    sent = await talk(api.as_asgi(), query=f"a=1&token={make_token()}")
    assert sent[1] == {"type": "websocket.send", "text": "a=1"}


async def test_an_application_that_returns_or_fails_ends_its_connection() -> None:
    async def returns(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("bug")

    api = BoltAPI(routes=[WebSocketRoute("/returns", returns), WebSocketRoute("/fails", fails)])
    assert (await talk(api.as_asgi(), "/returns"))[-1] == close()
    connection = Connection(api.as_asgi(), "/fails")
    with pytest.raises(LookupError):
        await connection.end()
    assert connection.sent == [close(4500, "internal_error")]


async def test_websocket_close_is_an_endpoint_and_an_exception() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise WebSocketClose(4001, "later")

    api = BoltAPI(
        routes=[
            WebSocketRoute("/closed", WebSocketClose(4000, "moved")),
            WebSocketRoute("/raises", handler, name="raises"),
        ]
    )
    assert await talk(api.as_asgi(), "/closed") == [close(4000, "moved")]
    assert await talk(api.as_asgi(), "/raises") == [ACCEPT, close(4001, "later")]
    assert api.reverse("raises") == "/raises"


async def test_middleware_stands_around_the_endpoint_the_outermost_first() -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        def middleware(inner: Any) -> Any:
            async def application(scope: Any, receive: Any, send: Any) -> None:
                order.append(name)
                await inner({**scope, "user": name}, receive, send)

            return application

        return middleware

    api = BoltAPI()

    @api.websocket("/", middleware=[named("outer"), named("inner")])
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text(websocket.user)

    assert (await talk(api.as_asgi()))[1] == text("inner")
    assert order == ["outer", "inner"]


@pytest.mark.parametrize("wrong", [type("Plain", (), {}), object(), "text", 5])
def test_what_is_neither_is_an_error_at_declaration(wrong: Any) -> None:
    with pytest.raises(DeclarationError):
        BoltAPI().add_websocket_route("/", wrong)


@pytest.mark.parametrize("wrong", ["text", [5], object()])
def test_middleware_that_is_none_is_an_error_at_declaration(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match="middleware"):
        BoltAPI().websocket("/", middleware=wrong)(Connection.next)
