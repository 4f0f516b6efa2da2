"""Having users leave, from anywhere."""

import asyncio
import gc
import logging
import threading
import uuid
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path as url

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    WebSocket,
    WebSocketState,
    adisconnect_user,
    adisconnect_where,
    disconnect_user,
    disconnect_where,
)
from bolt_ws import registry as registry_module
from bolt_ws.auth import AllowAny, Authentication, Guard, Identity
from bolt_ws.registry import Registry, registry
from bolt_ws.testing import TestClient
from tests.identities import Named, eventually, listen, nothing_left, opened
from tests.support import Connection, close, serve, talk, text

clean = pytest.fixture(nothing_left, autouse=True)
GO = close(4401)


@pytest.fixture
def application() -> Any:
    return serve(listen, "/{room}", auth=[Named()], guards=[AllowAny()])


async def ended(*connections: Connection) -> list[Any]:
    """Return what each connection ended with."""
    return [(await connection.end())[-1] for connection in connections]


async def left(*connections: Connection) -> None:
    """See that none of the connections was told, and end them."""
    await asyncio.sleep(0.02)
    for connection in connections:
        assert connection.terminal == []
        connection.leave()
        await connection.end()


# Who is told


async def test_all_connections_of_a_user_and_nobody_elses(application: Any) -> None:
    seven = [await opened(application, f"/{room}", query="user=7") for room in "ab"]
    others = [await opened(application, "/a", query=query) for query in ("user=8", "user=77", "")]
    assert disconnect_user("7") == 2
    assert await ended(*seven) == [GO, GO]
    await left(*others)


async def test_code_and_reason(application: Any) -> None:
    connection = await opened(application, "/a", query="user=7")
    assert disconnect_user("7", code=4010, reason="logged out") == 1
    assert await ended(connection) == [close(4010, "logged out")]


@pytest.mark.parametrize("user_id", ["7", 7, uuid.UUID(int=7), "\N{SNOWMAN}"])
async def test_ids_are_compared_as_text(application: Any, user_id: Any) -> None:
    connection = await opened(application, "/a", query=f"user={quote(str(user_id))}")
    assert disconnect_user(user_id) == 1
    assert await ended(connection) == [GO]


@pytest.mark.parametrize("call", [disconnect_user, adisconnect_user])
async def test_a_user_in_place_of_the_id_is_an_error(call: Any) -> None:
    # As text it would be the name, which is nobody's id, or worse, somebody else's.
    for user in (User(pk=7, username="7"), None):
        with pytest.raises(TypeError, match="expected a user's id"):
            await awaited(call(user))


@pytest.mark.parametrize("code", [1005, 999, 5000, "4401"])
async def test_a_code_that_cannot_be_sent(application: Any, code: Any) -> None:
    connection = await opened(application, "/a", query="user=7")
    with pytest.raises(ValueError, match="close code"):
        disconnect_user("7", code)
    with pytest.raises(ValueError, match="close code"):
        disconnect_where(lambda websocket: True, code)
    with pytest.raises(ValueError, match="reason of 124 bytes"):
        disconnect_user("7", reason="x" * 124)
    await left(connection)


async def test_nobody_is_there() -> None:
    assert disconnect_user("7") == 0
    assert disconnect_where(lambda websocket: True) == 0
    assert await adisconnect_user("7") == 0
    assert await adisconnect_where(lambda websocket: True) == 0


async def test_by_any_condition(application: Any) -> None:
    mine = await opened(application, "/a", query="user=7")
    anonymous = await opened(application, "/a")
    other = await opened(application, "/b", query="user=7")
    assert disconnect_where(lambda websocket: websocket.path == "/a", 4020, "closed") == 2
    assert await ended(mine, anonymous) == [close(4020, "closed")] * 2
    await left(other)


async def test_a_condition_that_raises_tells_nobody(application: Any) -> None:
    connections = [await opened(application, "/a", query=f"user={n}") for n in range(3)]

    def condition(websocket: WebSocket) -> bool:
        return bool(websocket.context["user_id"] == "0" or websocket.context["no such item"])

    with pytest.raises(KeyError, match="no such item"):
        disconnect_where(condition)
    await left(*connections)


