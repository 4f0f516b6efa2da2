"""`@endpoint.on(...)`: what hand-written senders send to a room; the outbox options."""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    DeclarationError,
    Depends,
    Endpoint,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    room,
)
from bolt_ws.testing import AsyncTestClient
from tests.identities import eventually
from tests.rooms.members import hears, no_room_left, nothing_more, party
from tests.support import ACCEPT, TIMEOUT, Connection, close, text


async def send(group: str, kind: str = "chat.message", **more: Any) -> None:
    """Send to a group, as code that knows Channels only."""
    await get_channel_layer().group_send(group, {"type": kind, **more})


def passes_on(endpoint: Endpoint) -> None:
    """Have an endpoint send what it hears."""

    @endpoint.on("chat.message")
    async def chat_message(websocket: WebSocket, event: dict[str, Any], room: str) -> None:
        await websocket.send_json([room, event])


async def test_a_group_send_reaches_the_connections_in_that_room() -> None:
    async with party(passes_on) as opened:
        a, b = await opened.members(2, "news")
        elsewhere = await opened.connect("/lobby", "other")
        nowhere = await opened.connect()
        await send("news", text="hello", n=[1, None])
        expected = ["news", {"type": "chat.message", "text": "hello", "n": [1, None]}]
        for member in (a, b):
            assert await member.client.receive_json() == expected
        await nothing_more(a, b, elsewhere, nowhere)


async def test_it_is_told_which_room() -> None:
    async with party(passes_on) as opened:
        a = await opened.connect("/lobby", "one", "two")
        await send("two")
        await send("one")
        heard = [(await a.client.receive_json())[0] for _ in range(2)]
        assert sorted(heard) == ["one", "two"]


async def test_the_sender_and_the_message_that_bolt_ws_sends_are_heard_by_no_callback() -> None:
    async with party(passes_on) as opened:
        a = await opened.connect("/lobby", "news")
        await room("news").asend_text("hello")
        await hears(a, "hello")
        await nothing_more(a)


async def setting(websocket: WebSocket) -> str:
    return f"depends on {websocket.path}"


async def test_it_has_the_handlers_parameters() -> None:
    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("a")
        async def one(
            websocket: WebSocket,
            place: str,
            dependency: Annotated[str, Depends(setting)],
            event: dict[str, Any],
            limit: int = 5,
        ) -> None:
            await websocket.send_json([place, dependency, event["n"], limit])

        @endpoint.on("b")
        async def two(websocket: WebSocket) -> None:
            await websocket.send_text("without parameters")

        @endpoint.on("c")
        def three(websocket, room, event, place):  # type: ignore[no-untyped-def]
            assert isinstance(websocket, BlockingWebSocket)
            websocket.send_json([room, event["n"], place])

    async with party(declare) as opened:
        a = await opened.connect("/lobby?limit=7", "news")
        await send("news", "a", n=1)
        await send("news", "b")
        await send("news", "c", n=2)
        await hears(a, '["lobby","depends on /lobby",1,7]', "without parameters")
        await hears(a, '["news",2,"lobby"]')


async def test_a_parameter_that_is_missing_refuses_the_handshake() -> None:
    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("a")
        async def one(websocket: WebSocket, needed: int) -> None:
            pass

    async with party(declare) as opened:
        refused = await opened.client.assert_refused("/lobby", 422)
        assert "needed" in str(refused.json())
        await opened.connect("/lobby?needed=1")


async def test_messages_come_in_order_and_one_after_the_other() -> None:
    running: list[int] = []

    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("count")
        async def count(websocket: WebSocket, event: dict[str, Any]) -> None:
            running.append(1)
            await asyncio.sleep(0)
            assert len(running) == 1
            await websocket.send_json(event["n"])
            running.pop()

        @endpoint.on("plain")
        def plain(websocket: BlockingWebSocket, event: dict[str, Any]) -> None:
            websocket.send_json(event["n"])

    async with party(declare) as opened:
        a = await opened.connect("/lobby", "news")
        for number in range(50):
            await send("news", "plain" if number % 10 == 0 else "count", n=number)
        await hears(a, *map(str, range(50)))


