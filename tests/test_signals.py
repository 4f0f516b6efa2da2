"""The Django signals of connections: each once, in order, and harmless to the connection."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.dispatch import Signal
from django.http import HttpResponse

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketException, observing
from bolt_ws.auth import JWTAuthentication
from bolt_ws.signals import websocket_connected, websocket_disconnected, websocket_refused
from tests.support import ACCEPT, TIMEOUT, Connection, close, make_token, serve, status, talk, text

SIGNALS = {
    "connected": websocket_connected,
    "disconnected": websocket_disconnected,
    "refused": websocket_refused,
}

Told = list[tuple[str, dict[str, Any]]]
Listen = Callable[..., Any]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Connect a receiver to a signal until the test has ended."""
    connected: list[tuple[Signal, Any, Any]] = []

    def connect(signal: Signal, receiver: Any, sender: Any = None) -> Any:
        signal.connect(receiver, sender=sender, weak=False)
        connected.append((signal, receiver, sender))
        return receiver

    yield connect
    for signal, receiver, sender in connected:
        signal.disconnect(receiver, sender=sender)


@pytest.fixture
def told(listen: Listen) -> Told:
    """What all three signals tell, in order."""
    found: Told = []

    def make(name: str) -> Any:
        async def receive(**named: Any) -> None:
            assert named.pop("signal") is SIGNALS[name]
            found.append((name, named))

        return receive

    for name, signal in SIGNALS.items():
        listen(signal, make(name))
    return found


def names(told: Told) -> list[str]:
    return [name for name, _ in told]


async def echo(websocket: WebSocket) -> None:
    async for message in websocket.iter_text():
        await websocket.send_text(message)


# Connected


async def explicitly(websocket: WebSocket) -> None:
    await websocket.accept()


async def at_first_use(websocket: WebSocket) -> None:
    await websocket.send_text("hello")


async def in_a_block(websocket: WebSocket) -> None:
    async with websocket:
        pass


async def not_at_all(websocket: WebSocket) -> None:
    pass


def in_a_thread(websocket: BlockingWebSocket) -> None:
    websocket.accept()


@pytest.mark.parametrize(
    ("handler", "auto_accept"),
    [
        (explicitly, None),
        (explicitly, False),
        (at_first_use, None),
        (in_a_block, None),
        (not_at_all, True),
        (in_a_thread, None),
    ],
)
async def test_whoever_accepts_it_is_told_once(handler: Any, auto_accept: Any, told: Told) -> None:
    api = BoltAPI()
    endpoint = api.websocket("/", auto_accept=auto_accept)(handler)
    await Connection(api.as_asgi()).end()
    assert names(told) == ["connected", "disconnected"]
    for _, named in told:
        assert named["sender"] is endpoint
        assert isinstance(named["websocket"], WebSocket)
    assert set(told[0][1]) == {"sender", "websocket"}


async def test_the_receiver_is_done_before_the_handler_goes_on(listen: Listen) -> None:
    async def greet(websocket: WebSocket, **named: Any) -> None:
        await websocket.send_text("from the receiver")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("from the handler")

    listen(websocket_connected, greet)
    sent = await Connection(serve(handler)).end()
    assert sent == [ACCEPT, text("from the receiver"), text("from the handler"), close()]


async def test_a_receiver_may_close(listen: Listen) -> None:
    async def leave(websocket: WebSocket, **named: Any) -> None:
        await websocket.close(4000, "not today")

    listen(websocket_connected, leave)
    assert await Connection(serve(echo)).end() == [ACCEPT, close(4000, "not today")]


async def test_a_sender_is_an_endpoint(listen: Listen) -> None:
    api, heard = BoltAPI(), []

    async def hear(sender: Any, websocket: WebSocket, **named: Any) -> None:
        heard.append(websocket.path)

    one, _ = api.websocket("/one", name="one")(echo), api.websocket("/two", name="two")(echo)
    listen(websocket_connected, hear, one)
    for path in ("/one", "/two"):
        await talk(api.as_asgi(), path)
    assert heard == ["/one"]


# Disconnected


