"""`websocket.user` and `await websocket.auser()`."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import SynchronousOnlyOperation, ValidationError
from django.db import DataError, OperationalError

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.auth import (
    AllowAny,
    Authentication,
    AuthenticationFailed,
    Guard,
    Identity,
    JWTAuthentication,
)
from bolt_ws.context import ConnectionContext
from bolt_ws.testing import AsyncTestClient, TestClient
from bolt_ws.users import load_user_blocking
from tests.support import make_scope

Queries = Callable[[int], Any]


async def unused(*args: object) -> Any:
    raise AssertionError


def connect(identity: Identity | None = None, **scope: Any) -> WebSocket:
    """A connection as it is after authentication."""
    websocket = WebSocket(make_scope(**scope), unused, unused)
    if identity is not None:
        websocket.auth = identity
        websocket.context.identify(identity, "Custom")
    return websocket


class Fixed(Authentication):
    """Everybody is the one given."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity

    async def authenticate(self, websocket: Any) -> Identity | None:
        return self.identity


def api_of(handler: Callable[..., Any], *auth: Authentication, **options: Any) -> BoltAPI:
    api = BoltAPI()
    api.websocket("/ws", auth=auth, **options)(handler)
    return api


async def name_async(websocket: WebSocket) -> None:
    await websocket.accept()
    user = await websocket.auser()
    assert websocket.user is user is await websocket.auser()
    await websocket.send_text(user.username)


def name_blocking(websocket: BlockingWebSocket) -> None:
    websocket.accept()
    user = websocket.user
    assert websocket.user is user is websocket.auser()
    websocket.send_text(user.username)


def name_blocking_in_words(websocket: BlockingWebSocket) -> None:
    websocket.send_text(websocket.auser().username)


HANDLERS = [name_async, name_blocking, name_blocking_in_words]


@pytest.mark.django_db
@pytest.mark.parametrize("handler", HANDLERS)
def test_the_user_of_a_token(handler: Any, django_assert_num_queries: Queries) -> None:
    alice = User.objects.create(username="alice")
    api = api_of(handler, JWTAuthentication())
    with (
        TestClient(api) as client,
        django_assert_num_queries(1),
        client.websocket_connect("/ws", token=client.token_for(alice)) as ws,
    ):
        assert ws.receive_text() == "alice"


@pytest.mark.django_db
@pytest.mark.parametrize("handler", HANDLERS)
async def test_the_user_of_a_token_in_a_coroutine(handler: Any) -> None:
    async with AsyncTestClient(api_of(handler, JWTAuthentication())) as client:
        alice = await User.objects.acreate(username="alice")
        token = client.token_for(alice)
        async with client.websocket_connect("/ws", token=token) as ws:
            assert await ws.receive_text() == "alice"


def test_it_costs_nothing_when_not_asked() -> None:  # without the database, a query would raise
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text(websocket.context.user_id)

    client = TestClient(api_of(handler, JWTAuthentication()))
    token = client.token_for(User(pk=7, username="alice"))
    with client.websocket_connect("/ws", token=token) as ws:
        assert ws.receive_text() == "7"


@pytest.mark.parametrize("identity", [None, Identity("7", user=User(pk=7, username="alice"))])
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_no_query_for_nobody_and_for_a_user_that_the_backend_loaded(
    identity: Identity | None, kind: str
) -> None:
    async def greet(websocket: WebSocket) -> None:
        assert await websocket.auser() == websocket.user
        await websocket.send_text(websocket.user.username)

    def greet_blocking(websocket: BlockingWebSocket) -> None:
        assert websocket.auser() == websocket.user
        websocket.send_text(websocket.user.username)

    handler = greet if kind == "async" else greet_blocking
    api = api_of(handler, Fixed(identity), guards=[AllowAny()])
    with TestClient(api).websocket_connect("/ws") as ws:
        assert ws.receive_text() == ("alice" if identity else "")


async def test_nobody_is_an_anonymous_user() -> None:
    websocket = connect()
    assert isinstance(websocket.user, AnonymousUser)
    assert isinstance(await websocket.auser(), AnonymousUser)


async def test_without_djangos_auth_app_there_is_no_anonymous_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bolt_ws.users.apps.is_installed", lambda name: False)
    with pytest.raises(RuntimeError, match=r"websocket\.user needs django\.contrib\.auth"):
        connect().user  # noqa: B018


