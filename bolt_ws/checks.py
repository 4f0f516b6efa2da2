"""`manage.py check`: what would fail or fall open in production."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error

from .auth.jwt import MINIMUM_KEY_BYTES, JWTAuthentication
from .discovery import find_apis


def check_jwt_keys(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E001: a key that is too short to sign with."""
    return [
        message
        for backend in _jwt_backends()
        for algorithm in backend.algorithms
        if (message := _check_key(backend, algorithm)) is not None
    ]


def _check_key(backend: JWTAuthentication, algorithm: str) -> CheckMessage | None:
    key = backend.key.encode() if isinstance(backend.key, str) else backend.key
    minimum = MINIMUM_KEY_BYTES.get(algorithm, 0)
    if len(key) >= minimum:
        return None
    return Error(
        f"The key of a JWTAuthentication has {len(key)} bytes: {algorithm} needs {minimum}.",
        hint=(
            "A shorter key can be guessed from one token (RFC 7518 section 3.2). Set "
            'BOLT_WS["JWT_KEY"] to the output of: '
            'python -c "import secrets; print(secrets.token_urlsafe(48))"'
        ),
        obj=backend,
        id="bolt_ws.E001",
    )


def _jwt_backends() -> Iterator[JWTAuthentication]:
    backends = (backend for api in find_apis() for backend in api.backends())
    yield from dict.fromkeys(each for each in backends if isinstance(each, JWTAuthentication))
