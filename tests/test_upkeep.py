"""The once-a-second care of connections: each ends when its credential does."""

import asyncio
import contextvars
import logging
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnect, ticker, upkeep
from bolt_ws.auth import Authentication, Guard, Identity, JWTAuthentication
from bolt_ws.registry import Entry, _leaving, registry
from bolt_ws.testing import AsyncTestClient
from tests.identities import Clock, Named, eventually, listen, nothing_left, opened
from tests.support import Connection, close, make_token, serve, status, talk, text

clean = pytest.fixture(nothing_left, autouse=True)
EXPIRED = close(4401, "token expired")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def expiring(handler: Any = listen, seconds: float | None = 60, **options: Any) -> Any:
    return serve(handler, auth=[Named(seconds)], **options)


async def upkeep_ended() -> None:
    """Wait until nothing is looked at any more in this loop."""
    loop = asyncio.get_running_loop()
    assert not upkeep._upkeeps[loop].cares
    await eventually(lambda: ticker.ticker_of(loop)._timer is None)


def cared_for() -> int:
    """Count the connections of all loops that are looked at."""
    return sum(len(each) for each in upkeep._upkeeps.values())


# The end of a credential


async def test_a_connection_closes_when_its_credential_expires(clock: Clock) -> None:
    connection = await opened(expiring(), query="user=7")
    clock.forward(61)
    assert (await connection.end())[1:] == [EXPIRED]
    await upkeep_ended()


async def test_a_connection_stays_until_then(clock: Clock) -> None:
    async def echo(websocket: WebSocket) -> None:
        async for message in websocket.iter_text():
            await websocket.send_text(message)

    connection = Connection(expiring(echo), query="user=7")
    connection.put("one")
    assert (await connection.next())["type"] == "websocket.accept"
    assert await connection.next() == text("one")
    clock.forward(50)
    await asyncio.sleep(ticker.TICK * 4)
    connection.put("two")
    assert await connection.next() == text("two")
    clock.forward(20)
    assert (await connection.end())[-1] == EXPIRED


async def test_a_token_says_until_when(clock: Clock) -> None:
    application = serve(listen, auth=[JWTAuthentication()])
    connection = await opened(application, query=f"token={make_token()}")
    clock.forward(61)
    assert (await connection.end())[-1] == EXPIRED


async def test_the_leeway_counts(clock: Clock) -> None:
    application = serve(listen, auth=[JWTAuthentication(leeway=30)])
    token = make_token(exp=int(time.time()) - 10)
    connection = await opened(application, query=f"token={token}")
    await asyncio.sleep(ticker.TICK * 4)
    assert connection.terminal == []
    clock.forward(21)
    assert (await connection.end())[-1] == EXPIRED


async def test_what_the_handler_and_on_close_see(clock: Clock) -> None:
    seen: list[Any] = []
    api = BoltAPI(auth=[Named(60)])

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as error:
            seen.append(("handler", error.code, error.reason))
            raise

    @handler.on_close
    async def part(websocket: WebSocket, code: int, reason: str) -> str:
        seen.append(("on_close", code, reason))
        return "goodbye"

    connection = await opened(api.as_asgi(), query="user=7")
    clock.forward(61)
    assert (await connection.end())[1:] == [text("goodbye"), EXPIRED]
    assert seen == [("on_close", 4401, "token expired"), ("handler", 4401, "token expired")]


async def test_on_close_runs_in_the_context_of_its_connection(clock: Clock) -> None:
    which: contextvars.ContextVar[str] = contextvars.ContextVar("which", default="none")
    api = BoltAPI(auth=[Named(60)])
    seen: list[str] = []

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await listen(websocket)

    @handler.on_close
    async def part(websocket: WebSocket) -> None:
        seen.append(which.get())

    which.set("first")  # its connection starts the timer
    first = await opened(api.as_asgi(), query="user=7")
    which.set("second")
    second = await opened(api.as_asgi(), query="user=7")
    clock.forward(61)
    await asyncio.gather(first.end(), second.end())
    assert sorted(seen) == ["first", "second"]


async def test_the_timer_belongs_to_no_connection(clock: Clock) -> None:
    which: contextvars.ContextVar[str] = contextvars.ContextVar("which", default="none")
    which.set("a connection's")
    connection = await opened(expiring(), query="user=7")
    seen: list[str] = []
    clock_of_look = upkeep.wall_clock
    upkeep.wall_clock = lambda: (seen.append(which.get()), clock_of_look())[1]
    await eventually(lambda: bool(seen))
    upkeep.wall_clock = clock_of_look
    assert set(seen) == {"none"}
    connection.leave()
    await connection.end()


async def test_a_blocking_handler(clock: Clock) -> None:
    ends: list[Any] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        for _ in websocket:
            pass
        ends.append((websocket.close_code, websocket.close_reason))

    connection = await opened(expiring(handler), query="user=7")
    clock.forward(61)
    assert (await connection.end())[1:] == [EXPIRED]
    assert ends == [(4401, "token expired")]


