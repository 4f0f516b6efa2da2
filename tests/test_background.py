"""Tasks that belong to a connection: cancelled and awaited at its end, and heard when they fail."""

import asyncio
import contextlib
import gc
import logging
import weakref
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    background,
)
from bolt_ws.endings import QUIET
from bolt_ws.testing import AsyncTestClient
from tests.identities import nothing_left, opened
from tests.support import ACCEPT, TIMEOUT, Connection, close, make_scope, serve, text

clean = pytest.fixture(nothing_left, autouse=True)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail(error: BaseException) -> None:
    raise error


def running(name: str) -> list[Any]:
    """Return the tasks of this loop whose coroutine is so called."""
    return [each for each in asyncio.all_tasks() if each.get_coro().__name__ == name]  # type: ignore[union-attr]


# Its life


async def test_a_task_runs_beside_the_handler_and_has_a_result() -> None:
    seen: list[Any] = []

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        task = websocket.start_task(work(21))
        assert isinstance(task, asyncio.Task)
        seen.append(await task)

    assert (await Connection(serve(handler)).end())[1:] == [close()]
    assert seen == [42]


async def test_one_that_sends_while_the_handler_receives() -> None:
    async def tick(websocket: WebSocket) -> None:
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.001)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(tick(websocket))
        await websocket.receive_text()

    async with (
        AsyncTestClient(serve(handler)) as client,
        client.websocket_connect("/") as websocket,
    ):
        for _ in range(3):
            assert await websocket.receive_text() == "tick"
        await websocket.send_text("enough")
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
    assert running("tick") == []


@pytest.mark.parametrize("end", ["returns", "raises", "client leaves", "is cancelled"])
async def test_it_is_cancelled_and_awaited_whichever_way_the_handler_ends(end: str) -> None:
    order: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            order.append("task")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(work())
        try:
            await asyncio.sleep(0)
            if end == "raises":
                raise LookupError("bug")
            if end != "returns":
                await websocket.receive_text()
        finally:
            order.append("handler")

    api = BoltAPI()
    endpoint = api.websocket("/")(handler)

    @endpoint.on_close
    async def on_close(websocket: WebSocket) -> None:
        order.append("on_close")

    connection = await opened(api.as_asgi())
    assert connection.task is not None
    if end == "client leaves":
        connection.leave()
    elif end == "is cancelled":
        connection.task.cancel()
    expected: Any = {"raises": LookupError, "is cancelled": asyncio.CancelledError}.get(end)
    with pytest.raises(expected) if expected else contextlib.nullcontext():
        await connection.end()
    assert order == ["handler", "task", "on_close"]


async def test_it_may_still_send_when_the_handler_has_returned() -> None:
    async def work(websocket: WebSocket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await websocket.send_text("last words")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(work(websocket))
        await asyncio.sleep(0)

    assert (await Connection(serve(handler)).end())[1:] == [text("last words"), close()]


async def test_one_that_never_began_is_cancelled_quietly() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(for_ever())

    assert (await Connection(serve(handler)).end())[1:] == [close()]


async def test_a_task_of_a_task() -> None:
    ended: list[str] = []

    async def inner() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("inner")

    async def outer(websocket: WebSocket) -> None:
        websocket.start_task(inner())
        await asyncio.sleep(0)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.start_task(outer(websocket))
        assert ended == []

    await Connection(serve(handler)).end()
    assert ended == ["inner"]


async def test_in_on_connect_and_while_the_handler_runs() -> None:
    api, seen = BoltAPI(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("task ended")

    @api.websocket("/", auto_accept=True)
    async def handler(websocket: WebSocket) -> None:
        await asyncio.sleep(0)
        seen.append("handler")

    @handler.on_connect
    async def on_connect(websocket: WebSocket) -> None:
        websocket.start_task(work())

    await Connection(api.as_asgi()).end()
    assert seen == ["handler", "task ended"]


async def test_one_that_the_handler_cancels_is_no_failure() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        task = websocket.start_task(for_ever())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await websocket.send_text("still here")

    assert (await Connection(serve(handler)).end())[1:] == [text("still here"), close()]


async def test_one_that_ignores_its_cancellation_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "CLEANUP_TIMEOUT", 0.02)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(stubborn())
        await asyncio.sleep(0)

    assert (await Connection(serve(handler)).end())[1:] == [close()]
    assert "goes on, 0.02 s after it was cancelled" in caplog.text
    assert "stubborn" in caplog.text
    release.set()
    await asyncio.wait(running("stubborn"))


async def test_a_cancellation_from_outside_while_tasks_end() -> None:
    cleaning = asyncio.Event()
    api, seen = BoltAPI(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(0.02)

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(work())
        await asyncio.sleep(0)

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        seen.append("on_close")

    connection = await opened(api.as_asgi())
    assert connection.task is not None
    await asyncio.wait_for(cleaning.wait(), TIMEOUT)
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.task.cancelled()
    assert seen == ["on_close"]
    assert connection.terminal == [close(1012)]
    await asyncio.gather(*running("work"), return_exceptions=True)


# Its failure


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (WebSocketException(4100, "the task's"), [close(4100, "the task's")]),
        (PermissionDenied("secret"), [close(1008, "Permission denied")]),
        (WebSocketDisconnect(1000), [close()]),
        (BaseExceptionGroup("quiet", [WebSocketDisconnect(1000)]), [close()]),
    ],
)
async def test_its_exception_ends_the_handler_as_its_own_would(
    error: BaseException, ends: list[Any]
) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(error))
        try:
            await websocket.receive_text()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    connection = Connection(serve(handler))
    assert (await connection.end())[1:] == ends
    assert seen == ["cancelled"]
    assert connection.task is not None
    assert not connection.task.cancelled()


