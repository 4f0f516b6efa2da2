"""Faults while a connection ends: one terminal message, and nothing left behind."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from bolt_ws import BoltAPI, Depends, WebSocket, WebSocketDisconnect, WebSocketException
from tests.support import (
    ACCEPT,
    TIMEOUT,
    Connection,
    assert_nobody_is_left,
    close,
    serve,
    talk,
    text,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "error",
    [
        PermissionDenied(),
        WebSocketException(4000),
        ValidationError("no"),
        LookupError("bug"),
        None,
    ],
)
async def test_dependencies_see_the_exception_of_the_handler(error: Exception | None) -> None:
    seen: list[Any] = []

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as raised:
            seen.append(raised)
            raise
        seen.append("commit")

    async def handler(websocket: WebSocket, _: Annotated[None, Depends(transaction)]) -> None:
        await websocket.accept()
        if error is not None:
            raise error

    connection = Connection(serve(handler))
    if isinstance(error, LookupError):
        with pytest.raises(LookupError):
            await connection.end()
    else:
        await connection.end()
    assert seen == [error or "commit"]


async def test_a_message_that_cannot_be_formatted_still_closes() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ValidationError("100% wrong", params={"a": 1})

    assert await talk(serve(handler)) == [ACCEPT, close(1008, "Invalid")]


async def test_a_server_that_fails_at_the_close_skips_no_cleanup() -> None:
    api = BoltAPI()
    ended: list[int] = []

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    @handler.on_close
    async def on_close(websocket: WebSocket, code: int) -> None:
        ended.append(code)

    async def fail(event: Any) -> None:
        if event["type"] == "websocket.close":
            raise RuntimeError("the server broke")

    with pytest.raises(RuntimeError, match="the server broke"):
        await Connection(api.as_asgi(), on_send=fail).end()
    assert ended == [1000]
    assert_nobody_is_left()


async def test_cancelled_while_on_close_runs_the_client_is_still_told() -> None:
    api = BoltAPI()
    started = asyncio.Event()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        started.set()
        await asyncio.Event().wait()

    connection = Connection(api.as_asgi())
    connection.start()
    assert connection.task is not None
    await asyncio.wait_for(started.wait(), 5)
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.sent == [ACCEPT, close(1012)]


async def test_on_close_may_still_tell_the_others() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        async for _ in websocket:
            pass

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        await websocket.broadcast("left", exclude=websocket)

    served = api.as_asgi()
    stays, leaves = Connection(served), Connection(served)
    assert await stays.next() == await leaves.next() == ACCEPT
    leaves.leave()
    await leaves.end()
    assert await stays.next() == text("left")
    stays.leave()
    await stays.end()


async def test_plain_callbacks_that_close_run_plain_callbacks() -> None:
    api = BoltAPI()
    ended: list[int] = []

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise KeyError("a")

    @api.exception_handler(KeyError)
    def handle(websocket: Any, error: KeyError) -> None:
        websocket.close(4100)

    @handler.on_close
    def on_close(websocket: Any, code: int) -> str:
        ended.append(code)
        return "bye"

    assert await talk(api.as_asgi()) == [ACCEPT, text("bye"), close(4100)]
    assert ended == [4100]


async def test_a_close_in_another_task_waits_for_the_callbacks_it_began() -> None:
    api = BoltAPI()
    order: list[str] = []
    tasks: list[Any] = []

    async def resource() -> AsyncIterator[None]:
        yield
        order.append("torn down")

    @api.websocket("/")
    async def handler(websocket: WebSocket, _: Annotated[None, Depends(resource)]) -> None:
        await websocket.accept()
        tasks.append(asyncio.create_task(websocket.close(4000)))
        await asyncio.sleep(0)

    @handler.on_close
    async def on_close(websocket: WebSocket) -> str:
        await asyncio.sleep(0.01)
        order.append("on_close")
        return "bye"

    assert await talk(api.as_asgi()) == [ACCEPT, text("bye"), close(4000)]
    await asyncio.gather(*tasks)
    assert order == ["on_close", "torn down"]


async def test_a_peer_whose_server_fails_keeps_nobody_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in websocket:
            await websocket.broadcast(message)

    async def fail(event: Any) -> None:
        if event["type"] == "websocket.send":
            raise RuntimeError("the server broke")

    served = api.as_asgi()
    broken, works = Connection(served, on_send=fail), Connection(served)
    assert await broken.next() == await works.next() == ACCEPT
    works.put("a")
    assert await works.next() == text("a")
    for connection in (broken, works):
        connection.leave()
        await connection.end()
    assert "did not reach" in caplog.text


async def test_an_unknown_path_of_a_client_that_is_gone_is_no_error() -> None:
    async def gone(event: Any) -> None:
        raise OSError("gone")

    assert await Connection(BoltAPI().as_asgi(), "/nowhere", on_send=gone).end() == []


async def test_a_plain_function_that_returns_a_coroutine_says_so() -> None:
    async def real(websocket: Any) -> None: ...

    api = BoltAPI()
    api.websocket("/")(lambda websocket: real(websocket))
    with pytest.raises(RuntimeError, match="async def"):
        await Connection(api.as_asgi()).end()


async def test_system_exit_in_a_blocking_handler_ends_that_handler() -> None:
    def handler(websocket: Any) -> None:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        await Connection(serve(handler)).end()


@pytest.mark.parametrize("is_blocking", [True, False])
async def test_an_ended_connection_is_freed_without_the_collector(is_blocking: bool) -> None:
    api = BoltAPI()
    alive: list[Any] = []

    def plain(websocket: Any) -> None:
        alive.append(weakref.ref(websocket.websocket))
        websocket.accept()

    async def coroutine(websocket: WebSocket) -> None:
        alive.append(weakref.ref(websocket))
        await websocket.accept()

    endpoint = api.websocket("/")(plain if is_blocking else coroutine)

    @endpoint.on_close
    async def on_close(websocket: WebSocket) -> None:
        pass

    gc.collect()
    gc.disable()
    try:
        await talk(api.as_asgi())
        async with asyncio.timeout(TIMEOUT):  # the thread may still have to let go of it
            while alive[0]() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_a_server_that_fails_while_cancelled_leaks_nothing() -> None:
    api = BoltAPI()
    started, torn_down = asyncio.Event(), []

    async def resource() -> AsyncIterator[None]:
        yield
        torn_down.append(True)

    @api.websocket("/")
    async def handler(websocket: WebSocket, _: Annotated[None, Depends(resource)]) -> None:
        await websocket.accept()

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        started.set()
        await asyncio.Event().wait()

    async def fail(event: Any) -> None:
        if event["type"] == "websocket.close":
            raise RuntimeError("the server broke")

    connection = Connection(api.as_asgi(), on_send=fail)
    connection.start()
    assert connection.task is not None
    await asyncio.wait_for(started.wait(), 5)
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert torn_down == [True]
    assert_nobody_is_left()


async def test_a_loop_that_shuts_down_leaks_nothing() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()

    connection = Connection(api.as_asgi())
    served: Any = connection.application(connection.scope, connection.receive, connection.send)
    served.send(None)  # until it waits for the client
    assert connection.sent == [ACCEPT]
    served.close()
    assert_nobody_is_left()


@pytest.mark.parametrize("in_block", [True, False])
async def test_closing_in_on_close_does_not_wait_for_itself(in_block: bool) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        if in_block:
            async with websocket:
                pass
        else:
            await websocket.close(4005)

    async with asyncio.timeout(2):
        sent = await talk(api.as_asgi())
    assert sent == [ACCEPT, close(1000 if in_block else 4005)]


async def test_two_teardowns_that_hang_are_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bolt_ws.dependencies.TEARDOWN_TIMEOUT", 0.05)
    seen: list[Any] = []

    async def outer() -> AsyncIterator[None]:
        try:
            yield
        except LookupError as error:
            seen.append(error)
            raise

    async def one() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.Event().wait()

    async def two() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.Event().wait()

    async def handler(
        websocket: WebSocket,
        a: Annotated[None, Depends(outer)],
        b: Annotated[None, Depends(one)],
        c: Annotated[None, Depends(two)],
    ) -> None:
        await websocket.accept()
        raise LookupError("bug")

    with pytest.raises(LookupError):
        await Connection(serve(handler)).end()
    assert [str(error) for error in seen] == ["bug"]
    assert caplog.text.count("took over") == 2


async def test_another_connections_disconnect_reaches_an_exception_handler() -> None:
    api = BoltAPI()
    other = WebSocket(*_ends_of(Connection(api.as_asgi())))

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise WebSocketDisconnect(1001, websocket=other)

    @api.exception_handler(Exception)
    async def handle(websocket: WebSocket, error: Exception) -> None:
        await websocket.close(4242)

    assert await talk(api.as_asgi()) == [ACCEPT, close(4242)]


def _ends_of(connection: Connection) -> tuple[Any, Any, Any]:
    return connection.scope, connection.receive, connection.send


async def test_a_dependency_cannot_undo_a_later_cancellation() -> None:
    api = BoltAPI()
    started = asyncio.Event()

    async def swallows() -> AsyncIterator[None]:
        with contextlib.suppress(LookupError):
            yield

    @api.websocket("/")
    async def handler(websocket: WebSocket, _: Annotated[None, Depends(swallows)]) -> None:
        await websocket.accept()
        raise LookupError("bug")

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        started.set()
        await asyncio.Event().wait()

    connection = Connection(api.as_asgi())
    connection.start()
    assert connection.task is not None
    await asyncio.wait_for(started.wait(), 5)
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
