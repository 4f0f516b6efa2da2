"""Who a test client is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
from django.apps import apps
from django.conf import settings
from django.test import Client

from ..auth.tokens import create_jwt_for_user
from ..conf import jwt_key

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


def token_for(user: AbstractBaseUser, **claims: Any) -> str:
    """Return a token for `user`, as `bolt_ws.auth.create_jwt_for_user` makes it.

    `claims` stand in place of its own; None omits one. `exp` may be in the past.
    """
    made = jwt.decode(create_jwt_for_user(user), options={"verify_signature": False})
    made |= claims
    made = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(made, jwt_key(), algorithm="HS256")


def session_cookie(user: AbstractBaseUser) -> dict[str, str]:
    """Log `user` in, as Django's test client does, and return the cookie that says so.

    Without Django's sessions in the project, or for a user who is not in the database, there is
    none. Uses the database.
    """
    if user._state.adding or not apps.is_installed("django.contrib.sessions"):
        return {}
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]  # any user model
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}
