"""Having a user leave in all processes: `user().disconnect`, and `disconnect_user` through it."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import transaction
from django.test import override_settings

from bolt_ws import (
    BoltAPI,
    RoomUnavailable,
    WebSocket,
    adisconnect_user,
    disconnect_user,
    disconnect_where,
    user,
)
from bolt_ws.auth import AllowAny, Authentication, Identity
from bolt_ws.rooms.hubs import hub_here
from bolt_ws.testing import AsyncTestClient
from tests.identities import eventually, nothing_left
from tests.rooms.members import FAILING, JOINING, Party, no_room_left, nothing_more, party
from tests.support import TIMEOUT

clean = pytest.fixture(nothing_left, autouse=True)

SEVEN = {"user": "7"}


@pytest.fixture(params=["in memory", "joins processes"], autouse=True)
def layer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run each test with a layer of one process, and with one that joins several."""
    if request.param == "in memory":
        yield request.param
        return
    with override_settings(CHANNEL_LAYERS=JOINING):
        yield request.param


async def seven_and_others(opened: Party) -> tuple[Any, Any]:
    """Connect user 7 twice, and others."""
    mine = [await opened.connect(place, "news", query=SEVEN) for place in ("/a", "/b")]
    others = [await opened.connect("/a", "news", query=each) for each in ({"user": "77"}, {})]
    return mine, others


async def test_all_connections_of_a_user_and_nobody_elses() -> None:
    async with party() as opened:
        mine, others = await seven_and_others(opened)
        await user(7).adisconnect()
        for member in mine:
            await member.client.assert_closed(4401)
        await nothing_more(*others)
    await no_room_left()


async def test_code_and_reason() -> None:
    async with party() as opened:
        mine, others = await seven_and_others(opened)
        await user("7").adisconnect(4010, "logged out")
        for member in mine:
            await member.client.assert_closed(4010, "logged out")
        await nothing_more(*others)


async def test_a_view_and_a_thread() -> None:
    async with party() as opened:
        (a, b), others = await seven_and_others(opened)
        await sync_to_async(user(7).disconnect)(4010)
        for member in (a, b):
            await member.client.assert_closed(4010)
        c = await opened.connect("/a", query=SEVEN)
        thread = threading.Thread(target=user(7).disconnect, args=[4011, "by a thread"])
        thread.start()
        await c.client.assert_closed(4011, "by a thread")
        await asyncio.to_thread(thread.join, TIMEOUT)
        await nothing_more(*others)


async def test_how_many_were_told_in_this_process() -> None:
    async with party() as opened:
        mine, others = await seven_and_others(opened)
        assert await adisconnect_user(8) == 0
        assert await adisconnect_user(7, 4010, "once") == 2
        for member in mine:
            await member.client.assert_closed(4010, "once")
        assert await adisconnect_user(7) == 0
        assert await sync_to_async(disconnect_user)("77") == 1
        await others[0].client.assert_closed(4401)
        await nothing_more(others[1])


async def test_a_coroutine_that_does_not_wait() -> None:
    async with party() as opened:
        mine, others = await seven_and_others(opened)
        assert disconnect_user(7) == 2
        for member in mine:
            await member.client.assert_closed(4401)
        await nothing_more(*others)


async def test_by_a_condition_in_this_process() -> None:
    async with party() as opened:
        mine, others = await seven_and_others(opened)
        told = disconnect_where(
            lambda websocket: "news" in websocket.rooms and websocket.path == "/a"
        )
        assert told == 3
        for member in (mine[0], *others):
            await member.client.assert_closed(4401)
        await nothing_more(mine[1])


@pytest.mark.parametrize("code", [1005, 999, 5000, "4401"])
async def test_a_code_that_cannot_be_sent(code: Any) -> None:
    async with party() as opened:
        mine, _ = await seven_and_others(opened)
        with pytest.raises(ValueError, match="close code"):
            await user(7).adisconnect(code)
        with pytest.raises(ValueError, match="close code"):
            await sync_to_async(user(7).disconnect)(code)
        with pytest.raises(ValueError, match="reason of 124 bytes"):
            await user(7).adisconnect(4000, "x" * 124)
        await nothing_more(*mine)


async def test_a_user_in_place_of_the_id() -> None:
    for wrong in (None, type("User", (), {"pk": 7})()):
        with pytest.raises(TypeError, match="user's id"):
            user(wrong)
        with pytest.raises(TypeError, match="user's id"):
            await adisconnect_user(wrong)


async def test_a_handshake_that_is_on_its_way_is_refused() -> None:
    started, told = asyncio.Event(), asyncio.Event()

    class Slow(Authentication):
        async def authenticate(self, websocket: Any) -> Identity:
            started.set()
            await told.wait()
            return Identity("7")

    api = BoltAPI(auth=[Slow()], guards=[AllowAny()])

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    async with AsyncTestClient(api) as client, asyncio.TaskGroup() as tasks:
        refused = tasks.create_task(client.assert_refused("/", 401))
        await started.wait()
        await user(7).adisconnect()
        told.set()
        assert (await refused).json()["code"] == "disconnected"


