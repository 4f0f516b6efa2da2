"""The blocking twin of a connection: what a plain `def` handler holds."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextlib import suppress
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.http import HttpResponse
from django.test import override_settings

from bolt_ws import BoltAPI
from bolt_ws.blocking import BlockingWebSocket, twin_of
from bolt_ws.exceptions import (
    InvalidJSON,
    UnexpectedFrame,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
    WebSocketRejected,
)
from bolt_ws.messages import Message
from bolt_ws.states import WebSocketState
from bolt_ws.values import compile_value_type
from bolt_ws.websocket import WebSocket
from tests.blocking import SOON, Client, soon, until

pytestmark = pytest.mark.usefixtures("no_thread_left")


async def test_echo_as_cellos_page_writes_it() -> None:
    def echo(ws: BlockingWebSocket) -> None:
        ws.send_text("Connected!")
        while True:
            msg = ws.recv()
            if msg is None or msg.is_close():
                break
            if msg.is_text():
                ws.send_text(f"Echo: {msg.text}")
            else:
                ws.send_binary(msg.data or b"")

    client = Client()
    task = client.run(echo)
    await client.accepted()
    assert await client.hears() == "Connected!"
    client.says("a", b"\x00", "", b"")
    assert [await client.hears() for _ in range(4)] == ["Echo: a", b"\x00", "Echo: ", b""]
    client.leaves()
    assert await soon(task) is None


async def test_every_way_to_receive() -> None:
    def handler(ws: BlockingWebSocket) -> list[Any]:
        got = [ws.receive_text(), ws.receive_bytes(), ws.receive_json(), ws.receive_json("binary")]
        for receive, error in (
            (ws.receive_text, UnexpectedFrame),
            (ws.receive_bytes, UnexpectedFrame),
            (ws.receive_json, InvalidJSON),
        ):
            with pytest.raises(error) as raised:
                receive()
            got.append(raised.value.data)  # type: ignore[attr-defined]
        got += [ws.receive(), ws.receive_event(), ws.recv()]
        with pytest.raises(RuntimeError, match='The "mode" argument'):
            ws.receive_json("neither")  # type: ignore[arg-type]
        with pytest.raises(WebSocketDisconnect) as gone:
            ws.receive_text()
        assert gone.value.websocket is ws.websocket
        for receive in (ws.receive_text, ws.receive_event, ws.receive_json):
            with pytest.raises(WebSocketDisconnected, match=r'Cannot "receive".*4001'):
                receive()
        assert ws.recv() is None
        return [*got, gone.value.code, ws.close_code, ws.close_reason]

    client = Client()
    client.says("a", b"b", "1", b"2", b"bytes", "text", "{", "raw", "event", "message")
    client.leaves(4001)
    assert await soon(client.run(handler)) == [
        *("a", b"b", 1, 2, b"bytes", "text", "{"),
        {"type": "websocket.receive", "text": "raw"},
        {"type": "websocket.receive", "text": "event"},
        Message.text("message"),
        *(4001, 4001, ""),
    ]


async def test_raw_receive_tells_of_the_disconnect_once() -> None:
    def handler(ws: BlockingWebSocket) -> Any:
        event = ws.receive()
        with pytest.raises(WebSocketDisconnected):
            ws.receive()
        return event

    client = Client()
    client.leaves(1001)
    assert await soon(client.run(handler)) == {"type": "websocket.disconnect", "code": 1001}


@pytest.mark.parametrize(
    ("iterate", "messages", "expected"),
    [
        (lambda ws: ws, ["a", b"b", ""], ["a", b"b", ""]),
        (lambda ws: ws.iter_text(), ["a", "b"], ["a", "b"]),
        (lambda ws: ws.iter_bytes(), [b"a", b""], [b"a", b""]),
        (lambda ws: ws.iter_json(), ["1", "{}"], [1, {}]),
        (lambda ws: ws.iter_json("binary"), [b"1"], [1]),
    ],
)
async def test_iterations_end_at_the_disconnect(
    iterate: Any, messages: list[Any], expected: list[Any]
) -> None:
    def handler(ws: BlockingWebSocket) -> list[Any]:
        got = list(iterate(ws))
        assert list(iterate(ws)) == []
        return got

    client = Client()
    client.says(*messages)
    client.leaves()
    assert await soon(client.run(handler)) == expected


async def test_every_way_to_send() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        data = bytearray(b"c")
        ws.send_text("a")
        ws.send_bytes(b"b")
        ws.send_binary(data)
        data[:] = b"x"  # it was sent as it was
        ws.send_json({"d": 1})
        ws.send_json([2], mode="binary")
        event = {"type": "websocket.send", "text": "e"}
        ws.send(event)
        event["text"] = "x"
        ws.send_event({"type": "websocket.send", "bytes": b"f"})
        ws.send(Message.text("g"))
        ws.send(Message.binary(b"h"))
        ws.send(Message.ping())
        ws.send(Message.close(4001, "bye"))
        with pytest.raises(WebSocketDisconnected):
            ws.send_text("late")

    client = Client()
    task = client.run(handler)
    await client.accepted()
    for expected in ("a", b"b", b"c", '{"d":1}', b"[2]", "e", b"f", "g", b"h"):
        assert await client.hears() == expected
    assert await client.hears() == {"type": "websocket.close", "code": 4001, "reason": "bye"}
    await soon(task)


async def test_what_cannot_be_sent_raises_at_once() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        for wrong, error in (
            (lambda: ws.send_text(b"a"), TypeError),  # type: ignore[arg-type]
            (lambda: ws.send_bytes("a"), TypeError),  # type: ignore[arg-type]
            (lambda: ws.send_json(object()), TypeError),
            (lambda: ws.send({"type": "websocket.send"}), ValueError),
            (lambda: ws.send({"type": "websocket.accept"}), RuntimeError),
            (lambda: ws.close(1006), ValueError),
            (lambda: ws.ensure_closed(1006), ValueError),
        ):
            with pytest.raises(error):
                wrong()
        ws.send_text("fine")

    client = Client()
    task = client.run(lambda ws: (ws.accept(), handler(ws)))
    await soon(task)
    await client.accepted()
    assert await client.hears() == "fine"
    assert client.outbound.empty()


async def test_value_types() -> None:
    def handler(ws: BlockingWebSocket) -> list[Any]:
        ws.send(["a"])
        with pytest.raises(TypeError, match="not JSON serializable"):
            ws.send(object())
        return [ws.receive(), *ws]

    json = compile_value_type("json")
    client = Client(receive_type=json, send_type=json)
    client.says("1", "2", "[3]")
    client.leaves()
    assert await soon(client.run(handler)) == [1, 2, [3]]
    await client.accepted()
    assert await client.hears() == '["a"]'

    event = compile_value_type("event")
    client = Client(receive_type=event)
    client.says("a", "b")
    client.leaves()
    raw = [{"type": "websocket.receive", "text": text} for text in "ab"]
    assert await soon(client.run(lambda ws: [ws.receive(), *ws])) == raw


# The handshake's answer, and the end


async def test_accept() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        with pytest.raises(ValueError, match="was not offered"):
            ws.accept("b")
        ws.accept("a", headers={"X-A": "1"})
        with pytest.raises(RuntimeError, match="Expected ASGI message"):
            ws.accept()

    client = Client({"subprotocols": ["a"]})
    await soon(client.run(handler))
    assert await client.hears() == {
        "type": "websocket.accept",
        "subprotocol": "a",
        "headers": [(b"x-a", b"1")],
    }


async def test_strict_mode() -> None:
    def handler(ws: BlockingWebSocket) -> Message | None:
        for use in (lambda: ws.send_text("a"), ws.receive_text, ws.recv, lambda: next(iter(ws))):
            with pytest.raises(RuntimeError, match="Expected ASGI message"):
                use()
        ws.accept()
        ws.send_text("a")
        return ws.recv()

    client = Client(auto_accept=False)
    client.says("b")
    assert await soon(client.run(handler)) == Message.text("b")
    await client.accepted()
    assert await client.hears() == "a"


async def test_closing_twice_does_nothing() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        ws.send_text("last")
        ws.close(4001, "bye")
        ws.close()
        ws.ensure_closed()
        assert not ws.connected
        assert ws.recv() is None
        assert list(ws) == []
        with pytest.raises(WebSocketDisconnected):
            ws.receive_text()
        with pytest.raises(WebSocketDisconnected):
            ws.send_text("late")

    client = Client()
    client.says("unread")
    await soon(client.run(handler))
    await client.accepted()
    assert await client.hears() == "last"
    assert await client.hears() == {"type": "websocket.close", "code": 4001, "reason": "bye"}
    assert client.outbound.empty()


async def test_a_close_from_another_thread_wakes_recv() -> None:
    waiting = threading.Event()

    def handler(ws: BlockingWebSocket) -> Any:
        ws.accept()
        threading.Timer(0, lambda: (waiting.wait(SOON), ws.close(4002))).start()
        waiting.set()
        return ws.recv(SOON), ws.close_code

    assert await soon(Client().run(handler)) == (None, 4002)


async def test_reject_and_denial_response() -> None:
    extensions = {"extensions": {"websocket.http.response": {}}}
    client = Client(extensions)
    with pytest.raises(WebSocketRejected):
        await soon(client.run(lambda ws: ws.reject(404, "no such room")))
    start, body = await client.hears(), await client.hears()
    assert start["status"] == 404
    assert b"no such room" in body["body"]

    client = Client(extensions)
    await soon(client.run(lambda ws: ws.send_denial_response(HttpResponse("full", status=409))))
    start, body = await client.hears(), await client.hears()
    assert (start["status"], body["body"]) == (409, b"full")

    with pytest.raises(RuntimeError, match="doesn't support"):
        await soon(Client().run(lambda ws: ws.send_denial_response(HttpResponse())))


async def test_with() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        with ws as same:
            assert same is ws
            assert ws.state is WebSocketState.CONNECTED
        assert ws.state is WebSocketState.DISCONNECTED
        with pytest.raises(ZeroDivisionError), ws:
            raise ZeroDivisionError

    client = Client()
    await soon(client.run(handler))
    await client.accepted()
    assert (await client.hears())["code"] == 1000

    def quiet(ws: BlockingWebSocket) -> str:
        with ws:
            ws.receive_text()
        return "caught"

    client = Client()
    client.leaves()
    assert await soon(client.run(quiet)) == "caught"


async def test_connected_until_the_last_message_was_taken() -> None:
    ahead = threading.Event()

    def handler(ws: BlockingWebSocket) -> list[Any]:
        assert ws.connected
        got = [ws.recv()]
        assert ahead.wait(SOON)
        while ws.connected:
            got.append(ws.recv())
        assert ws.state is ws.client_state is WebSocketState.DISCONNECTED
        assert ws.application_state is WebSocketState.CONNECTED
        assert ws.recv() is None
        assert ws.state is WebSocketState.DISCONNECTED
        return got

    client = Client()
    task = client.run(handler)
    client.says("a", "b", "c")
    client.leaves()
    await until(lambda: client.twin.bridge._has_ended_reading)
    assert client.websocket.state is WebSocketState.DISCONNECTED
    ahead.set()
    assert await soon(task) == [Message.text(text) for text in "abc"]


# What a twin is


async def test_one_twin_for_each_connection() -> None:
    client, other = Client(), Client()
    assert twin_of(client.websocket) is client.twin
    assert client.twin == client.twin != other.twin
    assert len({client.twin, other.twin, client.twin}) == 2
    assert client.twin
    assert BlockingWebSocket.__bolt_connection__
    assert not isinstance(client.twin, WebSocket)


async def test_a_twin_has_what_its_connection_has() -> None:
    client = Client({"query_string": b"a=1", "client": ("10.0.0.1", 5), "user": "me"})
    twin, websocket = client.twin, client.websocket
    assert twin.websocket is websocket
    assert twin.context is websocket.context
    assert twin.id == websocket.id
    assert twin.path == "/ws"
    assert twin.query_params["a"] == "1"
    assert twin.client == ("10.0.0.1", 5)
    assert str(twin.url) == str(websocket.url)
    assert twin.user == "me"
    assert twin["type"] == "websocket"
    assert "path" in twin
    assert "nothing" not in twin
    assert repr(twin) == f"<BlockingWebSocket '/ws' {websocket.id}>"
    with pytest.raises(AttributeError, match="nothing"):
        twin.nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="_open"):
        twin._open  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        twin.name = "x"  # type: ignore[attr-defined]


async def test_a_coroutine_method_of_ones_own_is_called() -> None:
    class Mine(WebSocket):
        __slots__ = ()

        async def greet(self, name: str) -> str:
            await self.send_text(f"Hello {name}")
            return "greeted"

    client = Client()
    mine = Mine(client.websocket.scope, client.inbound.get, client._send, auto_accept=None)
    mine.serve_for(None)  # type: ignore[arg-type]
    mine.admit()
    client.twin = twin_of(mine)
    assert await soon(client.run(lambda ws: ws.greet(name="Ann"))) == "greeted"
    await client.accepted()
    assert await client.hears() == "Hello Ann"


def test_every_awaitable_has_a_twin() -> None:
    # Reached, but no part of the surface.
    internal = {"accept_unasked", "hand", "refuse", "receive_raw", "settle"}
    internal |= {"open_for_use", "open_for_rooms", "end_tasks"}
    for name, method in inspect.getmembers(WebSocket, inspect.isfunction):
        awaits = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        returns = str(inspect.signature(method).return_annotation)
        awaits = awaits or returns.startswith(("Coroutine", "AsyncIterator"))
        if awaits and not name.startswith("_") and name not in internal:
            assert inspect.isfunction(inspect.getattr_static(BlockingWebSocket, name)), name
            twin = inspect.signature(inspect.getattr_static(BlockingWebSocket, name))
            assert list(twin.parameters) == list(inspect.signature(method).parameters), name


@pytest.mark.parametrize(
    ("use", "awaitable"),
    [
        (lambda ws: ws.send_text("a"), "await websocket.send_text(...)"),
        (lambda ws: ws.send_binary(b"a"), "await websocket.send_bytes(...)"),
        (lambda ws: ws.send(Message.ping()), "await websocket.send(...)"),
        (lambda ws: ws.recv(), "await websocket.receive()"),
        (lambda ws: ws.receive_json(), "await websocket.receive_json()"),
        (lambda ws: ws.accept(), "await websocket.accept(...)"),
        (lambda ws: ws.close(), "await websocket.close(...)"),
        (lambda ws: ws.broadcast("a"), "await websocket.broadcast(...)"),
        (lambda ws: ws.iter_text(), "async for text in websocket.iter_text()"),
        (iter, "async for message in websocket"),
        (lambda ws: ws.__enter__(), "async with websocket"),
    ],
)
async def test_a_coroutine_is_told_what_to_await(use: Any, awaitable: str) -> None:
    client = Client()
    with pytest.raises(RuntimeError, match="a coroutine called it") as raised:
        use(client.twin)
    assert f"`{awaitable}`" in str(raised.value)
    assert "the `websocket` attribute" in str(raised.value)
    assert client.outbound.empty()


# In an API


def connect(api: BoltAPI, path: str) -> WebsocketCommunicator:
    return WebsocketCommunicator(api.as_asgi(), path)


async def test_a_plain_function_is_a_handler() -> None:
    api = BoltAPI()

    @api.websocket("/ws/rooms/{room_id}")
    def room(ws, request, room_id: str, shout: bool = False):
        assert threading.current_thread().name.startswith("bolt_ws-")
        ws.send_text(f"Joined room: {request.params['room_id']} {room_id}")
        for text in ws.iter_text():
            ws.send_text(text.upper() if shout else text)

    client = connect(api, "/ws/rooms/5?shout=true")
    assert (await client.connect())[0]
    assert await client.receive_from() == "Joined room: 5 5"
    await client.send_to(text_data="hi")
    assert await client.receive_from() == "HI"
    await client.disconnect()


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (lambda ws: ws.send_text("a"), 1000),
        (lambda ws: (ws.accept(), ws.receive_json()), 1007),
        (lambda ws: (ws.accept(), ws.receive_bytes()), 1003),
        (lambda ws: (ws.accept(), raise_(WebSocketException(4005, "why"))), 4005),
    ],
)
async def test_how_a_handler_ends(handler: Any, code: int) -> None:
    api = BoltAPI()
    api.websocket("/ws")(handler)
    client = connect(api, "/ws")
    assert (await client.connect())[0]
    await client.send_to(text_data="{")
    event = await client.receive_output()
    if event["type"] == "websocket.send":
        event = await client.receive_output()
    assert (event["type"], event["code"]) == ("websocket.close", code)
    await client.wait()


def raise_(error: Exception) -> None:
    raise error


async def test_an_error_is_the_servers() -> None:
    api = BoltAPI()

    @api.websocket("/ws")
    def handler(ws: BlockingWebSocket) -> None:
        ws.send_text("before")
        raise ZeroDivisionError

    client = connect(api, "/ws")
    await client.connect()
    assert await client.receive_from() == "before"
    assert (await client.receive_output())["code"] == 1011
    with pytest.raises(ZeroDivisionError):
        await client.wait()


async def test_over_the_bound_a_connection_is_refused() -> None:
    api = BoltAPI()

    @api.websocket("/ws")
    def echo(ws: BlockingWebSocket) -> None:
        with ws:
            for text in ws.iter_text():
                ws.send_text(text)

    with override_settings(BOLT_WS={"SYNC_THREADS": 1}):
        first = connect(api, "/ws")
        assert (await first.connect())[0]
        second = connect(api, "/ws")
        assert await second.connect() == (False, 4503)
        await first.send_to(text_data="undisturbed")
        assert await first.receive_from() == "undisturbed"
        await first.disconnect()
        third = connect(api, "/ws")
        assert (await third.connect())[0]
        await third.disconnect()


async def test_callbacks_of_plain_functions() -> None:
    api = BoltAPI()
    ended: list[Any] = []

    @api.websocket("/ws")
    def handler(ws: BlockingWebSocket) -> None:
        ws.send_text("handler")
        ws.recv()
        ws.close(4001)

    @handler.on_connect
    def on_connect(ws: BlockingWebSocket) -> str:
        ws.send_text("connected")
        return "welcome"

    @handler.on_close
    def on_close(ws: BlockingWebSocket, code: int) -> str:
        ended.append((ws, code))
        ws.send_text("closing")
        return "bye"

    client = connect(api, "/ws")
    assert (await client.connect())[0]
    for expected in ("connected", "welcome", "handler"):
        assert await client.receive_from() == expected
    await client.send_to(text_data="go on")
    for expected in ("closing", "bye"):
        assert await client.receive_from() == expected
    assert (await client.receive_output())["code"] == 4001
    await client.wait()
    ((twin, code),) = ended
    assert code == 4001
    assert twin.state is WebSocketState.DISCONNECTED


@pytest.mark.parametrize("mode", ["cancel", "leave"])
async def test_a_callback_of_a_connection_that_is_gone(mode: str) -> None:
    api = BoltAPI()
    states: list[Any] = []

    @api.websocket("/ws")
    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        ws.recv()

    @handler.on_close
    def on_close(ws: BlockingWebSocket) -> None:
        states.append(ws.state)
        ws.send_text("bye")

    client = connect(api, "/ws")
    assert (await client.connect())[0]
    if mode == "leave":
        await client.disconnect()
        assert states == [WebSocketState.DISCONNECTED]
        return
    client.future.cancel()
    assert await client.receive_from() == "bye"
    assert (await client.receive_output())["code"] == 1012
    with pytest.raises(asyncio.CancelledError):
        await client.future
    assert states == [WebSocketState.CONNECTED]


async def test_broadcast() -> None:
    api = BoltAPI()

    @api.websocket("/ws")
    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        for text in ws.iter_text():
            ws.broadcast(f"{text} to all")
            ws.broadcast(f"{text} to others", exclude=ws)
            ws.broadcast(f"{text} to others", exclude=[ws])
            ws.send_text("done")

    first, second = connect(api, "/ws"), connect(api, "/ws")
    assert (await first.connect())[0]
    assert (await second.connect())[0]
    await first.send_to(text_data="hi")
    for expected in ("hi to all", "done"):
        assert await first.receive_from() == expected
    for expected in ("hi to all", "hi to others", "hi to others"):
        assert await second.receive_from() == expected
    await first.disconnect()
    await second.disconnect()


async def test_the_chat_room_of_cellos_page() -> None:
    """Peers in a module-level list, one of them gone without being removed."""
    api = BoltAPI()
    clients: list[BlockingWebSocket] = []

    @api.websocket("/ws")
    def chat(ws: BlockingWebSocket) -> None:
        clients.append(ws)
        ws.send_text("Welcome")
        while True:
            msg = ws.recv()
            if msg is None or msg.is_close():
                break
            for client in clients:
                with suppress(Exception):  # it may have disconnected
                    client.send_text(msg.text or "")

    gone, left = connect(api, "/ws"), connect(api, "/ws")
    for client in (gone, left):
        assert (await client.connect())[0]
        assert await client.receive_from() == "Welcome"
    await gone.disconnect()
    await left.send_to(text_data="anybody?")
    assert await left.receive_from() == "anybody?"
    await left.disconnect()
