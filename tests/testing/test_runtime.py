"""What clients run on, in which threads and loops, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, SyncToAsync, async_to_sync, sync_to_async
from channels.layers import channel_layers
from django.db import connections

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.testing import AsyncTestClient, TestClient, runtime
from bolt_ws.testing.work import Work
from tests.testing import clients
from tests.testing.clients import SOON, ClientOf

client_of = clients.client_of
api = BoltAPI()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket("/plain-echo")
def plain_echo(websocket: BlockingWebSocket) -> None:
    for text in websocket.iter_text():
        websocket.send_text(text)


@api.websocket("/thread")
async def thread(websocket: WebSocket) -> None:
    """Send the thread of the handler, and the one of Django's synchronous code."""
    own = threading.get_ident()
    await websocket.send_json([own, await sync_to_async(threading.get_ident)()])
    async for _ in websocket.iter_text():
        pass


def says(client: Any, text: str = "hello", path: str = "/echo") -> bool:
    """Whether an echo comes back through a new connection."""
    with client.websocket_connect(path) as ws:
        ws.send_text(text)
        return bool(ws.receive_text() == text)


# Nothing is left


def standing() -> dict[str, Any]:
    """What a client changes while it is open."""
    local = SyncToAsync.threadlocal
    return {
        "threads": {each for each in threading.enumerate() if each.name == "bolt_ws-testing"},
        "executors": dict(AsyncToSync.loop_thread_executors),
        "single": SyncToAsync.single_thread_executor,
        "main loop": getattr(local, "main_event_loop", None),
        "runtime": runtime._local.runtime,
        "layers": (channel_layers.backends, dict(channel_layers.backends)),
        "start": threading.Thread.start,
        "closes": {name for name in vars(connections["default"]) if name.startswith("close")},
        "shared": connections["default"].allow_thread_sharing,
    }


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """All is as it was before."""
    before = standing()
    yield
    assert standing() == before


def test_a_client_that_is_entered(client_of: ClientOf) -> None:
    with client_of(api) as client:
        assert says(client)
        assert says(client, path="/plain-echo")


def test_a_client_that_is_not_entered(client_of: ClientOf) -> None:
    client = client_of(api)
    assert says(client)
    assert says(client, path="/plain-echo")


def test_a_client_that_is_entered_twice_after_another(client_of: ClientOf) -> None:
    client = client_of(api)
    for _ in range(2):
        with client:
            assert says(client)


def test_a_client_that_only_is_entered(client_of: ClientOf) -> None:
    with client_of(api):
        pass


def test_nested_clients(client_of: ClientOf) -> None:
    with client_of(api) as outer, outer.websocket_connect("/echo") as ws:
        with client_of(api) as inner:
            assert says(inner)
            assert says(outer)
        ws.send_text("still here")
        assert ws.receive_text() == "still here"


def test_both_kinds_of_clients_nested() -> None:
    async def inside() -> None:
        async with AsyncTestClient(api).websocket_connect("/echo") as ws:
            await ws.send_text("hello")
            assert await ws.receive_text() == "hello"

    with TestClient(api) as client, client.websocket_connect("/echo") as ws:
        asyncio.run(inside())
        ws.send_text("hello")
        assert ws.receive_text() == "hello"


def test_what_fails_leaves_nothing(client_of: ClientOf) -> None:
    with pytest.raises(KeyError), client_of(api) as client, client.websocket_connect("/echo"):
        raise KeyError


async def test_a_loop_has_its_task_factory_back() -> None:
    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop, made = asyncio.get_running_loop(), list[Any]()
    loop.set_task_factory(factory)
    async with AsyncTestClient(api).websocket_connect("/echo") as ws:
        assert loop.get_task_factory() is not factory
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"
    assert loop.get_task_factory() is factory
    assert made  # and it was used meanwhile


# Threads


def test_the_thread_of_the_test_runs_what_is_synchronous() -> None:
    with TestClient(api).websocket_connect("/thread") as ws:
        own, synchronous = ws.receive_json()
    assert synchronous == threading.get_ident() != own


