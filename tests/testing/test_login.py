"""Who a test client is: a token for `JWTAuthentication`, a session for Django's own login."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import pytest
from asgiref.sync import async_to_sync
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.models import Session

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.auth import AllowAny, IsAuthenticated, JWTAuthentication
from bolt_ws.testing import AsyncTestClient, TestClient, WebSocketTestClient, token_for
from tests.testing import clients
from tests.testing.clients import ClientOf

client_of = clients.client_of
api = BoltAPI()


@api.websocket("/me", auth=[JWTAuthentication()], guards=[IsAuthenticated()])
async def me(websocket: WebSocket) -> None:
    context = websocket.context
    await websocket.send_json([context.user_id, context.is_staff, context.claims.get("role")])


@api.websocket("/anyone", auth=[JWTAuthentication()], guards=[AllowAny()])
async def anyone(websocket: WebSocket) -> None:
    await websocket.send_json(websocket.context.user_id)


class Named(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        await self.send_json([self.scope["user"].get_username(), self.scope["user"].is_anonymous])


with_session = AuthMiddlewareStack(Named.as_asgi())


def first_message(client: Any, path: str = "/me", **options: Any) -> Any:
    """Connect, and return the first message."""
    with client.websocket_connect(path, **options) as ws:
        return ws.receive_json()


@pytest.fixture
def unsaved() -> User:
    """A user who is in no database, and has a key."""
    return User(pk=7, username="ann", is_staff=True)


# Tokens, without a database


def test_a_user_in_the_constructor(client_of: ClientOf, unsaved: User) -> None:
    assert first_message(client_of(api, user=unsaved)) == ["7", True, None]


def test_logging_in_and_out(client_of: ClientOf, unsaved: User) -> None:
    client = client_of(api)
    client.assert_refused("/me", 401)
    assert first_message(client, "/anyone") is None
    client.force_login(unsaved)
    assert client.user is unsaved
    assert first_message(client) == ["7", True, None]
    client.force_login(User(pk=8))
    assert first_message(client) == ["8", False, None]
    client.logout()
    assert client.user is None
    client.assert_refused("/me", 401)


def test_a_token_of_ones_own_goes_before_the_users(client_of: ClientOf, unsaved: User) -> None:
    client = client_of(api, user=unsaved)
    other = token_for(User(pk=8))
    assert first_message(client, token=other)[0] == "8"
    assert first_message(client, f"/me?token={other}")[0] == "8"
    assert first_message(client, query={"token": other})[0] == "8"
    client.assert_refused("/me", 401, token="nonsense")
    client.assert_refused("/me?token=nonsense", 401)


def test_claims_of_a_token(client_of: ClientOf, unsaved: User) -> None:
    client = client_of(api)
    token = client.token_for(unsaved, role="editor", is_staff=False)
    assert first_message(client, token=token) == ["7", False, "editor"]
    client.assert_refused("/me", 401, token=client.token_for(unsaved, exp=int(time.time()) - 60))
    client.assert_refused("/me", 401, token=client.token_for(unsaved, sub=None))
    client.assert_refused("/me", 401, token=client.token_for(unsaved, exp="soon"))


def test_a_token_is_signed_with_the_key_of_the_project(unsaved: User) -> None:
    claims = jwt.decode(token_for(unsaved, iat=None), settings.SECRET_KEY, algorithms=["HS256"])
    assert claims.keys() == {"sub", "exp", "jti", "is_staff", "is_superuser"}
    assert claims["sub"] == "7"


def test_a_user_without_a_key(client_of: ClientOf) -> None:
    with (
        pytest.raises(ValueError, match="a token needs a saved user"),
        client_of(api, user=User()).websocket_connect("/me"),
    ):
        pass


def test_a_user_of_one_line(unsaved: User) -> None:
    with WebSocketTestClient(api, "/me", user=unsaved) as ws:
        assert ws.receive_json()[0] == "7"


async def test_a_user_of_one_line_awaited(unsaved: User) -> None:
    async with WebSocketTestClient(api, "/me", user=unsaved) as ws:
        assert (await ws.receive_json())[0] == "7"


# Sessions, in the database


@pytest.mark.django_db
def test_a_session(client_of: ClientOf) -> None:
    user = User.objects.create_user("ann")
    client = client_of(with_session)
    assert first_message(client, "/") == ["", True]
    client.force_login(user)
    assert first_message(client, "/") == ["ann", False]
    assert first_message(client, "/") == ["ann", False]
    assert Session.objects.count() == 1
    client.logout()
    assert first_message(client, "/") == ["", True]


@pytest.mark.django_db
def test_a_session_of_a_user_in_the_constructor(client_of: ClientOf) -> None:
    client = client_of(with_session, user=User.objects.create_user("ann"))
    with client:
        assert first_message(client, "/") == ["ann", False]
    assert first_message(client, "/") == ["ann", False]
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_a_session_and_a_cookie(client_of: ClientOf) -> None:
    client = client_of(with_session, user=User.objects.create_user("ann"), cookies={"a": "1"})
    with client.websocket_connect("/", cookies={"b": "2"}) as ws:
        assert ws.receive_json() == ["ann", False]
        headers = dict(ws.scope["headers"])
    assert headers[b"cookie"].endswith(b"; a=1; b=2")


@pytest.mark.django_db
def test_two_clients_are_two_users(client_of: ClientOf) -> None:
    ann = client_of(with_session, user=User.objects.create_user("ann"))
    bob = client_of(with_session, user=User.objects.create_user("bob"))
    with ann.websocket_connect("/") as one, bob.websocket_connect("/") as two:
        assert (one.receive_json(), two.receive_json()) == (["ann", False], ["bob", False])


def test_an_unsaved_user_has_no_session(client_of: ClientOf, unsaved: User) -> None:
    # No database is asked for here, and none is touched.
    with client_of(api, user=unsaved).websocket_connect("/me") as ws:
        assert b"cookie" not in dict(ws.scope["headers"])


@pytest.mark.django_db
def test_without_the_sessions_of_django(client_of: ClientOf, settings: Any) -> None:
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django.contrib.sessions"
    ]
    client = client_of(api)
    client.force_login(User.objects.create_user("ann"))
    with client.websocket_connect("/me") as ws:
        assert b"cookie" not in dict(ws.scope["headers"])


@pytest.mark.django_db
def test_logging_in_before_the_client_is_entered() -> None:
    async def test(client: AsyncTestClient) -> None:
        await client.force_login(user)
        async with client, client.websocket_connect("/") as ws:
            assert await ws.receive_json() == ["ann", False]

    user = User.objects.create_user("ann")
    asyncio.run(test(AsyncTestClient(with_session)))
    async_to_sync(test)(AsyncTestClient(with_session))
    client = TestClient(with_session)
    client.force_login(user)
    with client:
        assert first_message(client, "/") == ["ann", False]


# Nobody, and somebody else


def test_an_anonymous_user_is_nobody(client_of: ClientOf) -> None:
    client = client_of(api, user=AnonymousUser())
    assert client.user is None
    client.assert_refused("/me", 401)
    client.force_login(AnonymousUser())
    client.assert_refused("/me", 401)


@pytest.mark.django_db
def test_a_user_in_place_of_another() -> None:
    ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
    with TestClient(with_session, user=ann) as client:
        assert first_message(client, "/") == ["ann", False]
        client.user = bob
        assert first_message(client, "/") == ["bob", False]
        client.user = None
        assert first_message(client, "/") == ["", True]
        client.force_login(ann)
        assert first_message(client, "/") == ["ann", False]
