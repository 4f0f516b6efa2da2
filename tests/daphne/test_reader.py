"""From bytes to messages: what comes in what order, and what is answered when."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from bolt_ws.daphne import inbox

from .client import Client, connected, masked
from .fakes import Server, settle

# A client's message is its opcode and its fragments, a control frame its opcode and its data.
TEXTS = st.text(max_size=20) | st.text(min_size=100, max_size=200)
PIECES = st.integers(1, 9)
CONTROLS = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
MESSAGES = st.tuples(TEXTS | st.binary(max_size=300), st.lists(PIECES, max_size=4))
SCRIPTS = st.lists(st.tuples(MESSAGES, st.lists(CONTROLS, max_size=3)), max_size=12)
EACH = ("client", "receive", "time")
STEPS = st.lists(st.sampled_from(EACH), max_size=10)
SMALL = {"MAX_MESSAGES": 2, "MAX_SIZE": 100, "MAX_HELD": 50}


def frames_of(script: list[Any]) -> Iterable[Frame]:
    """Each message in its fragments, with the control frames between them."""
    for (message, cuts), controls in script:
        data = message.encode() if isinstance(message, str) else message
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        left = list(controls)
        for cut in cuts:
            yield Frame(opcode, data[:cut], fin=False)
            if left:
                kind, payload = left.pop()
                yield Frame(kind, payload)
            data, opcode = data[cut:], Opcode.CONT
        yield Frame(opcode, data)
        for kind, payload in left:
            yield Frame(kind, payload)


def chunks_of(data: bytes, sizes: list[int]) -> Iterable[bytes]:
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


async def run(client: Client, chunks: Iterable[bytes], steps: list[str]) -> list[Any]:
    """Let client, application and time go on in turns. Return what the application received."""
    waiting: asyncio.Task[Any] | None = None
    left, received = deque(chunks), []
    most = (len(steps) + 3) * (len(left) + 200)  # each three steps, one is everybody's
    for step in itertools.islice(itertools.cycle([*steps, *EACH]), most):
        if step == "client":
            if left and client.transport.is_reading:
                client.put_bytes(left.popleft())
        elif step == "time":
            client.clock.move(0.04)
        else:
            waiting = waiting or asyncio.create_task(client.connection.receive())
            for _ in range(3):
                await asyncio.sleep(0)
            if waiting.done():
                received.append(waiting.result())
                waiting = None
                if received[-1]["type"] == "websocket.disconnect":
                    return received
    raise AssertionError("this does not end")


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("bounds", [{}, SMALL], ids=["as it is", "small"])
@settings(max_examples=50, deadline=None)
@given(
    script=SCRIPTS,
    sizes=st.lists(st.integers(1, 40) | st.integers(1, 2000), min_size=1, max_size=8),
    steps=STEPS,
    seed=st.integers(0, 2**32),
)
def test_all_arrives(
    bounds: dict[str, int],
    deflate: bool,
    script: list[Any],
    sizes: list[int],
    steps: list[str],
    seed: int,
) -> None:
    frames = [*frames_of(script), Frame(Opcode.CLOSE, Close(4001, "bye").serialize())]
    expected = [
        {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}
        for (message, _), _ in script
    ]
    expected.append({"type": "websocket.disconnect", "code": 4001, "reason": "bye"})

    async def main() -> None:
        async with connected(Server(deflate=deflate), compress=deflate) as client:
            extensions = client.protocol.extensions
            assert bool(extensions) is deflate
            with mock.patch("websockets.frames.secrets.token_bytes", Random(seed).randbytes):
                sent = b"".join(each.serialize(mask=True, extensions=extensions) for each in frames)
            assert await run(client, chunks_of(sent, sizes), steps) == expected
            client.look()
            assert client.pongs == [frame.data for frame in frames if frame.opcode is Opcode.PING]
            assert client.closes == [(4001, "bye")]
            assert "close" in client.transport.calls

    with mock.patch.dict(vars(inbox), bounds):
        asyncio.run(main())


LIMIT = 500
HEADS = st.builds(
    lambda first, second, more: bytes((first, second)) + more,
    st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x83, 0xC1, 0x91]),
    st.integers(0, 255),
    st.binary(max_size=150),
)


@pytest.mark.parametrize("deflate", [False, True])
@settings(max_examples=80, deadline=None)
@given(
    garbage=st.lists(st.binary(min_size=1, max_size=300) | HEADS, min_size=1, max_size=6),
    is_read=st.booleans(),
)
def test_garbage(deflate: bool, garbage: list[bytes], is_read: bool) -> None:
    async def main() -> None:
        server = Server(deflate=deflate)
        server.limits = (LIMIT, LIMIT)
        async with connected(server, compress=deflate) as client:
            reading = asyncio.create_task(client.connection.receive())
            for data in garbage:
                client.put_bytes(data)
                if is_read:
                    await asyncio.sleep(0)
            await settle()
            client.clock.move(1.0)
            client.look()
            if client.closes:
                ((code, reason),) = client.closes
                assert "write_eof" in client.transport.calls or "close" in client.transport.calls
                event = await reading
                while event["type"] == "websocket.receive":
                    event = await client.receive()
                # What the garbage said by accident, or what the server says of it.
                assert event["code"] == code
                assert code in (1002, 1007, 1009) or event["reason"] == reason
            reading.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\1x", 1002),  # without a mask
        (b"\x81\5" + bytes(9), 1002),  # as long as one with a mask
        (masked(0x80, b"x"), 1002),  # continues nothing
        (masked(0xC1, b"x"), 1002),  # reserved bits
        (masked(0xA1, b"x"), 1002),
        (masked(0x92, b"x"), 1002),
        (masked(0x83), 1002),  # reserved opcodes
        (masked(0x8B), 1002),
        (masked(0x09), 1002),  # a control frame in fragments
        (masked(0x89, bytes(126)), 1002),  # a long one
        (masked(0x01, b"x") + masked(0x81, b"x"), 1002),  # a message within another
        (masked(0x88, b"\3"), 1002),  # half a close code
        (masked(0x88, b"\3\xec"), 1002),  # 1004 is none
        (masked(0x88, b"\3\xe8\xff"), 1007),
        (masked(0x81, b"\xff"), 1007),
        (masked(0x81, b"caf\xc3"), 1007),
        (masked(0x81, b"\xed\xa0\x80"), 1007),  # a surrogate
        (masked(0x01, b"caf\xc3") + masked(0x80, b"x"), 1007),
        (masked(0x82, bytes(1001)), 1009),
        (b"\x82\xfe\x03\xe9", None),  # the mask belongs to the head
        (b"\x82\xfe\x03\xe9\0\0\0\0", 1009),  # refused before a byte of it has come
        (b"\x82\xff\0\0\0\1\0\0\0\0\0\0\0\0", 1009),
    ],
)
@pytest.mark.parametrize("is_chopped", [False, True])
async def test_what_fails(data: bytes, code: int | None, is_chopped: bool) -> None:
    server = Server()
    server.limits = (1000, 1000)
    async with connected(server) as client:
        waiting = await client.idle()
        for chunk in chunks_of(data, [1]) if is_chopped else [data]:
            client.put_bytes(chunk)
        client.look()
        if code is None:
            assert client.closes == []
            waiting.cancel()
            return
        client.put_bytes(b"what comes behind")
        client.look()
        assert [closed for closed, _ in client.closes] == [code]
        assert client.transport.calls == ["write_eof"]
        assert (await waiting)["type"] == "websocket.disconnect"


@pytest.mark.parametrize("fin", [True, False])
async def test_bad_text_fails_before_its_frame_is_complete(fin: bool) -> None:
    async with connected() as client:
        frame = Frame(Opcode.TEXT, b"fine so far \xff" + bytes(100), fin).serialize(mask=True)
        client.put_bytes(frame[:-101])
        client.look()
        assert client.closes == []
        client.put_bytes(frame[-101:-100])
        client.look()
        assert [code for code, _ in client.closes] == [1007]


async def test_a_character_in_pieces() -> None:
    data = "\U0001f600\u00e9".encode()
    async with connected() as client:
        frame = Frame(Opcode.TEXT, data[:3], fin=False).serialize(mask=True)
        frame += Frame(Opcode.CONT, data[3:5], fin=False).serialize(mask=True)
        frame += Frame(Opcode.CONT, data[5:]).serialize(mask=True)
        for chunk in chunks_of(frame, [1]):
            client.put_bytes(chunk)
        assert (await client.receive())["text"] == data.decode()


@pytest.mark.parametrize("is_fragmented", [False, True])
async def test_the_limits(is_fragmented: bool) -> None:
    """The size of a message and that of a frame are bounded each by its own."""
    server = Server()
    server.limits = (1000, 600)
    async with connected(server) as client:
        if is_fragmented:
            client.put_frame(Opcode.BINARY, bytes(500), fin=False)
            client.put_frame(Opcode.CONT, bytes(500))
            assert (await client.receive())["bytes"] == bytes(1000)
            client.put_frame(Opcode.BINARY, bytes(500), fin=False)
            client.put_frame(Opcode.CONT, bytes(501))
        else:
            client.put(bytes(600))
            assert (await client.receive())["bytes"] == bytes(600)
            client.put(bytes(601))
        client.look()
        assert [code for code, _ in client.closes] == [1009]


async def test_no_limits() -> None:
    server = Server()
    server.limits = (None, None)
    async with connected(server) as client:
        client.put(bytes(2_000_000))
        assert len((await client.receive())["bytes"]) == 2_000_000
