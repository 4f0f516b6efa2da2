"""How long a connection may be idle, live, or not read what it is sent."""

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnect
from bolt_ws.auth import Guard
from tests.identities import Clock, eventually, listen, nothing_left, opened
from tests.support import ACCEPT, Connection, close, serve, status, text
from tests.ticks import ticks

clean = pytest.fixture(nothing_left, autouse=True)

IDLE = close(4408, "idle for too long")
TOO_OLD = close(1012, "maximum lifetime reached")
SLOW = close(1013, "reading too slowly")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def busy(websocket: WebSocket) -> None:
    """A handler that only sends."""
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.001)


async def asleep(websocket: WebSocket) -> None:
    """A handler that does something else until the end."""
    await websocket.accept()
    await websocket.wait_closed()


def blocking(websocket: BlockingWebSocket) -> None:
    """A plain handler that receives."""
    websocket.accept()
    for _ in websocket:
        pass


def blocking_and_sending(websocket: BlockingWebSocket) -> None:
    """A plain handler that only sends."""
    websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            websocket.send_text("tick")
            time.sleep(0.001)


HANDLERS = [listen, busy, asleep, blocking, blocking_and_sending]


# Idle


@pytest.mark.parametrize("handler", HANDLERS)
async def test_a_client_that_says_nothing(clock: Clock, handler: Any) -> None:
    connection = await opened(serve(handler, idle_timeout=60))
    await ticks(4)
    clock.forward(59)
    await ticks(4)
    assert connection.terminal == []
    clock.forward(2)
    assert (await connection.end())[-1] == IDLE


@pytest.mark.parametrize("handler", HANDLERS)
async def test_each_message_of_the_client_counts(clock: Clock, handler: Any) -> None:
    connection = await opened(serve(handler, idle_timeout=60))
    for _ in range(5):
        await ticks(4)
        clock.forward(45)
        connection.put("a")
        await ticks(4)
    assert connection.terminal == []
    clock.forward(61)
    assert (await connection.end())[-1] == IDLE


async def test_what_is_sent_does_not_count(clock: Clock) -> None:
    connection = await opened(serve(busy, idle_timeout=60))
    for _ in range(4):
        await ticks(4)
        clock.forward(16)
    assert (await connection.end())[-1] == IDLE


async def test_messages_that_are_dropped_count(clock: Clock) -> None:
    connection = await opened(serve(listen, idle_timeout=60, rate_limit="1/h", over_rate="drop"))
    for _ in range(4):
        connection.put("a", "b")
        await ticks(4)
        clock.forward(45)
        await ticks(4)
    assert connection.terminal == []
    clock.forward(61)
    assert (await connection.end())[1:] == [IDLE]


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_messages_of_a_stream_that_takes_none_count(clock: Clock, is_blocking: bool) -> None:
    api = BoltAPI()
    release = threading.Event()

    async def coroutine() -> Any:
        yield "a"
        await asyncio.Event().wait()

    def plain() -> Any:
        yield "a"
        release.wait(5)
        yield "b"

    api.websocket_stream("/", idle_timeout=60)(plain if is_blocking else coroutine)
    connection = await opened(api.as_asgi())
    for _ in range(4):
        connection.put("a")
        await ticks(4)
        clock.forward(45)
        await ticks(4)
    assert connection.terminal == []
    clock.forward(61)
    assert await connection.next() == text("a")
    assert await connection.next() == IDLE
    release.set()
    await connection.end()


async def test_one_that_waits_for_its_handler_is_not_idle(clock: Clock) -> None:
    release = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await release.wait()
        async for _ in websocket.iter_text():
            pass

    connection = await opened(serve(handler, idle_timeout=10, read_ahead=2))
    connection.put("a", "b", "c", "d")
    await ticks(4)
    for _ in range(2):
        clock.forward(9)
        await ticks(4)
    assert connection.terminal == []  # nobody can see whether it says something
    release.set()
    await eventually(lambda: len(connection._inbound) == 0)
    await ticks(4)
    clock.forward(9)
    await ticks(4)
    assert connection.terminal == []
    clock.forward(2)
    assert (await connection.end())[1:] == [IDLE]


