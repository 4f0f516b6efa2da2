"""Where a connection stands, and the codes it may end with."""

from __future__ import annotations

import enum
from typing import Final


class WebSocketState(enum.Enum):
    """The state of a connection, or of one of its two sides."""

    CONNECTING = 0
    """The handshake has not been answered yet."""
    CONNECTED = 1
    """Accepted and open."""
    DISCONNECTED = 2
    """Refused or closed, by either side."""
    RESPONSE = 3
    """An HTTP response is being sent instead of an accept."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"cannot set {name!r} on WebSocketState.{self.name}: every connection shares it; "
                f"keep it in websocket.context instead (websocket.context.{name} = ...)"
            )
        super().__setattr__(name, value)


class CloseCode(enum.IntEnum):
    """Close codes by name (RFC 6455 section 7.4.1 and the IANA registry)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    SERVER_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015

    NORMAL = 1000
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_PAYLOAD = 1007
    INTERNAL_ERROR = 1011


# RFC 6455 section 7.4.2: 1000-2999 belong to the protocol, 3000-4999 to libraries and applications.
# 1004 has no meaning yet; 1005, 1006 and 1015 report an end and never travel.
_SENDABLE_PROTOCOL_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015)})
MAX_REASON_BYTES: Final = 123
"""A close frame holds at most 125 bytes, two of which are the code (RFC 6455 section 5.5)."""


def check_close(code: int, reason: str | None) -> int:
    """Return the code, or raise `ValueError` where RFC 6455 forbids sending the code or reason."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise ValueError(f"close code {code!r} is no whole number")
    if not isinstance(reason, str | None):
        raise ValueError(f"close reason {reason!r} is no text")
    if code not in _SENDABLE_PROTOCOL_CODES and not 3000 <= code <= 4999:
        raise ValueError(
            f"close code {code} must not be sent (RFC 6455 section 7.4): "
            "expected 1000-1003, 1007-1014 or 3000-4999"
        )
    size = len((reason or "").encode())
    if size > MAX_REASON_BYTES:
        raise ValueError(f"close reason of {size} bytes: at most {MAX_REASON_BYTES} bytes of UTF-8")
    return int(code)


def shorten_reason(reason: str) -> str:
    """Return as much of `reason` as a close frame holds."""
    return reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
