"""Rooms and users in tests: clients hear each other, and what is sent to them is captured."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import path

import bolt_ws
from bolt_ws import BlockingWebSocket, BoltAPI, Room, RoomUnavailable, WebSocket, room, user
from bolt_ws.auth import AllowAny, JWTAuthentication
from bolt_ws.rooms.layers import get_layer
from bolt_ws.testing import AsyncTestClient, LeftBehind, TestClient, capture_broadcasts
from bolt_ws.testing.capture import Broadcast
from tests.rooms.members import JOINING
from tests.support import TIMEOUT
from tests.testing import clients
from tests.testing.clients import ClientOf

client_of = clients.client_of


def make_api() -> BoltAPI:
    """An API with a chat of coroutines and one of plain functions, in the same rooms."""
    api = BoltAPI(auth=[JWTAuthentication()], guards=[AllowAny()])

    @api.websocket("/chat/{name}")
    async def chat(websocket: WebSocket, name: str) -> None:
        async with websocket.join(name) as here:
            await websocket.send_text("joined")
            async for message in websocket.iter_text():
                await here.send_text(message)

    @api.websocket("/plain/{name}")
    def plain(ws: BlockingWebSocket, name: str) -> None:
        with ws.join(name) as here:
            ws.send_text("joined")
            for message in ws.iter_text():
                here.send_json({"said": message}, exclude=ws)

    @api.websocket("/leaves/{name}")
    async def leaves(websocket: WebSocket, name: str) -> None:
        await websocket.join(name)
        await websocket.close()

    return api


def joined(*sessions: Any) -> None:
    """Wait until all are in their rooms."""
    for session in sessions:
        assert session.receive_text() == "joined"


def test_the_public_names() -> None:
    assert {"Room", "RoomUnavailable", "room", "user"} <= set(bolt_ws.__all__)
    assert issubclass(RoomUnavailable, ConnectionError)
    assert isinstance(room("news").name, str)
    assert Room is bolt_ws.Room


def test_two_clients_in_a_room(client_of: ClientOf) -> None:
    with (
        client_of(make_api()) as client,
        client.websocket_connect("/chat/a") as one,
        client.websocket_connect("/plain/a") as two,
        client.websocket_connect("/chat/b") as elsewhere,
    ):
        joined(one, two, elsewhere)
        one.send_text("hello")
        assert one.receive_text() == two.receive_text() == "hello"
        two.send_text("hi")
        assert one.receive_json() == {"said": "hi"}
        two.receive_nothing()
        elsewhere.receive_nothing()


def test_a_room_of_two_test_clients(client_of: ClientOf) -> None:
    api = make_api()
    with (
        client_of(api) as first,
        client_of(api) as second,
        first.websocket_connect("/chat/a") as one,
        second.websocket_connect("/chat/a") as two,
    ):
        joined(one, two)
        two.send_text("hello")
        assert one.receive_text() == "hello"


def test_rooms_leave_nothing_behind(client_of: ClientOf) -> None:
    with client_of(make_api()) as client:
        for way in ("/chat/a", "/plain/a", "/leaves/a"):
            with client.websocket_connect(way):
                pass
        with client.websocket_connect("/chat/a") as session:
            session.close(1006)
        with client.websocket_connect("/chat/a") as session:
            session.cancel()
    assert get_layer().groups == {}


@override_settings(CHANNEL_LAYERS=JOINING)
def test_rooms_over_a_layer_that_joins_processes_leave_nothing_behind(client_of: ClientOf) -> None:
    with client_of(make_api()) as client, client.websocket_connect("/chat/a") as session:
        joined(session)
        assert "a" in get_layer().groups
        session.send_text("hello")
        assert session.receive_text() == "hello"
    assert get_layer().groups == {}  # at once, however long rooms are kept


def test_what_a_handler_joins_by_itself_is_still_reported(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def forgetful(websocket: WebSocket) -> None:
        await websocket.join("news")
        await get_layer().group_add("news", "a.channel.of.mine")

    with (
        pytest.raises(LeftBehind, match=r"'a\.channel\.of\.mine' in the group 'news'") as caught,
        client_of(api) as client,
        client.websocket_connect("/"),
    ):
        pass
    assert str(caught.value).count("channel '") == 1


def test_a_connection_hears_nothing_of_the_test_before() -> None:
    for _ in range(2):
        with TestClient(make_api()).websocket_connect("/chat/a") as session:
            joined(session)
            session.receive_nothing()
            room("a").send_text("hello")
            assert session.receive_text() == "hello"
            room("a").send_text("not read")


# Sending from the test


def test_the_test_sends() -> None:
    with (
        TestClient(make_api(), user=User(pk=7)) as client,
        client.websocket_connect("/chat/a") as one,
        client.websocket_connect("/chat/b") as two,
    ):
        joined(one, two)
        room("a").send_json({"to": "a"})
        user(7).send_text("to both")
        assert [one.receive_json(), one.receive_text()] == [{"to": "a"}, "to both"]
        assert two.receive_text() == "to both"
        assert (room("a").count(), room("a").local_members) == (1, 1)
        user(7).disconnect(4010, "enough")
        one.assert_closed(4010, "enough")
        two.assert_closed(4010, "enough")


async def test_a_coroutine_test_sends() -> None:
    async with (
        AsyncTestClient(make_api(), user=User(pk=7)) as client,
        client.websocket_connect("/chat/a") as one,
    ):
        assert await one.receive_text() == "joined"
        await room("a").asend_bytes(b"to a")
        await user(7).asend_text("to the user")
        assert await one.receive_bytes() == b"to a"
        assert await one.receive_text() == "to the user"
        assert await room("a").acount() == 1
        await user(7).adisconnect()
        await one.assert_closed(4401)


def test_a_thread_of_the_test_sends() -> None:
    with TestClient(make_api()).websocket_connect("/chat/a") as session:
        joined(session)
        thread = threading.Thread(target=room("a").send_text, args=["hello"])
        thread.start()
        thread.join(TIMEOUT)
        assert session.receive_text() == "hello"


def tell(request: HttpRequest) -> HttpResponse:
    """A view, as many have it."""
    with transaction.atomic():
        room("a").send_text("from a view")
        user(7).send_text("to the user")
    return HttpResponse("done")


async def atell(request: HttpRequest) -> HttpResponse:
    """The same, as a coroutine."""
    await room("a").asend_text("from a view")
    await user(7).asend_text("to the user")
    return HttpResponse("done")


class URLs:
    urlpatterns = [path("tell", tell), path("atell", atell)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/tell", "/atell"])
@override_settings(ROOT_URLCONF=URLs)
def test_a_view_sends(url: str) -> None:
    with (
        TestClient(make_api(), user=User(pk=7)) as client,
        client.websocket_connect("/chat/a") as session,
    ):
        joined(session)
        assert Client().get(url).content == b"done"
        assert [session.receive_text() for _ in range(2)] == ["from a view", "to the user"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/tell", "/atell"])
@override_settings(ROOT_URLCONF=URLs)
async def test_a_view_sends_in_a_coroutine_test(url: str) -> None:
    async with (
        AsyncTestClient(make_api(), user=User(pk=7)) as client,
        client.websocket_connect("/chat/a") as session,
    ):
        assert await session.receive_text() == "joined"
        assert (await AsyncClient().get(url)).content == b"done"
        assert [await session.receive_text() for _ in range(2)] == ["from a view", "to the user"]


class TestsOfAProject(TestCase):
    """Django's own `TestCase`, as a project writes it."""

    def setUp(self) -> None:
        self.websockets = self.enterContext(TestClient(make_api(), user=User(pk=7)))
        self.session = self.enterContext(self.websockets.websocket_connect("/chat/a"))
        joined(self.session)

    def test_what_is_sent_outside_of_a_transaction(self) -> None:
        User.objects.create(username="ann")
        room("a").send_text("hello")
        user(7).send_text("to the user")
        assert self.session.receive_text() == "hello"
        assert self.session.receive_text() == "to the user"

    def test_what_a_view_sends_on_commit(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            tell(HttpRequest())
            self.session.receive_nothing()
        assert len(callbacks) == 2
        assert self.session.receive_text() == "from a view"
        assert self.session.receive_text() == "to the user"

    def test_what_is_never_committed(self) -> None:
        with capture_broadcasts() as broadcasts:
            tell(HttpRequest())
            self.session.receive_nothing()
        assert broadcasts == []

    def test_what_does_not_wait_for_the_commit(self) -> None:
        with transaction.atomic():
            room("a", on_commit=False).send_text("hello")
            assert self.session.receive_text() == "hello"


class CoroutineTestsOfAProject(TestCase):
    """The same, for coroutines."""

    async def test_it(self) -> None:
        ann = await User.objects.acreate(username="ann")
        async with (
            AsyncTestClient(make_api(), user=ann) as client,
            client.websocket_connect("/chat/a") as session,
        ):
            assert await session.receive_text() == "joined"
            await room("a").asend_text("to the room")
            await user(ann.pk).asend_text("to the user")
            await sync_to_async(room("a").send_text)("from synchronous code")
            heard = [await session.receive_text() for _ in range(3)]
        assert heard == ["to the room", "to the user", "from synchronous code"]


# What is captured


def test_what_is_sent_to_rooms_and_users_is_captured(client_of: ClientOf) -> None:
    with capture_broadcasts() as heard, client_of(make_api()) as client:
        with client.websocket_connect("/chat/a") as session:
            joined(session)
            session.send_text("by a handler")
            assert session.receive_text() == "by a handler"
        with client.websocket_connect("/plain/b") as session:
            joined(session)
            session.send_text("by a plain one")
    assert heard == [("by a handler", "room", "a"), ({"said": "by a plain one"}, "room", "b")]
    assert isinstance(heard[0], Broadcast)
    assert (heard[0].data, heard[0].kind, heard[0].to) == ("by a handler", "room", "a")


def test_what_nobody_hears_is_captured() -> None:
    with capture_broadcasts() as heard:
        room("news").send_json({"n": 1})
        room("\N{SNOWMAN} 1").send_bytes(b"bytes")
        user(7).send_text("text")
        asyncio.run(room("news").asend_text("by a coroutine"))
        asyncio.run(user("x").asend_json([1]))
        user(7).disconnect()
        assert room("news").count() == 0
    room("news").send_text("not captured")
    assert heard == [
        ({"n": 1}, "room", "news"),
        (b"bytes", "room", "\N{SNOWMAN} 1"),
        ("text", "user", "7"),
        ("by a coroutine", "room", "news"),
        ([1], "user", "x"),
    ]


@pytest.mark.parametrize(
    "send",
    [
        lambda: room("news").send_text(5),  # type: ignore[arg-type]
        lambda: room("news").send_json(object()),
        lambda: room("news").send_text("x", exclude=5),  # type: ignore[arg-type]
        lambda: user(7).send_bytes("x"),  # type: ignore[arg-type]
    ],
)
def test_what_could_not_be_sent_is_not_captured(send: Any) -> None:
    with capture_broadcasts() as heard, pytest.raises(TypeError):
        send()
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_what_is_sent_on_commit_is_captured_at_the_commit() -> None:
    with capture_broadcasts() as heard:
        with transaction.atomic():
            room("news").send_text("committed")
            assert heard == []
        with transaction.atomic():
            room("news").send_text("rolled back")
            transaction.set_rollback(True)
    assert heard == [("committed", "room", "news")]
