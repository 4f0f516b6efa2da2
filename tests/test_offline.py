"""`fake()`: a connection without a server, to call a handler with."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.http import JsonResponse, StreamingHttpResponse

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    DeclarationError,
    InvalidJSON,
    InvalidMessage,
    Message,
    UnexpectedFrame,
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
    WebSocketRejected,
    WebSocketState,
)
from bolt_ws.blocking import OfflineBlockingWebSocket
from bolt_ws.websocket import OfflineWebSocket
from tests.support import ACCEPT, TIMEOUT, Connection, close, talk, text

api = BoltAPI()


@api.websocket("/ws/echo")
async def echo(websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send_text(f"Echo: {message!r}")


@api.websocket("/ws/plain")
def plain_echo(ws: BlockingWebSocket) -> None:
    while True:
        message = ws.recv()
        if message is None:
            break
        ws.send_text(f"Echo: {message.content!r}")


# What the client sends


async def test_an_endpoint_is_called_as_its_function() -> None:
    ws = WebSocket.fake("hello", b"raw", {"json": 1}, path="/ws/echo")
    await echo(ws)
    assert ws.sent == ["Echo: 'hello'", "Echo: b'raw'", "Echo: '{\"json\":1}'"]
    assert ws.events == [ACCEPT, *(text(str(each)) for each in ws.sent)]
    assert ws.accepted
    assert (ws.state, ws.close_code) == (WebSocketState.DISCONNECTED, 1000)


async def test_it_is_what_the_same_handler_sends_to_a_server() -> None:
    ws = WebSocket.fake("a", b"b", path="/ws/echo")
    await echo(ws)
    served = await talk(api.as_asgi(), "/ws/echo", "a", b"b")
    assert ws.events == served


@pytest.mark.parametrize(
    ("message", "received"),
    [
        ("", {"text": ""}),
        (b"", {"bytes": b""}),
        (bytearray(b"ab"), {"bytes": b"ab"}),
        (memoryview(b"ab"), {"bytes": b"ab"}),
        (None, {"text": "null"}),
        (7, {"text": "7"}),
        ([1, "é"], {"text": '[1,"é"]'}),
        ({"type": "chat.message"}, {"text": '{"type":"chat.message"}'}),
        ({"type": 7}, {"text": '{"type":7}'}),
        ({"type": "websocket.receive", "text": None, "bytes": b"x"}, {"text": None, "bytes": b"x"}),
        (Message.text("hi"), {"text": "hi"}),
        (Message.binary(b"hi"), {"bytes": b"hi"}),
    ],
)
async def test_messages(message: Any, received: dict[str, Any]) -> None:
    assert await WebSocket.fake(message).receive() == {"type": "websocket.receive", **received}


async def test_an_asgi_message_stays_the_callers_own() -> None:
    event = {"type": "websocket.receive", "text": "a"}
    ws = WebSocket.fake(event)
    (await ws.receive())["text"] = "b"
    assert event["text"] == "a"


async def test_the_client_leaves_after_its_last_message() -> None:
    ws = WebSocket.fake("a")
    assert await ws.receive_text() == "a"
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.receive_text()
    assert (caught.value.code, caught.value.reason, ws.close_code) == (1000, "", 1000)
    for _ in range(2):
        with pytest.raises(WebSocketDisconnected):
            await ws.receive()
    with pytest.raises(WebSocketDisconnected):
        await ws.send_text("late")
    assert ws.events == [ACCEPT]


async def test_how_the_client_leaves() -> None:
    ws = WebSocket.fake(close_code=4001, close_reason="bye")
    assert [message async for message in ws] == []
    assert (ws.close_code, ws.close_reason) == (4001, "bye")


@pytest.mark.parametrize(
    "leaving",
    [Message.close(4002, "left"), {"type": "websocket.disconnect", "code": 4002, "reason": "left"}],
)
async def test_the_client_leaves_where_it_is_told_to(leaving: Any) -> None:
    ws = WebSocket.fake("a", leaving, "never")
    assert [each async for each in ws.iter_text()] == ["a"]
    assert (ws.close_code, ws.close_reason) == (4002, "left")


async def test_a_message_that_no_server_delivers() -> None:
    ws = WebSocket.fake({"type": "websocket.connect"})
    with pytest.raises(RuntimeError, match=r"Expected ASGI message .* got 'websocket.connect'"):
        await ws.receive()


async def test_the_wrong_kind_of_message() -> None:
    ws = WebSocket.fake(b"raw", "{")
    with pytest.raises(UnexpectedFrame):
        await ws.receive_text()
    with pytest.raises(InvalidJSON):
        await ws.receive_json()


async def test_a_handlers_other_task_sends_before_the_client_is_seen_to_leave() -> None:
    async def handler(websocket: WebSocket) -> None:
        todo: asyncio.Queue[str] = asyncio.Queue()

        async def answer() -> None:
            while True:
                await websocket.send_text(f"did {await todo.get()}")

        async with asyncio.TaskGroup() as group:
            answering = group.create_task(answer())
            async for each in websocket.iter_text():
                await todo.put(each)
            answering.cancel()

    ws = WebSocket.fake("a", "b")
    await handler(ws)
    assert ws.sent == ["did a", "did b"]


async def test_a_timeout_stops_a_handler_that_sends_for_ever() -> None:
    ws = WebSocket.fake()

    async def tick() -> None:
        while True:
            await ws.send_text("tick")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tick(), 0.01)
    assert set(ws.sent) == {"tick"}


async def test_two_receives_at_once() -> None:
    ws = WebSocket.fake("a", "b")
    await ws.accept()
    results = await asyncio.gather(ws.receive_text(), ws.receive_text(), return_exceptions=True)
    assert results[0] == "a"
    assert isinstance(results[1], RuntimeError)
    assert await ws.receive_text() == "b"


# What was sent


async def test_what_was_sent() -> None:
    ws = WebSocket.fake()
    await ws.send_text("")
    await ws.send_bytes(b"\x00")
    await ws.send(Message.text("message"))
    await ws.send({"type": "websocket.send", "text": None, "bytes": b"raw"})
    await ws.send_json({"n": 1}, mode="binary")
    assert ws.sent == ["", b"\x00", "message", b"raw", b'{"n":1}']


async def test_an_event_is_kept_as_it_was_sent() -> None:
    ws = WebSocket.fake()
    event = text("a")
    await ws.send(event)
    event["text"] = "b"
    await ws.send(event)
    assert ws.sent == ["a", "b"]
    assert ws.events == [ACCEPT, text("a"), text("b")]


async def test_sent_as_json() -> None:
    ws = WebSocket.fake()
    await ws.send_json({"n": 1})
    await ws.send_bytes(b"\xff")
    await ws.send_json(None)
    assert ws.sent_json == [{"n": 1}, None]
    await ws.send_text("hello")
    with pytest.raises(InvalidJSON, match=r"sent\[3\] is 'hello'") as caught:
        ws.sent_json  # noqa: B018
    assert caught.value.data == "hello"


# Accepting and refusing


async def test_nothing_is_answered_at_first() -> None:
    ws = WebSocket.fake("a")
    assert not ws.accepted
    assert (ws.accepted_subprotocol, ws.refused_status, ws.close_code) == (None, None, None)
    assert (ws.events, ws.sent, ws.sent_json) == ([], [], [])
    assert (ws.state, ws.client_state) == (WebSocketState.CONNECTING, WebSocketState.CONNECTED)


async def test_accept_with_a_subprotocol_and_headers() -> None:
    ws = WebSocket.fake(subprotocols=["chat", "json"])
    assert ws.subprotocols == ["chat", "json"]
    assert ws.headers["sec-websocket-protocol"] == "chat, json"
    with pytest.raises(ValueError, match="'xml' was not offered"):
        await ws.accept("xml")
    await ws.accept("json", {"X-Room": "é"})
    assert ws.accepted_subprotocol == "json"
    assert ws.events[0]["headers"] == [(b"x-room", b"\xe9")]


async def test_accepting_twice() -> None:
    ws = WebSocket.fake()
    await ws.accept()
    with pytest.raises(RuntimeError, match=r"websocket\.accept"):
        await ws.accept()
    assert ws.events == [ACCEPT]


async def test_without_auto_accept() -> None:
    ws = WebSocket.fake("a", auto_accept=False)
    for use in (ws.receive_text, ws.receive):
        with pytest.raises(RuntimeError, match=r'Expected ASGI message "websocket.accept"'):
            await use()
    await ws.accept()
    assert await ws.receive_text() == "a"


async def test_accepted_before_the_handler() -> None:
    ws = WebSocket.fake("a", auto_accept=True, subprotocols=["chat"])
    assert ws.accepted
    assert (ws.is_open, ws.state) == (True, WebSocketState.CONNECTED)
    with pytest.raises(RuntimeError, match="Expected ASGI message"):
        await ws.accept("chat")
    with pytest.raises(RuntimeError, match="the connection is accepted"):
        await ws.reject()
    await ws.accept()  # once, as after each accept that happened by itself
    with pytest.raises(RuntimeError, match="Expected ASGI message"):
        await ws.accept()
    await echo(ws)
    assert ws.events == [ACCEPT, text("Echo: 'a'")]


async def test_rejected() -> None:
    ws = WebSocket.fake()
    with pytest.raises(WebSocketRejected):
        await ws.reject(401, "Who?")
    assert (ws.refused_status, ws.accepted, ws.sent) == (401, False, [])
    assert ws.events[1]["body"] == b'{"detail":"Who?","code":"unauthorized"}'
    assert ws.state is WebSocketState.DISCONNECTED


async def test_rejected_where_the_server_cannot_deny() -> None:
    ws = WebSocket.fake(deny=False)
    with pytest.raises(WebSocketRejected):
        await ws.reject(401)
    assert (ws.refused_status, ws.close_code, ws.accepted) == (403, 4401, False)
    with pytest.raises(RuntimeError, match="doesn't support"):
        await WebSocket.fake(deny=False).send_denial_response(JsonResponse({}))


async def test_closed_before_accept() -> None:
    ws = WebSocket.fake()
    await ws.close(4000, "no")
    assert (ws.refused_status, ws.accepted, ws.events) == (403, False, [close(4000, "no")])


async def test_a_django_response_as_the_denial() -> None:
    ws = WebSocket.fake()
    await ws.send_denial_response(JsonResponse({"try": "later"}, status=503))
    assert ws.refused_status == 503
    assert ws.sent == []


async def test_closing() -> None:
    ws = WebSocket.fake("a")
    await ws.send_text("bye")
    await ws.close(4000, "done")
    assert ws.events == [ACCEPT, text("bye"), close(4000, "done")]
    assert (ws.accepted, ws.refused_status, ws.close_code) == (True, None, 4000)
    assert (ws.close_reason, ws.state) == ("done", WebSocketState.DISCONNECTED)
    for use in (ws.send_text("late"), ws.close(), ws.receive()):
        with pytest.raises(WebSocketDisconnected):
            await use
    await ws.ensure_closed()
    assert len(ws.events) == 3


async def test_inside_a_with_statement() -> None:
    ws = WebSocket.fake("a")
    async with ws:
        assert await ws.receive_text() == "a"
    assert ws.events == [ACCEPT, close()]
    ws = WebSocket.fake()
    with pytest.raises(WebSocketException):
        async with ws:
            raise WebSocketException(4004, "gone")
    assert ws.close_code == 4004
    ws = WebSocket.fake()
    async with ws:
        await ws.receive_text()
    assert (ws.events, ws.close_code) == ([ACCEPT], 1000)


# The handshake


async def test_the_handshake() -> None:
    ws = WebSocket.fake(
        path="/ws/room/café",
        query={"token": "x y", "tag": ["a", "b"]},
        headers={"X-Key": "é", "Cookie": "first=1"},
        cookies={"session": 'a "b"; c'},
        path_params={"room": 7},
    )
    assert ws.path == "/ws/room/café"
    assert str(ws.url) == "ws://testserver/ws/room/caf%C3%A9?token=x+y&tag=a&tag=b"
    assert ws.query_params["token"] == "x y"
    assert ws.query_params.getlist("tag") == ["a", "b"]
    assert (ws.headers["x-key"], ws.headers["host"]) == ("é", "testserver")
    assert ws.cookies == {"first": "1", "session": 'a "b"; c'}
    assert ws.path_params == ws.request.params == {"room": 7}
    assert ws.request.get_host() == "testserver"
    assert ws.client is not None
    assert ws.take_query_param("token") == ["x y"]


async def test_the_handshake_without_options() -> None:
    ws = WebSocket.fake()
    assert (ws.path, ws.query_params, ws.cookies, ws.path_params) == ("/", {}, {}, {})
    assert dict(ws.headers) == {"host": "testserver"}
    assert (ws.subprotocols, ws.context.user_id, ws.auth) == ([], None, None)
    assert isinstance(ws.user, AnonymousUser)


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({"query": "a=1&a=2"}, b"a=1&a=2"),
        ({"path": "/ws?a=1"}, b"a=1"),
        ({"path": "/ws?a=1", "query": {"b": 2}}, b"a=1&b=2"),
    ],
)
async def test_ways_to_a_query(options: Any, query: bytes) -> None:
    assert WebSocket.fake(**options).scope["query_string"] == query


async def test_an_escaped_path() -> None:
    ws = WebSocket.fake(path="/ws/caf%C3%A9")
    assert (ws.path, ws.url) == ("/ws/café", "ws://testserver/ws/caf%C3%A9")


async def test_a_header_in_place_of_the_usual_one() -> None:
    assert WebSocket.fake(headers={"Host": "example.com"}).url == "ws://example.com/"


async def test_a_user() -> None:
    user = User(pk=7, is_staff=True)
    ws = WebSocket.fake(user=user, context={"room": "lobby"})
    assert ws.user is ws.request.user is user
    assert (ws.context.user_id, ws.context.is_staff, ws.context.is_superuser) == ("7", True, False)
    assert ws.context.room == "lobby"
    assert ws.auth is not None
    assert ws.auth.user_id == "7"


async def test_a_user_of_another_kind() -> None:
    class Account:
        is_authenticated = True
        pk = uuid.UUID(int=1)

    account: Any = Account()
    assert WebSocket.fake(user=account).context.user_id == str(account.pk)


async def test_an_anonymous_user() -> None:
    ws = WebSocket.fake(user=AnonymousUser())
    assert not ws.user.is_authenticated
    assert (ws.context.user_id, ws.auth) == (None, None)
    assert "user" not in WebSocket.fake(user=None)


async def test_context_has_the_last_word() -> None:
    ws = WebSocket.fake(user=User(pk=7), context={"user_id": "8", "permissions": {"chat.add"}})
    assert (ws.context.user_id, ws.context.permissions) == ("8", {"chat.add"})
    assert WebSocket.fake(context={"user_id": "7"}).context["user_id"] == "7"
    assert WebSocket.fake().context.user_id is None


# Types of messages


@dataclass
class Point:
    x: int


async def test_types_of_messages() -> None:
    ws = WebSocket.fake({"x": 1}, {"x": "one"}, receive_type=Point, send_type="json")
    point = await ws.receive()
    assert point == Point(1)
    await ws.send({"got": point.x})
    with pytest.raises(InvalidMessage):
        await ws.receive()
    assert ws.sent_json == [{"got": 1}]


async def test_one_type_for_both_ways() -> None:
    ws = WebSocket.fake("a", value_type="text")
    await ws.send(await ws.receive())
    assert ws.sent == ["a"]
    with pytest.raises(TypeError, match="Expected text to send"):
        await ws.send(b"")
    ws = WebSocket.fake(b"a", value_type="text", receive_type=None)
    assert (await ws.receive())["bytes"] == b"a"


# Broadcasts


async def test_a_broadcast_reaches_itself() -> None:
    ws, other = WebSocket.fake(path="/ws/a"), WebSocket.fake(path="/ws/a")
    await ws.broadcast("all")
    await ws.broadcast({"n": 1}, scope="endpoint")
    await ws.broadcast("others", exclude=ws)
    assert ws.sent == ["all", '{"n":1}']
    assert other.events == []


# Misuse


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"qurey": {}}, TypeError, "fake() has no option 'qurey'; known are path, query,"),
        ({"path": 7}, TypeError, "fake() takes path as str, not 7"),
        ({"path": "ws"}, ValueError, "a path begins with a slash, as in '/ws/chat', and 'ws'"),
        ({"query": 7}, TypeError, "fake() takes query as str or Mapping, not 7"),
        ({"headers": [("a", "b")]}, TypeError, "fake() takes headers as Mapping, not [('a', 'b')]"),
        ({"headers": {"n": 1}}, TypeError, "headers are text, not 'n': 1"),
        ({"headers": {b"n": "1"}}, TypeError, "headers are text, not b'n': '1'"),
        ({"cookies": "a=1"}, TypeError, "fake() takes cookies as Mapping, not 'a=1'"),
        ({"subprotocols": "chat"}, TypeError, "fake() takes subprotocols as list or tuple, not"),
        ({"path_params": 7}, TypeError, "fake() takes path_params as Mapping, not 7"),
        ({"context": 7}, TypeError, "fake() takes context as Mapping, not 7"),
        ({"user": "7"}, TypeError, "fake() takes user as a Django user, not '7'"),
        ({"user": User()}, ValueError, "user is not saved: it has no primary key"),
        ({"auto_accept": 1}, TypeError, "fake() takes auto_accept as bool or NoneType, not 1"),
        ({"deny": None}, TypeError, "fake() takes deny as bool, not None"),
        ({"close_code": "1000"}, TypeError, "fake() takes close_code as int, not '1000'"),
        ({"close_code": 99}, ValueError, "close_code is 1000 to 4999, not 99"),
        ({"close_reason": None}, TypeError, "fake() takes close_reason as str, not None"),
        ({"receive_type": "xml"}, DeclarationError, "unknown value type 'xml'"),
    ],
)
@pytest.mark.parametrize("fake", [WebSocket.fake, BlockingWebSocket.fake])
def test_options_that_cannot_be(
    fake: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        fake("hello", **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (object, "Object of type type is not JSON serializable"),
        ({"a": "\ud800"}, "surrogate"),
        (Message.ping(), "no handler receives it"),
    ],
)
def test_messages_that_no_client_sends(message: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=r"fake\(\) cannot send") as caught:
        WebSocket.fake(message)
    assert complaint in str(caught.value)


def test_what_the_options_do_not_name_is_in_no_other_connection() -> None:
    params = {"room": 1}
    one, two = WebSocket.fake(path_params=params), WebSocket.fake(path_params=params)
    one.scope["url_route"]["kwargs"]["room"] = 2
    assert (two.path_params, params) == ({"room": 1}, {"room": 1})


# Without a loop of its own, in any


@pytest.mark.parametrize("auto_accept", [None, True])
def test_made_outside_of_the_loop_that_uses_it(auto_accept: bool | None) -> None:
    ws = WebSocket.fake("a", auto_accept=auto_accept)
    async_to_sync(echo.handler)(ws)
    assert ws.sent == ["Echo: 'a'"]


def test_the_types() -> None:
    ws: OfflineWebSocket = WebSocket.fake()
    twin: OfflineBlockingWebSocket = BlockingWebSocket.fake()
    assert isinstance(ws, WebSocket)
    assert isinstance(twin, BlockingWebSocket)
    assert repr(ws) == f"<OfflineWebSocket '/' {ws.id}>"
    assert repr(twin) == f"<OfflineBlockingWebSocket '/' {twin.id}>"


# Blocking


def test_a_plain_handler() -> None:
    ws = BlockingWebSocket.fake("hello", b"raw", {"json": 1}, path="/ws/plain")
    plain_echo(ws)
    assert ws.sent == ["Echo: 'hello'", "Echo: b'raw'", "Echo: '{\"json\":1}'"]
    assert ws.events == [ACCEPT, *(text(str(each)) for each in ws.sent)]
    assert (ws.accepted, ws.connected, ws.close_code) == (True, False, 1000)


async def test_a_plain_handler_sends_the_same_to_a_server() -> None:
    ws = BlockingWebSocket.fake("a", b"b", path="/ws/plain")
    await asyncio.to_thread(plain_echo, ws)
    connection = Connection(api.as_asgi(), "/ws/plain")
    connection.put("a", b"b")
    served = [await connection.next() for _ in ws.events]
    connection.leave()
    assert await connection.end() == served == ws.events


def test_every_blocking_way_to_receive() -> None:
    ws = BlockingWebSocket.fake("a", b"b", {"n": 1}, "raw", b"x", "left")
    assert (ws.state, ws.connected) == (WebSocketState.CONNECTING, True)
    assert (ws.receive_text(), ws.receive_bytes(), ws.receive_json()) == ("a", b"b", {"n": 1})
    assert ws.receive() == {"type": "websocket.receive", "text": "raw"}
    with pytest.raises(UnexpectedFrame):
        ws.receive_text()
    assert ws.connected
    assert list(ws) == ["left"]
    assert ws.recv(timeout=0.01) is None
    with pytest.raises(WebSocketDisconnected):
        ws.receive_text()
    with pytest.raises(WebSocketDisconnected):
        ws.send_text("late")
    assert (ws.connected, ws.close_code) == (False, 1000)


def test_blocking_iterators() -> None:
    assert list(BlockingWebSocket.fake("a", "b").iter_text()) == ["a", "b"]
    assert list(BlockingWebSocket.fake(b"a").iter_bytes()) == [b"a"]
    assert list(BlockingWebSocket.fake([1], {}).iter_json()) == [[1], {}]
    assert list(BlockingWebSocket.fake({"x": 1}, receive_type=Point)) == [Point(1)]


def test_every_blocking_way_to_send() -> None:
    ws = BlockingWebSocket.fake(send_type="json")
    ws.send_text("a")
    ws.send_bytes(b"b")
    ws.send_binary(b"c")
    ws.send_json({"n": 1})
    ws.send(Message.text("d"))
    ws.send([2])
    ws.send_event(text("e"))
    assert ws.sent == ["a", b"b", b"c", '{"n":1}', "d", "[2]", "e"]
    with pytest.raises(InvalidJSON, match=r"sent\[0\] is 'a'"):
        ws.sent_json  # noqa: B018


def test_a_blocking_end() -> None:
    ws = BlockingWebSocket.fake("a")
    ws.accept()
    with pytest.raises(RuntimeError, match="Expected ASGI message"):
        ws.accept()
    ws.close(4000, "done")
    ws.close()
    ws.ensure_closed()
    assert ws.events == [ACCEPT, close(4000, "done")]
    assert (ws.connected, ws.close_code, ws.close_reason) == (False, 4000, "done")
    assert ws.recv() is None


def test_a_blocking_refusal() -> None:
    ws = BlockingWebSocket.fake()
    with pytest.raises(WebSocketRejected):
        ws.reject(404)
    assert (ws.refused_status, ws.accepted) == (404, False)
    ws = BlockingWebSocket.fake()

    async def parts() -> AsyncIterator[bytes]:
        yield b"a"

    ws.send_denial_response(StreamingHttpResponse(parts(), status=503))
    assert ws.refused_status == 503
    assert b"".join(each.get("body", b"") for each in ws.events) == b"a"


def test_a_blocking_connection_accepted_before_the_handler() -> None:
    ws = BlockingWebSocket.fake("a", auto_accept=True, subprotocols=["chat"])
    assert ws.events == [ACCEPT]
    assert ws.receive_text() == "a"
    ws = BlockingWebSocket.fake("a", auto_accept=False, subprotocols=["chat"])
    with pytest.raises(RuntimeError, match="Expected ASGI message"):
        ws.recv()
    ws.accept("chat")
    assert (ws.accepted_subprotocol, ws.receive_text()) == ("chat", "a")


def test_a_blocking_with_statement_and_broadcast() -> None:
    ws = BlockingWebSocket.fake(path="/ws/a", user=User(pk=7), query="n=1", path_params={"a": 1})
    with ws:
        ws.broadcast("all")
        ws.broadcast("others", exclude=ws)
        ws.send_json([ws.context.user_id, ws.query_params["n"], ws.path_params["a"]])
    assert ws.events == [ACCEPT, text("all"), text('["7","1",1]'), close()]


async def test_a_blocking_call_in_a_coroutine() -> None:
    ws = BlockingWebSocket.fake("a")
    for use in (ws.receive_text, ws.recv, ws.accept, ws.close, lambda: ws.send_text("a")):
        with pytest.raises(RuntimeError, match="blocks, and a coroutine called it"):
            use()
    assert ws.events == []
    assert await ws.websocket.receive_text() == "a"


def test_several_threads() -> None:
    ws = BlockingWebSocket.fake(*map(str, range(20)))
    got: list[str] = []

    def send() -> None:
        for _ in range(20):
            ws.send_text("x")

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    got.extend(ws.receive_text() for _ in range(20))
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert got == list(map(str, range(20)))
    assert ws.sent == ["x"] * 60


def test_no_thread_is_started_and_no_loop_left() -> None:
    def loops() -> list[asyncio.AbstractEventLoop]:
        gc.collect()
        everything = gc.get_objects()
        # By `type`: `isinstance` would wake up the lazy objects of Django.
        return [each for each in everything if issubclass(type(each), asyncio.BaseEventLoop)]

    before, threads = loops(), threading.enumerate()
    ws = BlockingWebSocket.fake("a", "b")
    assert ws.receive_text() == "a"
    ws.send_text("c")
    ws.broadcast("d")
    assert threading.enumerate() == threads
    assert all(each.is_closed() for each in loops() if each not in before)
    del ws
    assert [each for each in loops() if each not in before] == []