async def test_a_blocking_handler_that_only_sends(clock: Clock) -> None:
    ended: list[int | None] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        pause = threading.Event()
        try:
            while not pause.wait(0.002):
                websocket.send_text("tick")
        finally:
            ended.append(websocket.close_code)

    connection = await opened(expiring(handler), query="user=7")
    clock.forward(61)
    assert (await connection.end())[-1] == EXPIRED
    assert ended == [4401]


@pytest.mark.django_db(transaction=True)
async def test_a_consumer_of_channels(clock: Clock) -> None:
    codes: list[int] = []

    class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    api = BoltAPI(auth=[Named(60)])
    api.add_websocket_route("/", Consumer)
    connection = await opened(api.as_asgi(), query="user=7")
    clock.forward(61)
    assert (await connection.end())[1:] == [EXPIRED]
    assert codes == [4401]


async def test_a_handler_that_does_not_look_is_not_waited_for(clock: Clock) -> None:
    busy = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await busy.wait()
        await websocket.send_text("too late")

    connection = await opened(expiring(handler), query="user=7")
    clock.forward(61)
    assert await connection.next() == EXPIRED
    await asyncio.sleep(ticker.TICK * 4)  # told once, whatever the handler does
    busy.set()
    assert (await connection.end())[1:] == [EXPIRED]


async def test_an_endpoint_may_opt_out(clock: Clock) -> None:
    connection = await opened(expiring(close_at_expiry=False), query="user=7")
    clock.forward(1000)
    await asyncio.sleep(ticker.TICK * 4)
    assert connection.terminal == []
    connection.leave()
    assert (await connection.end())[1:] == []


# Before accept


