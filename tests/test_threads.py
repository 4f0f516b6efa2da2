"""The threads of blocking handlers."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import subprocess
import sys
import textwrap
import threading

import pytest
from django.db import connection as database
from django.test import override_settings

from bolt_ws import threads
from bolt_ws.blocking import BlockingWebSocket
from bolt_ws.exceptions import Refusal
from bolt_ws.threads import reserve
from tests.blocking import SOON, Client, soon, until

pytestmark = pytest.mark.usefixtures("no_thread_left")


async def test_the_pool_is_bounded() -> None:
    with override_settings(BOLT_WS={"SYNC_THREADS": 2}):
        slots = [reserve(), reserve()]
        with pytest.raises(Refusal) as refused:
            reserve()
        assert refused.value.status == 503
        assert refused.value.code == "too_many_connections"
        assert refused.value.headers == {"Retry-After": "1"}
        slots[0].release()
        slots[0].release()
        slots[0] = reserve()
        with pytest.raises(Refusal):
            reserve()
        for slot in slots:
            slot.release()


async def test_a_place_is_given_back_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    with override_settings(BOLT_WS={"SYNC_THREADS": 1}):
        slot = reserve()
        # As the garbage collector has it, which ends connections in whoever holds the lock.
        with threads._pool._lock:
            in_time = threading.Thread(target=slot.release, daemon=True)
            in_time.start()
            in_time.join(SOON)
            assert not in_time.is_alive()
        reserve().release()
        assert threads._pool._taken == 0


async def test_no_thread_left_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_pool", threads._Pool())
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(Refusal):
        reserve()


async def test_each_has_its_thread_and_idle_ones_are_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    barrier = threading.Barrier(2)

    def handler(ws: BlockingWebSocket) -> threading.Thread:
        barrier.wait(SOON)
        return threading.current_thread()

    async def two() -> set[threading.Thread]:
        first, second = Client().run(handler), Client().run(handler)
        return {await soon(first), await soon(second)}

    used = await two()
    assert len(used) == 2
    assert await two() == used
    assert all(thread.daemon and thread.name.startswith("bolt_ws-") for thread in used)


async def test_results_errors_and_arguments() -> None:
    def handler(ws: BlockingWebSocket, a: int, *, b: int) -> int:
        return a // b

    assert await soon(Client().run(handler, 6, b=2)) == 3
    with pytest.raises(ZeroDivisionError):
        await soon(Client().run(handler, 6, b=0))
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await soon(Client().run(lambda ws: next(iter(()))))


async def test_context_variables_are_copied() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("ours")

    def handler(ws: BlockingWebSocket) -> str:
        found = variable.get()
        variable.set("theirs")
        return found

    assert await soon(Client().run(handler)) == "ours"
    assert variable.get() == "ours"


async def test_database_connections_are_closed_in_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    closed: list[threading.Thread] = []
    monkeypatch.setattr(
        threads.connections, "close_all", lambda: closed.append(threading.current_thread())
    )
    thread = await soon(Client().run(lambda ws: threading.current_thread()))
    assert closed == [thread]
    with pytest.raises(ZeroDivisionError):
        await soon(Client().run(lambda ws: 1 // 0))
    assert closed == [thread, thread]


async def test_a_database_connection_that_does_not_close_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def close_all() -> None:
        raise OSError("no")

    monkeypatch.setattr(threads.connections, "close_all", close_all)
    assert await soon(Client().run(lambda ws: 1)) == 1
    assert "A database connection did not close" in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_the_database_in_a_handler() -> None:
    def handler(ws: BlockingWebSocket) -> int:
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
            return int(cursor.fetchone()[0])

    assert await soon(Client().run(handler)) == 1


# Shutting down


async def test_a_handler_that_hangs_keeps_its_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "GRACE", 0.05)
    let_go = threading.Event()

    def stubborn(ws: BlockingWebSocket) -> None:
        ws.accept()
        let_go.wait(SOON)

    client = Client()
    with override_settings(BOLT_WS={"SYNC_THREADS": 1}):
        task = client.run(stubborn)
        await client.accepted()
        task.cancel()
        with caplog.at_level(logging.WARNING, "bolt_ws"), pytest.raises(asyncio.CancelledError):
            await soon(task)
        assert "stubborn runs on, 0.05 s after its connection '/ws' was cancelled" in caplog.text
        assert "let_go.wait(SOON)" in caplog.text  # where it stands
        with pytest.raises(Refusal):
            reserve()
        let_go.set()
        await until(lambda: not threads._pool._taken)
        reserve().release()


SCRIPT = """
import asyncio, sys, threading, time
import django
from django.conf import settings
settings.configure(SECRET_KEY="x" * 60, INSTALLED_APPS=["bolt_ws"])
django.setup()
from bolt_ws import threads
from bolt_ws.blocking import twin_of
from bolt_ws.websocket import WebSocket

async def send(event):
    started.set_result(None)

def handler(ws):
    ws.accept()
    if "hang" in sys.argv:
        print("hanging", flush=True)
        time.sleep(1000)
    ws.recv()
    time.sleep(0.1)
    print("tidied up", flush=True)

async def main():
    global started
    started = asyncio.get_running_loop().create_future()
    receive = asyncio.Queue().get
    scope = {"type": "websocket", "path": "/", "headers": []}
    websocket = WebSocket(scope, receive, send, auto_accept=None)
    websocket.serve_for(None)
    websocket.admit()
    slot = threads.reserve()
    twin = twin_of(websocket)
    global task
    task = asyncio.create_task(slot.run(handler, [twin], {}, twin))
    await started

threads.GRACE = 0.5
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
# It stops, and cancels nothing.
"""


@pytest.mark.parametrize(("mode", "said"), [("hang", "hanging"), ("end", "tidied up")])
def test_the_process_exits(mode: str, said: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT), mode],
        capture_output=True,
        text=True,
        timeout=SOON * 3,
    )
    assert said in finished.stdout, finished.stderr
    assert finished.returncode == 0
