"""Clients that break the protocol (RFC 6455): told so by a close frame and the end of stream."""

import pytest

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, ECHO, RECEIVE, RECEIVE_UNTIL_GONE
from .wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame, playing

SNOWMAN = "\N{SNOWMAN}".encode()

ERRORS = {
    "reserved bit 1": frame(TEXT, b"x", bits=0x40),
    "reserved bit 2": frame(TEXT, b"x", bits=0x20),
    "reserved bit 3 of a ping": frame(PING, b"x", bits=0x10),
    "no mask": frame(TEXT, b"x", masked=False),
    "no mask on a ping": frame(PING, masked=False),
    "no mask on a close": frame(CLOSE, b"\x03\xe8", masked=False),
    "opcode 3": frame(3, b"x"),
    "opcode 7": frame(7),
    "opcode 11": frame(11, b"x"),
    "opcode 15": frame(15),
    "a ping in fragments": frame(PING, b"x", fin=False),
    "a pong in fragments": frame(PONG, b"x", fin=False),
    "a close in fragments": frame(CLOSE, b"\x03\xe8", fin=False),
    "a ping of 126 bytes": frame(PING, b"x" * 126),
    "a close of 126 bytes": close_frame(1000, "x" * 124),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "an unfinished continuation of nothing": frame(CONTINUATION, b"x", fin=False),
    "a continuation after the last": frame(TEXT, b"x") + frame(CONTINUATION, b"x"),
    "a message within another": frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"),
    "bytes within a text": frame(TEXT, b"x", fin=False) + frame(BINARY, b"x", fin=False),
    "a close of one byte": frame(CLOSE, b"\x03"),
    **{
        f"close code {code}": close_frame(code)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}

BAD_TEXT = {
    "whole": frame(TEXT, b"\xff"),
    "at the end": frame(TEXT, b"good" * 100 + b"\xc0"),
    "cut off": frame(TEXT, SNOWMAN[:2]),
    "a surrogate": frame(TEXT, "\ud800".encode(errors="surrogatepass")),
    "overlong": frame(TEXT, b"\xc0\xaf"),
    "above U+10FFFF": frame(TEXT, b"\xf4\x90\x80\x80"),
    "in a first fragment": frame(TEXT, b"\xff", fin=False),
    "in a fragment": frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"\xff", fin=False),
    "across fragments": frame(TEXT, SNOWMAN[:1], fin=False) + frame(CONTINUATION, b"x"),
    "cut off by the end": frame(TEXT, SNOWMAN[:1], fin=False) + frame(CONTINUATION),
    "in a part of a frame": frame(TEXT, b"x\xff" + b"x" * 1000)[:-900],
    "in a part of a fragment": frame(TEXT, b"x", fin=False)
    + frame(CONTINUATION, b"x\xff" + b"x" * 1000)[:-900],
    "in a reason": close_frame(1000, b"\xff"),
    "cut off in a reason": close_frame(1000, SNOWMAN[:2]),
}


async def ended_by(server: Server, sent: bytes) -> int | str:
    """Return the code with which the server ends it, if it ends as it should."""
    async with playing(server, RECEIVE, ACCEPT, RECEIVE_UNTIL_GONE) as wire:
        await wire.send(sent)
        code = await wire.read_code()
    received = (await wire.report())[-1]
    assert received[-1]["type"] == "websocket.disconnect"
    assert all(each["text"] == "x" for each in received[:-1])
    return code


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_of_the_protocol(server: Server, name: str) -> None:
    right = expected(server.kind, "errors of the protocol", {name: 1002})[name]
    assert await ended_by(server, ERRORS[name]) == right


@pytest.mark.parametrize("name", BAD_TEXT)
async def test_a_text_that_is_no_utf8(server: Server, name: str) -> None:
    right = expected(server.kind, "bad UTF-8", {name: 1007})[name]
    assert await ended_by(server, BAD_TEXT[name]) == right


async def test_what_came_before_is_answered(server: Server) -> None:
    async with playing(server, ACCEPT, ECHO) as wire:
        await wire.send(frame(TEXT, b"good"), frame(3, b"bad"), frame(TEXT, b"ignored"))
        right = expected(server.kind, "answers before an error", ["good", 1002])
        found = [await wire.read_text()] if "good" in right else []
        assert [*found, await wire.read_code()] == right
