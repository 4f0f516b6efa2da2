"""What is read ahead for a handler that does not receive: in order, bounded, nothing lost."""

import asyncio
import contextlib
import gc
import random
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.test import override_settings

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    UnexpectedFrame,
    WebSocket,
    WebSocketDisconnect,
    reader,
    upkeep,
)
from bolt_ws.bounded import BoundedWebSocket
from bolt_ws.bounds import Bounds
from bolt_ws.gate import Gate
from bolt_ws.reader import Reader
from tests.identities import Clock, eventually, listen, nothing_left, opened
from tests.support import TIMEOUT, Connection, close, make_scope, serve, text
from tests.ticks import is_bare, reader_tasks, ticks

clean = pytest.fixture(nothing_left, autouse=True)

UNREAD = close(1013, "messages are not received")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Busy:
    """A handler that does something else until it is to receive."""

    def __init__(self, receives: Callable[[WebSocket], Awaitable[Any]] | None = None) -> None:
        self.receive = asyncio.Event()
        self.seen: list[Any] = []
        self._receives = receives

    async def __call__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        await websocket.accept()
        await self.receive.wait()
        if self._receives is not None:
            self.seen.append(await self._receives(websocket))
            return
        while True:
            event = await websocket.receive_event()
            self.seen.append(event.get("text", event.get("code")))
            if event["type"] == "websocket.disconnect":
                return


def left(connection: Connection) -> int:
    """Return how many events the server still has for the application."""
    return len(connection._inbound)


# When it reads


async def test_it_starts_for_a_handler_that_does_not_receive(clock: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__))
    connection.put("a", "b")
    await asyncio.sleep(0)
    assert left(connection) == 2
    await eventually(lambda: left(connection) == 0)
    assert len(reader_tasks()) == 1
    connection.leave()
    await eventually(lambda: handler.websocket.close_code == 1001)
    assert reader_tasks() == []
    handler.receive.set()
    await connection.end()
    assert handler.seen == ["a", "b", 1001]


async def test_it_does_not_for_one_that_waits_for_a_message(clock: Clock) -> None:
    connection = await opened(serve(listen))
    for _ in range(5):
        await ticks(2)
        assert reader_tasks() == []
        connection.put("a")
    connection.leave()
    await connection.end()


def look() -> None:
    """Be a tick."""
    upkeep._upkeeps[asyncio.get_running_loop()]._look()