def test_coroutines_of_the_test_run_where_the_handlers_do() -> None:
    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loops = []
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        loops.append(asyncio.get_running_loop())
        await websocket.accept()

    with TestClient(api).websocket_connect("/"):
        # A channel layer in memory, for one, does not cross from one loop to another.
        assert async_to_sync(running_loop)() is loops[0]
    assert async_to_sync(running_loop)() is not loops[0]


def test_a_client_in_another_thread() -> None:
    answers: list[bool] = []
    other = threading.Thread(target=lambda: answers.append(says(TestClient(api))), daemon=True)
    other.start()
    other.join(SOON)
    assert answers == [True]


def test_the_application_has_a_context_of_its_own() -> None:
    """As on a server. Else asgiref sends its synchronous code to a thread that waits for it."""
    language = contextvars.ContextVar("language", default="unset")
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_json([language.get(), await sync_to_async(language.get)()])

    async def in_a_coroutine() -> Any:
        language.set("de")  # a task has that of whoever made it, which the test is
        async with AsyncTestClient(api).websocket_connect("/") as ws:
            return await ws.receive_json()

    def in_a_function() -> Any:
        with TestClient(api).websocket_connect("/") as ws:
            return ws.receive_json()

    async def in_its_synchronous_code() -> Any:
        return await sync_to_async(in_a_function)()

    assert asyncio.run(in_a_coroutine()) == ["de", "de"]
    token = language.set("fr")
    assert in_a_function() == ["unset", "unset"]
    language.reset(token)
    nested = async_to_sync(in_its_synchronous_code)
    with ThreadPoolExecutor() as threads:  # asgiref leaves its loop in the thread
        assert threads.submit(nested).result(SOON) == ["unset", "unset"]


def test_an_error_of_synchronous_code_is_the_handlers(client_of: ClientOf) -> None:
    def fails() -> None:
        raise LookupError("in the thread of the test")

    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        try:
            await sync_to_async(fails)()
        except LookupError as error:
            await websocket.send_text(str(error))

    with client_of(api).websocket_connect("/") as ws:
        assert ws.receive_text() == "in the thread of the test"


def test_a_wait_that_was_interrupted_ends_no_other() -> None:
    """As by Ctrl-C, or by what limits the time of a test."""
    interrupted = KeyboardInterrupt()

    class Interrupted(Work):
        def run(self) -> None:
            raise interrupted

    with TestClient(api) as client, client.websocket_connect("/echo") as ws:
        here = runtime._local.runtime
        assert here is not None
        here._inbox.put(Interrupted(lambda: None))
        with pytest.raises(KeyboardInterrupt):
            ws.receive_text()
        ws.send_text("hello")
        assert ws.receive_text() == "hello"


# Many


def test_two_sessions_in_turns(client_of: ClientOf) -> None:
    with (
        client_of(api) as client,
        client.websocket_connect("/echo") as one,
        client.websocket_connect("/plain-echo") as two,
    ):
        for number in range(20):
            one.send_text(f"one {number}")
            two.send_text(f"two {number}")
            assert two.receive_text() == f"two {number}"
            assert one.receive_text() == f"one {number}"


@pytest.mark.parametrize("path", ["/echo", "/plain-echo"])
async def test_many_sessions_at_once(path: str) -> None:
    async def talk(number: int) -> None:
        async with client.websocket_connect(path) as ws:
            for turn in range(5):
                await ws.send_text(f"{number}.{turn}")
                assert await ws.receive_text(timeout=SOON) == f"{number}.{turn}"

    async with AsyncTestClient(api) as client:
        await asyncio.gather(*(talk(number) for number in range(50)))


async def test_many_clients_at_once_that_are_not_entered() -> None:
    async def talk(number: int) -> None:
        async with AsyncTestClient(api).websocket_connect("/echo") as ws:
            await ws.send_text(str(number))
            await asyncio.sleep(0.001 * (number % 7))
            assert await ws.receive_text(timeout=SOON) == str(number)

    await asyncio.gather(*(talk(number) for number in range(50)))