async def test_before_accept_it_is_refused(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await asyncio.sleep(60)

    connection = Connection(serve(handler, idle_timeout=10), deny=True)
    connection.start()
    await ticks(4)
    clock.forward(11)
    first = await connection.next()
    assert (first["type"], first["status"]) == ("websocket.http.response.start", 503)
    assert connection.task is not None
    clock.forward(10)  # which is the end, and its grace
    await connection.end()


# Lifetime


@pytest.mark.parametrize("handler", HANDLERS)
async def test_a_connection_lives_so_long(clock: Clock, handler: Any) -> None:
    connection = await opened(serve(handler, max_lifetime=60))
    await ticks(4)
    for _ in range(2):
        clock.forward(29.5)
        connection.put("a")  # whatever happens
        await ticks(4)
    assert connection.terminal == []
    clock.forward(2)
    assert (await connection.end())[-1] == TOO_OLD


async def test_it_begins_with_admission(clock: Clock) -> None:
    class Slow(Guard):
        async def has_permission(self, websocket: object) -> bool:
            clock.forward(100)
            await ticks(4)
            return True

    application = serve(listen, max_lifetime=60, idle_timeout=60, guards=[Slow()])
    assert await status(application) == 101
    connection = await opened(application)
    await ticks(4)
    assert connection.terminal == []
    connection.leave()
    await connection.end()


async def test_on_close_sees_why(clock: Clock) -> None:
    api, seen = BoltAPI(), []

    @api.websocket("/", max_lifetime=60)
    async def handler(websocket: WebSocket) -> None:
        await listen(websocket)

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int, reason: str) -> str:
        seen.append((code, reason))
        return "come again"

    connection = await opened(api.as_asgi())
    clock.forward(61)
    assert (await connection.end())[1:] == [text("come again"), TOO_OLD]
    assert seen == [(1012, "maximum lifetime reached")]


async def test_the_first_of_several(clock: Clock) -> None:
    application = serve(listen, max_lifetime=30, idle_timeout=20)
    connection = await opened(application)
    await ticks(4)
    clock.forward(21)
    assert (await connection.end())[1:] == [IDLE]
    connection = await opened(application)
    for _ in range(2):
        connection.put("a")
        await ticks(4)
        clock.forward(16)
    assert (await connection.end())[1:] == [TOO_OLD]


async def test_a_code_that_leaves_the_handler_time_only_for_its_grace(clock: Clock) -> None:
    ended: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    connection = await opened(serve(handler, max_lifetime=60, disconnect_grace=3))
    clock.forward(61)
    assert await connection.next() == TOO_OLD
    assert ended == []
    clock.forward(4)
    await connection.end()
    assert ended == ["cancelled"]


# A peer that does not read