async def turns() -> None:
    """Let all that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nor_for_one_that_received_at_the_tick_before() -> None:
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            busy.set()
            await go_on.wait()

    connection = await opened(serve(handler))
    await turns()
    for _ in range(3):
        look()  # it receives
        connection.put("a")
        await busy.wait()
        busy.clear()
        look()
        assert reader_tasks() == []
        go_on.set()
        await turns()
        go_on.clear()
    look()
    connection.put("a")
    await busy.wait()
    look()
    assert reader_tasks() == []
    look()  # and now it has been busy for a second
    assert len(reader_tasks()) == 1
    go_on.set()
    connection.leave()
    await connection.end()


@pytest.mark.parametrize(("taken", "is_read_for"), [(0, True), (2, True), (3, False)])
async def test_nor_for_one_that_received_many_since_the_tick_before(
    taken: int, is_read_for: bool
) -> None:
    steps = asyncio.Semaphore(0)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await steps.acquire()
            await websocket.receive_text()

    connection = await opened(serve(handler, read_ahead=3))
    connection.put(*(str(n) for n in range(20)))
    for _ in range(4):
        steps.release()
    await turns()
    look()  # what it received before is known then
    assert reader_tasks() == []
    for _ in range(taken):
        steps.release()
    await turns()
    look()
    assert bool(reader_tasks()) is is_read_for
    connection.leave()
    for _ in range(20):
        steps.release()
    await connection.end()


async def test_nor_before_the_connection_is_admitted(clock: Clock) -> None:
    from bolt_ws.auth import Guard

    class Slow(Guard):
        async def has_permission(self, websocket: object) -> bool:
            await ticks(4)
            assert reader_tasks() == []
            return True

    connection = await opened(serve(listen, guards=[Slow()]))
    connection.leave()
    await connection.end()


async def test_nor_for_an_application_that_waits(clock: Clock) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    api = BoltAPI()
    api.add_websocket_route("/", application)
    connection = await opened(api.as_asgi())
    await ticks(4)
    assert reader_tasks() == []
    connection.leave()
    await connection.end()


async def test_an_application_that_is_busy_is_read_for_in_order(clock: Clock) -> None:
    seen: list[Any] = []
    go_on = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (event := await receive())["type"] != "websocket.disconnect":
            seen.append(event["text"])
        seen.append(event["code"])

    api = BoltAPI()
    api.add_websocket_route("/", application)
    connection = await opened(api.as_asgi())
    connection.put("a", "b")
    await eventually(lambda: left(connection) == 0)
    connection.leave(1001)
    await ticks(2)
    go_on.set()
    await connection.end()
    assert seen == ["a", "b", 1001]


async def test_a_handler_that_takes_one_now_and_then_is_read_for(clock: Clock) -> None:
    ended = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            async for _ in websocket.iter_text():
                await ticks(3)
                if websocket.close_code is not None:
                    ended.set()
        finally:
            ended.set()

    connection = await opened(serve(handler, disconnect_grace=60))
    connection.put(*(str(n) for n in range(20)))
    connection.leave()
    await asyncio.wait_for(ended.wait(), TIMEOUT)
    clock.forward(61)
    await connection.end()
    assert left(connection) == 1  # the disconnect, which the server gives again


# What it costs


async def test_it_costs_nothing_any_more_once_the_handler_receives(clock: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__))
    websocket = handler.websocket
    assert is_bare(websocket)
    await ticks()
    assert not is_bare(websocket)
    connection.put("a")
    handler.receive.set()
    await eventually(lambda: handler.seen == ["a"])
    await asyncio.sleep(0)
    connection.put("b")  # the reader may wait for one more
    await eventually(lambda: handler.seen == ["a", "b"])
    await asyncio.sleep(0)
    assert is_bare(websocket)
    assert reader_tasks() == []
    await ticks(4)
    assert is_bare(websocket)
    connection.leave()
    await connection.end()


async def test_what_was_read_first_and_then_the_server(clock: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__))
    connection.put("a", "b", "c")
    await ticks()
    assert left(connection) == 0
    handler.receive.set()
    await eventually(lambda: len(handler.seen) == 3)
    connection.put("d")
    await eventually(lambda: len(handler.seen) == 4)
    connection.put("e", "f")
    await eventually(lambda: len(handler.seen) == 6)
    await asyncio.sleep(0)
    assert is_bare(handler.websocket)
    assert handler.seen == [*"abcdef"]
    connection.leave()
    await connection.end()


@pytest.mark.parametrize("read_ahead", [None, 1, 5])
async def test_it_reads_so_many_messages_and_no_more(clock: Clock, read_ahead: int | None) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__, read_ahead=read_ahead))
    connection.put(*(str(n) for n in range(200)))
    await ticks(6)
    most = read_ahead or 64
    assert left(connection) == 200 - most
    assert reader_tasks() == []
    connection.leave()
    handler.receive.set()
    await connection.end()
    assert handler.seen == [*(str(n) for n in range(200)), 1001]


async def test_nor_more_than_a_mebibyte(clock: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__))
    big = ["a" * (256 * 1024)] * 3 + ["b" * (256 * 1024 - 1)] + ["c", "d"]
    connection.put(*big)
    await ticks(6)
    assert left(connection) == 1  # one byte under it, it took another
    connection.leave()
    handler.receive.set()
    await connection.end()
    assert handler.seen == [*big, 1001]


async def test_bytes_count_too_and_one_message_may_be_more(clock: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__))
    connection.put(b"\x00" * (3 * 1024 * 1024), b"")
    await ticks(6)
    assert left(connection) == 1
    connection.leave()
    handler.receive.set()
    await connection.end()
    assert len(handler.seen) == 3


async def test_the_room_that_a_receive_makes_is_used(clock: Clock) -> None:
    taken = asyncio.Event()

    async def one(websocket: WebSocket) -> Any:
        await websocket.receive_text()
        taken.set()
        await asyncio.Event().wait()

    handler = Busy(one)
    connection = await opened(serve(handler.__call__, read_ahead=3))
    connection.put(*"abcdefgh")
    await ticks(4)
    assert left(connection) == 5
    handler.receive.set()
    await taken.wait()
    await ticks(4)
    assert left(connection) == 4
    connection.leave()
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()


async def test_so_is_the_room_of_big_ones(clock: Clock) -> None:
    handler = Busy()
    again = Busy()
    connection = Connection(serve(handler.__call__))

    async def twice(websocket: WebSocket) -> Any:
        for _ in range(3):
            await websocket.receive_bytes()
        await again.receive.wait()

    handler._receives = twice
    assert (await connection.next())["type"] == "websocket.accept"
    connection.put(*[b"0" * 500_000] * 3)
    await ticks(4)
    assert left(connection) == 0
    handler.receive.set()
    await asyncio.sleep(0)
    connection.put(*[b"0" * 500_000] * 4)
    await ticks(6)
    assert left(connection) == 1
    again.receive.set()
    await connection.end()


# A connection that stays full


@pytest.fixture
def stalling(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock, by which the reader too sees since when it has been full."""
    monkeypatch.setattr(reader, "monotonic", lambda: upkeep.steady_clock())
    return clock