async def test_it_runs_beside_the_handler() -> None:
    api = BoltAPI()
    heard = asyncio.Event()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.join("news")
        await websocket.send_text("joined")
        await heard.wait()

    @handler.on("chat.message")
    async def chat_message(websocket: WebSocket) -> None:
        heard.set()

    connection = Connection(api.as_asgi())
    assert [await connection.next(), await connection.next()] == [ACCEPT, text("joined")]
    await send("news")
    assert (await connection.end())[-1] == close()
    await no_room_left()


async def test_several_callbacks_for_one_type() -> None:
    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("a")
        async def one(websocket: WebSocket) -> None:
            await websocket.send_text("one")

        @endpoint.on("b")
        @endpoint.on("a")
        async def two(websocket: WebSocket) -> None:
            await websocket.send_text("two")

    async with party(declare) as opened:
        a = await opened.connect("/lobby", "news")
        await send("news", "a")
        await send("news", "b")
        await hears(a, "one", "two", "two")


async def test_it_holds_for_all_paths_of_a_function() -> None:
    api = BoltAPI()

    @api.websocket("/a")
    @api.websocket("/b/{place}")
    async def handler(websocket: WebSocket, place: str = "none") -> None:
        await websocket.join("news")
        await websocket.send_text("joined")
        async for _ in websocket:
            pass

    @handler.on("chat.message")
    async def chat_message(websocket: WebSocket, place: str = "none") -> None:
        await websocket.send_text(place)

    async with (
        AsyncTestClient(api) as client,
        client.websocket_connect("/a") as one,
        client.websocket_connect("/b/x") as two,
    ):
        for each in (one, two):
            assert await each.receive_text() == "joined"
        await send("news")
        assert [await one.receive_text(), await two.receive_text()] == ["none", "x"]


async def test_what_it_returns_is_not_sent() -> None:
    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("a")
        async def one(websocket: WebSocket) -> str:
            return "not sent"

    async with party(declare) as opened:
        a = await opened.connect("/lobby", "news")
        await send("news", "a")
        await nothing_more(a)


# Types that are not declared


