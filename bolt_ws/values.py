"""Value types: what `receive()` and `send()` of an endpoint take and give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from .exceptions import DeclarationError, InvalidJSON, InvalidMessage
from .messages import decode_json, encode_json
from .servers import Event


class ValueType(NamedTuple):
    """A way to read a message and one to write it.

    `payload` is the part of the ASGI message that is read, None for all of it.
    """

    payload: str | None
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Event]


def compile_value_type(declared: Any) -> ValueType:
    """Return the value type of "text", "bytes", "json", "event" or a type to validate against.

    A type is a dataclass, a TypedDict, a msgspec Struct, a Pydantic model, or a builtin one such as
    `list[int]`; its messages are JSON texts. Raises `DeclarationError` for anything else.
    """
    if isinstance(declared, str):
        try:
            return _NAMED[declared]
        except KeyError:
            raise DeclarationError(
                f"unknown value type {declared!r}: expected 'text', 'bytes', 'json', 'event' or a "
                "type"
            ) from None
    if hasattr(declared, "model_validate_json"):  # a Pydantic model
        return _pydantic_type(declared)
    try:
        msgspec.json.schema(declared)  # complains about what msgspec cannot validate
    except (TypeError, RuntimeError) as error:
        raise DeclarationError(f"unknown value type {declared!r}: {error}") from None
    return _msgspec_type(declared)


def _same(value: Any) -> Any:
    return value


def _encode_text(value: Any) -> Event:
    if not isinstance(value, str):
        raise TypeError(f"Expected text to send, but got {type(value).__qualname__}")
    return {"type": "websocket.send", "text": value}


def _encode_bytes(value: Any) -> Event:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"Expected bytes to send, but got {type(value).__qualname__}")
    return {"type": "websocket.send", "bytes": bytes(value)}


def _encode_json(value: Any) -> Event:
    return {"type": "websocket.send", "text": encode_json(value).decode()}


_NAMED = {
    "text": ValueType("text", _same, _encode_text),
    "bytes": ValueType("bytes", _same, _encode_bytes),
    "json": ValueType("text", decode_json, _encode_json),
    "event": ValueType(None, _same, _same),
}


def _msgspec_type(declared: Any) -> ValueType:
    decoder = msgspec.json.Decoder(declared)

    def decode(text: str) -> Any:
        try:
            return decoder.decode(text)
        except msgspec.ValidationError as error:
            raise InvalidMessage(str(error), text) from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidJSON(str(error), text) from None
        except RecursionError:
            raise InvalidJSON("nested too deeply", text) from None

    def encode(value: Any) -> Event:
        data = encode_json(value)
        try:
            decoder.decode(data)
        except msgspec.ValidationError as error:
            raise TypeError(f"Expected {declared!r} to send: {error}") from None
        return {"type": "websocket.send", "text": data.decode()}

    return ValueType("text", decode, encode)


def _pydantic_type(declared: Any) -> ValueType:
    def decode(text: str) -> Any:
        try:
            return declared.model_validate_json(text)
        except ValueError as error:  # pydantic.ValidationError, of which ours need not know
            raise InvalidMessage(_wrong_fields(error), text) from None

    def encode(value: Any) -> Event:
        try:
            text: str = declared.model_validate(value).model_dump_json(by_alias=True)
        except ValueError as error:
            raise TypeError(f"Expected {declared!r} to send: {_wrong_fields(error)}") from None
        return {"type": "websocket.send", "text": text}

    return ValueType("text", decode, encode)


def _wrong_fields(error: Any) -> str:
    # Its own text has several lines, the model's name and the client's input.
    if not hasattr(error, "errors"):
        return str(error)
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong)
