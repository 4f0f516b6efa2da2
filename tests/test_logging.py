"""Whose connection a record is about, and the one line of each connection."""

import asyncio
import io
import logging
import re
import threading
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    WebSocket,
    WebSocketException,
    adisconnect_user,
    logs,
    redaction,
    room,
)
from bolt_ws.auth import AuthenticationFailed, IsStaff, JWTAuthentication
from bolt_ws.logs import ConnectionFields
from bolt_ws.signals import websocket_connected
from tests.identities import Named
from tests.rooms import support
from tests.rooms.support import until
from tests.support import Connection, close, make_token, serve, status, talk

memory_layer = support.memory_layer

FIELDS = ("connection_id", "endpoint", "user_id", "client")
FORMAT = "%(name)s %(connection_id)s %(endpoint)s %(user_id)s %(client)s %(message)s"


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bolt_ws")


@pytest.fixture
def shop() -> tuple[logging.Logger, io.StringIO]:
    """A logger of the project's own, whose handler has the filter, and what it has written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(ConnectionFields())
    logger = logging.Logger("shop.orders", logging.INFO)  # nobody else's
    logger.addHandler(handler)
    return logger, written


def fields_of(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in FIELDS)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "bolt_ws"]


async def echo(websocket: WebSocket) -> None:
    async for message in websocket.iter_text():
        await websocket.send_text(message)


# The line


async def test_a_connection_gets_one_line_and_a_message_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await talk(serve(echo, "/ws/{room}"), "/ws/lobby", "é", "abc", "x")
    (line,) = lines(caplog)
    assert re.fullmatch(
        r"Closed '/ws/lobby' \(echo\): 1001 by the client after \d\.\d{3} s, "
        r"received 3 messages \(6 bytes\), sent 3 \(6 bytes\)",
        line,
    )
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    duration = record.connection.pop("duration")  # type: ignore[attr-defined]
    assert 0 < duration < 5
    assert record.connection == {  # type: ignore[attr-defined]
        "path": "/ws/lobby",
        "code": 1001,
        "by_client": True,
        "messages_received": 3,
        "bytes_received": 6,
        "messages_sent": 3,
        "bytes_sent": 6,
    }


async def misreads(websocket: WebSocket) -> None:
    await websocket.receive_bytes()


async def closes(websocket: WebSocket) -> None:
    await websocket.accept()
    raise WebSocketException(4001, "enough")


async def fails(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError("bug")


async def refuses_late(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()
    raise AuthenticationFailed("no", code="too_late")


@pytest.mark.parametrize(
    ("handler", "code", "end"),
    [
        (misreads, 1003, ": Expected a bytes message, but got text"),
        (closes, 4001, "sent 0 (0 bytes)"),
        (fails, 1011, "sent 0 (0 bytes)"),
        (refuses_late, 1000, ": 401 too_late"),
    ],
)
async def test_the_line_says_how_it_ended(
    handler: Any, code: int, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection(serve(handler))
    connection.put("x")
    await asyncio.gather(connection.end(), return_exceptions=True)
    (line,) = lines(caplog)
    assert f"({handler.__name__}): {code} after " in line
    assert line.endswith(end)


async def test_a_cancelled_connection_gets_its_line(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection(serve(echo))
    connection.put("x")
    await connection.next()
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    (line,) = lines(caplog)
    assert "Closed '/' (echo): 1012 after " in line


async def test_a_client_that_leaves_before_accept_gets_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.wait_closed()

    connection = Connection(serve(handler))
    connection.leave(1006)
    await connection.end()
    (line,) = lines(caplog)
    assert line == (
        "Closed '/' (handler): 1006 by the client before accept, "
        "received 0 messages (0 bytes), sent 0 (0 bytes)"
    )


async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(404)


async def closes_at_once(websocket: WebSocket) -> None:
    await websocket.close(4001)


@pytest.mark.parametrize("refuse", ["deny", "close"])
@pytest.mark.parametrize("handler", [rejects, closes_at_once])
async def test_a_refused_handshake_has_its_warning_and_no_other_line(
    handler: Any, refuse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await Connection(serve(handler, refuse=refuse), deny=True).end()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"Refused '/' ({handler.__name__}): 40")


async def test_a_handshake_that_two_tasks_refuse_gets_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(websocket: WebSocket) -> None:
        started.set()
        await websocket.wait_closed()
        raise AuthenticationFailed("no", code="too_late")

    started = asyncio.Event()
    connection = Connection(serve(handler, auth=[Named()]), deny=True, query="user=7")
    connection.start()
    await started.wait()
    await adisconnect_user("7")
    await connection.end()
    (line,) = lines(caplog)
    assert line.startswith("Refused '/' (handler): 401 disconnected")


async def test_a_reason_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection(serve(echo, auth=[Named()]), query="user=7")
    connection.put("x")
    for _ in range(2):
        await connection.next()
    await adisconnect_user("7", 4000, "said:\nClosed")
    await connection.end()
    (line,) = lines(caplog)
    assert line.endswith(": said:\\nClosed")


async def test_no_line_can_be_forged_and_no_token_is_in_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(websocket: WebSocket, name: str) -> None:
        async for message in websocket.iter_text():
            raise WebSocketException(4000, message)

    token = make_token()
    application = serve(handler, "/{name}", auth=[Named()])
    query = f"user=7%0AClosed '/' (forged): 1000&token={token}"
    connection = Connection(application, f"/a\nClosed {token}", query=query)
    connection.put("b\nClosed")
    await connection.end()
    (line,) = lines(caplog)
    assert "\n" not in line
    assert "eyJ" not in line
    assert "token=" not in line
    assert caplog.records[0].user_id == "7\\nClosed\\x20'/'\\x20(forged):\\x201000"  # type: ignore[attr-defined]
    assert "\n" not in logging.Formatter(FORMAT).format(caplog.records[0])


async def test_a_long_user_id_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    await talk(serve(echo, auth=[Named()]), "/", "x", query=f"user={'u' * 1000}")
    assert caplog.records[0].user_id == "u" * logs.MAX_LENGTH  # type: ignore[attr-defined]


# The fields


async def test_a_line_has_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    async def handler(websocket: WebSocket) -> None:
        seen.append(websocket.id)
        await websocket.accept()

    await Connection(serve(handler, auth=[Named()]), query="user=7").end()
    (record,) = caplog.records
    assert fields_of(record) == (seen[0], "handler", "7", "127.0.0.1")


async def test_what_is_not_known_is_none(caplog: pytest.LogCaptureFixture) -> None:
    await talk(serve(echo), "/", "x", client=None)
    await status(serve(echo), "/nowhere", client=None)
    await status(serve(echo, auth=[JWTAuthentication()]))
    assert [fields_of(each)[1:] for each in caplog.records] == [
        ("echo", None, None),
        (None, None, None),
        ("echo", None, "127.0.0.1"),
    ]
    assert len({fields_of(each)[0] for each in caplog.records}) == 3


async def test_who_is_refused_after_authentication_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await Connection(serve(echo, auth=[Named()], guards=[IsStaff()]), query="user=7").end()
    assert [fields_of(each)[2] for each in caplog.records] == ["7"]


async def test_the_records_of_a_handler_have_them_too(
    shop: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, written = shop
    ids = []

    async def handler(websocket: WebSocket) -> None:
        ids.append(websocket.id)
        await websocket.accept()
        logger.info("in the handler")
        await asyncio.to_thread(logger.info, "in a thread of the handler")
        await asyncio.create_task(log_in_a_task())

    async def log_in_a_task() -> None:
        logger.info("in a task of the handler")

    def plain(websocket: BlockingWebSocket) -> None:
        ids.append(websocket.id)
        websocket.accept()
        logger.info("in a plain function")

    for function in (handler, plain):
        endpoint = serve(function, auth=[Named()], name="orders")
        await Connection(endpoint, query="user=7").end()
    rest = "orders 7 127.0.0.1"
    assert written.getvalue().splitlines() == [
        f"shop.orders {ids[0]} {rest} in the handler",
        f"shop.orders {ids[0]} {rest} in a thread of the handler",
        f"shop.orders {ids[0]} {rest} in a task of the handler",
        f"shop.orders {ids[1]} {rest} in a plain function",
    ]


def test_a_record_about_no_connection_has_them_as_none(
    shop: tuple[logging.Logger, io.StringIO], caplog: pytest.LogCaptureFixture
) -> None:
    logger, written = shop
    logger.info("hello")
    for name in logs.LOGGERS:
        with caplog.at_level(logging.INFO, name):
            logging.getLogger(name).info("hello")
    assert written.getvalue() == "shop.orders None None None None hello\n"
    records = [each for each in caplog.records if each.name in logs.LOGGERS]
    assert [fields_of(each) for each in records] == [(None,) * 4] * len(logs.LOGGERS)


def test_fields_of_the_projects_own_stay(shop: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = shop
    logger.info("hello", extra={"user_id": 5})
    assert written.getvalue() == "shop.orders None None 5 None hello\n"


def test_the_filter_is_installed_once() -> None:
    logs.install()
    redaction.install()
    for name in logs.LOGGERS:
        filters = [type(each) for each in logging.getLogger(name).filters]
        assert filters.count(ConnectionFields) == 1


async def test_two_connections_at_once_are_told_apart(
    shop: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, written = shop
    meet = asyncio.Barrier(2)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await meet.wait()
        logger.info(websocket.id)

    application = serve(handler)
    await asyncio.gather(*(Connection(application).end() for _ in range(2)))
    found = [line.split() for line in written.getvalue().splitlines()]
    assert [words[1] == words[-1] for words in found] == [True, True]


# Outside of the connection's own task


async def test_an_exception_in_a_callback_beside_the_handler(
    memory_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def listener(websocket: WebSocket) -> None:
        await websocket.join("a")
        await websocket.send_text(websocket.id)
        await websocket.receive_text()

    @listener.on("news")
    async def hear(websocket: WebSocket) -> None:
        raise LookupError("bug")

    connection = Connection(api.as_asgi())
    await connection.next()
    connection_id = (await connection.next())["text"]
    await memory_layer.group_send("a", {"type": "news"})
    assert (await connection.end())[-1] == close(1011)
    error, line = (each for each in caplog.records if each.name == "bolt_ws")
    assert error.levelno == logging.ERROR
    for record in (error, line):
        assert fields_of(record) == (connection_id, "listener", None, "127.0.0.1")


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_broadcast_that_fails(
    is_late: bool, memory_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.join("a")
        await websocket.send_text(websocket.id)
        await websocket.receive_text()

    async def fail(event: Any) -> None:
        if event.get("text") == "news":
            if is_late:
                await asyncio.sleep(0)
            raise LookupError("bug")

    connection = Connection(serve(handler), on_send=fail)
    await connection.next()
    connection_id = (await connection.next())["text"]
    await room("a").asend_text("news")
    await until(lambda: "did not reach" in caplog.text)
    error = caplog.records[-1]
    assert fields_of(error) == (connection_id, "handler", None, "127.0.0.1")
    connection.leave()
    await connection.end()


async def test_a_connection_that_is_told_to_go_by_another(caplog: pytest.LogCaptureFixture) -> None:
    api = BoltAPI()
    endpoint = api.websocket("/", auth=[Named()])(echo)

    @endpoint.on_close
    async def on_close(websocket: WebSocket) -> None:
        raise LookupError("bug")

    connection = Connection(api.as_asgi(), query="user=7")
    connection.put("x")
    for _ in range(2):
        await connection.next()
    await adisconnect_user("7")
    await connection.end()
    records = [each for each in caplog.records if each.name == "bolt_ws"]
    assert [each.levelno for each in records] == [logging.ERROR, logging.INFO]
    assert {fields_of(each)[1:] for each in records} == {("echo", "7", "127.0.0.1")}
    assert records[1].getMessage().endswith(": told to go")


async def test_an_exception_of_a_receiver(caplog: pytest.LogCaptureFixture) -> None:
    threads = []

    def fail(websocket: WebSocket, **named: Any) -> None:
        threads.append(threading.current_thread())
        raise LookupError("bug")

    websocket_connected.connect(fail)
    try:
        await talk(serve(echo), "/", "x")
    finally:
        websocket_connected.disconnect(fail)
    error, line = caplog.records
    assert error.name == "django.dispatch"
    assert fields_of(error) == fields_of(line)
    assert fields_of(error)[0] is not None


async def test_the_fields_keep_no_connection_alive() -> None:
    held = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        held.append(logs.current.get())

    await Connection(serve(handler)).end()
    (fields,) = held
    assert all(isinstance(value, str | None) for value in fields.as_extra().values())
    assert not hasattr(fields, "__dict__")
