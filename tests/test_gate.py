"""How many messages may come in a time: the token bucket, and what becomes of those over it."""

import asyncio
import contextlib
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
    bounded,
    gate,
    reader,
    upkeep,
)
from bolt_ws.bounds import Bounds
from bolt_ws.gate import Bucket, Gate, gate_for, pacer_for, size_of
from bolt_ws.testing import AsyncTestClient
from tests.identities import Clock, eventually, nothing_left, opened
from tests.support import ACCEPT, Connection, TellingConnection, close, serve, text
from tests.ticks import reader_tasks, ticks

clean = pytest.fixture(nothing_left, autouse=True)

TOO_FAST = close(4429, "rate limit exceeded")


class Steady:
    """The steady time as those see it who count messages: it passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 4096.0  # the same on any machine: sums of seconds round as their size says
        for module in (gate, bounded, reader):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    return Steady(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def turns() -> None:
    """Let all that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


# The bucket


def test_a_bucket_gives_its_burst_and_no_more(steady: Steady) -> None:
    bucket = Bucket(1.0, 3)
    assert [bucket.take(steady.now) for _ in range(5)] == [True, True, True, False, False]


def test_it_is_filled_at_its_rate(steady: Steady) -> None:
    bucket = Bucket(2.0, 3)
    for _ in range(3):
        bucket.take(steady.now)
    steady.forward(0.499)
    assert not bucket.take(steady.now)
    steady.forward(0.001)  # what was refused costs nothing
    assert bucket.take(steady.now)
    assert not bucket.take(steady.now)


def test_it_holds_its_burst_at_most_for_who_waits(steady: Steady) -> None:
    bucket = Bucket(1.0, 3)
    asked_at = steady.now
    steady.forward(1000)
    assert [bucket.take(asked_at) for _ in range(4)] == [True, True, True, False]


def test_what_was_there_before_it_was_asked_for_may_be_old(steady: Steady) -> None:
    bucket = Bucket(1.0, 1)
    steady.forward(10)  # the handler was busy
    assert [bucket.take(steady.now) for _ in range(12)] == [True] * 11 + [False]


def test_what_waited_is_no_longer_than_a_wait_ago(steady: Steady) -> None:
    bucket = Bucket(1.0, 1)
    steady.forward(10)
    asked_at = steady.now
    steady.forward(gate.WAITED * 2)
    assert bucket.take(asked_at)
    assert not bucket.take(steady.now)


def test_who_never_waits_gets_the_rate_and_no_more(steady: Steady) -> None:
    bucket = Bucket(10.0, 5)
    taken = 0
    for _ in range(1000):  # 10 s of a flood, each message 10 ms of work
        taken += bucket.take(steady.now)
        steady.forward(0.01)
    assert 100 <= taken <= 105


def test_settling_forgets_what_is_over(steady: Steady) -> None:
    bucket = Bucket(1.0, 2)
    steady.forward(10)
    bucket.settle()
    assert [bucket.take(steady.now) for _ in range(3)] == [True, True, False]
    bucket.settle()
    assert not bucket.take(steady.now)


def test_the_delay_is_the_time_to_the_next_token(steady: Steady) -> None:
    bucket = Bucket(4.0, 2)
    assert bucket.delay == 0.0
    bucket.take(steady.now)
    bucket.take(steady.now)
    assert bucket.delay == pytest.approx(0.25)
    steady.forward(0.2)
    assert bucket.delay == pytest.approx(0.05)
    steady.forward(100)
    assert bucket.delay == 0.0
    assert [bucket.take(steady.now) for _ in range(3)] == [True, True, False]


# The gate


def gate_of(**bounds: Any) -> tuple[Gate, list[Any]]:
    closed: list[Any] = []
    made = gate_for(Bounds(**bounds), lambda *why: closed.append(why))
    assert made is not None
    return made, closed


def message(data: str | bytes) -> dict[str, Any]:
    kind = "text" if isinstance(data, str) else "bytes"
    return {"type": "websocket.receive", kind: data}


def test_no_bound_no_gate() -> None:
    assert gate_for(Bounds(), print) is None
    assert pacer_for(Bounds(rate=1.0, burst=1)) is None
    assert gate_for(Bounds(rate=1.0, burst=1, over_rate="wait"), print) is None
    assert pacer_for(Bounds(rate=1.0, burst=1, over_rate="wait")) is not None


