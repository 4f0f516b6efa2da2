"""Tokens of djangorestframework-simplejwt, as it makes them by default."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework_simplejwt.tokens import (
    AccessToken,
    RefreshToken,
    SlidingToken,
    Token,
    UntypedToken,
)

from bolt_ws import WebSocket
from bolt_ws.auth import JWTAuthentication
from tests.support import serve, status, talk

ALICE = User(pk=7, username="alice", is_staff=True)


async def whoami(websocket: WebSocket) -> None:
    await websocket.send_json([websocket.context.user_id, websocket.context.is_staff])


async def admits(token: Token, **options: Any) -> bool:
    backend = JWTAuthentication(user_id_claim="user_id", **options)
    answer = await status(serve(whoami, auth=[backend]), query=f"token={token}")
    assert answer in (101, 401)
    return answer == 101


async def test_its_access_token_says_who_connects() -> None:
    application = serve(whoami, auth=[JWTAuthentication(user_id_claim="user_id")])
    sent = await talk(application, query=f"token={AccessToken.for_user(ALICE)}")
    assert json.loads(sent[1]["text"]) == ["7", False]  # it says nothing of staff


async def test_its_refresh_token_is_no_access_token() -> None:
    refresh = RefreshToken.for_user(ALICE)
    assert not await admits(refresh)
    assert not await admits(refresh, token_type="access")
    assert await admits(refresh.access_token)
    assert await admits(refresh.access_token, token_type="access", required_claims=["jti"])


async def test_its_sliding_token_is_admitted_where_it_is_asked_for() -> None:
    sliding = SlidingToken.for_user(ALICE)
    assert not await admits(sliding)
    assert await admits(sliding, token_type="sliding")
    assert not await admits(AccessToken.for_user(ALICE), token_type="sliding")


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.set_exp(lifetime=timedelta(seconds=-1)),
        lambda token: token.__delitem__("exp"),
        lambda token: token.__delitem__("user_id"),
        lambda token: token.__setitem__("user_id", None),
        lambda token: token.__setitem__("token_type", "refresh"),
    ],
)
async def test_an_access_token_that_is_not_in_order(change: Callable[[Token], None]) -> None:
    token = AccessToken.for_user(ALICE)
    assert await admits(token)
    change(token)
    assert not await admits(token)


async def test_its_claim_of_the_user_must_be_named() -> None:
    token = AccessToken.for_user(ALICE)
    application = serve(whoami, auth=[JWTAuthentication()])
    assert await status(application, query=f"token={token}") == 401


def test_it_reads_the_same_token() -> None:
    token: Any = str(AccessToken.for_user(ALICE))
    assert JWTAuthentication(user_id_claim="user_id").decode(token) == UntypedToken(token).payload