async def test_a_condition_that_raises_tells_nobody_who_is_being_admitted(application: Any) -> None:
    gate = Gate()
    entering = Connection(serve(listen, auth=[Named()], guards=[gate]), query="user=8")
    entering.start()
    await gate.reached.wait()
    open_one = await opened(application, "/a", query="user=7")

    def condition(websocket: WebSocket) -> bool:
        if websocket.context.user_id == "7":
            raise LookupError("oh")
        return True

    with pytest.raises(LookupError, match="oh"):
        disconnect_where(condition)
    gate.open.set()
    assert (await entering.next())["type"] == "websocket.accept"
    await left(entering, open_one)


async def test_told_twice_is_closed_once(application: Any) -> None:
    connection = await opened(application, "/a", query="user=7")
    assert disconnect_user("7", 4001) == 1
    assert disconnect_user("7", 4002) == 1
    assert (await connection.end())[1:] == [close(4001)]
    assert disconnect_user("7") == 0


# From where


async def awaited(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result


@pytest.mark.parametrize(
    "call",
    [
        lambda: disconnect_user("7"),
        lambda: adisconnect_user("7"),
        lambda: disconnect_where(lambda websocket: True),
        lambda: adisconnect_where(lambda websocket: True),
        lambda: asyncio.to_thread(disconnect_user, "7"),
        lambda: asyncio.to_thread(disconnect_where, lambda websocket: True),
        lambda: asyncio.to_thread(asyncio.run, adisconnect_user("7")),
    ],
)
async def test_from_a_coroutine_a_thread_and_another_loop(
    application: Any, call: Callable[[], Any]
) -> None:
    connection = await opened(application, "/a", query="user=7")
    assert await awaited(call()) == 1
    assert await ended(connection) == [GO]


def logout(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(disconnect_user(7, reason="logged out")))


async def alogout(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await adisconnect_user(7, reason="logged out")))


urlpatterns = [url("logout", logout), url("alogout", alogout)]


@override_settings(ROOT_URLCONF=__name__)
def test_from_a_view(application: Any) -> None:
    with TestClient(application) as client:
        for view in ("/logout", "/alogout"):
            with client.websocket_connect("/a?user=7") as websocket:
                assert Client().get(view).content == b"1"
                websocket.assert_closed(4401, "logged out")


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.django_db(transaction=True)
async def test_from_a_view_of_an_asgi_server(application: Any) -> None:
    for view in ("/logout", "/alogout"):
        connection = await opened(application, "/a", query="user=7")
        assert (await AsyncClient().get(view)).content == b"1"
        assert await ended(connection) == [close(4401, "logged out")]


@pytest.mark.parametrize("is_async", [True, False])
async def test_from_the_users_own_handler(is_async: bool) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.receive_text()
        await adisconnect_user(websocket.context.user_id)
        async for message in websocket.iter_text():
            raise AssertionError(message)

    def blocking(websocket: BlockingWebSocket) -> None:
        websocket.receive_text()
        disconnect_user(websocket.context.user_id)
        for message in websocket:
            raise AssertionError(message)

    application = serve(handler if is_async else blocking, auth=[Named()])
    connection = Connection(application, query="user=7")
    connection.put("go")
    assert await ended(connection) == [GO]


async def test_from_on_close() -> None:
    api = BoltAPI(auth=[Named()])
    endpoint = api.websocket("/")(listen)

    @endpoint.on_close
    async def part(websocket: WebSocket) -> None:  # whoever closes one tab closes all
        await adisconnect_user(websocket.context.user_id)

    tabs = [await opened(api.as_asgi(), query="user=7") for _ in range(3)]
    tabs[0].leave()
    await tabs[0].end()
    assert await ended(*tabs[1:]) == [GO, GO]


