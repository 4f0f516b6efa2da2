"""Rooms of `WebSocket.fake()` and `BlockingWebSocket.fake()`: it is alone in them."""

from typing import Any

import pytest

from bolt_ws import BlockingWebSocket, WebSocket, WebSocketDisconnected, room
from bolt_ws.blocking_rooms import BlockingRoom
from bolt_ws.rooms.layers import get_layer
from bolt_ws.rooms.room import Room
from bolt_ws.testing import capture_broadcasts


async def chat(websocket: WebSocket) -> None:
    """A handler as anybody writes it."""
    async with websocket.join("news") as here:
        async for message in websocket.iter_text():
            await here.send_json({"said": message})


def plain_chat(ws: BlockingWebSocket) -> None:
    """The same, plain."""
    with ws.join("news") as here:
        for message in ws.iter_text():
            here.send_json({"said": message})


async def test_a_handler_hears_itself() -> None:
    ws = WebSocket.fake("hello", "again")
    await chat(ws)
    assert ws.accepted
    assert ws.sent_json == [{"said": "hello"}, {"said": "again"}]
    assert ws.rooms == ()


def test_a_plain_handler_hears_itself() -> None:
    ws = BlockingWebSocket.fake("hello", "again")
    plain_chat(ws)
    assert ws.accepted
    assert ws.sent_json == [{"said": "hello"}, {"said": "again"}]
    assert ws.rooms == ()


async def test_what_a_room_does() -> None:
    ws = WebSocket.fake()
    here = await ws.join("news")
    assert isinstance(here, Room)
    assert (here.name, repr(here)) == ("news", "<Room 'news'>")
    await ws.join("other")
    await ws.join("news")
    assert ws.rooms == ("news", "other")
    await here.send_text("text")
    await here.send_bytes(b"bytes")
    for exclude in (ws, ws.id, [ws], {ws.id, "nobody's"}):
        await here.send_text("excluded", exclude=exclude)
    await here.send_text("not excluded", exclude="nobody's")
    count = await here.count()
    assert (count, count.is_complete, here.local_members) == (1, True, 1)
    await here.leave()
    await here.leave()
    await ws.leave("never joined")
    assert (await here.count(), here.local_members, ws.rooms) == (0, 0, ("other",))
    await here.send_text("to nobody")
    await ws.leave("other")
    assert ws.rooms == ()
    assert ws.sent == ["text", b"bytes", "not excluded"]


def test_what_a_blocking_room_does() -> None:
    ws = BlockingWebSocket.fake()
    here = ws.join("news")
    assert isinstance(here, BlockingRoom)
    assert (here.name, repr(here)) == ("news", "<BlockingRoom 'news'>")
    ws.join("other")
    assert ws.rooms == ("news", "other")
    here.send_text("text")
    here.send_bytes(b"bytes")
    for exclude in (ws, ws.id, [ws], {ws.id, "nobody's"}):
        here.send_text("excluded", exclude=exclude)
    count = here.count()
    assert (count, count.is_complete, here.local_members) == (1, True, 1)
    here.leave()
    here.leave()
    ws.leave("never joined")
    assert (here.count(), here.local_members, ws.rooms) == (0, 0, ("other",))
    here.send_text("to nobody")
    with ws.join("third"):
        assert ws.rooms == ("other", "third")
    assert ws.rooms == ("other",)
    assert ws.sent == ["text", b"bytes"]


async def test_the_block_leaves_after_an_exception() -> None:
    ws = WebSocket.fake()
    with pytest.raises(LookupError):
        async with ws.join("news"):
            raise LookupError
    assert ws.rooms == ()


def test_the_blocking_block_leaves_after_an_exception() -> None:
    ws = BlockingWebSocket.fake()
    with pytest.raises(LookupError), ws.join("news"):
        raise LookupError
    assert ws.rooms == ()


async def test_what_is_wrong_is_wrong_here_too() -> None:
    ws = WebSocket.fake()
    for name, error in (("", ValueError), ("x" * 201, ValueError), (5, TypeError)):
        with pytest.raises(error, match="a room's name"):
            ws.join(name)  # type: ignore[arg-type]
        with pytest.raises(error, match="a room's name"):
            await ws.leave(name)  # type: ignore[arg-type]
    here = await ws.join("news")
    with pytest.raises(TypeError, match=r"send_text\(\) takes str"):
        await here.send_text(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="object"):
        await here.send_json(object())
    with pytest.raises(TypeError):
        await here.send_text("x", exclude=5)  # type: ignore[arg-type]
    await ws.leave("news")
    with pytest.raises(TypeError):  # as with a server, whoever is there
        await here.send_text("x", exclude=5)  # type: ignore[arg-type]
    assert ws.sent == []


async def test_join_before_accept() -> None:
    ws = WebSocket.fake(auto_accept=False)
    with pytest.raises(RuntimeError, match="join"):
        await ws.join("news")
    await ws.accept()
    await ws.join("news")
    assert ws.rooms == ("news",)

    ws = WebSocket.fake()
    await ws.join("news")
    assert ws.accepted


@pytest.mark.parametrize("ended_by", ["the handler", "the client"])
async def test_after_the_end(ended_by: str) -> None:
    ws = WebSocket.fake()
    here = await ws.join("news")
    if ended_by == "the handler":
        await ws.close(4000)
    else:
        assert [text async for text in ws.iter_text()] == []
    with pytest.raises(WebSocketDisconnected, match="join"):
        await ws.join("other")
    await here.send_text("to nobody")
    assert (here.local_members, await here.count()) == (0, 0)
    await here.leave()
    await ws.leave("other")
    assert ws.sent == []


def test_a_blocking_one_after_the_end() -> None:
    ws = BlockingWebSocket.fake()
    with ws.join("news") as here:
        ws.close(4000)
        with pytest.raises(WebSocketDisconnected):
            ws.join("other")
        assert here.local_members == 0
    assert ws.rooms == ()


async def test_it_is_alone() -> None:
    one, two = WebSocket.fake(), WebSocket.fake()
    for ws in (one, two):
        await ws.join("news")
    await (await one.join("news")).send_text("hello")
    await room("news").asend_text("from anywhere")
    assert (one.sent, two.sent) == (["hello"], [])
    assert room("news").local_members == 0
    assert get_layer().groups == {}


async def test_what_is_sent_is_captured() -> None:
    with capture_broadcasts() as heard:
        await chat(WebSocket.fake("hello"))
    assert heard == [({"said": "hello"}, "room", "news")]


async def test_a_broadcast_reaches_itself_unless_excluded() -> None:
    ws = WebSocket.fake()
    await ws.broadcast("hello")
    await ws.broadcast({"n": 1}, scope="endpoint")
    await ws.broadcast("excluded", exclude=ws.id)
    assert ws.sent == ["hello", '{"n":1}']


def test_a_blocking_broadcast_reaches_itself_unless_excluded() -> None:
    ws: Any = BlockingWebSocket.fake()
    ws.broadcast("hello")
    ws.broadcast("excluded", exclude=[ws])
    assert ws.sent == ["hello"]