class Waits(Guard):
    """A guard that waits until time has passed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    async def has_permission(self, websocket: object) -> bool:
        self.clock.forward(61)
        return True


async def test_a_credential_that_expires_in_admission(clock: Clock) -> None:
    application = expiring(guards=[Waits(clock)])
    assert await status(application, query="user=7") == 401
    assert await talk(application, query="user=7") == [close(4401, "token_expired")]
    clock.wall = clock.steady = 0
    assert await status(expiring(guards=[Waits(clock)], close_at_expiry=False), query="user=7")


@pytest.mark.parametrize("deny", [True, False])
async def test_a_credential_that_expires_before_accept(clock: Clock, deny: bool) -> None:
    waiting, expired = asyncio.Event(), asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        waiting.set()
        await expired.wait()
        await websocket.accept()

    connection = Connection(expiring(handler), query="user=7", deny=deny)
    connection.start()
    await waiting.wait()
    clock.forward(61)
    first = await connection.next()
    assert first.get("status") == 401 if deny else first == close(4401, "token_expired")
    expired.set()
    await connection.end()
    assert len(connection.terminal) == 1


async def test_the_close_is_readable_where_refusals_are(clock: Clock) -> None:
    waiting = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        waiting.set()
        await asyncio.Event().wait()

    connection = Connection(expiring(handler, refuse="close"), query="user=7")
    connection.start()
    await waiting.wait()
    clock.forward(61)
    assert (await connection.next())["type"] == "websocket.accept"
    assert await connection.next() == EXPIRED
    assert connection.task is not None
    connection.task.cancel()
    await asyncio.wait([connection.task])


@pytest.mark.parametrize("expires_at", [0, -1, -math.inf, math.nan])
async def test_what_has_expired_gets_nowhere(expires_at: float) -> None:
    assert await status(serve(listen, auth=[Until(expires_at)])) == 401


@pytest.mark.parametrize("expires_at", [10**400, 10**30, 1e308, math.inf])
async def test_what_expires_in_a_thousand_years(expires_at: float) -> None:
    assert await status(serve(listen, auth=[Until(expires_at)])) == 101


async def test_what_is_no_time_refuses() -> None:
    connection = Connection(serve(listen, auth=[Until("tomorrow")]), deny=True)
    with pytest.raises(TypeError):
        await connection.end()
    assert connection.sent[0]["status"] == 500


class Until(Authentication):
    """A backend whose credential expires at a time."""

    def __init__(self, expires_at: Any) -> None:
        self.expires_at = expires_at

    async def authenticate(self, websocket: object) -> Identity:
        return Identity("7", expires_at=self.expires_at)


# Clocks


async def test_a_clock_that_is_set_back_gives_no_more_time(clock: Clock) -> None:
    connection = await opened(expiring(), query="user=7")
    clock.wall -= 3600
    clock.steady += 61
    assert (await connection.end())[-1] == EXPIRED


async def test_a_clock_that_is_set_forward_counts(clock: Clock) -> None:
    connection = await opened(expiring(), query="user=7")
    clock.wall += 61  # as after a sleep of the machine, in which the steady clock may stand still
    assert (await connection.end())[-1] == EXPIRED


# What goes wrong


async def test_a_slow_client_delays_nobody(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bolt_ws.closing.CLOSE_TIMEOUT", 0.3)

    async def hang(event: Any) -> None:
        if event["type"] == "websocket.close":
            await asyncio.Event().wait()

    application = expiring()
    slow = await opened(application, query="user=7", on_send=hang)
    others = [await opened(application, query="user=7") for _ in range(10)]
    clock.forward(61)
    started = time.monotonic()
    for each in others:
        assert (await each.end())[-1] == EXPIRED
    assert time.monotonic() - started < 0.3
    assert (await slow.end())[1:] == []  # its handler is woken all the same


async def test_a_close_that_fails_delays_nobody(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: Any) -> None:
        if event["type"] == "websocket.close":
            raise ValueError("no such close, please")

    application = expiring()
    broken = await opened(application, query="user=7", on_send=fail)
    other = await opened(application, query="user=7")
    clock.forward(61)
    assert (await other.end())[-1] == EXPIRED
    await broken.end()
    (record,) = [each for each in caplog.records if each.exc_info]
    assert record.getMessage() == "The connection '/' did not close with 4401"


async def test_an_exception_in_one_connections_care_stops_nothing(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await opened(expiring(), query="user=broken")
    other = await opened(expiring(), query="user=7")
    leave = Entry.leave

    def break_one(entry: Entry, departure: Any) -> None:
        if entry.user_id == "broken":
            raise LookupError("the care broke")
        leave(entry, departure)

    monkeypatch.setattr(Entry, "leave", break_one)
    clock.forward(61)
    assert (await other.end())[-1] == EXPIRED
    assert "Exception in the upkeep of the connection '/'" in caplog.text
    assert "LookupError: the care broke" in caplog.text
    monkeypatch.undo()
    broken.leave()
    await broken.end()


async def test_on_close_that_hangs_is_given_up(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bolt_ws.farewell.CLEANUP_TIMEOUT", 0.1)
    api = BoltAPI(auth=[Named(60)])
    handler = api.websocket("/")(listen)

    @handler.on_close
    async def hang(websocket: WebSocket) -> None:
        await asyncio.sleep(ticker.TICK * 4)
        tasks.append(len(_leaving))
        await asyncio.Event().wait()

    tasks: list[int] = []
    connection = await opened(api.as_asgi(), query="user=7")
    clock.forward(61)
    assert (await connection.end())[-1] == EXPIRED
    assert "took over 0.1 s" in caplog.text
    assert tasks == [1]  # and none more with each second


async def test_a_client_that_leaves_at_that_moment(clock: Clock) -> None:
    connections = [await opened(expiring(), query="user=7") for _ in range(50)]
    clock.forward(61)
    for connection in connections:
        connection.leave()
        await asyncio.sleep(0)
    for connection in connections:
        await connection.end()
        assert connection.terminal in ([], [EXPIRED])


async def test_it_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bolt_ws")
    connection = await opened(expiring(), query="user=7")
    clock.forward(61)
    await connection.end()
    (record,) = caplog.records
    assert record.getMessage().endswith(": token expired")


# Many, and many loops


async def test_a_thousand_in_one_tick(clock: Clock) -> None:
    application = expiring()
    connections = [await opened(application, query="user=7") for _ in range(1000)]
    assert len(registry) == 1000
    assert len(asyncio.all_tasks()) == 1001  # one of each, and the test's
    clock.forward(61)
    for connection in connections:
        assert (await connection.end())[-1] == EXPIRED
    await upkeep_ended()


def test_each_loop_has_its_own(clock: Clock) -> None:
    both_open = threading.Barrier(2)
    ends: list[Any] = []

    async def one() -> None:
        connection = await opened(expiring(), query="user=7")
        await asyncio.to_thread(both_open.wait, 5)
        if not ends:
            clock.forward(61)
        ends.append((await connection.end())[-1])
        await upkeep_ended()

    threads = [threading.Thread(target=asyncio.run, args=[one()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [EXPIRED, EXPIRED]
    assert cared_for() == 0


def test_a_loop_that_ends_takes_its_upkeep_with_it(clock: Clock) -> None:
    async def leave_open() -> None:
        await opened(expiring(), query="user=7")

    asyncio.run(leave_open())
    assert cared_for() == 0


def test_a_loop_that_is_closed_in_the_middle_is_forgotten(clock: Clock) -> None:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(opened(expiring(), query="user=7"))
    left = asyncio.all_tasks(loop)
    upkeep._upkeeps[loop].cares.clear()
    loop.close()

    async def another() -> None:
        other = await opened(expiring(), query="user=7")
        assert list(upkeep._upkeeps) == [asyncio.get_running_loop()]
        other.leave()
        await other.end()

    asyncio.run(another())
    for task in left:  # so that nobody says they were never ended
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert connection.task is not None
    connection.task.get_coro().close()


async def test_nothing_is_left_behind_of_what_a_test_client_looks_at(clock: Clock) -> None:
    async with (
        AsyncTestClient(expiring()) as client,
        client.websocket_connect("/?user=7") as websocket,
    ):
        clock.forward(61)
        with pytest.raises(WebSocketDisconnect) as raised:
            await websocket.receive_text()
        assert raised.value.code == 4401


@pytest.fixture(autouse=True)
def no_upkeep_of_another_test() -> Iterator[None]:
    yield
    for loop in [each for each in upkeep._upkeeps if each.is_closed()]:
        del upkeep._upkeeps[loop]
