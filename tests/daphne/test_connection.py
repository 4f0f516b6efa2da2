"""A connection and its application: events in and out of turn, and how the application ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from contextvars import ContextVar
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from bolt_ws.daphne.writer import ClientGone
from bolt_ws.servers import direct_sender

from .client import Client, connected, connecting, masked
from .fakes import KIB, Event, Server, settle

ACCEPT = {"type": "websocket.accept"}
SEND = {"type": "websocket.send", "text": "x"}
CLOSE = {"type": "websocket.close"}
START = {"type": "websocket.http.response.start", "status": 401, "headers": []}
BODY = {"type": "websocket.http.response.body", "body": b"no"}
UNKNOWN = {"type": "websocket.ping"}
TO_CONNECT = "websocket.accept, websocket.close or websocket.http.response.start"
TO_DENY = "websocket.http.response.body"
TO_TALK = "websocket.send or websocket.close"

# Events out of turn


@pytest.mark.parametrize(
    ("before", "event", "expected"),
    [([], event, TO_CONNECT) for event in (SEND, BODY, UNKNOWN)]
    + [([START], event, TO_DENY) for event in (ACCEPT, SEND, CLOSE, START, UNKNOWN)]
    + [([ACCEPT], event, TO_TALK) for event in (ACCEPT, START, BODY, UNKNOWN)],
)
async def test_events_out_of_turn(before: list[Event], event: Event, expected: str) -> None:
    async with connecting() as client:
        for each in before:
            await client.send(each)
        written = list(client.transport.written)
        with pytest.raises(RuntimeError) as caught:
            await client.send(event)
        assert str(caught.value) == f"{event['type']!r} came out of turn: expected {expected}"
        assert client.transport.written == written


async def test_an_error_ends_nothing() -> None:
    async with connecting() as client:
        with pytest.raises(RuntimeError):
            await client.send(SEND)
        with pytest.raises(ValueError, match="is none that the client has offered"):
            await client.send({**ACCEPT, "subprotocol": "chat"})
        with pytest.raises(TypeError):
            await client.send({**ACCEPT, "headers": [("text", "text")]})
        await client.send(ACCEPT)
        with pytest.raises(RuntimeError):
            await client.send(ACCEPT)
        with pytest.raises(ValueError, match="must not be sent"):
            await client.send({**CLOSE, "code": 1005})
        with pytest.raises(TypeError):
            await client.send({"type": "websocket.send", "text": 7})
        await client.send("still there")
        client.look()
        assert client.messages == ["still there"]


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        ({}, ValueError, "websocket.send needs text or bytes"),
        ({"text": None, "bytes": None}, ValueError, "websocket.send needs text or bytes"),
        ({"text": "x", "bytes": b"x"}, ValueError, "websocket.send has text or bytes, not both"),
        ({"text": "", "bytes": b""}, ValueError, "websocket.send has text or bytes, not both"),
        ({"text": b"x"}, TypeError, "not bytes"),
        ({"bytes": "x"}, TypeError, "not str"),
        ({"text": 7}, TypeError, "not int"),
        ({"prepared": "x"}, ValueError, "websocket.send needs text or bytes"),
        ({"text": "\ud800"}, ValueError, "surrogates not allowed"),
    ],
)
async def test_what_cannot_be_sent(event: Event, error: type[Exception], message: str) -> None:
    async with connected() as client:
        written = list(client.transport.written)
        with pytest.raises(error, match=message):
            await client.send({"type": "websocket.send", **event})
        assert client.transport.written == written


async def test_what_can_be_sent() -> None:
    async with connected() as client:
        for event in (
            {"text": "text"},
            {"text": "", "bytes": None},
            {"bytes": b"bytes"},
            {"text": None, "bytes": b""},
            {"bytes": bytearray(b"array")},
            {"bytes": memoryview(b"view")},
            {"text": "\u00e9" * 40_000},
        ):
            await client.send({"type": "websocket.send", **event})
        client.look()
        assert client.messages == [
            "text",
            "",
            b"bytes",
            b"",
            b"array",
            b"view",
            "\u00e9" * 40_000,
        ]


# Messages prepared once


@pytest.mark.parametrize("data", ["text", b"bytes", "", "x" * 70_000])
async def test_a_prepared_message_is_one_object(data: str | bytes) -> None:
    server = Server()
    async with connected(server) as first:
        await settle()
        extension = first.application.scope["extensions"]["bolt_ws.prepared"]
        message = extension["prepare"](data)
        async with connected(Server()) as second, connected(Server(deflate=True)) as third:
            for client in (first, second, third):
                await client.send({"type": "websocket.send", "prepared": message})
                client.look()
                assert client.messages == [data]
                assert client.transport.written[-1] is message.frame


async def test_a_prepared_message_waits_like_others() -> None:
    async with connected() as client:
        await settle()
        prepare = client.application.scope["extensions"]["bolt_ws.prepared"]["prepare"]
        client.transport.fill()
        sending = asyncio.create_task(
            client.send({"type": "websocket.send", "prepared": prepare("x")})
        )
        await settle()
        assert not sending.done()
        client.transport.drain()
        await sending


async def test_a_prepared_message_is_sent_at_once_only_if_nothing_is_in_the_way() -> None:
    async with connected() as client:
        await settle()
        scope, send = client.application.scope, client.application.send
        prepared = scope["extensions"]["bolt_ws.prepared"]["prepare"]("x")
        send_now = direct_sender(send)
        assert send_now is not None
        assert send_now(prepared)
        client.look()
        assert client.messages == ["x"]
        client.transport.fill()
        assert not send_now(prepared)  # `send` waits
        client.transport.drain()
        await send({"type": "websocket.close"})
        assert not send_now(prepared)  # `send` raises
        client.look()
        assert client.messages == ["x"]


def test_middleware_is_not_passed_by() -> None:
    async def send(event: Any) -> None:
        pass

    assert direct_sender(send) is None


# The end of the application


async def test_it_returns() -> None:
    async with connected() as client:
        client.application.returns()
        await settle()
        client.look()
        assert client.closes == [(1000, "")]
        client.close()
        await settle()
        assert client.transport.calls == ["close"]
        assert client.server.websockets == set()
        assert client.server.logged == ["connecting", "connected", "disconnected"]


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_it_raises(is_accepted: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with connecting() as client:
        if is_accepted:
            await client.send(ACCEPT)
        await settle()
        client.application.raises(KeyError("a bug"))
        await settle()
        if is_accepted:
            client.look()
            assert client.closes == [(1011, "")]
        else:
            assert client.raw.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("daphne.server", logging.ERROR)
        assert record.getMessage() == "Exception inside application: 'a bug'"
        assert record.exc_info is not None
        assert "a-secret" not in caplog.text
        assert "KeyError" in caplog.text


async def test_it_returns_without_an_answer() -> None:
    async with connecting() as client:
        await settle()
        client.application.returns()
        await settle()
        assert client.raw.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert client.server.logged == ["connecting", "rejected"]


async def test_that_the_client_is_gone_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as client:
        await settle()
        client.transport.lose()
        client.application.raises(ClientGone("gone"))
        await settle()
        assert client.server.websockets == set()
        assert caplog.records == []


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_it_is_cancelled(is_accepted: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with connecting() as client:
        if is_accepted:
            await client.send(ACCEPT)
        await settle()
        assert client.connection._task is not None
        client.connection._task.cancel()
        await settle()
        if is_accepted:
            client.look()
            assert client.closes == [(1011, "")]
        else:
            assert client.raw.startswith(b"HTTP/1.1 500 ")
        assert caplog.records == []


async def test_what_it_held_is_free_when_it_has_ended() -> None:
    """Without the garbage collector, and though its error knows its frame."""

    class Held: ...

    held: list[weakref.ref[Held]] = []

    async def application(scope: Event, receive: Any, send: Any) -> None:
        something = Held()
        held.append(weakref.ref(something))
        while (await receive())["type"] != "websocket.disconnect":
            pass
        raise ClientGone("not logged")

    server = Server()
    server.application = application
    client = Client(server)
    gc.disable()
    try:
        client.connection.connection_made(client.transport)
        await settle()
        client.transport.lose()
        await settle()
        assert server.websockets == set()
        assert held[0]() is None
    finally:
        gc.enable()


async def test_each_has_a_context_of_its_own() -> None:
    """It is a copy of the server's, whatever the transport's is."""
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def application(scope: Event, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set("of an application")
        seen.append(variable.get())

    variable.set("of the server")
    server = Server()
    server.application = application
    variable.set("of a transport")
    for _ in range(2):
        client = Client(server)
        client.connection.connection_made(client.transport)
        await settle()
        await client.end()
    assert seen == ["of the server", "of an application"] * 2


async def test_it_outlives_the_client() -> None:
    async with connected() as client:
        await settle()
        client.transport.lose()
        assert client.server.websockets == {client.connection}
        client.application.returns()
        await settle()
        assert client.server.websockets == set()
        assert client.server.logged == ["connecting", "connected", "disconnected"]


async def raises_when_it_is_called(client: Client) -> None:
    client.connection.connection_made(client.transport)
    await settle()
    assert client.raw.startswith(b"HTTP/1.1 500 ")
    await client.end()


async def test_an_application_of_other_arguments(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.application = lambda scope: None
    await raises_when_it_is_called(Client(server))
    assert "Exception inside application: " in caplog.text


async def test_an_application_that_returns_a_future() -> None:
    server = Server()
    future = asyncio.get_running_loop().create_future()
    server.application = lambda scope, receive, send: future
    async with connected(server) as client:
        future.set_result(None)
        await settle()
        client.look()
        assert client.closes == [(1000, "")]


async def test_an_application_that_closes_and_goes_on() -> None:
    async with connected() as client:
        await client.send({**CLOSE, "code": 4001, "reason": "enough"})
        await settle()
        client.application.raises(ValueError("late"))
        await settle()
        client.look()
        assert client.closes == [(4001, "enough")]


async def test_a_connection_that_is_lost_before_the_answer() -> None:
    async with connecting() as client:
        waiting = await client.idle()
        client.transport.lose()
        assert await waiting == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        with pytest.raises(OSError, match="too late"):
            await client.send(ACCEPT)
        assert client.transport.written == client.transport.lost == []


# No secrets in logs


async def test_the_repr(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as client:
        expected = "<WebSocket client=('192.0.2.1', 50000) path=b'/echo'>"
        assert repr(client.connection) == expected
        assert "a-secret" not in repr(client.handshake)
        await settle()
        assert "a-secret" not in repr(client.connection._task)


async def test_the_library_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the handshake nor what clients send, whatever the level of the root logger is."""
    caplog.set_level(logging.DEBUG)
    async with connected() as client:
        client.put_frame(Opcode.TEXT, b"a-secret", fin=False)
        client.put_frame(Opcode.CONT, b"")
        await client.receive()
        await client.send("a-secret")
        client.put_frame(Opcode.CONT, b"a-secret")
        client.clock.move(1.0)
        client.look()
        assert [code for code, _ in client.closes] == [1002]
    ours = [record for record in caplog.records if record.name != "websockets.client"]
    assert [record for record in ours if record.name != "asyncio"] == []