def test_connections_of_several_loops(application: Any) -> None:
    opened_all = threading.Barrier(4)
    ends: list[Any] = []

    async def one() -> None:
        connection = await opened(application, "/a", query="user=7")
        await asyncio.to_thread(opened_all.wait, 5)
        ends.extend(await ended(connection))

    threads = [threading.Thread(target=asyncio.run, args=[one()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    opened_all.wait(5)
    assert disconnect_user("7") == 3
    for thread in threads:
        thread.join()
    assert ends == [GO] * 3


# How it meets them


async def test_a_blocking_handler() -> None:
    ends: list[Any] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        ends.extend([websocket.recv(), websocket.close_code])

    connection = await opened(serve(handler, auth=[Named()]), query="user=7")
    disconnect_user("7")
    assert await ended(connection) == [GO]
    assert ends == [None, 4401]


async def test_a_handler_that_only_sends() -> None:
    async def handler(websocket: WebSocket) -> None:
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.001)

    connection = await opened(serve(handler, auth=[Named()]), query="user=7")
    disconnect_user("7")
    sent = await connection.end()
    assert sent[-1] == GO
    assert sent.count(GO) == 1


async def test_on_close_and_its_last_message() -> None:
    seen: list[Any] = []
    api = BoltAPI(auth=[Named()])
    endpoint = api.websocket("/")(listen)

    @endpoint.on_close
    def part(websocket: BlockingWebSocket, code: int, reason: str) -> str:
        seen.append((code, reason))
        return "goodbye"

    connection = await opened(api.as_asgi(), query="user=7")
    disconnect_user("7", reason="go")
    assert (await connection.end())[1:] == [text("goodbye"), close(4401, "go")]
    assert seen == [(4401, "go")]


class Gate(Guard):
    """A guard that waits."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def has_permission(self, websocket: object) -> bool:
        self.reached.set()
        await self.open.wait()
        return True


class Asking(Authentication):
    """A backend that has checked the credential, and waits."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def authenticate(self, websocket: Any) -> Identity:
        await self.gate.has_permission(websocket)
        return Identity("7")


ORDERS: dict[str, Callable[[], int]] = {
    "user": lambda: disconnect_user("7", 4010, "go"),
    "where": lambda: disconnect_where(lambda ws: ws.context.user_id == "7", 4010, "go"),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("step", ["auth", "guards"])
async def test_nobody_slips_through_while_being_admitted(step: str, order: str) -> None:
    gate = Gate()
    auth = [Asking(gate)] if step == "auth" else [Named()]
    guards = [AllowAny()] if step == "auth" else [gate]
    connection = Connection(serve(listen, auth=auth, guards=guards), query="user=7", deny=True)
    connection.start()
    await gate.reached.wait()
    assert ORDERS[order]() == 0
    gate.open.set()
    start, body = await connection.end()
    assert start["status"] == 401
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    assert body["body"] == b'{"detail":"go","code":"disconnected"}'


async def test_others_are_admitted_meanwhile() -> None:
    gate = Gate()
    connection = Connection(serve(listen, auth=[Named()], guards=[gate]), query="user=8")
    connection.start()
    await gate.reached.wait()
    assert [order() for order in ORDERS.values()] == [0, 0]
    gate.open.set()
    assert (await connection.next())["type"] == "websocket.accept"
    await left(connection)


async def test_a_condition_that_raises_in_admission_refuses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    connection = Connection(serve(listen, auth=[Named()], guards=[gate]), query="user=8", deny=True)
    connection.start()
    await gate.reached.wait()
    disconnect_where(lambda websocket: websocket.context["no such item"])
    gate.open.set()
    assert (await connection.end())[0]["status"] == 401
    assert "KeyError: 'no such item'" in caplog.text


@pytest.mark.parametrize("deny", [True, False])
async def test_a_connection_that_is_not_accepted_yet_is_refused(deny: bool) -> None:
    waiting = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        waiting.set()
        await asyncio.sleep(0.02)
        await websocket.accept()

    connection = Connection(serve(handler, auth=[Named()]), query="user=7", deny=deny)
    connection.start()
    await waiting.wait()
    assert disconnect_user("7", 4010, "go") == 1
    sent = await connection.end()
    if deny:
        assert sent[0]["status"] == 401
        assert len(connection.terminal) == 1
    else:
        assert sent == [close(4401, "disconnected")]


async def test_with_readable_refusals_its_code_comes_through() -> None:
    waiting = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        waiting.set()
        await asyncio.sleep(0.02)
        await websocket.accept()

    connection = Connection(serve(handler, auth=[Named()], refuse="close"), query="user=7")
    connection.start()
    await waiting.wait()
    disconnect_user("7", 4010, "go")
    assert await ended(connection) == [close(4010, "go")]


async def test_a_denial_response_is_not_disturbed() -> None:
    started, told = asyncio.Event(), asyncio.Event()

    async def parts() -> Any:
        yield "one"
        started.set()
        await told.wait()
        await asyncio.sleep(0.01)
        yield "two"

    async def handler(websocket: WebSocket) -> None:
        await websocket.send_denial_response(StreamingHttpResponse(parts(), status=402))

    connection = Connection(serve(handler, auth=[Named()]), query="user=7", deny=True)
    connection.start()
    await started.wait()
    assert disconnect_user("7") == 1
    told.set()
    sent = await connection.end()
    assert b"".join(each.get("body", b"") for each in sent) == b"onetwo"


async def test_a_slow_client_keeps_nobody_waiting(
    application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bolt_ws.closing.CLOSE_TIMEOUT", 0.1)

    async def hang(event: Any) -> None:
        if event["type"] == "websocket.close":
            await asyncio.Event().wait()

    slow = await opened(application, "/a", query="user=7", on_send=hang)
    other = await opened(application, "/a", query="user=7")
    assert await adisconnect_user("7") == 2
    assert await ended(other) == [GO]
    assert (await slow.end())[1:] == []


async def test_a_close_that_fails_is_logged(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: Any) -> None:
        if event["type"] == "websocket.close":
            raise ValueError("no such close, please")

    connection = await opened(application, "/a", query="user=7", on_send=fail)
    disconnect_user("7")
    await connection.end()
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR] == [
        "The connection '/a' did not close with 4401"
    ]


# What is kept


async def test_every_way_out_leaves_the_registry(application: Any) -> None:
    async def fail(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ValueError("on purpose")

    class Never(Guard):
        async def has_permission(self, websocket: object) -> bool:
            return False

    await talk(application, "/a", query="user=7")
    await talk(serve(listen, auth=[Named()], guards=[Never()]), query="user=7")
    with pytest.raises(ValueError, match="on purpose"):
        await talk(serve(fail, auth=[Named()]), query="user=7")
    cancelled = await opened(application, "/a", query="user=7")
    assert len(registry) == 1
    assert cancelled.task is not None
    cancelled.task.cancel()
    await asyncio.wait([cancelled.task])
    assert len(registry) == 0
    assert registry._by_user == {}
    await eventually(lambda: not registry_module._leaving)


async def test_a_connection_that_was_told_is_freed_without_the_collector() -> None:
    alive: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        alive.append(weakref.ref(websocket))
        await listen(websocket)

    application = serve(handler, auth=[Named(60)])
    connection = await opened(application, query="user=7")
    gc.collect()
    gc.disable()
    try:
        disconnect_user("7")
        await connection.end()
        await asyncio.sleep(0)
        assert alive[0]() is None
    finally:
        gc.enable()


async def test_a_loop_that_is_closed_is_nobody(application: Any) -> None:
    class Closed:
        def call_soon_threadsafe(self, *args: Any) -> None:
            raise RuntimeError("Event loop is closed")

    connection = await opened(application, "/a", query="user=7")
    (entry,) = registry._by_user["7"]
    loop, entry.loop = entry.loop, Closed()  # type: ignore[assignment]
    assert disconnect_user("7") == 0
    entry.loop = loop
    await left(connection)


def test_the_end_of_a_connection_waits_for_no_lock() -> None:
    own = Registry()

    async def never(departure: Any) -> None: ...

    async def entered() -> registry_module.Entry:
        websocket: Any = SimpleNamespace(auth=Identity("7"), path="/")
        entry = registry_module.Entry(websocket, never)
        own.enter(entry)
        own.admit(entry)
        return entry

    one, other = asyncio.run(entered()), asyncio.run(entered())
    # As the garbage collector has it, which ends connections in whoever holds the lock.
    with own._lock:
        in_time = threading.Thread(target=own.discard, args=[one], daemon=True)
        in_time.start()
        in_time.join(5)
        assert not in_time.is_alive()
    assert own.tell_where(lambda websocket: True, None) == 0  # type: ignore[arg-type]
    assert own._by_user == {"7": {other}}
    with own._locked():
        own.discard(other)
    assert own._by_user == {}  # at once, and not at the next call


def test_many_threads_at_once() -> None:
    own = Registry()

    async def churn() -> None:
        for number in range(300):
            websocket: Any = SimpleNamespace(auth=Identity(str(number % 3)), path="/")
            entry = registry_module.Entry(websocket, never)
            own.enter(entry)
            own.admit(entry)
            own.tell_user(str(number % 3), None)  # type: ignore[arg-type]
            own.discard(entry)

    async def never(departure: Any) -> None: ...

    threads = [threading.Thread(target=asyncio.run, args=[churn()]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(own) == 0
    assert own._by_user == {}


async def test_an_application_as_endpoint_hears_no_more_after_the_close() -> None:
    heard: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            heard.append(event["text"])
            if event["text"] == "first":
                disconnect_where(lambda websocket: True)
                while connection.state is not WebSocketState.DISCONNECTED:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                connection.put("late")

    api = BoltAPI()
    api.add_websocket_route("/", application)
    connection = Connection(api.as_asgi())
    connection.put("first")
    await connection.end()
    assert heard == ["first"]
