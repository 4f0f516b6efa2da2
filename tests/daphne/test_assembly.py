"""Messages in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import apply_mask

from bolt_ws.daphne.assembly import Assembly


@given(st.text() | st.binary(), st.binary(min_size=4, max_size=4), st.lists(st.integers(0, 7)))
def test_parts_of_one_frame(message: str | bytes, mask: bytes, sizes: list[int]) -> None:
    payload = message.encode() if isinstance(message, str) else message
    masked = apply_mask(payload, mask)
    assembly = Assembly(is_text=isinstance(message, str))
    assembly.begin_frame(mask)
    for size in [*sizes, len(masked)]:
        assembly.add_part(masked[:size])
        masked = masked[size:]
    assembly.end_frame(payload, is_last=True)
    assert assembly.joined() == message


@given(st.text() | st.binary(), st.lists(st.integers(0, 7)))
def test_frames_whose_parts_are_not_shown(message: str | bytes, sizes: list[int]) -> None:
    payload = message.encode() if isinstance(message, str) else message
    assembly = Assembly(is_text=isinstance(message, str))
    for size in sizes:
        assembly.begin_frame(b"")
        assembly.add_part(b"compressed")
        assembly.end_frame(payload[:size], is_last=False)
        payload = payload[size:]
    assembly.end_frame(payload, is_last=True)
    assert assembly.joined() == message


def test_text_is_checked_as_it_comes() -> None:
    assembly = Assembly(is_text=True)
    assembly.begin_frame(bytes(4))
    assembly.add_part(b"caf\xc3")
    with pytest.raises(UnicodeDecodeError):
        assembly.add_part(b"\xff")


def test_text_ends_with_a_whole_character() -> None:
    assembly = Assembly(is_text=True)
    assembly.begin_frame(bytes(4))
    assembly.add_part(b"caf\xc3")
    with pytest.raises(UnicodeDecodeError):
        assembly.end_frame(b"", is_last=True)
