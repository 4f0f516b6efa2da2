"""Receives with a timeout: `TimeoutError`, and no message is lost by it."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
)
from bolt_ws.testing import AsyncTestClient
from tests.identities import nothing_left, opened
from tests.support import TIMEOUT, Connection, close, serve, text

clean = pytest.fixture(nothing_left, autouse=True)

RECEIVES: dict[str, tuple[Callable[..., Any], Any]] = {
    "receive": (lambda websocket, **t: websocket.receive(**t), {"text": "1"}),
    "receive_event": (lambda websocket, **t: websocket.receive_event(**t), {"text": "1"}),
    "receive_text": (lambda websocket, **t: websocket.receive_text(**t), "1"),
    "receive_json": (lambda websocket, **t: websocket.receive_json(**t), 1),
}


@pytest.mark.parametrize("name", RECEIVES)
async def test_what_it_says_and_that_nothing_is_lost(name: str) -> None:
    receive, expected = RECEIVES[name]
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TimeoutError) as raised:
            await receive(websocket, timeout=0.01)
        seen.append(str(raised.value))
        await websocket.send_text("now")
        seen.append(await receive(websocket, timeout=TIMEOUT))

    connection = await opened(serve(handler))
    assert await connection.next() == text("now")
    connection.put("1")
    assert (await connection.end())[-1] == close()
    message, got = seen
    assert message == "no message came within 0.01 seconds"
    if isinstance(got, dict):
        got.pop("type")
    assert got == expected


@pytest.mark.parametrize("name", [*RECEIVES, "recv"])
async def test_a_blocking_handler(name: str) -> None:
    seen: list[Any] = []

    def receive(websocket: BlockingWebSocket, timeout: float) -> Any:
        if name == "recv":
            message = websocket.recv(timeout)
            assert message is not None
            return message.content
        return RECEIVES[name][0](websocket, timeout=timeout)

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        with pytest.raises(TimeoutError) as raised:
            receive(websocket, 0.01)
        seen.append(str(raised.value))
        websocket.send_text("now")
        seen.append(receive(websocket, TIMEOUT))

    connection = await opened(serve(handler))
    assert await connection.next() == text("now")
    connection.put("1")
    assert (await connection.end())[-1] == close()
    message, got = seen
    assert message == "no message came within 0.01 seconds"
    if isinstance(got, dict):
        got.pop("type")
    assert got == ("1" if name == "recv" else RECEIVES[name][1])


async def test_binary_messages_and_types() -> None:
    api, seen = BoltAPI(), []

    @api.websocket("/", receive_type=int)
    async def typed(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TimeoutError):
            await websocket.receive(timeout=0.001)
        await websocket.send({"type": "websocket.send", "text": "now"})
        seen.append(await websocket.receive(timeout=TIMEOUT))
        with pytest.raises(TimeoutError):
            await websocket.receive_bytes(timeout=0.001)
        await websocket.send({"type": "websocket.send", "text": "now"})
        seen.append(await websocket.receive_bytes(timeout=TIMEOUT))
        seen.append(await websocket.receive_json("binary", TIMEOUT))

    connection = await opened(api.as_asgi())
    assert await connection.next() == text("now")
    connection.put("7")
    assert await connection.next() == text("now")
    connection.put(b"\xff", b"[1]")
    await connection.end()
    assert seen == [7, b"\xff", [1]]


async def test_none_waits_and_infinity_too() -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        seen.append(await websocket.receive_text(timeout=None))
        seen.append(await websocket.receive_text(timeout=math.inf))

    connection = await opened(serve(handler))
    await asyncio.sleep(0.01)
    connection.put("a")
    await asyncio.sleep(0.01)
    connection.put("b")
    await connection.end()
    assert seen == ["a", "b"]


async def test_zero_takes_what_is_there() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TimeoutError, match="no message came within 0 seconds"):
            await websocket.receive_text(timeout=0)
        await websocket.send_text("now")
        await websocket.receive_text()
        for _ in range(2):
            seen.append(await websocket.receive_text(timeout=0))
        with pytest.raises(TimeoutError):
            await websocket.receive_text(timeout=0)
        websocket.read_ahead()
        await asyncio.sleep(0)
        connection.put("d")
        await asyncio.sleep(0.01)
        seen.append(await websocket.receive_text(timeout=0))

    connection = await opened(serve(handler))
    assert await connection.next() == text("now")
    connection.put(*"abc")
    await connection.end()
    assert seen == ["b", "c", "d"]


async def test_it_does_not_take_longer() -> None:
    took: list[float] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await websocket.receive_text(timeout=0.05)
        took.append(time.monotonic() - started)

    await Connection(serve(handler)).end()
    assert 0.049 <= took[0] < 1


async def test_a_thousand_times_and_then_a_message() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while len(seen) < 50:
            with contextlib.suppress(TimeoutError):
                seen.append(await websocket.receive_text(timeout=0.0001))

    connection = await opened(serve(handler))
    for number in range(50):
        connection.put(str(number))
        await asyncio.sleep(0.001)
    await connection.end()
    assert seen == [str(number) for number in range(50)]


async def test_an_outer_timeout_that_is_shorter_is_its_own() -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(0.01):
                await websocket.receive_text(timeout=60)
        seen.append(str(raised.value))
        async with asyncio.timeout(60):
            with pytest.raises(TimeoutError) as raised:
                await websocket.receive_text(timeout=0.01)
        seen.append(str(raised.value))
        await websocket.send_text("now")
        seen.append(await websocket.receive_text())

    connection = await opened(serve(handler))
    assert await connection.next() == text("now")
    connection.put("a")
    await connection.end()
    assert seen == ["", "no message came within 0.01 seconds", "a"]


async def test_a_timeout_of_the_servers_receive_is_passed_on() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TimeoutError, match="the server's own"):
            await websocket.receive_text(timeout=60)

    connection = Connection(serve(handler))
    receive = connection.receive

    async def fail() -> Any:
        if connection.sent:
            raise TimeoutError("the server's own")
        return await receive()

    connection.receive = fail  # type: ignore[method-assign]
    await connection.end()


async def test_a_disconnect_while_it_waits() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(WebSocketDisconnect) as raised:
            await websocket.receive_text(timeout=60)
        seen.append(raised.value.code)
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive_text(timeout=60)
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive_text(timeout=0)

    connection = await opened(serve(handler))
    connection.leave(4005)
    await connection.end()
    assert seen == [4005]


@pytest.mark.parametrize("first", ["close", "timeout"])
async def test_woken_by_a_close_at_the_same_time(first: str) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        task = asyncio.create_task(receive(websocket))
        await asyncio.sleep(0)
        closing = websocket.close(4000)
        if first == "close":
            await closing
            wait_busily(0.02)
        else:
            wait_busily(0.02)
            await closing
        await asyncio.wait_for(task, TIMEOUT)

    def wait_busily(seconds: float) -> None:
        time.sleep(seconds)  # so that the timer is due when the loop looks next

    async def receive(websocket: WebSocket) -> None:
        try:
            await websocket.receive_text(timeout=0.01)
        except (TimeoutError, WebSocketDisconnected) as error:
            seen.append(type(error).__name__)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with pytest.raises(WebSocketDisconnected):
            await websocket.receive_text(timeout=0.01)

    assert (await Connection(serve(handler)).end())[1:] == [close(4000)]
    assert len(seen) == 1


async def test_a_cancellation_at_the_same_time_as_a_close_is_heard() -> None:
    outcomes: list[bool] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        task = asyncio.create_task(websocket.receive_text(timeout=60))
        await asyncio.sleep(0)
        await websocket.close(4000)
        task.cancel()
        await asyncio.wait([task])
        outcomes.append(task.cancelled())

    assert (await Connection(serve(handler)).end())[1:] == [close(4000)]
    assert outcomes == [True]


async def test_a_second_receiver_is_told_at_once() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        first = asyncio.create_task(websocket.receive_text(timeout=60))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is receiving"):
            await websocket.receive_text(timeout=60)
        await websocket.send_text("now")
        assert await first == "a"

    connection = await opened(serve(handler))
    assert await connection.next() == text("now")
    connection.put("a")
    await connection.end()


async def test_the_first_use_accepts_within_it() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(TimeoutError):
            await websocket.receive_text(timeout=0.01)
        await websocket.send_text("hello")

    sent = await Connection(serve(handler)).end()
    assert sent[1:] == [text("hello"), close()]


async def test_what_is_no_number() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        for wrong in ("1", [1], object()):
            with pytest.raises(TypeError):
                await websocket.receive_text(timeout=wrong)  # type: ignore[arg-type]

    await Connection(serve(handler)).end()


async def test_an_unhandled_one_is_an_error_of_the_handler() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text(timeout=0.01)

    with pytest.raises(TimeoutError, match="no message came"):
        await Connection(serve(handler)).end()


async def test_with_a_test_client() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            try:
                await websocket.send_text(await websocket.receive_text(timeout=0.01))
            except TimeoutError:
                await websocket.send_text("are you there?")
                return

    async with (
        AsyncTestClient(serve(handler)) as client,
        client.websocket_connect("/") as websocket,
    ):
        assert await websocket.receive_text() == "are you there?"


async def test_offline() -> None:
    websocket = WebSocket.fake("a", auto_accept=True)
    assert await websocket.receive_text(timeout=TIMEOUT) == "a"
    with pytest.raises(WebSocketDisconnect):
        await websocket.receive_text(timeout=TIMEOUT)