@pytest.mark.django_db
async def test_in_a_coroutine_the_error_names_auser() -> None:
    async with AsyncTestClient(BoltAPI()):
        alice = await User.objects.acreate(username="alice")
        websocket = connect(Identity(str(alice.pk)))
        with pytest.raises(SynchronousOnlyOperation, match=r"await websocket\.auser\(\)"):
            websocket.user  # noqa: B018
        assert await websocket.auser() == alice
        assert websocket.user == alice


async def test_a_blocking_connection_refuses_in_a_coroutine() -> None:
    twin = BlockingWebSocket(connect(Identity("7")), asyncio.get_running_loop())
    with pytest.raises(RuntimeError, match=r"await websocket\.auser"):
        twin.auser()
    with pytest.raises(SynchronousOnlyOperation, match=r"await websocket\.auser\(\)"):
        twin.user  # noqa: B018


@pytest.mark.django_db
def test_a_blocking_handler_asks_in_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    load = User._default_manager.get

    def get(*args: Any, **kwargs: Any) -> User:
        threads.append(threading.get_ident())
        return load(*args, **kwargs)

    def handler(websocket: BlockingWebSocket) -> None:
        threads.append(threading.get_ident())
        websocket.send_text(websocket.user.username)

    alice = User.objects.create(username="alice")
    monkeypatch.setattr(User._default_manager, "get", get)
    client = TestClient(api_of(handler, JWTAuthentication()))
    with client.websocket_connect("/ws", token=client.token_for(alice)) as ws:
        ws.receive_text()
    assert len(set(threads)) == 1


# Who is refused


@pytest.mark.django_db
@pytest.mark.parametrize("fate", ["inactive", "deleted"])
@pytest.mark.parametrize("handler", HANDLERS)
def test_who_is_inactive_or_gone_is_refused(handler: Any, fate: str) -> None:
    alice = User.objects.create(username="alice")
    client = TestClient(api_of(handler, JWTAuthentication()))
    token = client.token_for(alice)
    if fate == "inactive":
        User.objects.update(is_active=False)
    else:
        User.objects.all().delete()
    if handler is name_blocking_in_words:  # before accept
        assert client.assert_refused("/ws", 401, token=token).json() == {
            "detail": "The user is unknown or inactive",
            "code": "unknown_user",
        }
    else:
        with client.websocket_connect("/ws", token=token) as ws:
            ws.assert_closed(4401)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "user_id",
    ["abc", " ", "1.5", "1e3", "-1", "9" * 30, "9" * 5000, "\x00", "1\x00", "\ud800", "None"],
)
@pytest.mark.parametrize("handler", [name_async, name_blocking])
def test_what_is_no_primary_key_is_refused(handler: Any, user_id: str) -> None:
    User.objects.create(username="alice")
    client = TestClient(api_of(handler, Fixed(Identity(user_id))))
    with client.websocket_connect("/ws") as ws:
        ws.assert_closed(4401)