@pytest.mark.parametrize("kind", ["unknown", "websocket.send", "close", "disconnect", "__call__"])
async def test_a_type_that_nobody_declared_is_logged_and_harmless(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with party(passes_on) as opened:
        a, b = await opened.members(2, "news")
        await send("news", kind, text="not sent", code=4000)
        await eventually(lambda: bool(caplog.records))
        await send("news", n=1)
        for member in (a, b):
            assert await member.client.receive_json() == ["news", {"type": "chat.message", "n": 1}]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bolt_ws", logging.WARNING)
    assert "'news'" in record.message
    assert repr(kind) in record.message


@pytest.mark.parametrize(
    "message",
    [
        {"text": "no type"},
        {"type": "bolt_ws.message"},
        {"type": "bolt_ws.message", "text": 5},
        {"type": "bolt_ws.message", "text": "x", "exclude": 5},
        {"type": "bolt_ws.count"},
        {"type": "bolt_ws.counted"},
        {"type": "bolt_ws.gap"},
        {"type": "bolt_ws.disconnect", "user": "7"},
        {"type": None},
        {"type": 5},
        {"type": ["a"]},
    ],
)
async def test_a_message_that_is_not_as_it_should_be_is_logged_and_harmless(
    message: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    gaps: list[Any] = []

    def declare(endpoint: Endpoint) -> None:
        passes_on(endpoint)

        @endpoint.on_gap
        async def gap(websocket: WebSocket) -> None:
            gaps.append(websocket)

    async with party(declare) as opened:
        a = await opened.connect("/lobby", "news", query={"user": "7"})
        await get_channel_layer().group_send("news", message)
        await eventually(lambda: bool(caplog.records))
        await send("news", n=1)
        assert await a.client.receive_json() == ["news", {"type": "chat.message", "n": 1}]
        await room("news").asend_text("as ever")
        await hears(a, "as ever")
    assert gaps == []


async def test_a_message_that_somebody_else_sends_as_bolt_ws_does() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news")
        await send("news", "bolt_ws.message", text="text")
        await send("news", "bolt_ws.message", bytes=b"bytes", exclude=[a.websocket.id])
        await hears(a, "text")
        await hears(b, "text", b"bytes")
        await nothing_more(a)


# Declarations


@pytest.mark.parametrize("kind", ["", "bolt_ws.x", "bolt_ws.message", 5, None, b"a"])
def test_a_type_that_cannot_be_is_an_error_at_declaration(kind: Any) -> None:
    api = BoltAPI()

    @api.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        pass

    with pytest.raises(DeclarationError, match=r"<Endpoint 'chat' at '/chat'>.*type of a message"):
        chat.on(kind)


def test_on_without_a_type_is_an_error_at_declaration() -> None:
    api = BoltAPI()

    @api.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        pass

    with pytest.raises(DeclarationError, match="type of a message"):

        @chat.on  # type: ignore[arg-type]
        async def one(websocket: WebSocket) -> None:
            pass


@pytest.mark.parametrize("declare", [lambda chat: chat.on("a"), lambda chat: chat.on_gap])
def test_a_callback_that_can_never_be_called_is_an_error_at_declaration(
    declare: Callable[..., Any],
) -> None:
    api = BoltAPI()

    @api.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        pass

    async def everything(*everything: Any) -> None:
        pass

    async def generator(websocket: WebSocket) -> Any:
        yield 1

    def wrong_kind(websocket: BlockingWebSocket) -> None:
        pass

    api.as_asgi()  # compiled before, or when it is served
    for wrong in (everything, generator, "no function", type):
        with pytest.raises(DeclarationError, match="chat"):
            declare(chat)(wrong)
    assert declare(chat)(wrong_kind) is wrong_kind


def test_a_callback_stays_what_it_was() -> None:
    api = BoltAPI()

    @api.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        pass

    async def heard(websocket: WebSocket) -> None:
        pass

    assert chat.on("a")(heard) is heard
    assert chat.on_gap(heard) is heard


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outbox": 0}, "outbox must be a number of messages, 1 or more, not 0"),
        ({"outbox": -1}, "outbox must be"),
        ({"outbox": True}, "outbox must be"),
        ({"outbox": 2.5}, "outbox must be"),
        ({"outbox": "256"}, "outbox must be"),
        ({"overflow": "drop"}, "overflow must be one of 'close', 'drop_oldest', 'drop_newest'"),
        ({"overflow": 1013}, "overflow must be one of"),
        ({"overflow": ["close"]}, "overflow must be one of"),
        ({"outbux": 5}, "unknown option 'outbux'; known are .*outbox, over_rate, overflow"),
    ],
)
def test_options_that_cannot_be(options: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=f"<Endpoint 'chat' at '/chat'>: {message}"):

        @BoltAPI().websocket("/chat", **options)
        async def chat(websocket: WebSocket) -> None:
            pass


# The end of a connection


