"""Rooms in a plain `def` handler."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnected, room, user
from bolt_ws.blocking_rooms import BlockingRoom
from bolt_ws.rooms.layers import get_layer
from bolt_ws.testing import TestClient
from tests.blocking import Client
from tests.identities import eventually
from tests.rooms.members import no_room_left
from tests.support import ACCEPT, TIMEOUT, Connection, close, serve, talk, text

pytestmark = pytest.mark.usefixtures("no_thread_left")


def make_chat() -> BoltAPI:
    """A chat of plain functions, in which each says who it is."""
    api = BoltAPI()

    @api.websocket("/{name}")
    def chat(ws: BlockingWebSocket, name: str, others: bool = False) -> None:
        with ws.join("news") as here:
            ws.send_text("joined")
            for message in ws:
                here.send_json({name: message}, exclude=ws if others else ())

    return api


def test_plain_handlers_hear_each_other() -> None:
    with (
        TestClient(make_chat()) as client,
        client.websocket_connect("/ann") as ann,
        client.websocket_connect("/bob?others=1") as bob,
    ):
        assert (ann.receive_text(), bob.receive_text()) == ("joined", "joined")
        ann.send_text("hello")
        assert ann.receive_json() == bob.receive_json() == {"ann": "hello"}
        bob.send_text("hi")
        assert ann.receive_json() == {"bob": "hi"}
        bob.receive_nothing()
        assert room("news").count() == 2
    assert room("news").count() == 0


async def test_what_a_room_does() -> None:
    done: list[Any] = []

    def handler(ws: BlockingWebSocket) -> None:
        here = ws.join("news")
        assert isinstance(here, BlockingRoom)
        assert (here.name, repr(here)) == ("news", "<BlockingRoom 'news'>")
        assert ws.rooms == ("news",)
        count = here.count()
        assert (count, count.is_complete, here.local_members) == (1, True, 1)
        here.send_text("text")
        here.send_bytes(b"bytes")
        here.send_json({"n": 1})
        for exclude in (ws, ws.id, ws.websocket, [ws], {ws.id}):
            here.send_text("excluded", exclude=exclude)
            here.send_bytes(b"excluded", exclude=exclude)
            here.send_json("excluded", exclude=exclude)
        other = ws.join("other")
        assert ws.rooms == ("news", "other")
        ws.leave("news")
        ws.leave("never joined")
        other.leave()
        other.leave()
        assert (ws.rooms, here.local_members, here.count()) == ((), 0, 0)
        done.append("all")

    sent = await talk(serve(handler))
    assert done == ["all"]
    event = {"type": "websocket.send", "bytes": b"bytes"}
    assert sent == [ACCEPT, text("text"), event, text('{"n":1}'), close()]
    await no_room_left()


async def test_a_message_to_the_room_stands_between_the_connections_own() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        with ws.join("news") as here:
            for number in range(20):
                ws.send_text(f"own {number}")
                here.send_text(f"room {number}")
                ws.broadcast(f"path {number}")
                room("news").send_text(f"anywhere {number}")

    kinds = ("own", "room", "path", "anywhere")
    expected = [text(f"{kind} {number}") for number in range(20) for kind in kinds]
    assert await talk(serve(handler)) == [ACCEPT, *expected, close()]


async def test_the_block_leaves_at_its_end_and_after_an_exception() -> None:
    done: list[Any] = []

    def handler(ws: BlockingWebSocket) -> None:
        with ws.join("news"):
            assert ws.rooms == ("news",)
        assert ws.rooms == ()
        with pytest.raises(LookupError), ws.join("news"):
            raise LookupError
        assert ws.rooms == ()
        done.append("all")

    assert await talk(serve(handler)) == [ACCEPT, close()]
    assert done == ["all"]
    await no_room_left()


@pytest.mark.parametrize("error", [None, LookupError("bug")])
async def test_the_block_ends_quietly_when_the_connection_has_ended(
    error: Exception | None,
) -> None:
    done: list[Any] = []

    def handler(ws: BlockingWebSocket) -> None:
        try:
            with ws.join("news"):
                ws.close(4000)
                if error is not None:
                    raise error
        except LookupError as raised:
            done.append(raised)
        done.append(ws.rooms)

    assert await talk(serve(handler)) == [ACCEPT, close(4000)]
    assert done == ([()] if error is None else [error, ()])
    await no_room_left()


async def test_after_the_end() -> None:
    done: list[Any] = []

    def handler(ws: BlockingWebSocket) -> None:
        here = ws.join("news")
        ws.close(4000)
        with pytest.raises(WebSocketDisconnected):
            ws.join("other")
        for leave in (here.leave, lambda: ws.leave("news"), lambda: ws.leave("never joined")):
            leave()
        assert ws.rooms == ()
        done.append("all")

    assert await talk(serve(handler)) == [ACCEPT, close(4000)]
    assert done == ["all"]
    await no_room_left()


async def test_wrong_arguments() -> None:
    done: list[Any] = []

    def handler(ws: BlockingWebSocket) -> None:
        for name, error in (("", ValueError), ("x" * 201, ValueError), (5, TypeError)):
            with pytest.raises(error, match="a room's name"):
                ws.join(name)  # type: ignore[arg-type]
        with ws.join("news") as here:
            with pytest.raises(TypeError, match=r"send_text\(\) takes str, not int"):
                here.send_text(5)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                here.send_bytes("x")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="object"):
                here.send_json(object())
            for wrong in (5, [object()]):
                with pytest.raises(TypeError):
                    here.send_text("x", exclude=wrong)
        done.append("all")

    assert await talk(serve(handler)) == [ACCEPT, close()]
    assert done == ["all"]


async def test_join_before_accept_where_the_handler_accepts() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        with pytest.raises(RuntimeError, match="join"):
            ws.join("news")
        ws.accept()
        ws.join("news")

    assert await talk(serve(handler, auto_accept=False)) == [ACCEPT, close()]
    await no_room_left()


async def test_a_connection_that_belongs_to_no_endpoint() -> None:
    client = Client()

    def handler(ws: BlockingWebSocket) -> None:
        with pytest.raises(RuntimeError, match="belongs to no endpoint"):
            ws.join("news")

    await client.run(handler)


async def test_a_coroutine_is_told_what_to_use() -> None:
    client = Client()
    with pytest.raises(RuntimeError, match=r"await websocket\.join\("):
        client.twin.join("news")
    with pytest.raises(RuntimeError, match=r"await websocket\.leave\("):
        client.twin.leave("news")
    assert client.twin.rooms == ()


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda here: here.send_text("x"), r"await room\.send_text"),
        (lambda here: here.send_bytes(b"x"), r"await room\.send_bytes"),
        (lambda here: here.send_json(1), r"await room\.send_json"),
        (lambda here: here.count(), r"await room\.count"),
        (lambda here: here.leave(), r"await room\.leave"),
        (lambda here: here.__enter__(), "async with"),
    ],
)
async def test_a_rooms_methods_in_a_coroutine_say_what_to_use(
    call: Callable[[BlockingRoom], Any], instead: str
) -> None:
    rooms: list[BlockingRoom] = []

    def handler(ws: BlockingWebSocket) -> None:
        rooms.append(ws.join("news"))
        for _ in ws:
            pass

    connection = Connection(serve(handler))
    assert await connection.next() == ACCEPT
    await eventually(lambda: bool(rooms))
    with pytest.raises(RuntimeError, match=instead):
        call(rooms[0])
    assert rooms[0].local_members == 1
    connection.leave()
    await connection.end()


@pytest.mark.parametrize("way_out", ["returns", "raises", "is cancelled", "closes"])
async def test_a_connection_that_has_ended_is_in_no_room(way_out: str) -> None:
    seen: list[BlockingWebSocket] = []

    def handler(ws: BlockingWebSocket) -> None:
        ws.join("one")
        ws.join("two")
        seen.append(ws)
        ws.send_text("joined")
        if way_out == "raises":
            raise LookupError("bug")
        if way_out == "closes":
            ws.close(4000)
        elif way_out == "is cancelled":
            ws.recv()

    connection = Connection(serve(handler))
    assert [await connection.next(), await connection.next()] == [ACCEPT, text("joined")]
    assert connection.task is not None
    if way_out == "is cancelled":
        connection.task.cancel()
    try:
        await connection.end()
    except (LookupError, asyncio.CancelledError):
        assert way_out in ("raises", "is cancelled")
    assert seen[0].rooms == ()
    await no_room_left()


async def test_any_thread_of_a_handler_sends() -> None:
    def handler(ws: BlockingWebSocket) -> None:
        with ws.join("news") as here:
            threads = [
                threading.Thread(target=here.send_text, args=[str(number)]) for number in range(5)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(TIMEOUT)

    sent = await talk(serve(handler))
    assert sorted(event["text"] for event in sent[1:-1]) == list("01234")


async def test_async_and_plain_handlers_are_in_the_same_rooms() -> None:
    api = BoltAPI()

    @api.websocket("/plain")
    def plain(ws: BlockingWebSocket) -> None:
        with ws.join("news") as here:
            here.send_text("from the plain one")
            for _ in ws:
                pass

    @api.websocket("/async")
    async def coroutine(websocket: WebSocket) -> None:
        async with websocket.join("news") as here:
            await websocket.send_text("joined")
            async for message in websocket:
                await here.send_text(message)

    served = api.as_asgi()
    one = Connection(served, "/async")
    assert [await one.next(), await one.next()] == [ACCEPT, text("joined")]
    two = Connection(served, "/plain")
    assert await two.next() == ACCEPT
    assert await one.next() == await two.next() == text("from the plain one")
    one.put("hello")
    assert await one.next() == await two.next() == text("hello")
    assert len(get_layer().groups["news"]) == 1
    for connection in (one, two):
        connection.leave()
        await connection.end()
    await no_room_left()


async def test_a_plain_callback_joins_and_sends() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        assert websocket.rooms == ("news",)

    @handler.on_connect
    def greet(ws: BlockingWebSocket) -> None:
        here = ws.join("news")
        here.send_text("hello")
        room("news").send_text("from anywhere")

    @handler.on_close
    def part(ws: BlockingWebSocket) -> None:
        room("news").send_text("bye")

    expected = [text(each) for each in ("hello", "from anywhere", "bye")]
    assert await talk(api.as_asgi()) == [ACCEPT, *expected, close()]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_a_plain_handler() -> None:
    api = BoltAPI()

    @api.websocket("/")
    def handler(ws: BlockingWebSocket) -> None:
        with ws.join("news") as here:
            with transaction.atomic():
                room("news").send_text("at the commit")
                here.send_text("at once, as all that a handler sends")
            with transaction.atomic():
                room("news").send_text("never")
                user(7).send_text("never")
                transaction.set_rollback(True)
            ws.send_text("done")
            ws.recv()

    with TestClient(api).websocket_connect("/") as session:
        assert session.receive_text() == "at once, as all that a handler sends"
        assert session.receive_text() == "at the commit"
        assert session.receive_text() == "done"
        session.receive_nothing()
