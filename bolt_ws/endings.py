"""How a connection ends: what each way out of a handler means to the client and to the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404

from .admission import too_late
from .conf import get_settings
from .exceptions import (
    InvalidJSON,
    Refusal,
    UnexpectedFrame,
    WebSocketDisconnect,
    WebSocketException,
    WebSocketRejected,
)
from .handshake import Scope
from .in_place import TookTooLong, within
from .interruption import GoneOn, ShutDown
from .states import CloseCode, WebSocketState, shorten_reason
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

ExceptionHandler = Callable[[WebSocket, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Ending:
    """One way to end: `refusal` before the connection is accepted, `code` and `reason` after.

    `is_raised_on` gives the exception to the server, which logs it. `note` is for our own log.
    """

    code: int
    reason: str
    refusal: Refusal
    is_raised_on: bool = False
    note: str = ""
    is_explicit: bool = False
    """The code was chosen for this very end: `refuse="close"` delivers it as it is."""


_NOT_ACCEPTED = Refusal(403, "rejected", "The connection was not accepted")


def stopping() -> Refusal:
    """Return the refusal of a handshake while the server stops."""
    return Refusal(503, "shutting_down", "The server is shutting down", {"Retry-After": "1"})


NORMAL_ENDING = Ending(CloseCode.NORMAL_CLOSURE, "", _NOT_ACCEPTED)
"""The handler returned."""
RESTART_ENDING = Ending(CloseCode.SERVICE_RESTART, "", _NOT_ACCEPTED)
"""The handler returned, for the server stops."""
HANDLED_ENDING = Ending(
    CloseCode.SERVER_ERROR, "", Refusal(500, "internal_error", "Internal server error")
)
"""An exception handler took the exception, and left the connection as it was."""


def how_to_end(error: BaseException, websocket: WebSocket) -> Ending:
    """Return what an exception that leaves admission or the handler of `websocket` means."""
    if is_quiet(error, websocket):
        return NORMAL_ENDING
    match error:
        case Refusal():
            return Ending(4000 + error.status, shorten_reason(error.detail), error)
        case WebSocketException():
            refusal = Refusal(403, "rejected", error.reason or _NOT_ACCEPTED.detail)
            return Ending(error.code, error.reason, refusal, is_explicit=True)
        case UnexpectedFrame() | InvalidJSON():  # the client's fault, so no error of ours
            reason = shorten_reason(str(error))
            return Ending(error.close_code, reason, _failure(error), note=str(error))
        case PermissionDenied():
            return _violation(error, 403, "permission_denied", "Permission denied")
        case Http404():
            return _violation(error, 404, "not_found", "Not found")
        case SuspiciousOperation():
            return _violation(error, 400, "bad_request", "Bad request")
        case ValidationError():
            return _violation(error, 422, "invalid", _messages(error))
        case GoneOn():
            return NORMAL_ENDING
        case ShutDown():
            return Ending(CloseCode.SERVICE_RESTART, "", stopping())
        case asyncio.CancelledError():
            return Ending(CloseCode.SERVICE_RESTART, "", stopping(), is_raised_on=True)
        case _:
            name = type(error).__name__ if settings.DEBUG else ""
            reason = shorten_reason(name)
            return Ending(CloseCode.SERVER_ERROR, reason, _failure(error), is_raised_on=True)


def foremost(
    error: BaseException | None, failures: Sequence[BaseException], websocket: WebSocket
) -> BaseException | None:
    """Return which exception ends a connection: the handler's `error` or one of its tasks.

    Those that are passed over are logged.
    """
    if not failures:
        return error
    raised = [*failures] if error is None else [error, *(f for f in failures if f is not error)]
    loud = [
        each
        for each in raised
        if not is_quiet(each, websocket) and not isinstance(each, asyncio.CancelledError)
    ]
    if not isinstance(error, asyncio.CancelledError):
        error = loud.pop(0) if loud else raised[0]
    for each in loud:
        logger.error("Exception in a task of %r", websocket, exc_info=each)
    return error


async def ask_handler(handler: ExceptionHandler, websocket: WebSocket, error: BaseException) -> Any:
    """Return what an exception handler answers; before accept, it has as long as admission."""
    if websocket.state is not WebSocketState.CONNECTING:
        return await handler(websocket, error)
    try:
        return await within(get_settings().admission_timeout, handler(websocket, error))
    except TookTooLong as late:
        raise too_late() from late


def is_quiet(error: BaseException, websocket: WebSocket) -> bool:
    """Tell whether `error` is this connection's own end, to be passed over in silence."""
    if isinstance(error, BaseExceptionGroup):  # of an asyncio.TaskGroup
        return all(is_quiet(each, websocket) for each in error.exceptions)
    if isinstance(error, WebSocketRejected):
        return error.websocket is websocket
    return websocket.is_quiet(error)


QUIET = "bolt_ws.quiet"
"""In a scope: what is called with an error that the server does not see. A test client asks."""


def note_quiet(scope: Scope, error: BaseException) -> None:
    """Tell whoever asked that `error` ends the handler in silence, or was logged only."""
    note = scope.get(QUIET)
    if note is not None:
        note(error)


async def bounded(
    step: Awaitable[None], seconds: float, where: tuple[str, str, str], scope: Scope
) -> None:
    """Await a step of the cleanup for `seconds` at most. What it raises is logged only."""
    try:
        await within(seconds, step)
    except WebSocketDisconnect:
        pass
    except Exception as error:
        if isinstance(error, TookTooLong):
            logger.error("%s of %s (%s) took over %g s and was given up", *where, seconds)
        else:
            logger.exception("Exception in %s of %s (%s)", *where)
        note_quiet(scope, error)


def _messages(error: ValidationError) -> str:
    try:
        return "; ".join(error.messages)
    except Exception:  # a message whose placeholders do not fit
        return "Invalid"


def _violation(error: Exception, status: int, code: str, detail: str) -> Ending:
    # What the exception says is for our log; the client gets the words that fit everybody.
    refusal = Refusal(status, code, detail)
    reason = shorten_reason(detail)
    return Ending(CloseCode.POLICY_VIOLATION, reason, refusal, note=f"{detail}: {error.args!r}")


def _failure(error: BaseException) -> Refusal:
    detail = "Internal server error"
    return Refusal(
        500, "internal_error", f"{detail}: {type(error).__name__}" if settings.DEBUG else detail
    )
