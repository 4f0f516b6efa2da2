"""Ctrl-C, `sys.exit()` and code that hangs: the test is told, and the next one is undisturbed."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings

from bolt_ws import BlockingWebSocket, BoltAPI, Depends, WebSocket
from bolt_ws.testing import TestClient, WebSocketRefused, WebSocketTimeout, runtime
from tests.testing import clients
from tests.testing.clients import SOON, TIMEOUT, ClientOf
from tests.testing.test_failures import served
from tests.testing.test_runtime import standing

client_of = clients.client_of


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """All is as it was before."""
    before = standing()
    yield
    assert standing() == before


# Exceptions that end a process


async def exits(websocket: WebSocket) -> None:
    await websocket.receive_text()
    sys.exit("enough")


async def is_interrupted(websocket: WebSocket) -> None:
    await websocket.receive_text()
    raise KeyboardInterrupt("enough")


def blocking_exits(websocket: BlockingWebSocket) -> None:
    websocket.receive_text()
    sys.exit("enough")


@pytest.mark.parametrize(
    ("handler", "kind"),
    [(exits, SystemExit), (is_interrupted, KeyboardInterrupt), (blocking_exits, SystemExit)],
)
def test_an_application_that_exits(
    client_of: ClientOf, handler: Any, kind: type[BaseException]
) -> None:
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match=rf"raised {kind.__name__}\('enough'\)") as caught,
        client_of(served(handler)) as client,
        client.websocket_connect("/") as ws,
    ):
        ws.send_text("go on")
        ws.receive_text()
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("is_dependency", [False, True])
def test_synchronous_code_that_exits(kind: type[BaseException], is_dependency: bool) -> None:
    """As for Ctrl-C: it is the test's thread that does the work."""
    api = BoltAPI()
    seen: list[BaseException] = []

    def leaves() -> None:
        raise kind("enough")

    @api.websocket("/False")
    async def handler(websocket: WebSocket) -> None:
        try:
            await sync_to_async(leaves)()
        except RuntimeError as error:
            seen.append(error)
            raise

    @api.websocket("/True")
    async def depends(websocket: WebSocket, it: object = Depends(leaves)) -> None: ...

    with (
        pytest.raises(kind, match="enough") as caught,
        TestClient(api) as client,
        client.websocket_connect(f"/{is_dependency}"),
    ):
        pass
    assert not hasattr(caught.value, "__notes__")
    assert [str(each) for each in seen] == [f"the application raised {caught.value!r}"] * (
        not is_dependency
    )


@pytest.fixture
def in_a_moment() -> Iterator[Callable[[], None]]:
    """Return what has this thread interrupted a moment later, as by Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, TIMEOUT) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_the_test_works_for_django(in_a_moment: Callable[[], None]) -> None:
    api = BoltAPI()

    def waits() -> None:
        in_a_moment()
        threading.Event().wait(SOON)

    @api.websocket("/")
    async def handler(websocket: WebSocket, it: object = Depends(waits)) -> None: ...

    with (
        pytest.raises(KeyboardInterrupt),
        TestClient(api) as client,
        client.websocket_connect("/"),
    ):
        pass


def test_a_task_that_exits_ends_the_loop() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        task = asyncio.create_task(exits())
        await task

    async def exits() -> None:
        sys.exit("enough")

    with TestClient(api) as client:
        with (  # noqa: PT012
            pytest.raises(
                RuntimeError, match=r"event loop has ended: a task raised System"
            ) as caught,
            client.websocket_connect("/") as ws,
        ):
            ws.send_text("go on")
            ws.receive_text()
        assert isinstance(caught.value.__cause__, SystemExit)
        with (
            pytest.raises(RuntimeError, match="event loop has ended"),
            client.websocket_connect("/"),
        ):
            pass
    with (  # patient ones too
        pytest.raises(RuntimeError, match="event loop has ended"),
        TestClient(api, timeout=None).websocket_connect("/") as ws,
    ):
        ws.send_text("go on")


# What hangs


def test_the_end_waits_for_no_thread_of_an_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PATIENCE", 1.0)
    go_on = threading.Event()
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        asyncio.get_running_loop().run_in_executor(None, go_on.wait, SOON)
        await websocket.send_text("hello")

    with TestClient(api) as client, client.websocket_connect("/") as ws:
        assert ws.receive_text() == "hello"
    assert not go_on.is_set()
    go_on.set()


def hang(go_on: threading.Event) -> None:
    go_on.wait(SOON)  # in synchronous code


def test_synchronous_code_that_hangs() -> None:
    go_on = threading.Event()
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        while not ws._session._is_receiving:  # noqa: ASYNC110  # until the test waits for the answer
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(8 * TIMEOUT, go_on.set)
        await sync_to_async(hang)(go_on)

    with TestClient(api) as client, client.websocket_connect("/") as ws:
        ws.send_text("go on")
        with pytest.raises(WebSocketTimeout) as caught:
            ws.receive_text(timeout=4 * TIMEOUT)
    message = str(caught.value)
    assert "Django's synchronous code runs, in the test's thread, and cannot be stopped:" in message
    assert "go_on.wait(SOON)  # in synchronous code" in message
    assert "in test_synchronous_code_that_hangs" not in message


@override_settings(BOLT_WS={"ADMISSION_TIMEOUT": TIMEOUT})
def test_synchronous_code_that_hangs_in_admission() -> None:
    go_on = threading.Event()
    api = BoltAPI()

    async def hangs() -> None:
        asyncio.get_running_loop().call_later(4 * TIMEOUT, go_on.set)
        await sync_to_async(hang)(go_on)

    @api.websocket("/")
    async def handler(websocket: WebSocket, it: object = Depends(hangs)) -> None: ...

    with pytest.raises(WebSocketRefused) as caught, TestClient(api).websocket_connect("/"):
        pass
    (note,) = caught.value.__notes__
    assert "# in synchronous code" in note
