"""The life of a connection."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import override_settings
from django.urls import path

from bolt_ws import (
    BoltAPI,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    WebSocketState,
)
from bolt_ws.auth import Authentication, Guard, Identity, JWTAuthentication
from bolt_ws.consumer import BoltConsumer
from tests.support import ACCEPT, TIMEOUT, Connection, Event, close, make_token, serve, talk, text

Handler = Callable[[WebSocket], Awaitable[Any]]


class Oops(Exception):
    pass


def raising(error: BaseException, *, accept: bool) -> Handler:
    async def handler(websocket: WebSocket) -> None:
        if accept:
            await websocket.accept()
        raise error

    return handler


def denial(sent: list[Event]) -> tuple[int, dict[str, str]]:
    """Status and body of a denial response."""
    start, body = sent
    assert start["type"] == "websocket.http.response.start"
    assert (b"content-type", b"application/json") in start["headers"]
    return start["status"], json.loads(body["body"])


# Every way out


async def test_returning_closes_with_1000() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    connection = Connection(serve(handler))
    assert await connection.end() == [ACCEPT, close(1000)]


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (WebSocketException(4001, "bye"), close(4001, "bye")),
        (WebSocketException(), close(1008)),
        (WebSocketException(1001), close(1001)),
        (PermissionDenied("secret detail"), close(1008, "Permission denied")),
        (Http404("secret detail"), close(1008, "Not found")),
        (WebSocketDisconnect(1001), close(1000)),
    ],
)
async def test_an_exception_that_means_to_close(error: Exception, event: Event) -> None:
    connection = Connection(serve(raising(error, accept=True)))
    assert await connection.end() == [ACCEPT, event]


@pytest.mark.parametrize(
    "error", [Oops("secret detail"), RuntimeError(), OSError(), StopAsyncIteration()]
)
async def test_any_other_exception_closes_with_1011_and_goes_to_the_server(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection(serve(raising(error, accept=True)))
    with pytest.raises(type(error)) as caught:
        await connection.end()
    assert connection.sent == [ACCEPT, close(1011)]
    if not isinstance(error, StopAsyncIteration):
        assert caught.value is error
    assert caplog.records == []  # the server logs it, once


@pytest.mark.parametrize(
    ("receive", "message", "code"),
    [
        (lambda ws: ws.receive_json(), "{", 1007),
        (lambda ws: ws.receive_text(), b"a", 1003),
        (lambda ws: ws.receive_bytes(), "a", 1003),
    ],
)
async def test_a_fault_of_the_client_closes_with_its_code(
    receive: Handler, message: str | bytes, code: int
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await receive(websocket)

    connection = Connection(serve(handler))
    connection.put(message)
    sent = await connection.end()
    assert sent[-1]["code"] == code
    assert sent[-1]["reason"]
    assert len(connection.terminal) == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (None, 403, "rejected"),
        (WebSocketException(4001, "bye"), 403, "rejected"),
        (PermissionDenied(), 403, "permission_denied"),
        (Http404(), 404, "not_found"),
    ],
)
async def test_a_way_out_before_accept_refuses(
    error: Exception | None, status: int, code: str
) -> None:
    async def handler(websocket: WebSocket) -> None:
        if error is not None:
            raise error

    said, body = denial(await Connection(serve(handler), deny=True).end())
    assert (said, body["code"]) == (status, code)
    connection = Connection(serve(handler))
    sent = await connection.end()
    assert [event["type"] for event in sent] == ["websocket.close"]


async def test_an_exception_before_accept_is_500_and_goes_to_the_server() -> None:
    connection = Connection(serve(raising(Oops("secret detail"), accept=False)), deny=True)
    with pytest.raises(Oops):
        await connection.end()
    status, body = denial(connection.sent)
    assert status == 500
    assert "secret" not in json.dumps(body)


async def test_an_exception_before_accept_closes_where_there_is_no_denial() -> None:
    connection = Connection(serve(raising(Oops(), accept=False)))
    with pytest.raises(Oops):
        await connection.end()
    assert [event["type"] for event in connection.sent] == ["websocket.close"]


async def test_a_refusal_gets_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    async def lobby(websocket: WebSocket) -> None: ...

    with caplog.at_level(logging.INFO):
        await Connection(serve(lobby, "/ws"), "/ws", query="token=secret").end()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bolt_ws", logging.WARNING)
    assert "'/ws' (lobby): 403" in record.getMessage()


async def test_the_handler_closes_itself() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001)

    assert await Connection(serve(handler)).end() == [ACCEPT, close(4001)]


async def test_the_handler_closes_before_accept() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4001)

    assert await Connection(serve(handler)).end() == [close(4001)]


async def test_an_exception_after_its_own_close_goes_to_the_server() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        raise Oops

    connection = Connection(serve(handler))
    with pytest.raises(Oops):
        await connection.end()
    assert connection.sent == [ACCEPT, close()]


@pytest.mark.parametrize("accept", [True, False])
async def test_a_handler_that_closes_twice_ends_quietly(accept: bool) -> None:
    async def handler(websocket: WebSocket) -> None:
        if accept:
            await websocket.accept()
        await websocket.close()
        await websocket.close()

    connection = Connection(serve(handler))
    await connection.end()
    assert len(connection.terminal) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1006, 4000])
async def test_a_disconnect_that_escapes_is_quiet(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(websocket: WebSocket) -> None:
        while True:
            await websocket.send_text(await websocket.receive_text())

    connection = Connection(serve(handler))
    connection.put("a")
    connection.leave(code)
    assert await connection.end() == [ACCEPT, text("a")]
    assert caplog.records == []


async def test_the_disconnect_of_another_connection_is_an_error() -> None:
    other = Connection(serve(raising(Oops(), accept=True)))
    stranger = WebSocket(other.scope, other.receive, other.send)

    connection = Connection(serve(raising(WebSocketDisconnect(websocket=stranger), accept=True)))
    with pytest.raises(WebSocketDisconnect):
        await connection.end()
    assert connection.sent == [ACCEPT, close(1011)]


async def test_a_client_that_is_gone_before_the_close() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    async def gone(event: Event) -> None:
        if event["type"] == "websocket.close":
            raise ConnectionResetError

    assert await Connection(serve(handler), on_send=gone).end() == [ACCEPT]


async def test_a_send_to_a_client_that_is_gone_ends_quietly() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text("a")

    async def gone(event: Event) -> None:
        if event["type"] == "websocket.send":
            raise ConnectionResetError

    assert await Connection(serve(handler), on_send=gone).end() == [ACCEPT]


async def test_a_client_that_left_before_the_connect_was_seen() -> None:
    async def handler(websocket: WebSocket) -> None:
        raise AssertionError("the handler must not run")

    events = iter([{"type": "websocket.disconnect", "code": 1006}])

    async def receive() -> Event:
        return next(events)

    connection = Connection(serve(handler))
    await serve(handler)(connection.scope, receive, connection.send)
    assert connection.sent == []


async def test_an_exception_is_raised_even_if_the_client_is_gone() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass
        raise Oops

    connection = Connection(serve(handler))
    connection.leave()
    with pytest.raises(Oops):
        await connection.end()
    assert connection.sent == [ACCEPT]


async def test_a_denial_response_that_was_left_unfinished_is_finished() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send(
            {"type": "websocket.http.response.start", "status": 418, "headers": []}
        )

    connection = Connection(serve(handler), deny=True)
    assert [event["type"] for event in await connection.end()] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]


async def test_close_codes_that_daphne_rejects_at_the_end() -> None:
    async def daphne(event: Event) -> None:
        if event["type"] == "websocket.close" and 1001 <= event["code"] <= 1015:
            raise Exception("invalid close code")

    connection = Connection(serve(raising(Oops(), accept=True)), on_send=daphne)
    with pytest.raises(Oops):
        await connection.end()
    assert connection.sent == [ACCEPT, close(4011)]


async def test_a_server_that_does_not_take_the_close_cannot_hold_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bolt_ws.closing.CLOSE_TIMEOUT", 0.05)

    async def stuck(event: Event) -> None:
        if event["type"] == "websocket.close":
            await asyncio.Event().wait()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    assert await Connection(serve(handler), on_send=stuck).end() == [ACCEPT]


async def test_an_exception_group_is_an_error_like_any_other() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(raising(Oops(), accept=False)(websocket))

    connection = Connection(serve(handler))
    with pytest.raises(ExceptionGroup):
        await connection.end()
    assert connection.sent == [ACCEPT, close(1011)]


# Cancellation, as at the server's shutdown


async def test_cancelling_the_handler_closes_and_goes_on_to_the_server() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    connection = Connection(serve(handler))
    assert await connection.next() == ACCEPT
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.sent == [ACCEPT, close(1012)]


@pytest.mark.parametrize("where", ["guard", "handler"])
async def test_cancelling_before_accept_refuses(where: str) -> None:
    reached = asyncio.Event()

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    class Slow(Guard):
        async def has_permission(self, websocket: Any) -> bool:
            if where == "guard":
                await wait()
            return True

    async def handler(websocket: WebSocket) -> None:
        assert where == "handler"
        await wait()

    connection = Connection(serve(handler, guards=[Slow()]), deny=True)
    connection.start()
    await asyncio.wait_for(reached.wait(), TIMEOUT)
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert denial(connection.sent)[0] == 503


async def test_a_handlers_own_cleanup_runs() -> None:
    cleaned: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        try:
            await websocket.receive_text()
        finally:
            cleaned.append(websocket.state.name)

    connection = Connection(serve(handler))
    await connection.next()
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert cleaned == ["CONNECTED"]


async def test_a_receive_that_is_left_behind_is_woken() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        left.append(asyncio.create_task(websocket.receive_text()))
        await asyncio.sleep(0)

    left: list[asyncio.Task[str]] = []
    await Connection(serve(handler)).end()
    with pytest.raises(WebSocketDisconnect):
        await asyncio.wait_for(left[0], TIMEOUT)


@pytest.mark.parametrize(("stops", "code"), [(True, 1012), (False, 1000)])
async def test_a_handler_that_takes_the_servers_cancellation_for_itself(
    stops: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(asyncio.CancelledError):
            await websocket.receive_text()

    connection = Connection(serve(handler))
    assert await connection.next() == ACCEPT
    assert connection.task is not None
    connection.task.cancel()
    monkeypatch.setattr("bolt_ws.consumer.shutting_down", lambda: stops)
    assert (await connection.end())[1:] == [close(code)]


async def test_cancelling_a_close_leaves_it_closed() -> None:
    release = asyncio.Event()

    async def slow(event: Event) -> None:
        if event["type"] == "websocket.close" and not release.is_set():
            release.set()
            await asyncio.Event().wait()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(websocket.close(4001), 0.01)
        assert websocket.state is WebSocketState.DISCONNECTED

    connection = Connection(serve(handler), on_send=slow)
    await connection.end()
    assert len(connection.terminal) <= 1


# Refusing in admission


@pytest.mark.parametrize("deny", [True, False])
async def test_admission_refuses_and_the_handler_does_not_run(deny: bool) -> None:
    async def handler(websocket: WebSocket) -> None:
        raise AssertionError("the handler must not run")

    connection = Connection(serve(handler, auth=[JWTAuthentication()]), deny=deny)
    sent = await connection.end()
    if deny:
        status, body = denial(sent)
        assert (status, body["code"]) == (401, "not_authenticated")
        assert (b"www-authenticate", b"Bearer") in sent[0]["headers"]
    else:
        assert sent == [close(4401, "not_authenticated")]
    assert len(connection.terminal) == 1


async def test_nothing_is_sent_before_the_connect_is_received() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    connection = Connection(serve(handler))
    assert (await connection.receive())["type"] == "websocket.connect"
    connection.start()
    await asyncio.sleep(0.01)
    assert connection.sent == []
    connection.put_event({"type": "websocket.connect"})
    await connection.end()


# A Channels consumer


def test_it_is_a_consumer_class_like_any_other() -> None:
    api = BoltAPI()

    @api.websocket("/ws")
    async def lobby(websocket: WebSocket) -> None: ...

    consumer = api.routes[0].consumer
    assert issubclass(consumer, BoltConsumer)
    assert consumer.channel_layer_alias == "default"
    assert consumer.as_asgi().consumer_class is consumer


async def test_a_urlrouter_serves_it_beside_a_hand_written_consumer() -> None:
    class Consumer(AsyncWebsocketConsumer):
        async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
            await self.send(text_data=f"by hand: {text_data}")

    api = BoltAPI()

    @api.websocket("/bolt/{room}")
    async def bolt(websocket: WebSocket, room: str) -> None:
        async for message in websocket.iter_text():
            await websocket.send_text(f"{room}: {message}")

    application = URLRouter([path("hand", Consumer.as_asgi()), *api.urlpatterns])
    for where, reply in (("/hand", "by hand: a"), ("/bolt/lobby", "lobby: a")):
        client = WebsocketCommunicator(application, where)
        assert await client.connect() == (True, None)
        await client.send_to(text_data="a")
        assert await client.receive_from() == reply
        await client.disconnect()


async def test_websocketcommunicator_drives_a_consumer() -> None:
    api = BoltAPI()

    @api.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept("chat")
        await websocket.send_json({"got": await websocket.receive_json()})
        await websocket.send_bytes(await websocket.receive_bytes())
        await websocket.close(4001)

    client = WebsocketCommunicator(api.routes[0].consumer.as_asgi(), "/ws", subprotocols=["chat"])
    assert await client.connect() == (True, "chat")
    await client.send_json_to([1])
    assert await client.receive_json_from() == {"got": [1]}
    await client.send_to(bytes_data=b"\x00")
    assert await client.receive_from() == b"\x00"
    assert await client.receive_output() == close(4001)
    await client.wait()


async def test_websocketcommunicator_sees_a_refusal() -> None:
    api = BoltAPI(auth=[JWTAuthentication()])

    @api.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    application = api.routes[0].consumer.as_asgi()
    assert await WebsocketCommunicator(application, "/ws").connect() == (False, 4401)
    client = WebsocketCommunicator(application, f"/ws?token={make_token()}")
    assert await client.connect() == (True, None)
    await client.wait()


async def test_connections_share_no_state() -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        websocket.context.name = await websocket.receive_text()
        await websocket.send_text("ready")
        await websocket.receive_text()
        seen.append(websocket.context.name)

    application = serve(handler)
    connections = [Connection(application) for _ in range(5)]
    for number, connection in enumerate(connections):
        connection.put(str(number))
        await connection.next()
    for connection in connections:
        connection.put("go")
        await connection.end()
    assert seen == ["0", "1", "2", "3", "4"]


def consumer_of(handler: Handler) -> BoltConsumer:
    api = BoltAPI()
    api.websocket("/ws")(handler)
    return api.routes[0].consumer()


async def unused(websocket: WebSocket) -> None: ...


async def test_a_channel_is_made_when_asked_for() -> None:
    consumer = consumer_of(unused)
    connection = Connection(consumer)
    await connection.end()
    assert consumer.channel_name is None
    name = await consumer.open_channel()
    assert consumer.channel_name == name
    assert await consumer.open_channel() == name
    await consumer.channel_layer.send(name, {"type": "hello"})
    assert (await consumer.channel_layer.receive(name))["type"] == "hello"


async def test_a_channel_without_a_layer_is_an_error() -> None:
    with (
        override_settings(CHANNEL_LAYERS={}),
        pytest.raises(RuntimeError, match="CHANNEL_LAYERS has no 'default' layer"),
    ):
        await consumer_of(unused).open_channel()


async def test_no_task_is_made_for_a_connection() -> None:
    async def handler(websocket: WebSocket) -> None:
        tasks.append(len(asyncio.all_tasks()))
        await websocket.receive_text()
        tasks.append(len(asyncio.all_tasks()))

    tasks: list[int] = []
    connection = Connection(serve(handler))
    connection.put("a")
    before = len(asyncio.all_tasks())
    await connection.end()
    assert tasks == [before + 1, before + 1]  # the connection's own


@pytest.mark.parametrize("routed", [True, False])
async def test_the_scope_of_the_server_is_left_as_it_came(routed: bool) -> None:
    api = BoltAPI(auth=[JWTAuthentication()])
    api.websocket("/ws")(unused)
    application = api.as_asgi() if routed else api.routes[0].consumer.as_asgi()
    connection = Connection(application, "/ws", query=f"a=1&token={make_token()}")
    before = dict(connection.scope)
    await connection.end()
    assert connection.scope == before


async def test_a_backend_by_hand_names_the_user() -> None:
    class Everybody(Authentication):
        async def authenticate(self, websocket: Any) -> Identity:
            return Identity("9")

    async def handler(websocket: WebSocket) -> None:
        await websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])

    sent = await talk(serve(handler, auth=[Everybody()]))
    assert sent[1] == text('["9","Everybody"]')
