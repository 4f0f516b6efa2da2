"""A channel layer that fails, hangs, forgets and loses: what members, senders and the log get."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket, room, ticker
from bolt_ws.exceptions import RoomUnavailable
from bolt_ws.rooms import hub, inlets, publisher, pulse, sequences
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
from tests.support import TIMEOUT, Application, Connection

fake_layer = support.fake_layer

FAILED = "The channel layer has failed"
BACK = "The channel layer is back"


@pytest.fixture(autouse=True)
async def _farewell() -> AsyncIterator[None]:
    yield
    await say_farewell()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ticker, "TICK", 0.02)
    monkeypatch.setattr(hub, "OPENING_TIMEOUT", 0.3)
    monkeypatch.setattr(pulse, "PATIENCE", 0.3)
    monkeypatch.setattr(sequences, "GRACE", 0.05)
    for module in (inlets, publisher, pulse):
        monkeypatch.setattr(module, "MAX_PAUSE", 0.05)
    for module in (publisher, pulse):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 3.0, "ROOM_LINGER": 0.05}):
        yield


def make_told_chat() -> Application:
    """A chat whose members are in a second room, "all", and are sent the gaps they hear of."""
    api = BoltAPI()

    @api.websocket("/{name}")
    async def chat(websocket: WebSocket, name: str) -> None:
        async with websocket.join(name) as joined, websocket.join("all"):
            await websocket.send_text("joined")
            async for message in websocket.iter_text():
                await joined.send_text(message)

    @chat.on_gap
    async def tell(websocket: WebSocket, rooms: tuple[str, ...]) -> None:
        await websocket.send_json({"gap": rooms})

    return api.as_asgi()


def gaps(connection: Connection) -> list[Any]:
    """Return the rooms of each gap that a member of a told chat has heard of."""
    return [json.loads(each)["gap"] for each in texts(connection) if each.startswith("{")]


def messages(connection: Connection) -> list[str]:
    """Return all other texts that it got."""
    return [each for each in texts(connection) if not each.startswith("{")]


async def until_down(layer: FakeLayer) -> None:
    """Have the layer fail, and wait until that is noticed."""
    layer.fail()
    await until(lambda: hub_of_this_loop()._pulse.is_down)


async def until_up() -> None:
    """Wait until all is restored."""
    await asyncio.wait_for(hub_of_this_loop().until_up(TIMEOUT), TIMEOUT)


# A failure


@pytest.mark.parametrize("forgets", [False, True])
async def test_after_a_failure_all_is_restored_and_each_connection_told_once(
    forgets: bool, fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    chat = make_told_chat()
    members = [await enter(chat, name) for name in ("a", "a", "b")]
    await until_down(fake_layer)
    await asyncio.sleep(0.3)
    assert all(each.read == len(each.sent) for each in members)  # nobody is told, or closed
    fake_layer.recover(forgets=forgets)
    await until(lambda: all(gaps(each) for each in members))
    for number in range(5):
        await room("a").asend_text(str(number))
    await room("all").asend_text("to all")
    await until(lambda: all("to all" in messages(each) for each in members))
    await asyncio.sleep(0.2)
    expected = [str(number) for number in range(5)]
    for member in members[:2]:
        assert sorted(messages(member)) == [*expected, "to all"]
        assert [each for each in messages(member) if each != "to all"] == expected
        assert gaps(member) == [["a", "all"]]
    assert messages(members[2]) == ["to all"]
    assert gaps(members[2]) == [["b", "all"]]
    assert caplog.text.count(FAILED) == caplog.text.count(BACK) == 1
    await part(*members)


async def test_sends_wait_and_then_go(fake_layer: FakeLayer) -> None:
    chat = make_told_chat()
    one, two = await enter(chat, "a"), await enter(chat, "a")
    await until_down(fake_layer)
    one.put("from a handler", "and another")
    sending = asyncio.create_task(room("a").asend_text("from elsewhere"))
    await asyncio.sleep(0.1)
    assert not sending.done()
    fake_layer.recover(forgets=True)
    await asyncio.wait_for(sending, TIMEOUT)
    await until(lambda: len(messages(two)) == 3)
    assert sorted(messages(two)) == ["and another", "from a handler", "from elsewhere"]
    assert messages(one) == messages(two)
    own = [each for each in messages(one) if each != "from elsewhere"]
    assert own == ["from a handler", "and another"]
    await part(one, two)


async def test_a_send_that_waits_for_too_long_is_room_unavailable(fake_layer: FakeLayer) -> None:
    raised: list[RoomUnavailable] = []
    api = BoltAPI()

    @api.websocket("/{name}")
    async def handler(websocket: WebSocket, name: str) -> None:
        joined = await websocket.join(name)
        await websocket.send_text("joined")
        async for message in websocket.iter_text():
            try:
                await joined.send_text(message)
            except RoomUnavailable as error:
                raised.append(error)
                await websocket.send_text("unavailable")

    member = await enter(api.as_asgi(), "a")
    await until_down(fake_layer)
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.1}):
        member.put("lost")
        await until(lambda: texts(member) == ["unavailable"])
        with pytest.raises(RoomUnavailable):
            await room("a").asend_text("lost too")
    fake_layer.recover()
    await until_up()
    member.put("hi")
    await until(lambda: len(texts(member)) > 1)
    assert texts(member) == ["unavailable", "hi"]  # what was given up does not come after all
    assert len(raised) == 1
    await part(member)


async def test_a_join_during_a_failure_returns_and_counts_when_the_layer_is_back(
    fake_layer: FakeLayer,
) -> None:
    chat = make_told_chat()
    first = await enter(chat, "a")
    await until_down(fake_layer)
    async with asyncio.timeout(1):
        late = await enter(chat, "b")
    fake_layer.recover(forgets=True)
    await until(lambda: gaps(late))
    await room("b").asend_text("hi")
    await until(lambda: messages(late) == ["hi"])
    await asyncio.sleep(0.2)
    assert gaps(late) == [["b", "all"]]
    assert gaps(first) == [["a", "all"]]
    await part(first, late)


async def test_a_failing_layer_keeps_no_connection_out(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    fake_layer.fail()
    chat = make_told_chat()
    async with asyncio.timeout(2):
        members = [await enter(chat, "a") for _ in range(3)]
    fake_layer.recover()
    await until(lambda: all(gaps(each) for each in members))
    await room("a").asend_text("hi")
    await until(lambda: all(messages(each) == ["hi"] for each in members))
    assert [gaps(each) for each in members] == [[["a", "all"]]] * 3
    assert caplog.text.count(FAILED) == 1
    await part(*members)


async def test_a_layer_that_hangs_keeps_no_connection_out(fake_layer: FakeLayer) -> None:
    async def hang(method: str, name: str) -> None:
        await asyncio.Event().wait()

    fake_layer.before = hang
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.2, "ROOM_LINGER": 0.05}):
        async with asyncio.timeout(2):
            member = await enter(make_told_chat(), "a")
        fake_layer.before = None
        await until(lambda: gaps(member))
        await room("a").asend_text("hi")
        await until(lambda: messages(member) == ["hi"])
        await part(member)


async def test_leaves_during_a_failure_are_made_up_for(fake_layer: FakeLayer) -> None:
    chat = make_chat()
    stays, goes = await enter(chat, "a"), await enter(chat, "b")
    await until_down(fake_layer)
    await part(goes)
    await asyncio.sleep(0.1)
    assert "b" in fake_layer.groups
    fake_layer.recover()
    await until(lambda: "b" not in fake_layer.groups)
    await part(stays)
    await until(lambda: not fake_layer.groups and not other_tasks())


async def test_all_leave_during_a_failure_and_nothing_is_left(fake_layer: FakeLayer) -> None:
    chat = make_chat()
    members = [await enter(chat, name) for name in "ab"]
    await until_down(fake_layer)
    await part(*members)
    await asyncio.sleep(0.1)
    fake_layer.recover()
    await until(lambda: not other_tasks())
    assert not {"a", "b"} & fake_layer.groups.keys()
    await until_nobody_is_left()
    member = await enter(chat, "a")  # and all begins anew
    await room("a").asend_text("hi")
    await until(lambda: texts(member) == ["hi"])
    await part(member)


async def test_a_second_failure_is_told_like_the_first(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    member = await enter(make_told_chat(), "a")
    for round_ in (1, 2, 3):
        await until_down(fake_layer)
        fake_layer.recover(forgets=True)
        await until_up()
        await until(lambda expected=round_: len(gaps(member)) == expected)
        await room("a").asend_text(str(round_))
    await until(lambda: messages(member) == ["1", "2", "3"])
    assert len(gaps(member)) == 3
    assert caplog.text.count(FAILED) == 3
    await part(member)


async def test_a_failure_of_one_send_only_is_repaired_in_silence_for_the_sender(
    fake_layer: FakeLayer,
) -> None:
    failures = iter([True])

    async def fail_once(method: str, group: str) -> None:
        if (method, group) == ("group_send", "a") and next(failures, False):
            raise ConnectionError("no layer")

    one = await enter(make_told_chat(), "a")
    two = await enter(make_told_chat(), "a")
    fake_layer.before = fail_once
    await asyncio.wait_for(room("a").asend_text("hi"), TIMEOUT)
    await until(lambda: messages(one) == messages(two) == ["hi"])
    await until_up()
    await asyncio.sleep(0.1)
    assert messages(one) == ["hi"]
    await part(one, two)


async def test_a_membership_that_fails_to_be_restored_is_not_taken_for_restored(
    fake_layer: FakeLayer,
) -> None:
    failures = iter([True] * (publisher.ATTEMPTS + 1))

    async def fail_for_a_while(method: str, group: str) -> None:
        if (method, group) == ("group_add", "a") and next(failures, False):
            raise ConnectionError("no layer")

    member = await enter(make_told_chat(), "a")
    await until_down(fake_layer)
    fake_layer.before = fail_for_a_while
    fake_layer.recover(forgets=True)
    await until(lambda: gaps(member))
    assert "a" in fake_layer.groups
    await room("a").asend_text("hi")
    await until(lambda: messages(member) == ["hi"])
    assert len(gaps(member)) == 1
    await part(member)


# What the layer says nothing of


async def test_a_silent_loss_of_all_groups_is_noticed(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    chat = make_told_chat()
    members = [await enter(chat, name) for name in ("a", "b")]
    fake_layer.groups.clear()
    await until(lambda: all(gaps(each) for each in members))
    assert "did not come back" in caplog.text
    await room("all").asend_text("hi")
    await until(lambda: all(messages(each) == ["hi"] for each in members))
    assert [len(gaps(each)) for each in members] == [1, 1]
    await part(*members)


async def test_a_layer_that_takes_messages_and_brings_none_is_noticed(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    member = await enter(make_told_chat(), "a")
    fake_layer.loses = lambda group, message: True
    await until(lambda: FAILED in caplog.text)
    await asyncio.sleep(0.1)
    assert BACK not in caplog.text
    fake_layer.loses = lambda group, message: False
    await until(lambda: gaps(member) == [["a", "all"]])
    await part(member)


async def test_a_layer_that_hangs_is_noticed(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(method: str, name: str) -> None:
        if method == "group_send":
            await asyncio.Event().wait()

    member = await enter(make_told_chat(), "a")
    fake_layer.before = hang
    await until(lambda: FAILED in caplog.text)
    fake_layer.before = None
    await until(lambda: gaps(member) == [["a", "all"]])
    await room("a").asend_text("hi")
    await until(lambda: messages(member) == ["hi"])
    await part(member)


async def test_a_backlog_is_no_failure(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async def crawl(method: str, name: str) -> None:
        if method == "receive":
            await asyncio.sleep(0.002)

    member = await enter(make_told_chat(), "a")
    (channel,) = fake_layer.groups[hub_of_this_loop().own_groups[0]]
    for _ in range(60):  # the heartbeat comes behind them, several looks later
        await fake_layer.send(channel, {"type": "bolt_ws.message", "text": "", "to": "nobody"})
    fake_layer.before = crawl
    await until(lambda: fake_layer._queue(channel).empty())
    await asyncio.sleep(0.1)
    assert FAILED not in caplog.text
    assert gaps(member) == []
    await part(member)


async def test_heartbeats_that_are_lost_among_other_messages_are_missed_too(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "BACKLOG", 5)
    member = await enter(make_told_chat(), "a")
    fake_layer.loses = lambda group, message: message["type"] == "bolt_ws.heartbeat"

    async def chatter() -> None:
        while FAILED not in caplog.text:
            await fake_layer.group_send("a", {"type": "bolt_ws.message", "text": "."})
            await asyncio.sleep(0.005)

    await asyncio.wait_for(chatter(), TIMEOUT)
    fake_layer.loses = lambda group, message: False
    await until(lambda: gaps(member) == [["a", "all"]])
    await part(member)


async def test_a_hole_in_the_numbers_is_told_once_to_the_members_of_the_room(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    fake_layer.loses = lambda group, message: message.get("text") in ("2", "3", "6")
    chat = make_told_chat()
    member, other = await enter(chat, "a"), await enter(chat, "b")
    for number in range(1, 5):
        await room("a").asend_text(str(number))
    await until(lambda: gaps(member) == [["a"]])
    for number in range(5, 8):
        await room("a").asend_text(str(number))
    await until(lambda: len(gaps(member)) == 2)
    await asyncio.sleep(0.2)
    assert gaps(member) == [["a"], ["a"]]
    assert gaps(other) == []
    assert messages(member) == ["1", "4", "5", "7"]
    await part(member, other)
    await until(lambda: "3 messages were lost on their way to this process" in caplog.text)
    assert FAILED not in caplog.text


async def test_a_hole_in_what_is_for_paths_and_users_is_told_to_all(
    fake_layer: FakeLayer,
) -> None:
    api = BoltAPI()

    @api.websocket("/{name}")
    async def chat(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.send_text("joined")
        async for message in websocket.iter_text():
            await websocket.broadcast(message)

    @chat.on_gap
    async def tell(websocket: WebSocket, rooms: tuple[str, ...]) -> None:
        await websocket.send_json({"gap": rooms})

    served = api.as_asgi()
    one, two = await enter(served, "a"), await enter(served, "b")
    fake_layer.loses = lambda group, message: message.get("text") == "2"
    one.put("1", "2", "3")
    await until(lambda: gaps(one) and gaps(two))
    await asyncio.sleep(0.1)
    assert messages(one) == ["1", "3"]
    assert messages(two) == []
    assert (gaps(one), gaps(two)) == ([["a"]], [["b"]])
    await part(one, two)


async def test_what_is_lost_in_a_failure_is_told_once_and_not_again_by_its_numbers(
    fake_layer: FakeLayer,
) -> None:
    member = await enter(make_told_chat(), "a")
    await room("a").asend_text("1")
    await until(lambda: messages(member) == ["1"])
    fake_layer.loses = lambda group, message: True
    await room("a").asend_text("2")  # taken, and lost
    await until(lambda: hub_of_this_loop()._pulse.is_down)
    fake_layer.loses = lambda group, message: False
    await until_up()
    await room("a").asend_text("3")
    await until(lambda: messages(member) == ["1", "3"])
    await asyncio.sleep(0.2)
    assert gaps(member) == [["a", "all"]]
    await part(member)


async def test_what_comes_twice_is_delivered_once(fake_layer: FakeLayer) -> None:
    member = await enter(make_told_chat(), "a")
    group_send = fake_layer.group_send

    async def send_twice(group: str, message: dict[str, Any]) -> None:
        await group_send(group, message)
        await group_send(group, message)

    fake_layer.group_send = send_twice  # type: ignore[method-assign]
    for number in range(20):
        await room("a").asend_text(str(number))
    await room("all").asend_text("last")
    await until(lambda: "last" in messages(member))
    await turns(10)
    assert [each for each in messages(member) if each != "last"] == [str(n) for n in range(20)]
    assert gaps(member) == []
    await part(member)


# What it costs


async def test_nothing_busy_loops_while_the_layer_is_away(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (inlets, pulse):
        monkeypatch.setattr(module, "MAX_PAUSE", 1.0)
    for module in (publisher, pulse):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.05)
    chat = make_chat()
    members = [await enter(chat, name) for name in "abc"]
    caplog.set_level(logging.DEBUG, "bolt_ws")
    await until_down(fake_layer)
    fake_layer.calls.clear()
    sending = asyncio.create_task(room("a").asend_text("hi"))
    await asyncio.sleep(1.0)
    channels = 1 + len(members)
    attempts = len(fake_layer.calls)
    assert fake_layer.count("receive") <= 6 * channels
    assert fake_layer.count("group_send") <= 6
    assert attempts <= 6 * channels + 6 * 6
    assert 2 <= caplog.text.count("is not back") <= 6  # it is tried, and seldom in time
    assert len(caplog.records) <= attempts + 10
    fake_layer.recover()
    await asyncio.wait_for(sending, TIMEOUT)
    await part(*members)


async def test_one_heartbeat_a_tick_and_nothing_else_while_nothing_happens(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = make_chat()
    members = [await enter(chat, name) for name in "aab"]
    await turns(10)
    fake_layer.calls.clear()
    await asyncio.sleep(0.5)
    own = hub_of_this_loop().own_groups[0]
    beats = fake_layer.count("group_send", own)
    assert 5 <= beats <= 0.5 / 0.02 + 1
    received = fake_layer.count("receive")
    assert beats - 1 <= received <= beats + 1
    assert len(fake_layer.calls) == beats + received
    await part(*members)


async def test_a_process_without_connections_stops_beating_and_leaves_its_groups(
    fake_layer: FakeLayer,
) -> None:
    chat = make_chat()
    await part(*[await enter(chat, name) for name in "ab"])
    await until(lambda: not other_tasks())
    assert fake_layer.groups == {}
    calls = len(fake_layer.calls)
    await asyncio.sleep(0.1)
    assert len(fake_layer.calls) == calls
    member = await enter(chat, "a")  # and begins anew
    await until(lambda: fake_layer.count("group_send", hub_of_this_loop().own_groups[0]) > 1)
    await room("a").asend_text("hi")
    await until(lambda: texts(member) == ["hi"])
    await part(member)