async def test_it_says_how_it_ended_and_what_went_through(told: Told) -> None:
    connection = Connection(serve(echo))
    connection.put("abc", "é")
    connection.leave(1001, "bye")
    await connection.end()
    _, named = told[1]
    duration = named.pop("duration")
    assert isinstance(duration, float)
    assert 0 < duration < TIMEOUT
    del named["sender"], named["websocket"]
    assert named == {
        "code": 1001,
        "reason": "bye",
        "messages_received": 2,
        "bytes_received": 5,
        "messages_sent": 2,
        "bytes_sent": 5,
    }


async def test_the_duration_is_that_of_the_connection_and_not_of_its_handler(told: Told) -> None:
    goes_on = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000)
        await goes_on.wait()

    loop = asyncio.get_running_loop()
    began_at = loop.time()
    connection = Connection(serve(handler))
    for sent in (ACCEPT, close(4000)):
        assert await connection.next() == sent
    closed_after = loop.time() - began_at
    loop.call_later(0.05, goes_on.set)
    await connection.end()
    assert told[1][1]["duration"] <= closed_after


async def returns(websocket: WebSocket) -> None:
    await websocket.accept()


async def closes(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4001, "enough")


async def raises_a_close(websocket: WebSocket) -> None:
    await websocket.accept()
    raise WebSocketException(4002, "raised")


