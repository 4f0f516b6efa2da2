"""How a connection ends: refused, closed or lost. Whoever waits for something else is told."""

from __future__ import annotations

import asyncio
import weakref
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from websockets.frames import Close, CloseCode

from . import responses
from .inbox import Event
from .reader import Reader

if TYPE_CHECKING:
    from websockets.http11 import Response

    from .handshake import Handshake
    from .server import Server

MAX_REASON: Final = 123
"""Bytes of a close reason (RFC 6455 section 5.5)."""

UNAWARE: Final = 5.0
"""Seconds that an application may take to tell its other tasks of the end."""


class Step(Enum):
    """How far a connection is."""

    CONNECTING = auto()
    DENYING = auto()
    """A response that refuses has begun."""
    OPEN = auto()
    CLOSING = auto()
    """No more is sent: a close frame or a refusal was."""
    CLOSED = auto()
    """The transport is gone."""


class Ending(Reader):
    """A connection, as far as its end goes."""

    __slots__ = (
        "_denial",
        "_ended",
        "_ended_at",
        "_handshake",
        "_is_being_told",
        "_is_chunked",
        "_is_looked_after",
        "_lingers_from",
        "_receives_apart",
        "_server",
        "_step",
        "_task",
        "_told",
    )

    def __init__(self, server: Server, handshake: Handshake, early: bytes) -> None:
        super().__init__(server.loop, server.limits)
        self._server = server
        self._handshake = handshake
        self._pending = early
        self._step = Step.CONNECTING
        self._denial: tuple[int, responses.RawHeaders] | None = None
        self._is_chunked = False
        self._ended: tuple[int, str] | None = None
        """The code and the reason."""
        self._is_being_told = False
        """The application waits for an event, and gets `websocket.disconnect` in a moment."""
        self._is_looked_after = False
        """The application sees to it by itself that it ends."""
        self._receives_apart = False
        """The application receives in other tasks than it sends in."""
        self._told: weakref.ref[asyncio.Task[Any]] | None = None
        """Who got it. A task that failed knows us by its traceback, so it is not to be held."""
        self._ended_at = 0.0
        self._lingers_from = 0.0
        self._task: asyncio.Task[None] | None = None
        """The application's."""

    def _end(self, code: int, reason: str) -> None:
        """Take note of the first end, and wake all who wait for something else."""
        self._can_send = False
        self._is_over = True
        if self._ended is None:
            self._ended = (int(code), reason)
            self._ended_at = self._lingers_from = self._loop.time()
        self._wake_senders()
        if self._waiters:
            self._is_being_told = True
            while self._waiters:
                self._wake_receiver()
            self._loop.call_soon(self._was_told)

    def _was_told(self) -> None:
        self._is_being_told = False

    def _is_unaware(self) -> bool:
        """Tell whether the current task cannot know of the end: another one was told of it.

        A Channels consumer, say, receives in a task of its own. An error from its `send()` would
        take it away before its `disconnect()`.
        """
        if self._told is not None:
            cannot_know, bound = self._told() is not asyncio.current_task(), UNAWARE
        else:  # and after that it is cancelled
            cannot_know = self._is_being_told or self._receives_apart
            bound = self._server.application_close_timeout
        return cannot_know and self._loop.time() - self._ended_at < bound

    def ask_for_end(self) -> tuple[int, str] | None:
        """Return the code and the reason of the end, also if messages came that were not received.

        Who asks sees to it that the application ends.
        """
        self._is_looked_after = True
        return self._ended

    def _end_event(self) -> Event | None:
        if self._ended is None:
            return None
        if (task := asyncio.current_task()) is not None:
            self._told = weakref.ref(task)
        code, reason = self._ended
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    def _peer_ended(self, close: Close | None) -> None:
        if self._step is Step.OPEN:
            self._step = Step.CLOSING
        if close is None:
            self._end(CloseCode.ABNORMAL_CLOSURE, "")
        else:
            self._end(close.code, close.reason)

    def _close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and wait for the client's only so long."""
        protocol = self._protocol or self._make_protocol()
        protocol.send_close(code, reason)
        self._write_all(protocol.data_to_send())
        self._step = Step.CLOSING
        self._forget_read()
        self._end(code, reason)
        self._resume_reading()  # the client's answer is behind what it sent before
        self._read_frames()

    # Refusing a handshake

    def _refuse(self, status: int) -> None:
        headers = [(b"Content-Type", b"text/plain; charset=utf-8")]
        self._respond(status, headers, responses.phrase(status).encode())
        if status == 403:  # as Daphne's access log has it, others are no rejection
            self._server.log(self._handshake, "rejected")

    def _answer(self, response: Response) -> None:
        headers = [(name.encode(), value.encode()) for name, value in response.headers.raw_items()]
        self._respond(response.status_code, headers, bytes(response.body or b""))

    def _respond(self, status: int, headers: responses.RawHeaders, body: bytes) -> None:
        head = responses.refusal_head(status, headers, self._server.server_name, len(body))
        self._transport.write(head + body)
        self._finish_refusal()

    def _finish_refusal(self) -> None:
        self._step = Step.CLOSING
        self._forget_read()
        self._pending = b""
        self._resume_reading()  # and discard what comes, so that the end of the stream is seen
        self._write_all([b""])
        self._end(CloseCode.ABNORMAL_CLOSURE, "")

    def _begin_denial(self, event: Event) -> None:
        status = event["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"status {status!r} cannot refuse a handshake")
        self._denial = status, responses.checked_headers(event.get("headers") or (), accepts=False)
        self._step = Step.DENYING

    async def _continue_denial(self, event: Event) -> None:
        body, is_last = event.get("body", b""), not event.get("more_body", False)
        if not isinstance(body, bytes):
            raise TypeError(f"body must be bytes, not {type(body).__name__}")
        if self._denial is not None:
            (status, headers), self._denial = self._denial, None
            if is_last:
                self._respond(status, headers, body)
                self._server.log(self._handshake, "rejected")
                return
            self._is_chunked = responses.has_chunks(status, headers)
            head = responses.refusal_head(status, headers, self._server.server_name, None)
            self._transport.write(head)
            self._server.log(self._handshake, "rejected")
        if body:
            self._transport.write(responses.chunk(body) if self._is_chunked else body)
        if is_last:
            if self._is_chunked:
                self._transport.write(responses.chunk(b""))
            self._finish_refusal()
        elif self._is_full:
            await self._drained()


def checked_close(code: object, reason: object) -> tuple[int, str]:
    """Return what a close frame says. Raises `ValueError` for a code or reason it cannot."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise ValueError(f"close code {code!r} is no number")
    if not (3000 <= code <= 4999 or code in _STANDARD_CODES):
        raise ValueError(f"close code {code} must not be sent (RFC 6455 section 7.4)")
    if not isinstance(reason, str):
        raise ValueError(f"close reason {reason!r} is no text")
    if len(reason.encode()) > MAX_REASON:
        raise ValueError(f"a close reason has at most {MAX_REASON} bytes in UTF-8")
    return code, reason


_STANDARD_CODES: Final = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))
