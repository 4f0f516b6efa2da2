"""Messages and frames, in both directions."""

from contextlib import suppress

import pytest

from tests.live.server import Server

from .conftest import MEBIBYTE
from .differences import expected
from .script import ACCEPT, ECHO, MEASURE, RECEIVE, RECEIVE_UNTIL_GONE, close, kind_of, send, text
from .wire import BINARY, CONTINUATION, FIN, PING, PONG, TEXT, close_frame, frame, playing

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 200_000)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_echo(server: Server, opcode: int) -> None:
    empty = expected(server.kind, "empty messages", "sent")
    async with playing(server, ACCEPT, ECHO) as wire:
        for size in SIZES:
            await wire.send(frame(opcode, b"x" * size))
            if size or empty == "sent":
                assert await wire.read_frame() == (FIN | opcode, b"x" * size)


async def test_empty_messages_arrive(server: Server) -> None:
    async with playing(server, RECEIVE, ACCEPT, RECEIVE_UNTIL_GONE) as wire:
        fragments = frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION)
        await wire.send(frame(TEXT), frame(BINARY), fragments, close_frame(1000))
        await wire.read_end(answers=False)
    received = (await wire.report())[-1]
    assert [(each.get("text"), each.get("bytes")) for each in received[:-1]] == [
        ("", None),
        (None, b""),
        ("", None),
    ]


async def test_empty_messages_are_sent(server: Server) -> None:
    right = expected(server.kind, "empty messages", "sent")
    script = (text(""), send("send", bytes=b""), send("send", bytes=None, text=""), text("last"))
    async with playing(server, ACCEPT, *script) as wire:
        if right == "sent":
            assert [await wire.read_frame() for _ in range(3)] == [
                (FIN | TEXT, b""),
                (FIN | BINARY, b""),
                (FIN | TEXT, b""),
            ]
        assert await wire.read_text() == "last"


async def test_none_beside_what_is_sent(server: Server) -> None:
    script = (send("send", text=None, bytes=b"b"), send("send", text="t", bytes=None))
    async with playing(server, ACCEPT, *script, close(1000)) as wire:
        assert await wire.read_frame() == (FIN | BINARY, b"b")
        assert await wire.read_frame() == (FIN | TEXT, b"t")
        assert await wire.read_end() == (1000, "")


async def test_prepared_messages(server: Server) -> None:
    """Our extension: encoded once, and sent as often as one wants."""
    expected(server.kind, "prepared messages", "are sent")
    prepared = ("send_prepared", "\xe9" * 200, b"", "")
    async with playing(server, ACCEPT, prepared, close(1000)) as wire:
        for right in ((FIN | TEXT, b"\xc3\xa9" * 200), (FIN | BINARY, b""), (FIN | TEXT, b"")):
            assert [await wire.read_frame(), await wire.read_frame()] == [right, right]
        assert await wire.read_end() == (1000, "")


async def test_all_of_unicode(server: Server) -> None:
    said = "\0\x7f\x80\u07ff\u0800\ufffd\uffff\U00010000\U0010ffff"
    async with playing(server, ACCEPT, ECHO) as wire:
        await wire.send(frame(TEXT, said.encode()))
        assert await wire.read_text() == said


async def test_a_text_cut_within_its_characters(server: Server) -> None:
    encoded = "\xe9\N{SNOWMAN}\U0001f600".encode()
    cut = [encoded[at : at + 1] for at in range(len(encoded))]
    async with playing(server, ACCEPT, ECHO) as wire:
        await wire.send(frame(TEXT, fin=False))
        for part in cut:
            await wire.send(frame(CONTINUATION, part, fin=False))
        await wire.send(frame(CONTINUATION))
        assert await wire.read_frame() == (FIN | TEXT, encoded)


async def test_frames_that_come_in_pieces(server: Server) -> None:
    message = frame(TEXT, b"in pieces") + frame(BINARY, b"y" * 300)
    async with playing(server, ACCEPT, ECHO) as wire:
        for at in range(0, len(message), 3):
            await wire.send(message[at : at + 3])
        assert await wire.read_frame() == (FIN | TEXT, b"in pieces")
        assert await wire.read_frame() == (FIN | BINARY, b"y" * 300)


