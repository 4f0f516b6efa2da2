"""A client that is gone: who is told, what may still be received, and how long a handler has."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from django.test import override_settings

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    Depends,
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketState,
    disconnect_user,
)
from bolt_ws.auth import Guard
from bolt_ws.interruption import Interruption
from bolt_ws.testing import AsyncTestClient
from tests.identities import Clock, Named, eventually, listen, nothing_left, opened
from tests.support import (
    ACCEPT,
    TIMEOUT,
    Connection,
    TellingConnection,
    close,
    make_scope,
    serve,
    text,
)
from tests.ticks import reader_tasks, ticks

clean = pytest.fixture(nothing_left, autouse=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# Noticed


async def test_a_handler_that_only_sends(clock: Clock) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("tick")
                await asyncio.sleep(0.001)
        except WebSocketDisconnected as error:
            seen.append((error.code, error.reason, websocket.is_open, websocket.state))
            raise

    connection = await opened(serve(handler))
    connection.leave(1001, "away")
    await connection.end()
    assert seen == [(1001, "away", False, WebSocketState.DISCONNECTED)]
    assert connection.terminal == []


SENDS: dict[str, Callable[[WebSocket], Awaitable[None]]] = {
    "send_text": lambda websocket: websocket.send_text("more"),
    "send_bytes": lambda websocket: websocket.send_bytes(b"more"),
    "send_json": lambda websocket: websocket.send_json("more"),
    "send": lambda websocket: websocket.send(text("more")),
    "send_event": lambda websocket: websocket.send_event(text("more")),
}


@pytest.mark.parametrize("options", [{}, {"max_message_size": 100}], ids=["bare", "bounded"])
@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
async def test_one_that_awaits_nothing_but_its_sends(
    clock: Clock, send: Callable[[WebSocket], Awaitable[None]], options: dict[str, Any]
) -> None:
    """Others have their turns, though the server's send never waits."""

    async def handler(websocket: WebSocket) -> None:
        for _ in range(1_000_000):
            await send(websocket)
        raise AssertionError("nobody else had a turn")

    connection = await opened(serve(handler, **options))
    connection.leave()
    await connection.end()
    assert connection.terminal == []


AFTER_THE_END: dict[str, Callable[[WebSocket], Awaitable[Any]]] = {
    **SENDS,
    "receive_text": lambda websocket: websocket.receive_text(),
    "receive_event": lambda websocket: websocket.receive_event(),
    "iter_text": lambda websocket: anext(websocket.iter_text()),
}


@pytest.mark.parametrize("options", [{}, {"max_message_size": 100}], ids=["bare", "bounded"])
@pytest.mark.parametrize("use", AFTER_THE_END.values(), ids=AFTER_THE_END)
async def test_one_that_does_not_mind_the_end(
    clock: Clock, use: Callable[[WebSocket], Awaitable[Any]], options: dict[str, Any]
) -> None:
    """It tries again, whatever is raised, and others have their turns: it can be cancelled."""
    ended: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            for _ in range(1_000_000):
                with contextlib.suppress(Exception):
                    await use(websocket)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    connection = await opened(serve(handler, disconnect_grace=1, **options))
    connection.leave()
    await ticks(5)
    clock.forward(2)
    await connection.end()
    assert ended == ["cancelled"]


async def test_one_that_sleeps_sees_it_in_the_state(clock: Clock) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while websocket.state is WebSocketState.CONNECTED:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        seen.append((websocket.close_code, websocket.close_reason, websocket.closed_by_client))
        seen.append((websocket.client_state, websocket.application_state, websocket.state))

    connection = await opened(serve(handler))
    connection.leave(4001, "why")
    await connection.end()
    assert seen == [
        (4001, "why", True),
        (WebSocketState.DISCONNECTED, WebSocketState.CONNECTED, WebSocketState.DISCONNECTED),
    ]


async def test_a_blocking_one_that_only_sends(clock: Clock) -> None:
    seen: list[Any] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        try:
            while True:
                websocket.send_text("tick")
                time.sleep(0.001)
        except WebSocketDisconnected as error:
            seen.append((error.code, websocket.close_code, websocket.state))
            raise

    connection = await opened(serve(handler))
    connection.leave(1001)
    await connection.end()
    assert seen == [(1001, 1001, WebSocketState.DISCONNECTED)]


async def test_with_a_test_client(clock: Clock) -> None:
    seen: list[int | None] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()
        seen.append(websocket.close_code)

    async with AsyncTestClient(serve(handler)) as client:
        async with client.websocket_connect("/") as websocket:
            await websocket.close(4010)
        assert seen == [4010]


