"""Messages: the `Message` class, and JSON in and out; the one place that knows the codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import msgspec
from django.utils.functional import Promise

from .exceptions import InvalidJSON
from .servers import Event
from .states import check_close

MessageType = Literal["text", "binary", "ping", "pong", "close"]

_SHOWN = 40
"""Characters or bytes of its content that a message's repr repeats."""


class _Text:
    """`Message.text`: the factory on the class, the text on an instance."""

    @overload
    def __get__(self, message: None, owner: type[Message]) -> Callable[[str], Message]: ...

    @overload
    def __get__(self, message: Message, owner: type[Message]) -> str | None: ...

    def __get__(
        self, message: Message | None, owner: type[Message]
    ) -> Callable[[str], Message] | str | None:
        if message is None:
            return _text_message
        content = message.content
        return content if isinstance(content, str) else None


class Message(msgspec.Struct, frozen=True):
    """One message. It does not change; two with the same content are equal.

    Made by `Message.text("...")`, `Message.binary(b"...")`, `Message.ping()` and
    `Message.close()`.
    """

    msg_type: MessageType
    """`"text"`, `"binary"`, `"ping"`, `"pong"` or `"close"`."""
    content: str | bytes | None = None
    """What `text` or `data` holds. None for a ping, a pong and a close."""
    code: int | None = None
    """The close code of a close."""
    reason: str = ""
    """The reason of a close."""

    text = _Text()
    """`message.text` is the text, None if this is no text message. `Message.text("...")` makes one.
    """

    @property
    def data(self) -> bytes | None:
        """The content of a binary message, None for any other."""
        return self.content if isinstance(self.content, bytes) else None

    def is_text(self) -> bool:
        """Tell whether this is a text message."""
        return self.msg_type == "text"

    def is_binary(self) -> bool:
        """Tell whether this is a binary message."""
        return self.msg_type == "binary"

    def is_close(self) -> bool:
        """Tell whether this closes the connection."""
        return self.msg_type == "close"

    @staticmethod
    def binary(data: bytes | bytearray | memoryview) -> Message:
        """Return a binary message."""
        return Message("binary", bytes(memoryview(data)))

    @staticmethod
    def ping() -> Message:
        """Return a ping. Sending it does nothing: no server can be told to send one yet."""
        return Message("ping")

    @staticmethod
    def close(code: int = 1000, reason: str = "") -> Message:
        """Return a message that closes the connection.

        Raises `ValueError` for a code or a reason that must not be sent (RFC 6455 section 7.4).
        """
        check_close(code, reason)
        return Message("close", None, int(code), reason)

    def as_event(self) -> Event | None:
        """Return the ASGI message that sends this one.

        None for a ping and a pong: ASGI has no message for them, servers send them by themselves.
        """
        if self.msg_type == "text":
            return {"type": "websocket.send", "text": self.content}
        if self.msg_type == "binary":
            return {"type": "websocket.send", "bytes": self.content}
        if self.msg_type == "close":
            return {"type": "websocket.close", "code": self.code or 1000, "reason": self.reason}
        return None

    def __repr__(self) -> str:
        if self.msg_type == "close":
            return f"<Message close {self.code}{f': {self.reason}' if self.reason else ''}>"
        if self.content is None:
            return f"<Message {self.msg_type}>"
        shown = repr(self.content[:_SHOWN])
        if len(self.content) > _SHOWN:
            shown = f"{shown}... ({len(self.content)} in all)"
        return f"<Message {self.msg_type} {shown}>"


def _text_message(text: str) -> Message:
    """Return a text message."""
    if not isinstance(text, str):
        raise TypeError(f"Message.text() takes str, not {type(text).__qualname__}")
    return Message("text", text)


def content_of(event: Event) -> str | bytes:
    """Return the text or the bytes that a `websocket.receive` holds."""
    text: str | None = event.get("text")
    return event.get("bytes") or b"" if text is None else text


def message_from(event: Event) -> Message:
    """Return the message that a `websocket.receive` holds."""
    content = content_of(event)
    return Message("text" if isinstance(content, str) else "binary", content)


def _encode_hook(value: Any) -> Any:
    if isinstance(value, str):  # SafeString and its kin
        return str.__str__(value)
    if isinstance(value, int):  # MemberCount, for one
        return int(value)
    if isinstance(value, Promise):  # gettext_lazy
        return str(value)
    raise TypeError(f"Object of type {type(value).__qualname__} is not JSON serializable")


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook)
_decoder = msgspec.json.Decoder()


def encode_json(data: Any) -> bytes:
    """Return `data` as JSON. Numbers that JSON lacks (NaN, infinity) become null.

    Raises `TypeError` for what JSON cannot hold, `ValueError` for what is no Unicode text or is
    nested too deeply, in itself for instance.
    """
    try:
        return _encoder.encode(data)
    except RecursionError:
        raise ValueError("nested too deeply for JSON") from None


def decode_json(data: str | bytes) -> Any:
    """Return what `data` says. Raises `InvalidJSON`."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidJSON(str(error), data) from None
    except RecursionError:
        raise InvalidJSON("nested too deeply", data) from None
