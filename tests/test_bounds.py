"""What an endpoint may say of sizes, rates and times; and the size of a message."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from bolt_ws import BlockingWebSocket, BoltAPI, DeclarationError, WebSocket
from bolt_ws.bounds import READ_AHEAD, Bounds, compile_bounds
from tests.identities import Clock, listen, nothing_left, opened
from tests.support import ACCEPT, Connection, close, serve, text
from tests.ticks import reader_tasks, ticks

clean = pytest.fixture(nothing_left, autouse=True)

TOO_BIG = close(1009, "message too big")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# Declarations


@pytest.mark.parametrize("name", ["max_message_size", "burst", "read_ahead"])
@pytest.mark.parametrize("value", [0, -1, True, False, 1.0, "1", math.inf, [1]])
def test_whole_numbers(name: str, value: Any) -> None:
    options = {"rate_limit": "1/s", name: value}
    with pytest.raises(DeclarationError) as raised:
        serve(listen, **options)
    assert f"{name} must be a whole number, 1 or more, not {value!r}" in str(raised.value)
    assert "<Endpoint 'listen' at '/'>" in str(raised.value)


@pytest.mark.parametrize(
    "name", ["idle_timeout", "max_lifetime", "send_timeout", "disconnect_grace"]
)
@pytest.mark.parametrize("value", [-1, -0.5, True, False, "1", math.nan, -math.inf, [1]])
def test_seconds(name: str, value: Any) -> None:
    with pytest.raises(DeclarationError) as raised:
        serve(listen, **{name: value})
    assert f"{name} must be a number of seconds" in str(raised.value)
    assert repr(value) in str(raised.value)
    assert "<Endpoint 'listen' at '/'>" in str(raised.value)


@pytest.mark.parametrize("name", ["idle_timeout", "max_lifetime", "send_timeout"])
def test_no_time_at_all(name: str) -> None:
    with pytest.raises(DeclarationError, match=f"{name} must be a number of seconds"):
        serve(listen, **{name: 0})


@pytest.mark.parametrize(
    "value",
    [
        *("", "20", "/s", "s", "20/d", "20/day", "20/ms", "20 per s", "0/s", "-1/s", "1.5/s"),
        *("1/1/s", " 1/s", "1/s\n", "1/S", 20, 20.0, True, b"20/s", ("20", "s")),
    ],
)
def test_rates(value: Any) -> None:
    with pytest.raises(DeclarationError) as raised:
        serve(listen, rate_limit=value)
    assert 'rate_limit must be a number of messages and a unit such as "20/s", "100/m" or' in str(
        raised.value
    )
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_rate_that_no_float_holds(digits: int) -> None:
    with pytest.raises(DeclarationError, match="rate_limit must be"):
        serve(listen, rate_limit="9" * digits + "/s")


@pytest.mark.parametrize("value", ["kill", "", "Close", True, False, 0, ["close"], {}])
def test_over_rate(value: Any) -> None:
    with pytest.raises(DeclarationError) as raised:
        serve(listen, rate_limit="1/s", over_rate=value)
    assert f"over_rate must be one of 'close', 'drop', 'wait', not {value!r}" in str(raised.value)


@pytest.mark.parametrize("options", [{"burst": 3}, {"over_rate": "drop"}])
def test_what_belongs_to_a_rate(options: Any) -> None:
    with pytest.raises(DeclarationError, match="belong to a rate_limit, and there is none"):
        serve(listen, **options)


@pytest.mark.parametrize(
    ("limit", "rate", "burst"),
    [
        ("20/s", 20.0, 20),
        ("20/sec", 20.0, 20),
        ("20 / second", 20.0, 20),
        ("120/m", 2.0, 120),
        ("120/min", 2.0, 120),
        ("120/minute", 2.0, 120),
        ("3600/h", 1.0, 3600),
        ("1/hour", 1 / 3600, 1),
    ],
)
def test_what_a_rate_says(limit: str, rate: float, burst: int) -> None:
    bounds = compile_bounds({"rate_limit": limit})
    assert (bounds.rate, bounds.burst, bounds.over_rate) == (rate, burst, "close")
    assert compile_bounds({"rate_limit": limit, "burst": 7}).burst == 7


def test_without_a_word_there_is_no_bound_but_of_what_is_read_ahead() -> None:
    assert compile_bounds({}) == Bounds()
    assert READ_AHEAD == 64
    assert compile_bounds(dict.fromkeys(("rate_limit", "burst", "idle_timeout"))) == Bounds()


def test_times_may_be_endless_and_a_grace_nothing() -> None:
    bounds = compile_bounds({"disconnect_grace": 0, "idle_timeout": math.inf, "max_lifetime": 1})
    assert (bounds.disconnect_grace, bounds.idle_timeout) == (0.0, math.inf)
    assert bounds.max_lifetime == 1.0
    assert compile_bounds({"disconnect_grace": math.inf}).disconnect_grace == math.inf


async def test_another_path_of_the_function_has_the_same_bounds_unless_it_says_so() -> None:
    api = BoltAPI()

    @api.websocket("/small", max_message_size=2)
    @api.websocket("/same")
    @api.websocket("/one", max_message_size=4)
    async def handler(websocket: WebSocket) -> None:
        await listen(websocket)

    served = api.as_asgi()
    for path, fits in (("/one", "1234"), ("/same", "1234"), ("/small", "12")):
        connection = await opened(served, path)
        connection.put(fits, fits + "5")
        assert (await connection.end())[1:] == [TOO_BIG]


# The size of a message: bytes, of a text those of its UTF-8

Receiver = Callable[[list[Any]], Any]


def receive_text(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            seen.append(await websocket.receive_text())

    return handler


def receive_with_a_timeout(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            seen.append(await websocket.receive_text(timeout=60))

    return handler


def receive_json(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            seen.append(f'"{await websocket.receive_json()}"')

    return handler


def receive_events(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while (event := await websocket.receive())["type"] == "websocket.receive":
            seen.append(event["text"])

    return handler


def iterate_text(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket.iter_text():
            seen.append(each)

    return handler


def iterate_json(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket.iter_json():
            seen.append(f'"{each}"')

    return handler


def iterate(seen: list[Any]) -> Any:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket:
            seen.append(each)

    return handler


def receive_in_a_thread(seen: list[Any]) -> Any:
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        while True:
            seen.append(websocket.receive_text())

    return handler


def iterate_in_a_thread(seen: list[Any]) -> Any:
    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        seen.extend(iter(websocket))

    return handler


def application(seen: list[Any]) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            seen.append(event["text"])

    return application


def consumer(seen: list[Any]) -> Any:
    class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
        async def receive(self, text_data: str | None = None, bytes_data: Any = None) -> None:
            seen.append(text_data)

    return Consumer


HANDLERS = [
    receive_text,
    receive_with_a_timeout,
    receive_json,
    receive_events,
    iterate_text,
    iterate_json,
    iterate,
    receive_in_a_thread,
    iterate_in_a_thread,
]
IN_A_THREAD = [receive_in_a_thread, iterate_in_a_thread]
APPLICATIONS = [application, consumer]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("receiver", [*HANDLERS, *APPLICATIONS])
async def test_each_way_to_receive(receiver: Receiver) -> None:
    seen: list[Any] = []
    api = BoltAPI()
    api.add_websocket_route("/", receiver(seen), max_message_size=10)
    connection = await opened(api.as_asgi())
    fits = ['"aaaaaaaa"', '"ääää"', '"€€é"', '"😀😀"', '""']
    connection.put(*fits, '"äääää"', '"never"')
    sent = await connection.end()
    assert connection.terminal == [TOO_BIG]
    assert len(sent) == 2
    if receiver in IN_A_THREAD:  # our own close gives nothing of what the thread has not taken
        fits = fits[: len(seen)]
    assert seen == fits


@pytest.mark.parametrize(
    ("fits", "too_big"),
    [
        ("a" * 10, "a" * 11),
        ("ä" * 5, "ä" * 5 + "a"),
        ("€" * 3 + "a", "€" * 3 + "ä"),
        ("😀" * 2 + "aa", "😀" * 3),
        ("\x00" * 10, "\x00" * 11),
        (b"\xff" * 10, b"\xff" * 11),
        (b"", b"0" * 1000),
    ],
)
async def test_the_boundary(fits: str | bytes, too_big: str | bytes) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in websocket:
            await websocket.send(
                {"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message}
            )

    application = serve(handler, max_message_size=10)
    connection = await opened(application)
    connection.put(fits, fits, too_big, fits)
    sent = await connection.end()
    assert [each.get("text", each.get("bytes")) for each in sent[1:3]] == [fits, fits]
    assert sent[3:] == [TOO_BIG]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
async def test_small_bounds(size: int) -> None:
    connection = await opened(serve(listen, max_message_size=size))
    connection.put("a" * size, "a" * (size + 1))
    assert (await connection.end())[1:] == [TOO_BIG]


async def test_a_message_that_is_read_ahead(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.wait_closed()

    connection = await opened(serve(handler, max_message_size=10))
    await ticks()
    assert len(reader_tasks()) == 1
    connection.put("fits", "a" * 11)
    assert (await connection.end())[1:] == [TOO_BIG]


async def test_nothing_that_comes_after_is_received_while_the_farewell_is_said() -> None:
    api, seen, saying = BoltAPI(), [], asyncio.Event()

    @api.websocket("/", max_message_size=10)
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in websocket.iter_text():
            seen.append(message)

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int) -> str:
        seen.append(code)
        await saying.wait()
        return "bye"

    connection = await opened(api.as_asgi())
    connection.put("a", "b" * 11, "c", "d" * 11, "e")
    await ticks_of_loop()
    connection.put("f")
    await ticks_of_loop()
    saying.set()
    assert (await connection.end())[1:] == [text("bye"), TOO_BIG]
    assert seen == ["a", 1009]


async def test_nor_what_comes_after_what_a_reader_has_dropped(clock: Clock) -> None:
    api, seen, saying = BoltAPI(), [], asyncio.Event()
    receive = asyncio.Event()

    @api.websocket("/", max_message_size=10)
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await receive.wait()
        async for message in websocket.iter_text():
            seen.append(message)

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        await saying.wait()

    connection = await opened(api.as_asgi())
    await ticks()
    assert len(reader_tasks()) == 1
    receive.set()
    await ticks_of_loop()
    connection.put("b" * 11, "c")
    await ticks_of_loop()
    connection.put("d" * 12)
    await ticks_of_loop()
    saying.set()
    assert (await connection.end())[1:] == [TOO_BIG]
    assert seen == []


async def ticks_of_loop() -> None:
    """Let all that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_on_close_and_the_exception_see_why() -> None:
    api, seen = BoltAPI(), []

    @api.websocket("/", max_message_size=1)
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        event = await websocket.receive()
        seen.append((event["type"], event["text"]))
        with pytest.raises(Exception, match="too big") as raised:
            await websocket.receive()
        seen.append(type(raised.value).__name__)

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int, reason: str) -> None:
        seen.append((code, reason))

    connection = Connection(api.as_asgi())
    connection.put("1", "12")
    assert await connection.end() == [ACCEPT, TOO_BIG]
    assert seen == [
        ("websocket.receive", "1"),
        (1009, "message too big"),
        "WebSocketDisconnected",
    ]
