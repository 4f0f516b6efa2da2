"""System checks of the keys that tokens are signed with."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.checks.security.base import (
    SECRET_KEY_INSECURE_PREFIX,
    SECRET_KEY_MIN_UNIQUE_CHARACTERS,
)
from django.core.exceptions import ImproperlyConfigured

from .auth.jwt import MINIMUM_KEY_BYTES, JWTAuthentication
from .check_endpoints import backends

_MAKE_ONE: Final = (
    'Set BOLT_WS["JWT_KEY"] to the output of: '
    'python -c "import secrets; print(secrets.token_urlsafe(48))"'
)


def check_jwt_keys(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E001: a key that is missing, or too short to sign with."""
    found: list[CheckMessage] = []
    for backend in _jwt_backends():
        keys = _keys(backend)
        if keys is None:
            found.append(_e001("A JWTAuthentication has no key, and SECRET_KEY is empty.", backend))
            continue
        for algorithm in backend.algorithms:
            minimum = MINIMUM_KEY_BYTES.get(algorithm, 0)
            found += [
                _e001(
                    f"The key of a JWTAuthentication has {len(key)} bytes: "
                    f"{algorithm} needs {minimum}.",
                    backend,
                )
                for key in keys
                if len(key) < minimum
            ]
    return found


def _e001(what: str, backend: JWTAuthentication) -> CheckMessage:
    hint = f"A shorter key can be guessed from one token (RFC 7518 section 3.2). {_MAKE_ONE}"
    return Error(what, hint=hint, obj=backend, id="bolt_ws.E001")


def check_guessable_keys(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E002: a key that is long enough, and no secret. Under `--deploy`."""
    return [
        Error(
            f"The key of a JWTAuthentication begins with {SECRET_KEY_INSECURE_PREFIX!r} or has "
            f"less than {SECRET_KEY_MIN_UNIQUE_CHARACTERS} different characters.",
            hint=f"Whoever guesses it signs tokens for any user. {_MAKE_ONE}",
            obj=backend,
            id="bolt_ws.E002",
        )
        for backend in _jwt_backends()
        if any(map(_is_guessable, _keys(backend) or ()))
    ]


def _is_guessable(key: bytes) -> bool:
    # As Django's security.W009 judges SECRET_KEY. An empty one is E001's.
    is_generated = key.startswith(SECRET_KEY_INSECURE_PREFIX.encode())
    return is_generated or 0 < len(set(key)) < SECRET_KEY_MIN_UNIQUE_CHARACTERS


def check_own_keys(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.W001: one key for Django's own signatures and for tokens, without `DEBUG`."""
    if settings.DEBUG:  # `startproject` has one key, which is right for a start
        return []
    return [
        Warning(
            "The key of a JWTAuthentication is SECRET_KEY, which signs sessions and password "
            "resets too.",
            hint=f"With a key of their own, tokens can be revoked without the rest. {_MAKE_ONE}",
            obj=backend,
            id="bolt_ws.W001",
        )
        for backend in _jwt_backends()
        if _secret_key() in (_keys(backend) or ())
    ]


def _jwt_backends() -> list[JWTAuthentication]:
    return [each for each in backends() if isinstance(each, JWTAuthentication)]


def _keys(backend: JWTAuthentication) -> tuple[bytes, ...] | None:
    try:
        return backend.secrets
    except ImproperlyConfigured:  # Django's word for an empty SECRET_KEY
        return None


def _secret_key() -> bytes | None:
    try:
        return settings.SECRET_KEY.encode()
    except ImproperlyConfigured:
        return None
