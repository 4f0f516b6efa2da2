"""How a connection ends: what each way out of a handler means to the client and to the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.http import Http404

from .exceptions import (
    InvalidJSON,
    Refusal,
    UnexpectedFrame,
    WebSocketDisconnect,
    WebSocketException,
)
from .states import MAX_REASON_BYTES, CloseCode
from .websocket import WebSocket


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


_NOT_ACCEPTED = Refusal(403, "rejected", "The connection was not accepted")
_PERMISSION_DENIED = Refusal(403, "permission_denied", "Permission denied")
_NOT_FOUND = Refusal(404, "not_found", "Not found")
_FAILED = Refusal(500, "internal_error", "Internal server error")
_SHUTTING_DOWN = Refusal(503, "shutting_down", "The server is shutting down")

NORMAL_ENDING = Ending(CloseCode.NORMAL_CLOSURE, "", _NOT_ACCEPTED)
"""The handler returned."""


def how_to_end(error: BaseException, websocket: WebSocket) -> Ending:
    """Return what an exception that leaves admission or the handler of `websocket` means."""
    match error:
        case Refusal():
            return Ending(4000 + error.status, shorten_reason(error.detail), error)
        case WebSocketDisconnect() if error.websocket in (None, websocket):
            return NORMAL_ENDING
        case WebSocketException():
            refusal = Refusal(403, "rejected", error.reason or _NOT_ACCEPTED.detail)
            return Ending(error.code, error.reason, refusal)
        case UnexpectedFrame() | InvalidJSON():  # the client's fault, so no error of ours
            reason = shorten_reason(str(error))
            return Ending(error.close_code, reason, _FAILED, note=str(error))
        case PermissionDenied():
            return Ending(CloseCode.POLICY_VIOLATION, "Permission denied", _PERMISSION_DENIED)
        case Http404():
            return Ending(CloseCode.POLICY_VIOLATION, "Not found", _NOT_FOUND)
        case asyncio.CancelledError():
            return Ending(CloseCode.SERVICE_RESTART, "", _SHUTTING_DOWN, is_raised_on=True)
        case _:
            return Ending(CloseCode.SERVER_ERROR, "", _FAILED, is_raised_on=True)


def shorten_reason(reason: str) -> str:
    """Return as much of `reason` as a close frame holds."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