def test_it_closes_once_and_then_lets_only_the_end_through(steady: Steady) -> None:
    made, closed = gate_of(rate=1.0, burst=1)
    end = {"type": "websocket.disconnect", "code": 1000}
    passed = [made.admits(message("a"), steady.now) for _ in range(4)]
    assert passed == [True, False, False, False]
    assert made.admits(end, steady.now)
    assert closed == [(4429, "rate limit exceeded")]
    assert made.dropped == 0


def test_a_message_that_is_too_big_takes_no_token_and_closes_where_others_are_dropped(
    steady: Steady,
) -> None:
    made, closed = gate_of(max_message_size=3, rate=1.0, burst=1, over_rate="drop")
    assert made.admits(message(b"123"), steady.now)
    assert not made.admits(message("a"), steady.now)
    assert closed == []
    assert not made.admits(message("ää"), steady.now)
    assert closed == [(1009, "message too big")]
    assert made.dropped == 1


def test_with_wait_only_the_size_is_the_gates(steady: Steady) -> None:
    made, closed = gate_of(max_message_size=3, rate=1.0, burst=1, over_rate="wait")
    assert all(made.admits(message("a"), steady.now) for _ in range(10))
    assert closed == []


def test_events_that_hold_none_of_both_pass(steady: Steady) -> None:
    made, _ = gate_of(max_message_size=1, rate=1.0, burst=1)
    both: dict[str, Any] = {"type": "websocket.receive", "text": None, "bytes": None}
    assert made.admits(both, steady.now)
    assert made.admits({"type": "websocket.receive"}, steady.now)
    assert made.admits({"type": "websocket.receive", "text": None, "bytes": b"1"}, steady.now)
    assert not made.admits({"type": "websocket.receive", "text": "", "bytes": None}, steady.now)


def test_it_lets_go_of_who_closes(steady: Steady) -> None:
    made, closed = gate_of(max_message_size=1)
    made.forget()
    assert not made.admits(message("12"), steady.now)
    assert closed == []


def test_the_size_of_a_message() -> None:
    assert [size_of(each) for each in ("", "a", "é", "€", "😀", b"\xff\xff")] == [0, 1, 2, 3, 4, 2]
    assert size_of("\ud800") == 3  # half of a pair, as JSON can hold it


# Over the rate: close


def echo(seen: list[Any] | None = None) -> Callable[[WebSocket], Any]:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket.iter_text():
            if seen is not None:
                seen.append(each)
            await websocket.send_text(each)

    return handler


async def test_the_burst_passes_and_one_more_closes(steady: Steady) -> None:
    connection = await opened(serve(echo(), rate_limit="1/h", burst=5))
    connection.put(*"abcde")
    for each in "abcde":
        assert await connection.next() == text(each)
    connection.put("f", "g")
    assert (await connection.end())[6:] == [TOO_FAST]


async def test_without_a_burst_the_number_is(steady: Steady) -> None:
    connection = await opened(serve(echo(), rate_limit="3/m"))
    connection.put(*"abcd")
    assert (await connection.end())[1:] == [*map(text, "abc"), TOO_FAST]


async def test_time_gives_new_tokens_but_no_more_than_the_burst(steady: Steady) -> None:
    connection = await opened(serve(echo(), rate_limit="1/s", burst=2))
    connection.put("a", "b")
    for each in "ab":
        assert await connection.next() == text(each)
    await turns()
    steady.forward(1)
    connection.put("c")
    assert await connection.next() == text("c")
    await turns()
    steady.forward(1000)
    connection.put(*"def")
    assert (await connection.end())[4:] == [text("d"), text("e"), TOO_FAST]


async def test_a_client_does_not_pay_for_a_busy_handler(steady: Steady) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket.iter_text():
            seen.append(each)
            steady.forward(1.0)  # a second of work, and one message a second

    connection = await opened(serve(handler, rate_limit="1/s", burst=1))
    connection.put(*"abcdefgh")
    connection.leave()
    await connection.end()
    assert "".join(seen) == "abcdefgh"
    assert connection.terminal == []


async def test_a_flood_of_who_never_waits_is_over_the_rate(steady: Steady) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket.iter_text():
            seen.append(each)
            steady.forward(0.1)

    connection = await opened(serve(handler, rate_limit="1/s", burst=3))
    connection.put(*(str(n) for n in range(100)))
    assert (await connection.end())[1:] == [TOO_FAST]
    assert len(seen) == 3


