"""A message that comes in several pieces: in fragments, or in parts of one frame."""

from __future__ import annotations

import codecs

from .compatibility import apply_mask


class Assembly:
    """The pieces so far. Text is decoded as it comes, so that what is no UTF-8 is told at once."""

    __slots__ = ("_decoder", "_mask", "_pieces")

    def __init__(self, *, is_text: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._mask: bytes = b""
        self._pieces: list[str | bytes] = []

    def begin_frame(self, mask: bytes) -> None:
        """Begin a frame of the message. Without a mask, its parts will not be shown."""
        self._mask = mask if self._decoder is not None else b""

    def add_part(self, masked: bytes) -> None:
        """Take a part of the frame's payload, as it came. Raises `UnicodeDecodeError`."""
        if self._mask:
            self._add(apply_mask(masked, self._mask))
            turn = len(masked) % len(self._mask)
            self._mask = self._mask[turn:] + self._mask[:turn]

    def end_frame(self, payload: bytes, *, is_last: bool) -> None:
        """Take the frame's payload, if its parts were not shown. Raises `UnicodeDecodeError`."""
        self._add(b"" if self._mask else payload, is_last=is_last)

    def _add(self, data: bytes, *, is_last: bool = False) -> None:
        piece = data if self._decoder is None else self._decoder.decode(data, is_last)
        if piece:  # a message may have any number of empty fragments
            self._pieces.append(piece)

    def joined(self) -> str | bytes:
        """Return the message."""
        if self._decoder is None:
            return b"".join(self._pieces)  # type: ignore[arg-type]
        return "".join(self._pieces)  # type: ignore[arg-type]
