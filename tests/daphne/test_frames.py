"""Frames, compared with those of `websockets`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from bolt_ws.daphne.frames import PING, PreparedMessage, encode, read_head

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_encoded(opcode: Opcode, size: int) -> None:
    payload = b"x" * size
    assert encode(0x80 | opcode, payload) == Frame(opcode, payload).serialize(mask=False)


@pytest.mark.parametrize("data", [b"data", bytearray(b"data"), memoryview(b"data"), b""])
def test_prepared_bytes(data: bytes) -> None:
    expected = Frame(Opcode.BINARY, bytes(data)).serialize(mask=False)
    assert PreparedMessage(data).frame == expected


@pytest.mark.parametrize("data", ["text", "", "\u00e9\U0001f600" * 100])
def test_prepared_text(data: str) -> None:
    expected = Frame(Opcode.TEXT, data.encode()).serialize(mask=False)
    assert PreparedMessage(data).frame == expected


@pytest.mark.parametrize("is_masked", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_head_is_read_when_it_is_complete(size: int, is_masked: bool) -> None:
    frame = Frame(Opcode.BINARY, b"x" * size).serialize(mask=is_masked)
    data = b"before" + frame
    size_of_head = len(frame) - size
    for available in range(size_of_head):
        assert read_head(data[: 6 + available], 6) is None
    head = read_head(data[: 6 + size_of_head], 6)
    assert head is not None
    assert (head.first, head.second) == (frame[0], frame[1])
    assert (head.size, head.payload_size) == (size_of_head, size)
    assert read_head(data, 6) == head


@given(st.binary(max_size=20), st.integers(0, 5))
def test_any_bytes_are_a_head_or_not_yet(data: bytes, at: int) -> None:
    head = read_head(data, at)
    if head is not None:
        assert head.size <= len(data) - at
        assert head.payload_size >= 0


def test_a_ping_is_encoded_each_time() -> None:
    assert encode(PING, b"") == b"\x89\x00"
    assert encode(PING, b"now") == b"\x89\x03now"
