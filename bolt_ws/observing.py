"""What the project is told of one connection: signals, figures, and one line in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from functools import partial
from time import monotonic
from typing import Any, Final

from django.dispatch import Signal

from . import logs
from .admission import log_refusal, one_line
from .client_address import client_address
from .endings import bounded, stopping
from .exceptions import Refusal
from .metrics import figures
from .redaction import shown
from .shutdown import shutting_down
from .signals import websocket_connected, websocket_disconnected, websocket_refused
from .states import CloseCode, WebSocketState
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")

RECEIVERS_TIMEOUT: Final = 5.0
"""Seconds that the receivers of one signal may take."""

_telling: set[asyncio.Task[None]] = set()  # an event loop alone does not keep its tasks


class Observation:
    """Tells of one connection, from its handshake to its end, each thing once.

    It is made in the connection's own task, whose records it gives their fields. `endpoint` is what
    signals have as sender, `name` the endpoint's; None where a path has none.
    """

    __slots__ = (
        "_accepted_at",
        "_connecting",
        "_endpoint",
        "_has_ended",
        "_name",
        "_refusal",
        "_websocket",
        "fields",
        "note",
    )

    def __init__(self, websocket: WebSocket, endpoint: object, name: str | None) -> None:
        self._websocket = websocket
        self._endpoint = endpoint
        self._name = name
        self._accepted_at: float | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._refusal: Refusal | None = None
        self._has_ended = False
        self.note = ""
        """What the connection's line is to say of its end."""
        # Not all of the scope, which refers to the server's connection.
        known = {name: websocket.scope.get(name) or () for name in ("client", "headers")}
        find_client = partial(client_address, known)
        self.fields = logs.LogFields(name, find_client)
        # It stays set: the server logs what the application has raised, in the same task.
        logs.current.set(self.fields)
        websocket.observe_by(self.note_accept, self.fields)

    def identify(self) -> None:
        """Note whose connection it is, now that this is known."""
        user_id = getattr(self._websocket.auth, "user_id", None)
        if isinstance(user_id, str):  # else a backend has returned anything at all
            self.fields.identify(user_id)

    def note_accept(self) -> Awaitable[object] | None:
        """Note that the connection was accepted. Return what is to be awaited, if anything is."""
        self._accepted_at = monotonic()
        figures.note_accept(self._name or "", self._websocket)
        if not _has_receivers(websocket_connected, self._endpoint):
            return None
        self._connecting = _start(self._send(websocket_connected, "websocket_connected"))
        return asyncio.wait([self._connecting], timeout=RECEIVERS_TIMEOUT + 1)

    def note_refusal(self, refusal: Refusal) -> None:
        """Note that the handshake is refused: in the log at once, with a signal at the end."""
        if self._accepted_at is not None:  # it is too late for that
            self.note = self.note or f"{refusal.status} {refusal.code}"
            return
        if self._refusal is not None:  # another task has done that
            return
        self._refusal = refusal
        self.identify()
        if refusal.status == 500 and isinstance(refusal.__cause__, Exception):
            self.note_error()
        figures.note_refusal(self._name or "", refusal.code)
        log_refusal(self._websocket, self._name, refusal)

    def note_error(self) -> None:
        """Note that an exception was a fault of the endpoint's."""
        figures.note_error(self._name or "")

    async def end(self, failure: BaseException | None = None) -> None:
        """Tell that the connection has ended; `failure` is raised on to the server.

        A cancellation keeps no receiver from being told.
        """
        if isinstance(failure, Exception):
            self.note_error()
        if self._accepted_at is None and self._refusal is None:
            self._note_unsaid_refusal()
        duration = self._count_end()
        if self._refusal is None:
            self._log(duration)
        telling = self._tell_end(duration)
        if telling is not None:
            await asyncio.wait([_start(telling)], timeout=2 * RECEIVERS_TIMEOUT + 2)

    def let_go(self) -> None:
        """Count what has ended where nothing can be awaited any more: no signal tells of it."""
        if not self._has_ended:
            self._count_end()

    def _note_unsaid_refusal(self) -> None:
        """Note a refusal by `close()` or a response of the handler's own, if it was one."""
        websocket = self._websocket
        if websocket.state is not WebSocketState.DISCONNECTED or websocket.closed_by_client:
            return
        is_restart = websocket.close_code == CloseCode.SERVICE_RESTART
        if is_restart and shutting_down():  # cancelled while it was accepted
            self.note_refusal(stopping())
            return
        reason = websocket.close_reason or "The connection was not accepted"
        self.note_refusal(Refusal(websocket.denied_with or 403, "rejected", reason))

    @property
    def _is_by_client(self) -> bool:
        # uvicorn closes by itself when it stops, and tells of that as of any close.
        code = self._websocket.close_code
        is_servers = code == CloseCode.SERVICE_RESTART and shutting_down()
        return self._websocket.closed_by_client and not is_servers

    def _count_end(self) -> float | None:
        """Count a connection out, once. Return for how long it was open, None if it never was."""
        if self._accepted_at is None:
            return None
        websocket = self._websocket
        if not self._has_ended:
            self._has_ended = True
            code, by_client = websocket.close_code or 1006, self._is_by_client
            figures.note_end(self._name or "", websocket, code, by_client=by_client)
        # A client may have left while it was accepted.
        return max(0.0, (websocket.ended_at or monotonic()) - self._accepted_at)

    def _tell_end(self, duration: float | None) -> Coroutine[Any, Any, None] | None:
        """Return what calls the receivers of the signal for this end, None if there are none."""
        if self._refusal is not None:
            if _has_receivers(websocket_refused, self._endpoint):
                return self._send(websocket_refused, "websocket_refused", refusal=self._refusal)
        elif duration is not None and _has_receivers(websocket_disconnected, self._endpoint):
            return self._send_disconnected(duration)
        return None

    async def _send_disconnected(self, duration: float) -> None:
        if self._connecting is not None:  # one after the other
            await asyncio.wait([self._connecting], timeout=RECEIVERS_TIMEOUT + 1)
        websocket = self._websocket
        await self._send(
            websocket_disconnected,
            "websocket_disconnected",
            code=websocket.close_code or 1006,
            reason=websocket.close_reason or "",
            duration=duration,
            **websocket.traffic._asdict(),
        )

    async def _send(self, signal: Signal, name: str, **named: Any) -> None:
        """Call the receivers. What they raise is logged, by Django; so is that they hang."""

        async def send() -> None:
            try:
                await signal.asend_robust(self._endpoint, websocket=self._websocket, **named)
            except SystemExit as error:  # it ends no server
                raise RuntimeError(f"a receiver raised {error!r}") from error

        path = ascii(shown(self._websocket.path))
        where = (f"signal {name}", path, self._name or "no endpoint")
        await bounded(send(), RECEIVERS_TIMEOUT, where, self._websocket.scope)

    def _log(self, duration: float | None) -> None:
        """Write the one line that a connection gets which was not refused."""
        if not logger.isEnabledFor(logging.INFO):
            return
        websocket = self._websocket
        code, by_client = websocket.close_code or 1006, self._is_by_client
        path, traffic = shown(websocket.path), websocket.traffic
        who = " by the client" if by_client else ""
        logger.info(
            "Closed %s (%s): %d%s %s, received %d messages (%d bytes), sent %d (%d bytes)%s",
            ascii(path),
            self._name or "no endpoint",
            code,
            who,
            "before accept" if duration is None else f"after {duration:.3f} s",
            *traffic,
            f": {one_line(self.note)}" if self.note else "",
            extra={
                "connection": {
                    "path": path,
                    "code": code,
                    "by_client": by_client,
                    "duration": duration,
                    **traffic._asdict(),
                }
            },
        )


def _has_receivers(signal: Signal, sender: object) -> bool:
    return bool(signal.receivers) and signal.has_listeners(sender)


def _start(telling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run what tells receivers, in a task of its own: no timeout of a handler's cuts it short.

    `asyncio.wait` waits for it and leaves it alone, whatever becomes of either.
    """
    task = asyncio.get_running_loop().create_task(telling, name="bolt_ws signal")
    _telling.add(task)
    task.add_done_callback(_telling.discard)
    return task
