"""The connection that a handler holds."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Any

import pytest

from bolt_ws import (
    CloseCode,
    InvalidJSON,
    UnexpectedFrame,
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketState,
)
from tests.support import (
    ACCEPT,
    CONNECT,
    GONE,
    TIMEOUT,
    Connection,
    Event,
    close,
    make_scope,
    serve,
    talk,
    text,
)

Use = Callable[[WebSocket], Awaitable[Any]]


def bare(**options: Any) -> tuple[WebSocket, Connection]:
    """A connection made by hand, and its server."""
    server = Connection(serve(unused), **options)
    return WebSocket(server.scope, server.receive, server.send), server


async def unused(websocket: WebSocket) -> None: ...


async def accepted(**options: Any) -> tuple[WebSocket, Connection]:
    websocket, server = bare(**options)
    await websocket.accept()
    return websocket, server


# State


async def test_the_states_of_a_life() -> None:
    websocket, server = bare()
    states = [(websocket.state, websocket.client_state, websocket.application_state)]
    await websocket.receive()
    states.append((websocket.state, websocket.client_state, websocket.application_state))
    await websocket.accept()
    states.append((websocket.state, websocket.client_state, websocket.application_state))
    server.leave()
    await websocket.receive()
    states.append((websocket.state, websocket.client_state, websocket.application_state))
    connecting, connected = WebSocketState.CONNECTING, WebSocketState.CONNECTED
    disconnected = WebSocketState.DISCONNECTED
    assert states == [
        (connecting, connecting, connecting),
        (connecting, connected, connecting),
        (connected, connected, connected),
        (disconnected, disconnected, connected),
    ]


async def test_our_own_close_ends_the_state() -> None:
    websocket, _ = await accepted()
    await websocket.close()
    assert websocket.state is WebSocketState.DISCONNECTED
    assert websocket.application_state is WebSocketState.DISCONNECTED
    assert websocket.client_state is WebSocketState.CONNECTED


async def test_the_first_end_is_kept() -> None:
    websocket, server = await accepted()
    assert (websocket.close_code, websocket.close_reason) == (None, None)
    server.leave(4001, "bye")
    with pytest.raises(WebSocketDisconnect) as caught:
        await websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (4001, "bye")
    with pytest.raises(WebSocketDisconnected):
        await websocket.close(1000)
    assert (websocket.close_code, websocket.close_reason) == (4001, "bye")


@pytest.mark.parametrize("event", [{}, {"code": None}, {"code": 1005, "reason": None}])
async def test_a_disconnect_without_a_code_is_1005(event: Event) -> None:
    websocket, server = await accepted()
    server.put_event({"type": "websocket.disconnect", **event})
    with pytest.raises(WebSocketDisconnect) as caught:
        await websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (1005, "")


# Accepting


async def test_accept_receives_the_connect_itself() -> None:
    websocket, server = bare()
    await websocket.accept()
    assert server.sent == [ACCEPT]


async def test_accept_with_a_subprotocol_and_headers() -> None:
    websocket, server = bare(subprotocols=["chat"])
    await websocket.accept("chat", {"X-Room": "é"})
    assert server.sent == [
        {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-room", b"\xe9")]}
    ]


async def test_accept_with_headers_as_pairs_of_bytes() -> None:
    websocket, server = bare()
    await websocket.accept(headers=[(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")])
    assert server.sent[0]["headers"] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


async def test_a_subprotocol_that_was_not_offered() -> None:
    websocket, server = bare(subprotocols=["chat", "json"])
    with pytest.raises(
        ValueError, match="'xml' was not offered: the client offered 'chat', 'json'"
    ):
        await websocket.accept("xml")
    assert server.sent == []
    await websocket.accept("json")


@pytest.mark.parametrize("header", [("x\r\ny", "1"), ("x", "1\r\ny: 2"), ("x", "1\0"), ("", "1")])
async def test_a_header_that_would_break_the_response(header: tuple[str, str]) -> None:
    websocket, server = bare()
    with pytest.raises(ValueError, match="would break the response"):
        await websocket.accept(headers=[header])
    assert server.sent == []


async def test_accepting_twice() -> None:
    websocket, server = await accepted()
    with pytest.raises(RuntimeError, match=r'Expected .*"websocket.send".*websocket\.accept'):
        await websocket.accept()
    assert server.sent == [ACCEPT]


USES: list[tuple[str, Use]] = [
    ("send_text", lambda ws: ws.send_text("a")),
    ("send_bytes", lambda ws: ws.send_bytes(b"a")),
    ("send_json", lambda ws: ws.send_json("a")),
    ("send", lambda ws: ws.send(text("a"))),
    ("receive_text", lambda ws: ws.receive_text()),
    ("receive_json", lambda ws: ws.receive_json()),
    ("receive", lambda ws: ws.receive()),
    ("iter_text", lambda ws: anext(ws.iter_text())),
    ("iter_json", lambda ws: anext(ws.iter_json())),
]
SENDS = [*USES[:4], ("send_event", lambda ws: ws.send_event(text("a")))]
uses = pytest.mark.parametrize("use", [use for _, use in USES], ids=[name for name, _ in USES])


@uses
async def test_the_first_use_accepts(use: Use) -> None:
    async def handler(websocket: WebSocket) -> None:
        await use(websocket)

    sent = await talk(serve(handler), "/", '"a"')
    assert sent[0] == ACCEPT
    assert sent[-1] == close()


@uses
async def test_strict_mode_accepts_by_accept_alone(use: Use) -> None:
    websocket, server = bare()
    await websocket.receive()
    with pytest.raises(RuntimeError, match=r'Expected ASGI message "websocket\.accept"'):
        await use(websocket)
    assert server.sent == []


async def test_an_accept_after_the_first_use_does_nothing_once() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("a")
        await websocket.accept()
        with pytest.raises(RuntimeError):
            await websocket.accept()

    assert await talk(serve(handler)) == [ACCEPT, text("a"), close()]


async def test_an_accept_with_arguments_after_the_first_use_is_too_late() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("a")
        with pytest.raises(RuntimeError):
            await websocket.accept(headers={"x-a": "1"})

    await talk(serve(handler))


async def test_two_tasks_use_it_first_and_it_is_accepted_once() -> None:
    async def on_send(event: Event) -> None:
        await asyncio.sleep(0)

    async def handler(websocket: WebSocket) -> None:
        await asyncio.gather(*(websocket.send_text(str(n)) for n in range(3)))

    sent = await talk(serve(handler), on_send=on_send)
    assert sent[0] == ACCEPT
    assert sorted(event["text"] for event in sent[1:-1]) == ["0", "1", "2"]


async def test_a_send_waits_for_an_accept_in_progress() -> None:
    release = asyncio.Event()

    async def on_send(event: Event) -> None:
        if event["type"] == "websocket.accept":
            await release.wait()

    websocket, server = bare(on_send=on_send)
    accepting = asyncio.create_task(websocket.accept())
    await asyncio.sleep(0)
    sending = asyncio.create_task(websocket.send_text("a"))
    await asyncio.sleep(0.01)
    assert server.sent == []
    release.set()
    await asyncio.gather(accepting, sending)
    assert server.sent == [ACCEPT, text("a")]


async def test_an_accept_that_the_server_rejects_leaves_it_connecting() -> None:
    async def on_send(event: Event) -> None:
        if event.get("headers"):
            raise ValueError("no such header, please")

    websocket, _ = bare(on_send=on_send)
    with pytest.raises(ValueError, match="please"):
        await websocket.accept(headers={"x-a": "1"})
    assert websocket.state is WebSocketState.CONNECTING
    await websocket.accept()
    assert websocket.state is WebSocketState.CONNECTED


async def test_an_accept_beside_the_first_use_does_nothing() -> None:
    async def on_send(event: Event) -> None:
        await asyncio.sleep(0)  # as a server does that waits for its transport

    async def handler(websocket: WebSocket) -> None:
        sending = asyncio.create_task(websocket.send_text("a"))
        await asyncio.sleep(0)
        await websocket.accept()
        await sending

    assert await talk(serve(handler), on_send=on_send) == [ACCEPT, text("a"), close()]


# Sending and receiving


async def test_text_bytes_and_json_go_out() -> None:
    websocket, server = await accepted()
    await websocket.send_text("é")
    await websocket.send_bytes(b"\x00")
    await websocket.send_json({"a": [1]})
    await websocket.send_json({"a": 1}, mode="binary")
    await websocket.send_text("")
    await websocket.send_bytes(b"")
    assert server.sent[1:] == [
        text("é"),
        {"type": "websocket.send", "bytes": b"\x00"},
        text('{"a":[1]}'),
        {"type": "websocket.send", "bytes": b'{"a":1}'},
        text(""),
        {"type": "websocket.send", "bytes": b""},
    ]


async def test_text_bytes_and_json_come_in() -> None:
    websocket, server = await accepted()
    server.put("é", b"\x00", '{"a":1}', b"[1]", "", b"")
    assert await websocket.receive_text() == "é"
    assert await websocket.receive_bytes() == b"\x00"
    assert await websocket.receive_json() == {"a": 1}
    assert await websocket.receive_json(mode="binary") == [1]
    assert await websocket.receive_text() == ""
    assert await websocket.receive_bytes() == b""


@pytest.mark.parametrize("both", [{"text": "a", "bytes": None}, {"bytes": None, "text": "a"}])
async def test_a_message_with_both_keys(both: Event) -> None:
    websocket, server = await accepted()
    server.put_event({"type": "websocket.receive", **both})
    assert await websocket.receive_text() == "a"


async def test_receive_gives_the_asgi_message() -> None:
    websocket, server = await accepted()
    server.put("a")
    server.leave(1001)
    assert await websocket.receive() == {"type": "websocket.receive", "text": "a"}
    assert (await websocket.receive())["type"] == "websocket.disconnect"


async def test_receive_gives_the_connect_first() -> None:
    websocket, _ = bare()
    assert await websocket.receive() == CONNECT


@pytest.mark.parametrize(
    ("sent", "receive"),
    [
        (b"a", lambda ws: ws.receive_text()),
        ("a", lambda ws: ws.receive_bytes()),
        (b"{}", lambda ws: ws.receive_json()),
        ("{}", lambda ws: ws.receive_json("binary")),
        (b"a", lambda ws: anext(ws.iter_text())),
        ("a", lambda ws: anext(ws.iter_bytes())),
        (b"", lambda ws: ws.receive_text()),
        ("", lambda ws: ws.receive_bytes()),
    ],
)
async def test_the_other_kind_of_message_is_not_lost(sent: str | bytes, receive: Use) -> None:
    websocket, server = await accepted()
    server.put(sent, "next")
    with pytest.raises(UnexpectedFrame) as caught:
        await receive(websocket)
    assert caught.value.data == sent
    assert type(caught.value.data) is type(sent)
    assert await websocket.receive_text() == "next"


async def test_malformed_json_leaves_it_usable() -> None:
    websocket, server = await accepted()
    server.put("{", "[]")
    with pytest.raises(InvalidJSON):
        await websocket.receive_json()
    assert await websocket.receive_json() == []


async def test_an_asgi_message_may_be_any_mapping() -> None:
    websocket, server = await accepted()
    await websocket.send(MappingProxyType(text("a")))
    assert server.sent == [ACCEPT, text("a")]


@pytest.mark.parametrize("message", ["text", b"bytes", ["a", "list"], None, 7])
async def test_what_is_no_asgi_message(message: Any) -> None:
    websocket, server = await accepted()
    kind = type(message).__name__
    with pytest.raises(TypeError, match=rf"send\(\) takes an ASGI message .*, not {kind}: send_t"):
        await websocket.send(message)
    assert server.sent == [ACCEPT]


async def test_what_json_cannot_hold_sends_nothing() -> None:
    websocket, server = await accepted()
    with pytest.raises(TypeError):
        await websocket.send_json(object())
    assert server.sent == [ACCEPT]


@pytest.mark.parametrize("mode", ["json", "bytes", ""])
async def test_an_unknown_mode(mode: Any) -> None:
    websocket, _ = await accepted()
    with pytest.raises(RuntimeError, match="mode"):
        await websocket.send_json(1, mode=mode)
    with pytest.raises(RuntimeError, match="mode"):
        await websocket.receive_json(mode=mode)


async def test_send_takes_an_asgi_message() -> None:
    websocket, server = await accepted()
    await websocket.send({"type": "websocket.send", "bytes": b"a"})
    await websocket.send({"type": "websocket.close", "code": 4000})
    assert server.sent[1:] == [
        {"type": "websocket.send", "bytes": b"a"},
        {"type": "websocket.close", "code": 4000},
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": None, "bytes": None},
        {"type": "websocket.send", "text": "a", "bytes": b"a"},
    ],
)
async def test_a_message_of_neither_or_both_kinds(event: Event) -> None:
    websocket, server = await accepted()
    with pytest.raises(ValueError, match='either "text" or "bytes"'):
        await websocket.send(event)
    assert server.sent == [ACCEPT]


@pytest.mark.parametrize(
    "kind",
    ["websocket.accept", "websocket.http.response.start", "http.response.start", "websocket.ping"],
)
async def test_a_message_out_of_order_names_both(kind: str) -> None:
    websocket, server = await accepted()
    with pytest.raises(RuntimeError, match=f"Expected ASGI message .* but got '{kind}'"):
        await websocket.send({"type": kind})
    assert server.sent == [ACCEPT]


@pytest.mark.parametrize("kind", ["websocket.connect", "http.request"])
async def test_a_server_that_sends_something_else(kind: str) -> None:
    websocket, server = await accepted()
    server.put_event({"type": kind})
    with pytest.raises(RuntimeError, match=kind):
        await websocket.receive_text()


async def test_a_server_that_does_not_connect_first() -> None:
    async def receive() -> Event:
        return {"type": "websocket.receive", "text": "a"}

    websocket = WebSocket(make_scope(), receive, Connection(serve(unused)).send)
    with pytest.raises(RuntimeError, match=r'Expected ASGI message "websocket\.connect"'):
        await websocket.accept()


# The denial response


async def test_a_denial_response_by_hand() -> None:
    websocket, server = bare(deny=True)
    await websocket.receive()
    start = {"type": "websocket.http.response.start", "status": 418, "headers": []}
    await websocket.send(start)
    assert websocket.state is WebSocketState.RESPONSE
    await websocket.send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
    assert websocket.state is WebSocketState.RESPONSE
    with pytest.raises(RuntimeError, match=r'Expected .*"websocket\.http\.response\.body"'):
        await websocket.accept()
    await websocket.send({"type": "websocket.http.response.body", "body": b"b"})
    assert websocket.state is WebSocketState.DISCONNECTED
    assert server.violations == []


async def test_a_denial_response_where_the_server_has_none() -> None:
    websocket, server = bare()
    await websocket.receive()
    with pytest.raises(RuntimeError, match="Denial Response"):
        await websocket.send({"type": "websocket.http.response.start", "status": 403})
    assert server.sent == []


# Iterating


@pytest.mark.parametrize(
    ("iterate", "messages", "expected"),
    [
        (lambda ws: ws.iter_text(), ["a", "", "b"], ["a", "", "b"]),
        (lambda ws: ws.iter_bytes(), [b"a", b"", b"b"], [b"a", b"", b"b"]),
        (lambda ws: ws.iter_json(), ["1", "null", "[]"], [1, None, []]),
        (lambda ws: ws.iter_json("binary"), [b"1", b"{}"], [1, {}]),
    ],
)
async def test_iterating_ends_quietly(iterate: Any, messages: list[Any], expected: Any) -> None:
    websocket, server = await accepted()
    server.put(*messages)
    server.leave(1006)
    assert [each async for each in iterate(websocket)] == expected
    assert websocket.close_code == 1006
    assert [each async for each in iterate(websocket)] == []  # and so it does after the end


async def test_iterating_goes_on_where_it_was_left() -> None:
    websocket, server = await accepted()
    server.put("a", "b", "c")
    async for message in websocket.iter_text():
        assert message == "a"
        break
    assert await websocket.receive_text() == "b"


async def test_iterating_goes_on_after_malformed_json() -> None:
    websocket, server = await accepted()
    server.put("{", "1")
    with pytest.raises(InvalidJSON):
        await anext(websocket.iter_json())
    assert await anext(websocket.iter_json()) == 1


async def test_iterating_stops_where_another_task_closes() -> None:
    websocket, _ = await accepted()

    async def read() -> list[str]:
        return [each async for each in websocket.iter_text()]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await websocket.close()
    assert await asyncio.wait_for(reading, TIMEOUT) == []


# Closing


@pytest.mark.parametrize(
    ("arguments", "event"),
    [
        ((), close()),
        ((4001,), close(4001)),
        ((4001, "bye"), close(4001, "bye")),
        ((CloseCode.GOING_AWAY, None), close(1001)),
    ],
)
async def test_closing(arguments: tuple[Any, ...], event: Event) -> None:
    websocket, server = await accepted()
    await websocket.close(*arguments)
    assert server.sent == [ACCEPT, event]
    assert type(server.sent[1]["code"]) is int
    assert websocket.close_code == event["code"]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
async def test_a_code_that_must_not_be_sent(code: int) -> None:
    websocket, server = await accepted()
    with pytest.raises(ValueError, match=f"close code {code}"):
        await websocket.close(code)
    with pytest.raises(ValueError, match=f"close code {code}"):
        await websocket.send({"type": "websocket.close", "code": code})
    assert server.sent == [ACCEPT]
    assert websocket.state is WebSocketState.CONNECTED


async def test_a_reason_that_is_too_long() -> None:
    websocket, server = await accepted()
    with pytest.raises(ValueError, match="124 bytes"):
        await websocket.close(4000, "é" * 62)
    await websocket.close(4000, "é" * 61)
    assert server.sent[1]["reason"] == "é" * 61


async def test_closing_before_accept_refuses() -> None:
    websocket, server = bare()
    await websocket.receive()
    await websocket.close(4003, "no")
    assert server.sent == [close(4003, "no")]


@pytest.mark.parametrize("code", [*range(1001, 1004), *range(1007, 1015)])
async def test_a_code_that_the_server_rejects_goes_as_3000_more(code: int) -> None:
    async def daphne(event: Event) -> None:
        if event["type"] == "websocket.close" and 1001 <= event["code"] <= 1015:
            raise Exception("invalid close code")  # Autobahn's own

    websocket, server = await accepted(on_send=daphne)
    await websocket.close(code, "bye")
    assert server.sent[1] == close(code + 3000, "bye")
    assert websocket.close_code == code


async def test_another_code_that_the_server_rejects_is_an_error() -> None:
    async def picky(event: Event) -> None:
        if event["type"] == "websocket.close":
            raise ValueError("no closing today")

    websocket, _ = await accepted(on_send=picky)
    with pytest.raises(ValueError, match="today"):
        await websocket.close(4000)


# After the end

AFTER: list[tuple[str, Use]] = [
    *USES[:7],
    ("close", lambda ws: ws.close()),
    ("accept", lambda ws: ws.accept()),
]


@pytest.mark.parametrize("use", [use for _, use in AFTER], ids=[name for name, _ in AFTER])
@pytest.mark.parametrize("who", ["client", "server"])
async def test_use_after_the_end(who: str, use: Use) -> None:
    websocket, server = await accepted()
    if who == "client":
        server.leave(4001, "bye")
        await websocket.receive()
    else:
        await websocket.close(4001, "bye")
    sent = list(server.sent)
    with pytest.raises(WebSocketDisconnected) as caught:
        await use(websocket)
    assert isinstance(caught.value, WebSocketDisconnect)
    assert isinstance(caught.value, RuntimeError)
    assert (caught.value.code, caught.value.reason) == (4001, "bye")
    assert caught.value.websocket is websocket
    assert server.sent == sent


sends = pytest.mark.parametrize("use", [use for _, use in SENDS], ids=[name for name, _ in SENDS])


@sends
@pytest.mark.parametrize("error", GONE, ids=repr)
async def test_a_send_to_a_client_that_is_gone(use: Use, error: Exception) -> None:
    async def gone(event: Event) -> None:
        if event["type"] != "websocket.accept":
            raise error

    websocket, _ = await accepted(on_send=gone)
    with pytest.raises(WebSocketDisconnect) as caught:
        await use(websocket)
    assert not isinstance(caught.value, WebSocketDisconnected)
    assert caught.value.code == websocket.close_code == 1006
    assert websocket.state is WebSocketState.DISCONNECTED


@sends
async def test_a_send_that_fails_leaves_nothing_to_the_garbage_collector(use: Use) -> None:
    async def broken(event: Event) -> None:
        if event["type"] != "websocket.accept":
            raise RuntimeError("middleware is broken")

    gc.collect()
    gc.disable()
    try:
        websocket, _ = await accepted(on_send=broken)
        with pytest.raises(RuntimeError):
            await use(websocket)
        alive = weakref.ref(websocket)
        del websocket, _
        assert alive() is None
    finally:
        gc.enable()


@sends
async def test_a_send_that_is_cancelled_while_others_have_a_turn_is_not_made(use: Use) -> None:
    websocket, server = await accepted()
    made = 0
    while made < 1000:
        task = asyncio.create_task(use(websocket))
        await asyncio.sleep(0)
        if not task.done():  # it has begun, and others have a turn
            break
        made += 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made == 127
    assert len(server.sent) == 1 + made
    await use(websocket)
    assert len(server.sent) == 1 + made + 1


@sends
async def test_a_send_that_the_server_fails_for_another_reason(use: Use) -> None:
    async def broken(event: Event) -> None:
        if event["type"] != "websocket.accept":
            raise RuntimeError("middleware is broken")

    websocket, _ = await accepted(on_send=broken)
    with pytest.raises(RuntimeError, match="middleware is broken") as caught:
        await use(websocket)
    assert not isinstance(caught.value, WebSocketDisconnect)
    assert websocket.state is WebSocketState.CONNECTED


@pytest.mark.parametrize("use", [lambda ws: ws.accept(), lambda ws: ws.close(1001)])
@pytest.mark.parametrize("error", GONE, ids=repr)
async def test_an_answer_to_a_client_that_is_gone(use: Use, error: Exception) -> None:
    async def gone(event: Event) -> None:
        raise error

    websocket, _ = bare(on_send=gone)
    await websocket.receive()
    with pytest.raises(WebSocketDisconnect):
        await use(websocket)
    assert websocket.state is WebSocketState.DISCONNECTED


# Several tasks


async def test_two_tasks_cannot_receive_at_once() -> None:
    websocket, server = await accepted()
    first = asyncio.create_task(websocket.receive_text())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task is receiving"):
        await websocket.receive_text()
    server.put("a")
    assert await asyncio.wait_for(first, TIMEOUT) == "a"
    server.put("b")
    assert await websocket.receive_text() == "b"


async def test_one_task_receives_after_the_other() -> None:
    websocket, server = await accepted()
    server.put("a", "b")
    assert await asyncio.create_task(websocket.receive_text()) == "a"
    assert await asyncio.create_task(websocket.receive_text()) == "b"


async def test_close_wakes_a_pending_receive() -> None:
    websocket, _ = await accepted()
    receiving = asyncio.create_task(websocket.receive_text())
    await asyncio.sleep(0)
    await websocket.close(4001, "bye")
    with pytest.raises(WebSocketDisconnected) as caught:
        await asyncio.wait_for(receiving, TIMEOUT)
    assert (caught.value.code, caught.value.reason) == (4001, "bye")


async def test_a_task_that_was_woken_is_not_cancelled() -> None:
    websocket, _ = await accepted()

    async def read() -> str:
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive_text()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        async with asyncio.timeout(TIMEOUT):
            await asyncio.sleep(0)
        return "went on"

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await websocket.close()
    assert await asyncio.wait_for(reading, TIMEOUT) == "went on"


async def test_a_cancellation_beside_the_wake_counts() -> None:
    websocket, _ = await accepted()
    receiving = asyncio.create_task(websocket.receive_text())
    await asyncio.sleep(0)
    closing = asyncio.create_task(websocket.close())
    await asyncio.sleep(0)
    receiving.cancel()
    await closing
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(receiving, TIMEOUT)


async def test_a_timeout_of_the_receiver_stays_a_timeout() -> None:
    websocket, server = await accepted()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await websocket.receive_text()
    server.put("a")
    assert await websocket.receive_text() == "a"


async def test_cancelling_a_receive_loses_no_message() -> None:
    websocket, server = await accepted()
    received: list[str] = []
    for number in range(50):
        receiving = asyncio.create_task(websocket.receive_text())
        for _ in range(number % 4):
            await asyncio.sleep(0)
        server.put(str(number))
        for _ in range(number % 3):
            await asyncio.sleep(0)
        receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            received.append(await receiving)
    server.leave()
    received.extend([each async for each in websocket.iter_text()])
    assert received == [str(number) for number in range(50)]


async def test_wait_for_around_a_receive() -> None:
    websocket, server = await accepted()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(websocket.receive_text(), 0.01)
    server.put("a")
    assert await asyncio.wait_for(websocket.receive_text(), TIMEOUT) == "a"


async def test_receiving_and_sending_at_once() -> None:
    websocket, server = await accepted()
    receiving = asyncio.create_task(websocket.receive_text())
    await asyncio.sleep(0)
    await websocket.send_text("out")
    server.put("in")
    assert await asyncio.wait_for(receiving, TIMEOUT) == "in"
    assert server.sent == [ACCEPT, text("out")]
