"""One message for many connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..gate import size_of
from ..servers import Event
from .envelopes import Payload, check_text


class Frame:
    """One message, encoded once for all connections of a server that can use that."""

    __slots__ = ("_event", "_payload", "_plain", "_prepared", "_prepared_by", "has_to_wait", "size")

    def __init__(self, payload: Payload) -> None:
        check_text(payload)  # here, and not at the first member
        kind = "text" if isinstance(payload, str) else "bytes"
        self._payload = payload
        self.size = size_of(payload)
        """Bytes of the message."""
        self._plain: Event = {"type": "websocket.send", kind: payload}
        self._prepared_by: Callable[[Payload], Any] | None = None
        self._prepared: Any = None
        self._event: Event = self._plain
        self.has_to_wait = False
        """Whether a member's server is not done with what came before."""

    def prepared_for(self, prepare: Callable[[Payload], Any] | None) -> Any:
        """Return what a server has made of the message; `prepare` is how it encodes one once."""
        if prepare is not self._prepared_by:
            self._prepared_by = prepare
            self._event, self._prepared = self._plain, None
            if prepare is not None:
                self._prepared = prepare(self._payload)
                self._event = {**self._plain, "prepared": self._prepared}
        return self._prepared

    def event_for(self, prepare: Callable[[Payload], Any] | None) -> Event:
        """Return the ASGI message for a server.

        Middleware sees what it sees otherwise, and may change it.
        """
        self.prepared_for(prepare)
        return dict(self._event)