async def fails(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError("bug")


@pytest.mark.parametrize(
    ("handler", "code", "reason"),
    [
        (returns, 1000, ""),
        (closes, 4001, "enough"),
        (raises_a_close, 4002, "raised"),
        (fails, 1011, ""),
    ],
)
async def test_each_way_out_is_told_once(handler: Any, code: int, reason: str, told: Told) -> None:
    connection = Connection(serve(handler))
    await asyncio.gather(connection.end(), return_exceptions=True)
    assert names(told) == ["connected", "disconnected"]
    assert (told[1][1]["code"], told[1][1]["reason"]) == (code, reason)


async def test_a_cancellation_is_told_once(told: Told) -> None:
    connection = Connection(serve(echo))
    connection.put("x")
    assert await connection.next() == ACCEPT
    assert await connection.next() == text("x")
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert names(told) == ["connected", "disconnected"]
    assert told[1][1]["code"] == 1012


async def test_it_comes_after_on_close(listen: Listen) -> None:
    api, order = BoltAPI(), []

    async def hear(**named: Any) -> None:
        order.append("signal")

    endpoint = api.websocket("/")(echo)

    @endpoint.on_close
    async def on_close(websocket: WebSocket) -> None:
        order.append("on_close")

    listen(websocket_disconnected, hear)
    await talk(api.as_asgi(), "/", "x")
    assert order == ["on_close", "signal"]


# Refused


async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(404, "no such room")


async def closes_at_once(websocket: WebSocket) -> None:
    await websocket.close(4001, "no")


async def answers_otherwise(websocket: WebSocket) -> None:
    await websocket.send_denial_response(HttpResponse("gone", status=410))


async def fails_at_once(websocket: WebSocket) -> None:
    raise LookupError("bug")


@pytest.mark.parametrize("refuse", ["deny", "close"])
@pytest.mark.parametrize(
    ("handler", "refused"),
    [
        (rejects, (404, "not_found", "no such room")),
        (closes_at_once, (403, "rejected", "no")),
        (answers_otherwise, (410, "rejected", "The connection was not accepted")),
        (not_at_all, (403, "rejected", "The connection was not accepted")),
        (fails_at_once, (500, "internal_error", "Internal server error")),
    ],
)
async def test_a_handler_that_refuses_is_told_once(
    handler: Any, refused: tuple[int, str, str], refuse: Any, told: Told
) -> None:
    connection = Connection(serve(handler, refuse=refuse), deny=True)
    await asyncio.gather(connection.end(), return_exceptions=True)
    ((name, named),) = told
    assert name == "refused"
    refusal = named["refusal"]
    assert (refusal.status, refusal.code, refusal.detail) == refused


async def test_admission_that_refuses_is_told_after_the_answer(listen: Listen) -> None:
    api, seen = BoltAPI(), []
    endpoint = api.websocket("/", auth=[JWTAuthentication()])(echo)
    connection = Connection(api.as_asgi(), deny=True)

    async def hear(sender: Any, websocket: WebSocket, refusal: Any, **named: Any) -> None:
        seen.append((sender, websocket.path, refusal.code, connection.sent[0]["status"]))

    listen(websocket_refused, hear)
    await connection.end()
    assert seen == [(endpoint, "/", "not_authenticated", 401)]


async def test_an_unknown_path_has_no_sender(told: Told) -> None:
    assert await status(serve(echo), "/nowhere") == 404
    ((name, named),) = told
    assert (name, named["sender"], named["refusal"].code) == ("refused", None, "not_found")
    assert named["websocket"].path == "/nowhere"


async def test_a_client_that_leaves_before_accept_is_not_told_of(told: Told) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.wait_closed()

    connection = Connection(serve(handler))
    connection.leave()
    assert await connection.end() == []
    assert told == []


# Receivers


@pytest.mark.django_db(transaction=True)
async def test_a_plain_receiver_may_use_the_database(listen: Listen) -> None:
    def note(websocket: WebSocket, **named: Any) -> None:
        User.objects.create(username=f"{websocket.auth.user_id} {'code' in named}")

    listen(websocket_connected, note)
    listen(websocket_disconnected, note)
    await talk(serve(echo, auth=[JWTAuthentication()]), "/", query=f"token={make_token()}")
    names = [user.username async for user in User.objects.order_by("pk")]
    assert names == ["7 False", "7 True"]


@pytest.mark.parametrize("error", [LookupError("bug"), asyncio.CancelledError()])
async def test_what_a_receiver_raises_hurts_nobody(
    error: BaseException, listen: Listen, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(**named: Any) -> None:
        raise error

    for signal in SIGNALS.values():
        listen(signal, fail)
    assert await talk(serve(echo), "/", "x") == [ACCEPT, text("x")]
    assert await status(serve(echo), "/nowhere") == 404
    if isinstance(error, Exception):
        assert names(told) == ["connected", "disconnected", "refused"]
        assert caplog.text.count("LookupError: bug") == 3


async def test_a_receiver_that_hangs_is_given_up(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "RECEIVERS_TIMEOUT", 0.02)

    async def hang(**named: Any) -> None:
        await asyncio.Event().wait()

    for signal in SIGNALS.values():
        listen(signal, hang)
    assert await talk(serve(echo, "/room"), "/room", "x") == [ACCEPT, text("x")]
    assert await status(serve(echo), "/nowhere") == 404
    lines = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    took = "took over 0.02 s and was given up"
    assert lines == [
        f"signal websocket_connected of '/room' (echo) {took}",
        f"signal websocket_disconnected of '/room' (echo) {took}",
        f"signal websocket_refused of '/nowhere' (no endpoint) {took}",
    ]


async def test_a_timeout_of_the_handler_cuts_no_receiver_short(listen: Listen) -> None:
    order: list[str] = []
    goes_on = asyncio.Event()

    async def connected(**named: Any) -> None:
        await goes_on.wait()
        order.append("connected")

    async def disconnected(**named: Any) -> None:
        order.append("disconnected")

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await websocket.receive_text()
        await websocket.accept()  # it was accepted for the receive, so this does nothing
        order.append("handler")
        asyncio.get_running_loop().call_later(0.01, goes_on.set)

    listen(websocket_connected, connected)
    listen(websocket_disconnected, disconnected)
    assert await Connection(serve(handler)).end() == [ACCEPT, close()]
    assert order == ["handler", "connected", "disconnected"]


async def test_a_cancellation_cuts_no_receiver_short(listen: Listen) -> None:
    begun, goes_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hear(**named: Any) -> None:
        begun.set()
        await goes_on.wait()
        done.set()

    listen(websocket_disconnected, hear)
    connection = Connection(serve(returns))
    connection.start()
    await begun.wait()
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    goes_on.set()
    async with asyncio.timeout(TIMEOUT):
        await done.wait()


async def test_without_receivers_no_task_is_made(listen: Listen) -> None:
    api, made = BoltAPI(), []
    other = api.websocket("/other", name="other")(echo)
    api.websocket("/", name="this")(echo)

    async def hear(**named: Any) -> None:
        pass

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **options)
        made.append(task)
        return task

    def signals_sent() -> int:
        return [each.get_name() for each in made].count("bolt_ws signal")

    listen(websocket_connected, hear, other)
    asyncio.get_running_loop().set_task_factory(make)
    await talk(api.as_asgi(), "/", "x")
    assert signals_sent() == 0
    await talk(api.as_asgi(), "/other", "x")
    assert signals_sent() == 1