async def test_who_takes_nothing_for_too_long_is_closed(stalling: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__, read_ahead=2))
    connection.put(*"abc")
    await ticks(4)
    stalling.forward(29)
    await ticks(4)
    assert connection.terminal == []
    stalling.forward(2)
    assert await connection.next() == UNREAD
    handler.receive.set()
    with pytest.raises(Exception, match="messages are not received"):
        await handler.websocket.receive()
    await connection.end()


async def test_the_setting_says_how_long(stalling: Clock) -> None:
    with override_settings(BOLT_WS={"READ_STALL": 3}):
        handler = Busy()
        connection = await opened(serve(handler.__call__, read_ahead=1))
        connection.put(*"abc")
        await ticks(4)
        stalling.forward(4)
        assert await connection.next() == UNREAD
    handler.receive.set()
    await connection.end()


async def test_who_takes_one_in_time_stays(stalling: Clock) -> None:
    take = asyncio.Event()
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await take.wait()
            take.clear()
            seen.append(await websocket.receive_text())

    connection = await opened(serve(handler, read_ahead=2))
    connection.put(*"abcdefgh")
    await ticks(4)
    for _ in range(4):
        stalling.forward(20)
        await ticks(3)
        take.set()
        await ticks(3)
    assert connection.terminal == []
    assert seen == [*"abcd"]
    stalling.forward(31)
    assert await connection.next() == UNREAD
    take.set()
    await connection.end()


async def test_one_that_waits_for_its_turn_stays(stalling: Clock) -> None:
    connection = await opened(
        serve(listen, read_ahead=2, rate_limit="1/h", over_rate="wait", disconnect_grace=1)
    )
    connection.put(*"abcdef")
    await ticks(4)
    assert left(connection) == 3
    stalling.forward(1000)
    await ticks(4)
    assert connection.terminal == []
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()