@pytest.mark.parametrize("together", [True, False])
async def test_control_frames_between_fragments(server: Server, together: bool) -> None:
    frames = [
        frame(TEXT, b"a", fin=False),
        frame(PING, b"one"),
        frame(CONTINUATION, b"b", fin=False),
        frame(PONG, b"that nobody asked for"),
        frame(PING, b""),
        frame(CONTINUATION, b"c"),
    ]
    async with playing(server, ACCEPT, ECHO) as wire:
        for part in [b"".join(frames)] if together else frames:
            await wire.send(part)
        found = [await wire.read_frame() for _ in range(3)]
    assert found == [(FIN | PONG, b"one"), (FIN | PONG, b""), (FIN | TEXT, b"abc")]


async def test_a_close_between_fragments(server: Server) -> None:
    async with playing(server, RECEIVE, ACCEPT, RECEIVE) as wire:
        await wire.send(frame(TEXT, b"a", fin=False), close_frame(1001))
        right = expected(server.kind, "a close between fragments", 1001)
        assert await wire.read_code() == right
        assert (await wire.report())[-1]["code"] in (right, 1001)


@pytest.mark.parametrize("size", [0, 1, 125])
async def test_pings_are_answered(server: Server, size: int) -> None:
    async with playing(server, ACCEPT, ECHO) as wire:
        await wire.send(frame(PING, b"p" * size))
        assert await wire.read_frame() == (FIN | PONG, b"p" * size)


async def test_masks_are_taken_off(server: Server) -> None:
    mask = b"\x01\x80\xfe\x33"
    for payload in (b"a", b"abcd", b"abcdefg" * 40):
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        plain = frame(BINARY, payload)
        whole = plain[: -len(payload) - 4] + mask + masked
        async with playing(server, ACCEPT, ECHO) as wire:
            await wire.send(whole)
            assert await wire.read_frame() == (FIN | BINARY, payload)


async def test_many_messages_keep_their_order(server: Server) -> None:
    async with playing(server, ACCEPT, ECHO) as wire:
        messages = [str(number).encode() * (number % 50 + 1) for number in range(500)]
        await wire.send(*(frame(TEXT, message) for message in messages))
        found = [await wire.read_frame() for _ in messages]
        assert found == [(FIN | TEXT, message) for message in messages]


# The limits


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_a_message_of_the_greatest_size(server: Server, opcode: int) -> None:
    kind = "text" if opcode == TEXT else "bytes"
    async with playing(server, ACCEPT, MEASURE) as wire:
        await wire.send(frame(opcode, b"x" * MEBIBYTE))
        assert await wire.read_text() == f"{kind} {MEBIBYTE}"
        parts = [frame(CONTINUATION, b"x" * (MEBIBYTE // 4), fin=False) for _ in range(3)]
        await wire.send(frame(opcode, b"x" * (MEBIBYTE // 4), fin=False), *parts)
        await wire.send(frame(CONTINUATION))
        assert await wire.read_text() == f"{kind} {MEBIBYTE}"


TOO_LARGE = {
    "in one frame": frame(TEXT, b"x" * (MEBIBYTE + 1)),
    "of bytes": frame(BINARY, b"x" * (MEBIBYTE + 1)),
    "of 8 MiB": frame(TEXT, bytes(8 * MEBIBYTE)),
    "announced": frame(TEXT, b"x" * 2 * MEBIBYTE)[:20],
    "of 2**63 - 1 bytes, announced": b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4),
    "of 2**63 bytes, announced": b"\x82\xff" + (2**63).to_bytes(8, "big") + bytes(4),
    "in fragments": frame(TEXT, b"x" * MEBIBYTE, fin=False) + frame(CONTINUATION, b"x"),
    "in many fragments": frame(BINARY, b"x" * 1024, fin=False)
    + frame(CONTINUATION, b"x" * 1024, fin=False) * 1024,
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_a_message_that_is_too_large(server: Server, name: str) -> None:
    right = expected(server.kind, "too large", {name: 1009})[name]
    async with playing(server, RECEIVE, ACCEPT, RECEIVE) as wire:
        with suppress(ConnectionError):
            await wire.send(TOO_LARGE[name])
        assert await wire.read_code() == right
    assert (await wire.report())[-1]["type"] == "websocket.disconnect"


async def test_what_is_sent_has_no_limit(server: Server) -> None:
    """The limits are those of what comes in."""
    right = expected(server.kind, "sending 2 MiB", "sent")
    async with playing(server, ACCEPT, ("send_large", 2 * MEBIBYTE), close(1000)) as wire:
        if right == "sent":
            assert await wire.read_frame() == (FIN | TEXT, b"x" * 2 * MEBIBYTE)
        assert (await wire.read_end())[0] == 1000
        assert kind_of((await wire.report())[1]) == right