class Peer:
    """A client that reads when it likes: a send waits until then, or until the close."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.waiting = 0
        self.is_gone = False

    async def __call__(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.close":
            self.is_gone = True
        elif event["type"] == "websocket.send":
            self.waiting += 1
            try:
                await self.reads.wait()
            finally:
                self.waiting -= 1
            if self.is_gone:
                raise ConnectionResetError("the client is gone")


async def test_a_peer_that_takes_nothing(clock: Clock) -> None:
    peer = Peer()
    ended: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.send_text("a")
        finally:
            ended.append(websocket.close_code)

    connection = Connection(serve(handler, send_timeout=60), on_send=peer)
    assert await connection.next() == ACCEPT
    connection.put("a")  # it may well say something
    await ticks(4)
    clock.forward(59)
    connection.put("b")
    await ticks(4)
    assert connection.terminal == []
    clock.forward(2)
    assert await connection.next() == SLOW
    clock.forward(6)  # the grace of who waits for the peer
    await connection.end()
    assert ended == [1013]


async def test_a_blocking_handlers_peer(clock: Clock) -> None:
    peer = Peer()

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                websocket.send_text("a")

    connection = Connection(serve(handler, send_timeout=60), on_send=peer)
    assert await connection.next() == ACCEPT
    await eventually(lambda: peer.waiting == 1)
    await ticks(4)
    clock.forward(61)
    assert await connection.next() == SLOW
    clock.forward(6)
    peer.reads.set()
    await connection.end()


async def test_one_that_reads_slowly_stays(clock: Clock) -> None:
    peer = Peer()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        for each in "abcde":
            await websocket.send_text(each)

    connection = Connection(serve(handler, send_timeout=60), on_send=peer)
    assert await connection.next() == ACCEPT
    for each in "abcde":
        await eventually(lambda: peer.waiting == 1)
        await ticks(4)
        clock.forward(50)
        await ticks(4)
        peer.reads.set()
        peer.reads.clear()
        assert await connection.next() == text(each)
    assert await connection.end() == [ACCEPT, *map(text, "abcde"), close()]


async def test_whatever_was_sent_is_done(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("a")
        await websocket.send_bytes(b"b")
        await websocket.send_json("c")
        await websocket.send({"type": "websocket.send", "text": "d"})
        await websocket.wait_closed()

    connection = await opened(serve(handler, send_timeout=10))
    for _ in "abcd":
        await connection.next()
    await ticks(4)
    clock.forward(1000)
    await ticks(4)
    assert connection.terminal == []
    connection.leave()
    await connection.end()


async def test_a_pause_between_two_messages_is_nobodys_fault(clock: Clock) -> None:
    connection = await opened(serve(asleep, send_timeout=10))
    await ticks(4)
    clock.forward(1000)
    await ticks(4)
    assert connection.terminal == []
    connection.leave()
    await connection.end()


async def test_a_send_that_was_given_up_long_ago_does_not_count(clock: Clock) -> None:
    peer = Peer()
    again = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await websocket.send_text("a")
        await again.wait()
        await websocket.send_text("b")

    connection = Connection(serve(handler, send_timeout=60), on_send=peer)
    assert await connection.next() == ACCEPT
    await eventually(lambda: peer.waiting == 1)
    await ticks(3)
    await eventually(lambda: peer.waiting == 0)
    await ticks(3)
    clock.forward(1000)
    again.set()
    await eventually(lambda: peer.waiting == 1)
    await ticks(3)
    assert connection.terminal == []
    peer.reads.set()
    assert await connection.end() == [ACCEPT, text("b"), close()]


async def test_two_sends_of_which_one_is_given_up(clock: Clock) -> None:
    peer = Peer()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        first = asyncio.create_task(websocket.send_text("a"))
        second = asyncio.create_task(websocket.send_text("b"))
        await eventually(lambda: peer.waiting == 2)
        first.cancel()
        await second

    connection = Connection(serve(handler, send_timeout=60), on_send=peer)
    assert await connection.next() == ACCEPT
    await eventually(lambda: peer.waiting == 1)
    await ticks(4)
    clock.forward(61)
    assert await connection.next() == SLOW
    clock.forward(6)
    await connection.end()


@pytest.mark.django_db(transaction=True)
async def test_what_rooms_send_counts_too(clock: Clock) -> None:
    peer = Peer()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.join("room")
        async for message in websocket.iter_text():
            await websocket.broadcast(message)

    application = serve(handler, send_timeout=60)
    slow = Connection(application, on_send=peer)
    assert await slow.next() == ACCEPT
    other = await opened(application)
    other.put("hello")
    assert await other.next() == text("hello")
    await eventually(lambda: peer.waiting == 1)
    await ticks(4)
    clock.forward(59)
    await ticks(4)
    assert slow.terminal == []
    clock.forward(2)
    assert await slow.next() == SLOW
    peer.reads.set()
    await slow.end()
    other.leave()
    await other.end()