async def test_on_close_is_called_once_with_the_clients_code(clock: Clock) -> None:
    api, seen = BoltAPI(), []

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()
        seen.append("handler")

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int, reason: str) -> str:
        seen.append((code, reason))
        return "nobody hears it"

    connection = await opened(api.as_asgi())
    connection.leave(1001, "away")
    assert await connection.end() == [ACCEPT]
    assert seen == ["handler", (1001, "away")]


# Behind unread messages


async def behind_unread(clock: Clock, handler: Any, **options: Any) -> Connection:
    """Let a client send two messages and leave, while the handler waits for `go`."""
    connection = await opened(serve(handler, **options))
    connection.put("1", "2")
    connection.leave(1001, "away")
    await eventually(lambda: len(connection._inbound) == 1)
    await ticks(2)
    return connection


async def test_sends_raise_at_once_and_receives_give_the_rest(clock: Clock) -> None:
    go, seen = asyncio.Event(), []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await go.wait()
        for _ in range(2):
            with pytest.raises(WebSocketDisconnected):
                await websocket.send_text("too late")
        seen.append((websocket.close_code, websocket.is_open, websocket.state))
        seen.append(await websocket.receive_text())
        with pytest.raises(WebSocketDisconnected):
            await websocket.send_json({})
        seen.append(await websocket.receive_text(timeout=1))
        with pytest.raises(WebSocketDisconnect) as raised:
            await websocket.receive_text()
        seen.append((type(raised.value), raised.value.code, raised.value.reason))
        with pytest.raises(WebSocketDisconnected) as raised:
            await websocket.receive_text()
        seen.append(raised.value.code)

    connection = await behind_unread(clock, handler)
    go.set()
    assert await connection.end() == [ACCEPT]
    assert seen == [
        (1001, False, WebSocketState.DISCONNECTED),
        "1",
        "2",
        (WebSocketDisconnect, 1001, "away"),
        1001,
    ]


@pytest.mark.parametrize("way", ["iter_text", "iter_json", "aiter", "in a block"])
async def test_iterations_give_the_rest_and_end(clock: Clock, way: str) -> None:
    go, seen = asyncio.Event(), []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await go.wait()
        iterations: dict[str, Any] = {
            "iter_text": websocket.iter_text,
            "iter_json": websocket.iter_json,
            "aiter": websocket.__aiter__,
            "in a block": websocket.iter_text,
        }
        block: Any = websocket if way == "in a block" else contextlib.nullcontext()
        async with block:
            seen.extend([str(each) async for each in iterations[way]()])
            seen.extend([str(each) async for each in iterations[way]()])
        seen.append(websocket.close_code)

    connection = await behind_unread(clock, handler)
    go.set()
    assert await connection.end() == [ACCEPT]
    assert seen == ["1", "2", 1001]


async def test_raw_events(clock: Clock) -> None:
    go, seen = asyncio.Event(), []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await go.wait()
        for _ in range(3):
            seen.append((await websocket.receive())["type"])
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive()

    connection = await behind_unread(clock, handler)
    go.set()
    await connection.end()
    assert seen == ["websocket.receive", "websocket.receive", "websocket.disconnect"]


async def test_a_blocking_handler(clock: Clock) -> None:
    go, seen = threading.Event(), []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        assert go.wait(TIMEOUT)
        with pytest.raises(WebSocketDisconnected):
            websocket.send_text("too late")
        seen.append(websocket.close_code)
        seen.append(websocket.receive_text())
        message = websocket.recv()
        assert message is not None
        seen.append(message.content)
        with pytest.raises(WebSocketDisconnect) as raised:
            websocket.receive_text()
        seen.append(raised.value.code)
        assert websocket.recv() is None

    connection = await behind_unread(clock, handler)
    go.set()
    await connection.end()
    assert seen == [1001, "1", "2", 1001]


@pytest.mark.parametrize("caught", [(1001,), (1000,)])
async def test_codes_that_are_not_caught_end_it_with_an_error(clock: Clock, caught: Any) -> None:
    go = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        async with websocket:
            await go.wait()
            while True:
                await websocket.receive_text()

    connection = await behind_unread(clock, handler, caught_close_codes=caught)
    go.set()
    if caught == (1001,):
        await connection.end()
    else:
        with pytest.raises(WebSocketDisconnect):
            await connection.end()
    assert connection.terminal == []


