"""Where a connection stands, and what ended it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

from .exceptions import WebSocketDisconnect, WebSocketDisconnected
from .handshake import Handshake, Reverser, Scope
from .logs import NOBODY, LogFields
from .states import WebSocketState

CONNECTING = WebSocketState.CONNECTING
CONNECTED = WebSocketState.CONNECTED
DISCONNECTED = WebSocketState.DISCONNECTED


class Progress(Handshake):
    """A handshake and what has become of it: the states of both sides, the first end."""

    __slots__ = (
        "_application_state",
        "_at_end",
        "_client_state",
        "_farewell",
        "_may_accept",
        "_note_accept",
        "_open",
        "_reauthenticate",
        "backend",
        "close_code",
        "close_reason",
        "closed_by_client",
        "denied_with",
        "ended_at",
        "log_fields",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._client_state = CONNECTING
        self._application_state = CONNECTING
        self._open = False  # both sides CONNECTED: the one check that a message pays for
        self._may_accept = True
        self._farewell: Callable[[int, str], Awaitable[None]] | None = None  # before our close
        self._reauthenticate: Callable[[str], Awaitable[None]] | None = None
        self._note_accept: Callable[[], Awaitable[object] | None] | None = None
        self.log_fields = NOBODY
        """What log records say of the connection; nothing for one that belongs to no endpoint."""
        self.denied_with: int | None = None
        """The HTTP status that the handshake was answered with in place of an accept."""
        self.backend: object = None
        """The authentication backend that found out who is there, None while anonymous."""
        self._at_end: list[Callable[[], None]] | None = None
        self.close_code: int | None = None
        """The code of the first end, whoever caused it. None while there was no end."""
        self.close_reason: str | None = None
        """The reason that came with `close_code`."""
        self.closed_by_client = False
        """Whether the first end was not ours."""
        self.ended_at: float | None = None
        """The steady time of the first end."""

    @property
    def id(self) -> str:
        """A UUID4 as text, this connection's own."""
        return self.log_fields.connection_id or super().id

    @property
    def client_state(self) -> WebSocketState:
        """What has been received: CONNECTED after the handshake, DISCONNECTED after the end."""
        return self._client_state

    @property
    def application_state(self) -> WebSocketState:
        """What has been sent: CONNECTED after accept, DISCONNECTED after close."""
        return self._application_state

    @property
    def state(self) -> WebSocketState:
        """Where the connection stands."""
        if self._ended:
            return DISCONNECTED
        return self._application_state

    @property
    def _ended(self) -> bool:
        return self._application_state is DISCONNECTED or self._client_state is DISCONNECTED

    def _end(self, code: int, reason: str | None, *, by_client: bool = False) -> None:
        self._open = False
        if self.close_code is None:
            self.close_code = int(code)
            self.close_reason = reason or ""
            self.closed_by_client = by_client
        if self.ended_at is None:
            self.ended_at = monotonic()
        callbacks, self._at_end = self._at_end, None
        for callback in callbacks or ():
            callback()

    def at_end(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the connection ends, whoever ends it."""
        if self._at_end is None:
            self._at_end = []
        self._at_end.append(callback)

    def not_at_end(self, callback: Callable[[], None]) -> None:
        """Have `callback` called no more."""
        if self._at_end is not None and callback in self._at_end:
            self._at_end.remove(callback)

    def _disconnect(self) -> WebSocketDisconnect:
        return WebSocketDisconnect(self.close_code or 1005, self.close_reason, websocket=self)

    def _disconnected(self, action: str) -> WebSocketDisconnected:
        return WebSocketDisconnected(
            self.close_code or 1005, self.close_reason, websocket=self, action=action
        )

    def serve_for(self, app: Reverser) -> None:
        """Note whose connection it is, and that `websocket.connect` has been received already."""
        self._app = app
        self.note_connect()
        self._may_accept = False

    def note_connect(self) -> None:
        """Note that `websocket.connect` has been received already."""
        self._client_state = CONNECTED

    def admit(self) -> None:
        """Note that admission has ended: from now on the connection may be accepted."""
        self._may_accept = True

    def forget(self) -> None:
        """Let go of what refers back to the connection, which has ended."""
        self._farewell = self._reauthenticate = self._at_end = self._note_accept = None
        for name in ("request", "twin"):
            self._cache.pop(name, None)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent and received now."""
        return self._open

    def before_close(self, farewell: Callable[[int, str], Awaitable[None]] | None) -> None:
        """Have `farewell` awaited, with code and reason, before our close is sent; None unsets."""
        self._farewell = farewell

    def observe_by(
        self, note_accept: Callable[[], Awaitable[object] | None], log_fields: LogFields
    ) -> None:
        """Have `note_accept` called after accept, and what it returns awaited."""
        self._note_accept = note_accept
        self.log_fields = log_fields

    def reauthenticate_by(self, reauthenticate: Callable[[str], Awaitable[None]]) -> None:
        """Have `reauthenticate` verify the tokens that a handler gives to `reauthenticate()`."""
        self._reauthenticate = reauthenticate