async def test_a_flood_of_a_handler_that_does_not_receive_is_seen(clock: Clock) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.send_text("tick")
                await asyncio.sleep(0.001)

    connection = await opened(serve(handler, rate_limit="1/h", burst=3))
    connection.put(*"abcd")
    assert (await connection.end())[-1] == TOO_FAST


async def test_waiting_at_a_tick_settles_the_account(clock: Clock, steady: Steady) -> None:
    connection = await opened(serve(echo(), rate_limit="1/s", burst=1))
    steady.forward(100)
    await ticks()
    connection.put("a", "b")
    assert (await connection.end())[1:] == [text("a"), TOO_FAST]


async def test_it_is_settled_also_where_the_receive_then_gives_up(steady: Steady) -> None:
    seen: list[str] = []
    gave_up, go = asyncio.Event(), asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(TimeoutError):
            await websocket.receive_text(timeout=0.01)
        gave_up.set()
        await go.wait()
        async for each in websocket.iter_text():
            seen.append(each)

    connection = await opened(serve(handler, rate_limit="1/s", burst=1))
    await turns()
    steady.forward(100)
    upkeep._upkeeps[asyncio.get_running_loop()]._look()  # a tick, at which it receives
    await asyncio.wait_for(gave_up.wait(), 5)
    connection.put("a", "b")
    go.set()
    assert (await connection.end())[1:] == [TOO_FAST]
    assert seen == ["a"]


@pytest.mark.parametrize("iterates", [False, True])
async def test_a_close_by_another_task_wakes_who_waits(iterates: bool) -> None:
    seen: list[Any] = []

    async def receive(websocket: WebSocket) -> None:
        if iterates:
            seen.append([each async for each in websocket.iter_text()])
            return
        with pytest.raises(WebSocketDisconnected) as raised:
            await websocket.receive_text()
        seen.append(raised.value.code)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        task = asyncio.create_task(receive(websocket))
        await turns()
        await websocket.close(4000)
        await asyncio.wait([task])
        assert not task.cancelled()
        task.result()

    connection = Connection(serve(handler, rate_limit="5/s"))
    assert await connection.end() == [ACCEPT, close(4000)]
    assert seen == [[] if iterates else 4000]


async def test_a_blocking_handler_of_a_client_that_floods() -> None:
    seen: list[str] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        seen.extend(websocket.iter_text())

    connection = await opened(serve(handler, rate_limit="1/h", burst=3))
    connection.put(*"abcd")
    assert (await connection.end())[1:] == [TOO_FAST]
    assert seen == [*"abc"][: len(seen)]  # our own close gives nothing of the rest


async def test_a_test_client_sees_the_code() -> None:
    async with (
        AsyncTestClient(serve(echo(), rate_limit="2/h")) as client,
        client.websocket_connect("/") as websocket,
    ):
        for each in "abc":
            await websocket.send_text(each)
        assert [await websocket.receive_text() for _ in "ab"] == ["a", "b"]
        with pytest.raises(WebSocketDisconnect) as raised:
            await websocket.receive_text()
        assert (raised.value.code, raised.value.reason) == (4429, "rate limit exceeded")


# Drop


@pytest.mark.parametrize("blocking", [False, True])
async def test_what_is_over_the_rate_is_dropped_and_counted(steady: Steady, blocking: bool) -> None:
    seen: list[Any] = []
    held: list[Any] = []

    async def coroutine(websocket: WebSocket) -> None:
        held.append(websocket)
        await websocket.accept()
        async for each in websocket.iter_text():
            seen.append(each)

    def plain(websocket: BlockingWebSocket) -> None:
        held.append(websocket)
        websocket.accept()
        for each in websocket.iter_text():
            seen.append(each)

    handler: Any = plain if blocking else coroutine
    connection = await opened(serve(handler, rate_limit="1/s", burst=2, over_rate="drop"))
    connection.put(*"abcdef")
    await eventually(lambda: held[0].dropped == 4 and seen == ["a", "b"])
    steady.forward(1)
    connection.put("g", "h")
    await eventually(lambda: held[0].dropped == 5 and len(seen) == 3)
    connection.leave()
    await connection.end()
    assert seen == ["a", "b", "g"]
    assert connection.terminal == []
    assert held[0].messages_received == 3


