"""The Django user of a connection, loaded when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError
from django.utils.asyncio import async_unsafe

from .exceptions import AuthenticationFailed

if TYPE_CHECKING:
    from .handshake import Handshake

# What a text that is no primary key makes of itself on its way to a row, or to none.
_NO_SUCH_USER = (ObjectDoesNotExist, ValidationError, ValueError, OverflowError, DataError)


async def load_user(websocket: Handshake) -> Any:
    """Return the user; at most one query, in the thread of Django's synchronous code.

    Raises `AuthenticationFailed` for one who is not there, or inactive.
    """
    user, user_id = _known_user(websocket), _user_id(websocket)
    if user is None and user_id is not None:
        user = await database_sync_to_async(_query)(user_id)
        websocket._cache["user"] = (user_id, user)
    return user


def load_user_blocking(websocket: Handshake) -> Any:
    """Return the user; at most one query, in this thread.

    Raises what `load_user` raises, and `SynchronousOnlyOperation` in a coroutine if it takes a
    query.
    """
    user, user_id = _known_user(websocket), _user_id(websocket)
    if user is None and user_id is not None:
        user = _query_in_no_coroutine(user_id)
        websocket._cache["user"] = (user_id, user)
    return user


def is_active(user: Any) -> bool:
    """Tell whether a user may be anybody. One that says nothing of it may, as Django has it."""
    return bool(getattr(user, "is_active", True))


def _known_user(websocket: Handshake) -> Any:
    """Return the user where that takes no query, else None."""
    user_id, from_middleware = _user_id(websocket), websocket.scope.get("user")
    if user_id is None:
        return _anonymous() if from_middleware is None else from_middleware
    asked_for, user = websocket._cache.get("user", (None, None))
    if asked_for == user_id:
        return user
    identity = websocket.auth
    if identity is not None and identity.user_id == user_id and identity.user is not None:
        return _check(identity.user)
    # The cookie that a middleware reads may be somebody else's than the token: with a token of his
    # own, a foreign page would act as the visitor whose browser sends the cookie.
    if from_middleware is not None and str(getattr(from_middleware, "pk", None)) == user_id:
        return _check(from_middleware)
    return None


def _user_id(websocket: Handshake) -> str | None:
    user_id = websocket.context.get("user_id")
    return None if user_id is None else str(user_id)


def _anonymous() -> Any:
    if not apps.is_installed("django.contrib.auth"):
        raise RuntimeError(
            "websocket.user needs django.contrib.auth in INSTALLED_APPS, or a middleware that "
            "fills the scope; who authenticated is in websocket.context and websocket.auth"
        )
    from django.contrib.auth.models import AnonymousUser  # models: not before apps are loaded

    return AnonymousUser()


def _query(user_id: str) -> Any:
    model = get_user_model()
    try:
        user = model._default_manager.get(pk=model._meta.pk.to_python(user_id))
    except _NO_SUCH_USER as error:
        raise _refusal() from error
    return _check(user)


_query_in_no_coroutine = async_unsafe(
    "websocket.user is not loaded yet, and a coroutine cannot wait for the database: use "
    "`await websocket.auser()` there"
)(_query)


def _check(user: Any) -> Any:
    if not is_active(user):
        raise _refusal()
    return user


def _refusal() -> AuthenticationFailed:
    # One answer to both: who is told which of the two it is learns who has an account.
    return AuthenticationFailed("The user is unknown or inactive", code="unknown_user")
