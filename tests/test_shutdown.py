"""Whether the server is stopping: who says so, and who is told."""

import asyncio
import signal
import subprocess
import sys
import threading
import unittest
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from types import FrameType
from typing import Any

import pytest
import uvicorn
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket, shutdown, shutting_down
from bolt_ws.asgi import get_asgi_application
from tests.support import TIMEOUT

SIGNALS = (signal.SIGTERM, signal.SIGINT)

api = BoltAPI()


@api.websocket("/ws")
async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """A test tells nobody that it has stopped a server."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    shutdown._forget()
    yield
    shutdown._forget()
    for number, each in before.items():
        signal.signal(number, each)


class Loop:
    """An event loop, here or in a thread, and a listener for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, left: int = 0) -> None:
        self.loop = loop
        self.left = left
        self.told = 0
        self.in_thread: Future[int] = Future()

    def __len__(self) -> int:
        return self.left

    def end_all(self) -> None:
        assert asyncio.get_running_loop() is self.loop
        self.told += 1
        if not self.in_thread.done():
            self.in_thread.set_result(threading.get_ident())


class LikeAServer:
    """Handles both signals, as uvicorn does."""

    def __init__(self) -> None:
        self.got: list[tuple[int, bool]] = []
        for number in SIGNALS:
            signal.signal(number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.got.append((number, shutting_down()))

    @staticmethod
    def ignore(number: int, frame: FrameType | None) -> None:
        pass


async def told(listener: Loop) -> int:
    """Wait until a listener is told, and return in which thread."""
    async with asyncio.timeout(TIMEOUT):
        return await asyncio.wrap_future(listener.in_thread)


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_is_seen_first_and_passed_on(number: signal.Signals) -> None:
    server = LikeAServer()
    shutdown.watch()
    listener = Loop(asyncio.get_running_loop())
    shutdown.listen(listener)
    assert not shutting_down()
    signal.raise_signal(number)
    assert shutting_down()
    assert server.got == [(number, True)]
    assert listener.told == 0  # not in the midst of whatever the signal interrupted
    assert await told(listener) == threading.get_ident()


def test_a_handler_is_put_before_another_one_once() -> None:
    server = LikeAServer()
    for _ in range(3):
        shutdown.watch()
    for number in SIGNALS:
        first: Any = signal.getsignal(number)
        assert first.func == server.handle


def test_a_server_that_starts_later_is_seen_as_well() -> None:
    LikeAServer()
    shutdown.watch()
    server = LikeAServer()
    shutdown.watch()
    signal.raise_signal(signal.SIGTERM)
    assert server.got == [(signal.SIGTERM, True)]


async def test_uvicorns_handlers_are_known_and_can_be_restored() -> None:
    """At the first connection: with an asgi.py of one's own there is no sooner time."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    server = uvicorn.Server(uvicorn.Config("tests.test_shutdown:api"))
    with server.capture_signals():
        shutdown.listen(Loop(asyncio.get_running_loop()))
        for number in SIGNALS:
            assert isinstance(signal.getsignal(number), shutdown._GoesBefore)
        signal.raise_signal(signal.SIGTERM)
        assert shutting_down()
        assert server.should_exit
        server._captured_signals.clear()  # or it raises them again, as its last deed
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


async def test_handlers_that_an_application_has_of_its_own_are_left_alone() -> None:
    LikeAServer()
    shutdown.listen(Loop(asyncio.get_running_loop()))
    signal.raise_signal(signal.SIGTERM)
    assert not shutting_down()


@pytest.mark.parametrize("terminate", [signal.SIG_DFL, signal.SIG_IGN])
def test_without_a_server_nothing_is_changed(terminate: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, terminate)
    shutdown.watch()
    assert signal.getsignal(signal.SIGTERM) is terminate
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("is_with_server", [False, True])
def test_a_test_runners_ctrl_c_is_left_alone(is_with_server: bool) -> None:
    """It would not see that its handler is there still, and raise KeyboardInterrupt."""
    if is_with_server:
        LikeAServer()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.installHandler()
    try:
        before = signal.getsignal(signal.SIGINT)
        shutdown.watch()
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        unittest.removeHandler()


@pytest.mark.parametrize("terminate", [signal.SIG_DFL, LikeAServer.ignore, partial(print)])
def test_asyncios_ctrl_c_does_not_outlive_its_run(terminate: Any) -> None:
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    async def watch() -> None:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        shutdown.watch()

    asyncio.run(watch())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_the_event_loops_own_handlers_still_run() -> None:
    """hypercorn's way."""
    loop = asyncio.get_running_loop()
    got = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, got.set)
    try:
        shutdown.watch()
        listener = Loop(loop)
        shutdown.listen(listener)
        signal.raise_signal(signal.SIGINT)
        assert shutting_down()
        async with asyncio.timeout(TIMEOUT):
            await got.wait()
        await told(listener)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def test_another_thread_changes_no_signals() -> None:
    server = LikeAServer()
    thread = threading.Thread(target=shutdown.watch)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == server.handle


