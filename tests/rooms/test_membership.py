"""Joins and leaves in any order: the layer is told what it has to know, and nothing is left."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from django.test import override_settings

from bolt_ws import WebSocket, room, ticker
from bolt_ws.rooms import hub, inlets, publisher, pulse
from bolt_ws.rooms.hubs import say_farewell
from tests.rooms import support
from tests.rooms.support import (
    FakeLayer,
    enter,
    hub_of_this_loop,
    make_chat,
    other_tasks,
    part,
    texts,
    turns,
    until,
    until_nobody_is_left,
)
from tests.support import ACCEPT, TIMEOUT, Application, Connection, serve

fake_layer = support.fake_layer
memory_layer = support.memory_layer

STEPS = 10_000


@pytest.fixture(autouse=True)
async def _farewell() -> AsyncIterator[None]:
    yield
    await say_farewell()


@pytest.fixture
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker, "TICK", 0.01)
    for module in (inlets, publisher, pulse):
        monkeypatch.setattr(module, "MAX_PAUSE", 0.02)
    for module in (publisher, pulse):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.005)


def make_players(players: list[WebSocket]) -> Application:
    """An application whose connections do nothing themselves, and are found in `players`."""

    async def player(websocket: WebSocket) -> None:
        await websocket.accept()
        players.append(websocket)
        try:
            async for _ in websocket:
                pass
        finally:
            players.remove(websocket)

    return serve(player)


async def connect(application: Application) -> Connection:
    """Return an accepted connection."""
    connection = Connection(application)
    assert await connection.next() == ACCEPT
    return connection


# What it costs


async def test_a_hundred_members_cost_the_layer_one_membership(fake_layer: FakeLayer) -> None:
    chat = make_chat()
    with override_settings(BOLT_WS={"ROOM_LINGER": 60.0}):
        members = [Connection(chat, "/a") for _ in range(100)]
        for each in members:
            each.start()
        for each in members:
            assert await each.next() == ACCEPT
            await each.next()
        assert len(fake_layer.groups["a"]) == 1
        assert fake_layer.count("group_add", "a") == 1
        fake_layer.calls.clear()
        await room("a").asend_text("hi")
        await until(lambda: all(texts(each) == ["hi"] for each in members))
        assert fake_layer.count("group_send", "a") == 1
        await part(*members)


async def test_a_leave_and_a_join_within_the_linger_cost_nothing(fake_layer: FakeLayer) -> None:
    chat = make_chat()
    with override_settings(BOLT_WS={"ROOM_LINGER": 60.0}):
        for _ in range(10):
            await part(await enter(chat, "a"))
        assert fake_layer.count("group_add", "a") == 1
        assert fake_layer.count("group_discard") == 0
        member = await enter(chat, "a")
        await room("a").asend_text("hi")
        await until(lambda: texts(member) == ["hi"])
        await part(member)


@pytest.mark.usefixtures("_fast")
async def test_a_room_is_left_once_the_linger_has_passed(fake_layer: FakeLayer) -> None:
    with override_settings(BOLT_WS={"ROOM_LINGER": 0.05}):
        await part(await enter(make_chat(), "a"))
        assert "a" in fake_layer.groups
        await until(lambda: "a" not in fake_layer.groups)
        assert fake_layer.count("group_discard", "a") == 1
        await until(lambda: not fake_layer.groups and not other_tasks())
        await until_nobody_is_left()


async def test_in_memory_a_room_is_left_at_once(memory_layer: InMemoryChannelLayer) -> None:
    with override_settings(BOLT_WS={"ROOM_LINGER": 60.0}):
        await part(await enter(make_chat(), "a"))
        await until(lambda: not memory_layer.groups and not other_tasks())
        await until_nobody_is_left()


@pytest.mark.usefixtures("_fast")
async def test_memberships_are_renewed_before_they_expire(fake_layer: FakeLayer) -> None:
    fake_layer.group_expiry = 0.2
    member = await enter(make_chat(), "a")
    groups = list(fake_layer.groups)
    assert len(groups) == 3  # the room's, the one of all processes, and the process's own
    before = {group: fake_layer.count("group_add", group) for group in groups}
    start = asyncio.get_running_loop().time()
    await until(
        lambda: all(fake_layer.count("group_add", each) >= before[each] + 3 for each in groups)
    )
    assert asyncio.get_running_loop().time() - start < 3  # three times, where 0.1 s is due
    assert len(fake_layer.groups["a"]) == 1
    await room("a").asend_text("hi")
    await until(lambda: texts(member) == ["hi"])
    await part(member)


@pytest.mark.usefixtures("_fast")
async def test_a_membership_in_memory_is_renewed_too(memory_layer: InMemoryChannelLayer) -> None:
    memory_layer.group_expiry = 0.1
    member = await enter(make_chat(), "a")
    (joined,) = memory_layer.groups["a"].values()
    await until(lambda: next(iter(memory_layer.groups["a"].values())) > joined)
    await part(member)


@pytest.mark.usefixtures("_fast")
@pytest.mark.parametrize("between", range(6))
async def test_a_room_joined_at_the_moment_of_the_last_leave_is_renewed_too(
    between: int, memory_layer: InMemoryChannelLayer
) -> None:
    memory_layer.group_expiry = 0.1
    players: list[WebSocket] = []
    connection = await connect(make_players(players))
    (websocket,) = players
    await websocket.join("a")
    await websocket.leave("a")
    await turns(between)
    await websocket.join("b")
    (joined,) = memory_layer.groups["b"].values()
    await until(lambda: next(iter(memory_layer.groups["b"].values())) > joined)
    await part(connection)


# In which order


@pytest.mark.parametrize("between", range(6))
async def test_a_join_at_the_moment_of_the_last_leave(
    between: int, memory_layer: InMemoryChannelLayer
) -> None:
    players: list[WebSocket] = []
    application = make_players(players)
    connections = [await connect(application) for _ in range(2)]
    one, other = players
    await one.join("a")
    leaving = asyncio.create_task(one.leave("a"))
    await turns(between)
    await asyncio.create_task(_join(other, "a"))
    assert len(memory_layer.groups["a"]) == 1
    await asyncio.wait_for(room("a").asend_text("hi"), 1)
    assert texts(connections[1]) == ["hi"]
    await leaving
    await part(*connections)


async def _join(websocket: WebSocket, name: str) -> None:
    await websocket.join(name)


@pytest.mark.parametrize("between", range(6))
async def test_whoever_sends_while_the_last_member_leaves_waits_for_nobody(
    between: int, memory_layer: InMemoryChannelLayer
) -> None:
    players: list[WebSocket] = []
    connection = await connect(make_players(players))
    (websocket,) = players
    await websocket.join("a")
    sends = [asyncio.create_task(room("a").asend_text(str(number))) for number in range(300)]
    await turns(between)
    await websocket.leave("a")
    await asyncio.wait_for(asyncio.gather(*sends), 2)
    await part(connection)


async def test_a_join_returns_when_the_layer_knows(fake_layer: FakeLayer) -> None:
    told = asyncio.Event()

    async def wait(method: str, group: str) -> None:
        if (method, group) == ("group_add", "a"):
            await told.wait()

    fake_layer.before = wait
    players: list[WebSocket] = []
    connection = await connect(make_players(players))
    joining = asyncio.create_task(_join(players[0], "a"))
    await turns(10)
    assert not joining.done()
    told.set()
    await asyncio.wait_for(joining, TIMEOUT)
    assert "a" in fake_layer.groups
    await part(connection)


async def test_a_join_does_not_wait_for_ever(fake_layer: FakeLayer) -> None:
    async def hang(method: str, group: str) -> None:
        if group == "a":
            await asyncio.Event().wait()

    fake_layer.before = hang
    players: list[WebSocket] = []
    connection = await connect(make_players(players))
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.05}):
        await asyncio.wait_for(_join(players[0], "a"), TIMEOUT)
    assert players[0].rooms == ("a",)  # and it is tried again
    fake_layer.before = None
    await part(connection)


@pytest.mark.usefixtures("_fast")
@pytest.mark.parametrize("how", ["cancelled", "left", "ended"])
async def test_a_join_that_is_not_wanted_any_more_leaves_nothing(
    how: str, fake_layer: FakeLayer
) -> None:
    go_on = asyncio.Event()

    async def wait(method: str, group: str) -> None:
        if group == "a":
            await go_on.wait()

    fake_layer.before = wait
    players: list[WebSocket] = []
    with override_settings(BOLT_WS={"ROOM_LINGER": 0.0}):
        connection = await connect(make_players(players))
        (websocket,) = players
        joining = asyncio.create_task(_join(websocket, "a"))
        await turns(10)
        if how == "cancelled":
            joining.cancel()
        elif how == "left":
            await websocket.leave("a")
        else:
            await part(connection)
        await turns(3)
        assert websocket.rooms == ()
        go_on.set()
        await asyncio.wait([joining], timeout=TIMEOUT)
        await until(lambda: "a" not in fake_layer.groups and not hub_of_this_loop().rooms)
        assert websocket.rooms == ()
        if how != "ended":
            await part(connection)
        await until(lambda: not fake_layer.groups and not other_tasks())


# All at random


class Players:
    """Connections that join and leave, some of them cancelled, and come and go."""

    def __init__(self, chance: random.Random, size: int) -> None:
        self._chance = chance
        self._size = size
        self.here: list[WebSocket] = []
        self._application = make_players(self.here)
        self._connections: dict[WebSocket, Connection] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.seen: set[WebSocket] = set()

    async def step(self) -> None:
        """Do one thing."""
        chance = self._chance
        if len(self.here) < self._size:
            connection = await connect(self._application)
            self._connections[self.here[-1]] = connection
            self.seen.add(self.here[-1])
        websocket = chance.choice(self.here)
        name = f"room.{chance.randrange(10)}"
        what = chance.random()
        if what < 0.02:
            await part(self._connections.pop(websocket))
            return
        action = _join if what < 0.51 else WebSocket.leave
        task = asyncio.create_task(self._quietly(action, websocket, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if chance.random() < 0.3:
            await turns(chance.randrange(4))
            if chance.random() < 0.5:
                task.cancel()

    async def _quietly(self, action: Any, websocket: WebSocket, name: str) -> None:
        try:
            await action(websocket, name)
        except RuntimeError:
            assert not websocket.is_open  # it has ended meanwhile

    async def rest(self) -> None:
        """Wait until all that was begun is done."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=TIMEOUT)
        assert not self._tasks

    def check(self) -> None:
        """Fail unless all agree on who is in which room."""
        rooms = hub_of_this_loop().rooms
        found = {(each, name) for name, room in rooms.items() for each in room.members}
        assert found == {(each, name) for each in self.here for name in each.rooms}

    @property
    def wanted(self) -> set[str]:
        """The rooms that have members."""
        return {name for each in self.here for name in each.rooms}

    async def go(self) -> None:
        """Let all leave."""
        await part(*self._connections.values())
        self._connections.clear()


