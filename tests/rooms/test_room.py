"""Rooms in a handler: `join`, `leave`, `rooms`, and what is sent to a room."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.test import override_settings

from bolt_ws import BoltAPI, Room, WebSocket, WebSocketDisconnected, disconnect_where, room, user
from bolt_ws.auth import AllowAny, Guard
from bolt_ws.blocking import twin_of
from bolt_ws.rooms.layers import get_layer
from bolt_ws.testing import AsyncTestClient
from tests.identities import eventually
from tests.rooms.members import JOINING, Member, hears, no_room_left, nothing_more, party
from tests.support import ACCEPT, TIMEOUT, Connection, close, make_scope, serve, talk, text


async def join(websocket: WebSocket, name: str) -> Room:
    """Join a room, as a task of its own."""
    return await websocket.join(name)


# Sending


async def test_a_message_reaches_all_members_and_the_sender() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news")
        stranger = await opened.connect()
        here = await a.websocket.join("news")
        assert isinstance(here, Room)
        assert (here.name, repr(here)) == ("news", "<Room 'news'>")
        await here.send_text("text")
        await here.send_bytes(b"bytes")
        await here.send_json({"json": [1, None]})
        for member in (a, b):
            await hears(member, "text", b"bytes", '{"json":[1,null]}')
        await nothing_more(a, b, stranger)


async def test_empty_messages_are_messages() -> None:
    async with party() as opened:
        a = await opened.connect()
        here = await a.websocket.join("news")
        await here.send_text("")
        await here.send_bytes(b"")
        await here.send_bytes(memoryview(b"view"))
        await hears(a, "", b"", b"view")


@pytest.mark.parametrize(
    "exclude",
    [
        lambda a, b: a,
        lambda a, b: a.id,
        lambda a, b: twin_of(a),
        lambda a, b: [a],
        lambda a, b: (a.id,),
        lambda a, b: {a, "an id that nobody has"},
        lambda a, b: (each for each in [a]),
        lambda a, b: {a: "its name"},
    ],
)
async def test_exclude(exclude: Callable[..., Any]) -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news")
        here = await b.websocket.join("news")
        for send, data in ((here.send_text, "x"), (here.send_bytes, b"x"), (here.send_json, 1)):
            await send(data, exclude=exclude(a.websocket, b.websocket))
        await here.send_text("to all")
        await hears(a, "to all")
        await hears(b, "x", b"x", "1", "to all")


async def test_exclude_several() -> None:
    async with party() as opened:
        a, b, c = await opened.members(3, "news")
        here = await c.websocket.join("news")
        await here.send_text("x", exclude=[a.websocket, b.websocket.id])
        await hears(c, "x")
        await nothing_more(a, b)
        await here.send_text("y", exclude=[each.websocket for each in (a, b, c)])
        await nothing_more(a, b, c)


@pytest.mark.parametrize("wrong", [None, 5, object(), [5], [None], [b"id"], b"id"])
async def test_exclude_of_what_is_no_connection(wrong: Any) -> None:
    async with party() as opened:
        a = await opened.connect()
        here = await a.websocket.join("news")
        for send in (here.send_text, here.send_json, a.websocket.broadcast):
            with pytest.raises(TypeError, match="exclude="):
                await send("x", exclude=wrong)
        await nothing_more(a)


async def test_what_cannot_be_sent() -> None:
    async with party() as opened:
        a = await opened.connect()
        here = await a.websocket.join("news")
        with pytest.raises(TypeError, match=r"send_text\(\) takes str, not bytes"):
            await here.send_text(b"x")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="str"):
            await here.send_bytes("x")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await here.send_bytes(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="object"):
            await here.send_json({"it": object()})
        await nothing_more(a)


async def test_two_rooms_never_hear_each_other() -> None:
    names = ["a", "b", "A", "a.b", "room a", "room b", "\N{SNOWMAN}", "x" * 200, "x" * 199]
    async with party() as opened:
        members = {name: await opened.connect("/lobby", name) for name in names}
        for name, member in members.items():
            await room(name).asend_text(f"to {name}")
            await hears(member, f"to {name}")
        await nothing_more(*members.values())


@override_settings(CHANNEL_LAYERS=JOINING)
async def test_a_room_is_no_path_no_user_and_no_group_of_our_own() -> None:
    async with party() as opened:
        a = await opened.connect("/lobby", query={"user": "7"})
        names = ("/lobby", "lobby", "7", "user:7", "bolt_ws.shared", "endpoint")
        members = [await opened.connect("/elsewhere", name) for name in names]
        for name, member in zip(names, members, strict=True):
            await room(name).asend_text(f"in {name}")
            await hears(member, f"in {name}")
        await user(7).asend_text("to the user")
        await a.websocket.broadcast("to the path")
        await hears(a, "to the user", "to the path")
        await nothing_more(a, *members)


# Order


async def test_one_senders_messages_come_in_order_to_all() -> None:
    async with party() as opened:
        members = await opened.members(3, "news")
        here = await members[0].websocket.join("news")
        for number in range(100):
            await (here.send_json(number) if number % 2 else here.send_bytes(b"%d" % number))
        sent = [str(number) if number % 2 else b"%d" % number for number in range(100)]
        for member in members:
            await hears(member, *sent)


async def test_several_senders_are_heard_by_all_in_one_order() -> None:
    async with party() as opened:
        members = await opened.members(3, "news")

        async def speak(member: Member, name: int) -> None:
            here = await member.websocket.join("news")
            for number in range(30):
                await here.send_json([name, number])
                await asyncio.sleep(0)

        await asyncio.gather(*(speak(each, name) for name, each in enumerate(members)))
        heard = [[await each.client.receive_json() for _ in range(90)] for each in members]
        assert heard[0] == heard[1] == heard[2]
        for name in range(3):
            assert [number for by, number in heard[0] if by == name] == list(range(30))


async def test_a_message_is_there_before_what_its_sender_sends_next() -> None:
    async def handler(websocket: WebSocket) -> None:
        here = await websocket.join("news")
        for number in range(20):
            await here.send_text(f"room {number}")
            await websocket.send_text(f"own {number}")
            await websocket.broadcast(f"path {number}")

    sent = await talk(serve(handler))
    each = [text(f"{kind} {number}") for number in range(20) for kind in ("room", "own", "path")]
    assert sent == [ACCEPT, *each, close()]


async def test_a_message_is_there_before_what_its_sender_sends_next_among_slow_ones() -> None:
    async def handler(websocket: WebSocket) -> None:
        async with websocket.join("news") as here:
            async for message in websocket:
                await here.send_text(f"room {message}")
                await websocket.send_text(f"own {message}")

    async def waits(event: Any) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    served = serve(handler)
    slow = [Connection(served, on_send=waits) for _ in range(5)]
    fast = Connection(served)
    for count, connection in enumerate([*slow, fast], 1):
        assert await connection.next() == ACCEPT
        await eventually(lambda count=count: room("news").local_members == count)  # type: ignore[misc]
    fast.put("one", "two")
    expected = [text(each) for each in ("room one", "own one", "room two", "own two")]
    assert [await fast.next() for _ in range(4)] == expected
    for connection in slow:
        assert [await connection.next(), await connection.next()] == expected[::2]
    for connection in (*slow, fast):
        connection.leave()
        await connection.end()
    await no_room_left()


async def test_a_send_returns_when_all_members_have_the_message() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news")
        await (await a.websocket.join("news")).send_text("hello")
        assert [each.client.sent[-1] for each in (a, b)] == [text("hello")] * 2


async def test_sending_in_tasks_of_a_handler() -> None:
    async def handler(websocket: WebSocket) -> None:
        async with websocket.join("news") as here, asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(here.send_text(str(number)))

    sent = await talk(serve(handler))
    assert sent == [ACCEPT, *(text(str(number)) for number in range(10)), close()]


async def test_a_sender_does_not_wait_for_one_who_is_about_to_join() -> None:
    async with party() as opened:
        a = await opened.connect()
        joining = asyncio.create_task(join(a.websocket, "news"))
        while not joining.done():
            async with asyncio.timeout(1):  # far less than BOLT_WS["ROOM_TIMEOUT"]
                await room("news").asend_text("hello")
            await asyncio.sleep(0)
        await (await joining).send_text("at last")
        while await a.client.receive_text() == "hello":
            pass


@pytest.mark.parametrize("turns", range(6))
async def test_a_sender_does_not_wait_for_one_who_leaves(turns: int) -> None:
    async with party() as opened:
        a = await opened.connect("/lobby", "news")
        sending = asyncio.create_task(room("news").asend_text("hello"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await a.websocket.leave("news")
        async with asyncio.timeout(1):
            await sending


# Joining


async def test_the_block_leaves_at_its_end() -> None:
    async with party() as opened:
        a, b = await opened.connect(), await opened.connect("/lobby", "news")
        async with a.websocket.join("news") as here:
            assert a.websocket.rooms == ("news",)
            assert here.local_members == 2
        assert a.websocket.rooms == ()
        await room("news").asend_text("later")
        await hears(b, "later")
        await nothing_more(a)


async def test_the_block_leaves_after_an_exception_and_lets_it_pass() -> None:
    async with party() as opened:
        a = await opened.connect()
        with pytest.raises(LookupError):
            async with a.websocket.join("news"):
                raise LookupError
        assert (a.websocket.rooms, room("news").local_members) == ((), 0)


async def test_the_block_leaves_when_it_is_cancelled() -> None:
    async with party() as opened:
        a = await opened.connect()
        joined = asyncio.Event()

        async def stay() -> None:
            async with a.websocket.join("news"):
                joined.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(stay())
        await joined.wait()
        assert a.websocket.rooms == ("news",)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (a.websocket.rooms, room("news").local_members) == ((), 0)


async def test_a_join_that_is_cancelled_is_none() -> None:
    async with party() as opened:
        a = await opened.connect()

        task = asyncio.create_task(join(a.websocket, "news"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (a.websocket.rooms, room("news").local_members) == ((), 0)


async def test_rooms_are_in_the_order_of_joining() -> None:
    async with party() as opened:
        a = await opened.connect("/lobby", "c", "a", "b")
        assert a.websocket.rooms == ("c", "a", "b")
        await a.websocket.join("c")
        assert a.websocket.rooms == ("c", "a", "b")
        await a.websocket.leave("a")
        await a.websocket.join("a")
        assert a.websocket.rooms == ("c", "b", "a")


async def test_joining_twice_is_being_in_once() -> None:
    async with party() as opened:
        a = await opened.connect("/lobby", "news", "news")
        here = await a.websocket.join("news")
        assert here.local_members == 1
        await here.send_text("once")
        await hears(a, "once")
        await nothing_more(a)
        await here.leave()
        assert (a.websocket.rooms, here.local_members) == ((), 0)


async def test_leaving() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news", "other")
        here = await a.websocket.join("news")
        await a.websocket.leave("news")
        assert a.websocket.rooms == ("other",)
        await a.websocket.leave("news")
        await a.websocket.leave("never joined")
        await here.leave()
        await room("news").asend_text("news")
        await room("other").asend_text("other")
        await hears(a, "other")
        await hears(b, "news", "other")


async def test_a_joining_may_be_awaited_later() -> None:
    async with party() as opened:
        a = await opened.connect()
        joining = a.websocket.join("news")
        assert a.websocket.rooms == ()
        assert (await joining).name == "news"
        assert a.websocket.rooms == ("news",)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", ValueError),
        ("x" * 201, ValueError),
        (5, TypeError),
        (None, TypeError),
        (b"room", TypeError),
        (["room"], TypeError),
    ],
)
async def test_names_that_no_room_can_have(name: Any, error: type[Exception]) -> None:
    async with party() as opened:
        a = await opened.connect()
        with pytest.raises(error, match="a room's name"):
            a.websocket.join(name)
        with pytest.raises(error, match="a room's name"):
            await a.websocket.leave(name)
        with pytest.raises(error, match="a room's name"):
            room(name)


@pytest.mark.parametrize("name", [" ", "\0", "\ud800", "room.1", "bolt_ws.", "a/b:c", "x" * 200])
async def test_any_other_name(name: str) -> None:
    async with party() as opened:
        a, b = await opened.members(2, name)
        assert a.websocket.rooms == (name,)
        await room(name).asend_text("hello")
        await hears(a, "hello")
        await hears(b, "hello")


# Before accept, and after the end


async def test_join_accepts() -> None:
    async def handler(websocket: WebSocket) -> None:
        here = await websocket.join("news")
        await here.send_text("hello")

    assert await talk(serve(handler)) == [ACCEPT, text("hello"), close()]


async def test_a_handler_that_only_listens_to_a_room() -> None:
    async def handler(websocket: WebSocket) -> None:
        async with websocket.join("news"):
            async for _ in websocket:
                pass

    connection = Connection(serve(handler))
    assert await connection.next() == ACCEPT
    await eventually(lambda: bool(get_layer().groups))
    await room("news").asend_text("hello")
    assert await connection.next() == text("hello")
    connection.leave()
    await connection.end()
    await no_room_left()


async def test_join_before_accept_where_the_handler_accepts() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(RuntimeError, match="join"):
            await websocket.join("news")
        with pytest.raises(RuntimeError, match="join"):
            async with websocket.join("news"):
                pass
        assert (websocket.rooms, room("news").local_members) == ((), 0)
        await websocket.accept()
        await websocket.join("news")

    assert await talk(serve(handler, auto_accept=False)) == [ACCEPT, close()]
    await no_room_left()


async def test_after_the_end() -> None:
    ran = False

    async def handler(websocket: WebSocket) -> None:
        nonlocal ran
        here = await websocket.join("news")
        await websocket.close(4000)
        with pytest.raises(WebSocketDisconnected, match="join"):
            await websocket.join("other")
        with pytest.raises(WebSocketDisconnected):
            async with websocket.join("news"):
                pass
        await here.send_text("to whoever is left")
        await websocket.leave("news")
        await here.leave()
        ran = True

    assert await talk(serve(handler)) == [ACCEPT, close(4000)]
    assert ran
    await no_room_left()


async def test_a_connection_that_belongs_to_no_endpoint() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    websocket = WebSocket(make_scope(), receive, send)
    await websocket.accept()
    with pytest.raises(RuntimeError, match="Cannot join: this connection belongs to no endpoint"):
        await websocket.join("news")
    with pytest.raises(RuntimeError, match="belongs to no endpoint"):
        async with websocket.join("news"):
            pass
    await websocket.leave("news")
    assert websocket.rooms == ()
    assert len(sent) == 1


# The end of a connection


async def returns(websocket: WebSocket) -> None:
    pass


async def raises(websocket: WebSocket) -> None:
    raise LookupError("bug")


async def listens(websocket: WebSocket) -> None:
    async for _ in websocket:
        pass


async def closes(websocket: WebSocket) -> None:
    await websocket.close(4000)


async def is_closed_by_another_task(websocket: WebSocket) -> None:
    task = asyncio.create_task(websocket.close(4001))
    await listens(websocket)
    await task


async def is_disconnected(websocket: WebSocket) -> None:
    disconnect_where(lambda each: each is websocket)
    await listens(websocket)


async def cancels_itself(websocket: WebSocket) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(TIMEOUT)


async def joins_more_at_the_end(websocket: WebSocket) -> None:
    try:
        await listens(websocket)
    finally:
        with pytest.raises(WebSocketDisconnected):
            await websocket.join("late")


async def leaves_a_join_behind(websocket: WebSocket) -> None:
    async def join() -> None:
        with suppress(WebSocketDisconnected):
            await websocket.join("late")

    background.add(asyncio.create_task(join()))


background: set[Any] = set()

ways_out = [
    returns,
    raises,
    listens,
    closes,
    is_closed_by_another_task,
    is_disconnected,
    cancels_itself,
    joins_more_at_the_end,
    leaves_a_join_behind,
]


@pytest.mark.parametrize("way_out", ways_out)
async def test_a_connection_that_has_ended_is_in_no_room(way_out: Callable[..., Any]) -> None:
    joined: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.join("one")
        await websocket.join("two")
        joined.append(websocket)
        await way_out(websocket)

    connection = Connection(serve(handler))
    connection.leave(1006)
    try:
        await connection.end()
    except (LookupError, asyncio.CancelledError):
        assert way_out in (raises, cancels_itself)
    assert len(joined) == 1
    while background:
        await background.pop()
    assert joined[0].rooms == ()
    await no_room_left()


async def test_a_connection_whose_client_is_gone_is_in_no_room() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "one", "two")
        await a.client.close(1006)
        await room("one").asend_text("hello")
        await hears(b, "hello")
        assert room("one").local_members == 1
        assert a.websocket.rooms == ()
    await no_room_left()


async def test_a_cancelled_handler_is_in_no_room() -> None:
    connection = Connection(serve(joins_and_waits))
    assert await connection.next() == ACCEPT
    assert await connection.next() == text("joined")
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    await no_room_left()


async def joins_and_waits(websocket: WebSocket) -> None:
    async with websocket.join("news") as here:
        await here.send_text("joined")
        await asyncio.Event().wait()


class Nobody(Guard):
    """Lets nobody in."""

    async def has_permission(self, websocket: Any) -> bool:
        return False


async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(403)


@pytest.mark.parametrize(
    ("handler", "guards"), [(returns, []), (rejects, []), (listens, [Nobody()])]
)
async def test_a_refused_connection_is_in_no_room(handler: Any, guards: Any) -> None:
    sent = await talk(serve(handler, guards=guards or [AllowAny()]), deny=True)
    assert sent[0]["status"] == 403
    await no_room_left()


async def test_a_join_in_on_connect_holds_until_the_end() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        assert websocket.rooms == ("news",)
        await room("news").asend_text("hello")

    @handler.on_connect
    async def greet(websocket: WebSocket) -> None:
        await websocket.join("news")

    @handler.on_close
    async def part(websocket: WebSocket) -> None:
        await room("news").asend_text("bye")

    assert await talk(api.as_asgi()) == [ACCEPT, text("hello"), text("bye"), close()]
    await no_room_left()


async def test_members_who_come_and_go_in_any_order_leave_nothing_behind() -> None:
    chance = random.Random(7)
    async with party() as opened:
        members = await opened.members(4)
        for _ in range(300):
            member, name = chance.choice(members).websocket, chance.choice("abc")
            task = asyncio.create_task(join(member, name))
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                task.cancel()
            await asyncio.wait([task])
            if chance.random() < 0.5:
                await member.leave(name)
        for name in "abc":
            expected = [each for each in members if name in each.websocket.rooms]
            assert room(name).local_members == len(expected)
            await room(name).asend_text(name)
            for member in expected:
                await hears(member, name)
        await nothing_more(*members)
    await no_room_left()


# Members


async def test_how_many_are_there() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news")
        here = await a.websocket.join("news")
        count = await here.count()
        assert (count, count.is_complete, here.local_members) == (2, True, 2)
        assert repr(count) == "MemberCount(2, is_complete=True)"
        await b.websocket.leave("news")
        assert (await here.count(), here.local_members) == (1, 1)
        await here.leave()
        assert (await here.count(), here.local_members) == (0, 0)


async def test_the_layers_group_is_the_rooms_name_and_has_one_channel() -> None:
    async with party() as opened:
        await opened.members(5, "room.1")
        assert {name: len(channels) for name, channels in get_layer().groups.items()} == {
            "room.1": 1
        }


# Broadcasts


async def test_a_broadcast_reaches_the_path_and_one_with_a_scope_the_endpoint() -> None:
    async with party() as opened:
        a, b, elsewhere = [await opened.connect(path) for path in ("/1", "/1", "/2")]
        await a.websocket.broadcast("all here")
        await a.websocket.broadcast({"others": "here"}, exclude=a.websocket.id)
        await a.websocket.broadcast(b"all", scope="endpoint")
        await a.websocket.broadcast(b"others", scope="endpoint", exclude=[a.websocket])
        await hears(a, "all here", b"all")
        await hears(b, "all here", '{"others":"here"}', b"all", b"others")
        await hears(elsewhere, b"all", b"others")
        with pytest.raises(ValueError, match="scope is 'path' or 'endpoint', not 'room'"):
            await a.websocket.broadcast("x", scope="room")  # type: ignore[arg-type]
        await nothing_more(a, b, elsewhere)


async def test_a_broadcast_of_an_endpoint() -> None:
    async with party() as opened:
        a, b = [await opened.connect(path) for path in ("/1", "/2")]
        await opened.endpoint.broadcast("all")
        await opened.endpoint.broadcast("others", exclude=a.websocket.id)
        await hears(a, "all")
        await hears(b, "all", "others")


async def listening(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket:
        await websocket.broadcast(message, scope="endpoint")


async def heard(first: Connection, second: Connection) -> list[Any]:
    """Have the first of two connections broadcast, and return what the second one has got."""
    for connection in (first, second):
        assert await connection.next() == ACCEPT
    first.put("hello")
    assert await first.next() == text("hello")
    for connection in (first, second):
        connection.leave()
        await connection.end()
    await no_room_left()
    return second.sent[1:]


async def test_endpoints_of_one_function_do_not_hear_each_other() -> None:
    api = BoltAPI()
    one = api.websocket("/one/{place}")(listening)
    two = api.websocket("/two/{place}")(listening)
    assert one is not two
    served = api.as_asgi()
    assert await heard(Connection(served, "/one/a"), Connection(served, "/two/a")) == []
    assert await heard(Connection(served, "/two/a"), Connection(served, "/two/b")) == [
        text("hello")
    ]


async def test_endpoints_that_a_factory_makes_do_not_hear_each_other() -> None:
    def make() -> BoltAPI:
        api = BoltAPI()

        @api.websocket("/")
        async def endpoint(websocket: WebSocket) -> None:
            await listening(websocket)

        return api

    one, two = make().as_asgi(), make().as_asgi()
    assert await heard(Connection(one), Connection(two)) == []
    assert await heard(Connection(two), Connection(two)) == [text("hello")]


async def test_an_endpoint_that_is_included_twice_is_one() -> None:
    chat = BoltAPI()
    endpoint = chat.websocket("/chat")(listening)
    api = BoltAPI()
    api.include(chat, prefix="/one")
    api.include(chat, prefix="/two")
    async with (
        AsyncTestClient(api) as client,
        client.websocket_connect("/one/chat") as one,
        client.websocket_connect("/two/chat") as two,
    ):
        await one.send_text("hello")
        assert await two.receive_text() == "hello"
        await endpoint.broadcast("bye")
        assert [await two.receive_text()] == ["bye"]
