"""The two queues between a connection's event loop and its threads."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from bolt_ws import incoming, threads
from bolt_ws.blocking import BlockingWebSocket
from bolt_ws.bounds import READ_AHEAD
from bolt_ws.bridge import SEND_AHEAD
from bolt_ws.exceptions import (
    WebSocketDisconnected,
)
from bolt_ws.messages import Message
from bolt_ws.servers import Event
from tests.blocking import SOON, Client, seen, soon, until, until_in_thread

pytestmark = pytest.mark.usefixtures("no_thread_left")


def send_for_ever(ws: BlockingWebSocket) -> None:
    while True:
        ws.send_text("a")


async def test_recv_with_a_timeout_loses_nothing() -> None:
    timed_out = threading.Event()

    def handler(ws: BlockingWebSocket) -> list[Any]:
        with pytest.raises(TimeoutError, match=r"no message came within 0\.01 seconds"):
            ws.recv(0.01)
        timed_out.set()
        return [ws.recv(timeout=SOON), ws.recv(timeout=SOON)]

    client = Client()
    task = client.run(handler)
    await seen(timed_out)
    client.says("a", "b")
    assert await soon(task) == [Message.text("a"), Message.text("b")]


async def test_a_disconnect_wakes_recv() -> None:
    client = Client()
    task = client.run(lambda ws: ws.recv())
    await client.accepted()
    client.leaves()
    assert await soon(task) is None


async def test_two_receivers() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        receiver = threading.Thread(target=lambda: answers.put(ws.recv()))
        receiver.start()
        until_in_thread(ws.bridge._receiving.locked)
        with pytest.raises(RuntimeError, match="another thread is receiving"):
            ws.recv()
        ws.close()
        assert answers.get(timeout=SOON) is None
        receiver.join(SOON)

    await soon(Client().run(handler))


async def test_the_server_is_read_no_further_than_the_bound() -> None:
    first, go_on = threading.Event(), threading.Event()

    def handler(ws: BlockingWebSocket) -> list[str]:
        got = [ws.receive_text()]
        first.set()
        assert go_on.wait(SOON)
        return got + list(ws.iter_text())

    client = Client()
    texts = [str(number) for number in range(5 * READ_AHEAD)]
    client.says(*texts)
    client.leaves()
    task = client.run(handler)
    await seen(first)
    await client.accepted()
    assert client.inbound.qsize() >= len(texts) - READ_AHEAD - 2
    go_on.set()
    assert await soon(task) == texts


async def test_nor_in_bytes_and_who_waits_for_room_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size_of, is_full = incoming._size_of, incoming.Incoming._is_full.fget  # type: ignore[attr-defined]

    def size_of_slowly(event: Event) -> int:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.02)  # meanwhile the loop finds that it is full
        return size_of(event)

    def is_full_slowly(self: incoming.Incoming) -> bool:
        time.sleep(0.01)  # meanwhile the thread takes what it waited for
        return is_full(self)

    monkeypatch.setattr(incoming, "MAX_SIZE", 3)
    monkeypatch.setattr(incoming, "_size_of", size_of_slowly)
    monkeypatch.setattr(incoming.Incoming, "_is_full", property(is_full_slowly))
    client = Client()
    task = client.run(lambda ws: [ws.receive_text() for _ in range(5)])
    client.says(*["abc"] * 5)
    assert await soon(task) == ["abc"] * 5


async def test_a_send_blocks_when_the_queue_is_full() -> None:
    sent: list[int] = []
    full = threading.Event()

    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        for number in range(4 * SEND_AHEAD):
            ws.send_text(str(number))
            sent.append(number)
            if number == SEND_AHEAD - 1:
                full.set()

    client = Client()
    task = client.run(handler)
    await client.accepted()
    client.gate.clear()
    await seen(full)
    await until(lambda: client.twin.bridge._waiting)  # the handler is blocked
    # Some of them may have passed before the gate was shut.
    assert len(sent) <= SEND_AHEAD + 1 + client.outbound.qsize() < 4 * SEND_AHEAD
    client.gate.set()
    assert [await client.hears() for _ in range(4 * SEND_AHEAD)] == [
        str(number) for number in range(4 * SEND_AHEAD)
    ]
    await soon(task)


async def test_all_is_sent_when_the_handler_has_ended() -> None:
    client = Client()
    ended = threading.Event()

    def handler(ws: BlockingWebSocket) -> str:
        for number in range(SEND_AHEAD):
            ws.send_text(str(number))
        ended.set()
        return "result"

    task = client.run(handler)
    await client.accepted()
    client.gate.clear()
    await seen(ended)
    assert not task.done()
    client.gate.set()
    assert await soon(task) == "result"
    assert client.outbound.qsize() == SEND_AHEAD


async def test_a_send_to_a_client_that_is_gone_is_raised_by_the_next_call() -> None:
    client = Client()

    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        client.error = OSError()
        with pytest.raises(WebSocketDisconnected) as raised:
            send_for_ever(ws)
        assert raised.value.code == 1006
        assert raised.value.websocket is ws.websocket
        assert ws.recv() is None
        assert not ws.connected

    await soon(client.run(handler))


async def test_a_lost_client_wakes_recv() -> None:
    client = Client()

    def handler(ws: BlockingWebSocket) -> Any:
        ws.accept()
        assert ws.recv() == Message.text("a")
        client.error = OSError()
        ws.send_text("b")
        return ws.recv()  # though the server never tells of a disconnect

    client.says("a")
    assert await soon(client.run(handler)) is None


async def test_what_the_server_cannot_send_is_raised_by_the_next_call() -> None:
    client = Client()
    failed = threading.Event()

    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        client.error = ValueError("too big")
        ws.send_text("a")
        until_in_thread(lambda: ws.bridge.error is not None)
        client.error = None
        with pytest.raises(ValueError, match="too big"):
            ws.send_text("b")
        ws.send_text("c")
        failed.set()

    await soon(client.run(handler))
    await client.accepted()
    assert await client.hears() == "c"

    client.error = ValueError("too big")
    with pytest.raises(ValueError, match="too big"):
        await soon(client.run(lambda ws: ws.send_text("a")))


async def test_threads_of_other_connections_may_send() -> None:
    peers: list[BlockingWebSocket] = []
    barrier = threading.Barrier(3)

    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        peers.append(ws)
        barrier.wait(SOON)
        for number in range(100):
            for peer in peers:
                peer.send_text(f"{peers.index(ws)} {number}")
        barrier.wait(SOON)

    clients = [Client() for _ in range(3)]
    tasks = [client.run(handler) for client in clients]
    for task in tasks:
        await soon(task)
    for client in clients:
        await client.accepted()
        heard = [await client.hears() for _ in range(300)]
        for sender in range(3):  # each in its order
            assert [text for text in heard if text.startswith(f"{sender} ")] == [
                f"{sender} {number}" for number in range(100)
            ]


async def test_a_peer_that_is_gone_hurts_nobody() -> None:
    gone, client = Client(), Client()
    gone.leaves()
    await soon(gone.run(lambda ws: list(ws)))

    def handler(ws: BlockingWebSocket) -> None:
        with pytest.raises(WebSocketDisconnected) as raised:
            gone.twin.send_text("a")
        assert raised.value.websocket is gone.websocket
        ws.send_text("b")

    await soon(client.run(handler))
    await client.accepted()
    assert await client.hears() == "b"


async def test_a_callback_reads_no_further_than_it_asks() -> None:
    """Of a coroutine endpoint: what its callback leaves is for the handler."""
    client = Client()

    def callback(ws: BlockingWebSocket) -> Any:
        ws.accept()
        ws.send_text("who?")
        return ws.recv()

    client.says("Ann", "next")
    assert await soon(sync_to_async(callback)(client.twin)) == Message.text("Ann")
    assert await soon(client.websocket.receive_text()) == "next"
    await client.accepted()
    assert await client.hears() == "who?"

    def impatient(ws: BlockingWebSocket) -> None:
        with pytest.raises(TimeoutError):
            ws.recv(0.01)
        with pytest.raises(TimeoutError):
            ws.recv(0)

    await soon(sync_to_async(impatient)(client.twin))
    client.says("late")
    assert await soon(client.websocket.receive_text()) == "late"


async def test_a_call_within_a_call_does_not_wait_for_itself() -> None:
    """A farewell that sends, while the close that it precedes is being made."""
    client = Client()

    def farewell(code: int, reason: str) -> None:
        client.twin.send_text(f"bye {code}")

    client.websocket.before_close(sync_to_async(farewell))

    def handler(ws: BlockingWebSocket) -> None:
        ws.send_text("a")
        ws.close(4001)

    await soon(client.run(handler))
    await client.accepted()
    assert [await client.hears(), await client.hears()] == ["a", "bye 4001"]
    assert (await client.hears())["code"] == 4001


async def test_stale_database_connections_are_closed_after_a_long_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = threading.Event()
    monkeypatch.setattr(incoming, "LONG_WAIT", -1.0)
    monkeypatch.setattr(incoming, "close_old_connections", closed.set)

    def handler(ws: BlockingWebSocket) -> None:
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.01)

    await soon(Client().run(handler))
    assert closed.is_set()


# Shutting down


async def test_cancelling_wakes_recv() -> None:
    ended: list[Any] = []

    def handler(ws: BlockingWebSocket) -> None:
        ended.append(ws.recv())
        ended.append(ws.connected)
        for use in (ws.receive_text, lambda: ws.send_text("a"), ws.accept):
            with pytest.raises(WebSocketDisconnected):
                use()
        ws.close()

    client = Client()
    task = client.run(handler)
    await client.accepted()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(task)
    assert ended == [None, False]


async def test_cancelling_wakes_a_send_and_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "GRACE", 0.1)
    raised: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    full = threading.Event()

    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        assert full.wait(SOON)
        ws.send_text("the first that waits for the server")
        caller = threading.Thread(target=calling, args=[ws])
        caller.start()
        with pytest.raises(WebSocketDisconnected):
            send_for_ever(ws)
        caller.join(SOON)

    def calling(ws: BlockingWebSocket) -> None:
        try:
            ws.broadcast("a")
        except Exception as error:
            raised.put(error)

    client = Client()
    task = client.run(handler)
    await client.accepted()
    client.gate.clear()
    full.set()
    await until(lambda: client.twin.bridge._waiting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(task)
    assert isinstance(raised.get(timeout=SOON), WebSocketDisconnected)


def test_a_loop_that_goes_down_leaves_nobody_waiting() -> None:
    outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()
    twins: list[BlockingWebSocket] = []

    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        twins.append(ws)
        outcomes.put(ws.recv())

    async def main() -> None:
        client = Client()
        client.run(handler)
        await client.accepted()

    asyncio.run(main())  # cancels all tasks, the bridge's too
    assert outcomes.get(timeout=SOON) is None
    with pytest.raises(WebSocketDisconnected):
        twins[0].send_text("a")  # the loop is closed
    with pytest.raises(WebSocketDisconnected):
        twins[0].receive_text()
    assert twins[0].recv() is None
    twins[0].close()
    twins[0].ensure_closed()


async def test_no_task_is_left() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        ws.recv()
        ws.send_text("a")

    client = Client()
    client.says("a")
    await soon(client.run(handler))
    assert asyncio.all_tasks() == {asyncio.current_task()}