async def test_joins_and_leaves_at_random_in_memory(memory_layer: InMemoryChannelLayer) -> None:
    players = Players(random.Random(5), 20)
    for step in range(1, STEPS + 1):
        await players.step()
        if step % 500 == 0:
            await players.rest()
            await turns(5)
            players.check()
            assert set(memory_layer.groups) == players.wanted
    await players.go()
    await players.rest()
    await until(lambda: not other_tasks())
    assert memory_layer.groups == memory_layer.channels == {}
    assert hub_of_this_loop().rooms == {}
    assert all(each.rooms == () for each in players.seen)
    await until_nobody_is_left()


@pytest.mark.usefixtures("_fast")
async def test_joins_and_leaves_at_random_over_a_layer_that_suspends_and_fails(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "OPENING_TIMEOUT", 0.5)
    chance = random.Random(6)

    async def trouble(method: str, group: str) -> None:
        if method in ("group_add", "group_discard"):
            await turns(chance.randrange(5))
            if chance.random() < 0.3:
                raise ConnectionError("no layer")

    fake_layer.before = trouble
    with override_settings(BOLT_WS={"ROOM_LINGER": 0.0, "ROOM_TIMEOUT": 2.0}):
        players = Players(random.Random(7), 20)
        for step in range(1, STEPS + 1):
            await players.step()
            if step % 2500 == 0:
                await players.rest()
                players.check()
                await until(
                    lambda: (
                        {each for each in fake_layer.groups if each.startswith("room.")}
                        == players.wanted
                    )
                )
        fake_layer.before = None
        await players.go()
        await players.rest()
        await until(lambda: not other_tasks())
    assert fake_layer.groups == {}
    assert hub_of_this_loop().rooms == {}
    assert all(each.rooms == () for each in players.seen)
    await until_nobody_is_left()


async def test_a_second_join_that_is_cancelled_leaves_nothing(fake_layer: FakeLayer) -> None:
    chat = await enter(make_chat(), "a")
    here = hub_of_this_loop()
    (member,) = here.rooms["a"].members
    hangs = asyncio.Event()

    async def hang(method: str, name: str) -> None:
        if method == "group_add":
            await hangs.wait()

    fake_layer.before = hang
    here.doubt()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(here.join(member, "a", "a"), 0.02)
    assert list(here.rooms["a"].members) == [member]
    assert member.room_names == {"a": "a"}
    hangs.set()
    await part(chat)
