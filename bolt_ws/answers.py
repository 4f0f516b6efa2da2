"""The answer to a handshake, and the end of a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import NoReturn, Self

from django.http.response import HttpResponseBase

from .connection import Connection
from .denial import send_response
from .exceptions import Refusal, WebSocketDisconnect, WebSocketException, WebSocketRejected
from .messages import encode_json
from .servers import DENIAL_EXTENSION, Event, HeaderItems, can_deny, encode_headers, is_gone
from .states import CloseCode, WebSocketState, check_close, shorten_reason


class AnsweredConnection(Connection):
    """A connection that is accepted, refused, rejected and closed by name."""

    __slots__ = ("_caught", "closes_to_refuse")

    _caught: frozenset[int] | None
    closes_to_refuse: bool
    """Whether the endpoint has `refuse="close"`."""

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: HeaderItems | Mapping[str, str] | None = None,
    ) -> None:
        """Accept the connection.

        Without `subprotocol`, the label that came beside a token is answered, if one did.
        Raises `ValueError` for a subprotocol that the client did not offer or a header that would
        break the response, `RuntimeError` if it was accepted before. After an accept that happened
        by itself, one call without arguments does nothing.
        """
        if self._accepting is not None:  # the first use in another task
            await asyncio.shield(self._accepting)
        if self._was_accepted_unasked and subprotocol is None and not headers and self._open:
            self._was_accepted_unasked = False
            return
        event = {
            "type": "websocket.accept",
            "subprotocol": self.answer if subprotocol is None else subprotocol,
            "headers": encode_headers(headers),
        }
        if self.client_state is WebSocketState.CONNECTING:
            await self._receive_connect()
        await self.send_event(event)

    async def ensure_closed(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection, or refuse it before accept, unless it has ended. Never raises.

        An illegal code or reason is still a `ValueError`.
        """
        check_close(code, reason or "")
        if not self._ended and self.application_state is not WebSocketState.RESPONSE:
            with contextlib.suppress(Exception):
                await self.close(code, reason)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP status, as well as the server can.

        With `refuse="close"`, accept it and close with 4000 + status: all that a browser can read.
        """
        if self.closes_to_refuse:
            await self.close(4000 + refusal.status, shorten_reason(refusal.detail))
            return
        if not can_deny(self.scope):
            await self.close(
                4000 + refusal.status, shorten_reason(refusal.code)
            )  # every server makes it 403
            return
        headers = {"Content-Type": "application/json", **refusal.headers}
        body = encode_json({"detail": refusal.detail, "code": refusal.code})
        await self.send_event(
            {
                "type": "websocket.http.response.start",
                "status": refusal.status,
                "headers": encode_headers(headers),
            }
        )
        await self.send_event({"type": "websocket.http.response.body", "body": body})

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection; before accept, refuse it with 403.

        With `refuse="close"`, it is accepted and then closed, so that the client sees the code.
        Raises `ValueError` for a code that RFC 6455 section 7.4 forbids to send and for a reason of
        over 123 bytes, `WebSocketDisconnected` if the connection has ended already.
        """
        await self.send_event(
            {"type": "websocket.close", "code": int(code), "reason": reason or ""}
        )

    async def _accept_to_close(self, event: Event) -> bool:
        if not self.closes_to_refuse or self._ended:
            return False
        if self.client_state is WebSocketState.CONNECTING:
            await self._receive_connect()
        # A browser that offered subprotocols fails the handshake unless one is chosen.
        label = self.answer or next(filter(_is_label, self.subprotocols), None)
        accept: Event = {"type": "websocket.accept", "subprotocol": label, "headers": []}
        # To all other tasks it has ended: between the two, nothing is sent, received or greeted.
        self._application_state = WebSocketState.DISCONNECTED
        self._end(event["code"], event.get("reason"))
        self._accepting = asyncio.get_running_loop().create_future()
        try:
            await self._send(accept)
            await self._send_close(event)
        except Exception as error:
            if not is_gone(error):
                raise
            self.close_code = None  # it was not delivered
            raise self._lost() from error
        finally:
            self._accepting.set_result(None)
            self._accepting = None
        return True

    async def reject(self, status: int = 403, detail: str | None = None) -> NoReturn:
        """Refuse the handshake with an HTTP status, as well as the server can, and end the handler.

        Raises `WebSocketRejected`, which is quiet; `RuntimeError` after accept.
        """
        if self.state is WebSocketState.CONNECTED:
            raise RuntimeError('Cannot "reject": the connection is accepted; close it')
        phrase = HTTPStatus(status).phrase  # ValueError for what is no status
        refusal = Refusal(status, phrase.lower().replace(" ", "_"), detail or phrase)
        await self.refuse(refusal)
        raise WebSocketRejected(refusal, websocket=self)

    async def send_denial_response(self, response: HttpResponseBase) -> None:
        """Answer the handshake with a Django response, a streaming one included.

        Raises `RuntimeError` after accept, and where the server lacks the extension:
        `reject(status, detail)` does the best that any server can.
        """
        if not can_deny(self.scope):
            raise RuntimeError(
                "The server doesn't support the Websocket Denial Response extension "
                f"({DENIAL_EXTENSION}); await websocket.reject(status, detail) instead."
            )
        await send_response(response, self.send_event)

    async def __aenter__(self) -> Self:
        """Accept the connection, unless that was done."""
        if self.state is WebSocketState.CONNECTING:
            await self.accept_unasked()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Close the connection. Its own disconnect is caught if its code is to be caught."""
        if error is None or self.is_quiet(error):
            await self.ensure_closed()
            return error is not None
        if self._app is None:  # no endpoint that would know what the exception means
            code = error.code if isinstance(error, WebSocketException) else CloseCode.SERVER_ERROR
            await self.ensure_closed(code)
        return False

    def is_quiet(self, error: BaseException) -> bool:
        """Tell whether `error` is this connection's own disconnect, with a code to be caught."""
        if not isinstance(error, WebSocketDisconnect) or error.websocket not in (None, self):
            return False
        return self._caught is None or error.code in self._caught


def _is_label(subprotocol: str) -> bool:
    """Tell whether an offered subprotocol can be no credential (`bearer.ey...`): none is answered.

    Where no endpoint was found, nobody knows which prefix a credential would have.
    """
    return len(subprotocol) <= 64 and "." not in subprotocol
