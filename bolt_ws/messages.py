"""JSON in and out: the one place that knows the codec."""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.functional import Promise

from .exceptions import InvalidJSON


def _encode_hook(value: Any) -> Any:
    if isinstance(value, str):  # SafeString and its kin
        return str.__str__(value)
    if isinstance(value, Promise):  # gettext_lazy
        return str(value)
    raise TypeError(f"Object of type {type(value).__qualname__} is not JSON serializable")


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook)
_decoder = msgspec.json.Decoder()


def encode_json(data: Any) -> bytes:
    """Return `data` as JSON. Raises `TypeError` for what JSON cannot hold."""
    return _encoder.encode(data)


def decode_json(data: str | bytes) -> Any:
    """Return what `data` says. Raises `InvalidJSON`."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidJSON(str(error), data) from None
    except RecursionError:
        raise InvalidJSON("nested too deeply", data) from None
