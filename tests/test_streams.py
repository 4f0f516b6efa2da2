"""Handlers that are generators, and `send_stream`: each value is sent until the client leaves."""

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from django.test import override_settings

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    DeclarationError,
    Depends,
    Message,
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
    ticker,
)
from bolt_ws.endings import QUIET
from bolt_ws.testing import AsyncTestClient, TestClient
from tests.identities import Clock, eventually, nothing_left, opened
from tests.support import ACCEPT, TIMEOUT, Connection, close, serve, text
from tests.ticks import ticks

clean = pytest.fixture(nothing_left, autouse=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def stream(handler: Any, path: str = "/", **options: Any) -> Any:
    """An application that serves one stream."""
    api = BoltAPI()
    api.websocket_stream(path, **options)(handler)
    return api.as_asgi()


async def count(websocket: WebSocket) -> AsyncIterator[int]:
    for number in range(3):
        yield number


def count_plainly(websocket: BlockingWebSocket) -> Iterator[int]:
    yield from range(3)


async def count_alone() -> AsyncIterator[int]:
    for number in range(3):
        yield number


def count_plainly_alone() -> Iterator[int]:
    yield from range(3)


COUNTS = [count, count_plainly, count_alone, count_plainly_alone]


# What is sent


@pytest.mark.parametrize("handler", COUNTS)
async def test_each_value_is_sent_and_then_the_connection_closed(handler: Any) -> None:
    assert await Connection(stream(handler)).end() == [ACCEPT, *map(text, "012"), close()]


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_kinds_of_values(is_blocking: bool) -> None:
    values = ["text", b"bytes", {"a": 1}, [1], None, 1.5, Message.text("m"), Message.binary(b"n")]

    async def coroutine() -> AsyncIterator[Any]:
        for value in values:
            yield value

    def plain() -> Iterator[Any]:
        yield from values

    sent = await Connection(stream(plain if is_blocking else coroutine)).end()
    assert [each.get("text", each.get("bytes")) for each in sent[1:-1]] == [
        "text",
        b"bytes",
        '{"a":1}',
        "[1]",
        "null",
        "1.5",
        "m",
        b"n",
    ]


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_with_a_type(is_blocking: bool) -> None:
    async def coroutine() -> AsyncIterator[Any]:
        yield "text"
        yield Message.text("m")
        yield 7

    def plain() -> Iterator[Any]:
        yield "text"
        yield Message.text("m")
        yield 7

    handler: Any = plain if is_blocking else coroutine
    assert (await Connection(stream(handler, send_type="json")).end())[1:-1] == [
        text('"text"'),
        text("m"),
        text("7"),
    ]
    connection = Connection(stream(handler, send_type="text"))
    with pytest.raises(TypeError):
        await connection.end()
    assert connection.sent == [ACCEPT, text("text"), text("m"), close(1011)]


async def test_parameters_dependencies_and_callbacks() -> None:
    api, order = BoltAPI(), []

    async def resource() -> AsyncIterator[str]:
        yield "resource"
        order.append("torn down")

    @api.websocket_stream("/{name}")
    async def handler(
        name: str, websocket: WebSocket, held: Annotated[str, Depends(resource)]
    ) -> AsyncIterator[str]:
        yield f"{name} {held}"
        order.append("ended")

    @handler.on_connect
    async def on_connect(websocket: WebSocket) -> str:
        return "hello"

    @handler.on_close
    async def on_close(websocket: WebSocket) -> str:
        order.append("on_close")
        return "bye"

    sent = await Connection(api.as_asgi(), "/x").end()
    assert sent == [ACCEPT, text("hello"), text("x resource"), text("bye"), close()]
    assert order == ["ended", "on_close", "torn down"]


async def test_a_stream_of_path_parameters_alone() -> None:
    api = BoltAPI()

    @api.websocket_stream("/{start}/{stop}")
    async def handler(start: int, stop: int) -> AsyncIterator[int]:
        for number in range(start, stop):
            yield number

    assert (await Connection(api.as_asgi(), "/3/5").end())[1:-1] == [text("3"), text("4")]


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_one_that_yields_nothing(is_blocking: bool) -> None:
    async def coroutine() -> AsyncIterator[int]:
        return
        yield

    def plain() -> Iterator[int]:
        return
        yield

    assert await Connection(stream(plain if is_blocking else coroutine)).end() == [ACCEPT, close()]


async def test_with_test_clients() -> None:
    async with (
        AsyncTestClient(stream(count)) as client,
        client.websocket_connect("/") as websocket,
    ):
        assert [await websocket.receive_text() for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive_text()


def test_with_a_plain_test_client() -> None:
    with TestClient(stream(count_plainly)) as client, client.websocket_connect("/") as websocket:
        assert [websocket.receive_text() for _ in range(3)] == ["0", "1", "2"]


# Errors


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_an_exception_in_the_generator(is_blocking: bool) -> None:
    async def coroutine() -> AsyncIterator[int]:
        yield 1
        raise LookupError("bug")

    def plain() -> Iterator[int]:
        yield 1
        raise LookupError("bug")

    connection = Connection(stream(plain if is_blocking else coroutine))
    with pytest.raises(LookupError, match="bug"):
        await connection.end()
    assert connection.sent == [ACCEPT, text("1"), close(1011)]


async def test_a_code_of_its_own() -> None:
    async def handler() -> AsyncIterator[int]:
        yield 1
        raise WebSocketException(4000, "enough")

    sent = await Connection(stream(handler)).end()
    assert sent == [ACCEPT, text("1"), close(4000, "enough")]


async def test_a_value_that_json_cannot_hold() -> None:
    closed: list[str] = []

    async def handler() -> AsyncIterator[Any]:
        try:
            yield object()
        finally:
            closed.append("closed")

    with pytest.raises(TypeError):
        await Connection(stream(handler)).end()
    assert closed == ["closed"]


# The client leaves


@pytest.mark.parametrize("takes_connection", [False, True])
async def test_the_generator_is_cancelled_and_its_finally_awaited(
    monkeypatch: pytest.MonkeyPatch, takes_connection: bool
) -> None:
    monkeypatch.setattr(ticker, "TICK", 3600)  # the end is noticed at once, and not at a tick
    order: list[str] = []

    async def body() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            order.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0.01)
            order.append("closed")

    async def alone() -> AsyncIterator[str]:
        async with contextlib.aclosing(body()) as values:  # type: ignore[type-var]
            async for each in values:
                yield each

    async def with_connection(websocket: WebSocket) -> AsyncIterator[str]:
        async with contextlib.aclosing(body()) as values:  # type: ignore[type-var]
            async for each in values:
                yield each

    api = BoltAPI()
    endpoint = api.websocket_stream("/")(with_connection if takes_connection else alone)

    @endpoint.on_close
    async def on_close(websocket: WebSocket, code: int) -> None:
        order.append(f"on_close {code}")

    connection = await opened(api.as_asgi())
    assert await connection.next() == text("a")
    connection.put("whatever", "comes")
    connection.leave(1001)
    assert await connection.end() == [ACCEPT, text("a")]
    assert order == ["cancelled", "closed", "on_close 1001"]
    assert connection.task is not None
    assert connection.task.cancelling() == 0


async def test_one_that_waits_in_its_finally_at_a_yield() -> None:
    order: list[str] = []
    peer = asyncio.Event()

    async def handler() -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
        except GeneratorExit:
            order.append("closed")
            raise

    async def on_send(event: Any) -> None:
        if event["type"] == "websocket.send":
            await peer.wait()

    connection = Connection(stream(handler), on_send=on_send)
    assert await connection.next() == ACCEPT
    await asyncio.sleep(0)
    connection.leave()  # while a send waits
    assert await connection.end() == [ACCEPT]
    assert order == ["closed"]


async def test_a_blocking_one_ends_at_its_next_value(clock: Clock) -> None:
    order: list[str] = []
    ended = threading.Event()

    def handler() -> Iterator[int]:
        try:
            while True:
                ended.wait(0.002)
                yield 1
        except GeneratorExit:
            order.append("closed")
            raise

    connection = await opened(stream(handler))
    assert await connection.next() == text("1")
    connection.leave()
    await connection.end()
    assert order == ["closed"]


async def test_one_that_swallows_the_cancellation_ends_at_its_next_value() -> None:
    order: list[str] = []

    async def handler() -> AsyncIterator[str]:
        yield "a"
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        order.append("swallowed")
        yield "b"
        order.append("never")

    connection = await opened(stream(handler))
    assert await connection.next() == text("a")
    connection.leave()
    assert await connection.end() == [ACCEPT, text("a")]
    assert order == ["swallowed"]
    assert connection.task is not None
    assert connection.task.cancelling() == 0


async def test_one_that_swallows_it_and_waits_on_has_its_grace(clock: Clock) -> None:
    order: list[str] = []

    async def handler() -> AsyncIterator[str]:
        yield "a"
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        order.append("swallowed")
        try:
            await asyncio.Event().wait()
        finally:
            order.append("cancelled")

    connection = await opened(stream(handler, disconnect_grace=10))
    assert await connection.next() == text("a")
    connection.leave()
    await eventually(lambda: order == ["swallowed"])
    clock.forward(11)
    assert await connection.end() == [ACCEPT, text("a")]
    assert order == ["swallowed", "cancelled"]


async def test_a_cancellation_by_the_server_in_the_middle_is_the_servers() -> None:
    order: list[str] = []

    async def handler() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        finally:
            order.append("closed")

    connection = await opened(stream(handler))
    assert await connection.next() == text("a")
    assert connection.task is not None
    await asyncio.sleep(0)
    connection.task.cancel()
    connection.leave()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.task.cancelled()
    assert order == ["closed"]


async def test_codes_that_are_not_caught() -> None:
    async def handler() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    connection = await opened(stream(handler, caught_close_codes=(1000,)))
    connection.leave(1006)
    with pytest.raises(WebSocketDisconnect):
        await connection.end()


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_what_the_client_says_is_dropped_where_nobody_can_receive(
    clock: Clock, is_blocking: bool
) -> None:
    release = threading.Event()

    async def coroutine() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    def plain() -> Iterator[str]:
        yield "a"
        while not release.wait(0.002):
            yield "b"

    with override_settings(BOLT_WS={"READ_STALL": 3}):
        connection = await opened(stream(plain if is_blocking else coroutine, read_ahead=4))
        connection.put(*["x" * 300_000] * 20)
        await eventually(lambda: len(connection._inbound) == 0)
        for _ in range(3):
            await ticks()
            clock.forward(10)
        await ticks()
        assert connection.terminal == []
        connection.leave(1001)
        await connection.end()
    release.set()
    assert connection.terminal == []


async def test_what_came_in_a_slow_on_connect_is_dropped_too(clock: Clock) -> None:
    api = BoltAPI()

    @api.websocket_stream("/", read_ahead=2)
    async def handler() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    @handler.on_connect
    async def on_connect(websocket: WebSocket) -> None:
        await websocket.accept()
        await ticks(5)

    connection = await opened(api.as_asgi())
    connection.put(*"abcdef")
    assert await connection.next() == text("a")
    await ticks(5)
    clock.forward(31)
    await ticks()
    assert connection.terminal == []
    assert len(connection._inbound) == 0
    connection.leave()
    await connection.end()


async def test_one_that_never_waits_lets_others_have_their_turn(clock: Clock) -> None:
    count = 0

    async def handler() -> AsyncIterator[str]:
        nonlocal count
        while count < 1_000_000:
            count += 1
            yield "a"

    connection = Connection(stream(handler))
    connection.start()
    await ticks(1)
    assert 0 < count < 1_000_000
    connection.leave()
    await connection.end()
    assert count < 1_000_000
    assert connection.terminal == []


# Generators that receive


async def test_one_that_receives_too() -> None:
    async def handler(websocket: WebSocket) -> AsyncIterator[str]:
        async for message in websocket.iter_text():
            for each in message:
                yield each

    connection = await opened(stream(handler))
    connection.put("ab", "c")
    assert [await connection.next() for _ in "abc"] == [text(each) for each in "abc"]
    connection.put("d")
    assert await connection.next() == text("d")
    connection.leave()
    await connection.end()


async def test_one_that_receives_what_was_read_ahead(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> AsyncIterator[str]:
        yield "ready"
        await ticks()
        for _ in range(3):
            yield await websocket.receive_text(timeout=TIMEOUT)

    connection = await opened(stream(handler))
    connection.put("a", "b")
    assert await connection.next() == text("ready")
    assert [await connection.next() for _ in "ab"] == [text(each) for each in "ab"]
    connection.put("c")
    assert (await connection.end())[-2:] == [text("c"), close()]


async def test_a_blocking_one_that_receives() -> None:
    def handler(websocket: BlockingWebSocket) -> Iterator[str]:
        for message in websocket.iter_text():
            yield message.upper()

    connection = await opened(stream(handler))
    connection.put("a", "b")
    assert [await connection.next() for _ in "ab"] == [text("A"), text("B")]
    connection.leave()
    await connection.end()


# Declarations


def test_what_is_no_generator() -> None:
    async def coroutine(websocket: WebSocket) -> None: ...

    def plain(websocket: BlockingWebSocket) -> None: ...

    for handler in (coroutine, plain):
        with pytest.raises(DeclarationError, match="is no generator: it yields nothing to send"):
            stream(handler)
    for handler in COUNTS:  # type: ignore[assignment]
        with pytest.raises(DeclarationError, match="declare it with websocket_stream"):
            serve(handler)


async def test_several_paths_and_another_api() -> None:
    inner, outer = BoltAPI(), BoltAPI()

    @inner.websocket_stream("/two")
    @inner.websocket_stream("/one")
    async def handler() -> AsyncIterator[str]:
        yield "a"

    outer.include(inner, "/in")
    outer.websocket("/three")(handler)  # it is a stream, wherever
    served = outer.as_asgi()
    for path in ("/in/one", "/in/two", "/three"):
        assert await Connection(served, path).end() == [ACCEPT, text("a"), close()]


async def test_options_are_those_of_other_endpoints() -> None:
    with pytest.raises(DeclarationError, match="idle_timeout must be"):
        stream(count, idle_timeout="soon")
    with pytest.raises(DeclarationError, match="unknown option 'speed'"):
        stream(count, speed=1)


async def test_callable_objects() -> None:
    class Counts:
        async def __call__(self) -> AsyncIterator[int]:
            yield 1

    assert (await Connection(stream(Counts())).end())[1:] == [text("1"), close()]


async def test_a_handler_can_be_called() -> None:
    api = BoltAPI()
    endpoint = api.websocket_stream("/")(count_alone)
    assert [each async for each in endpoint()] == [0, 1, 2]


# send_stream


async def test_within_a_handler() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_stream(count_alone())
        await websocket.send_text("and")
        await websocket.send_stream(count_alone())
        assert not websocket._at_end  # nobody waits for the end any more

    sent = await Connection(serve(handler)).end()
    assert sent[1:-1] == [*map(text, "012"), text("and"), *map(text, "012")]


async def test_the_first_use_accepts() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_stream(count_alone())

    assert (await Connection(serve(handler)).end())[0] == ACCEPT


@pytest.mark.parametrize("wrong", [[1], count_plainly_alone(), 1, None, count_alone])
async def test_what_is_no_async_iterator(wrong: Any) -> None:
    websocket = WebSocket.fake(auto_accept=True)
    with pytest.raises(TypeError, match=r"send_stream\(\) takes an async iterator, not"):
        await websocket.send_stream(wrong)


async def test_an_iterator_without_aclose() -> None:
    class Once:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> "Once":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    async def handler(websocket: WebSocket) -> None:
        await websocket.send_stream(Once())

    assert (await Connection(serve(handler)).end())[1:-1] == [text("1"), text("0")]


async def test_the_end_of_the_connection_is_an_exception_to_who_sends() -> None:
    seen: list[Any] = []

    async def endless() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            seen.append("closed")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.send_stream(endless())
        except WebSocketDisconnect as error:
            seen.append((error.code, error.reason))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        rest = endless()
        with pytest.raises(WebSocketDisconnected):
            await websocket.send_stream(rest)
        await asyncio.sleep(0)  # it may go on with other things

    connection = await opened(serve(handler))
    connection.leave(1001, "away")
    await connection.end()
    assert seen == ["closed", (1001, "away")]


async def test_our_own_close_in_another_task_ends_it() -> None:
    seen: list[Any] = []

    async def endless(websocket: WebSocket) -> AsyncIterator[str]:
        yield "a"
        await websocket.receive_text()
        yield "never"

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        asyncio.get_running_loop().call_later(0.01, start, websocket.close(4000))
        with pytest.raises(WebSocketDisconnect) as raised:
            await websocket.send_stream(endless(websocket))
        seen.append(raised.value.code)

    def start(closing: Any) -> None:
        tasks.append(asyncio.get_running_loop().create_task(closing))

    tasks: list[Any] = []
    assert (await Connection(serve(handler)).end())[1:] == [text("a"), close(4000)]
    assert seen == [4000]


async def test_a_timeout_around_it_closes_the_iterator() -> None:
    seen: list[str] = []

    async def endless() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            seen.append("closed")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await websocket.send_stream(endless())
        assert seen == ["closed"]
        await websocket.send_text(await websocket.receive_text())

    connection = await opened(serve(handler))
    assert await connection.next() == text("a")
    await eventually(lambda: bool(seen))
    connection.put("b")
    assert (await connection.end())[-2:] == [text("b"), close()]


async def test_two_streams_side_by_side() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(websocket.send_stream(count_alone()))
            group.create_task(websocket.send_stream(count_alone()))

    sent = await Connection(serve(handler)).end()
    assert sorted(each["text"] for each in sent[1:-1]) == ["0", "0", "1", "1", "2", "2"]


async def test_in_a_blocking_handler() -> None:
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        websocket.send_stream(iter([1, "a", b"b"]))
        websocket.send_stream(["c"])

    sent = await Connection(serve(handler)).end()
    values = [each.get("text", each.get("bytes")) for each in sent[1:-1]]
    assert values == ["1", "a", b"b", "c"]


# Offline


async def test_offline() -> None:
    websocket = WebSocket.fake(auto_accept=True)
    await websocket.send_stream(count_alone())
    assert websocket.sent == ["0", "1", "2"]
    api = BoltAPI()
    endpoint = api.websocket_stream("/")(count)
    assert [each async for each in endpoint(WebSocket.fake())] == [0, 1, 2]


def test_offline_in_a_thread() -> None:
    websocket = BlockingWebSocket.fake(auto_accept=True)
    websocket.send_stream(range(3))
    assert websocket.sent == ["0", "1", "2"]


# What is left


@pytest.mark.parametrize("leaves", [False, True])
async def test_an_ended_stream_is_freed_without_the_collector(leaves: bool) -> None:
    alive: list[Any] = []

    async def handler(websocket: WebSocket) -> AsyncIterator[str]:
        alive.append(weakref.ref(websocket))
        yield "a"
        if leaves:
            await asyncio.Event().wait()

    application = stream(handler)
    gc.collect()
    gc.disable()
    try:
        connection = Connection(application)
        del connection.scope[QUIET]  # which keeps the exceptions for the test client
        assert await connection.next() == ACCEPT
        assert await connection.next() == text("a")
        if leaves:
            connection.leave()
        await connection.end()
        del connection
        async with asyncio.timeout(TIMEOUT):
            while alive[0]() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        gc.enable()
    assert len(asyncio.all_tasks()) == 1