async def test_our_own_close_gives_nothing_of_the_rest(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await ticks()
        assert websocket.has_unread
        await websocket.close(4000)
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive_text()

    connection = await opened(serve(handler))
    connection.put("1", "2")
    assert (await connection.end())[1:] == [close(4000)]


async def test_a_client_that_leaves_before_accept(clock: Clock) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.wait_closed()
        seen.append((websocket.close_code, websocket.state))
        for use in (websocket.accept, websocket.receive_text):
            with pytest.raises(WebSocketDisconnected):
                await use()
        with pytest.raises(WebSocketDisconnected):
            await websocket.send_text("a")

    connection = Connection(serve(handler))
    connection.start()
    await ticks(1)
    connection.leave(1006)
    assert await connection.end() == []
    assert seen == [(1006, WebSocketState.DISCONNECTED)]


# A server that tells of the end before all is read


MANY = [str(number) for number in range(200)]


@pytest.mark.parametrize("way", ["iter_text", "receive", "raw", "blocking"])
async def test_an_end_behind_more_than_is_read_ahead(clock: Clock, way: str) -> None:
    go, seen = threading.Event(), []
    sent_too_late: list[str] = []

    async def coroutine(websocket: WebSocket) -> None:
        await websocket.accept()
        await eventually(go.is_set)
        with pytest.raises(WebSocketDisconnected) as raised:
            await websocket.send_text("too late")
        sent_too_late.append(f"{raised.value.code} {websocket.close_reason}")
        if way == "iter_text":
            seen.extend([each async for each in websocket.iter_text()])
        elif way == "raw":
            while (event := await websocket.receive())["type"] == "websocket.receive":
                seen.append(event["text"])
        else:
            with contextlib.suppress(WebSocketDisconnect):
                while True:
                    seen.append(await websocket.receive_text(timeout=5))
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive_text()

    def plain(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        assert go.wait(TIMEOUT)
        with pytest.raises(WebSocketDisconnected) as raised:
            websocket.send_text("too late")
        sent_too_late.append(f"{raised.value.code} {websocket.close_reason}")
        seen.extend(websocket.iter_text())

    connection = TellingConnection(serve(plain if way == "blocking" else coroutine, read_ahead=5))
    assert await connection.next() == ACCEPT
    connection.put(*MANY)
    connection.leave(1001, "away")
    await ticks()
    go.set()
    assert await connection.end() == [ACCEPT]
    assert sent_too_late == ["1001 away"]
    assert seen == MANY


async def test_such_an_end_ends_a_wait_and_a_stream(clock: Clock) -> None:
    seen: list[Any] = []
    api = BoltAPI()

    async def values(websocket: WebSocket) -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            seen.append(("closed", websocket.close_code))

    @api.websocket("/wait", read_ahead=5)
    async def waits(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()
        seen.append(("waited", websocket.close_code))

    @api.websocket("/stream", read_ahead=5)
    async def streams(websocket: WebSocket) -> None:
        await websocket.send_stream(values(websocket))

    for path in ("/wait", "/stream"):
        connection = TellingConnection(api.as_asgi(), path)
        assert await connection.next() == ACCEPT
        connection.put(*MANY)
        connection.leave(4001)
        await connection.end()
    assert seen == [("waited", 4001), ("closed", 4001)]


async def test_such_an_end_in_admission(clock: Clock) -> None:
    seen: list[Any] = []

    class Slow(Guard):
        async def has_permission(self, websocket: Any) -> bool:
            connection.leave(1006)
            return True

    async def handler(websocket: WebSocket) -> None:
        seen.append((websocket.state, websocket.close_code))
        with pytest.raises(WebSocketDisconnected):
            await websocket.accept()

    connection = TellingConnection(serve(handler, guards=[Slow()]))
    assert await connection.end() == []
    assert seen == [(WebSocketState.DISCONNECTED, 1006)]


async def test_a_server_that_tells_of_no_end_is_read_as_ever(clock: Clock) -> None:
    connection = TellingConnection(serve(listen))
    assert await connection.next() == ACCEPT
    connection.put("a")
    await ticks(4)
    assert connection.terminal == []
    connection.leave()
    await connection.end()


# wait_closed


async def test_waiting_for_our_own_close() -> None:
    seen: list[int | None] = []

    async def wait(websocket: WebSocket) -> None:
        await websocket.wait_closed()
        seen.append(websocket.close_code)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        waiters = [asyncio.create_task(wait(websocket)) for _ in range(3)]
        await asyncio.sleep(0)
        waiters.pop().cancel()
        await websocket.close(4001)
        await asyncio.wait_for(asyncio.gather(*waiters), TIMEOUT)
        await websocket.wait_closed()  # and at once, after the end

    assert await Connection(serve(handler)).end() == [ACCEPT, close(4001)]
    assert seen == [4001, 4001]


async def test_waiting_for_the_clients_while_another_task_receives() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        receiver = asyncio.create_task(anext(websocket.iter_text(), "end"))
        await asyncio.sleep(0)
        await websocket.wait_closed()
        seen.append(await receiver)

    connection = await opened(serve(handler))
    connection.leave()
    await connection.end()
    assert seen == ["end"]


async def test_waiting_until_one_is_told_to_go(clock: Clock) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()
        seen.append((websocket.close_code, websocket.closed_by_client))

    connection = await opened(serve(handler, auth=[Named()]), query="user=7")
    assert disconnect_user("7", 4403, "bye") == 1
    assert (await connection.end())[1:] == [close(4403, "bye")]
    assert seen == [(4403, False)]


async def test_a_cancelled_wait_does_no_harm(clock: Clock) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await websocket.wait_closed()
        seen.append(await websocket.receive_text())
        await websocket.send_text("still here")
        seen.append(await websocket.receive_text())

    connection = await opened(serve(handler))
    await asyncio.sleep(0.02)
    connection.put("a")
    assert await connection.next() == text("still here")
    connection.put("b")
    assert (await connection.end())[-1] == close()
    assert seen == ["a", "b"]
    assert reader_tasks() == []


async def test_a_blocking_wait_beside_receives_and_sends() -> None:
    seen: list[Any] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        waiter = threading.Thread(target=lambda: (websocket.wait_closed(), seen.append("closed")))
        waiter.start()
        for message in websocket.iter_text():
            websocket.send_text(message)
        waiter.join(TIMEOUT)
        websocket.wait_closed()

    connection = await opened(serve(handler))
    for each in "ab":
        connection.put(each)
        assert await connection.next() == text(each)
    connection.leave()
    await connection.end()
    assert seen == ["closed"]


async def test_a_blocking_wait_alone() -> None:
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        websocket.wait_closed()
        codes.append(websocket.close_code)

    codes: list[Any] = []
    connection = await opened(serve(handler))
    connection.put("a")
    connection.leave(4002)
    await connection.end()
    assert codes == [4002]


async def test_waiting_on_a_connection_without_an_endpoint() -> None:
    inbound: asyncio.Queue[Any] = asyncio.Queue()
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    websocket = WebSocket(make_scope(), inbound.get, send)
    inbound.put_nowait({"type": "websocket.connect"})
    await websocket.accept()
    waiter = asyncio.create_task(websocket.wait_closed())
    await asyncio.sleep(0)
    inbound.put_nowait({"type": "websocket.receive", "text": "a"})
    inbound.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await asyncio.wait_for(waiter, TIMEOUT)
    assert websocket.close_code == 1001
    assert await websocket.receive_text() == "a"


async def test_waiting_offline() -> None:
    websocket = WebSocket.fake("a", auto_accept=True, close_code=4001)
    await asyncio.wait_for(websocket.wait_closed(), TIMEOUT)
    assert websocket.close_code == 4001
    assert await websocket.receive_text() == "a"


async def test_behind_middleware_that_wraps_receive(clock: Clock) -> None:
    seen: list[Any] = []

    def wrapping(application: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            async def note() -> Any:
                event = await receive()
                seen.append(event["type"].removeprefix("websocket."))
                return event

            await application(scope, note, send)

        return wrapped

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()
        seen.append(await websocket.receive_text())

    connection = await opened(serve(handler, middleware=[wrapping]))
    connection.put("a")
    connection.leave()
    await connection.end()
    assert seen == ["connect", "receive", "disconnect", "a"]


async def test_waiting_before_accept_and_then_accepting() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        waiter = asyncio.create_task(websocket.wait_closed())
        await asyncio.sleep(0)
        await websocket.accept()
        seen.append(await websocket.receive_text())
        await websocket.close()
        await waiter

    connection = Connection(serve(handler))
    connection.put("a")
    assert await connection.end() == [ACCEPT, close()]
    assert seen == ["a"]


# The grace


class Goes:
    """A handler that goes on, and how it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.times = 0

    async def __call__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        finally:
            self.ended.append("cleaned up")


async def left_for(clock: Clock, connection: Connection, seconds: float) -> bool:
    """Have the client leave, let so many seconds pass, and tell whether the handler has ended."""
    connection.leave()
    await ticks(4)
    clock.forward(seconds)
    await ticks(4)
    assert connection.task is not None
    return connection.task.done()


async def end_by_force(connection: Connection) -> None:
    assert connection.task is not None
    connection.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await connection.end()


@pytest.mark.parametrize(
    ("setting", "option", "stays", "ends"),
    [
        ({}, None, 4.8, 0.5),
        ({"DISCONNECT_GRACE": 60}, None, 59, 2),
        ({"DISCONNECT_GRACE": 60}, 10, 9, 2),
        ({}, 20, 19, 2),
        ({"DISCONNECT_GRACE": None}, 3, 2, 2),
    ],
)
async def test_how_long_it_is(
    clock: Clock, setting: Any, option: float | None, stays: float, ends: float
) -> None:
    handler = Goes()
    with override_settings(BOLT_WS=setting):
        connection = await opened(serve(handler.__call__, disconnect_grace=option))
        assert not await left_for(clock, connection, stays)
        assert handler.ended == []
        clock.forward(ends)
        await connection.end()  # nothing is raised on to the server
    assert handler.ended == ["cancelled", "cleaned up"]
    assert connection.sent == [ACCEPT]


@pytest.mark.parametrize(
    ("setting", "option"), [({"DISCONNECT_GRACE": None}, None), ({}, math.inf)]
)
async def test_never(clock: Clock, setting: Any, option: float | None) -> None:
    handler = Goes()
    with override_settings(BOLT_WS=setting):
        connection = await opened(serve(handler.__call__, disconnect_grace=option))
        assert not await left_for(clock, connection, 100_000)
    assert handler.ended == []
    await end_by_force(connection)


@pytest.mark.parametrize(("setting", "option"), [({"DISCONNECT_GRACE": 0}, None), ({}, 0)])
async def test_none_at_all(clock: Clock, setting: Any, option: float | None) -> None:
    handler = Goes()
    with override_settings(BOLT_WS=setting):
        connection = await opened(serve(handler.__call__, disconnect_grace=option))
        connection.leave()
        await connection.end()
    assert handler.ended == ["cancelled", "cleaned up"]


async def test_who_returns_in_time_is_not_cancelled(clock: Clock) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()
        clock.forward(4)
        await ticks(4)
        seen.append("saved")

    connection = await opened(serve(handler))
    connection.leave()
    await connection.end()
    assert seen == ["saved"]


async def test_it_begins_with_the_end_whoever_closes(clock: Clock) -> None:
    handler_ended: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000)
        try:
            await asyncio.Event().wait()
        finally:
            handler_ended.append("cancelled")

    connection = await opened(serve(handler))
    assert await connection.next() == close(4000)
    clock.forward(4)
    await ticks(4)
    assert handler_ended == []
    clock.forward(2)
    assert await connection.end() == [ACCEPT, close(4000)]
    assert handler_ended == ["cancelled"]


async def test_who_catches_it_and_returns_has_ended(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    connection = await opened(serve(handler))
    await left_for(clock, connection, 6)
    assert await connection.end() == [ACCEPT]
    assert connection.task is not None
    assert connection.task.cancelling() == 0
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_who_goes_on_is_told_again_and_logged(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    times = 0

    async def handler(websocket: WebSocket) -> None:
        nonlocal times
        await websocket.accept()
        while times < 3:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            times += 1

    connection = await opened(serve(handler, "/stubborn", disconnect_grace=10), "/stubborn")
    await left_for(clock, connection, 11)
    assert times == 1
    assert "goes on" not in caplog.text
    clock.forward(8)
    await ticks(4)
    assert times == 1
    clock.forward(3)
    await ticks(4)
    assert times == 2
    assert caplog.text.count("The handler of '/stubborn' goes on although it was cancelled") == 1
    clock.forward(11)
    await connection.end()
    assert times == 3
    assert connection.task is not None
    assert not connection.task.cancelled()
    assert connection.task.cancelling() == 0


async def test_what_it_raises_in_return_is_seen(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("bug in the cleanup")

    connection = await opened(serve(handler))
    await left_for(clock, connection, 6)
    with pytest.raises(LookupError):
        await connection.end()


async def test_callbacks_and_dependencies(clock: Clock) -> None:
    api, seen = BoltAPI(), []

    async def resource() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(f"dependency saw {type(error).__name__}")
            raise
        finally:
            seen.append("dependency")

    @api.exception_handler(Exception)
    async def handle(websocket: WebSocket, error: Exception) -> None:
        seen.append("exception handler")

    @api.websocket("/")
    async def handler(websocket: WebSocket, _: Annotated[None, Depends(resource)]) -> None:
        await websocket.accept()
        await asyncio.Event().wait()

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int) -> None:
        seen.append(f"on_close {code}")

    connection = await opened(api.as_asgi())
    await left_for(clock, connection, 6)
    assert await connection.end() == [ACCEPT]
    assert seen == ["on_close 1001", "dependency saw GoneOn", "dependency"]


async def test_on_connect_is_part_of_the_handler(clock: Clock) -> None:
    api, seen = BoltAPI(), []

    @api.websocket("/", auto_accept=True)
    async def handler(websocket: WebSocket) -> None:
        seen.append("handler")

    @handler.on_connect
    async def on_connect(websocket: WebSocket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("on_connect ended")

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int) -> None:
        seen.append(code)

    connection = await opened(api.as_asgi())
    await left_for(clock, connection, 6)
    await connection.end()
    assert seen == ["on_connect ended", 1001]


async def test_a_handler_in_a_task_group(clock: Clock) -> None:
    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(child("a"))
            group.create_task(child("b"))

    connection = await opened(serve(handler))
    await left_for(clock, connection, 6)
    assert await connection.end() == [ACCEPT]
    assert sorted(ended) == ["a", "b"]


async def test_a_handler_in_a_timeout_is_not_told_that_that_expired(clock: Clock) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    connection = await opened(serve(handler))
    await left_for(clock, connection, 6)
    assert await connection.end() == [ACCEPT]
    assert seen == ["CancelledError"]


async def test_what_is_shielded_goes_on(clock: Clock) -> None:
    saved = asyncio.Event()
    kept: list[Any] = []

    async def save() -> str:
        await saved.wait()
        return "saved"

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        kept.append(asyncio.create_task(save()))
        await asyncio.shield(kept[0])

    connection = await opened(serve(handler))
    await left_for(clock, connection, 6)
    await connection.end()
    saved.set()
    assert await kept[0] == "saved"


@pytest.mark.parametrize("first", ["ours", "the server's"])
async def test_a_cancellation_by_the_server_at_the_same_time_is_the_servers(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    handler = Goes()
    connection = await opened(serve(handler.__call__))
    task = connection.task
    assert task is not None
    interrupt = Interruption.interrupt

    def at_the_same_time(interruption: Interruption, reason: BaseException) -> None:
        if first == "ours":
            interrupt(interruption, reason)
        task.cancel()
        if first != "ours":
            interrupt(interruption, reason)

    monkeypatch.setattr(Interruption, "interrupt", at_the_same_time)
    connection.leave()
    await ticks(4)
    clock.forward(6)
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert task.cancelled()
    assert handler.ended == ["cancelled", "cleaned up"]


async def test_so_is_one_that_comes_before(clock: Clock) -> None:
    ends = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await ends.wait()

    connection = await opened(serve(handler))
    assert connection.task is not None
    connection.leave()
    await ticks(4)
    connection.task.cancel()  # it cleans up for too long, and is interrupted
    await asyncio.sleep(0)
    clock.forward(6)
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.task.cancelled()


async def test_a_blocking_handler_that_waits_for_the_connection(clock: Clock) -> None:
    ended: list[str] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        try:
            websocket.join("room")
            with contextlib.suppress(WebSocketDisconnected):
                websocket.wait_closed()
            pause = threading.Event()
            while True:
                pause.wait(0.002)
                websocket.send_text("a")
        finally:
            ended.append("ended")

    connection = await opened(serve(handler))
    connection.leave()
    await connection.end()
    assert ended == ["ended"]


async def test_a_blocking_handler_that_looks_at_nothing_is_given_up(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bolt_ws.threads.GRACE", 0.05)
    release = threading.Event()

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        release.wait(TIMEOUT)

    connection = await opened(serve(handler))
    await left_for(clock, connection, 6)
    assert await connection.end() == [ACCEPT]
    release.set()
    assert connection.task is not None
    assert connection.task.exception() is None


async def test_who_leaves_while_a_slow_handler_receives_is_no_reason_to_hurry_others(
    clock: Clock,
) -> None:
    stays = await opened(serve(listen))
    goes = await opened(serve(listen))
    goes.leave()
    await goes.end()
    clock.forward(60)
    await ticks(4)
    assert stays.task is not None
    assert not stays.task.done()
    stays.leave()
    await stays.end()
