"""Admission: what stands between a handshake and its handler, all of it before accept."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.core.exceptions import PermissionDenied, SuspiciousOperation

from .auth.backends import Authentication
from .auth.guards import Guard, IsAuthenticated
from .conf import get_settings
from .context import Identity
from .exceptions import DeclarationError, Refusal
from .parameters import Binder
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

Arguments = tuple[list[Any], dict[str, Any]]


class Admission:
    """The steps of one endpoint, compiled once: authenticate, guards, arguments."""

    __slots__ = ("_authenticators", "_binder", "_guards", "guards")

    def __init__(
        self, auth: Sequence[Authentication], guards: Sequence[Guard], binder: Binder
    ) -> None:
        if auth and not guards:
            guards = (IsAuthenticated(),)  # a route that asks for credentials wants them
        self.guards = tuple(guards)
        self._authenticators = [
            (type(backend).__name__, _awaitable(backend.authenticate)) for backend in auth
        ]
        self._guards = [_awaitable(guard.has_permission) for guard in guards]
        self._binder = binder

    async def admit(self, websocket: WebSocket) -> Arguments:
        """Return the handler's arguments, or raise a `Refusal`. Whatever fails, refuses."""
        seconds = get_settings().admission_timeout
        try:
            async with asyncio.timeout(seconds) as deadline:
                await self._authenticate(websocket)
                await self._guard(websocket)
                return self._binder.bind(websocket)
        except Refusal:
            raise
        except PermissionDenied as error:
            raise Refusal(403, "permission_denied", str(error) or "Permission denied") from None
        except SuspiciousOperation:
            raise Refusal(400, "bad_request", "Bad request") from None
        except Exception as error:
            if deadline.expired():
                raise Refusal(503, "admission_timeout", "Admission took too long") from error
            logger.exception("Exception in the admission of %s", websocket.path)
            raise Refusal(500, "internal_error", "Internal server error") from error

    async def _authenticate(self, websocket: WebSocket) -> None:
        for name, authenticate in self._authenticators:
            identity: Identity | None = authenticate(websocket)
            while inspect.isawaitable(identity):
                identity = await identity
            if identity is not None:
                websocket.context.identify(identity, name)
                return

    async def _guard(self, websocket: WebSocket) -> None:
        for has_permission in self._guards:
            allowed = has_permission(websocket)
            while inspect.isawaitable(allowed):
                allowed = await allowed
            if allowed is not True:
                raise self._denied(websocket)

    def _denied(self, websocket: WebSocket) -> Refusal:
        if self._authenticators and websocket.context["user_id"] is None:
            return Refusal(
                401, "not_authenticated", "Authentication required", {"WWW-Authenticate": "Bearer"}
            )
        return Refusal(403, "permission_denied", "Permission denied")


def check_auth(auth: object) -> tuple[Authentication, ...]:
    """Return the backends, or raise `DeclarationError` if there is anything else among them."""
    return _check_all(auth, Authentication, "auth", "JWTAuthentication()")  # type: ignore[type-abstract]


def check_guards(guards: object) -> tuple[Guard, ...]:
    """Return the guards, or raise `DeclarationError` if there is anything else among them."""
    return _check_all(guards, Guard, "guards", "IsAuthenticated()")  # type: ignore[type-abstract]


_Kind = TypeVar("_Kind")


def _check_all(objects: object, kind: type[_Kind], option: str, example: str) -> tuple[_Kind, ...]:
    if not isinstance(objects, list | tuple):
        raise DeclarationError(f"{option} must be a list such as [{example}], not {objects!r}")
    for each in objects:
        if isinstance(each, type) and issubclass(each, kind):
            raise DeclarationError(f"{option}: {each.__name__} is a class; write {each.__name__}()")
        if not isinstance(each, kind):
            raise DeclarationError(f"{option}: {each!r} is no {kind.__name__}")
    return tuple(objects)


def _awaitable(method: Callable[..., Any]) -> Callable[[WebSocket], Any]:
    """Return `method`, made to run where it blocks nobody."""
    if inspect.iscoroutinefunction(method) or getattr(method, "nonblocking", False):
        return method
    in_thread: Callable[[WebSocket], Awaitable[Any]] = database_sync_to_async(method)
    return in_thread


def log_refusal(path: str, endpoint: str | None, refusal: Refusal) -> None:
    """Write the one line that a refusal gets. The path has no query, so no token."""
    logger.warning(
        "Refused %s (%s): %d %s: %s",
        ascii(path),
        endpoint or "no endpoint",
        refusal.status,
        refusal.code,
        refusal.detail,
    )
