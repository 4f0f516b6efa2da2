"""`on_connect`, `on_close`, `broadcast`, exception handlers: what hangs on an endpoint."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404, HttpResponse
from django.test import override_settings

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    DeclarationError,
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketException,
)
from tests.support import (
    ACCEPT,
    TIMEOUT,
    Application,
    Connection,
    assert_nobody_is_left,
    close,
    status,
    talk,
    text,
)

# Plain functions run where Django's synchronous code runs.
pytestmark = pytest.mark.django_db(transaction=True)


async def test_callbacks_send_the_first_and_the_last_message() -> None:
    api = BoltAPI()

    @api.websocket("/{room}")
    async def chat(websocket: WebSocket) -> None:
        await websocket.send_text("handler")

    @chat.on_connect
    def greet(websocket, room: str, name: str = "you"):  # type: ignore[no-untyped-def]
        return f"Welcome to {room}, {name}!"

    @chat.on_close
    async def part(websocket: WebSocket, code: int, reason: str) -> list[Any]:
        return [code, reason]

    assert await talk(api.as_asgi(), "/lobby", query="name=bo") == [
        ACCEPT,
        text("Welcome to lobby, bo!"),
        text("handler"),
        text('[1000,""]'),
        close(),
    ]


@pytest.mark.parametrize("function", ["", "?function=x"])
async def test_callbacks_have_any_parameters(function: str) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    @handler.on_close
    def part(websocket, code: int, function: str = "none"):  # type: ignore[no-untyped-def]
        return function

    query = function.removeprefix("?")
    expected = text(query.partition("=")[2] or "none")
    assert await talk(api.as_asgi(), "/", query=query) == [ACCEPT, expected, close()]


async def test_a_plain_on_connect_that_waits_for_its_client_keeps_nobody_back() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("handler")

    @handler.on_connect
    def greet(websocket: BlockingWebSocket) -> str:
        websocket.accept()
        return f"Welcome, {websocket.receive_text()}"

    connection = Connection(api.as_asgi(), "/")
    assert await connection.next() == ACCEPT
    async with asyncio.timeout(TIMEOUT):  # Django's one synchronous thread is free
        await sync_to_async(threading.get_ident)()
    connection.put("Ann")
    assert await connection.next() == text("Welcome, Ann")
    assert await connection.next() == text("handler")
    await connection.end()


def application(way_out: Any, ends: list[tuple[int, str]], **options: Any) -> Application:
    """An endpoint that goes out in some way, and notes each `on_close`."""
    api = BoltAPI()

    @api.websocket("/", **options)
    async def handler(websocket: WebSocket) -> None:
        await way_out(websocket)

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int, reason: str) -> str:
        ends.append((code, reason))
        return "bye"

    return api.as_asgi()


async def returns(websocket: WebSocket) -> None:
    await websocket.accept()


async def closes(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4000, "enough")


async def raises(websocket: WebSocket) -> None:
    await websocket.accept()
    raise WebSocketException(4001, "no")


async def listens(websocket: WebSocket) -> None:
    async for _ in websocket:
        pass


async def rejects(websocket: WebSocket) -> None:
    await websocket.reject()


async def never_accepts(websocket: WebSocket) -> None:
    pass


@pytest.mark.parametrize(
    ("way_out", "end", "last"),
    [
        (returns, (1000, ""), [text("bye"), close()]),
        (closes, (4000, "enough"), [text("bye"), close(4000, "enough")]),
        (raises, (4001, "no"), [text("bye"), close(4001, "no")]),
        (listens, (1001, ""), [ACCEPT]),
        (rejects, (4403, "forbidden"), [close(4403, "forbidden")]),
        (never_accepts, (4403, "rejected"), [close(4403, "rejected")]),
    ],
)
async def test_on_close_runs_once_on_every_way_out(
    way_out: Any, end: tuple[int, str], last: list[Any]
) -> None:
    ends: list[tuple[int, str]] = []
    sent = await talk(application(way_out, ends))
    assert ends == [end]
    assert sent[-len(last) :] == last


async def test_on_close_after_an_exception_and_a_cancellation() -> None:
    async def fails(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError("bug")

    ends: list[tuple[int, str]] = []
    connection = Connection(application(fails, ends))
    with pytest.raises(LookupError):
        await connection.end()
    assert connection.sent == [ACCEPT, text("bye"), close(1011)]

    connection = Connection(application(listens, ends))
    assert await connection.next() == ACCEPT
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.sent == [ACCEPT, text("bye"), close(1012)]
    assert ends == [(1011, ""), (1012, "")]


async def test_a_failing_on_close_is_logged_and_skips_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = BoltAPI()
    ran: list[str] = []

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    @handler.on_close
    async def first(websocket: WebSocket) -> None:
        raise LookupError("bug")

    @handler.on_close
    async def second(websocket: WebSocket) -> None:
        ran.append("second")

    assert await talk(api.as_asgi()) == [ACCEPT, close()]
    assert ran == ["second"]
    assert "Exception in on_close" in caplog.text


async def test_on_connect_that_refuses() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        raise AssertionError("the handler must not start")

    @handler.on_connect
    async def check(websocket: WebSocket) -> None:
        raise PermissionDenied

    assert await status(api.as_asgi()) == 403


async def test_the_arguments_of_callbacks_are_checked_before_accept() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket, a: int = 0) -> None:
        await websocket.accept()

    @handler.on_close
    async def on_close(websocket: WebSocket, b: int = 0) -> None:
        pass

    [start, body] = await talk(api.as_asgi(), query="a=x&b=y", deny=True)
    assert start["status"] == 422
    assert b"'a'" in body["body"]
    assert b"'b'" in body["body"]


def test_a_callback_that_can_never_be_called_is_an_error_at_declaration() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        pass

    with pytest.raises(DeclarationError):

        @handler.on_close
        async def on_close(*everything: Any) -> None:
            pass


async def test_callbacks_hold_for_all_paths_of_a_function() -> None:
    api = BoltAPI()

    @api.websocket("/a")
    @api.websocket("/b")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    @handler.on_connect
    async def greet(websocket: WebSocket) -> str:
        return "hi"

    for path in ("/a", "/b"):
        assert (await talk(api.as_asgi(), path))[1] == text("hi")


# Broadcasts


def chat_api() -> tuple[BoltAPI, Any]:
    api = BoltAPI()

    @api.websocket("/{room}")
    async def chat(websocket: WebSocket, others: bool = False, endpoint: bool = False) -> None:
        await websocket.accept()
        async for message in websocket:
            await websocket.broadcast(
                message,
                exclude=websocket if others else (),
                scope="endpoint" if endpoint else "path",
            )

    return api, chat


async def join(application: Application, path: str, query: str = "") -> Connection:
    connection = Connection(application, path, query=query)
    assert await connection.next() == ACCEPT
    return connection


async def test_a_broadcast_reaches_the_same_path_and_the_sender() -> None:
    api, chat = chat_api()
    served = api.as_asgi()
    a, b, elsewhere = [await join(served, path) for path in ("/1", "/1", "/2")]
    a.put("hello")
    assert await a.next() == await b.next() == text("hello")
    await chat.broadcast({"all": True}, exclude=[])
    for member in (a, b, elsewhere):
        assert await member.next() == text('{"all":true}')
        member.leave()
        await member.end()


async def test_a_broadcast_with_exclude_and_scope() -> None:
    api, _ = chat_api()
    served = api.as_asgi()
    sender = await join(served, "/1", "others=true&endpoint=true")
    b, elsewhere = [await join(served, path) for path in ("/1", "/2")]
    sender.put(b"x")
    assert await b.next() == await elsewhere.next() == {"type": "websocket.send", "bytes": b"x"}
    for member in (sender, b, elsewhere):
        member.leave()
        await member.end()
    assert sender.sent == [ACCEPT]


async def test_a_member_that_is_gone_keeps_no_other_back() -> None:
    api, _ = chat_api()
    served = api.as_asgi()

    async def fail(event: Any) -> None:
        if event["type"] == "websocket.send":
            raise OSError("gone")

    gone = Connection(served, "/1", on_send=fail)
    assert await gone.next() == ACCEPT
    a = await join(served, "/1")
    a.put("one", "two")
    assert [await a.next(), await a.next()] == [text("one"), text("two")]
    for member in (a, gone):
        member.leave()
        await member.end()


async def test_nobody_is_left_among_the_peers() -> None:
    served = chat_api()[0].as_asgi()
    members = [await join(served, f"/{number}") for number in range(5)]
    for member in members:
        member.leave()
        await member.end()
    assert_nobody_is_left()


async def test_a_bare_connection_has_nobody_to_broadcast_to() -> None:
    connection = Connection(chat_api()[0].as_asgi())
    websocket = WebSocket(connection.scope, connection.receive, connection.send)
    await websocket.accept()
    with pytest.raises(RuntimeError, match="belongs to no endpoint"):
        await websocket.broadcast("a")


# Exceptions


class Base(Exception):
    pass


class Special(Base):
    pass


async def test_the_most_specific_handler_then_the_innermost_api() -> None:
    outer, inner = BoltAPI(), BoltAPI()
    outer.include(inner)
    called: list[str] = []

    @inner.websocket("/{special:int}")
    async def handler(websocket: WebSocket, special: int) -> None:
        await websocket.accept()
        raise Special("s") if special else Base("b")

    @inner.exception_handler(Base)
    def inner_base(websocket: Any, error: Base) -> None:
        called.append(f"inner {error}")
        websocket.close(4001)

    @outer.exception_handler(Base)
    async def outer_base(websocket: WebSocket, error: Base) -> None:
        called.append(f"outer {error}")

    @outer.exception_handler(Special)
    async def outer_special(websocket: WebSocket, error: Special) -> None:
        called.append(f"special {error}")

    assert await talk(outer.as_asgi(), "/0") == [ACCEPT, close(4001)]
    assert await talk(outer.as_asgi(), "/1") == [ACCEPT, close(1011)]
    assert called == ["inner b", "special s"]


async def test_a_handler_may_answer_the_handshake() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        raise Base

    @api.exception_handler(Base)
    async def full(websocket: WebSocket, error: Base) -> HttpResponse:
        return HttpResponse("full", status=507)

    assert await status(api.as_asgi()) == 507
    assert await talk(api.as_asgi()) == [close(4500, "internal_error")]


async def test_an_exception_handler_that_fails_takes_the_place() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        raise Base

    @api.exception_handler(Base)
    async def broken(websocket: WebSocket, error: Base) -> None:
        raise LookupError("bug in the handler")

    with pytest.raises(LookupError):
        await Connection(api.as_asgi()).end()


@pytest.mark.parametrize("wrong", [KeyboardInterrupt, "Base", Base(), int])
def test_what_is_no_exception_class_is_an_error(wrong: Any) -> None:
    with pytest.raises(DeclarationError):
        BoltAPI().exception_handler(wrong)


@pytest.mark.parametrize(
    ("error", "refused_with", "closed_with"),
    [
        (PermissionDenied("secret"), 403, close(1008, "Permission denied")),
        (Http404("secret"), 404, close(1008, "Not found")),
        (SuspiciousOperation("secret"), 400, close(1008, "Bad request")),
        (ValidationError("Pick another"), 422, close(1008, "Pick another")),
        (LookupError("secret"), 500, close(1011)),
    ],
)
async def test_what_exceptions_mean(error: Exception, refused_with: int, closed_with: Any) -> None:
    api = BoltAPI()

    @api.websocket("/", auto_accept=False)
    async def handler(websocket: WebSocket, accept: bool = False) -> None:
        if accept:
            await websocket.accept()
        raise error

    for query in ("", "accept=1"):
        connection = Connection(api.as_asgi(), query=query, deny=True)
        try:
            await connection.end()
        except LookupError:
            assert isinstance(error, LookupError)
        assert "secret" not in repr(connection.sent)
        if query:
            assert connection.sent[-1] == closed_with
        else:
            assert connection.sent[0]["status"] == refused_with


@override_settings(DEBUG=True)
async def test_with_debug_the_reason_names_the_exception() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError("secret")

    connection = Connection(api.as_asgi())
    with pytest.raises(LookupError):
        await connection.end()
    assert connection.sent[-1] == close(1011, "LookupError")


async def test_only_a_connections_own_disconnect_is_silent() -> None:
    other = WebSocketDisconnected(1001, websocket=WebSocket(*_bare()))

    async def of_another(websocket: WebSocket) -> None:
        await websocket.accept()
        raise other

    async def in_a_group(websocket: WebSocket) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(websocket.receive_text())

    ends: list[tuple[int, str]] = []
    with pytest.raises(WebSocketDisconnect):
        await Connection(application(of_another, ends)).end()
    await talk(application(in_a_group, ends))
    assert ends == [(1011, ""), (1001, "")]


def _bare() -> Any:
    connection = Connection(chat_api()[0].as_asgi())
    return connection.scope, connection.receive, connection.send


async def test_a_loop_over_peers_survives_one_that_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As the pages write it: a module-level set, and no `except` around the send."""
    api = BoltAPI()
    clients: set[WebSocket] = set()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        clients.add(websocket)
        try:
            async for message in websocket.iter_text():
                for client in clients:
                    await client.send_text(message)
        finally:
            clients.discard(websocket)

    served = api.as_asgi()
    a, b = await join(served, "/"), await join(served, "/")
    b.leave()
    await b.end()
    with caplog.at_level(logging.INFO):
        a.put("still here")
        assert await a.next() == text("still here")
    a.leave()
    await a.end()