async def test_one_that_is_not_full_stays(stalling: Clock) -> None:
    handler = Busy()
    connection = await opened(serve(handler.__call__, read_ahead=4))
    connection.put(*"abc")
    await ticks(4)
    stalling.forward(1000)
    await ticks(4)
    assert connection.terminal == []
    connection.leave()
    handler.receive.set()
    await connection.end()


async def test_dropped_messages_make_room_again() -> None:
    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "websocket.receive", "text": "a" * 600_000}

    made = Reader(receive, lambda event, asked_at: True, 64)
    made.start()
    await eventually(lambda: made.full_since is not None)
    made.drop_messages()
    assert not made.has_items
    made.start()
    assert made.is_running
    await asyncio.sleep(0.01)
    assert made.is_running
    assert made.full_since is None
    made.close()


# What comes out


@pytest.mark.parametrize(
    ("receives", "given"),
    [
        (lambda websocket: websocket.receive_text(), "1"),
        (lambda websocket: websocket.receive_text(timeout=1), "1"),
        (lambda websocket: websocket.receive_json(), 1),
        (lambda websocket: anext(websocket.iter_text()), "1"),
        (lambda websocket: anext(websocket.iter_json()), 1),
        (lambda websocket: anext(aiter(websocket)), "1"),
        (lambda websocket: websocket.receive(), {"type": "websocket.receive", "text": "1"}),
    ],
)
@pytest.mark.parametrize("has_left", [False, True])
async def test_each_way_to_receive(clock: Clock, receives: Any, given: Any, has_left: bool) -> None:
    handler = Busy(receives)
    connection = await opened(serve(handler.__call__))
    connection.put("1")
    if has_left:
        connection.leave()
    await ticks()
    handler.receive.set()
    await connection.end()
    assert handler.seen == [given]


@pytest.mark.parametrize("has_left", [False, True])
async def test_a_frame_of_the_other_kind(clock: Clock, has_left: bool) -> None:
    async def twice(websocket: WebSocket) -> Any:
        with pytest.raises(UnexpectedFrame):
            await websocket.receive_text()
        return await websocket.receive_text()

    handler = Busy(twice)
    connection = await opened(serve(handler.__call__))
    connection.put(b"1", "2")
    if has_left:
        connection.leave()
    await ticks()
    handler.receive.set()
    await connection.end()
    assert handler.seen == ["2"]


async def test_a_blocking_handler(clock: Clock) -> None:
    seen: list[Any] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        time.sleep(0.05)
        seen.extend(websocket.iter_text())
        seen.append(websocket.close_code)

    connection = await opened(serve(handler))
    connection.put(*"abc")
    await eventually(lambda: left(connection) == 0)
    connection.put(*"de")
    connection.leave(1001)
    await connection.end()
    assert seen == [*"abcde", 1001]


async def test_what_the_server_raises_comes_out_in_order(clock: Clock) -> None:
    raised: list[str] = []
    calls = 0

    async def receives(websocket: WebSocket) -> Any:
        got: list[Any] = []
        for _ in range(2):
            got.append(await websocket.receive_text())
        with pytest.raises(LookupError, match="the server's 1st"):
            await websocket.receive_text()
        raised.append("once")
        with pytest.raises(LookupError, match="the server's 2nd"):
            await websocket.receive_text()
        return got

    handler = Busy(receives)
    connection = Connection(serve(handler.__call__))
    receive = connection.receive

    async def fails() -> Any:
        nonlocal calls
        event = await receive()
        if event.get("text") != "fail":
            return event
        calls += 1
        connection.put("fail")
        raise LookupError(f"the server's {['1st', '2nd'][calls - 1]}")

    connection.receive = fails  # type: ignore[method-assign]
    assert (await connection.next())["type"] == "websocket.accept"
    connection.put("a", "b", "fail")
    await ticks(6)
    assert calls == 1  # and is not asked again and again
    handler.receive.set()
    await connection.end()
    assert handler.seen == [["a", "b"]]
    assert raised == ["once"]


