"""Minting the tokens that `JWTAuthentication` reads."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jwt

from ..conf import jwt_key

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

_RESERVED = ("sub", "iat", "exp")


def create_jwt_for_user(
    user: AbstractBaseUser,
    *,
    expires_in: float = 3600,
    extra_claims: Mapping[str, Any] | None = None,
) -> str:
    """Return a token for `?token=`, valid for `expires_in` seconds.

    Its claims are `sub` (the user's primary key as text), `iat`, `exp`, `jti`, `is_staff`,
    `is_superuser`, and `extra_claims`, `permissions` for instance. It is signed with HS256 and
    `BOLT_WS["JWT_KEY"]`, else `SECRET_KEY`.

    Raises `ValueError` for a user who is anonymous or not saved, and for an extra claim that says
    who the user is or how long the token lives.
    """
    if user.pk is None:
        raise ValueError("a token needs a saved user: this one has no primary key")
    extra = dict(extra_claims or {})
    for name in _RESERVED:
        if name in extra:
            raise ValueError(f"extra claim {name!r} is set by create_jwt_for_user itself")
    now = int(time.time())
    claims = {
        "sub": str(user.pk),
        "iat": now,
        "exp": now + int(expires_in),
        "jti": uuid.uuid4().hex,
        "is_staff": bool(getattr(user, "is_staff", False)),
        "is_superuser": bool(getattr(user, "is_superuser", False)),
        **extra,
    }
    return jwt.encode(claims, jwt_key(), algorithm="HS256")
