"""What an application raises surfaces in the test: itself, once, and nowhere else."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

from bolt_ws import BlockingWebSocket, BoltAPI, Depends, WebSocket, WebSocketDisconnect
from bolt_ws.servers import Event, Receive, Send
from bolt_ws.testing import Unexpected, WebSocketRefused
from tests.testing import clients
from tests.testing.clients import ClientOf

client_of = clients.client_of


class Broken(Exception):
    """Raised by the handlers here."""


def broken() -> Exception:
    """Return what the handlers raise; its `__cause__` must stay what it is."""
    error = Broken("of the handler")
    error.__cause__ = KeyError("the cause")
    return error


async def before_accept(websocket: WebSocket) -> None:
    raise broken()


async def in_the_middle(websocket: WebSocket) -> None:
    await websocket.send_text("first")
    await websocket.receive_text()
    raise broken()


def blocking_before_accept(websocket: BlockingWebSocket) -> None:
    raise broken()


def blocking_in_the_middle(websocket: BlockingWebSocket) -> None:
    websocket.send_text("first")
    websocket.receive_text()
    raise broken()


class ConsumerBeforeAccept(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        raise broken()


class ConsumerInTheMiddle(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        await self.send("first")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise broken()


class PlainConsumerInTheMiddle(WebsocketConsumer):  # type: ignore[misc]
    def connect(self) -> None:
        self.accept()
        self.send("first")

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise broken()


async def bare_before_accept(scope: Event, receive: Receive, send: Send) -> None:
    raise broken()


async def bare_in_the_middle(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "first"})
    await receive()
    await receive()
    raise broken()


def served(given: Any) -> Any:
    """Return an application for a handler, a consumer or an application."""
    if isinstance(given, type):
        return given.as_asgi()
    if given.__name__.startswith("bare"):
        return given
    api = BoltAPI()
    api.websocket("/")(given)
    return api


BEFORE = [before_accept, blocking_before_accept, ConsumerBeforeAccept, bare_before_accept]
MIDDLE = [
    in_the_middle,
    blocking_in_the_middle,
    ConsumerInTheMiddle,
    PlainConsumerInTheMiddle,
    bare_in_the_middle,
]


def is_of_the_handler(error: BaseException, given: Any) -> bool:
    """Whether `error` is the one raised by `given`, with the way it took."""
    functions = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return (
        isinstance(error, Broken)
        and bool({given.__name__, "connect", "receive"} & set(functions))
        and isinstance(error.__cause__, KeyError)
    )


@pytest.mark.parametrize("given", BEFORE)
@pytest.mark.parametrize("can_deny", [True, False])
def test_it_is_raised_where_the_test_connects(
    client_of: ClientOf, given: Any, can_deny: bool
) -> None:
    client = client_of(served(given))
    options: dict[str, Any] = {} if can_deny else {"scope": {"extensions": {}}}
    with pytest.raises(Broken) as caught, client.websocket_connect("/", **options):
        pytest.fail("it was accepted")
    assert is_of_the_handler(caught.value, given)
    assert getattr(caught.value, "__notes__", []) == []


@pytest.mark.parametrize("given", BEFORE)
def test_before_accept_a_client_sees_only_a_refusal(client_of: ClientOf, given: Any) -> None:
    client = client_of(served(given), raise_exceptions=False)
    with pytest.raises(WebSocketRefused) as caught, client.websocket_connect("/"):
        pass
    assert caught.value.status == 500
    assert client_of(served(given)).assert_refused("/", 500).status == 500


@pytest.mark.parametrize("given", MIDDLE)
def test_it_is_raised_where_the_test_receives(client_of: ClientOf, given: Any) -> None:
    with client_of(served(given)).websocket_connect("/") as ws:
        assert ws.receive_text() == "first"
        ws.send_text("go on")
        with pytest.raises(Broken) as caught:
            ws.receive_text()
        assert is_of_the_handler(caught.value, given)
        assert ws.error is caught.value
        assert ws.close_code == 1011
        with pytest.raises(WebSocketDisconnect):  # not again
            ws.receive_text()
    # and not when the block is left


@pytest.mark.parametrize("given", MIDDLE)
def test_it_is_raised_where_the_block_is_left(client_of: ClientOf, given: Any) -> None:
    with pytest.raises(Broken) as caught, client_of(served(given)).websocket_connect("/") as ws:  # noqa: PT012
        assert ws.receive_text() == "first"
        ws.send_text("go on")
    assert is_of_the_handler(caught.value, given)


@pytest.mark.parametrize("given", MIDDLE)
def test_it_is_not_raised_where_nobody_wants_it(client_of: ClientOf, given: Any) -> None:
    client = client_of(served(given), raise_exceptions=False)
    with client.websocket_connect("/") as ws:
        assert ws.receive_text() == "first"
        ws.send_text("go on")
        with pytest.raises(WebSocketDisconnect) as caught:
            ws.receive_text()
        assert caught.value.code == 1011
    assert isinstance(ws.error, Broken)


@pytest.mark.parametrize("given", MIDDLE)
def test_a_failure_that_is_asked_for(client_of: ClientOf, given: Any) -> None:
    with client_of(served(given)).websocket_connect("/") as ws:
        assert ws.receive_text() == "first"
        ws.send_text("go on")
        ws.assert_closed(1011)
        assert isinstance(ws.error, Broken)
    assert isinstance(ws.error, Broken)


def test_a_failure_where_another_close_is_asked_for(client_of: ClientOf) -> None:
    client = client_of(served(in_the_middle))
    with pytest.raises(Broken), client.websocket_connect("/") as ws:  # noqa: PT012
        ws.receive_text()
        ws.send_text("go on")
        with pytest.raises(Unexpected, match="closed with 1000, null, but it was") as caught:
            ws.assert_closed(1000)
        assert isinstance(caught.value.__cause__, Broken)


@pytest.mark.parametrize("given", MIDDLE)
def test_what_the_test_raises_wins(client_of: ClientOf, given: Any) -> None:
    wrong = AssertionError("of the test")
    client = client_of(served(given))
    with pytest.raises(AssertionError) as caught, client.websocket_connect("/") as ws:  # noqa: PT012
        ws.receive_text()
        ws.send_text("go on")
        raise wrong
    assert caught.value is wrong
    assert wrong.__notes__ == ["Besides, the application raised Broken('of the handler')."]


# In cleanup


async def in_finally(websocket: WebSocket) -> None:
    try:
        async for _ in websocket.iter_text():
            pass
    finally:
        raise broken()


def blocking_in_finally(websocket: BlockingWebSocket) -> None:
    try:
        for _ in websocket.iter_text():
            pass
    finally:
        raise broken()


async def torn_down() -> AsyncIterator[None]:
    yield
    raise broken()


async def in_a_dependency(websocket: WebSocket, it: object = Depends(torn_down)) -> None:
    async for _ in websocket.iter_text():
        pass


class ConsumerInDisconnect(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def disconnect(self, code: int) -> None:
        raise broken()


async def bare_in_finally(scope: Event, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        raise broken()


CLEANUP = [in_finally, blocking_in_finally, in_a_dependency, ConsumerInDisconnect, bare_in_finally]


@pytest.mark.parametrize("given", CLEANUP)
def test_cleanup_that_fails_where_the_block_is_left(client_of: ClientOf, given: Any) -> None:
    with pytest.raises(Broken) as caught, client_of(served(given)).websocket_connect("/") as ws:
        ws.send_text("hello")
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("given", CLEANUP)
def test_cleanup_that_fails_where_the_test_closes(client_of: ClientOf, given: Any) -> None:
    with client_of(served(given)).websocket_connect("/") as ws:
        with pytest.raises(Broken):
            ws.close()
        assert isinstance(ws.error, Broken)


# In callbacks, where a server only logs it


async def fails(websocket: WebSocket) -> None:
    raise broken()


def blocking_fails(websocket: BlockingWebSocket) -> None:
    raise broken()


def failing_on_close(*callbacks: Any) -> BoltAPI:
    """Return an API with these callbacks, whose handler fails if it is told to."""
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        async for _ in websocket.iter_text():
            raise LookupError("of the handler")

    for callback in callbacks:
        handler.on_close(callback)
    return api


@pytest.mark.parametrize("given", [fails, blocking_fails])
def test_a_callback_that_fails(
    client_of: ClientOf, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(failing_on_close(given))
    with pytest.raises(Broken) as caught, client.websocket_connect("/") as ws:
        pass
    assert is_of_the_handler(caught.value, given)
    assert ws.error is None  # and no failure of the application
    assert "Exception in on_close of /" in caplog.text
    assert "Broken: of the handler" in caplog.text

    with pytest.raises(Broken), client.websocket_connect("/") as ws:
        ws.close()  # raises nothing


def test_a_callback_that_fails_is_not_raised_where_nobody_wants_it(client_of: ClientOf) -> None:
    with client_of(failing_on_close(fails), raise_exceptions=False).websocket_connect("/"):
        pass


def test_the_first_of_many_failures_is_raised(client_of: ClientOf) -> None:
    async def leaves(websocket: WebSocket) -> None:
        raise WebSocketDisconnect(1000)

    async def fails_too(websocket: WebSocket) -> None:
        raise LookupError

    client = client_of(failing_on_close(leaves, fails, fails_too))
    with pytest.raises(Broken), client.websocket_connect("/"):
        pass
    # that of the handler comes first, and is the only one
    with client.websocket_connect("/") as ws:
        ws.send_text("fail")
        with pytest.raises(LookupError, match="of the handler"):
            ws.receive_text()


def test_a_callback_that_fails_after_the_test(client_of: ClientOf) -> None:
    wrong = AssertionError("of the test")
    with (
        pytest.raises(AssertionError) as caught,
        client_of(failing_on_close(fails)).websocket_connect("/"),
    ):
        raise wrong
    assert caught.value is wrong
    assert wrong.__notes__ == ["Besides, the application raised Broken('of the handler')."]


def test_a_rejection_is_no_failure(client_of: ClientOf) -> None:
    async def rejects(websocket: WebSocket) -> None:
        await websocket.reject(401)

    assert client_of(served(rejects)).assert_refused("/").status == 401
