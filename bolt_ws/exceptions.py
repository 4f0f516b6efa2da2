"""Everything that is raised.

Exception
├── WebSocketDisconnect            the connection ended: code, reason
│   └── WebSocketDisconnected      (and RuntimeError) it was used after its end
├── WebSocketException             raise it to close with a code and a reason
│   └── WebSocketClose             the same, and an ASGI application that closes
├── WebSocketRejected              `reject()` has refused the handshake; ends the handler
├── Refusal                        the handshake is answered with an HTTP status
│   └── AuthenticationFailed       a credential is there, and bad
├── UnexpectedFrame                (RuntimeError) text where bytes were asked for, or bytes for text
├── InvalidJSON                    (ValueError) a message is no JSON
│   └── InvalidMessage             it is JSON, but not of the type that the endpoint declares
├── RoomUnavailable                (ConnectionError) the channel layer has not taken a message
└── DeclarationError               (ImproperlyConfigured) an endpoint that cannot work
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from django.core.exceptions import ImproperlyConfigured

from .states import CloseCode, check_close

if TYPE_CHECKING:
    from .handshake import Handshake, Scope
    from .servers import Receive, Send

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class RoomUnavailable(ConnectionError):
    """The channel layer has not taken a message for a room or a user in time.

    Whether others got it is not known: it may have failed on the way back.
    """


class DeclarationError(ImproperlyConfigured):
    """An endpoint, a path, a backend or a guard was declared in a way that cannot work."""


class WebSocketDisconnect(Exception):
    """The connection ended.

    `code` and `reason` are those of the first end, whoever caused it; 1006 without a close frame.
    `websocket` is the connection that ended, None on an exception made by hand.
    """

    def __init__(
        self, code: int = 1000, reason: str | None = None, *, websocket: Handshake | None = None
    ) -> None:
        self.code = code
        self.reason = reason or ""
        self.websocket = websocket
        super().__init__(code, self.reason)

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}" if self.reason else str(self.code)


class WebSocketDisconnected(WebSocketDisconnect, RuntimeError):
    """The connection was used after its end."""

    def __init__(
        self,
        code: int = 1000,
        reason: str | None = None,
        *,
        websocket: Handshake | None = None,
        action: str = "use",
    ) -> None:
        super().__init__(code, reason, websocket=websocket)
        self.action = action

    def __str__(self) -> str:
        return f'Cannot "{self.action}": the connection has ended ({super().__str__()})'


class WebSocketException(Exception):
    """Raise it in a handler to close the connection with `code` and `reason`.

    Before the connection is accepted, it refuses the handshake with 403. Raises `ValueError` for a
    code or a reason that must not be sent.
    """

    def __init__(self, code: int = CloseCode.POLICY_VIOLATION, reason: str | None = None) -> None:
        check_close(code, reason or "")
        self.code = code
        self.reason = reason or ""
        super().__init__(code, self.reason)

    def __str__(self) -> str:
        return f"{int(self.code)}: {self.reason}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={int(self.code)}, reason={self.reason!r})"


class WebSocketClose(WebSocketException):
    """Closes a connection: raise it, or give an instance as an endpoint.

    As an endpoint it refuses each handshake, for it closes before accept.
    """

    def __init__(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str | None = None) -> None:
        super().__init__(code, reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application: one close."""
        await send({"type": "websocket.close", "code": int(self.code), "reason": self.reason})


class WebSocketRejected(Exception):
    """`websocket.reject()` has refused the handshake. Let it pass: it ends the handler quietly."""

    def __init__(self, refusal: Refusal, *, websocket: Handshake) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.websocket = websocket


class UnexpectedFrame(RuntimeError):
    """A text message came where bytes were asked for, or the reverse.

    `data` is the message that came, so nothing is lost. The connection stays usable.
    """

    close_code: ClassVar[CloseCode] = CloseCode.UNSUPPORTED_DATA

    def __init__(self, expected: str, data: str | bytes) -> None:
        came = "text" if isinstance(data, str) else "bytes"
        super().__init__(f"Expected a {expected} message, but got {came}")
        self.data = data


class InvalidJSON(ValueError):
    """A message is not valid JSON. `data` is the message; the connection stays usable."""

    close_code: ClassVar[CloseCode] = CloseCode.INVALID_FRAME_PAYLOAD_DATA

    def __init__(self, detail: str, data: str | bytes) -> None:
        super().__init__(f"Invalid JSON: {detail}")
        self.data = data


class InvalidMessage(InvalidJSON):
    """A message is JSON, but not of the endpoint's `receive_type`."""

    def __init__(self, detail: str, data: str | bytes) -> None:
        ValueError.__init__(self, f"Invalid message: {detail}")
        self.data = data


class Refusal(Exception):
    """The handshake is refused: nothing is accepted, the handler does not run.

    `status` is an HTTP status, `code` a word for programs, `detail` a sentence for people;
    both are shown to the client.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"


class AuthenticationFailed(Refusal):
    """A credential is present, and bad. Raised by an authentication backend; refuses with 401."""

    def __init__(self, detail: str, code: str = "authentication_failed") -> None:
        super().__init__(401, code, detail, {"WWW-Authenticate": "Bearer"})