@pytest.mark.parametrize("error", [ValueError, OverflowError, ValidationError, DataError])
@pytest.mark.parametrize("step", ["convert", "query"])
def test_whatever_another_kind_of_key_makes_of_it(
    error: type[Exception], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error("no key")

    model = Mock(DoesNotExist=User.DoesNotExist)
    at = model._meta.pk.to_python if step == "convert" else model._default_manager.get
    at.side_effect = fail
    monkeypatch.setattr("bolt_ws.users.get_user_model", lambda: model)
    with pytest.raises(AuthenticationFailed):
        connect(Identity("x")).user  # noqa: B018


@pytest.mark.django_db
@pytest.mark.parametrize("source", ["backend", "middleware"])
async def test_an_inactive_user_is_refused_wherever_it_comes_from(source: str) -> None:
    alice = User(pk=7, is_active=False)
    if source == "backend":
        websocket = connect(Identity("7", user=alice))
    else:
        websocket = connect(Identity("7"), user=alice)
    with pytest.raises(AuthenticationFailed):
        await websocket.auser()
    with pytest.raises(AuthenticationFailed):
        websocket.user  # noqa: B018


class Changer(Guard):
    """An object-level permission."""

    async def has_permission(self, websocket: Any) -> bool:
        user = await websocket.auser()
        return bool(await user.ahas_perm("auth.change_user"))


class BlockingChanger(Guard):
    """The same, in a plain method."""

    def has_permission(self, websocket: Any) -> bool:
        return bool(websocket.user.has_perm("auth.change_user"))


async def accept(websocket: WebSocket) -> None:
    await websocket.accept()


@pytest.mark.django_db
@pytest.mark.parametrize("guard", [Changer(), BlockingChanger()])
def test_a_guard_that_asks_for_the_user(guard: Guard) -> None:
    alice = User.objects.create(username="alice")
    bob = User.objects.create(username="bob")
    gone = User.objects.create(username="gone", is_active=False)
    alice.user_permissions.add(Permission.objects.get(codename="change_user"))
    client = TestClient(api_of(accept, JWTAuthentication(), guards=[guard]))
    with client.websocket_connect("/ws", token=client.token_for(alice)) as ws:
        ws.assert_closed(1000)
    client.assert_refused("/ws", 403, token=client.token_for(bob))
    client.assert_refused("/ws", 401, token=client.token_for(gone))
    client.assert_refused("/ws", 401)


def test_a_database_that_is_down_refuses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def get(**kwargs: Any) -> User:
        raise OperationalError("no such host: db.internal")

    monkeypatch.setattr(User._default_manager, "get", get)
    monkeypatch.setattr("channels.db.close_old_connections", lambda: None)
    client = TestClient(api_of(accept, JWTAuthentication(), guards=[Changer()]))
    refused = client.assert_refused("/ws", 500, token=client.token_for(User(pk=7)))
    assert "db.internal" not in str(refused.body)
    assert "OperationalError" in caplog.text


# Whose user it is


async def test_a_middlewares_user_where_nobody_authenticated() -> None:
    alice = User(pk=7)
    websocket = connect(user=alice)
    assert websocket.user is await websocket.auser() is alice


async def test_a_middlewares_user_who_is_the_one_that_authenticated() -> None:
    alice = User(pk=7)
    websocket = connect(Identity("7"), user=alice)
    assert websocket.user is await websocket.auser() is alice


@pytest.mark.django_db
@pytest.mark.parametrize("cookie_of", [User(pk=3, username="victim"), AnonymousUser()])
async def test_a_token_counts_more_than_the_cookie_of_somebody_else(cookie_of: Any) -> None:
    async with AsyncTestClient(BoltAPI()):
        mallory = await User.objects.acreate(username="mallory", pk=8)
        websocket = connect(Identity("8"), user=cookie_of)
        assert await websocket.auser() == mallory
        assert websocket.user == mallory


@pytest.mark.django_db
async def test_it_follows_the_context() -> None:
    async with AsyncTestClient(BoltAPI()):
        alice = await User.objects.acreate(username="alice")
        bob = await User.objects.acreate(username="bob")
        websocket = connect(Identity(str(alice.pk), user=alice))
        assert await websocket.auser() is alice
        websocket.context.user_id = bob.pk  # a number is as good
        assert await websocket.auser() == bob
        websocket.context.user_id = None
        assert isinstance(await websocket.auser(), AnonymousUser)
        del websocket.context.user_id
        assert isinstance(await websocket.auser(), AnonymousUser)


async def test_who_changes_while_loading_is_not_kept_as_somebody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    def deferred(query: Any) -> Any:
        async def load(user_id: str) -> User:
            asked.set()
            await answer.wait()
            return User(pk=int(user_id))

        return load

    monkeypatch.setattr("bolt_ws.users.database_sync_to_async", deferred)
    websocket = connect(Identity("7"))
    loading = asyncio.create_task(websocket.auser())
    await asked.wait()
    websocket.context.user_id = "8"
    answer.set()
    assert (await loading).pk == 7
    assert (await websocket.auser()).pk == 8


def test_a_context_without_anybody() -> None:
    websocket = connect()
    websocket.context = ConnectionContext()
    websocket.context.clear()
    assert isinstance(load_user_blocking(websocket), AnonymousUser)


@pytest.mark.django_db
async def test_a_fake_connection_has_the_user_that_it_is_given() -> None:
    alice = User(pk=7, username="alice")
    assert WebSocket.fake(user=alice).user is alice
    twin = BlockingWebSocket.fake(user=alice)
    assert await asyncio.to_thread(twin.auser) is alice
