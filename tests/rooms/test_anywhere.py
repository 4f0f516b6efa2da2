"""`room()` and `user()`: sending from anywhere in Django."""

import asyncio
import inspect
import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import transaction
from django.test import override_settings

from bolt_ws import BoltAPI, RoomUnavailable, WebSocket, room, user
from bolt_ws.auth import AllowAny
from bolt_ws.testing import TestClient
from tests.identities import Named
from tests.rooms.members import FAILING, JOINING, hears, no_room_left, nothing_more, party
from tests.support import TIMEOUT


@pytest.fixture(params=["in memory", "joins processes"])
def _any_layer(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test with a layer of one process, and with one that joins several."""
    if request.param == "in memory":
        yield
        return
    with override_settings(CHANNEL_LAYERS=JOINING):
        yield


any_layer = pytest.mark.usefixtures("_any_layer")

# In coroutines


@any_layer
async def test_coroutines_send_to_a_room() -> None:
    async with party() as opened:
        a, b = await opened.members(2, "news")
        stranger = await opened.connect("/lobby", "other")
        await room("news").asend_text("text")
        await room("news").asend_bytes(b"bytes")
        await room("news").asend_json({"json": 1})
        await room("news").asend_text("b alone", exclude=a.websocket)
        await hears(a, "text", b"bytes", '{"json":1}')
        await hears(b, "text", b"bytes", '{"json":1}', "b alone")
        await nothing_more(a, stranger)


@any_layer
async def test_coroutines_send_to_a_user() -> None:
    async with party() as opened:
        a, b = [await opened.connect(place, query={"user": "7"}) for place in ("/1", "/2")]
        others = [await opened.connect(query=each) for each in ({"user": "77"}, {})]
        await user(7).asend_text("text")
        await user(7).asend_bytes(b"bytes")
        await user(7).asend_json(["json"])
        await user("7").asend_text("b alone", exclude=a.websocket.id)
        await hears(a, "text", b"bytes", '["json"]')
        await hears(b, "text", b"bytes", '["json"]', "b alone")
        await nothing_more(a, *others)


@override_settings(CHANNEL_LAYERS=JOINING, BOLT_WS={"ROOM_LINGER": 0})
async def test_the_first_connection_is_reached_however_short_rooms_are_kept() -> None:
    async with party() as opened:
        a = await opened.connect(query={"user": "7"})
        await user(7).asend_text("hello")
        await hears(a, "hello")


@any_layer
async def test_nobody_is_there() -> None:
    await room("news").asend_text("hello")
    await user(7).asend_text("hello")
    assert await room("news").acount() == room("news").local_members == 0


async def test_how_many_are_in_a_room() -> None:
    async with party() as opened:
        await opened.members(3, "news")
        count = await room("news").acount()
        assert (count, count.is_complete, room("news").local_members) == (3, True, 3)
        assert await sync_to_async(room("news").count)() == 3


def test_names() -> None:
    assert room("news").name == "news"
    assert (repr(room("news")), repr(user(7))) == ("room('news')", "user('7')")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("send_text", ["x"]),
        ("send_bytes", [b"x"]),
        ("send_json", [{}]),
        ("count", []),
        ("disconnect", []),
    ],
)
async def test_the_methods_for_threads_say_what_to_use_in_a_coroutine(
    method: str, arguments: list[Any]
) -> None:
    audiences = {"count": [room("news")], "disconnect": [user(7)]}
    for audience in audiences.get(method, [room("news"), user(7)]):
        with pytest.raises(SynchronousOnlyOperation, match=rf"await a{method}\(\)"):
            getattr(audience, method)(*arguments)
        assert inspect.iscoroutinefunction(getattr(audience, f"a{method}"))


# Ids of users


@any_layer
@pytest.mark.parametrize("user_id", [7, "7", uuid.UUID(int=7), "\N{SNOWMAN}", "a:b", 0])
async def test_ids_are_compared_as_text(user_id: Any) -> None:
    async with party() as opened:
        a = await opened.connect(query={"user": str(user_id)})
        await user(user_id).asend_text("hello")
        await hears(a, "hello")


@pytest.mark.parametrize("wrong", [None, User(pk=7, username="7"), AnonymousUser()])
def test_what_is_no_users_id(wrong: Any) -> None:
    with pytest.raises(TypeError, match="user's id"):
        user(wrong)


@any_layer
async def test_a_user_who_has_left_hears_nothing() -> None:
    async with party() as opened:
        a, b = [await opened.connect(query={"user": "7"}) for _ in range(2)]
        await a.client.close()
        await user(7).asend_text("hello")
        await hears(b, "hello")
    await user(7).asend_text("to nobody")


# In threads


@any_layer
async def test_a_synchronous_view_sends() -> None:
    def view() -> str:
        room("news").send_text("to the room")
        user(7).send_json({"to": "the user"})
        room("news").send_bytes(b"b alone", exclude=[a.websocket])
        return "done"

    async with party() as opened:
        a = await opened.connect("/lobby", "news", query={"user": "7"})
        b = await opened.connect("/lobby", "news")
        assert await sync_to_async(view)() == "done"
        await hears(a, "to the room", '{"to":"the user"}')
        await hears(b, "to the room", b"b alone")
        await nothing_more(a)


@any_layer
async def test_a_thread_sends() -> None:
    async with party() as opened:
        a = await opened.connect("/lobby", "news", query={"user": "7"})
        thread = threading.Thread(target=send_twice)
        thread.start()
        await hears(a, "to the room", "to the user")
        await asyncio.to_thread(thread.join, TIMEOUT)
        assert not thread.is_alive()


def send_twice() -> None:
    room("news").send_text("to the room")
    user(7).send_text("to the user")


@any_layer
async def test_many_threads_send() -> None:
    def send(name: int) -> None:
        for number in range(20):
            room("news").send_json([name, number])

    async with party() as opened:
        members = await opened.members(2, "news")
        await asyncio.gather(*(asyncio.to_thread(send, name) for name in range(4)))
        for member in members:
            heard = [await member.client.receive_json() for _ in range(80)]
            for name in range(4):
                assert [number for by, number in heard if by == name] == list(range(20))


@any_layer
async def test_a_coroutine_without_connections_that_calls_a_view() -> None:
    await sync_to_async(send_twice)()
    await asyncio.to_thread(send_twice)


def test_a_script_without_connections() -> None:
    # A command, a shell or a worker: there is no event loop but the one that sends.
    layer = get_channel_layer()
    async_to_sync(layer.group_add)("news", "of.a.consumer")
    try:
        room("news").send_text("hello")
        room("news").send_bytes(b"hello")
        heard = [async_to_sync(layer.receive)("of.a.consumer") for _ in range(2)]
    finally:
        async_to_sync(layer.group_discard)("news", "of.a.consumer")
    assert [(each["type"], each.get("text", each.get("bytes"))) for each in heard] == [
        ("bolt_ws.message", "hello"),
        ("bolt_ws.message", b"hello"),
    ]
    assert room("news").count() == 0
    user(7).send_text("hello")
    user(7).disconnect()


def test_a_thread_of_a_script() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            send_twice()
            asyncio.run(room("news").asend_text("in a loop of its own"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert errors == []


# What cannot be sent


async def test_what_cannot_be_sent_is_refused_at_once() -> None:
    for audience in (room("news"), user(7)):
        with pytest.raises(TypeError, match=r"send_text\(\) takes str, not int"):
            await audience.asend_text(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await audience.asend_bytes("x")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="object"):
            await audience.asend_json(object())
        with pytest.raises(TypeError):
            await audience.asend_text("x", exclude=5)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_sent_is_refused_before_the_commit() -> None:
    with transaction.atomic():
        for audience in (room("news"), user(7)):
            with pytest.raises(TypeError, match=r"send_text\(\) takes str, not int"):
                audience.send_text(5)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                audience.send_bytes("x")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="object"):
                audience.send_json({"it": object()})
            with pytest.raises(TypeError):
                audience.send_json({}, exclude=[object()])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="close code"):
            user(7).disconnect(1005)
        with pytest.raises(ValueError, match="reason"):
            user(7).disconnect(4000, "x" * 124)


# Transactions


def make_api() -> BoltAPI:
    """An endpoint whose connections are in a room."""
    api = BoltAPI(auth=[Named()], guards=[AllowAny()])

    @api.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with websocket.join("news"):
            await websocket.send_text("joined")
            async for _ in websocket:
                pass

    return api


@pytest.fixture
def listener() -> Iterator[Any]:
    """The client of user 7, who is in the room."""
    with TestClient(make_api()).websocket_connect("/", query={"user": "7"}) as session:
        assert session.receive_text() == "joined"
        yield session


committing = pytest.mark.django_db(transaction=True)


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction that an exception ends, which is passed over."""
    with suppress(LookupError), transaction.atomic():
        yield
        raise LookupError


@committing
def test_what_is_sent_in_a_transaction_waits_for_its_commit(listener: Any) -> None:
    with transaction.atomic():
        room("news").send_text("to the room")
        user(7).send_text("to the user")
        room("news").send_json({"n": 1})
        room("news").send_bytes(b"last")
        listener.receive_nothing()
    heard = [listener.receive() for _ in range(4)]
    assert heard == ["to the room", "to the user", '{"n":1}', b"last"]


@committing
def test_what_is_sent_outside_of_a_transaction_is_sent_at_once(listener: Any) -> None:
    User.objects.count()
    room("news").send_text("hello")
    assert listener.receive_text() == "hello"


@committing
def test_json_is_as_it_was_when_it_was_sent(listener: Any) -> None:
    data = {"n": 1}
    with transaction.atomic():
        room("news").send_json(data)
        data["n"] = 2
    assert listener.receive_json() == {"n": 1}


@committing
def test_nobody_hears_of_what_is_rolled_back(listener: Any) -> None:
    with rolled_back():
        room("news").send_text("never")
        user(7).send_text("never")
        user(7).disconnect()
    with transaction.atomic():
        room("news").send_text("never")
        transaction.set_rollback(True)
    room("news").send_text("after")
    assert listener.receive_text() == "after"
    listener.receive_nothing()


@committing
def test_nested_transactions(listener: Any) -> None:
    with transaction.atomic():
        room("news").send_text("outer")
        with transaction.atomic():
            room("news").send_text("inner")
        with rolled_back():
            room("news").send_text("never")
        listener.receive_nothing()
    assert [listener.receive_text() for _ in range(2)] == ["outer", "inner"]
    with rolled_back(), transaction.atomic():
        room("news").send_text("never")
    listener.receive_nothing()


@committing
def test_without_waiting_for_the_commit(listener: Any) -> None:
    with rolled_back():
        room("news", on_commit=False).send_text("to the room")
        user(7, on_commit=False).send_text("to the user")
        assert [listener.receive_text() for _ in range(2)] == ["to the room", "to the user"]
    listener.receive_nothing()


@committing
def test_coroutines_do_not_wait_for_the_commit(listener: Any) -> None:
    with transaction.atomic():
        async_to_sync(room("news").asend_text)("hello")
        assert listener.receive_text() == "hello"


@committing
def test_a_count_does_not_wait_for_the_commit(listener: Any) -> None:
    with transaction.atomic():
        assert room("news").count() == 1


@committing
def test_what_a_hook_of_the_commit_sends_is_sent_at_once(listener: Any) -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: room("news").send_text("by a hook"))
        room("news").send_text("after it")
    assert [listener.receive_text() for _ in range(2)] == ["by a hook", "after it"]


