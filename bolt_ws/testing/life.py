"""How a session of a test client begins and ends, and where it stands."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ..exceptions import WebSocketDisconnect, WebSocketDisconnected
from ..servers import Event
from ..states import WebSocketState, check_close
from . import ending
from .reports import WebSocketTimeout, not_answered, not_sent, note_of_work, refusal_of
from .server_end import ClientLeft, ServerEnd

__tracebackhide__ = True  # pytest shows the test's line and the handler's

HANDSHAKE_TIMEOUT = 5.0
"""Seconds for the answer to a handshake: Daphne's own limit."""

TOOK_TOO_LONG = 503
"""The status of an admission that took too long."""

FAILED = 1011
"""The close code of an application that failed."""


class SessionLife:
    """The life of one connection of a test client: connected when entered, ended when left."""

    def __init__(
        self, server: ServerEnd, *, timeout: float | None, raises: bool, reports: bool
    ) -> None:
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] = []
        """The headers that came with the accept."""
        self.close_code: int | None = None
        """The code of the first end that the client saw or caused. None while there was no end."""
        self.close_reason: str | None = None
        self.error: BaseException | None = None
        """What left the application, if it failed."""
        self._server = server
        self._timeout = timeout
        self._raises = raises
        self._reports = reports
        self._state = WebSocketState.CONNECTING
        self._has_closed = False
        self._has_waited = False  # for the application's end
        self._is_receiving = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} {self.state.name}>"

    @property
    def is_patient(self) -> bool:
        """Whether its waits have no limit."""
        return self._timeout is None

    def patience(self, timeout: float | None = None) -> float | None:
        """Return the seconds that an operation with this `timeout` takes at most, None for ever."""
        return self._timeout if self._timeout is None or timeout is None else timeout

    # State

    @property
    def path(self) -> str:
        """The requested path."""
        return str(self._server.scope["path"])

    @property
    def scope(self) -> Event:
        """The ASGI scope that the application got."""
        return self._server.scope

    @property
    def sent(self) -> list[Event]:
        """All ASGI messages that the application has sent so far, those not received too."""
        return list(self._server.sent)

    @property
    def state(self) -> WebSocketState:
        """Where the connection stands, for what the client has seen of it."""
        return self._state

    @property
    def client_state(self) -> WebSocketState:
        """What the client has done: DISCONNECTED when it has closed, or seen the end."""
        return WebSocketState.DISCONNECTED if self._has_closed else self._state

    @property
    def application_state(self) -> WebSocketState:
        """What the application has done: DISCONNECTED as soon as it has closed, seen or not."""
        return self._server.state

    # Connecting and leaving

    async def __aenter__(self) -> Self:
        """Connect. Raises `WebSocketRefused`, and what the application raises."""
        self._server.start()
        try:
            await self._connect()
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, wait for the application's end, and raise what it raised.

        Raises `LeftBehind` if it does not end, or has left tasks or threads that run on.
        """
        await self._end(error)

    async def _connect(self) -> None:
        patience = None if self._timeout is None else max(self._timeout, HANDSHAKE_TIMEOUT)
        try:
            answer = await self._server.next(patience)
        except TimeoutError:
            raise WebSocketTimeout(not_answered(self._server, patience)) from None
        if answer is not None and answer["type"] == "websocket.accept":
            self._state = WebSocketState.CONNECTED
            self.accepted_subprotocol = answer.get("subprotocol")
            self.extra_headers = list(answer.get("headers") or ())
            return
        self._state = WebSocketState.DISCONNECTED
        refusal = await refusal_of(self._server, answer, patience)
        if refusal.status == TOOK_TOO_LONG and (note := note_of_work()):
            refusal.add_note(note)
        await self._raise_failure(patience)
        raise refusal

    async def _end(self, error: BaseException | None) -> None:
        self._has_closed = True
        self._server.leave(1000, "")
        if self._state is WebSocketState.CONNECTED:
            self._end_seen(1000, "")
        is_late = error is not None or self._has_waited
        timeout = ending.FAILED_END_TIMEOUT if is_late else ending.END_TIMEOUT
        problems = await ending.end(self._server, None if self.is_patient else timeout)
        if not self._reports:
            problems = None
        self._note_failure()
        failure = (self.error or self._server.logged_error) if self._raises else None
        if failure is not None:
            if error is None:
                self._raises = False
                raise failure
            if error not in (failure, failure.__cause__) and error.__context__ is not failure:
                error.add_note(f"Besides, the application raised {failure!r}.")
        if problems is not None:
            if error is None:
                raise problems
            error.add_note(str(problems))

    async def _raise_failure(self, timeout: float | None) -> None:
        """Raise what made the application fail, once it has ended."""
        await self._wait_for_end(timeout)
        self._note_failure()
        if self.error is not None and self._raises:
            self._raises = False
            raise self.error

    async def _wait_for_end(self, timeout: float | None) -> None:
        assert self._server.task is not None
        await asyncio.wait([self._server.task], timeout=timeout)

    def _note_failure(self) -> None:
        task = self._server.task
        if task is not None and task.done() and not task.cancelled():
            error = task.exception()
            self.error = None if isinstance(error, ClientLeft) else error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection as the client, and wait for the application's end.

        Raises `ValueError` for a code that no client may send, and what the application raises.
        """
        if code not in (1001, 1005, 1006):  # what a browser that goes away, or vanishes, is seen as
            check_close(code, reason)
        self._end_seen(code, reason)
        self._has_closed = True
        self._server.leave(code, reason)
        await self._wait_for_end(None if self.is_patient else ending.END_TIMEOUT)
        self._has_waited = True
        await self._raise_failure(0)

    def vanish(self) -> None:
        """Be gone without a close frame, and wait for nothing."""
        self._end_seen(1006, "")
        self._has_closed = True
        self._server.leave(1006, "")

    def cancel(self) -> None:
        """Cancel the application, as a server does that shuts down."""
        if self._server.task is not None:
            self._server.task.cancel()

    # The next message, or the end

    async def _next(self, what: str, timeout: float | None) -> Event:
        if self._state is not WebSocketState.CONNECTED:
            raise self._disconnect()
        if self._is_receiving:
            raise RuntimeError(f"another task is receiving from {self.path!r}: one at a time can")
        patience = self._timeout if timeout is None else timeout
        self._is_receiving = True
        try:
            event = await self._server.next(patience)
        except TimeoutError:
            raise WebSocketTimeout(not_sent(self._server, what, patience)) from None
        finally:
            self._is_receiving = False
        if event is not None and event["type"] == "websocket.send":
            return event
        await self._take_end(event, patience)
        raise self._disconnect()

    async def _take_end(self, event: Event | None, timeout: float | None) -> None:
        if event is None:  # ended without a close: a server closes then
            self._note_failure()
            self._end_seen(self._code_of_the_server(), "")
        else:
            self._end_seen(event.get("code") or 1000, event.get("reason") or "")
        if self.close_code == FAILED:
            await self._raise_failure(timeout)
        else:
            await self._wait_for_end(ending.QUIET_TIMEOUT)

    def _code_of_the_server(self) -> int:
        """Return what a server closes with, where the application has ended without a close."""
        if self.error is not None:
            return FAILED
        assert self._server.task is not None
        return 1006 if self._server.task.cancelled() else 1000

    def _end_seen(self, code: int, reason: str) -> None:
        self._state = WebSocketState.DISCONNECTED
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason

    def _disconnect(self) -> WebSocketDisconnect:
        end = WebSocketDisconnect(self.close_code or 1005, self.close_reason)
        for error in self._server.quiet:
            if isinstance(error, WebSocketDisconnected) and not self._has_closed:
                end.add_note(f"The handler of {self.path!r} has ended with: {error}")
        return end