async def test_an_ended_connection_is_freed_without_the_collector(clock: Clock) -> None:
    alive: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        alive.append(weakref.ref(websocket))
        await websocket.accept()
        await ticks()
        await websocket.close()

    application = serve(handler, rate_limit="100/s", max_message_size=10)
    gc.collect()
    gc.disable()
    try:
        connection = await opened(application)
        connection.put("a", "b")
        await connection.end()
        async with asyncio.timeout(TIMEOUT):
            while alive[0]() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        gc.enable()
    assert reader_tasks() == []


async def test_a_reader_of_a_connection_that_ends_is_no_longer_there(clock: Clock) -> None:
    release = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await release.wait()

    connection = await opened(serve(handler))
    await ticks()
    assert len(reader_tasks()) == 1
    release.set()
    assert (await connection.end())[1:] == [close()]
    await asyncio.sleep(0)
    assert reader_tasks() == []


async def test_nor_where_the_server_tells_of_no_end() -> None:
    server = Server(random.Random(0))
    server.inbound.append({"type": "websocket.connect"})
    websocket = WebSocket(make_scope(), server.receive, server.send)
    await websocket.accept()
    websocket.read_ahead()
    await turns()
    assert server.calls == 1
    websocket.forget()
    await turns()
    assert server.calls == 0
    assert reader_tasks() == []


async def test_its_task_runs_in_the_context_of_its_connection(clock: Clock) -> None:
    import contextvars

    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []
    handler = Busy()
    whose.set("its own")
    connection = Connection(serve(handler.__call__))
    receive = connection.receive

    async def note() -> Any:
        seen.append(whose.get())
        return await receive()

    connection.receive = note  # type: ignore[method-assign]
    assert (await connection.next())["type"] == "websocket.accept"
    whose.set("the test's")
    await ticks()
    assert seen == ["its own", "its own"]  # for `websocket.connect`, and the reader's
    connection.leave()
    handler.receive.set()
    await connection.end()


# Everything at once


