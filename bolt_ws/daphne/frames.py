"""WebSocket frames, as far as they are read and written without the library's help (RFC 6455)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

TEXT: Final = 0x81
"""First byte of a frame that is a whole text message."""
BINARY: Final = 0x82
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A

FINAL: Final = 0x80
COMPRESSED: Final = 0x40
RESERVED: Final = 0x70
OPCODE: Final = 0x0F
MASKED: Final = 0x80
MASK_SIZE: Final = 4

_HEAD_16: Final = Struct("!BBH")
_HEAD_64: Final = Struct("!BBQ")
_SMALL_HEADS: Final = {
    first: [bytes((first, size)) for size in range(126)] for first in (TEXT, BINARY)
}


def encode(first: int, payload: bytes) -> bytes:
    """Return the frame of a server: `first` is its first byte."""
    size = len(payload)
    if size < 126:
        heads = _SMALL_HEADS.get(first)
        return (bytes((first, size)) if heads is None else heads[size]) + payload
    if size < 65_536:
        return _HEAD_16.pack(first, 126, size) + payload
    return _HEAD_64.pack(first, 127, size) + payload


class PreparedMessage:
    """One message, encoded once, for any number of connections."""

    __slots__ = ("data", "frame")

    def __init__(self, data: str | bytes) -> None:
        self.data = data
        if isinstance(data, str):
            self.frame = encode(TEXT, data.encode())
        else:
            self.frame = encode(BINARY, bytes(data))


class Head(NamedTuple):
    """What stands before a frame's payload."""

    first: int
    second: int
    size: int
    """Bytes of the head, with the mask."""
    payload_size: int

    def begins_message(self, *, may_be_compressed: bool) -> bool:
        """Tell whether it begins a message, whole or in parts, and is masked."""
        reserved = self.first & RESERVED & ~(COMPRESSED if may_be_compressed else 0)
        return self.first & OPCODE in (1, 2) and not reserved and self.second >= MASKED

    @property
    def is_continuation(self) -> bool:
        """Whether it continues a message."""
        return self.first & ~FINAL == 0 and self.second >= MASKED


def read_head(data: bytes, at: int) -> Head | None:
    """Return the head of the frame that begins at `at`, or None while it is not complete."""
    available = len(data) - at
    if available < 2:
        return None
    first, second = data[at], data[at + 1]
    payload_size = second & 0x7F
    size = 2
    if payload_size == 126:
        size = 4
    elif payload_size == 127:
        size = 10
    if available < size:
        return None
    if size > 2:
        payload_size = int.from_bytes(data[at + 2 : at + size])
    if second >= MASKED:
        size += MASK_SIZE
        if available < size:
            return None
    return Head(first, second, size, payload_size)