@pytest.mark.parametrize(
    "error", [LookupError("bug"), ExceptionGroup("bugs", [LookupError("one"), OSError("two")])]
)
async def test_an_error_of_a_task_is_raised_on(error: BaseException) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(error))
        await asyncio.Event().wait()

    connection = Connection(serve(handler))
    with pytest.raises(type(error)) as raised:
        await connection.end()
    assert raised.value is error
    assert connection.sent == [ACCEPT, close(1011)]


async def test_exception_handlers_are_asked() -> None:
    api, seen = BoltAPI(), []

    @api.exception_handler(LookupError)
    async def handle(websocket: WebSocket, error: LookupError) -> None:
        seen.append(str(error))
        await websocket.close(4004)

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(LookupError("bug")))
        await asyncio.Event().wait()

    assert await Connection(api.as_asgi()).end() == [ACCEPT, close(4004)]
    assert seen == ["bug"]


async def test_a_handler_that_catches_the_cancellation_has_failed_all_the_same() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(WebSocketException(4100)))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    assert await Connection(serve(handler)).end() == [ACCEPT, close(4100)]


async def test_one_that_fails_when_it_is_cancelled() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise WebSocketException(4100)

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(work())
        await asyncio.sleep(0)

    assert await Connection(serve(handler)).end() == [ACCEPT, close(4100)]


async def test_two_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(LookupError("first")))
        websocket.start_task(fail(OSError("second")))
        await asyncio.Event().wait()

    with pytest.raises(LookupError, match="first"):
        await Connection(serve(handler)).end()
    assert "OSError: second" in caplog.text
    assert "first" not in caplog.text


async def test_a_quiet_end_of_one_hides_no_error_of_another() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(WebSocketDisconnect(1001)))
        websocket.start_task(fail(LookupError("bug")))
        await asyncio.Event().wait()

    with pytest.raises(LookupError, match="bug"):
        await Connection(serve(handler)).end()


