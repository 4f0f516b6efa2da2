"""One WebSocket connection: between a client's bytes and an ASGI application."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

from websockets.frames import CloseCode

from ..servers import END_EXTENSION
from . import responses
from .ending import Step, checked_close
from .frames import BINARY, TEXT, PreparedMessage, encode
from .handshake import Handshake, make_scope
from .inbox import Event
from .logs import server_logger
from .negotiation import Agreement
from .timed import Timed
from .writer import TURNS, ClientGone

if TYPE_CHECKING:
    from .server import Server

_EXPECTED: Final = {
    Step.CONNECTING: "websocket.accept, websocket.close or websocket.http.response.start",
    Step.DENYING: "websocket.http.response.body",
    Step.OPEN: "websocket.send or websocket.close",
}

SPIN: Final = 0.01
"""Seconds that an application waits now and then that goes on sending after the end."""
_MAY_BE_LATE: Final = ("websocket.send", "websocket.close")


class Connection(Timed):
    """A client's connection, and the application that serves it."""

    __slots__ = ("_agreement", "_is_stopping", "_was_served")

    def __init__(self, server: Server, handshake: Handshake, early: bytes = b"") -> None:
        super().__init__(server, handshake, early)
        self._is_stopping = False
        self._was_served = False
        self._agreement: Agreement | None = None

    def __repr__(self) -> str:
        handshake = self._handshake
        return f"<WebSocket client={handshake.client} path={handshake.path!r}>"

    def connection_made(self, transport: Any) -> None:
        """Run the application, or answer a bad handshake. The transport calls it."""
        self._transport = transport
        server = self._server
        server.enter(self)
        agreement = server.negotiator.answer(self._handshake)
        if server.is_stopping:
            self._refuse(503)
        elif not isinstance(agreement, Agreement):
            self._answer(agreement)
        else:
            self._agreement, self._extensions = agreement, agreement.extensions or ()
            self._was_served = True
            context = server.context.copy()
            self._task = self._loop.create_task(self._serve(), context=context)
            # In its context: a record of its failure says whose it is.
            self._task.add_done_callback(self._application_ended, context=context)
            server.log(self._handshake, "connecting")

    async def _serve(self) -> None:
        scope = make_scope(self._handshake)
        scope["extensions"][END_EXTENSION] = {"ask": self.ask_for_end}
        await self._server.application(scope, self.receive, self.send)

    def _begin(self) -> Event:
        self._receives_apart = asyncio.current_task() is not self._task
        return {"type": "websocket.connect"}

    def connection_lost(self, error: BaseException | None) -> None:
        """End what is left. The transport calls it."""
        self._read_impatiently(sys.maxsize)  # it may have said goodbye
        self._is_open = False
        self._step = Step.CLOSED
        self._end(CloseCode.ABNORMAL_CLOSURE, "")
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._was_served:
            self._server.log(self._handshake, "disconnected")
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._step is Step.CLOSED and self._task is None:
            self._server.leave(self)

    # What the application sends

    async def send(self, event: Event) -> None:
        """Take an event: ASGI's `send`.

        Raises `ClientGone`, an `OSError`, after the end, `RuntimeError` for an event out of turn,
        `TypeError` and `ValueError` for one that cannot be sent. A message from a task that cannot
        know of the end yet, because another was told of it, is as lost as if it had come before.
        """
        kind = event["type"]
        if kind == "websocket.send" and self._can_send:
            if self._is_full and not await self._has_room():
                return
            if self._transport.is_closing():  # and drops what it is given
                await self._take_turns()
                if self._receives_apart:  # and its other task is told in a moment
                    return
                raise ClientGone("the connection is lost")
            self._send_message(event)
            self._turns += "prepared" not in event  # who sends to many takes turns by itself
            if self._is_full:
                await self._has_room()
            elif self._turns > TURNS:
                await self._take_turns()
        elif self._ended is not None:
            await self._take_turns(SPIN)  # it may not look at what happens to what it sends
            may_be_late = kind in _MAY_BE_LATE or (
                kind == "websocket.accept" and self._receives_apart
            )
            if not may_be_late or not self._is_unaware():
                raise ClientGone(f"the connection has ended, and {kind} came too late")
        elif kind == "websocket.accept" and self._step is Step.CONNECTING:
            self._accept(event)
        elif kind == "websocket.close" and self._step is Step.CONNECTING:
            self._refuse(403)
        elif kind == "websocket.close" and self._step is Step.OPEN:
            code, reason = event.get("code"), event.get("reason")
            self._close(*checked_close(1000 if code is None else code, reason or ""))
        elif kind == "websocket.http.response.start" and self._step is Step.CONNECTING:
            self._begin_denial(event)
        elif kind == "websocket.http.response.body" and self._step is Step.DENYING:
            await self._continue_denial(event)
        else:
            raise RuntimeError(f"{kind!r} came out of turn: expected {_EXPECTED[self._step]}")

    def send_now(self, prepared: PreparedMessage) -> bool:
        """Send a message that was prepared, unless `send` would wait or raise.

        Return whether it was sent. A `send` in a coroutine takes 1 us more, of some 12.
        """
        transport = self._transport
        if not self._can_send or self._is_full or transport.is_closing():
            return False
        transport.write(prepared.frame)
        return True

    async def _has_room(self) -> bool:
        """Wait until the client has read enough. Return False if it never will."""
        try:
            await self._drained()
        except ClientGone:
            if not self._is_unaware():
                raise
            return False
        return True

    def _send_message(self, event: Event) -> None:
        text, data = event.get("text"), event.get("bytes")
        if text is not None and data is not None:
            raise ValueError("websocket.send has text or bytes, not both")
        prepared = event.get("prepared")
        # Middleware may have put another text in the place of the one that was prepared.
        if isinstance(prepared, PreparedMessage) and (
            (data if text is None else text) in (None, prepared.data)
        ):
            self._transport.write(prepared.frame)
        elif isinstance(text, str):
            self._write_message(TEXT, text.encode())
        elif isinstance(data, bytes):
            self._write_message(BINARY, data)
        elif isinstance(data, bytearray | memoryview):
            self._write_message(BINARY, bytes(data))
        elif text is None and data is None:
            raise ValueError("websocket.send needs text or bytes")
        else:
            raise TypeError(
                "websocket.send needs str as text or bytes as bytes, "
                f"not {type(data if text is None else text).__name__}"
            )

    def _write_message(self, first: int, payload: bytes) -> None:
        if not self._extensions:
            self._transport.write(encode(first, payload))
            return
        protocol = self._protocol or self._make_protocol()
        (protocol.send_text if first == TEXT else protocol.send_binary)(payload)
        self._write_all(protocol.data_to_send())

    def _accept(self, event: Event) -> None:
        headers = responses.checked_headers(event.get("headers") or (), accepts=True)
        subprotocol = event.get("subprotocol")
        if subprotocol is not None and subprotocol not in self._handshake.subprotocols:
            raise ValueError(f"subprotocol {subprotocol!r} is none that the client has offered")
        assert self._agreement is not None
        server_name = self._server.server_name
        self._transport.write(
            responses.accept_head(self._agreement, subprotocol, headers, server_name)
        )
        self._agreement = None
        self._step = Step.OPEN
        self._can_send = self._is_open = True
        self._heard_at = self._loop.time()
        self._server.log(self._handshake, "connected")
        if self._pending:  # what came before its time (RFC 6455 section 4.1) counts
            self._read_frames()
            if not self._is_lagging():
                self._resume_reading()

    # The end of the application

    def _application_ended(self, task: asyncio.Task[None]) -> None:
        self._task = None  # its traceback, if it has one, knows us
        error = None if task.cancelled() else task.exception()
        failed = task.cancelled() or error is not None
        if error is not None and not isinstance(error, ClientGone):
            server_logger.error("Exception inside application: %s", error, exc_info=error)
        if self._step is Step.CONNECTING:
            self._refuse(503 if self._is_stopping else 500 if failed else 403)
        elif self._step is Step.DENYING and self._denial is not None:
            self._refuse(500)
        elif self._step is Step.DENYING:
            self._transport.abort()  # what is missing must not look like the end
        elif self._step is Step.OPEN:
            self._close(self._code_of_end(failed=failed))
        self._leave_if_done()

    def _code_of_end(self, *, failed: bool) -> int:
        if self._is_stopping:
            return CloseCode.SERVICE_RESTART
        return CloseCode.INTERNAL_ERROR if failed else CloseCode.NORMAL_CLOSURE

    def stop(self) -> None:
        """Cancel the application, and close with 1012 when it has ended."""
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()

    def drop(self) -> None:
        """End now: with 1012 for a client that reads, whatever the application does."""
        if self._step is Step.OPEN:
            self._close(CloseCode.SERVICE_RESTART)
        self._transport.abort()