class Server:
    """ASGI's receive of a server that suspends as it likes, and is never called twice at once."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.inbound: deque[Any] = deque()
        self.arrived = asyncio.Event()
        self.calls = 0
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        assert self.calls == 0, "two receives at once"
        self.calls += 1
        try:
            while True:
                for _ in range(self.chance.choice((0, 0, 0, 1, 2, 3))):
                    await asyncio.sleep(0)
                if self.inbound:
                    return self.inbound.popleft()
                self.arrived.clear()
                await self.arrived.wait()
        finally:
            self.calls -= 1

    async def send(self, event: Any) -> None:
        self.sent.append(event)

    async def say(self, count: int) -> None:
        for number in range(count):
            self.inbound.append({"type": "websocket.receive", "text": str(number)})
            self.arrived.set()
            for _ in range(self.chance.choice((0, 0, 1, 1, 4))):
                await asyncio.sleep(0)
        self.inbound.append({"type": "websocket.disconnect", "code": 4002, "reason": "bye"})
        self.arrived.set()


async def receive_somehow(websocket: WebSocket, chance: random.Random, got: list[str]) -> None:
    """Take a step of a handler that receives, waits, gives up, and does something else."""

    async def receive(timeout: float | None = None) -> None:
        got.append(await websocket.receive_text(timeout))

    match chance.randrange(8):
        case 0 | 1:
            await receive()
        case 2:
            with contextlib.suppress(TimeoutError):
                await receive(chance.choice((0, 0.00001, 0.0001)))
        case 3:
            task = asyncio.create_task(receive())
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        case 4:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.choice((0, 0.00001))):
                    await receive()
        case 5:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
        case 6:
            websocket.read_ahead()  # a tick
        case 7:
            waiter = asyncio.create_task(websocket.wait_closed())
            await asyncio.sleep(0)
            waiter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiter


async def tick_somehow(websocket: WebSocket, chance: random.Random) -> None:
    """Be the upkeep, which looks whatever the handler does at that moment."""
    while True:
        websocket.read_ahead()
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)


BOUNDS = {
    "none": Bounds(read_ahead=3),
    "gate": Bounds(read_ahead=3, max_message_size=100, rate=1e6, burst=10**6),
    "pacer": Bounds(read_ahead=2, rate=1e5, burst=5, over_rate="wait"),
}


async def received_somehow(
    websocket: WebSocket, server: Server, count: int
) -> tuple[list[str], WebSocketDisconnect]:
    """Receive all that is said, while readers start and stop, and return it, and how it ended."""
    server.inbound.append({"type": "websocket.connect"})
    await websocket.accept()
    speaking = asyncio.create_task(server.say(count))
    ticking = asyncio.create_task(tick_somehow(websocket, server.chance))
    got: list[str] = []

    async def receive_all() -> None:
        while True:
            await receive_somehow(websocket, server.chance, got)

    async with asyncio.timeout(20):
        with pytest.raises(WebSocketDisconnect) as raised:
            await receive_all()
        await speaking
    ticking.cancel()
    return got, raised.value


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("seed", range(8))
async def test_whatever_interleaves_nothing_is_lost_nor_doubled(bounds: str, seed: int) -> None:
    chance = random.Random(seed)
    server = Server(chance)
    kind = WebSocket if bounds == "none" else BoundedWebSocket
    websocket = kind(make_scope(), server.receive, server.send, auto_accept=None)
    websocket.read_ahead_limit = BOUNDS[bounds].read_ahead
    if isinstance(websocket, BoundedWebSocket):
        websocket.bound_by(BOUNDS[bounds])
    got, end = await received_somehow(websocket, server, 1000)
    assert (end.code, end.reason) == (4002, "bye")
    assert got == [str(number) for number in range(1000)]
    assert reader_tasks() == []
    websocket.forget()


class Moody(Gate):
    """A gate that drops as it likes."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(Bounds(), lambda *why: None)
        self.chance = chance
        self.admitted: list[str] = []

    def admits(self, event: Any, asked_at: float) -> bool:
        if event["type"] == "websocket.receive":
            if self.chance.random() < 0.5:
                self.dropped += 1
                return False
            self.admitted.append(event["text"])
        return True


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_interleaves_nothing_goes_past_the_gate(seed: int) -> None:
    chance = random.Random(seed)
    server = Server(chance)
    websocket = BoundedWebSocket(make_scope(), server.receive, server.send, auto_accept=None)
    websocket.read_ahead_limit = 3
    websocket.bound_by(Bounds(read_ahead=3, max_message_size=1000))
    gate = websocket._gate = Moody(chance)
    got, _ = await received_somehow(websocket, server, 500)
    assert got == gate.admitted
    assert len(got) + websocket.dropped == 500
    websocket.forget()


async def test_the_same_through_an_endpoint_and_its_ticks(clock: Clock) -> None:
    chance = random.Random(1)
    got: list[str] = []
    ends: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await receive_somehow(websocket, chance, got)
                if chance.random() < 0.03:
                    await ticks(2)
        except WebSocketDisconnect as error:
            ends.append(error.code)

    connection = await opened(serve(handler, read_ahead=5, disconnect_grace=60))
    for number in range(600):
        connection.put(str(number))
        if not number % 7:
            await asyncio.sleep(0.001)
    connection.leave(1001)
    await asyncio.wait_for(asyncio.shield(connection.end()), 20)
    assert got == [str(number) for number in range(600)]
    assert ends == [1001]


async def test_text_of_a_reader_is_what_was_sent(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await ticks()
        async for message in websocket.iter_text():
            await websocket.send_text(message)

    connection = await opened(serve(handler))
    connection.put("ä", "", "\x00")
    for each in ("ä", "", "\x00"):
        assert await connection.next() == text(each)
    connection.leave()
    await connection.end()
