"""Minting tokens for users."""

import time
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings

from bolt_ws import WebSocket
from bolt_ws.auth import HasPermission, JWTAuthentication, create_jwt_for_user
from tests.support import serve, status

KEY = "a key of the settings' own, as long as any algorithm may ask"


def claims_of(token: str, key: str | None = None) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, key or settings.SECRET_KEY, algorithms=["HS256"])
    return claims


def test_the_claims_of_a_user() -> None:
    user = User(pk=7, username="alice", is_staff=True)
    claims = claims_of(create_jwt_for_user(user))
    assert abs(claims.pop("iat") - time.time()) < 5
    assert abs(claims.pop("exp") - time.time() - 3600) < 5
    assert claims.pop("jti") != claims_of(create_jwt_for_user(user))["jti"]
    assert claims == {"sub": "7", "is_staff": True, "is_superuser": False}


def test_expires_in() -> None:
    claims = claims_of(create_jwt_for_user(User(pk=7), expires_in=60))
    assert claims["exp"] - claims["iat"] == 60


def test_extra_claims() -> None:
    extra = {"permissions": ["chat.view"], "room": "lobby"}
    claims = claims_of(create_jwt_for_user(User(pk=7), extra_claims=extra))
    assert claims["permissions"] == ["chat.view"]
    assert claims["room"] == "lobby"


@pytest.mark.parametrize("name", ["sub", "iat", "exp"])
def test_an_extra_claim_cannot_say_who_and_until_when(name: str) -> None:
    with pytest.raises(ValueError, match=f"extra claim '{name}'"):
        create_jwt_for_user(User(pk=7), extra_claims={name: 1})


@pytest.mark.parametrize("user", [User(), AnonymousUser()])
def test_a_user_without_a_primary_key(user: Any) -> None:
    with pytest.raises(ValueError, match="no primary key"):
        create_jwt_for_user(user)


def test_the_key_of_the_settings() -> None:
    with override_settings(BOLT_WS={"JWT_KEY": KEY}):
        token = create_jwt_for_user(User(pk=7))
    assert claims_of(token, KEY)["sub"] == "7"


@pytest.mark.parametrize(("expires_in", "answer"), [(60, 101), (0, 401), (-1, 401)])
async def test_a_minted_token_opens_an_endpoint_until_it_expires(
    expires_in: int, answer: int
) -> None:
    async def handler(websocket: WebSocket) -> None:
        assert websocket.context.user_id == "7"
        await websocket.accept()

    token = create_jwt_for_user(User(pk=7), expires_in=expires_in)
    application = serve(handler, auth=[JWTAuthentication()])
    assert await status(application, query=f"token={token}") == answer


async def test_permissions_as_an_extra_claim_satisfy_a_guard() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    application = serve(handler, auth=[JWTAuthentication()], guards=[HasPermission("chat.view")])
    user = User(pk=7)
    token = create_jwt_for_user(user, extra_claims={"permissions": ["chat.view"]})
    assert await status(application, query=f"token={token}") == 101
    assert await status(application, query=f"token={create_jwt_for_user(user)}") == 403