async def test_nor_does_the_handlers_own(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        task = websocket.start_task(fail(LookupError("the task's")))
        await asyncio.wait([task])
        raise WebSocketDisconnect(1001)

    with pytest.raises(LookupError, match="the task's"):
        await Connection(serve(handler)).end()


async def test_the_handlers_own_error_comes_before(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(fail(LookupError("the task's")))
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the handler's")

    with pytest.raises(OSError, match="the handler's"):
        await Connection(serve(handler)).end()
    assert "LookupError: the task's" in caplog.text


async def test_a_second_failure_does_not_cancel_the_cleanup_after_the_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        cleaning = asyncio.Event()

        async def later() -> None:
            await cleaning.wait()
            raise OSError("second")

        websocket.start_task(fail(LookupError("first")))
        websocket.start_task(later())
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(0.01)
            seen.append("cleaned up")

    with pytest.raises(LookupError, match="first"):
        await Connection(serve(handler)).end()
    assert seen == ["cleaned up"]
    assert "OSError: second" in caplog.text


async def test_a_cancellation_from_outside_comes_before_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("bug")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(work())
        await asyncio.Event().wait()

    connection = await opened(serve(handler))
    assert connection.task is not None
    await asyncio.sleep(0)
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert connection.task.cancelled()
    assert "LookupError: bug" in caplog.text


async def test_a_failure_in_on_connect() -> None:
    api, seen = BoltAPI(), []

    @api.websocket("/", auto_accept=True)
    async def handler(websocket: WebSocket) -> None:
        seen.append("handler")

    @handler.on_connect
    async def on_connect(websocket: WebSocket) -> None:
        websocket.start_task(fail(WebSocketException(4100)))
        await asyncio.Event().wait()

    assert await Connection(api.as_asgi()).end() == [ACCEPT, close(4100)]
    assert seen == []


async def test_before_accept_it_refuses() -> None:
    async def handler(websocket: WebSocket) -> None:
        websocket.start_task(fail(PermissionDenied()))
        await asyncio.Event().wait()

    sent = await Connection(serve(handler), deny=True).end()
    assert sent[0]["status"] == 403


async def test_one_that_the_server_sees_fail_late_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "CLEANUP_TIMEOUT", 0.01)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        raise LookupError("nobody awaits this")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(stubborn())
        await asyncio.sleep(0)

    await Connection(serve(handler)).end()
    release.set()
    await asyncio.wait(running("stubborn"))
    gc.collect()
    await asyncio.sleep(0)
    assert "nobody awaits this" in caplog.text


# Where none can be


async def test_after_the_end() -> None:
    held: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        held.append(websocket)
        await websocket.accept()

    await Connection(serve(handler)).end()
    with pytest.raises(RuntimeError, match="Cannot start a task: the handler has ended"):
        held[0].start_task(for_ever())  # which is closed: nobody says that it was never awaited


async def test_in_on_close_and_in_a_task_that_is_being_ended() -> None:
    api, seen = BoltAPI(), []

    def start(websocket: WebSocket) -> None:
        with pytest.raises(RuntimeError, match="Cannot start a task: the handler has ended"):
            websocket.start_task(for_ever())
        seen.append(1)

    async def work(websocket: WebSocket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            start(websocket)

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(work(websocket))
        await asyncio.sleep(0)

    @handler.on_close
    async def on_close(websocket: WebSocket) -> None:
        start(websocket)

    await Connection(api.as_asgi()).end()
    assert seen == [1, 1]


async def test_without_an_endpoint() -> None:
    websocket = WebSocket(make_scope(), asyncio.Queue[Any]().get, asyncio.sleep)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="Cannot start a task: there is no endpoint"):
        websocket.start_task(for_ever())


async def test_offline() -> None:
    async def work() -> str:
        return "done"

    assert await WebSocket.fake().start_task(work()) == "done"


# A blocking handler


async def test_from_a_blocking_handler() -> None:
    seen: list[str] = []

    async def work(websocket: WebSocket) -> None:
        try:
            await websocket.send_text("from the task")
            await asyncio.Event().wait()
        finally:
            seen.append("task ended")

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        task = websocket.start_task(work(websocket.websocket))
        assert isinstance(task, asyncio.Task)
        websocket.receive_text()
        seen.append("handler")

    connection = await opened(serve(handler))
    assert await connection.next() == text("from the task")
    connection.put("go")
    assert (await connection.end())[-1] == close()
    assert seen == ["handler", "task ended"]


async def test_a_failure_ends_a_blocking_handler() -> None:
    seen: list[str] = []

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        websocket.start_task(fail(WebSocketException(4100)))
        try:
            websocket.receive_text()
        except WebSocketDisconnect as error:
            seen.append(type(error).__name__)

    assert await Connection(serve(handler)).end() == [ACCEPT, close(4100)]
    assert seen == ["WebSocketDisconnected"]


async def test_a_blocking_handler_that_is_over() -> None:
    held: list[BlockingWebSocket] = []

    def handler(websocket: BlockingWebSocket) -> None:
        held.append(websocket)
        websocket.accept()

    await Connection(serve(handler)).end()

    def late() -> None:
        with pytest.raises(RuntimeError, match="the handler has ended"):
            held[0].start_task(for_ever())

    await asyncio.to_thread(late)


async def test_a_blocking_handler_that_is_given_up() -> None:
    seen: list[str] = []
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handler(websocket: BlockingWebSocket) -> None:
        websocket.accept()
        try:
            with contextlib.suppress(WebSocketDisconnect):
                websocket.receive_text()
            with pytest.raises(WebSocketDisconnect) as raised:
                websocket.start_task(for_ever())
            seen.append(type(raised.value).__name__)
        finally:
            loop.call_soon_threadsafe(ended.set)

    connection = await opened(serve(handler))
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    await asyncio.wait_for(ended.wait(), TIMEOUT)
    gc.collect()
    assert seen == ["WebSocketDisconnected"]


async def test_the_twin_in_a_coroutine() -> None:
    websocket = BlockingWebSocket.fake()
    with pytest.raises(RuntimeError, match="start_task"):
        websocket.start_task(for_ever())
    gc.collect()


# What is left


@pytest.mark.parametrize("end", ["returns", "fails", "is quiet", "client leaves"])
async def test_an_ended_connection_is_freed_without_the_collector(end: str) -> None:
    alive: list[Any] = []

    async def work(websocket: WebSocket) -> None:
        await asyncio.sleep(0)
        if end == "fails":
            raise WebSocketException(4100)
        if end == "is quiet":
            raise WebSocketDisconnect(1000, websocket=websocket)
        await asyncio.Event().wait()

    async def handler(websocket: WebSocket) -> None:
        alive.append(weakref.ref(websocket))
        await websocket.accept()
        websocket.start_task(work(websocket))
        if end == "returns":
            await asyncio.sleep(0)
        else:
            await websocket.receive_text()

    application = serve(handler)
    gc.collect()
    gc.disable()
    try:
        connection = Connection(application)
        del connection.scope[QUIET]  # which keeps the exceptions for the test client
        assert await connection.next() == ACCEPT
        if end == "client leaves":
            connection.leave()
        await connection.end()
        del connection
        async with asyncio.timeout(TIMEOUT):
            while alive[0]() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_nothing_is_logged_where_nothing_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.start_task(for_ever())
        websocket.start_task(asyncio.sleep(0))
        await websocket.receive_text()

    connection = await opened(serve(handler))
    connection.leave()
    await connection.end()
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
