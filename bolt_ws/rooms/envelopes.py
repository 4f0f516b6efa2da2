"""The messages that processes exchange through the channel layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from ..messages import encode_json
from ..servers import Event

MESSAGE: Final = "bolt_ws.message"
"""A text under `text` or bytes under `bytes`, for all in a group but those under `exclude`. One
that is not a room's names under `to` whom it is for. `sender` and `number` tell a message that was
lost or came twice; whoever else sends to the group may leave them out."""
HEARTBEAT: Final = "bolt_ws.heartbeat"
"""A process's to itself."""
COUNT: Final = "bolt_ws.count"
"""A question to all processes for their members of the group `room`, to be answered to the group
`reply`."""
COUNTED: Final = "bolt_ws.counted"
"""The answer: `count` members in the event loop `from`."""
DISCONNECT: Final = "bolt_ws.disconnect"
"""An order to end the connections of `user`, with `code` and `reason`."""

Payload = str | bytes


class Broadcast(NamedTuple):
    """What is sent to many, and to whom."""

    data: Any
    kind: Literal["path", "endpoint", "room", "user"]
    to: str
    """The path, the endpoint's name, the room's name or the user's id."""


listeners: list[Callable[[Broadcast], object]] = []
"""Called with each broadcast, before it is sent."""


def announce(broadcast: Broadcast) -> None:
    """Tell whoever listens to what is broadcast."""
    for listener in listeners:
        listener(broadcast)


def payload_of(data: Any) -> Payload:
    """Return what is sent for `data`: text, bytes, or JSON for anything else.

    Raises `TypeError` for what JSON cannot hold.
    """
    if isinstance(data, str):
        return data
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    return encode_json(data).decode()


def as_event(data: Any) -> Event:
    """Return the ASGI message that text, bytes, or JSON for anything else, is sent as."""
    payload = payload_of(data)
    return {"type": "websocket.send", ("text" if isinstance(payload, str) else "bytes"): payload}


def ids_of(exclude: Any) -> list[str]:
    """Return the ids of connections: of one or of several, each a connection or an id already.

    Raises `TypeError` for what is neither.
    """
    is_one = isinstance(exclude, str) or hasattr(exclude, "scope")
    if not is_one and not isinstance(exclude, Iterable):
        raise _no_connection(exclude)
    return [_id_of(each) for each in ([exclude] if is_one else exclude)]


def _id_of(one: Any) -> str:
    if isinstance(one, str):
        return one
    connection = getattr(one, "websocket", one)  # a blocking connection stands for its other half
    found = getattr(connection, "id", None)
    if not isinstance(found, str):
        raise _no_connection(one)
    return found


def _no_connection(one: Any) -> TypeError:
    return TypeError(f"exclude= takes connections and their ids, not {one!r}")


def check_text(payload: Payload) -> None:
    """Raise `ValueError` for a text that no WebSocket can carry."""
    if isinstance(payload, str):
        try:
            payload.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a message is Unicode text: {error.reason}") from None


def message_for(payload: Payload, exclude: list[str], to: str | None = None) -> dict[str, Any]:
    """Return the message that carries a payload.

    Raises `ValueError` for a text that is no Unicode, as one with a lone surrogate.
    """
    check_text(payload)
    message: dict[str, Any] = {"type": MESSAGE}
    message["text" if isinstance(payload, str) else "bytes"] = payload
    if exclude:
        message["exclude"] = exclude
    if to is not None:
        message["to"] = to
    return message


def payload_in(message: Mapping[str, Any]) -> Payload:
    """Return what a message carries. Raises `ValueError` if it carries nothing."""
    text, data = message.get("text"), message.get("bytes")
    if isinstance(text, str):
        return text
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise ValueError(f'a "{MESSAGE}" holds str as text or bytes as bytes')
