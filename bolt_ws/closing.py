"""The end of one connection: a close, a refusal, or what is left of a response."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress

from .endings import Ending
from .exceptions import WebSocketDisconnect
from .farewell import Farewell
from .in_place import within
from .observing import Observation
from .states import WebSocketState
from .websocket import WebSocket

CLOSE_TIMEOUT = 2.0
"""Seconds that a close may wait for a server with a slow client."""


class Closing:
    """Ends a connection as an `Ending` says, however often and by whom it is asked to."""

    __slots__ = ("_observation", "_websocket", "farewell")

    def __init__(self, websocket: WebSocket, observation: Observation) -> None:
        self._websocket = websocket
        self._observation = observation
        self.farewell: Farewell | None = None
        """What the endpoint has to say before; None until it has greeted."""

    async def end(self, ending: Ending, *, with_farewell: bool = True) -> None:
        """End the connection, unless it has ended: close it, or refuse it where not accepted."""
        websocket = self._websocket
        if with_farewell and websocket.state is WebSocketState.CONNECTED:
            self._observation.note = self._observation.note or ending.note
            if self.farewell is not None:
                await self.farewell.say(ending.code, ending.reason)
        if websocket.state is WebSocketState.CONNECTING:
            try:
                self._observation.note_refusal(ending.refusal)
            finally:
                if ending.is_explicit and websocket.closes_to_refuse:
                    await self._send_last(websocket.close(ending.code, ending.reason))
                else:
                    await self._send_last(websocket.refuse(ending.refusal))
        elif websocket.state is WebSocketState.CONNECTED:
            await self._send_last(websocket.close(ending.code, ending.reason))
        elif websocket.state is WebSocketState.RESPONSE:  # one that the handler left unfinished
            body = {"type": "websocket.http.response.body", "body": b"", "more_body": False}
            await self._send_last(websocket.send_event(body))
        else:  # another task may be refusing it still
            await self._send_last(websocket.settle())

    async def say_farewell(self) -> None:
        """Run the `on_close` callbacks, unless that was done."""
        if self.farewell is not None:
            websocket = self._websocket
            await self.farewell.say(websocket.close_code or 1006, websocket.close_reason or "")

    async def _send_last(self, message: Awaitable[None]) -> None:
        with suppress(WebSocketDisconnect, TimeoutError):  # nobody is left to be told
            await within(CLOSE_TIMEOUT, message)