@committing
async def test_a_transaction_of_a_view_beside_an_event_loop() -> None:
    def view() -> None:
        with transaction.atomic():
            room("news").send_text("committed")
        with transaction.atomic():
            room("news").send_text("rolled back")
            transaction.set_rollback(True)

    async with party() as opened:
        a = await opened.connect("/lobby", "news")
        await sync_to_async(view)()
        await hears(a, "committed")
        await nothing_more(a)


@committing
def test_a_users_disconnect_waits_for_the_commit(listener: Any) -> None:
    with transaction.atomic():
        user(7).disconnect(4010, "removed")
        listener.receive_nothing()
    listener.assert_closed(4010, "removed")


@committing
def test_a_users_disconnect_without_waiting_for_the_commit(listener: Any) -> None:
    with transaction.atomic():
        user(7, on_commit=False).disconnect()
        listener.assert_closed(4401)


@pytest.mark.django_db
def test_the_transaction_around_a_test_does_not_count(listener: Any) -> None:
    User.objects.create(username="ann")
    room("news").send_text("hello")
    assert listener.receive_text() == "hello"


@pytest.mark.django_db
def test_a_transaction_in_a_test_is_never_committed(listener: Any) -> None:
    with transaction.atomic():
        room("news").send_text("never")
    listener.receive_nothing()


