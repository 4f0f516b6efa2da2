"""What servers do differently, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Event = MutableMapping[str, Any]
"""An ASGI message."""
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

DENIAL_EXTENSION = "websocket.http.response"


def can_deny(scope: Mapping[str, Any]) -> bool:
    """Tell whether the server can answer a handshake with an HTTP response of ours.

    ASGI specification, "Websocket Denial Response". Daphne ignores one where it lacks the
    extension, and the client hangs.
    """
    return DENIAL_EXTENSION in (scope.get("extensions") or {})


async def send_close(send: Send, event: Event) -> None:
    """Send `websocket.close`, as 3000 + code where the server rejects the codes 1001 to 1015.

    Daphne rejects them because of https://github.com/crossbario/autobahn-python/issues/1642, with
    a plain `Exception` and the connection left as it was.
    """
    try:
        await send(event)
    except OSError:
        raise
    except Exception:
        if not 1001 <= event["code"] <= 1015:
            raise
        await send({**event, "code": event["code"] + 3000})
