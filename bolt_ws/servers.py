"""What servers do differently, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from autobahn.exception import Disconnected

Event = MutableMapping[str, Any]
"""An ASGI message."""
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
HeaderItems = Iterable[tuple[str | bytes, str | bytes]]

GONE = (OSError, Disconnected)

NOT_OPEN_ANY_MORE = ("after sending 'websocket.close'", "but got 'websocket.send'")

DENIAL_EXTENSION = "websocket.http.response"
PREPARED_EXTENSION = "bolt_ws.prepared"
END_EXTENSION = "bolt_ws.end"


def preparer(scope: Mapping[str, Any]) -> Callable[[str | bytes], Any] | None:
    """Return what encodes a message once for all connections of the server, None if it cannot.

    What it gives goes beside the text or the bytes of a `websocket.send`, as `prepared`.
    """
    extensions = scope.get("extensions") or {}
    found: Callable[[str | bytes], Any] | None = extensions.get(PREPARED_EXTENSION, {}).get(
        "prepare"
    )
    return found


def direct_sender(send: Send) -> Callable[[Any], bool] | None:
    """Return what sends a prepared message without a coroutine, if it can be sent at once.

    None where middleware stands between: it is to see each message.
    """
    found: Callable[[Any], bool] | None = getattr(getattr(send, "__self__", None), "send_now", None)
    return found


def end_asker(scope: Mapping[str, Any]) -> Callable[[], tuple[int, str] | None] | None:
    """Return what tells the code and the reason of the end that nobody has received yet.

    None where the server cannot tell. One that is asked leaves it to the asker to end the
    application.
    """
    extensions = scope.get("extensions") or {}
    found: Callable[[], tuple[int, str] | None] | None = extensions.get(END_EXTENSION, {}).get(
        "ask"
    )
    return found


def is_read_without_end(receive: Receive) -> bool:
    """Tell whether the server reads whatever comes, as stock Daphne does.

    What is in its queue is in memory already.
    """
    queue = getattr(receive, "__self__", None)
    return isinstance(queue, asyncio.Queue) and queue.maxsize <= 0


def can_deny(scope: Mapping[str, Any]) -> bool:
    """Tell whether the server can answer a handshake with an HTTP response of ours.

    ASGI specification, "Websocket Denial Response". Daphne ignores one where it lacks the
    extension, and the client hangs.
    """
    return DENIAL_EXTENSION in (scope.get("extensions") or {})


def is_gone(error: BaseException) -> bool:
    """Tell whether a server's `send` raised an error because the client is gone.

    That is an `OSError` (ASGI specification 2.4). Daphne, between the client's close and its own
    notice of it, lets Autobahn's exception out. uvicorn takes what we send for our mistake where
    it has closed by itself, after an unanswered ping and for frames that are none, or where it has
    dropped our accept, its client being gone.
    """
    if isinstance(error, RuntimeError) and not isinstance(error, GONE):
        return any(each in str(error) for each in NOT_OPEN_ANY_MORE)
    return isinstance(error, GONE)


async def send_close(send: Send, event: Event) -> None:
    """Send `websocket.close`, as 3000 + code where the server rejects the codes 1001 to 1015.

    Daphne rejects them because of https://github.com/crossbario/autobahn-python/issues/1642, with
    a plain `Exception` and the connection left as it was.
    """
    try:
        await send(event)
    except Exception as error:
        if is_gone(error) or not 1001 <= event["code"] <= 1015:
            raise
        await send({**event, "code": event["code"] + 3000})


def encode_headers(
    headers: HeaderItems | Mapping[str, str] | None,
) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them. Raises `ValueError` for one that breaks the response."""
    items: HeaderItems = headers.items() if isinstance(headers, Mapping) else headers or ()
    encoded = [(_encode_header(name).lower(), _encode_header(value)) for name, value in items]
    for name, value in encoded:
        if not name or any(byte in name + value for byte in b"\r\n\0"):
            raise ValueError(f"header {name!r} would break the response")
    return encoded


def _encode_header(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
