"""Admission: what stands between a handshake and its handler, all of it before accept."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404

from .auth.backends import Authentication
from .auth.guards import Guard, IsAuthenticated
from .conf import get_settings
from .context import Identity
from .dependencies import Dependencies
from .exceptions import DeclarationError, Refusal, WebSocketException
from .parameters import Binder, bind_all
from .states import WebSocketState
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

# What a guard or a backend may raise to refuse, as a handler may; all else is a fault of ours.
_SPEAKING = (
    Refusal,
    WebSocketException,
    PermissionDenied,
    Http404,
    SuspiciousOperation,
    ValidationError,
)

Arguments = tuple[list[Any], dict[str, Any]]


class Admission:
    """The steps of one endpoint, compiled once: authenticate, guards, arguments."""

    __slots__ = ("_authenticators", "_guards", "_taken", "guards")

    def __init__(self, auth: Sequence[Authentication], guards: Sequence[Guard]) -> None:
        if auth and not guards:
            guards = (IsAuthenticated(),)  # a route that asks for credentials wants them
        self.guards = tuple(guards)
        self._taken = sorted({name for backend in auth for name in backend.taken})
        self._authenticators = [
            (type(backend).__name__, _awaitable(backend.authenticate)) for backend in auth
        ]
        self._guards = [_awaitable(guard.has_permission) for guard in guards]

    async def admit(
        self, websocket: WebSocket, binders: Sequence[Binder], dependencies: Dependencies
    ) -> list[Arguments]:
        """Return the arguments of each binder's function, or raise a `Refusal`.

        Whatever fails, refuses. What a dependency raises is raised as it is.
        """
        deadline = asyncio.timeout(get_settings().admission_timeout)
        try:
            async with deadline:
                try:
                    await self._authenticate(websocket)
                    await self._guard(websocket)
                except _SPEAKING:
                    raise
                except Exception as error:
                    logger.exception("Exception in the admission of %s", ascii(websocket.path))
                    raise Refusal(500, "internal_error", "Internal server error") from error
                arguments = await bind_all(binders, websocket, dependencies)
                if websocket.state is not WebSocketState.CONNECTING:  # a guard closed it, say
                    raise Refusal(403, "rejected", "The connection was not accepted")
                return arguments
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise Refusal(503, "admission_timeout", "Admission took too long") from error

    async def _authenticate(self, websocket: WebSocket) -> None:
        for name, authenticate in self._authenticators:
            identity: Identity | None = authenticate(websocket)
            while inspect.isawaitable(identity):
                identity = await identity
            if identity is not None:
                websocket.auth = identity
                websocket.context.identify(identity, name)
                break
        for name in self._taken:  # of backends that were not asked, because another one knew
            websocket.take_query_param(name)

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
        one_line(_detail_for_log(refusal)),
    )


def _detail_for_log(refusal: Refusal) -> str:
    if refusal.code != "invalid_parameters" or settings.DEBUG:
        return refusal.detail
    # A wrong value may be anything, a token in the wrong place for instance.
    names = re.findall(r"(?:parameter|header|cookie) '[^']+'", refusal.detail)
    return ", ".join(dict.fromkeys(names)) or "see the response"


def one_line(text: str) -> str:
    """Return `text` so that it cannot forge a line of a log."""
    return text.encode("unicode_escape").decode()