@pytest.mark.django_db
def test_a_test_captures_what_is_done_on_commit(
    listener: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        with transaction.atomic():
            room("news").send_text("first")
            with transaction.atomic():
                user(7).send_text("second")
        listener.receive_nothing()
    assert len(callbacks) == 2
    assert [listener.receive_text() for _ in range(2)] == ["first", "second"]


@pytest.mark.django_db
def test_a_test_that_captures_and_does_not_execute(
    listener: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        room("news").send_text("never")
    assert len(callbacks) == 1
    listener.receive_nothing()


TWO_DATABASES = """
import django
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings

databases = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    for name in ("default", "other", "unused")
}
settings.configure(
    SECRET_KEY="x" * 64,
    DATABASES=databases,
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    INSTALLED_APPS=["bolt_ws"],
)
django.setup()

from django.db import connections, transaction

from bolt_ws import room

layer = get_channel_layer()
async_to_sync(layer.group_add)("news", "of.a.consumer")


def is_sent():
    return "of.a.consumer" in layer.channels


def heard():
    return async_to_sync(layer.receive)("of.a.consumer")["text"]


for first, second in (("default", "other"), ("other", "default")):
    with transaction.atomic(using=first):
        with transaction.atomic(using=second):
            room("news").send_text("in both")
        assert not is_sent()
    assert heard() == "in both"

with transaction.atomic(using="other"):
    room("news").send_text("in the other")
    assert not is_sent()
assert heard() == "in the other"

for first, second in (("default", "other"), ("other", "default")):
    try:
        with transaction.atomic(using=first):
            with transaction.atomic(using=second):
                room("news").send_text("rolled back")
            raise LookupError
    except LookupError:
        pass
    try:
        with transaction.atomic(using=first):
            with transaction.atomic(using=second):
                room("news").send_text("rolled back")
                raise LookupError
    except LookupError:
        pass
    assert not is_sent()
assert not hasattr(connections._connections, "unused"), "a connection was opened for nothing"
print("done")
"""


def test_transactions_of_two_databases() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TWO_DATABASES],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


# A channel layer that fails


@override_settings(CHANNEL_LAYERS=FAILING, BOLT_WS={"ROOM_TIMEOUT": 0.1})
def test_a_layer_that_fails() -> None:
    for audience in (room("news"), user(7)):
        with pytest.raises(RoomUnavailable, match="fails") as caught:
            audience.send_text("hello")
        assert isinstance(caught.value.__cause__, ConnectionError)
        with pytest.raises(RoomUnavailable):
            asyncio.run(audience.asend_text("hello"))


@committing
@override_settings(CHANNEL_LAYERS=FAILING, BOLT_WS={"ROOM_TIMEOUT": 0.1})
def test_an_error_after_the_commit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    with caplog.at_level(logging.ERROR), transaction.atomic():
        User.objects.create(username="ann")
        room("news").send_text("hello")
        transaction.on_commit(lambda: done.append("the next hook"))
    assert done == ["the next hook"]
    assert User.objects.filter(username="ann").exists()
    (record,) = [each for each in caplog.records if each.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[0] is RoomUnavailable


@override_settings(BOLT_WS={"CHANNEL_LAYER": "rooms"})
def test_a_channel_layer_that_is_not_there() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"CHANNEL_LAYER.*'rooms'"):
        room("news").send_text("hello")


@override_settings(CHANNEL_LAYERS={})
async def test_a_project_without_channel_layers() -> None:
    async with party() as opened:
        a = await opened.connect("/lobby", "news", query={"user": "7"})
        await sync_to_async(send_twice)()
        await hears(a, "to the room", "to the user")
    await no_room_left()
