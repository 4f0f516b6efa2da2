"""Clients that send what is no WebSocket, or half of it."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

from tests.live.flow.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    close_frame,
    frame,
    upgrade,
)

from .client import Client, Ended, Refused
from .life import Life, behaviour

PATHS = ("/echo/text", "/echo/bytes", "/sleeps", "/push", "/chat/3", "/big")
Garbage = Callable[[Random], bytes]

TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(189)

# Before the handshake


@behaviour(4)
async def sends_no_handshake(life: Life) -> None:
    """Send anything but a handshake that can be answered with 101."""
    rng = life.rng
    good = upgrade("/echo/text")
    bad = rng.choice(
        [
            rng.randbytes(rng.randint(1, 2_000)),
            rng.randbytes(100) + b"\r\n\r\n",
            TLS_HELLO,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            good.replace(b"GET", b"POST"),
            good.replace(b": 13", b": 12"),
            good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
            good.replace(b"Sec-WebSocket-Key", b"X-Key"),
            good.replace(b"HTTP/1.1", b"HTTP/9.9"),
            good.replace(b"Host: 127.0.0.1", b"Host: \xff\x00"),
            good.replace(b"/echo/text", b"/%ff%00" + b"x" * 20_000),
            good[:-2] + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        ]
    )
    client = await life.connect()
    client.write(bad)
    with suppress(TimeoutError):
        await client.end(rng.uniform(0.1, 1.5))
    if client.status == 101:
        raise AssertionError(f"{bad!r:.200} was taken for a handshake")
    client.drop()


# After the handshake: by what is wrong, the code of the close that answers it.


def unmasked(rng: Random) -> bytes:
    return bytes([0x80 | TEXT, 5]) + b"hello"


def unknown_opcode(rng: Random) -> bytes:
    return frame(b"what?", rng.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]))


def reserved_bits(rng: Random) -> bytes:
    whole = bytearray(frame(b"bits"))
    whole[0] |= rng.choice([0x10, 0x20, 0x40, 0x70])
    return bytes(whole)


def fragmented_ping(rng: Random) -> bytes:
    return bytes([PING, 0x80]) + bytes(4)


def long_ping(rng: Random) -> bytes:
    return frame(bytes(126), PING)


def nothing_to_continue(rng: Random) -> bytes:
    return frame(b"more", CONTINUATION)


def message_in_a_message(rng: Random) -> bytes:
    return bytes([TEXT, 0x81]) + bytes(4) + b"a" + frame(b"b", TEXT)


def bad_close_code(rng: Random) -> bytes:
    return close_frame(rng.choice([0, 999, 1005, 1006, 1015, 2999]))


def short_close(rng: Random) -> bytes:
    return frame(b"\x03", CLOSE)


def bad_text(rng: Random) -> bytes:
    return frame(b"text " + rng.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8"]), TEXT)


def bad_reason(rng: Random) -> bytes:
    return frame((1000).to_bytes(2, "big") + b"\xff", CLOSE)


def oversized(rng: Random) -> bytes:
    size = rng.choice([2**20 + 1, 2**31, 2**62])
    return bytes([0x80 | BINARY, 0xFF]) + size.to_bytes(8, "big") + bytes(4 + 1_000)


def impossible_size(rng: Random) -> bytes:
    return bytes([0x80 | BINARY, 0xFF]) + (2**63 + 1).to_bytes(8, "big") + bytes(4)


def noise(rng: Random) -> bytes:
    return rng.randbytes(rng.randint(200, 5_000))


CLOSED_WITH: dict[Garbage, set[int]] = {
    unmasked: {1002},
    unknown_opcode: {1002},
    reserved_bits: {1002},
    fragmented_ping: {1002},
    long_ping: {1002},
    nothing_to_continue: {1002},
    message_in_a_message: {1002},
    bad_close_code: {1002},
    short_close: {1002},
    bad_text: {1007},
    bad_reason: {1007},
    oversized: {1009},
    impossible_size: {1002, 1009},
    noise: set(),  # anything
}


@behaviour(8)
async def sends_garbage(life: Life) -> None:
    """Send what is no frame, after some that are, and be told to go."""
    client = await life.open(life.rng.choice(PATHS))
    await life.pause(0, 0.5)
    if life.rng.random() < 0.5:
        client.write(frame(b"1", PING))
    garbage = life.rng.choice(list(CLOSED_WITH))
    client.write(garbage(life.rng))
    if garbage is noise:
        with suppress(TimeoutError):
            await client.end(2.0)
        return
    await client.end()
    if client.close_code not in CLOSED_WITH[garbage]:
        raise AssertionError(f"{garbage.__name__} was answered with {client.close_code}")


@behaviour(2)
async def sends_the_wrong_type(life: Life) -> None:
    """Send bytes for text, text for bytes and what is no JSON, and be told to go."""
    path, message, code = life.rng.choice(
        [
            ("/echo/text", b"bytes", 1003),
            ("/echo/bytes", "text", 1003),
            ("/echo/json", "{", 1007),
            ("/echo/json", "[" * 100_000, 1007),
            ("/echo/blocking", b"bytes", 1003),
        ]
    )
    try:
        client = await life.open(path)
    except Refused as refused:
        life.answered(refused.status, 503)
        return
    client.send(message)
    await client.end()
    life.answered(client.close_code, code)


@behaviour(6)
async def sends_half_a_frame(life: Life) -> None:
    """Leave a frame, or a message, unfinished for a while; then leave."""
    client = await life.open(life.rng.choice(PATHS))
    whole = frame(bytes(life.rng.choice([100, 10_000, 500_000])))
    if life.rng.random() < 0.3:
        client.write(bytes([BINARY, 0x80 | 100]) + bytes(104))
    else:
        client.write(whole[: life.rng.randrange(1, len(whole))])
    await life.pause(0, 5)
    await leave(life, client)


async def leave(life: Life, client: Client) -> None:
    """Leave in one way or another."""
    way = life.rng.choice(["close", "reset", "drop"])
    if way == "reset":
        client.reset()
    elif way == "drop" or client.has_ended:
        client.drop()
    else:
        with suppress(Ended, TimeoutError):  # the close may well be a part of the frame
            client.write(close_frame(1000))
            await client.end(1.0)
