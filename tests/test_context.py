"""The storage of one connection."""

import dataclasses
from typing import Any

import pytest

from bolt_ws import ConnectionContext, WebSocket
from bolt_ws.auth import Identity
from tests.support import serve, talk


def test_an_anonymous_context_has_all_names() -> None:
    assert ConnectionContext() == {
        "user_id": None,
        "is_staff": False,
        "is_superuser": False,
        "permissions": frozenset(),
        "auth_backend": None,
        "claims": {},
    }


def test_items_and_attributes_are_the_same() -> None:
    context = ConnectionContext()
    context.nickname = "alice"
    context["room"] = "lobby"
    assert (context["nickname"], context.room, context.get("room")) == ("alice", "lobby", "lobby")


def test_a_missing_name_is_named() -> None:
    with pytest.raises(AttributeError, match=r"websocket\.context has no 'nickname'"):
        _ = ConnectionContext().nickname


def test_hasattr_and_getattr_with_a_default() -> None:
    context = ConnectionContext()
    assert not hasattr(context, "nickname")
    assert getattr(context, "nickname", "nobody") == "nobody"


def test_an_attribute_is_deleted_once() -> None:
    context = ConnectionContext()
    context.nickname = "alice"
    del context.nickname
    with pytest.raises(AttributeError, match="nickname"):
        del context.nickname


@pytest.mark.parametrize("name", ["get", "items", "update", "pop"])
def test_a_method_is_not_shadowed(name: str) -> None:
    context = ConnectionContext()
    with pytest.raises(AttributeError, match=f"use websocket.context\\['{name}'\\]"):
        setattr(context, name, 1)
    context[name] = 1
    assert context[name] == 1


def test_dir_shows_what_is_kept() -> None:
    context = ConnectionContext()
    context.nickname = "alice"
    assert {"nickname", "user_id", "get"} <= set(dir(context))


def test_an_identity_fills_it() -> None:
    context = ConnectionContext()
    context.nickname = "alice"
    claims = {"sub": "7"}
    context.identify(Identity("7", True, False, frozenset({"a.b"}), claims), "Backend")
    assert context == {
        "user_id": "7",
        "is_staff": True,
        "is_superuser": False,
        "permissions": frozenset({"a.b"}),
        "auth_backend": "Backend",
        "claims": {"sub": "7"},
        "nickname": "alice",
    }
    assert context.claims is not claims


async def test_each_connection_has_its_own() -> None:
    seen: list[ConnectionContext] = []

    async def handler(websocket: WebSocket) -> None:
        assert not hasattr(websocket.context, "mark")
        websocket.context.mark = True
        seen.append(websocket.context)

    application = serve(handler)
    await talk(application)
    await talk(application)
    assert len(seen) == 2
    assert seen[0] is not seen[1]


@pytest.mark.parametrize(
    ("user_id", "error"), [(7, TypeError), (None, TypeError), ("", ValueError)]
)
def test_a_users_id_is_text(user_id: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="a user's id is text"):
        Identity(user_id)
    with pytest.raises(error):
        dataclasses.replace(Identity("7"), user_id=user_id)