# Compression


async def test_compression_is_agreed_on() -> None:
    for deflate, compress, expected in [
        (True, True, True),
        (True, False, False),
        (False, True, False),
    ]:
        async with connected(Server(deflate=deflate), compress=compress) as client:
            assert client.response is not None
            assert ("Sec-WebSocket-Extensions" in client.response.headers) is expected


async def test_compressed_messages() -> None:
    messages: list[str | bytes] = ["text" * 100, b"bytes" * 1000, "", b"", "\u00e9" * 3000]
    async with connected(Server(deflate=True), compress=True) as client:
        for message in messages * 2:  # the second time, they have been seen
            client.put(message)
            kind = "text" if isinstance(message, str) else "bytes"
            assert (await client.receive())[kind] == message
            await client.send(message)
        client.look()
        assert client.messages == messages * 2
        assert len(client.raw) < 1000


async def test_compressed_fragments_in_pieces() -> None:
    async with connected(Server(deflate=True), compress=True) as client:
        client.protocol.send_text(b"abc" * 100, fin=False)
        client.protocol.send_continuation(b"def" * 100, fin=True)
        for byte in b"".join(client.protocol.data_to_send()):
            client.put_bytes(bytes((byte,)))
        assert (await client.receive())["text"] == "abc" * 100 + "def" * 100