async def test_dropped_in_the_middle_of_a_flood_of_a_reader(clock: Clock, steady: Steady) -> None:
    seen: list[str] = []
    receive = asyncio.Event()
    held: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        held.append(websocket)
        await websocket.accept()
        await receive.wait()
        async for each in websocket.iter_text():
            seen.append(each)

    connection = await opened(serve(handler, rate_limit="1/h", burst=2, over_rate="drop"))
    await ticks()
    assert len(reader_tasks()) == 1
    connection.put(*"abcd")
    await eventually(lambda: held[0].dropped == 2)
    assert held[0].arrivals == 4
    receive.set()
    await eventually(lambda: seen == ["a", "b"])
    connection.put("e")
    await eventually(lambda: held[0].dropped == 3)
    connection.put("f")
    await eventually(lambda: held[0].dropped == 4)
    connection.leave()
    await connection.end()
    assert seen == ["a", "b"]


async def test_a_reader_that_drops_while_the_handler_waits_lets_nothing_past(
    clock: Clock, steady: Steady
) -> None:
    seen: list[str] = []
    receive = asyncio.Event()
    held: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        held.append(websocket)
        await websocket.accept()
        assert await websocket.receive_text() == "token"
        await receive.wait()
        async for each in websocket.iter_text():
            seen.append(each)

    connection = await opened(serve(handler, rate_limit="1/h", burst=1, over_rate="drop"))
    connection.put("token")
    await ticks(4)
    assert len(reader_tasks()) == 1
    receive.set()
    await turns()
    for dropped in (1, 2, 3):
        connection.put("over")
        await eventually(lambda dropped=dropped: held[0].dropped == dropped)
    assert seen == []
    connection.leave()
    await connection.end()
    assert seen == []


async def test_nor_one_that_drops_while_nobody_waits_any_more(clock: Clock, steady: Steady) -> None:
    seen: list[str] = []
    go = [asyncio.Event(), asyncio.Event()]
    held: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        held.append(websocket)
        await websocket.accept()
        assert await websocket.receive_text() == "token"
        await go[0].wait()
        with contextlib.suppress(TimeoutError):
            await websocket.receive_text(timeout=0)
        await go[1].wait()
        async for each in websocket.iter_text():
            seen.append(each)

    connection = await opened(serve(handler, rate_limit="1/h", burst=1, over_rate="drop"))
    connection.put("token")
    await ticks(4)
    assert len(reader_tasks()) == 1
    go[0].set()
    await turns()
    connection.put("over")
    await eventually(lambda: held[0].dropped == 1)
    go[1].set()
    await turns()
    for dropped in (2, 3):
        connection.put("over")
        await eventually(lambda dropped=dropped: held[0].dropped == dropped)
    connection.leave()
    await connection.end()
    assert seen == []


# Wait


async def test_waiting_paces_and_loses_nothing() -> None:
    seen: list[str] = []
    sent = [str(n) for n in range(12)]
    started = time.monotonic()
    connection = await opened(serve(echo(seen), rate_limit="100/s", burst=2, over_rate="wait"))
    connection.put(*sent)
    await eventually(lambda: len(seen) == 12)
    assert time.monotonic() - started >= 10 / 100 - 0.001
    connection.leave()
    await connection.end()
    assert seen == sent


async def test_no_message_is_received_before_its_token(clock: Clock, steady: Steady) -> None:
    seen: list[str] = []
    connection = await opened(serve(echo(seen), rate_limit="50/s", burst=2, over_rate="wait"))
    connection.put(*"abcde")
    await asyncio.sleep(0.1)
    assert seen == ["a", "b"]
    steady.forward(0.021)
    await eventually(lambda: len(seen) >= 3)
    await asyncio.sleep(0.05)
    assert seen == ["a", "b", "c"]
    steady.forward(100)
    await eventually(lambda: len(seen) >= 5)
    connection.leave()
    await connection.end()
    assert "".join(seen) == "abcde"