@pytest.mark.parametrize("kind", ["fails", "fails.plainly"])
async def test_an_exception_in_a_callback_closes_and_is_logged(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = failing(BoltAPI())
    connections = [Connection(served) for _ in range(2)]
    for connection in connections:
        assert await connection.next() == ACCEPT
        assert await connection.next() == text("joined")
    await send("news", kind)
    for connection in connections:
        assert (await connection.end())[2:] == [close(1011)]
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 2
    for each in errors:
        assert each.exc_info is not None
        assert each.exc_info[0] is LookupError
    await no_room_left()


async def test_an_exception_in_one_callback_is_no_other_connections() -> None:
    api = BoltAPI()
    served = failing(api)
    one, two = Connection(served, query="fails=1"), Connection(served)
    for connection in (one, two):
        assert [await connection.next(), await connection.next()] == [ACCEPT, text("joined")]
    await send("news", "fails.for.one")
    assert (await one.end())[2:] == [close(1011)]
    assert await two.next() == text("heard")
    two.leave()
    await two.end()


def failing(api: BoltAPI) -> Any:
    """An endpoint with callbacks that end their connection in some way."""

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.join("news")
        await websocket.send_text("joined")
        async for _ in websocket:
            pass

    @handler.on("fails")
    async def fails(websocket: WebSocket) -> None:
        raise LookupError("bug")

    @handler.on("fails.plainly")
    def fails_plainly(websocket: BlockingWebSocket) -> None:
        raise LookupError("bug")

    @handler.on("fails.for.one")
    async def fails_for_one(websocket: WebSocket, fails: bool = False) -> None:
        if fails:
            raise LookupError("bug")
        await websocket.send_text("heard")

    @handler.on("refuses")
    async def refuses(websocket: WebSocket) -> None:
        raise WebSocketException(4000, "enough")

    @handler.on("closes")
    async def closes(websocket: WebSocket) -> None:
        await websocket.close(4001)

    @handler.on("closes.plainly")
    def closes_plainly(websocket: BlockingWebSocket) -> None:
        websocket.close(4002, "plainly")

    @handler.on("receives")
    async def receives(websocket: WebSocket) -> None:
        await websocket.close(4003)
        await websocket.receive_text()

    @handler.on("by.hand")
    async def by_hand(websocket: WebSocket) -> None:
        raise WebSocketDisconnect(1001)

    @handler.on("foreign")
    async def foreign(websocket: WebSocket) -> None:
        raise WebSocketDisconnect(1001, websocket=WebSocket.fake())

    return api.as_asgi()


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("refuses", close(4000, "enough")),
        ("closes", close(4001)),
        ("closes.plainly", close(4002, "plainly")),
        ("receives", close(4003)),
    ],
)
async def test_a_callback_that_ends_the_connection(
    kind: str, ending: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection(failing(BoltAPI()))
    assert [await connection.next(), await connection.next()] == [ACCEPT, text("joined")]
    await send("news", kind)
    assert (await connection.end())[2:] == [ending]
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    await no_room_left()


@pytest.mark.parametrize(("kind", "ending"), [("by.hand", close()), ("foreign", close(1011))])
async def test_a_disconnect_in_a_callback_that_is_not_the_connections_own(
    kind: str, ending: Any
) -> None:
    connection = Connection(failing(BoltAPI()))
    assert [await connection.next(), await connection.next()] == [ACCEPT, text("joined")]
    await send("news", kind)  # it ends the connection as it would in the handler
    assert (await connection.end())[2:] == [ending]


async def test_a_callback_that_sends_when_the_client_has_left_is_quiet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = BoltAPI()
    gone, ran = asyncio.Event(), asyncio.Event()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        async with websocket.join("news"):
            await websocket.send_text("joined")
            async for _ in websocket:
                pass
            gone.set()
            await ran.wait()

    @handler.on("late")
    async def late(websocket: WebSocket) -> None:
        await gone.wait()
        try:
            await websocket.send_text("too late")
        finally:
            ran.set()

    connection = Connection(api.as_asgi())
    assert [await connection.next(), await connection.next()] == [ACCEPT, text("joined")]
    await send("news", "late")
    connection.leave()
    await connection.end()
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert ran.is_set()


async def test_a_callback_is_cancelled_and_awaited_when_the_connection_ends() -> None:
    steps: list[str] = []
    started = asyncio.Event()

    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("wait")
        async def wait(websocket: WebSocket) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                steps.append("cancelled")

        @endpoint.on_close
        async def part(websocket: WebSocket) -> None:
            steps.append("on_close")

    async with party(declare) as opened:
        a = await opened.connect("/lobby", "news")
        await send("news", "wait")
        await send("news", "wait")
        async with asyncio.timeout(TIMEOUT):
            await started.wait()
        await a.client.close()
        assert steps == ["cancelled", "on_close"]


async def test_nothing_is_heard_after_the_end() -> None:
    heard: list[Any] = []

    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("a")
        async def one(websocket: WebSocket) -> None:
            heard.append(websocket)

    async with party(declare) as opened:
        a, b = await opened.members(2, "news")
        await a.client.close()
        await b.websocket.leave("news")
        await send("news", "a")
        c = await opened.connect("/lobby", "news")
        await send("news", "a")
        await eventually(lambda: bool(heard))
        assert heard == [c.websocket]


# Slow callbacks


def waits(release: asyncio.Event, heard: list[int]) -> Callable[[Endpoint], None]:
    def declare(endpoint: Endpoint) -> None:
        @endpoint.on("a")
        async def one(websocket: WebSocket, event: dict[str, Any]) -> None:
            heard.append(event["n"])
            await release.wait()

    return declare


async def test_a_callback_that_is_too_slow_closes_the_connection() -> None:
    release, heard = asyncio.Event(), []
    async with party(waits(release, heard), outbox=2) as opened:
        a = await opened.connect("/lobby", "news")
        await send("news", "a", n=0)
        await eventually(lambda: heard == [0])  # it waits, and so do two more
        for number in (1, 2):
            await send("news", "a", n=number)
        await nothing_more(a)
        await send("news", "a", n=3)
        await a.client.assert_closed(1013)
        assert a.client.close_reason
    assert heard == [0]
    await no_room_left()


@pytest.mark.parametrize(
    ("overflow", "expected"), [("drop_oldest", [0, 3, 4]), ("drop_newest", [0, 1, 2])]
)
async def test_messages_for_a_callback_that_is_too_slow_are_dropped(
    overflow: str, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    release, heard = asyncio.Event(), []
    options = {"outbox": 2, "overflow": overflow}
    async with party(waits(release, heard), **options) as opened:
        a = await opened.connect("/lobby", "news")
        await send("news", "a", n=0)
        await eventually(lambda: heard == [0])
        for number in range(1, 5):
            await send("news", "a", n=number)
        await nothing_more(a)
        release.set()
        await eventually(lambda: len(heard) == 3)
        assert heard == expected
        await room("news").asend_text("as ever")
        await hears(a, "as ever")
    dropped = [each.message for each in caplog.records if "dropped" in each.message]
    assert len(dropped) == 1
    assert "2 messages were dropped" in dropped[0]
    assert "<Endpoint 'endpoint' at '/{place}'>" in dropped[0]


# Hand-written consumers


class Written(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A consumer that is in a room's group."""

    groups = ["news"]

    async def bolt_ws_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event.get("text"), bytes_data=event.get("bytes"))

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(f"by hand: {event['n']}")


async def test_a_hand_written_consumer_hears_what_a_room_sends() -> None:
    async with party(passes_on) as opened:
        a = await opened.connect("/lobby", "news")
        async with AsyncTestClient(Written.as_asgi()).websocket_connect("/") as written:
            here = await a.websocket.join("news")
            await here.send_text("text")
            await here.send_bytes(b"bytes")
            await here.send_json({"n": 1})
            await room("news").asend_text("from elsewhere")
            await send("news", n=2)
            assert [await written.receive() for _ in range(5)] == [
                "text",
                b"bytes",
                '{"n":1}',
                "from elsewhere",
                "by hand: 2",
            ]
            await hears(a, "text", b"bytes", '{"n":1}', "from elsewhere")
            assert await a.client.receive_json() == ["news", {"type": "chat.message", "n": 2}]
            assert await here.count() == 1
            await here.leave()
            await room("news").asend_text("to the consumer alone")
            assert await written.receive_text() == "to the consumer alone"


async def test_the_form_of_what_a_room_sends() -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    async with party() as opened:
        a = await opened.connect("/lobby", "news")
        await layer.group_add("news", channel)
        here = await a.websocket.join("news")
        await here.send_text("text", exclude=a.websocket)
        await here.send_bytes(b"bytes")
        heard = [await layer.receive(channel) for _ in range(2)]
        await layer.group_discard("news", channel)
    (sender,) = {each.pop("sender") for each in heard}
    assert isinstance(sender, str)
    first, second = (each.pop("number") for each in heard)
    assert second == first + 1
    assert heard == [
        {"type": "bolt_ws.message", "text": "text", "exclude": [a.websocket.id]},
        {"type": "bolt_ws.message", "bytes": b"bytes"},
    ]