async def test_messages_that_are_not_compressed_though_it_was_agreed_on() -> None:
    async with connected(Server(deflate=True), compress=True) as client:
        client.put("compressed")
        client.put_bytes(masked(0x81, b"plain"))
        client.put_bytes(masked(0x01, b"pla") + masked(0x80, b"in"))
        client.put("compressed")
        received = [(await client.receive())["text"] for _ in range(4)]
        assert received == ["compressed", "plain", "plain", "compressed"]


async def test_a_bomb() -> None:
    server = Server(deflate=True)
    server.limits = (10 * KIB, 10 * KIB)
    async with connected(server, compress=True) as client:
        client.put(bytes(10 * KIB))
        assert len((await client.receive())["bytes"]) == 10 * KIB
        bomb = client.frames(bytes(1024 * KIB))
        assert len(bomb) < 2 * KIB
        client.put_bytes(bomb)
        client.look()
        client.clock.move(1.0)
        client.look()
        assert [code for code, _ in client.closes] == [1009]
        assert (await client.receive())["code"] == 1009


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (masked(0xC1, b"\xff\xff"), {1002, 1007}),
        (masked(0x41, b"\xff\xff") + masked(0x80, b"x"), {1002, 1007}),
        (masked(0xA1, b"x"), {1002}),
        (masked(0x91, b"x"), {1002}),
        (masked(0xC9, b"x"), {1002}),  # control frames are never compressed
        (masked(0x01, b"x") + masked(0xC0, b"x"), {1002}),
    ],
)
async def test_bad_compression(data: bytes, codes: set[int]) -> None:
    async with connected(Server(deflate=True), compress=True) as client:
        waiting = await client.idle()
        client.put_bytes(data)
        client.look()
        ((code, _),) = client.closes
        assert code in codes
        assert (await waiting)["code"] == code