@pytest.mark.django_db(transaction=True)
async def test_it_waits_for_the_commit() -> None:
    def view(*, fails: bool) -> None:
        with transaction.atomic():
            user(7).disconnect(4010)
            if fails:
                transaction.set_rollback(True)

    async with party() as opened:
        mine, _ = await seven_and_others(opened)
        await sync_to_async(view)(fails=True)
        await nothing_more(*mine)
        await sync_to_async(view)(fails=False)
        for member in mine:
            await member.client.assert_closed(4010)


# Other processes


async def comes_from_elsewhere(**order: Any) -> None:
    """Have another process send an order to all."""
    hub = hub_here()
    message = {"type": "bolt_ws.disconnect", "origin": "another process", "reason": "", **order}
    await hub.layer.group_send("bolt_ws.shared", message)


@pytest.mark.parametrize("layer", ["joins processes"], indirect=True)
async def test_an_order_of_another_process() -> None:
    async with party() as opened:
        mine, others = await seven_and_others(opened)
        await comes_from_elsewhere(user="7", code=4010, reason="elsewhere")
        for member in mine:
            await member.client.assert_closed(4010, "elsewhere")
        await nothing_more(*others)


@pytest.mark.parametrize("layer", ["joins processes"], indirect=True)
async def test_what_other_processes_are_told() -> None:
    shared = get_channel_layer()
    channel = await shared.new_channel()
    await shared.group_add("bolt_ws.shared", channel)
    await adisconnect_user(7, 4010, "elsewhere")
    await user("x").adisconnect()
    await sync_to_async(user(8).disconnect)()
    heard = [await shared.receive(channel) for _ in range(3)]
    assert [(each["type"], each["user"], each["code"], each["reason"]) for each in heard] == [
        ("bolt_ws.disconnect", "7", 4010, "elsewhere"),
        ("bolt_ws.disconnect", "x", 4401, ""),
        ("bolt_ws.disconnect", "8", 4401, ""),
    ]
    assert all(type(each["code"]) is int for each in heard)  # what a serializer takes


@pytest.mark.parametrize("layer", ["joins processes"], indirect=True)
async def test_who_comes_back_at_once_stays() -> None:
    # This process has told its own connections before its order comes back through the layer.
    shared = get_channel_layer()
    channel = await shared.new_channel()
    await shared.group_add("bolt_ws.shared", channel)
    async with party() as opened:
        first = await opened.connect("/a", query=SEVEN)
        assert disconnect_user(7) == 1
        await first.client.assert_closed(4401)
        again = await opened.connect("/a", query=SEVEN)
        order = await shared.receive(channel)
        await shared.group_discard("bolt_ws.shared", channel)
        del order["sender"], order["number"]  # else it is known
        await shared.group_send("bolt_ws.shared", order)
        await user(7).asend_text("hello")
        assert await again.client.receive_text() == "hello"
        await nothing_more(again)


@pytest.mark.parametrize("layer", ["joins processes"], indirect=True)
@pytest.mark.parametrize(
    "order", [{}, {"user": "7"}, {"user": "7", "code": 1005}, {"user": "7", "code": "x"}]
)
async def test_an_order_that_is_none_is_logged_and_harmless(
    order: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with party() as opened:
        mine, _ = await seven_and_others(opened)
        await comes_from_elsewhere(**order)
        await eventually(lambda: bool(caplog.records))
        await nothing_more(*mine)
        await comes_from_elsewhere(user="7", code=4010)
        for member in mine:
            await member.client.assert_closed(4010)


@pytest.mark.parametrize("layer", ["in memory"], indirect=True)
@override_settings(CHANNEL_LAYERS=FAILING, BOLT_WS={"ROOM_TIMEOUT": 0.1})
def test_other_processes_that_cannot_be_told() -> None:
    for disconnect in (user(7).disconnect, lambda: disconnect_user(7)):
        with pytest.raises(RoomUnavailable):
            disconnect()


@pytest.mark.parametrize("layer", ["in memory"], indirect=True)
@override_settings(CHANNEL_LAYERS=FAILING, BOLT_WS={"ROOM_TIMEOUT": 0.1})
async def test_other_processes_that_cannot_be_told_by_a_coroutine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for disconnect in (user(7).adisconnect, lambda: adisconnect_user(7)):
        with pytest.raises(RoomUnavailable):
            await disconnect()
    assert disconnect_user(7) == 0  # it does not wait
    await eventually(lambda: bool(caplog.records))
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "bolt_ws")
    assert "could not be told" in record.message


@pytest.mark.parametrize("layer", ["in memory"], indirect=True)
async def test_own_connections_leave_while_the_layer_fails() -> None:
    with override_settings(CHANNEL_LAYERS=FAILING, BOLT_WS={"ROOM_TIMEOUT": 0.1}):
        async with party(report_leaks=False) as opened:
            member = await opened.connect("/a", query=SEVEN)
            with pytest.raises(RoomUnavailable):
                await user(7).adisconnect(4010)
            await member.client.assert_closed(4010)