@pytest.mark.parametrize("kind", ["text", "events", "blocking"])
async def test_each_way_to_receive_waits(clock: Clock, steady: Steady, kind: str) -> None:
    seen: list[Any] = []

    async def receives_text(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            seen.append(await websocket.receive_text())

    async def receives_events(websocket: WebSocket) -> None:
        await websocket.accept()
        while (event := await websocket.receive_event())["type"] == "websocket.receive":
            seen.append(event["text"])

    def blocks(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        seen.extend(websocket.iter_text())

    handler: Any = {"text": receives_text, "events": receives_events, "blocking": blocks}[kind]
    connection = await opened(serve(handler, rate_limit="50/s", burst=2, over_rate="wait"))
    connection.put(*"abc")
    await asyncio.sleep(0.1)
    steady.forward(10)
    await asyncio.sleep(0.05)
    connection.leave()
    await connection.end()
    assert "".join(seen) == "abc"


async def test_an_application_waits_too(steady: Steady) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            seen.append(event["text"])

    api = BoltAPI()
    api.add_websocket_route("/", application, rate_limit="50/s", burst=2, over_rate="wait")
    connection = await opened(api.as_asgi())
    connection.put(*"abc")
    await asyncio.sleep(0.05)
    assert seen == ["a", "b"]
    steady.forward(10)
    await eventually(lambda: seen == ["a", "b", "c"])
    connection.leave()
    await connection.end()


async def test_the_end_is_noticed_while_a_receive_waits_for_its_token(
    clock: Clock, steady: Steady
) -> None:
    seen: list[Any] = []
    held: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        held.append(websocket)
        await websocket.accept()
        try:
            while True:
                seen.append(await websocket.receive_text())
        except WebSocketDisconnect as error:
            seen.append(error.code)

    connection = await opened(serve(handler, rate_limit="50/s", burst=1, over_rate="wait"))
    connection.put(*"abc")
    await ticks()
    assert seen == ["a"]
    assert not held[0].is_receiving
    connection.leave(1001)
    await eventually(lambda: held[0].close_code == 1001)
    await asyncio.sleep(0.05)
    assert seen == ["a"]  # what was left behind is due no sooner
    steady.forward(0.021)
    await eventually(lambda: seen == ["a", "b"])
    steady.forward(1)
    await connection.end()
    assert seen == ["a", "b", "c", 1001]


@pytest.mark.parametrize("server", [Connection, TellingConnection])
@pytest.mark.parametrize("is_blocking", [False, True])
async def test_an_end_behind_which_nothing_is_left_waits_for_no_token(
    server: type[Connection], is_blocking: bool
) -> None:
    seen: list[Any] = []

    async def coroutine(websocket: WebSocket) -> None:
        await websocket.accept()
        async for each in websocket.iter_text():
            seen.append(each)
        seen.append("after the loop")

    def plain(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        seen.extend(websocket.iter_text())
        seen.append("after the loop")

    handler: Any = plain if is_blocking else coroutine
    connection = server(serve(handler, rate_limit="1/h", over_rate="wait"))
    assert await connection.next() == ACCEPT
    connection.put("a")
    await eventually(lambda: seen == ["a"] or is_blocking)
    await turns()
    connection.leave(1001)
    upkeep._upkeeps[asyncio.get_running_loop()]._look()  # a tick
    await connection.end()
    assert seen == ["a", "after the loop"]


async def test_so_is_our_own_close(steady: Steady) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        asyncio.get_running_loop().call_later(0.01, lambda: held.append(start(websocket)))
        try:
            while True:
                seen.append(await websocket.receive_text())
        except WebSocketDisconnect as error:
            seen.append((type(error).__name__, error.code))

    def start(websocket: WebSocket) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(websocket.close(4000))

    held: list[Any] = []
    connection = await opened(serve(handler, rate_limit="1/h", burst=1, over_rate="wait"))
    connection.put(*"abc")
    assert (await connection.end())[1:] == [close(4000)]
    assert seen == ["a", ("WebSocketDisconnected", 4000)]


async def test_a_receive_with_a_timeout_waits_no_longer_for_its_token(steady: Steady) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        seen.append(await websocket.receive_text(timeout=5))
        with pytest.raises(TimeoutError, match=r"no message came within 0\.01 seconds"):
            await websocket.receive_text(timeout=0.01)
        steady.forward(3600)
        seen.append(await websocket.receive_text(timeout=5))

    connection = Connection(serve(handler, rate_limit="1/h", burst=1, over_rate="wait"))
    connection.put(*"abc")
    assert await connection.end() == [ACCEPT, close()]
    assert seen == ["a", "b"]


async def test_a_cancelled_wait_takes_no_token(steady: Steady) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        seen.append(await websocket.receive_text())
        for _ in range(3):
            receiver = asyncio.create_task(websocket.receive_text())
            await turns()
            receiver.cancel()
            await asyncio.wait([receiver])
        steady.forward(3600)
        seen.append(await websocket.receive_text())

    connection = Connection(serve(handler, rate_limit="1/h", burst=1, over_rate="wait"))
    connection.put(*"abc")
    await connection.end()
    assert seen == ["a", "b"]