async def test_event_loops_in_threads_are_told_each_in_its_own() -> None:
    loops = [asyncio.new_event_loop() for _ in range(3)]
    threads = [threading.Thread(target=loop.run_forever) for loop in loops]
    listeners = [Loop(loop) for loop in loops]
    for number in range(3):
        shutdown.listen(listeners[number])
    for thread in threads[:2]:
        thread.start()
    loops[2].close()
    shutdown.note_shutdown()
    try:
        found = [await told(each) for each in listeners[:2]]
        assert found == [thread.ident for thread in threads[:2]]
        closed = weakref.ref(listeners.pop())
        shutdown.listen(Loop(asyncio.get_running_loop()))
        assert closed() is None  # nobody holds what is of a loop that is gone
    finally:
        for loop, thread in zip(loops[:2], threads, strict=False):
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def test_who_comes_late_is_told_at_once() -> None:
    shutdown.note_shutdown()
    listener = Loop(asyncio.get_running_loop())
    shutdown.listen(listener)
    await told(listener)


async def test_one_listener_for_an_event_loop() -> None:
    first, second = (Loop(asyncio.get_running_loop()) for _ in range(2))
    shutdown.listen(first)
    shutdown.listen(second)
    shutdown.note_shutdown()
    await told(second)
    assert (first.told, second.told) == (0, 1)


def test_another_server_after_one_that_has_ended() -> None:
    async def serve() -> bool:
        shutdown.listen(Loop(asyncio.get_running_loop()))
        was_stopping = shutdown.shutting_down()
        shutdown.note_shutdown()
        return was_stopping

    assert [asyncio.run(serve()), asyncio.run(serve())] == [False, False]


async def test_a_server_that_ends_all_is_left_to_it() -> None:
    listener = Loop(asyncio.get_running_loop())
    shutdown.listen(listener)
    with shutdown.server_ends_all():
        shutdown.note_shutdown()
        assert shutting_down()
        await asyncio.sleep(0)
    assert listener.told == 0
    shutdown.note_shutdown()
    await told(listener)


async def test_the_servers_lifespan_tells_that_it_has_its_handlers() -> None:
    """uvicorn imports the application first. We take no part in these events, as before."""
    with override_settings(BOLT_WS={"APIS": ["tests.test_shutdown:api"]}):
        application = get_asgi_application()
    server = LikeAServer()
    with pytest.raises(ValueError, match="lifespan"):
        await application({"type": "lifespan"}, asyncio.Event().wait, asyncio.Event().wait)
    signal.raise_signal(signal.SIGTERM)
    assert server.got == [(signal.SIGTERM, True)]


def test_the_application_watches_as_it_is_made() -> None:
    server = LikeAServer()
    with override_settings(BOLT_WS={"APIS": ["tests.test_shutdown:api"]}):
        get_asgi_application()
    signal.raise_signal(signal.SIGTERM)
    assert server.got == [(signal.SIGTERM, True)]


FORK = """
import os
from bolt_ws import shutdown, shutting_down
shutdown.note_shutdown()
child = os.fork()
if not child:
    os._exit(shutting_down())
assert shutting_down()
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")
def test_a_fork_is_not_stopping() -> None:
    """In a process of its own, which has no threads."""
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=6 * TIMEOUT)