async def test_compressed_text_that_is_none() -> None:
    async with connected(Server(deflate=True), compress=True) as client:
        frame = Frame(Opcode.TEXT, b"caf\xc3").serialize(
            mask=True, extensions=client.protocol.extensions
        )
        client.put_bytes(frame)
        client.look()
        assert [code for code, _ in client.closes] == [1007]


# The server stops


async def test_stopping() -> None:
    async with connected() as client:
        await settle()

        async def say_goodbye() -> None:
            await client.application.send({"type": "websocket.send", "text": "goodbye"})

        client.application.on_cancel = say_goodbye
        client.connection.stop()
        await settle()
        client.look()
        assert client.messages == ["goodbye"]
        assert client.closes == [(1012, "")]


async def test_stopping_what_has_a_close_of_its_own() -> None:
    async with connected() as client:
        await settle()

        async def close() -> None:
            await client.application.send({**CLOSE, "code": 4001})

        client.application.on_cancel = close
        client.connection.stop()
        await settle()
        client.look()
        assert client.closes == [(4001, "")]


async def test_stopping_before_an_answer() -> None:
    async with connecting() as client:
        await settle()
        client.connection.stop()
        await settle()
        assert client.raw.startswith(b"HTTP/1.1 503 ")


async def test_a_handshake_while_the_server_stops() -> None:
    server = Server()
    server.is_stopping = True
    client = Client(server)
    client.connection.connection_made(client.transport)
    assert client.raw.startswith(b"HTTP/1.1 503 ")
    assert server.websockets == {client.connection}
    await client.end()
    assert server.logged == []


async def test_stopping_what_has_ended() -> None:
    async with connected() as client:
        client.application.returns()
        await settle()
        client.connection.stop()
        client.look()
        assert client.closes == [(1000, "")]
        assert client.protocol.state is not OPEN


async def test_dropping_what_does_not_stop() -> None:
    async with connected() as client:
        await settle()
        client.application.ignores_cancelling = True
        client.connection.stop()
        await settle()
        client.look()
        assert (client.application.cancelled, client.closes) == (1, [])
        client.connection.drop()
        client.look()
        assert client.closes == [(1012, "")]
        assert client.transport.calls[-1] == "abort"


def test_types() -> None:
    error: Any = ClientGone("gone")
    assert isinstance(error, OSError)
