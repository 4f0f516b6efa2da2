"""The two ways to refuse a handshake: an HTTP status, or a close that a browser can read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import override_settings

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    DeclarationError,
    WebSocket,
    WebSocketClose,
    WebSocketDisconnected,
    WebSocketException,
    WebSocketState,
    disconnect_user,
)
from bolt_ws.auth import AllowAny, Guard, JWTAuthentication
from bolt_ws.testing import AsyncTestClient, AsyncWebSocketSession
from tests.support import Connection, make_token

Handler = Callable[[WebSocket], Awaitable[Any]]


class Nobody(Guard):
    def has_permission(self, websocket: Any) -> bool:
        return False


async def accepting(websocket: WebSocket) -> None:
    await websocket.accept()


async def closed(api: BoltAPI, path: str = "/", **options: Any) -> AsyncWebSocketSession:
    """Connect, and return the session after the close."""
    client = AsyncTestClient(api, raise_exceptions=False)
    async with client.websocket_connect(path, **options) as ws:
        await ws.assert_closed()
    return ws


def api_of(handler: Any, **options: Any) -> BoltAPI:
    api = BoltAPI()
    api.websocket("/", **{"refuse": "close", **options})(handler)
    return api


async def test_admission_closes_with_4000_and_the_status() -> None:
    ran = []

    async def handler(websocket: WebSocket) -> None:
        ran.append(websocket)

    ws = await closed(api_of(handler, auth=[JWTAuthentication()]))
    assert (ws.close_code, ws.close_reason) == (4401, "Authentication required")
    ws = await closed(api_of(handler, guards=[Nobody()]))
    assert (ws.close_code, ws.close_reason) == (4403, "Permission denied")
    assert ran == []
    assert [event["type"] for event in ws.sent] == ["websocket.accept", "websocket.close"]


async def test_a_good_handshake_is_admitted() -> None:
    ws = await closed(api_of(accepting, auth=[JWTAuthentication()]), token=make_token())
    assert ws.close_code == 1000


async def closes(websocket: WebSocket) -> None:
    await websocket.close(4007, "for a reason")


async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(429, "Too many")


async def raises_a_code(websocket: WebSocket) -> None:
    raise WebSocketException(4008, "by an exception")


async def raises_denied(websocket: WebSocket) -> None:
    raise PermissionDenied


async def raises_404(websocket: WebSocket) -> None:
    raise Http404


async def fails(websocket: WebSocket) -> None:
    raise ValueError("secret")


async def returns(websocket: WebSocket) -> None: ...


def closes_in_a_thread(websocket: BlockingWebSocket) -> None:
    websocket.close(4007, "for a reason")


@pytest.mark.parametrize(
    ("handler", "code", "reason"),
    [
        (closes, 4007, "for a reason"),
        (closes_in_a_thread, 4007, "for a reason"),
        (rejects, 4429, "Too many"),
        (raises_a_code, 4008, "by an exception"),
        (raises_denied, 4403, "Permission denied"),
        (raises_404, 4404, "Not found"),
        (fails, 4500, "Internal server error"),
        (returns, 4403, "The connection was not accepted"),
    ],
)
async def test_a_handler_that_refuses(handler: Any, code: int, reason: str) -> None:
    ws = await closed(api_of(handler))
    assert (ws.close_code, ws.close_reason) == (code, reason)


@pytest.mark.parametrize("handler", [closes, raises_a_code, rejects])
async def test_by_default_nothing_is_accepted(handler: Handler) -> None:
    client = AsyncTestClient(api_of(handler, refuse=None))
    refused = await client.assert_refused("/")
    assert refused.status in (403, 429)


async def test_a_browser_that_offers_subprotocols_is_answered_one() -> None:
    ws = await closed(api_of(accepting, guards=[Nobody()]), subprotocols=["chat", "other"])
    assert ws.accepted_subprotocol == "chat"
    assert ws.close_code == 4403


async def test_a_credential_is_never_answered() -> None:
    offered = ["bearer.aaaa.bbbb.cccc", "x" * 65, "chat"]
    with override_settings(BOLT_WS={"REFUSE": "close"}):
        ws = await closed(BoltAPI(), "/nowhere", subprotocols=offered)
        assert ws.accepted_subprotocol == "chat"
        ws = await closed(BoltAPI(), "/nowhere", subprotocols=offered[:2])
        assert ws.accepted_subprotocol is None


async def test_a_client_that_is_gone() -> None:
    connection = Connection(api_of(accepting, guards=[Nobody()]).as_asgi())
    connection.leave()
    await connection.end()
    assert len(connection.terminal) == 1


async def test_it_is_inherited_and_overridden() -> None:
    inner = BoltAPI()
    inner.websocket("/inner", guards=[Nobody()])(accepting)
    inner.websocket("/deny", guards=[Nobody()], refuse="deny")(accepting)
    api = BoltAPI(refuse="close")
    api.include(inner)
    assert (await closed(api, "/inner")).close_code == 4403
    await AsyncTestClient(api).assert_refused("/deny", 403)


async def test_the_project_says_it() -> None:
    with override_settings(BOLT_WS={"REFUSE": "close"}):
        api = BoltAPI()
        api.websocket("/", guards=[Nobody()])(accepting)
        assert (await closed(api)).close_code == 4403
        assert (await closed(api, "/nowhere")).close_code == 4404


@pytest.mark.parametrize("refuse", ["accept", True, 403])
def test_what_is_no_way_to_refuse(refuse: Any) -> None:
    with pytest.raises(DeclarationError, match="refuse must be"):
        api_of(accepting, refuse=refuse)
    with pytest.raises(DeclarationError, match="refuse must be"):
        BoltAPI(refuse=refuse)


async def test_an_open_endpoint_is_not_touched() -> None:
    ws = await closed(api_of(accepting, guards=[AllowAny()]))
    assert ws.close_code == 1000


async def test_a_refusal_gets_one_line_that_says_who_and_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = api_of(accepting, auth=[JWTAuthentication()], refuse="deny", name="room")
    with caplog.at_level(logging.DEBUG, "bolt_ws"):
        await AsyncTestClient(api).assert_refused("/", 401, token="eyJ.secret.token")
    (record,) = (each for each in caplog.records if each.name == "bolt_ws")
    message = record.getMessage()
    assert message.startswith("Refused '/' (room): 401 authentication_failed")
    assert message.endswith("[client 127.0.0.1, origin 'http://testserver']")
    assert "secret" not in message
    assert record.__dict__["refusal"] == {
        "path": "/",
        "endpoint": "room",
        "status": 401,
        "code": "authentication_failed",
        "client": "127.0.0.1",
        "origin": "http://testserver",
    }


async def test_an_application_as_endpoint_closes_before_accept() -> None:
    api = BoltAPI(refuse="close")
    api.add_websocket_route("/", WebSocketClose(4004, "gone"))
    ws = await closed(api)
    assert (ws.close_code, ws.close_reason) == (4004, "gone")


class Rejects(Guard):
    async def has_permission(self, websocket: Any) -> bool:
        await websocket.reject(429, "Too many")


class Closes(Guard):
    async def has_permission(self, websocket: Any) -> bool:
        await websocket.close()
        return True


@pytest.mark.parametrize(
    ("options", "handler", "status", "logged"),
    [
        ({"guards": [Rejects()]}, accepting, 429, "429 too_many_requests: Too many"),
        ({"guards": [Closes()]}, accepting, 403, "403 rejected: The connection was not accepted"),
        ({}, rejects, 429, "429 too_many_requests: Too many"),
    ],
)
async def test_who_refuses_by_hand_leaves_the_same_line(
    options: Any, handler: Handler, status: int, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = api_of(handler, refuse="deny", **options)
    with caplog.at_level(logging.INFO, "bolt_ws"):
        await AsyncTestClient(api).assert_refused("/", status)
    (record,) = (each for each in caplog.records if each.name == "bolt_ws")
    assert record.levelno == logging.WARNING
    assert f": {logged} [client" in record.getMessage()


@pytest.mark.parametrize("ends_first", [True, False])
async def test_nothing_comes_between_the_accept_and_the_close(ends_first: bool) -> None:
    order: list[str] = []
    going = asyncio.Event()
    api = BoltAPI(auth=[JWTAuthentication()], refuse="close")

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await going.wait()
        assert websocket.state is WebSocketState.DISCONNECTED
        uses: list[Callable[[], Awaitable[Any]]]
        uses = [lambda: websocket.send_text("secret"), websocket.receive_text]
        for use in uses if ends_first else [*uses, websocket.accept]:
            with pytest.raises(WebSocketDisconnected) as caught:
                await use()
            assert caught.value.code == 4401
        order.append("handler")

    @handler.on_close
    async def bye(websocket: WebSocket, code: int) -> str:
        order.append(f"on_close {code}")
        return "secret"

    async def on_send(event: dict[str, Any]) -> None:
        if event["type"] == "websocket.accept":
            going.set()
            for _ in range(20):
                await asyncio.sleep(0)
            await handler.broadcast("secret")
        order.append(event["type"])

    connection = Connection(api.as_asgi(), query=f"token={make_token()}", on_send=on_send)
    connection.start()
    for _ in range(5):
        await asyncio.sleep(0)
    assert disconnect_user("7") == 1
    sent = await connection.end()
    assert [each["type"] for each in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == 4401
    order.remove("handler")
    assert order == ["websocket.accept", "websocket.close", "on_close 4401"]


async def test_a_client_that_goes_before_the_close() -> None:
    codes: list[Any] = []
    api = BoltAPI(refuse="close")

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4007)

    @handler.on_close
    async def bye(websocket: WebSocket, code: int) -> None:
        codes.append(code)

    async def on_send(event: dict[str, Any]) -> None:
        raise OSError

    await Connection(api.as_asgi(), on_send=on_send).end()
    assert codes == [1006]
