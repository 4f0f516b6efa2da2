"""What waits for a connection whose server is busy: its order, its bounds, its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from bolt_ws import BoltAPI, WebSocket, WebSocketDisconnect, closing, outbox, room, ticker
from bolt_ws.rooms import care
from tests.rooms import support
from tests.rooms.support import (
    Gate,
    enter,
    hub_of_this_loop,
    make_chat,
    other_tasks,
    part,
    texts,
    turns,
    until,
    until_nobody_is_left,
)
from tests.support import (
    ACCEPT,
    GONE,
    TIMEOUT,
    Connection,
    Event,
    close,
    serve,
    text,
)

memory_layer = support.memory_layer

pytestmark = pytest.mark.usefixtures("memory_layer")

MANY = 1000


async def send(layer: InMemoryChannelLayer, *messages: str) -> None:
    """Send to the room "a", and wait until the members have what they can take."""
    for message in messages:
        await layer.group_send("a", {"type": "bolt_ws.message", "text": message})
    await turns(5)


async def make_busy(layer: InMemoryChannelLayer, gate: Gate) -> None:
    """Have a server wait with the message "busy"."""
    gate.shut()
    await send(layer, "busy")
    await asyncio.wait_for(gate.is_busy.wait(), TIMEOUT)


Script = Callable[[WebSocket], Awaitable[None]]


async def enter_with(script: Script, gate: Gate, **options: Any) -> Connection:
    """Return a member of the room "a", which runs `script` when its client sends something."""

    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        await websocket.receive_text()
        await script(websocket)

    return await enter(serve(handler, "/{name}", **options), "a", on_send=gate)


# Order


async def test_what_a_connection_sends_itself_comes_after_what_waits_for_it(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()
    sent: list[str] = []

    async def script(websocket: WebSocket) -> None:
        for message in ("own 1", "own 2"):
            await websocket.send_text(message)
            sent.append(message)
        await websocket.receive_text()

    member = await enter_with(script, gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "room 1")
    member.put("go")
    await turns(5)
    await send(memory_layer, "room 2")
    assert sent == []  # it waits as long as its message does
    gate.open()
    await until(lambda: len(texts(member)) == 5)
    assert texts(member) == ["busy", "room 1", "own 1", "room 2", "own 2"]
    assert sent == ["own 1", "own 2"]
    await part(member)


async def test_several_tasks_that_send_keep_their_order(memory_layer: InMemoryChannelLayer) -> None:
    gate = Gate()

    async def script(websocket: WebSocket) -> None:
        await asyncio.gather(*(websocket.send_text(f"own {number}") for number in range(10)))
        await websocket.receive_text()

    member = await enter_with(script, gate)
    await make_busy(memory_layer, gate)
    member.put("go")
    await turns(5)
    await send(memory_layer, "room")
    gate.open()
    expected = ["busy", *(f"own {number}" for number in range(10)), "room"]
    await until(lambda: len(texts(member)) == len(expected))
    assert texts(member) == expected
    await part(member)


async def test_a_server_that_is_not_busy_any_more_is_sent_to_directly(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()
    member = await enter(make_chat(), "a", on_send=gate)
    for round_ in ("1", "2", "3"):
        await make_busy(memory_layer, gate)
        await send(memory_layer, round_)
        gate.open()
        await until(lambda expected=round_: texts(member)[-1:] == [expected])
        await send(memory_layer, f"at once {round_}")
        assert texts(member)[-1] == f"at once {round_}"
    await part(member)


async def test_a_burst_to_a_server_that_always_waits_a_turn_is_not_too_much() -> None:
    async def wait_a_turn(event: Event) -> None:
        await asyncio.sleep(0)

    member = await enter(make_chat(), "a", on_send=wait_a_turn)
    expected = [str(number) for number in range(400)]
    await asyncio.gather(*(room("a").asend_text(message) for message in expected))
    await until(lambda: len(texts(member)) == 400 or member.terminal)
    assert texts(member) == expected
    await part(member)


# Overflow


async def test_close_is_what_a_client_gets_that_reads_too_slowly(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()
    chat = make_chat(outbox=3)
    slow, other = await enter(chat, "a", on_send=gate), await enter(chat, "a")
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1", "2", "3")
    assert room("a").local_members == 2
    await send(memory_layer, "4")
    gate.open()
    await slow.end()
    assert texts(slow) == ["busy"]
    assert slow.sent[-1] == close(1013, "reading too slowly")
    assert texts(other) == ["busy", "1", "2", "3", "4"]
    assert room("a").local_members == 1
    await part(other)


async def test_a_client_that_reads_nothing_any_more_is_let_go(
    memory_layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_TIMEOUT", 0.05)
    gate = Gate()
    slow = await enter(make_chat(outbox=1), "a", on_send=gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1", "2")
    await slow.end()  # though its server never takes the close
    assert slow.terminal == []
    await until_nobody_is_left()
    await until(lambda: not other_tasks())


async def test_a_direct_sender_that_waits_learns_of_the_overflow(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()
    raised: list[Any] = []

    async def script(websocket: WebSocket) -> None:
        try:
            await websocket.send_text("own")
        except WebSocketDisconnect as error:
            raised.append(error)
            raise

    member = await enter_with(script, gate, outbox=2)
    await make_busy(memory_layer, gate)
    member.put("go")
    await turns(5)
    await send(memory_layer, "1", "2", "3")
    await until(lambda: raised)
    gate.open()
    await member.end()
    assert member.sent[-1] == close(1013, "reading too slowly")


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        ("drop_oldest", ["busy", "own", "4", "5"]),
        ("drop_newest", ["busy", "1", "own", "2"]),
    ],
)
async def test_dropping_spares_what_the_connection_sends_itself(
    overflow: str, expected: list[str], memory_layer: InMemoryChannelLayer
) -> None:
    gate = Gate()

    async def script(websocket: WebSocket) -> None:
        await websocket.send_text("own")
        await websocket.receive_text()

    member = await enter_with(script, gate, outbox=2, overflow=overflow)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1")
    member.put("go")
    await turns(5)
    await send(memory_layer, "2", "3", "4", "5")
    gate.open()
    await until(lambda: len(texts(member)) == len(expected))
    assert texts(member) == expected
    await send(memory_layer, "6")  # it goes on
    assert texts(member)[-1] == "6"
    await part(member)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "close"])
async def test_what_is_dropped_is_counted_and_reported(
    overflow: str,
    memory_layer: InMemoryChannelLayer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ticker, "TICK", 0.01)
    monkeypatch.setattr(care, "REPORT_EVERY", 0.0)
    gate = Gate()
    api = BoltAPI()

    @api.websocket("/{name}", name="ticker", outbox=2, overflow=overflow)
    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        await websocket.receive_text()

    slow = await enter(api.as_asgi(), "a", on_send=gate)
    await make_busy(memory_layer, gate)
    with caplog.at_level(logging.WARNING, "bolt_ws"):
        await send(memory_layer, *map(str, range(5)))
        await until(lambda: "dropped" in caplog.text)
    # "close" gives up what waits, and takes no more
    assert "3 messages were dropped for clients that read too slowly" in caplog.text
    assert "ticker" in caplog.text
    caplog.clear()
    gate.open()
    await part(slow)
    assert "dropped" not in caplog.text  # once


async def test_the_last_drops_are_reported_when_all_have_gone(
    memory_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    slow = await enter(make_chat(outbox=1, overflow="drop_newest"), "a", on_send=gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1", "2", "3")
    gate.open()
    await part(slow)
    await until(lambda: "2 messages were dropped" in caplog.text)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_a_member_that_never_reads_neither_grows_nor_delays_another(
    overflow: str, memory_layer: InMemoryChannelLayer
) -> None:
    gate = Gate()
    chat = make_chat(outbox=16, overflow=overflow)
    slow, other = await enter(chat, "a", on_send=gate), await enter(chat, "a")
    await make_busy(memory_layer, gate)
    (waiting,) = [
        each._outbox for each in hub_of_this_loop().members_of("a") if each._outbox is not None
    ]
    most = 0
    for number in range(MANY):
        await room("a").asend_text(str(number))
        most = max(most, len(waiting._queue))
    assert most == 16
    assert texts(other) == ["busy", *map(str, range(MANY))]
    gate.open()
    await until(lambda: len(texts(slow)) == 17)
    kept = range(MANY - 16, MANY) if overflow == "drop_oldest" else range(16)
    assert texts(slow) == ["busy", *map(str, kept)]
    await part(slow, other)


async def test_the_limit_is_256_unless_the_endpoint_says_otherwise(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()
    member = await enter(make_chat(), "a", on_send=gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, *map(str, range(256)))
    gate.open()
    await until(lambda: len(texts(member)) == 257)
    await make_busy(memory_layer, gate)
    await send(memory_layer, *map(str, range(257)))
    gate.open()
    await member.end()
    assert member.sent[-1] == close(1013, "reading too slowly")


# Ends


async def test_a_direct_sender_that_is_cancelled_sends_nothing(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()

    async def script(websocket: WebSocket) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await websocket.send_text("too late")
        await websocket.send_text("later")
        await websocket.receive_text()

    member = await enter_with(script, gate)
    await make_busy(memory_layer, gate)
    member.put("go")
    await asyncio.sleep(0.05)
    await send(memory_layer, "room")
    gate.open()
    await until(lambda: len(texts(member)) == 3)
    assert texts(member) == ["busy", "later", "room"]
    await part(member)


async def test_a_close_comes_after_what_waits(memory_layer: InMemoryChannelLayer) -> None:
    gate = Gate()
    member = await enter_with(lambda websocket: websocket.close(4000, "bye"), gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1", "2")
    member.put("go")
    await turns(5)
    gate.open()
    sent = await member.end()
    assert texts(member) == ["busy", "1", "2"]
    assert sent[-1] == close(4000, "bye")


async def test_a_close_does_not_wait_for_ever_behind_what_the_client_does_not_read(
    memory_layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLOSE_PATIENCE", 0.05)
    stuck = asyncio.Event()

    async def hang(event: Event) -> None:
        if event.get("text") == "busy":
            stuck.set()
            await asyncio.Event().wait()

    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        await websocket.receive_text()

    member = await enter(serve(handler, "/{name}"), "a", on_send=hang)
    await send(memory_layer, "busy", "1")
    await asyncio.wait_for(stuck.wait(), TIMEOUT)
    member.put("go")
    assert await member.end() == [ACCEPT, text("joined"), close()]
    await until_nobody_is_left()


async def test_a_close_that_the_server_is_busy_with_is_not_sent_again(
    memory_layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLOSE_PATIENCE", 0.05)
    busy, closing = Gate(is_open=False), Gate(is_open=False)
    closes: list[Event] = []

    async def wait(event: Event) -> None:
        if event["type"] == "websocket.close":
            closes.append(event)
            await closing(event)
        elif event.get("text") == "busy":
            await busy(event)

    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        await websocket.receive_text()

    member = await enter(serve(handler, "/{name}"), "a", on_send=wait)
    await send(memory_layer, "busy")
    await asyncio.wait_for(busy.is_busy.wait(), TIMEOUT)
    member.put("go")
    await turns(5)
    busy.open()
    await asyncio.wait_for(closing.is_busy.wait(), TIMEOUT)
    await asyncio.sleep(0.15)
    closing.open()
    await member.end()
    assert len(closes) == 1


async def test_nothing_comes_after_a_close_that_waits(
    memory_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    member = await enter_with(lambda websocket: websocket.close(4000, "bye"), gate)
    await make_busy(memory_layer, gate)
    member.put("go")
    await turns(5)
    await send(memory_layer, "too late")
    gate.open()
    sent = await member.end()
    assert sent == [ACCEPT, text("joined"), text("busy"), close(4000, "bye")]
    assert "did not reach" not in caplog.text


async def test_a_handler_that_returns_leaves_nothing_unsent(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gate = Gate()

    async def script(websocket: WebSocket) -> None:
        return

    member = await enter_with(script, gate, outbox=3)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1", "2", "3")
    member.put("go")
    await turns(5)
    gate.open()
    sent = await member.end()
    assert texts(member) == ["busy", "1", "2", "3"]
    assert sent[-1] == close()
    await until_nobody_is_left()


async def test_a_handler_whose_server_stays_busy_ends_all_the_same(
    memory_layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_TIMEOUT", 0.05)
    gate = Gate()

    async def script(websocket: WebSocket) -> None:
        raise LookupError("bug")

    member = await enter_with(script, gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1")
    member.put("go")
    with pytest.raises(LookupError):
        await member.end()
    await until_nobody_is_left()
    await until(lambda: not other_tasks())


@pytest.mark.parametrize("error", GONE)
async def test_a_client_that_goes_while_messages_wait_ends_the_connection(
    error: Exception, memory_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()
    ended: list[Any] = []

    async def wait_and_fail(event: Event) -> None:
        if event.get("text") == "busy":
            await gone.wait()
            raise error

    async def script(websocket: WebSocket) -> None:
        try:
            await websocket.send_text("own")
        except WebSocketDisconnect as raised:
            ended.append(raised.code)
            raise

    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        await websocket.receive_text()
        await script(websocket)

    member = await enter(serve(handler, "/{name}"), "a", on_send=wait_and_fail)
    await send(memory_layer, "busy", "1", "2")
    member.put("go")
    await turns(5)
    gone.set()
    assert await member.end() == [ACCEPT, text("joined")]
    assert ended == [1006]
    assert "did not reach" not in caplog.text  # nobody's fault
    await until_nobody_is_left()


async def test_a_client_that_goes_wakes_a_handler_that_receives(
    memory_layer: InMemoryChannelLayer,
) -> None:
    gone = asyncio.Event()

    async def wait_and_fail(event: Event) -> None:
        if event.get("text") == "busy":
            await gone.wait()
            raise ConnectionResetError("gone")

    member = await enter(make_chat(), "a", on_send=wait_and_fail)
    await send(memory_layer, "busy")
    gone.set()
    assert await member.end() == [ACCEPT, text("joined")]
    await until_nobody_is_left()


async def test_a_failure_of_the_server_is_logged_and_nothing_hangs(
    memory_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = asyncio.Event()
    raised: list[BaseException] = []

    async def wait_and_fail(event: Event) -> None:
        if event.get("text") in ("busy", "own"):
            await go_on.wait()
            raise LookupError("the server broke")

    async def script(websocket: WebSocket) -> None:
        try:
            await websocket.send_text("own")
        except LookupError as error:
            raised.append(error)
        await websocket.receive_text()

    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        await websocket.receive_text()
        await script(websocket)

    member = await enter(serve(handler, "/{name}"), "a", on_send=wait_and_fail)
    await send(memory_layer, "busy", "1")
    member.put("go")
    await turns(5)
    await send(memory_layer, "2")
    go_on.set()
    await until(lambda: texts(member)[-1:] == ["2"])
    assert texts(member) == ["1", "2"]
    assert len(raised) == 1  # whoever sent it hears of it, and it is not logged besides
    assert caplog.text.count("A broadcast did not reach") == 1
    await part(member)


async def test_a_cancelled_connection_lets_go_of_all_that_waits(
    memory_layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_TIMEOUT", 0.05)
    gate = Gate()
    member = await enter(make_chat(), "a", on_send=gate)
    await make_busy(memory_layer, gate)
    await send(memory_layer, "1", "2")
    assert member.task is not None
    member.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await member.end()
    await until_nobody_is_left()
    await until(lambda: not other_tasks())
