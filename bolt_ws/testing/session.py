"""A client's end of one connection, as a test holds it: `AsyncWebSocketSession`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from ..exceptions import WebSocketDisconnect
from ..messages import decode_json, encode_json
from ..servers import Event
from ..states import WebSocketState
from .life import FAILED, SessionLife
from .reports import Unexpected, WebSocketTimeout, describe

__tracebackhide__ = True  # pytest shows the test's line and the handler's

Mode = Literal["text", "binary"]


class AsyncWebSocketSession(SessionLife):
    """One connection of a test client: entered, it is open; left, its handler has ended.

    The `timeout` of its methods is in seconds, and None is the client's.
    """

    # Sending

    async def send_text(self, data: str) -> None:
        """Send a text message. Raises `WebSocketDisconnect` after the end."""
        if not isinstance(data, str):
            raise TypeError(f"send_text() takes str, not {type(data).__qualname__}")
        self._send({"type": "websocket.receive", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message. Raises `WebSocketDisconnect` after the end."""
        self._send({"type": "websocket.receive", "bytes": bytes(memoryview(data))})

    async def send_json(self, data: Any, mode: Mode = "text") -> None:
        """Send `data` as JSON, in a text or a binary message."""
        encoded = encode_json(data)
        if mode == "text":
            await self.send_text(encoded.decode())
        else:
            await self.send_bytes(encoded)

    def _send(self, event: Event) -> None:
        if self._state is not WebSocketState.CONNECTED:
            raise self._disconnect()
        self._server.put_event(event)

    # Receiving

    async def receive(self, timeout: float | None = None) -> str | bytes:
        """Return the next message, text or bytes as it came.

        `timeout` is in seconds, and None is the client's. Raises `WebSocketTimeout`,
        `WebSocketDisconnect` when the application closes, and what the application raises.
        """
        event = await self._next("message", timeout)
        data: str | bytes = event["bytes"] if event.get("text") is None else event["text"]
        return data

    async def receive_text(self, timeout: float | None = None) -> str:
        """Return the next message, a text. Raises what `receive` raises, and `Unexpected`."""
        event = await self._next("text", timeout)
        text: str | None = event.get("text")
        if text is None:
            raise Unexpected(f"Expected a text from {self.path!r}, but got {describe(event)}")
        return text

    async def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message, a binary one. Raises what `receive` raises, and `Unexpected`."""
        event = await self._next("binary message", timeout)
        data: bytes | None = event.get("bytes")
        if data is None:
            raise Unexpected(f"Expected bytes from {self.path!r}, but got {describe(event)}")
        return data

    async def receive_json(self, timeout: float | None = None, mode: Mode = "text") -> Any:
        """Return what the next message says.

        Raises what `receive` raises, and `Unexpected` for what is no JSON.
        """
        receive = self.receive_text if mode == "text" else self.receive_bytes
        data = await receive(timeout)
        try:
            return decode_json(data)
        except ValueError:
            raise Unexpected(f"Expected JSON from {self.path!r}, but got {data!r}") from None

    async def receive_nothing(self, timeout: float = 0.05) -> None:
        """Wait `timeout` seconds, and raise `Unexpected` if a message comes meanwhile."""
        try:
            event = await self._next("message", timeout)
        except WebSocketTimeout:
            return
        raise Unexpected(f"Expected nothing from {self.path!r}, but got {describe(event)}")

    def iter_text(self) -> AsyncIterator[str]:
        """Yield texts until the application closes. Each is waited for as in `receive_text`."""
        return self._until_end(self.receive_text)

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield binary messages until the application closes."""
        return self._until_end(self.receive_bytes)

    def iter_json(self) -> AsyncIterator[Any]:
        """Yield what JSON messages say until the application closes."""
        return self._until_end(self.receive_json)

    async def _until_end(self, receive: Callable[[], Any]) -> AsyncIterator[Any]:
        while True:
            try:
                message = await receive()
            except WebSocketDisconnect:
                return
            yield message

    async def assert_closed(
        self, code: int | None = None, reason: str | None = None, timeout: float | None = None
    ) -> None:
        """Wait for the application's close, and raise `Unexpected` unless it is this one.

        A close with 1011 that is asked for is no failure: what the application raised is in
        `error`, and is not raised.
        """
        raises, self._raises = self._raises, False
        try:
            event = await self._next("close", timeout)
        except WebSocketDisconnect:
            event = None
        finally:
            self._raises = raises
        if event is not None:
            raise Unexpected(
                f"Expected the close of {self.path!r}, but it is open and sent {describe(event)}"
            )
        if code not in (None, self.close_code) or reason not in (None, self.close_reason):
            wanted = json.dumps([code, reason]).strip("[]")
            raise Unexpected(
                f"Expected {self.path!r} to be closed with {wanted}, but it was closed with "
                f"{self.close_code}, {json.dumps(self.close_reason)}"
            ) from self.error
        if self.close_code == FAILED and code == FAILED:
            self._raises = False
