"""Admission: what stands between a handshake and its handler, all of it before accept."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404

from . import redaction
from .auth.backends import Authentication, resolved, unblocked
from .auth.guards import Guard, IsAuthenticated
from .client_address import client_address
from .conf import get_settings
from .context import Identity
from .dependencies import Dependencies
from .exceptions import DeclarationError, Refusal, WebSocketException, WebSocketRejected
from .handshake import Handshake
from .in_place import TookTooLong, within
from .limits import Lease
from .origin import Origins
from .parameters import Binder, bind_all
from .states import WebSocketState
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

# What a guard or a backend may raise to refuse, as a handler may; all else is a fault of ours.
_SPEAKING = (
    Refusal,
    WebSocketException,
    WebSocketRejected,
    PermissionDenied,
    Http404,
    SuspiciousOperation,
    ValidationError,
)

Arguments = tuple[list[Any], dict[str, Any]]


class Admission:
    """The steps of one endpoint, compiled once: origin, limits, auth, guards, arguments."""

    __slots__ = ("_authenticators", "_guards", "_is_ambient", "_origins", "auth", "guards")

    def __init__(
        self, auth: Sequence[Authentication], guards: Sequence[Guard], origins: Sequence[str] = ()
    ) -> None:
        self.auth = tuple(auth)
        self._origins = Origins(origins)
        if auth and not guards:
            guards = (IsAuthenticated(),)  # a route that asks for credentials wants them
        self.guards = tuple(guards)
        self._authenticators = [(each, unblocked(each.authenticate)) for each in auth]
        self._guards = [unblocked(guard.has_permission) for guard in guards]
        self._is_ambient = any(backend.is_ambient for backend in auth)
        redaction.add_parameters(name for backend in auth for name in backend.taken)
        for source in (source for backend in auth for source in backend.sources):
            redaction.add_marks(source.marks)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that may connect besides the site's own; "*" is any."""
        return self._origins.named

    async def admit(
        self,
        websocket: WebSocket,
        binders: Sequence[Binder],
        dependencies: Dependencies,
        lease: Lease,
    ) -> list[Arguments]:
        """Return the arguments of each binder's function, or raise a `Refusal`.

        Whatever fails, refuses. What a dependency raises is raised as it is.
        """
        try:
            arguments: list[Arguments] = await within(
                get_settings().admission_timeout,
                self._admit(websocket, binders, dependencies, lease),
            )
        except TookTooLong as error:
            raise too_late() from error
        return arguments

    async def _admit(
        self,
        websocket: WebSocket,
        binders: Sequence[Binder],
        dependencies: Dependencies,
        lease: Lease,
    ) -> list[Arguments]:
        try:
            try:
                self._origins.check(websocket)
                lease.take(websocket)
                is_trusted = self._origins.trust(websocket)
                if not is_trusted and not self._is_ambient:
                    websocket.drop_ambient()
                await self._authenticate(websocket)
            finally:
                self._discard_credentials(websocket)
            if websocket.auth is not None:
                self._take_over(websocket, websocket.auth, lease)
            if not is_trusted:  # nor do the guards and the handler see who it would be
                websocket.drop_ambient()
            await self._guard(websocket)
        except _SPEAKING:
            raise
        except Exception as error:
            path = ascii(redaction.shown(websocket.path))
            logger.exception("Exception in the admission of %s", path)
            raise Refusal(500, "internal_error", "Internal server error") from error
        arguments = await bind_all(binders, websocket, dependencies)
        if websocket.state is not WebSocketState.CONNECTING:  # a guard closed it, say
            raise Refusal(403, "rejected", "The connection was not accepted")
        return arguments

    async def _authenticate(self, websocket: WebSocket) -> None:
        for backend, authenticate in self._authenticators:
            identity: Identity | None = await resolved(authenticate(websocket))
            if identity is not None:
                websocket.auth, websocket.backend = identity, backend
                websocket.context.identify(identity, type(backend).__name__)
                break

    def _discard_credentials(self, websocket: WebSocket) -> None:
        """Take the credentials away, those of backends too that were not asked."""
        failure: Exception | None = None
        for backend in self.auth:
            try:
                backend.discard_credentials(websocket)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _take_over(self, websocket: WebSocket, identity: Identity, lease: Lease) -> None:
        if identity.is_ambient:
            self._origins.require(websocket)
        lease.take_user(identity.user_id)

    async def _guard(self, websocket: WebSocket) -> None:
        for has_permission in self._guards:
            if await resolved(has_permission(websocket)) is not True:
                raise self._denied(websocket)

    def _denied(self, websocket: WebSocket) -> Refusal:
        if self._authenticators and websocket.context["user_id"] is None:
            return Refusal(
                401, "not_authenticated", "Authentication required", {"WWW-Authenticate": "Bearer"}
            )
        return Refusal(403, "permission_denied", "Permission denied")


def too_late() -> Refusal:
    """Return the refusal of a handshake that is not admitted in time."""
    return Refusal(503, "admission_timeout", "Admission took too long", {"Retry-After": "1"})


def check_auth(auth: object, option: str = "auth") -> tuple[Authentication, ...]:
    """Return the backends, or raise `DeclarationError` if there is anything else among them."""
    return _check_all(auth, Authentication, option, "JWTAuthentication()")  # type: ignore[type-abstract]


def check_guards(guards: object, option: str = "guards") -> tuple[Guard, ...]:
    """Return the guards, or raise `DeclarationError` if there is anything else among them."""
    return _check_all(guards, Guard, option, "IsAuthenticated()")  # type: ignore[type-abstract]


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


def log_refusal(websocket: Handshake, endpoint: str | None, refusal: Refusal) -> None:
    """Write the one line that a refusal gets. The path has no query, so no token.

    The record's `refusal` holds the same as a dict, for structured logs.
    """
    client, origin = client_address(websocket.scope), websocket.headers.get("origin")
    path = redaction.shown(websocket.path)
    origin = None if origin is None else redaction.shown(origin)
    logger.warning(
        "Refused %s (%s): %d %s: %s [client %s, origin %s]",
        ascii(path),
        endpoint or "no endpoint",
        refusal.status,
        refusal.code,
        one_line("; ".join([_detail_for_log(refusal), *getattr(refusal, "__notes__", ())])),
        client or "unknown",
        "none" if origin is None else ascii(origin),
        extra={
            "refusal": {
                "path": path,
                "endpoint": endpoint,
                "status": refusal.status,
                "code": refusal.code,
                "client": client,
                "origin": origin,
            }
        },
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
