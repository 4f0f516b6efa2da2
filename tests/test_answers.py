"""The answer to a handshake, and the end of a connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket, WebSocketDisconnected, WebSocketRejected, WebSocketState
from tests.support import ACCEPT, Connection, close, make_scope, serve, talk, text

# Django closes a response where its synchronous code runs.
pytestmark = pytest.mark.django_db(transaction=True)


async def reject(websocket: WebSocket, status: int = 403) -> None:
    await websocket.reject(status, "because")


async def test_reject_is_a_denial_where_the_server_can() -> None:
    start, body = await talk(serve(reject), query="status=404", deny=True)
    assert start["status"] == 404
    assert json.loads(body["body"]) == {"detail": "because", "code": "not_found"}


async def test_reject_is_a_close_where_it_cannot() -> None:
    assert await talk(serve(reject), query="status=404") == [close(4404, "not_found")]


async def test_reject_does_not_return() -> None:
    after: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        try:
            await websocket.reject()
        except WebSocketRejected:
            assert websocket.state is WebSocketState.DISCONNECTED
            raise
        after.append("returned")

    await talk(serve(handler), deny=True)
    assert after == []


async def test_reject_after_accept() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(RuntimeError, match="reject"):
            await websocket.reject()

    assert await talk(serve(handler)) == [ACCEPT, close()]


async def test_reject_with_what_is_no_status() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ValueError, match="99"):
            await websocket.reject(99)
        await websocket.accept()

    assert await talk(serve(handler)) == [ACCEPT, close()]


async def parts() -> AsyncIterator[bytes]:
    yield b"a"
    await asyncio.sleep(0)
    yield b"b"


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (lambda: JsonResponse({"try": "later"}, status=503), b'{"try": "later"}'),
        (lambda: HttpResponse("no", status=503), b"no"),
        (lambda: StreamingHttpResponse(parts(), status=503), b"ab"),
    ],
)
async def test_any_django_response_is_a_denial(make: Any, body: bytes) -> None:
    states: list[WebSocketState] = []

    async def handler(websocket: WebSocket) -> None:
        response = make()
        response["X-Reason"] = "full"
        response.set_cookie("seen", "1")
        await websocket.send_denial_response(response)
        states.append(websocket.state)
        with pytest.raises(WebSocketDisconnected):
            await websocket.send_text("late")

    start, *rest = await talk(serve(handler), deny=True)
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 503
    assert (b"X-Reason", b"full") in start["headers"]
    assert any(name == b"Set-Cookie" for name, _ in start["headers"])
    assert b"".join(event.get("body", b"") for event in rest) == body
    assert [event.get("more_body", False) for event in rest][-1] is False
    assert states == [WebSocketState.DISCONNECTED]


async def test_the_state_while_a_response_is_sent() -> None:
    states: list[WebSocketState] = []

    async def handler(websocket: WebSocket) -> None:
        async def body() -> AsyncIterator[bytes]:
            states.append(websocket.state)
            with pytest.raises(RuntimeError, match=r"websocket\.http\.response\.body"):
                await websocket.send_text("no")
            yield b"a"

        await websocket.send_denial_response(StreamingHttpResponse(body()))

    await talk(serve(handler), deny=True)
    assert states == [WebSocketState.RESPONSE]


async def test_a_denial_response_where_the_server_cannot_names_the_way_out() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(RuntimeError, match=r"reject\(status, detail\)"):
            await websocket.send_denial_response(HttpResponse())
        await websocket.reject(404)

    assert await talk(serve(handler)) == [close(4404, "not_found")]


async def test_a_response_that_is_not_finished_is_finished() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_event(
            {"type": "websocket.http.response.start", "status": 403, "headers": []}
        )

    assert len(await talk(serve(handler), deny=True)) == 2


@pytest.mark.parametrize("auto_accept", [None, True, False])
async def test_async_with_accepts_and_closes(auto_accept: bool | None) -> None:
    async def handler(websocket: WebSocket) -> None:
        async with websocket as same:
            assert same is websocket
            await websocket.send_text("in")
        assert websocket.state is WebSocketState.DISCONNECTED

    assert await talk(serve(handler, auto_accept=auto_accept)) == [ACCEPT, text("in"), close()]


async def test_async_with_catches_the_connections_own_end() -> None:
    after: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        async with websocket:
            await websocket.receive_text()
        after.append("closed normally")

    assert await talk(serve(handler)) == [ACCEPT]
    assert after == ["closed normally"]


async def test_async_with_leaves_other_exceptions_to_the_endpoint() -> None:
    async def handler(websocket: WebSocket) -> None:
        async with websocket:
            raise LookupError("bug")

    connection = Connection(serve(handler))
    with pytest.raises(LookupError):
        await connection.end()
    assert connection.sent == [ACCEPT, close(1011)]


async def test_async_with_on_a_connection_of_no_endpoint() -> None:
    connection = Connection(serve(reject))
    websocket = WebSocket(make_scope(), connection.receive, connection.send)
    with pytest.raises(LookupError):
        async with websocket:
            raise LookupError("bug")
    assert connection.sent == [ACCEPT, close(1011)]


async def test_ensure_closed_never_raises() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.ensure_closed(4000, "done")
        await websocket.ensure_closed()
        with pytest.raises(WebSocketDisconnected):
            await websocket.close()

    assert await talk(serve(handler)) == [ACCEPT, close(4000, "done")]


async def test_ensure_closed_after_the_client_left() -> None:
    async def handler(websocket: WebSocket) -> None:
        assert [message async for message in websocket] == []
        await websocket.ensure_closed()
        assert (websocket.close_code, websocket.close_reason) == (1001, "")

    assert await talk(serve(handler)) == [ACCEPT]


@pytest.mark.parametrize(
    ("caught", "code", "is_silent"),
    [
        (all, 1006, True),
        ((1000, 1001), 1001, True),
        ((1000, 1001), 1006, False),
        ((), 1000, False),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
async def test_caught_close_codes(caught: Any, code: int, is_silent: bool, inside: bool) -> None:
    async def handler(websocket: WebSocket) -> None:
        if inside:
            async with websocket:
                await websocket.receive_text()
        else:
            await websocket.receive_text()

    connection = Connection(serve(handler, caught_close_codes=caught))
    connection.leave(code)
    if is_silent:
        await connection.end()
    else:
        with pytest.raises(Exception, match=str(code)):
            await connection.end()


async def test_url_for_and_reverse() -> None:
    outer, inner = BoltAPI(prefix="/v1"), BoltAPI()
    outer.include(inner, prefix="/chat")

    @inner.websocket("/room/{room_id:int}/{name}", name="room")
    async def handler(websocket: WebSocket) -> None:
        url = websocket.url_for("room", room_id=8, name="a b")
        await websocket.send_json([url, url.scheme, url.path, websocket.base_url])
        assert websocket.app is outer

    assert outer.reverse("room", room_id=5, name="x") == "/v1/chat/room/5/x"
    assert inner.reverse("room", room_id=5, name="x") == "/room/5/x"
    headers = [(b"host", b"chat.example")]
    with override_settings(ALLOWED_HOSTS=["chat.example"]):
        sent = await talk(outer.as_asgi(), "/v1/chat/room/7/b", headers=headers)
    assert json.loads(sent[1]["text"]) == [
        "ws://chat.example/v1/chat/room/8/a%20b",
        "ws",
        "/v1/chat/room/8/a%20b",
        "ws://chat.example/",
    ]


async def test_session_and_user_are_those_of_a_middleware() -> None:
    async def handler(websocket: WebSocket) -> None:
        assert websocket.user == "alice"
        assert websocket.session == {"a": 1}
        await websocket.accept()

    assert await talk(serve(handler), user="alice", session={"a": 1}) == [ACCEPT, close()]


async def test_without_the_middleware_the_error_names_it() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(RuntimeError, match="SessionMiddlewareStack"):
            websocket.session  # noqa: B018

    await talk(serve(handler))
